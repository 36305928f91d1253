"""What a preparation would do."""

from pathlib import Path

import pytest

from fairseq_labo.experiments.data.download import Source
from tests.experiments.data import releases
from tests.experiments.data.releases import tiny_multi30k


def test_dry_run_writes_nothing(
    tiny: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = tiny
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--dry-run"]
    assert releases.main(arguments, corpus=tiny_multi30k(), sources=sources) == 0
    printed = capsys.readouterr().out
    assert "train.de.gz: would be downloaded from http://127.0.0.1:9/" in printed
    given = [*arguments, "--source-dir", str(folder)]
    assert releases.main(given, corpus=tiny_multi30k(), sources=sources) == 0
    printed = capsys.readouterr().out
    assert "stage: extract: would run" in printed and "bpe_size: 8000" in printed
    assert not (tmp_path / "dest").exists()
    assert releases.main([*arguments, "--source-dir", "/nowhere"], corpus=tiny_multi30k()) == 1


@pytest.mark.usefixtures("in_process_fairseq")
def test_dry_run_says_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releases.write_tatoeba(tmp_path / "release", size=300)
    assert releases.run("tatoeba", tmp_path / "release", tmp_path / "dest") == 0
    words = (tmp_path / "release", tmp_path / "dest", "--dry-run")
    for flag, state in (("--joined-dictionary", "done"), ("--no-joined-dictionary", "would run")):
        capsys.readouterr()
        assert releases.run("tatoeba", *words, flag) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "stage: clean: done" in lines and f"stage: binarize: {state}" in lines
