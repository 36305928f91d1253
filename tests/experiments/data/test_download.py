"""The table of sources, and files fetched from a server on this machine."""

import csv
import hashlib
import re
from collections import defaultdict
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import download
from fairseq_labo.experiments.errors import UserError
from tests.experiments.data.server import CONTENT, WRONG, Server, source_of

HASH_DIGITS = {"": 0, "sha256": 64, "md5": 32}


def test_download_with_the_right_hash(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    source = source_of(f"{server}/file.gz")
    assert download.fetch(source, folder) == folder / "file.gz"
    assert (folder / "file.gz").read_bytes() == CONTENT
    # The second time no server is needed.
    again = source_of("http://127.0.0.1:9/file.gz")
    assert download.fetch(again, folder) == folder / "file.gz"


def test_what_a_server_calls_encoded_is_taken_as_it_lies_there(
    running: Server, server: str, tmp_path: Path
) -> None:
    running.faults = ["called encoded"]
    assert download.fetch(source_of(f"{server}/file.gz"), tmp_path).read_bytes() == CONTENT
    assert len(running.requests) == 1


def test_download_with_the_wrong_hash_leaves_no_file(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    with pytest.raises(UserError) as caught:
        download.fetch(source_of(f"{server}/file.gz", sha256=WRONG), folder)
    assert WRONG in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert list(folder.iterdir()) == []


def test_missing_on_the_server(server: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.gz: the download failed: 404"):
        download.fetch(source_of(f"{server}/absent.gz"), tmp_path)


@pytest.mark.parametrize("fault", ["404", "page", "other file"])
def test_the_next_mirror(running: Server, server: str, tmp_path: Path, fault: str) -> None:
    running.faults = [fault]
    source = source_of("http://127.0.0.1:9/dead", f"{server}/first", f"{server}/second")
    assert download.fetch(source, tmp_path).read_bytes() == CONTENT
    assert [path for path, _ in running.requests] == ["/first", "/second"]


def test_table_of_multi30k() -> None:
    sources = download.read_sources("multi30k")
    parts = ["train", "val", "test_2016_flickr", "test_2017_flickr", "test_2017_mscoco"]
    assert {source.file for source in sources} == {
        f"{part}.{lang}.gz" for part in parts for lang in ("de", "en", "fr")
    }
    assert len({source.hash for source in sources}) == len(sources) == 15
    assert all(source.urls[0].endswith(f"/{source.file}") for source in sources)


def test_mirrors_of_a_file_are_in_their_order() -> None:
    (test_set,) = [s for s in download.read_sources("wmt14.en-de") if s.file == "test-full.tgz"]
    assert [url.partition(":")[0] for url in test_set.urls] == ["https", "http"]
    assert test_set.size_bytes is None and test_set.hash.startswith("md5:")


def test_rows_of_the_table_are_well_formed() -> None:
    with download.SOURCES_TABLE.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert header == ["corpus", "file", "url", "bytes", "hash"] and len(rows) > 40
    contents = defaultdict(set)
    for row in rows:
        corpus, file, url, size, digest = row
        assert corpus and file and url.startswith(("http://", "https://")), row
        assert size.isdigit() or not size, row
        algorithm, _, digits = digest.partition(":")
        assert re.fullmatch(f"[0-9a-f]{{{HASH_DIGITS[algorithm]}}}", digits), row
        contents[corpus, file].add((size, digest))
    assert all(len(found) == 1 for found in contents.values())  # mirrors have the same bytes
