"""Scoring: hypotheses in order and complete, BLEU as sacreBLEU computes it."""

import subprocess
import sys
from pathlib import Path

import pytest
import score

from fairseq_labo.experiments.errors import UserError
from tests.conftest import REPOSITORY

GENERATED = """\
S-1\tein Hund
T-1\ta dog
H-1\t-0.5\tthe dog &apos;s house
D-1\t-0.5\tthe dog &apos;s house
P-1\t-0.5 -0.5
D-0\t-0.25\ta tree .
Generate test with beam=5: BLEU4 = 1.00
"""


def test_hypotheses_come_in_the_order_of_the_test_set(tmp_path: Path) -> None:
    log = tmp_path / "generate-test.txt"
    log.write_text(GENERATED, encoding="utf-8")
    assert score.read_hypotheses(log, expected=2) == ["a tree .", "the dog &apos;s house"]


def test_empty_hypothesis_keeps_its_line(tmp_path: Path) -> None:
    log = tmp_path / "generate-test.txt"
    log.write_text("D-0\t-1.0\t\nD-1\t-1.0\tdog\n", encoding="utf-8")
    assert score.read_hypotheses(log, expected=2) == ["", "dog"]


@pytest.mark.parametrize(
    ("expected", "match"), [(3, "found 2, without number 2"), (1, "0 to 0, found 2")]
)
def test_missing_or_foreign_hypotheses(tmp_path: Path, expected: int, match: str) -> None:
    log = tmp_path / "generate-test.txt"
    log.write_text(GENERATED, encoding="utf-8")
    with pytest.raises(UserError, match=match):
        score.read_hypotheses(log, expected=expected)


def test_bleu_by_hand() -> None:
    """7 of 8 words, 5 of 6, 3 of 4 and 1 of 2 n-grams; nothing is too short."""
    hypotheses = ["The dog sees a", "Two old red houses"]
    references = ["The dog sees a", "Two old red Houses"]
    # 1-grams 7/8, 2-grams 5/6, 3-grams 3/4, 4-grams 1/2; cased, so "houses" is wrong.
    expected = 100 * (7 / 8 * 5 / 6 * 3 / 4 * 1 / 2) ** 0.25
    found = score.score(hypotheses, references)
    assert found["bleu"]["score"] == pytest.approx(expected, abs=0.005)
    assert found["bleu"]["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|")
    assert "nc:6" in found["chrf"]["signature"]


def test_nll_is_read_under_either_name(tmp_path: Path) -> None:
    log = tmp_path / "validate.log"
    line = "2026-01-01 00:00:00 | INFO | {} | {}\n"
    config = line.format("fairseq_cli.validate", "{'_name': None}")
    smoothed = line.format("test", '{"test_loss": "3.5", "test_nll_loss": "2.25"}')
    log.write_text(config + smoothed, encoding="utf-8")
    assert score.read_nll(log, subset="test") == 2.25
    log.write_text(config + line.format("test", '{"test_loss": "2.5"}'), encoding="utf-8")
    assert score.read_nll(log, subset="test") == 2.5
    with pytest.raises(UserError, match="report of valid, found none"):
        score.read_nll(log, subset="valid")


def test_errors_have_no_traceback(tmp_path: Path, toy_corpus: Path) -> None:
    log = tmp_path / "generate-test.txt"
    log.write_text(GENERATED, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, REPOSITORY / "scripts" / "score.py", "--generated", log),
            *("--data", toy_corpus, "--checkpoint", "none.pt", "--output", tmp_path),
        ],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'data-prep' / 'microworld'}"},
    )
    assert done.returncode == 1
    assert "expected hypotheses 0 to 76, found 2" in done.stderr
    assert "Traceback" not in done.stderr
