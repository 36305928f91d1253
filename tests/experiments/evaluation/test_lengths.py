"""How a subset fits a model: limits raised where positions are endless, lines named where not."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import lengths
from fairseq_labo.experiments.evaluation.lengths import Fit, fit, learned_positions

LEARNED = {f"{side}.embed_positions.weight": torch.zeros(52, 4) for side in ("encoder", "decoder")}


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fit]:
    """`fit` of a subset of lines of these (source, target) lengths."""

    def fitted(pairs: list[tuple[int, int]], state: dict[str, Any], *, skip: bool = False) -> Fit:
        sides = dict(zip(("de", "en"), zip(*pairs, strict=True), strict=True))
        monkeypatch.setattr(
            lengths, "read_lengths", lambda path: sides[path.name.removesuffix(".idx")[-2:]]
        )
        corpus: Any = SimpleNamespace(bin_dir=Path("bin"), languages=("de", "en"))
        return fit(state, corpus, "test", max_tokens=100, skip=skip)

    return fitted


def test_usual_lines_change_nothing(fitted: Callable[..., Fit]) -> None:
    found = fitted([(20, 30), (800, 1024)], {"model": {}})
    assert found == Fit((), {}, 1024) and found.words == ["--max-tokens", "1024"]
    assert fitted([(20, 30)], {"model": {}}).max_tokens == 100


def test_sinusoidal_positions_take_every_line(fitted: Callable[..., Fit]) -> None:
    found = fitted([(20, 30), (2000, 1500)], {"model": {}})
    # 1.2 * 2000 + 10 tokens, the end, and one: hypotheses are not cut earlier.
    assert found.limits == {"max_source_positions": 2000, "max_target_positions": 2411}
    assert found.skipped == () and found.max_tokens == 2000
    words = " ".join(found.words)
    assert "--max-source-positions 2000 --max-target-positions 2411 --model-overrides {" in words
    # Also where only its translation may be longer than what fairseq takes.
    longest = fitted([(900, 800)], {"model": {}}).limits
    assert longest == {"max_source_positions": 1024, "max_target_positions": 1091}
    # A model that was trained on short lines only.
    state = {"model": {}, "cfg": {"model": {"max_source_positions": 50}}}
    assert fitted([(60, 30)], state).limits["max_source_positions"] == 1024


def test_learned_positions_end(fitted: Callable[..., Fit]) -> None:
    assert learned_positions(LEARNED) == (50, 50)
    state = {"model": LEARNED, "cfg": {"model": {"max_source_positions": 50}}}
    pairs = [(9, 9), (51, 9), (50, 50), (9, 60)]
    with pytest.raises(UserError, match=r"found 2 longer.*1 \(51\), 3 \(60\); --skip-long"):
        fitted(pairs, state)
    found = fitted(pairs, state, skip=True)
    assert found.skipped == (1, 3) and "--skip-invalid-size-inputs-valid-test" in found.words
    assert found.kept(["a", "b", "c", "d"]) == ["a", "c"]
    with pytest.raises(UserError, match="found 1 longer"):
        fitted([(51, 51)], state, skip=True)  # nothing would be left


def test_different_numbers_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "read_lengths", lambda path: [1] * len(path.stem))
    corpus: Any = SimpleNamespace(bin_dir=Path("bin"), languages=("de", "eng"))
    with pytest.raises(UserError, match="as many source as target lines, found 14 and 15"):
        fit({"model": {}}, corpus, "test", max_tokens=9, skip=False)
