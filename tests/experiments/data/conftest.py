"""A server on this machine, and releases in their layouts."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import download
from fairseq_labo.experiments.data.download import Source
from tests.experiments.data import broken, releases
from tests.experiments.data.server import CONTENT, Server


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine, and no pauses between attempts."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(download, "PIECE_BYTES", len(CONTENT) // 20)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running: Server) -> str:
    """The address of that server."""
    return f"http://127.0.0.1:{running.server_port}"


@pytest.fixture(params=sorted({**broken.ARCHIVES, **broken.LOOSE}))
def release(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Each corpus in its layout."""
    folder = tmp_path / "release"
    releases.WRITERS[request.param](folder)
    return request.param, folder


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Path, list[Source]]:
    """A folder in the original layout, and the rows of its files."""
    folder = tmp_path / "release" / "data" / "task1" / "raw"
    folder.mkdir(parents=True)
    sources = []
    for name, size in releases.TINY_COUNTS.items():
        for lang, sentence in releases.TINY_SENTENCES.items():
            text = "".join(sentence.format(name[-6:] + str(i)) + "\n" for i in range(size))
            data = gzip.compress(text.encode(), mtime=0)
            file = f"{name}.{lang}.gz"
            (folder / file).write_bytes(data)
            url = f"http://127.0.0.1:9/{file}"
            digest = hashlib.sha256(data).hexdigest()
            sources.append(Source(file, (url,), len(data), f"sha256:{digest}"))
    return tmp_path / "release", sources
