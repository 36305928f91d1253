"""The command that the closing table names: what train.sh makes of a prepared folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import summary as report
from fairseq_labo.experiments.files import write_json
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
    done = subprocess.run(
        [
            *(REPOSITORY / "scripts" / "train.sh", "--data", tmp_path / "data", "--dry-run"),
            *("--save-dir", tmp_path / "run"),
        ],
        env=os.environ | {"VENV": sys.prefix},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    command = done.stdout + done.stderr
    assert expected in command and absent not in command
