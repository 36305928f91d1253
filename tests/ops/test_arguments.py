"""What the functions refuse, with the reason."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from fairseq_labo.ops import labo_linear_loss, labo_loss, labo_targets


def loss(**changes: Any) -> torch.Tensor:
    arguments: dict[str, Any] = {
        "logits": torch.randn(3, 5),
        "target": torch.tensor([0, 4, 2]),
        "label_smoothing": 0.1,
        "beta": 2.0,
    } | changes
    return labo_loss(arguments.pop("logits"), arguments.pop("target"), **arguments)


@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, math.nan, math.inf])
def test_label_smoothing_outside_its_range(value: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
        loss(label_smoothing=value)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, -math.inf])
def test_beta_outside_its_range(value: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        loss(beta=value)
    with pytest.raises(ValueError, match="must be above 0"):
        labo_targets(torch.randn(2, 3), beta=value)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"reduction": "avg"}, ValueError, "none, sum, mean"),
        ({"impl": "cuda"}, ValueError, "auto, reference, torch, triton"),
        ({"logits": torch.randn(3, 5, 2)}, ValueError, r"found shape \(3, 5, 2\)"),
        ({"logits": torch.randn(3, 1)}, ValueError, "at least 2 entries"),
        ({"logits": torch.ones(3, 5, dtype=torch.long)}, TypeError, "logits must be floating"),
        ({"logits": torch.ones(3, 5).to(torch.float8_e5m2)}, TypeError, "16 bits or more, found"),
        ({"logits": torch.ones(3, 5).to_sparse()}, TypeError, "logits must be a dense tensor"),
        ({"logits": torch.ones(3, 5, device="meta")}, TypeError, "tensor on the device meta"),
        ({"teacher_logits": torch.eye(5)[:3].to_sparse()}, TypeError, "teacher_logits must be a d"),
        ({"beta": 10**400}, ValueError, "beta must be a number of 64 bits, found a larger one"),
        ({"ignore_index": 2**70}, ValueError, "ignore_index must be a number of 64 bits"),
        ({"target": torch.tensor([0, 1])}, ValueError, r"\[3\]"),
        ({"target": torch.tensor([[0], [1], [2]])}, ValueError, r"\[3\]"),
        ({"target": torch.tensor([0.0, 1.0, 2.0])}, TypeError, "vocabulary indices"),
        ({"target": torch.tensor([0, 5, 2])}, IndexError, r"target 5 .*\[0, 5\)"),
        ({"target": torch.tensor([0, -1, 2])}, IndexError, "target -1"),
    ],
)
def test_refused(changes: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        loss(**changes)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"logits": np.zeros((3, 5))}, "logits must be a tensor, found ndarray"),
        ({"logits": (torch.zeros(3, 5),)}, "logits must be a tensor, found tuple: .*[.]logits"),
        ({"target": [0, 4, 2]}, "target must be a tensor, found list"),
        ({"teacher_logits": np.zeros((3, 5))}, "teacher_logits must be a tensor, found ndarray"),
        ({"label_smoothing": None}, "label_smoothing must be a number, found None"),
        ({"label_smoothing": "much"}, "label_smoothing must be a number, found 'much'"),
        ({"beta": b"2"}, "beta must be a number, found b'2'"),
        ({"label_smoothing": "0.1"}, "label_smoothing must be a number, found '0.1'"),
        ({"beta": torch.ones(2)}, "beta must be a number, found tensor"),
        ({"ignore_index": None}, "ignore_index must be a whole number, found None; -100"),
        ({"ignore_index": 1.5}, "ignore_index must be a whole number, found 1.5"),
    ],
)  # fmt: skip
def test_another_kind_is_refused_by_name(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(TypeError, match=match):
        loss(**changes)


@pytest.mark.parametrize("index", [-(2**63) - 1, 2**63])
def test_an_index_beyond_64_bits(index: int) -> None:
    with pytest.raises(ValueError, match="ignore_index must be a number of 64 bits"):
        loss(ignore_index=index)
    loss(ignore_index=index + 1 if index < 0 else index - 1)


@pytest.mark.parametrize("name", ["hidden", "weight", "bias"])
def test_a_layer_without_numbers_is_refused_by_name(name: str) -> None:
    shapes = {"hidden": (3, 2), "weight": (5, 2), "bias": (5,)}
    layer = {each: torch.ones(shape) for each, shape in shapes.items()}
    layer[name] = layer[name].to("meta")
    with pytest.raises(TypeError, match=f"{name} must hold numbers, found a tensor on the device"):
        labo_linear_loss(**layer, target=torch.tensor([0, 4, 2]), label_smoothing=0.1, beta=2.0)


@pytest.mark.parametrize("name", ["hidden", "weight", "bias"])
def test_another_kind_of_layer_is_refused_by_name(name: str) -> None:
    parts: dict[str, Any] = {"hidden": torch.randn(3, 2), "weight": torch.randn(5, 2), name: 0.0}
    with pytest.raises(TypeError, match=f"{name} must be a tensor, found float"):
        labo_linear_loss(**parts, target=torch.tensor([0, 4, 2]), label_smoothing=0.1, beta=2.0)


def test_teacher_of_another_vocabulary_is_refused() -> None:
    logits, teacher = torch.randn(2, 9, 23)
    target = torch.zeros(9, dtype=torch.long)
    with pytest.raises(ValueError, match=r"must be \[9, 23\].*found \[9, 20\]"):
        labo_loss(logits, target, label_smoothing=0.1, beta=1.0, teacher_logits=teacher[:, :20])


@pytest.mark.parametrize("option", ["statistics", "argmax", "ignored_index"])
def test_option_of_another_function_is_refused(option: str) -> None:
    with pytest.raises(TypeError, match=option):
        loss(**{option: True})
    hidden, target = torch.randn(3, 2), torch.tensor([0, 4, 2])
    options: dict[str, Any] = {"label_smoothing": 0.1, "beta": 2.0, option: True}
    with pytest.raises(TypeError, match=option):
        labo_linear_loss(hidden, torch.randn(5, 2), target, **options)


@pytest.mark.parametrize("left_out", ["label_smoothing", "beta"])
def test_alpha_and_beta_have_no_default(left_out: str) -> None:
    options: dict[str, Any] = {"label_smoothing": 0.1, "beta": 2.0}
    del options[left_out]
    target = torch.tensor([0])
    with pytest.raises(TypeError, match=rf"labo_loss\(\) missing .*'{left_out}'"):
        labo_loss(torch.randn(1, 5), target, **options)
    with pytest.raises(TypeError, match=rf"labo_linear_loss\(\) missing .*'{left_out}'"):
        labo_linear_loss(torch.randn(1, 2), torch.randn(5, 2), target, **options)
