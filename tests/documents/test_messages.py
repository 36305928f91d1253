"""The messages of the page on troubleshooting are messages of today's code, ours or a library's."""

import ast
import functools
import re
from pathlib import Path

import fairseq
import fairseq_cli
import hydra
import pytest
import torch

from tests.conftest import REPOSITORY, USER_DIR

PAGE = REPOSITORY / "docs" / "troubleshooting.md"
MESSAGES = re.findall(r"^\| `([^`]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
PYTHON_S_OWN = {"KeyError: None", "'NoneType' object has no attribute 'xla_device'"}
VARIABLE = re.compile(r"…|\bN\b|\d+")
TELLING = 15  # characters of a part of a message that is unlikely to stand in another


def literals(path: Path) -> list[str]:
    """Texts of a source file; of an f-string the parts between what is filled in."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [
        node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is str
    ]


@functools.cache
def sources() -> list[str]:
    """Texts of this package, fairseq, its commands, hydra, torch's loader; remedies of training."""
    folders = [USER_DIR, *(Path(each.__file__).parent for each in (fairseq, fairseq_cli, hydra))]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    files.append(Path(torch.__file__).parent / "serialization.py")
    remedies = USER_DIR / "experiments" / "training" / "remedies.toml"
    return [*(text for path in files for text in literals(path)), remedies.read_text("utf-8")]


def is_known(message: str) -> bool:
    """Whether a telling part of the message stands in a source, or the other way round."""
    parts = [part.strip() for part in VARIABLE.split(message)]
    longest = max(parts, key=len)
    return message in PYTHON_S_OWN or any(
        longest in text or (len(text.strip(" :;,.")) >= TELLING and text.strip(" :;,.") in message)
        for text in sources()
    )


@pytest.mark.slow
@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_one_of_today_s(message: str) -> None:
    assert is_known(message)


@pytest.mark.slow
def test_a_stale_message_is_noticed() -> None:
    assert len(MESSAGES) > 20
    assert not is_known("expected hypotheses 0 to N, found fewer")
