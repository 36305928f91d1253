"""COMET: only from a model on this machine; its score beside the others'."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import comet
from fairseq_labo.experiments.evaluation.bleu import Texts


def test_needs_the_package(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected the package unbabel-comet, found none"):
        comet.check_comet(tmp_path / "model.ckpt")


def test_needs_a_local_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comet.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(UserError, match="nothing is downloaded here"):
        comet.check_comet(tmp_path / "model.ckpt")


def test_scores_sources_hypotheses_and_references(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def predict(samples: list[dict[str, str]], *, gpus: int) -> SimpleNamespace:
        seen.extend([samples, gpus])
        return SimpleNamespace(system_score=0.81239)

    package = SimpleNamespace(load_from_checkpoint=lambda path: SimpleNamespace(predict=predict))
    monkeypatch.setitem(sys.modules, "comet", package)
    monkeypatch.setattr(comet.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(comet.importlib.metadata, "version", lambda name: "2.2")
    model = tmp_path / "wmt22.ckpt"
    model.touch()
    texts = Texts(["a dog"], ["the dog"], ["x"], ["y"])
    found = comet.score_comet(model, texts, sources=["ein Hund"], cpu=True)
    monkeypatch.delattr(package, "load_from_checkpoint")
    with pytest.raises(UserError, match=r"expected a model that COMET loads .* AttributeError"):
        comet.score_comet(model, texts, sources=["ein Hund"], cpu=True)
    assert seen == [[{"src": "ein Hund", "mt": "a dog", "ref": "the dog"}], 0]
    assert found["score"] == 81.24 and found["signature"] == "wmt22|version:2.2"
