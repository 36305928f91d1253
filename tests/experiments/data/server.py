"""A server on this machine that serves one file, with the faults of real ones."""

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fairseq_labo.experiments.data.download import Source

CONTENT = b"a small file\n" * 100


WRONG = "0" * 64


class Server(ThreadingHTTPServer):
    """Serves CONTENT at any path; `faults` are taken from its front, one for each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[str] = []
        self.requests: list[tuple[str, str | None]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault.isdigit() or self.path == "/absent.gz":
            self.send_error(int(fault or 404))
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if fault == "no ranges":
            start, wanted = 0, None
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        body = CONTENT if fault != "other file" else b"?" * len(CONTENT)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Content-Type", "text/html" if fault == "page" else "application/x")
        if fault == "called encoded":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        end = start + (len(body) - start) // 2 if fault == "break off" else len(body)
        self.wfile.write(body[start:end])


def source_of(*urls: str, sha256: str | None = None) -> Source:
    digest = sha256 or hashlib.sha256(CONTENT).hexdigest()
    return Source("file.gz", urls, len(CONTENT), f"sha256:{digest}")
