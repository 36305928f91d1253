"""Merges learned or given."""

from pathlib import Path

import pytest

from fairseq_labo.experiments.files import read_lines
from tests.experiments.data import releases


@pytest.mark.usefixtures("in_process_fairseq")
def test_given_codes_are_applied(tmp_path: Path) -> None:
    releases.write_iwslt14_15k(tmp_path)
    destdir = tmp_path / "dest"
    assert releases.run("iwslt14-15k", tmp_path, destdir) == 0
    assert (destdir / "bpe" / "codes").read_bytes() == (tmp_path / "bpe_code").read_bytes()
    assert next(read_lines(destdir / "bpe" / "test.en")) == "d@@ e@@ r dog &@@ a@@ m@@ p@@ ; 0 ."
    assert releases.run("iwslt14-15k", tmp_path, destdir, "--bpe-size", "5") == 0
    assert len(list(read_lines(destdir / "bpe" / "codes"))) == 6
