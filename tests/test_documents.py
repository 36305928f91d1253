"""The commands in README, docs and study files are commands that the parsers know."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from tests.conftest import REPOSITORY

DOCUMENTS = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted(REPOSITORY.glob("*/*.yaml")),
    REPOSITORY / "recipes" / "README.md",
    REPOSITORY / "data-prep" / "microworld" / "README.md",
]
FACES = {
    "scripts/train.sh": ["train"],
    "scripts/evaluate.sh": ["evaluate"],
    "scripts/compare.sh": ["compare"],
    "scripts/inspect_labels.sh": ["inspect"],
    "scripts/bench_training.sh": ["benchmark"],
    "scripts/demo.sh": ["demo"],
}


def commands(document: Path) -> Iterator[str]:
    """Lines of code blocks (or of a YAML file's comments), and code within the text."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    if document.suffix == ".yaml":
        lines = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    else:
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        lines += re.findall(r"`([^`\n]+)`", prose)
    for line in lines:
        found = re.match(r"(?:\$ |srun )?(labo [a-z].*|(?:scripts|data-prep)/\w[\w-]*\.sh.*)", line)
        if found:
            yield re.sub(r"\s+#\s.*", "", found[1])


def words_of(command: str) -> list[str] | None:
    """Words of `labo`; None for the scripts that are no faces of it."""
    first, *rest = shlex.split(re.sub(r"[|>&].*", "", command))
    rest = [word for word in rest if word != "--no-setup"]
    if first == "labo":
        return rest
    if first.startswith("data-prep/prepare-"):
        return ["prepare", first.removeprefix("data-prep/prepare-").removesuffix(".sh"), *rest]
    return [*FACES[first], *rest] if first in FACES else None


EXAMPLES = [
    pytest.param(command, id=f"{document.name}: {command}"[:100])
    for document in DOCUMENTS
    if document.exists()
    for command in dict.fromkeys(commands(document))
]


def test_documents_have_commands() -> None:
    assert len(EXAMPLES) > 20


@pytest.mark.parametrize("command", EXAMPLES)
def test_command_parses(command: str) -> None:
    words = words_of(command)
    if words is None:
        assert (REPOSITORY / command.split()[0]).is_file()
    elif re.search(r"\.\.\.|…", command) or len(words) == 1:
        known = cli.parser_of(words[0]).format_help()
        for flag in re.findall(r"(?<= )--[a-z][a-z-]*", command.partition(" -- ")[0]):
            assert flag in known, flag
    else:
        numbered = [re.sub(r"^[NRAXK]$", "1", word) for word in words]
        cli.parse(numbered)


def test_a_stale_flag_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        test_command_parses("labo train --data d --save-dir s --label-smothing 0.1")
    assert "--label-smothing" in capsys.readouterr().err
    with pytest.raises(AssertionError):
        test_command_parses("scripts/train.sh ... --label-smothing 0.1")
