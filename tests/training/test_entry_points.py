"""What our checkpoints, and fairseq's own, can be used for."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import TRAINING, reports
from tests.training.runs import LABO, TSLA, Run, Train, fairseq_train

pytestmark = pytest.mark.slow  # trainings

Fairseq = Callable[..., str]


@pytest.fixture(scope="module")
def trained(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    flags = ("--smoothing-updates", 40, "--max-epoch", 3)
    return {
        name: fairseq_train(
            toy_corpus / "bin", tmp_path_factory.mktemp(name), *TRAINING, *criterion, *flags
        )
        for name, criterion in (("labo", LABO), ("tsla", TSLA))
    }


@pytest.mark.parametrize("name", ["labo", "tsla"])
def test_validate_gives_the_loss_of_training(
    name: str, trained: dict[str, Run], toy_corpus: Path, fairseq: Fairseq
) -> None:
    run = trained[name]
    output = fairseq(
        "validate",
        *(toy_corpus / "bin", "--path", run.save_dir / "checkpoint_last.pt"),
        *("--task", "translation", "--max-tokens", 320, "--log-format", "json"),
    )
    report = reports(output, "valid")[0]
    for key in ("loss", "nll_loss", "reg_loss", "label_entropy"):
        assert float(report[f"valid_{key}"]) == pytest.approx(run.last(key), abs=2e-3), key


def hypotheses(output: str) -> list[str]:
    return sorted(line for line in output.splitlines() if line.startswith("H-"))


@pytest.mark.parametrize("name", ["labo", "tsla"])
def test_generate_and_interactive(
    name: str, trained: dict[str, Run], toy_corpus: Path, fairseq: Fairseq, tmp_path: Path
) -> None:
    common = (toy_corpus / "bin", "--path", trained[name].save_dir / "checkpoint_best.pt")
    generated = fairseq("generate", *common, "--beam", 2, "--max-len-b", 15)
    assert len(hypotheses(generated)) == 72  # of 77: fairseq leaves out the remainder of 8
    all_of_them = ("--remove-bpe", "--required-batch-size-multiple", 1)
    generated = fairseq("generate", *common, "--beam", 2, "--max-len-b", 15, *all_of_them)
    assert len(hypotheses(generated)) == 77 and "@@" not in generated
    (tmp_path / "input.de").write_text("ein Hund hat ein Haus\n", encoding="utf-8")
    answered = fairseq("interactive", *common, "--input", tmp_path / "input.de", "--max-len-b", 15)
    assert len(hypotheses(answered)) == 1


def test_generate_in_plain_fairseq(
    trained: dict[str, Run], toy_corpus: Path, fairseq: Fairseq
) -> None:
    """Without the plugin: the same translations, once torch's safe loader is out of the way.

    Generation builds no criterion. The loader refuses any of fairseq's checkpoints, and is
    switched off here as a user would who trusts his own file.
    """
    arguments = [toy_corpus / "bin", "--path", trained["labo"].save_dir / "checkpoint_last.pt"]
    command = [sys.executable, "-m", "fairseq_cli.generate", *map(str, arguments)]
    done = subprocess.run(
        [*command, "--beam", "2", "--max-len-b", "15", "--cpu"],
        env={**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr[-4000:]
    expected = fairseq("generate", *arguments, "--beam", 2, "--max-len-b", 15)
    assert hypotheses(done.stdout) == hypotheses(expected) != []


SMOOTHED = ("--criterion", "label_smoothed_cross_entropy", "--label-smoothing", 0.2)


@pytest.fixture(scope="session")
def smoothed(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("smoothed")
    return fairseq_train(toy_corpus / "bin", folder, *TRAINING, *SMOOTHED, "--max-update", 20)


@pytest.mark.parametrize("criterion", [LABO, TSLA])
def test_finetune_from_a_label_smoothed_model(
    criterion: tuple[str, ...], smoothed: Run, train: Train
) -> None:
    """No further flag: fairseq takes the parameters only, and counts from 0."""
    source = smoothed.save_dir / "checkpoint_last.pt"
    run = train(
        "run",
        *(*criterion, "--smoothing-updates", 3, "--max-update", 6, "--log-interval", 1),
        *("--finetune-from-model", source),
    )
    assert [weight > 0 for weight in run.logged("smoothing")] == [True] * 3 + [False] * 3
    # It goes on from the level that was reached.
    assert run.logged("nll_loss")[0] == pytest.approx(smoothed.last("nll_loss"), abs=0.3)
    assert run.announcements() == ["stage 2 begins: one-hot targets from epoch 1, after 3 updates"]


@pytest.mark.parametrize("criterion", [LABO, TSLA])
def test_restore_from_a_label_smoothed_run(
    criterion: tuple[str, ...], smoothed: Run, train: Train
) -> None:
    """With --reset-optimizer, the one flag that fairseq asks for: updates count from 0."""
    source = smoothed.save_dir / "checkpoint_last.pt"
    flags = (*criterion, "--smoothing-updates", 3, "--max-update", 6, "--log-interval", 1)
    flags = (*flags, "--restore-file", source)
    with pytest.raises(AssertionError, match="please reset the optimizer"):
        train("refused", *flags)
    run = train("run", *flags, "--reset-optimizer")
    assert [weight > 0 for weight in run.logged("smoothing")] == [True] * 3 + [False] * 3
    assert run.logged("nll_loss")[0] == pytest.approx(smoothed.last("nll_loss"), abs=0.3)


def test_label_smoothing_can_be_resumed_as_tsla_with_the_same_update(
    smoothed: Run, train: Train
) -> None:
    """Stage 1 of TSLA is fairseq's label smoothing: the next update is the same, too."""
    source = smoothed.save_dir / "checkpoint_last.pt"
    sgd = ("--optimizer", "sgd", "--lr", 0.2, "--reset-optimizer", "--restore-file", source)
    sgd = (*sgd, "--max-update", 3, "--log-interval", 1)
    ours = train("ours", *TSLA, "--smoothing-updates", 3, *sgd)
    theirs = train("theirs", *SMOOTHED, *sgd)
    assert ours.logged("loss") == pytest.approx(theirs.logged("loss"), abs=2e-3)
    for name, tensor in theirs.parameters().items():
        torch.testing.assert_close(ours.parameters()[name], tensor, rtol=1e-4, atol=2e-6)
