"""What `labo_loss` accepts like cross entropy does, and what it refuses."""

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from fairseq_labo.ops import labo_loss, labo_targets

IMPLEMENTATIONS = ["reference", "torch"]


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
        ({"logits": torch.randn(3, 1)}, ValueError, "at least 2 types"),
        ({"logits": torch.ones(3, 5, dtype=torch.long)}, TypeError, "floating point"),
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


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_int32_targets_and_non_contiguous_logits(impl: str) -> None:
    logits = torch.randn(5, 3).T
    target = torch.tensor([0, 4, 2])
    expected = loss(logits=logits.contiguous(), target=target, impl=impl)
    torch.testing.assert_close(loss(logits=logits, target=target.int(), impl=impl), expected)
    assert not logits.is_contiguous()


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_logits_used_twice_accumulate(impl: str) -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    once = torch.autograd.grad(loss(logits=logits, impl=impl), logits)[0]
    twice = loss(logits=logits, impl=impl) + loss(logits=logits, impl=impl)
    torch.testing.assert_close(torch.autograd.grad(twice, logits)[0], 2 * once)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_half_precision_logits_give_a_float32_loss(impl: str) -> None:
    assert loss(logits=torch.randn(3, 5).half(), impl=impl).dtype == torch.float32
    assert loss(logits=torch.randn(3, 5).double(), impl=impl).dtype == torch.float64


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_autocast_does_not_change_the_arithmetic(impl: str) -> None:
    logits = torch.randn(3, 5)
    expected = loss(logits=logits, impl=impl)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(logits=logits, impl=impl)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_no_grad(impl: str) -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    with torch.no_grad():
        assert not loss(logits=logits, impl=impl).requires_grad


def test_mean_is_over_the_tokens_that_count() -> None:
    logits, target = torch.randn(3, 5), torch.tensor([0, -100, 2])
    expected = F.cross_entropy(logits, target)
    torch.testing.assert_close(loss(logits=logits, target=target, label_smoothing=0.0), expected)


def test_ops_work_without_fairseq() -> None:
    """With fairseq hidden: the loss works, and the plugin says how to install fairseq."""
    program = """
import sys
sys.modules["fairseq"] = None
import torch, warnings
warnings.simplefilter("error")
from fairseq_labo.ops import labo_loss
print(labo_loss(torch.zeros(1, 2), torch.tensor([0]), label_smoothing=0.1, beta=2.0).item())
try:
    import fairseq_labo.criterions.labo_cross_entropy
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    first, *rest = done.stdout.splitlines()
    assert float(first) == pytest.approx(math.log(2))
    assert "pip install --no-build-isolation 'fairseq-fixed==0.12.3.1'" in "\n".join(rest)


def test_broken_fairseq_is_told_apart_from_a_missing_one(tmp_path: Any) -> None:
    """fairseq 0.12.2 raises ValueError when it is imported on Python 3.11."""
    package = tmp_path / "fairseq"
    package.mkdir()
    (package / "__init__.py").write_text("raise ValueError('mutable default')\n")
    program = f"""
import sys, warnings
sys.path.insert(0, {str(tmp_path)!r})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fairseq_labo.ops
print(*[w.message for w in caught if "fairseq" in str(w.message)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "ValueError: mutable default" in done.stdout
    assert "pip uninstall -y fairseq && " in done.stdout
