"""What stands in the documents: blocks of code, commands, flags."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "recipes" / "README.md",
    REPOSITORY / "data-prep" / "microworld" / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
STUDIES = sorted(REPOSITORY.glob("*/*.yaml"))  # with commands in their comments
BLOCK = re.compile(r"^(<!-- run -->\n)?```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"(?:\$ |srun |[A-Z_]+=\S+ )*((?:labo|fairseq-[a-z-]+|pytest|pip install|make) \S.*|"
    r"--criterion \S.*|python (?:-m )?[a-z].*|(?:scripts|data-prep)/\w[\w-]*\.sh.*)"
)
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def blocks(text: str) -> Iterator[tuple[bool, str, str]]:
    """Whether a block of code is marked to be run, its language, its lines."""
    for marked, language, code in BLOCK.findall(text):
        yield bool(marked), language, code


def commands(text: str, *, comments: bool = False) -> list[str]:
    """Lines of code blocks (or of a YAML file's comments), and code within the text."""
    text = text.replace("\\\n", " ")
    if comments:
        lines = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    else:
        lines = [line for _, _, code in blocks(text) for line in code.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    found = [match[1] for line in lines if (match := COMMAND.fullmatch(line.strip()))]
    return list(dict.fromkeys(re.sub(r"\s+#\s.*", "", command) for command in found))


def of_file(path: Path) -> list[str]:
    """The commands of a file."""
    return commands(path.read_text(encoding="utf-8"), comments=path.suffix == ".yaml")


def words(path: Path) -> str:
    """A text with one space between its words, wherever its lines end."""
    return " ".join(path.read_text(encoding="utf-8").split())
