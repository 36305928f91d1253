"""The commands and flags in README, docs and study files are those of today's parsers."""

import re
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from fairseq_labo.experiments.errors import UserError
from tests.documents import parsers, texts

STALE = (SystemExit, AssertionError, ImportError, UserError, ConfigCompositionException)
EXAMPLES = [
    pytest.param(command, id=f"{path.name}: {command}"[:100])
    for path in (*texts.PAGES, *texts.STUDIES)
    for command in texts.of_file(path)
]


def test_documents_have_commands() -> None:
    first = {re.split(r"[ /-]", example.values[0])[0] for example in EXAMPLES}
    assert len(EXAMPLES) > 80
    assert first >= {"labo", "scripts", "data", "fairseq", "python", "pip", "pytest", "make"}


@pytest.mark.parametrize("command", EXAMPLES)
def test_command_parses(command: str) -> None:
    parsers.check(command)


@pytest.mark.parametrize("page", texts.PAGES, ids=lambda page: page.name)
def test_flags_are_known(page: Path) -> None:
    parsers.check_flags(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "command",
    [
        "labo train --data d --save-dir s --label-smothing 0.1",
        "scripts/train.sh ... --label-smothing 0.1",
        "labo train --data d --save-dir s -- --update-freqq 2",
        "labo prepare iwslt14 --pair de-enn",
        "fairseq-train DATA --criterion labo_cross_entropy --labo-betta 4 ...",
        "fairseq-train DATA --criterion labo_crossentropy",
        "--criterion labo_cross_entropy --labo-beta 0",
        "fairseq-hydra-train --config-dir fairseq_labo/config --config-name translation_labo "
        "criterion.labo_betta=3",
        "python -m benchmarks.loss --devicee cpu",
        "python -m scripts.tables --chek",
        "python -m benchmarks.los",
        "scripts/test.sh --fastt",
        'pip install ".[al]"',
        "pytest tests --soakk 3",
        "make doc",
    ],
)
def test_a_stale_command_is_noticed(command: str) -> None:
    (found,) = texts.commands(f"text `{command}` text")
    with pytest.raises(STALE):
        parsers.check(found)


def test_a_stale_flag_in_a_sentence_is_noticed() -> None:
    parsers.check_flags("`--labo-beta` and `--label-prior`")
    with pytest.raises(AssertionError, match="--labo-betta: no parser knows it"):
        parsers.check_flags("| `--labo-betta` | β > 0 |")
