"""The command that the closing table names: what train.sh makes of a prepared folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from labo_data import report
from labo_data.text import write_json

from tests.conftest import REPOSITORY

MANIFEST = {"source_lang": "de", "target_lang": "en", "corpus": "tiny"}


def test_next_command_keeps_fairseqs_options_last() -> None:
    manifest = MANIFEST | {"train_options": "--size iwslt", "subwords": "subword-nmt"}
    (line,) = report.next_lines(manifest, Path("a b"))
    assert line == (
        "next: scripts/train.sh --data 'a b' --save-dir runs/tiny --criterion labo_cross_entropy "
        "--size iwslt"
    )
    manifest |= {"train_options": "-- --arch x", "subwords": "sentencepiece"}
    line, hint = report.next_lines(manifest, Path("c"))
    assert line.endswith("--criterion labo_cross_entropy -- --arch x")
    assert "--post-process sentencepiece" in hint


@pytest.mark.parametrize(
    ("manifest", "expected", "absent"),
    [
        ({}, "--share-all-embeddings", "--share-decoder"),
        ({"joined_dictionary": True}, "--share-all-embeddings", "--share-decoder"),
        ({"joined_dictionary": False}, "--share-decoder-input-output-embed", "--share-all"),
    ],
)
def test_embeddings_follow_the_dictionaries(
    tmp_path: Path, manifest: dict[str, bool], expected: str, absent: str
) -> None:
    (tmp_path / "data" / "bin").mkdir(parents=True)
    write_json(tmp_path / "data" / "manifest.json", MANIFEST | manifest)
    # A Python that does not train.
    fake = tmp_path / "venv" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    fake.write_text(
        f'#!/bin/sh\n[ "$2" = fairseq_cli.train ] || exec {sys.executable} "$@"\n', encoding="utf-8"
    )
    fake.chmod(0o755)
    script = REPOSITORY / "scripts" / "train.sh"
    subprocess.run(
        [script, "--data", tmp_path / "data", "--save-dir", tmp_path / "run"],
        env=os.environ | {"VENV": str(tmp_path / "venv")},
        capture_output=True,
    )
    command = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert expected in command and absent not in command
