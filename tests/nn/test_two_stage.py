"""`TwoStageSmoothing`: the switch, and a resume on either side of it."""

import io
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fairseq_labo.nn import LaboLoss, TwoStageSmoothing

STAGE, STEPS = 4, 9


def two_stage(steps: int = STAGE, **options: Any) -> TwoStageSmoothing:
    settings = {"label_smoothing": 0.3, "beta": math.inf, **options}
    return TwoStageSmoothing(LaboLoss(**settings), first_stage_steps=steps)


def test_the_switch() -> None:
    """The first STAGE steps are label smoothing, the rest cross entropy, in value and gradient."""
    criterion = two_stage()
    logits = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, 4, 0])
    for done in range(STEPS):
        assert criterion.steps_done == done
        assert criterion.in_first_stage == (done < STAGE)
        expected = nn.CrossEntropyLoss(label_smoothing=0.3 if done < STAGE else 0.0)
        torch.testing.assert_close(criterion(logits, target), expected(logits, target))
        torch.testing.assert_close(
            *(torch.autograd.grad(loss(logits, target), logits) for loss in (criterion, expected))
        )
        criterion.step()


def test_another_loss_is_refused_before_the_first_stage() -> None:
    """It failed at the switch, epochs later."""
    another: Any = nn.CrossEntropyLoss()
    with pytest.raises(TypeError, match=r"must be a LaboLoss, found CrossEntropyLoss: .* first"):
        TwoStageSmoothing(another, first_stage_steps=2)


def test_no_first_stage_is_cross_entropy() -> None:
    logits, target = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    expected = nn.functional.cross_entropy(logits, target)
    torch.testing.assert_close(two_stage(0)(logits, target), expected)


def test_teacher_in_the_first_stage_only() -> None:
    """With β = inf, as in the docstring: a teacher was ignored then, for β was its temperature."""
    criterion = two_stage(1)
    logits, teacher, target = *torch.randn(2, 2, 5), torch.tensor([1, 2])
    q = 0.7 * nn.functional.one_hot(target, 5) + 0.3 * teacher.softmax(1)
    taught = nn.functional.cross_entropy(logits, q)
    torch.testing.assert_close(criterion(logits, target, teacher), taught)
    criterion.step()
    plain = nn.functional.cross_entropy(logits, target)
    torch.testing.assert_close(criterion(logits, target, teacher), plain)


class Training:
    """A tiny training loop whose whole state is in one state_dict."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.parts = nn.ModuleDict({"model": nn.Linear(3, 5), "criterion": two_stage(beta=2.0)})
        self.optimizer = torch.optim.SGD(self.parts["model"].parameters(), lr=0.5, momentum=0.9)

    def run(self, steps: int) -> None:
        criterion = self.parts["criterion"]
        assert isinstance(criterion, TwoStageSmoothing)
        for _ in range(steps):
            generator = torch.Generator().manual_seed(criterion.steps_done)
            inputs = torch.randn(8, 3, generator=generator)
            target = torch.randint(0, 5, (8,), generator=generator)
            self.optimizer.zero_grad()
            criterion(self.parts["model"](inputs), target).backward()
            self.optimizer.step()
            criterion.step()

    def resumed(self) -> "Training":
        """Saved to a file's bytes, and loaded by torch's safe loader into a new one."""
        buffer = io.BytesIO()
        torch.save([self.parts.state_dict(), self.optimizer.state_dict()], buffer)
        buffer.seek(0)
        parts, optimizer = torch.load(buffer, weights_only=True)
        other = Training()
        other.parts.load_state_dict(parts)
        other.optimizer.load_state_dict(optimizer)
        return other


@pytest.mark.parametrize("stop", [0, STAGE - 1, STAGE, STAGE + 1])
def test_resume_is_bit_identical(stop: int) -> None:
    whole, part = Training(), Training()
    whole.run(STEPS)
    part.run(stop)
    part = part.resumed()
    part.run(STEPS - stop)
    for name, tensor in whole.parts["model"].state_dict().items():
        assert torch.equal(tensor, part.parts["model"].state_dict()[name]), name


def test_the_count_can_be_assigned() -> None:
    """For loops that know their epoch or update."""
    criterion = two_stage()
    criterion.steps_done = STAGE
    assert not criterion.in_first_stage
    assert criterion.state_dict() == {"_extra_state": torch.tensor(STAGE)}
    assert "first_stage_steps=4, steps_done=4" in repr(criterion)
    criterion.steps_done = np.int64(2)  # type: ignore[assignment]
    assert criterion.state_dict() == {"_extra_state": torch.tensor(2)}


def test_the_state_dict_holds_tensors_alone() -> None:
    """Moving averages of a model's state clone whatever is in it."""
    state = {name: value.clone() for name, value in two_stage().state_dict().items()}
    two_stage().load_state_dict(state)
    before = two_stage()
    with torch.device("meta"):
        assert not two_stage().state_dict()["_extra_state"].is_meta
    before.load_state_dict({"_extra_state": {"steps_done": 3}})  # as it was kept once
    assert before.steps_done == 3
    with pytest.raises(ValueError, match="steps_done must be a whole number"):
        before.load_state_dict({"_extra_state": torch.tensor(2.7)})


@pytest.mark.slow
def test_a_compiled_loop_compiles_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._dynamo.config, "error_on_recompile", True)
    criterion = two_stage()
    step = torch.compile(lambda z, y: criterion(z * 2.0, y), backend="eager")
    for _ in range(STEPS):
        step(torch.zeros(2, 5), torch.tensor([1, 2]))
        criterion.step()


def test_a_checkpoint_without_the_count_is_refused() -> None:
    with pytest.raises(RuntimeError, match="_extra_state"):
        two_stage().load_state_dict({})


@pytest.mark.parametrize("value", [-1, 1.5, True, "4"])
def test_refused_counts(value: Any) -> None:
    with pytest.raises(ValueError, match="first_stage_steps must be a whole number"):
        two_stage(value)
    with pytest.raises(ValueError, match="steps_done must be a whole number"):
        two_stage().steps_done = value


@pytest.mark.slow
def test_works_without_fairseq(tmp_path: Path) -> None:
    """Where fairseq cannot be found, `fairseq_labo.nn` works all the same."""
    program = """
import importlib.util, sys
sys.modules["fairseq"] = None
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "fairseq" else found(name, *rest)
import torch
from fairseq_labo.nn import LaboLoss, TwoStageSmoothing
criterion = TwoStageSmoothing(LaboLoss(), first_stage_steps=1)
print(float(criterion(torch.zeros(2, 8), torch.tensor([1, 2]))))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(math.log(8))
