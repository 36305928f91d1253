"""The table of sources, and files fetched from a server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from labo_data import download
from labo_data.download import Source
from labo_data.text import DataError

CONTENT = b"a small file\n" * 100
WRONG = "0" * 64


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that has file.gz."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "file.gz").write_bytes(CONTENT)
    handler = partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


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
    assert download.fetch_all([again], folder) == {"file.gz": folder / "file.gz"}


def test_download_with_the_wrong_hash_leaves_no_file(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    with pytest.raises(DataError) as caught:
        download.fetch(_source(f"{server}/file.gz", sha256=WRONG), folder)
    assert WRONG in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert list(folder.iterdir()) == []


def test_missing_on_the_server(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.gz: the download failed: 404"):
        download.fetch(_source(f"{server}/absent.gz"), tmp_path)


def test_offline_names_the_url_and_the_manual_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sources = [_source("http://127.0.0.1:9/file.gz"), _source("http://127.0.0.1:9/other.gz")]
    with pytest.raises(DataError) as caught:
        download.fetch_all(sources, tmp_path / "download")
    message = str(caught.value)
    assert message.startswith("http://127.0.0.1:9/file.gz: the download failed")
    assert "by hand" in message and "  http://127.0.0.1:9/other.gz\n" in message
    assert message.endswith("--source-dir DIR")
    assert list((tmp_path / "download").iterdir()) == []


def test_wrong_file_at_hand_is_reported_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(b"something else")
    source = _source("http://127.0.0.1:9/file.gz")
    found = hashlib.sha256(b"something else").hexdigest()
    for attempt in (
        lambda: download.fetch(source, tmp_path),
        lambda: download.find_all([source], tmp_path, subfolder="data"),
    ):
        with pytest.raises(DataError, match=f"expected sha256 {source.sha256} .*found {found}"):
            attempt()
        assert path.read_bytes() == b"something else"


def test_source_dir_in_both_layouts(tmp_path: Path) -> None:
    source = _source("http://127.0.0.1:9/file.gz")
    with pytest.raises(DataError, match=r"found 0 in .*\n  file\.gz from http://127"):
        download.find_all([source], tmp_path, subfolder="data/raw")
    (tmp_path / "file.gz").write_bytes(CONTENT)
    found = download.find_all([source], tmp_path, subfolder="data/raw")
    assert found == {"file.gz": tmp_path / "file.gz"}
    inner = tmp_path / "data" / "raw"
    inner.mkdir(parents=True)
    (tmp_path / "file.gz").rename(inner / "file.gz")
    found = download.find_all([source], tmp_path, subfolder="data/raw")
    assert found == {"file.gz": inner / "file.gz"}


def test_table_of_multi30k() -> None:
    sources = download.read_sources("multi30k")
    parts = ["train", "val", "test_2016_flickr", "test_2017_flickr", "test_2017_mscoco"]
    assert {source.file for source in sources} == {
        f"{part}.{lang}.gz" for part in parts for lang in ("de", "en")
    }
    assert len({source.sha256 for source in sources}) == len(sources) == 10
    assert all(source.url.endswith(f"/{source.file}") for source in sources)
    with pytest.raises(DataError, match="expected rows for multi31k, found only"):
        download.read_sources("multi31k")


@pytest.mark.parametrize(
    "row", ["c\tf\tu\tmany\t" + WRONG, "c\tf\tu\t7\tabc", "c\tf\tu\t7", "c f u 7 " + WRONG]
)
def test_bad_rows_are_named(tmp_path: Path, row: str) -> None:
    table = tmp_path / "sources.tsv"
    header = "corpus\tfile\turl\tbytes\tsha256"
    table.write_text(f"{header}\nc\tf\tu\t7\t{WRONG}\n", encoding="utf-8")
    assert download.read_sources("c", table=table) == [Source("c", "f", "u", 7, WRONG)]
    table.write_text(f"{header}\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"sources\.tsv, line 2: expected corpus, file"):
        download.read_sources("c", table=table)
    table.write_text("corpus\turl\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected the columns"):
        download.read_sources("c", table=table)
