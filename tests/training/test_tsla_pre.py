"""TSLA-pre through fairseq-train: the teacher's part in training, and what it leaves behind."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fairseq import checkpoint_utils

from fairseq_labo.criterions.teacher import TeacherError
from tests.conftest import reports
from tests.criterions.conftest import Built
from tests.criterions.conftest import build as build  # the fixture
from tests.training.runs import TSLA, Run, Train, assert_same_parameters

pytestmark = pytest.mark.slow  # trainings

STAGES = ("--smoothing-updates", 6, "--max-update", 12, "--log-interval", 1)


def stage_1_step(built: Built) -> tuple[float, dict[str, Any], list[torch.Tensor]]:
    built.criterion.progress.num_updates = 0
    built.model.train()
    built.criterion.train()
    loss, _, log = built.criterion(built.model, built.batch)
    loss.backward()
    return loss.item(), log, [p.grad for p in built.model.parameters() if p.grad is not None]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("fused", [(), ("--fused-projection",)])
@pytest.mark.parametrize("stage", [("--smoothing-updates", 6), ()])  # (): word-level distillation
def test_stage_1_is_cross_entropy_with_the_mixed_labels(
    temperature: float,
    fused: tuple[str, ...],
    stage: tuple[Any, ...],
    build: Callable[..., Built],
    teacher: Path,
) -> None:
    """q = (1 − ε) e_y + ε softmax(s / T), computed here from fairseq's own loading of s."""
    flags = (*fused, *stage, "--teacher-path", teacher)
    built = build(*TSLA, *flags, "--teacher-temperature", temperature)
    loss, log, gradients = stage_1_step(built)

    (model,), _ = checkpoint_utils.load_model_ensemble([str(teacher)], task=built.task)
    model.eval()
    target = built.batch["target"]
    counted = target.ne(built.criterion.padding_idx)
    with torch.no_grad():
        s = model(**built.batch["net_input"])[0][counted]
    labels = torch.softmax(s / temperature, -1)
    built.model.zero_grad()
    z = built.model(**built.batch["net_input"])[0][counted]
    q = 0.8 * F.one_hot(target[counted], z.size(1)) + 0.2 * labels
    expected = F.cross_entropy(z, q, reduction="sum")
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    for found, parameter in zip(gradients, built.model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-5)
    assert log["smoothing"] == pytest.approx(0.2 * counted.sum().item())
    entropy = -(labels * labels.log()).sum().item()
    assert float(log["label_entropy"]) == pytest.approx(entropy, rel=1e-5)
    assert not any(p.requires_grad for p in built.criterion.teacher._model.parameters())


def test_teacher_is_in_stage_1_only_and_in_no_checkpoint(train: Train, teacher: Path) -> None:
    taught = train("taught", *TSLA, *STAGES, "--teacher-path", teacher)
    assert taught.logged("smoothing") == [0.2] * 6 + [0.0] * 6
    assert len(taught.logged("label_entropy")) == 6
    uniform = train("uniform", *TSLA, *STAGES)
    assert taught.logged("loss") != uniform.logged("loss")
    ours, theirs = taught.checkpoint(), uniform.checkpoint()
    assert ours.keys() == theirs.keys() and ours["criterion"] is None
    assert ours["model"].keys() == theirs["model"].keys()
    sizes = [
        run.save_dir.joinpath("checkpoint_last.pt").stat().st_size for run in (taught, uniform)
    ]
    assert abs(sizes[0] - sizes[1]) < 5000  # the path, not the model


def test_teacher_is_released_at_the_switch(build: Callable[..., Built], teacher: Path) -> None:
    built = build(*TSLA, "--smoothing-updates", 6, "--teacher-path", teacher)
    criterion = built.criterion
    assert not criterion.teacher.loaded and not list(criterion.parameters())
    stage_1_step(built)
    assert criterion.teacher.loaded and not criterion.state_dict()
    assert not criterion.teacher._model.training  # no dropout in it
    criterion.eval()
    assert criterion(built.model, built.batch)[2]["reg_ntokens"] > 0
    criterion.train()
    criterion.progress.num_updates = 6
    assert criterion(built.model, built.batch)[2]["smoothing"] == 0
    assert not criterion.teacher.loaded
    criterion.eval()
    assert criterion(built.model, built.batch)[2]["reg_ntokens"] == 0


def test_stage_2_and_validation_need_no_file(
    train: Train, teacher: Path, tmp_path: Path, toy_corpus: Path, fairseq: Callable[..., str]
) -> None:
    """Resumed past the switch, and by fairseq-validate, with the teacher gone."""
    mine = tmp_path / "mine.pt"
    shutil.copy(teacher, mine)
    flags = (*TSLA, *STAGES, "--teacher-path", mine)
    train("run", *flags, "--max-update", 8)
    mine.unlink()
    resumed = train("run", *flags)
    assert "teacher of stage 1" not in resumed.output
    whole = train("whole", *TSLA, *STAGES, "--teacher-path", teacher)
    assert_same_parameters(resumed, whole)
    validate = ("--task", "translation", "--max-tokens", 320, "--log-format", "json")
    path = resumed.save_dir / "checkpoint_last.pt"
    output = fairseq("validate", toy_corpus / "bin", "--path", path, *validate)
    loss = float(reports(output, "valid")[0]["valid_loss"])
    assert loss == pytest.approx(resumed.last("loss"), abs=2e-3)


def test_eval_bleu_translates_with_the_student(train: Train, teacher: Path) -> None:
    """fairseq's task would take the last model that it built, which the teacher must not be."""
    # The weight is so small that the student learns as if there were no teacher.
    bleu = ("--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_b": 12}')
    flags = (*TSLA, "--label-smoothing", 1e-9, "--smoothing-updates", 90, "--max-update", 3, *bleu)
    taught = train("taught", *flags, "--teacher-path", teacher)
    assert "teacher of stage 1" in taught.output
    alone = train("alone", *flags)
    assert taught.last("bleu") == alone.last("bleu") < 5
    master = train("teacher", *flags, "--finetune-from-model", teacher, "--lr", 1e-9)
    assert master.last("bleu") > 10  # or the test would show nothing


def test_error_stops_training_and_leaves_no_checkpoint(train: Train, tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"found no file at /nowhere/teacher\.pt"):
        train("run", *TSLA, *STAGES, "--teacher-path", "/nowhere/teacher.pt")
    assert not list(tmp_path.joinpath("run").glob("*.pt"))


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ((*TSLA, "--teacher-temperature", 2), "--teacher-temperature 2 needs a teacher"),
        ((*TSLA, "--teacher-path", "x", "--teacher-temperature", 0), "must be above 0 and finite"),
        ((*TSLA, "--teacher-path", "x", "--teacher-temperature", "inf"), "leave out"),
        ((*TSLA, "--teacher-path", "x", "--teacher-temperature", "nan"), "must be above 0"),
    ],
)
def test_refused_flags(flags: tuple[Any, ...], match: str, build: Callable[..., Built]) -> None:
    with pytest.raises(ValueError, match=match):
        build(*flags, "--smoothing-updates", 6)


def test_weight_with_a_teacher_is_epsilon(train: Train, teacher: Path) -> None:
    run: Run = train(
        "run",
        *(*TSLA, *STAGES, "--teacher-path", teacher, "--smoothing-schedule", "linear"),
    )
    expected = [0.2 * (1 - n / 6) for n in range(6)] + [0.0] * 6
    assert run.logged("smoothing") == pytest.approx(expected, abs=1e-5)
