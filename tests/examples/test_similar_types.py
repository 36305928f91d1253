"""The example of a criterion with a distribution of its own: by its definition, and as a user."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import REPOSITORY, TRAINING, reports, run_fairseq
from tests.criterions.conftest import Build
from tests.criterions.conftest import build as build  # a fixture
from tests.criterions.steps import step

FLAGS = ("--criterion", "similar_types_cross_entropy", "--label-smoothing", "0.3")


@pytest.mark.parametrize("flags", [(), ("--fused-projection",)])
def test_loss_and_gradients_are_those_of_the_definition(
    build: Build, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    if "similar_types" not in sys.modules:  # as --user-dir does; it can be registered once
        monkeypatch.syspath_prepend(REPOSITORY / "examples")
        importlib.import_module("similar_types")
    built = build(*FLAGS, "--similarity-temperature", "0.5", *flags)
    loss, _, log, gradients = step(built)
    built.model.zero_grad()
    logits = built.model(**built.batch["net_input"])[0].double()
    vectors = built.model.decoder.embed_tokens.weight.detach().double()
    cosine = F.cosine_similarity(vectors[built.batch["target"]].unsqueeze(-2), vectors, dim=-1)
    one_hot = F.one_hot(built.batch["target"], logits.size(-1))
    soft = 0.7 * one_hot + 0.3 * torch.softmax(cosine / 0.5, -1)
    counted = built.batch["target"].ne(built.criterion.padding_idx)
    expected = F.cross_entropy(logits[counted], soft[counted], reduction="sum")
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert float(log["reg_loss"]) > 0 and float(log["label_entropy"]) > 0
    parameters = [p.grad for p in built.model.parameters() if p.grad is not None]
    for found, exact in zip(gradients, parameters, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_trains_by_its_folder(toy_corpus: Path, tmp_path: Path) -> None:
    output = run_fairseq(
        "train",
        toy_corpus / "bin",
        *("--user-dir", REPOSITORY / "examples" / "similar_types", *FLAGS),
        *("--smoothing-updates", 6, "--save-dir", tmp_path, "--max-update", 8, *TRAINING),
    ).stdout
    assert "stage 2 begins" in output and reports(output, "valid")[0]["valid_num_updates"] == "8"
