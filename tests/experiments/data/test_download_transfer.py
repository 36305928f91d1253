"""Downloads that break off, stall, or give something else than the file."""

from pathlib import Path

import pytest

from fairseq_labo.experiments.data import download
from fairseq_labo.experiments.data.download import Source
from fairseq_labo.experiments.errors import UserError
from tests.experiments.data.server import CONTENT, Server, source_of


def test_broken_off_download_goes_on(running: Server, server: str, tmp_path: Path) -> None:
    running.faults = ["break off", "503", "break off"]
    assert download.fetch(source_of(f"{server}/f"), tmp_path).read_bytes() == CONTENT
    half, rest = len(CONTENT) // 2, len(CONTENT) // 2 // 2
    ranges = [None, f"bytes={half}-", f"bytes={half}-", f"bytes={half + rest}-"]
    assert [wanted for _, wanted in running.requests] == ranges
    assert [path.name for path in tmp_path.iterdir()] == ["file.gz"]


def test_half_file_of_an_earlier_run_is_gone_on_with(
    running: Server, server: str, tmp_path: Path
) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:100])
    assert download.fetch(source_of(f"{server}/f"), tmp_path).read_bytes() == CONTENT
    assert running.requests == [("/f", "bytes=100-")]
    # A complete half file needs no server.
    (tmp_path / "file.gz").rename(tmp_path / "file.gz.part")
    download.fetch(source_of("http://127.0.0.1:9/f"), tmp_path)


def test_half_file_of_something_else_is_fetched_afresh(
    running: Server, server: str, tmp_path: Path
) -> None:
    (tmp_path / "file.gz.part").write_bytes(b"?" * 100)
    assert download.fetch(source_of(f"{server}/f"), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in running.requests] == ["bytes=100-", None]


def test_server_without_ranges(running: Server, server: str, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:100])
    running.faults = ["no ranges"]
    assert download.fetch(source_of(f"{server}/f"), tmp_path).read_bytes() == CONTENT


def test_unknown_size_and_a_half_file_that_is_whole(
    running: Server, server: str, tmp_path: Path
) -> None:
    source = Source("file.gz", (f"{server}/f",))
    for beginning in (CONTENT, CONTENT + b"and more"):
        (tmp_path / "file.gz.part").write_bytes(beginning)
        assert download.fetch(source, tmp_path).read_bytes() == CONTENT
        (tmp_path / "file.gz").unlink()


def test_wrong_size_is_noticed_before_the_body(server: str, tmp_path: Path) -> None:
    source = Source("file.gz", (f"{server}/f",), 7)
    with pytest.raises(UserError, match=r"expected 7 bytes, found 1,300"):
        download.fetch(source, tmp_path)


def test_server_that_stays_broken(running: Server, server: str, tmp_path: Path) -> None:
    running.faults = ["500"] * 20
    with pytest.raises(UserError, match=r"answered 500 .* after 5 attempts"):
        download.fetch(source_of(f"{server}/f"), tmp_path)
    assert len(running.requests) == download.ATTEMPTS
