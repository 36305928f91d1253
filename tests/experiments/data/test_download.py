"""The table of sources, and files fetched from a server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.data import download, locate, prepare, transfer
from fairseq_labo.experiments.data.archives import Container
from fairseq_labo.experiments.data.corpora import CORPORA
from fairseq_labo.experiments.data.download import Source
from fairseq_labo.experiments.data.recipe import Corpus, Member, Nested, Part, Recipe
from fairseq_labo.experiments.errors import UserError

CONTENT = b"a small file\n" * 100
WRONG = "0" * 64


class _Server(ThreadingHTTPServer):
    """Serves CONTENT at any path; `faults` are taken from its front, one for each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: list[str] = []
        self.requests: list[tuple[str, str | None]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

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
        self.end_headers()
        end = start + (len(body) - start) // 2 if fault == "break off" else len(body)
        self.wfile.write(body[start:end])


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """A server on this machine, and no pauses between attempts."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(transfer, "PIECE_BYTES", len(CONTENT) // 20)
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running: _Server) -> str:
    """The address of that server."""
    return f"http://127.0.0.1:{running.server_port}"


def _source(*urls: str, sha256: str | None = None) -> Source:
    digest = sha256 or hashlib.sha256(CONTENT).hexdigest()
    return Source("tiny", "file.gz", urls, len(CONTENT), f"sha256:{digest}")


def test_download_with_the_right_hash(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    source = _source(f"{server}/file.gz")
    assert download.fetch(source, folder) == folder / "file.gz"
    assert (folder / "file.gz").read_bytes() == CONTENT
    # The second time no server is needed.
    again = _source("http://127.0.0.1:9/file.gz")
    assert download.fetch(again, folder) == folder / "file.gz"


def test_download_with_the_wrong_hash_leaves_no_file(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    with pytest.raises(UserError) as caught:
        download.fetch(_source(f"{server}/file.gz", sha256=WRONG), folder)
    assert WRONG in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert list(folder.iterdir()) == []


def test_missing_on_the_server(server: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.gz: the download failed: 404"):
        download.fetch(_source(f"{server}/absent.gz"), tmp_path)


def test_broken_off_download_goes_on(running: _Server, server: str, tmp_path: Path) -> None:
    running.faults = ["break off", "503", "break off"]
    assert download.fetch(_source(f"{server}/f"), tmp_path).read_bytes() == CONTENT
    half, rest = len(CONTENT) // 2, len(CONTENT) // 2 // 2
    ranges = [None, f"bytes={half}-", f"bytes={half}-", f"bytes={half + rest}-"]
    assert [wanted for _, wanted in running.requests] == ranges
    assert [path.name for path in tmp_path.iterdir()] == ["file.gz"]


def test_half_file_of_an_earlier_run_is_gone_on_with(
    running: _Server, server: str, tmp_path: Path
) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:100])
    assert download.fetch(_source(f"{server}/f"), tmp_path).read_bytes() == CONTENT
    assert running.requests == [("/f", "bytes=100-")]
    # A complete half file needs no server.
    (tmp_path / "file.gz").rename(tmp_path / "file.gz.part")
    download.fetch(_source("http://127.0.0.1:9/f"), tmp_path)


def test_half_file_of_something_else_is_fetched_afresh(
    running: _Server, server: str, tmp_path: Path
) -> None:
    (tmp_path / "file.gz.part").write_bytes(b"?" * 100)
    assert download.fetch(_source(f"{server}/f"), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in running.requests] == ["bytes=100-", None]


def test_server_without_ranges(running: _Server, server: str, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:100])
    running.faults = ["no ranges"]
    assert download.fetch(_source(f"{server}/f"), tmp_path).read_bytes() == CONTENT


def test_unknown_size_and_a_half_file_that_is_whole(
    running: _Server, server: str, tmp_path: Path
) -> None:
    source = Source("tiny", "file.gz", (f"{server}/f",))
    for beginning in (CONTENT, CONTENT + b"and more"):
        (tmp_path / "file.gz.part").write_bytes(beginning)
        assert download.fetch(source, tmp_path).read_bytes() == CONTENT
        (tmp_path / "file.gz").unlink()


@pytest.mark.parametrize("fault", ["404", "page", "other file"])
def test_the_next_mirror(running: _Server, server: str, tmp_path: Path, fault: str) -> None:
    running.faults = [fault]
    source = _source("http://127.0.0.1:9/dead", f"{server}/first", f"{server}/second")
    assert download.fetch(source, tmp_path).read_bytes() == CONTENT
    assert [path for path, _ in running.requests] == ["/first", "/second"]


def test_wrong_size_is_noticed_before_the_body(server: str, tmp_path: Path) -> None:
    source = Source("tiny", "file.gz", (f"{server}/f",), 7)
    with pytest.raises(UserError, match=r"expected 7 bytes, found 1,300"):
        download.fetch(source, tmp_path)


def test_server_that_stays_broken(running: _Server, server: str, tmp_path: Path) -> None:
    running.faults = ["500"] * 20
    with pytest.raises(UserError, match=r"answered 500 .* after 5 attempts"):
        download.fetch(_source(f"{server}/f"), tmp_path)
    assert len(running.requests) == transfer.ATTEMPTS


def _corpus(**options: Any) -> Corpus:
    members = {
        "train": Member("data/raw/file.gz"),
        "test": Member("tests/t.{lang}.xml", markup="segments", archive="other.gz"),
    }
    parts = {split: Part(split, (member,)) for split, member in members.items()}
    return Corpus("tiny", "de", "en", parts, Recipe(), layout="data/raw", **options)


def test_offline_names_the_url_and_the_manual_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    other = Source("tiny", "other.gz", ("http://127.0.0.1:9/other.gz", "http://mirror/other.gz"))
    sources = [_source("http://127.0.0.1:9/file.gz"), other]
    with pytest.raises(UserError) as caught:
        locate.locate(_corpus(), locate.Request(), tmp_path, sources=sources)
    message = str(caught.value)
    assert message.startswith("http://127.0.0.1:9/file.gz: the download failed")
    assert "by hand" in message and "  other.gz  from  http://127.0.0.1:9/other.gz\n" in message
    assert "  other.gz  from  http://mirror/other.gz\n" in message
    assert message.endswith("--source-dir DIR")
    assert list((tmp_path / "download").iterdir()) == []


def test_wrong_file_at_hand_is_reported_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(b"something else")
    source = _source("http://127.0.0.1:9/file.gz")
    found = hashlib.sha256(b"something else").hexdigest()
    requests = [
        locate.Request(source_dir=tmp_path),
        locate.Request(archives=[path], source_dir=tmp_path),
    ]
    attempts = [partial(download.fetch, source, tmp_path)] + [
        partial(locate.locate, _corpus(), request, tmp_path, sources=[source])
        for request in requests
    ]
    for attempt in attempts:
        with pytest.raises(UserError, match=f"expected {source.hash}, .*found sha256:{found}"):
            attempt()
        assert path.read_bytes() == b"something else"


def test_source_dir_in_both_layouts(tmp_path: Path) -> None:
    sources = [_source("http://127.0.0.1:9/file.gz")]
    request = locate.Request(source_dir=tmp_path)
    find = partial(locate.locate, _corpus(), request, tmp_path / "dest", sources=sources)
    with pytest.raises(UserError, match=r"found 0; missing: data/raw/file\.gz, other\.gz"):
        find()
    (tmp_path / "file.gz").write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"found 1; missing: other\.gz\.\nno address is known"):
        find()
    (tmp_path / "other.gz").touch()
    assert find().files["data/raw/file.gz"] == tmp_path / "file.gz"
    inner = tmp_path / "data" / "raw"
    inner.mkdir(parents=True)
    for name in ("file.gz", "other.gz"):
        (tmp_path / name).rename(inner / name)
    assert find().files["data/raw/file.gz"] == inner / "file.gz"
    # An archive may also have been unpacked.
    (inner / "other.gz").unlink()
    (inner / "tests").mkdir()
    for lang in ("de", "en"):
        (inner / "tests" / f"t.{lang}.xml").touch()
    assert set(find().files) == {"data/raw/file.gz", "t.de.xml", "t.en.xml"}


def test_archives_by_name(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(CONTENT)
    (tmp_path / "whole.tgz").touch()
    nested = {"other.gz": Nested("whole.tgz", "a/b/other.gz")}
    corpus = _corpus(nested=nested)
    request = locate.Request(archives=[tmp_path / "file.gz", tmp_path / "whole.tgz"])
    located = locate.locate(corpus, request, tmp_path, sources=[_source("http://x/file.gz")])
    assert located.containers["other.gz"] == Container(tmp_path / "whole.tgz", "a/b/other.gz")
    for path, found in ((tmp_path / "absent", "found none"), (tmp_path / "x", "found another")):
        if found.endswith("another"):
            path.touch()
        with pytest.raises(UserError, match=found):
            locate.locate(corpus, locate.Request(archives=[path]), tmp_path, sources=[])


def test_table_of_multi30k() -> None:
    sources = download.read_sources("multi30k")
    parts = ["train", "val", "test_2016_flickr", "test_2017_flickr", "test_2017_mscoco"]
    assert {source.file for source in sources} == {
        f"{part}.{lang}.gz" for part in parts for lang in ("de", "en", "fr")
    }
    assert len({source.hash for source in sources}) == len(sources) == 15
    assert all(source.urls[0].endswith(f"/{source.file}") for source in sources)
    with pytest.raises(UserError, match="expected rows for multi31k, found only"):
        download.read_sources("multi31k")


# A generated corpus, and text that is only taken from a folder.
WITHOUT_ADDRESS = {"iwslt14-15k", "microworld", "mixed", "tatoeba"}


@pytest.mark.parametrize("name", sorted(set(CORPORA) - WITHOUT_ADDRESS))
def test_every_file_has_an_address(name: str) -> None:
    parser = prepare.parser()
    options = {"iwslt17": [["--test-set", "tst2017"]], "wmt14": [["--news-commentary", "v12"]]}
    for pair in CORPORA[name].PAIRS:
        for own in [[], *options.get(name, [])]:
            args = parser.parse_args([name, "--destdir", "x", "--pair", pair, *own])
            corpus = CORPORA[name].corpus(args)
            known = {source.file: source for source in download.read_sources(corpus.sources)}
            for file in locate.needed_names(corpus):
                assert locate.candidates(corpus, file, known), (pair, file)


@pytest.mark.parametrize(
    "row",
    [
        "c\tf\tu\tmany\tsha256:" + WRONG,
        "c\tf\tu\t7\tsha256:abc",
        "c\tf\tu\t7\t" + WRONG,
        "c\tf\tu\t7",
        "c\tf\t\t7\t",
        "c f u 7 sha256:" + WRONG,
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str) -> None:
    table = tmp_path / "sources.tsv"
    header = "corpus\tfile\turl\tbytes\thash"
    good = f"c\tf\tu\t7\tsha256:{WRONG}\nc\tg\tu\t\t\nc\tf\tv\t7\tsha256:{WRONG}"
    table.write_text(f"{header}\n{good}\n", encoding="utf-8")
    expected = [Source("c", "f", ("u", "v"), 7, f"sha256:{WRONG}"), Source("c", "g", ("u",))]
    assert download.read_sources("c", table=table) == expected
    table.write_text(f"{header}\n{row}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"sources\.tsv, line 2: expected corpus, file"):
        download.read_sources("c", table=table)
    table.write_text(f"{header}\n{good}\nc\tf\tw\t8\t\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 5: expected the size and hash of the first"):
        download.read_sources("c", table=table)
    table.write_text("corpus\turl\n", encoding="utf-8")
    with pytest.raises(UserError, match="expected the columns"):
        download.read_sources("c", table=table)
