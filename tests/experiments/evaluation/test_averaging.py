"""Averaged checkpoints: the arithmetic mean exactly, streamed, of matching models only."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.averaging import average_checkpoints, newest_checkpoints
from tests.conftest import REPOSITORY


def save(path: Path, model: dict[str, torch.Tensor], **more: Any) -> Path:
    torch.save({"model": model, "cfg": {}, "last_optimizer_state": {"m": 1}, **more}, path)
    return path


def exact_mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The mean in rational numbers, rounded once to float32."""
    flat = zip(*(tensor.flatten().tolist() for tensor in tensors), strict=True)
    means = [sum(map(Fraction, values), Fraction(0)) / len(tensors) for values in flat]
    rounded = numpy.array([float(mean) for mean in means]).astype(numpy.float32)
    return torch.from_numpy(rounded).view_as(tensors[0])


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_equals_the_mean_in_rational_numbers(count: int, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(count)
    weights = [torch.randn(17, 5, generator=generator) * 3 for _ in range(count)]
    paths = [save(tmp_path / f"{n}.pt", {"w": weight}) for n, weight in enumerate(weights)]
    average_checkpoints(paths, tmp_path / "mean.pt")
    averaged = torch.load(tmp_path / "mean.pt", weights_only=True)
    assert torch.equal(averaged["model"]["w"], exact_mean(weights))
    assert averaged["model"]["w"].dtype == torch.float32


def test_more_than_a_piece_in_any_order_of_strides(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(9)
    weights = [torch.randn(300, 257, generator=generator).t() for _ in range(2)]
    paths = [save(tmp_path / f"{n}.pt", {"w": weight}) for n, weight in enumerate(weights)]
    average_checkpoints(paths, tmp_path / "mean.pt")
    mean = torch.load(tmp_path / "mean.pt", weights_only=True)["model"]["w"]
    assert torch.equal(mean, ((weights[0].double() + weights[1].double()) / 2).float())


def test_half_precision_is_summed_in_double(tmp_path: Path) -> None:
    values = [2048.0, 1.0, 1.0, 2.0]  # in float16 2048 + 1 = 2048
    paths = [
        save(tmp_path / f"{n}.pt", {"w": torch.tensor([value], dtype=torch.float16)})
        for n, value in enumerate(values)
    ]
    average_checkpoints(paths, tmp_path / "mean.pt")
    mean = torch.load(tmp_path / "mean.pt", weights_only=True)["model"]["w"]
    assert mean.dtype == torch.float16 and mean.item() == 513.0


def test_the_rest_is_the_last_checkpoints(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / f"{n}.pt", {"w": torch.zeros(1)}, optimizer_history=[{"num_updates": n}])
        for n in (1, 2)
    ]
    average_checkpoints(paths, tmp_path / "mean.pt")
    state = torch.load(tmp_path / "mean.pt", weights_only=True)
    assert state["optimizer_history"] == [{"num_updates": 2}]
    assert state["last_optimizer_state"] is None
    assert state["averaged_from"] == ["1.pt", "2.pt"]
    assert not (tmp_path / "mean.pt.part").exists()


def test_each_must_have_parameters_that_are_numbers(tmp_path: Path) -> None:
    older = save(tmp_path / "1.pt", {"w": torch.tensor([1.0, float("nan")])})
    newer = save(tmp_path / "2.pt", {"w": torch.zeros(2)})
    with pytest.raises(UserError, match=r"1\.pt: expected finite parameters, .* nan in w"):
        average_checkpoints([older, newer], tmp_path / "mean.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_tied_parameters_stay_tied(zipped: bool, tmp_path: Path) -> None:
    paths = []
    for n in (1.0, 2.0):
        tied = torch.full((3,), n)
        model = {"a": tied, "b": tied, "c": torch.full((3,), -n), "empty": torch.zeros(0)}
        paths.append(tmp_path / f"{n}.pt")
        torch.save({"model": model}, paths[-1], _use_new_zipfile_serialization=zipped)
    average_checkpoints(paths, tmp_path / "mean.pt")
    model = torch.load(tmp_path / "mean.pt", weights_only=True)["model"]
    assert list(model) == ["a", "b", "c", "empty"]
    assert model["a"].data_ptr() == model["b"].data_ptr() != model["c"].data_ptr()
    assert model["a"].tolist() == [1.5] * 3 and model["c"].tolist() == [-1.5] * 3


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"v": torch.zeros(2)}, "found a difference in"),
        ({"w": torch.zeros(3), "n": torch.tensor(1)}, r"expected w to be \[2\]"),
        ({"w": torch.zeros(2), "n": torch.tensor(2)}, "integers of n"),
    ],
)
def test_different_models_are_refused(
    other: dict[str, torch.Tensor], match: str, tmp_path: Path
) -> None:
    first = save(tmp_path / "1.pt", {"w": torch.zeros(2), "n": torch.tensor(1)})
    second = save(tmp_path / "2.pt", other)
    with pytest.raises(UserError, match=match):
        average_checkpoints([first, second], tmp_path / "mean.pt")
    assert not (tmp_path / "mean.pt").exists()


def test_unsafe_checkpoints_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {}, "x": Fraction(1, 2)}, tmp_path / "1.pt")
    with pytest.raises(UserError, match=r"found an object of fractions\.Fraction in it"):
        average_checkpoints([tmp_path / "1.pt"], tmp_path / "mean.pt")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory_stays_below_one_and_a_half_checkpoints(tmp_path: Path) -> None:
    """Six files with moments like Adam's; measured in a process of its own (peak resident set).

    All is in one parameter: a float64 copy of it, to be added, would be another half of a file.
    """
    size = 4_000_000  # 16 MB of parameters, 48 MB a checkpoint: more than noise
    paths = []
    for n in range(6):
        moments = {"m": torch.full((size,), 1.0), "v": torch.full((size,), 2.0)}
        model = {"embedding": torch.full((size,), float(n))}
        paths.append(tmp_path / f"{n}.pt")
        torch.save({"model": model, "last_optimizer_state": moments}, paths[-1])
    tiny = [save(tmp_path / f"tiny{n}.pt", {"w": torch.zeros(3)}) for n in range(3)]
    # Code that is read in counts as memory too: it is, by an average of tiny files, before the peak
    # is reset.
    program = (
        "import sys, pathlib, torch\n"
        "from fairseq_labo.experiments.evaluation.averaging import average_checkpoints\n"
        "def peak_kib():\n"
        "    lines = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "    return int(next(line for line in lines if line.startswith('VmHWM')).split()[1])\n"
        "paths = [pathlib.Path(name) for name in sys.argv[1:]]\n"
        "average_checkpoints(paths[-2:], paths[-3])\n"
        "pathlib.Path('/proc/self/clear_refs').write_text('5')\n"
        "before = peak_kib()\n"
        "average_checkpoints(paths[1:-3], paths[0])\n"
        "print(peak_kib() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "mean.pt", *paths, *tiny],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(REPOSITORY)},
    )
    grown_kib = int(done.stdout.splitlines()[-1])
    assert grown_kib < 1.5 * 3 * 4 * size / 1024, grown_kib


def test_newest_by_number(tmp_path: Path) -> None:
    for name in ("checkpoint2.pt", "checkpoint10.pt", "checkpoint9.pt", "checkpoint_best.pt"):
        (tmp_path / name).touch()
    (tmp_path / "checkpoint_3_900.pt").touch()
    names = [path.name for path in newest_checkpoints(tmp_path, 2)]
    assert names == ["checkpoint9.pt", "checkpoint10.pt"]
    with pytest.raises(UserError, match=r"expected 4 numbered checkpoints .* found 3"):
        newest_checkpoints(tmp_path, 4)


def test_both_numbers_are_told(tmp_path: Path) -> None:
    """Of updates there are enough, but epochs' are taken: which of both is meant, a user says."""
    for name in ("checkpoint1.pt", "checkpoint_1_40.pt", "checkpoint_2_80.pt"):
        (tmp_path / name).touch()
    match = "found 1 of epochs, and 2 of updates, which are only taken alone; move checkpoint1.pt"
    with pytest.raises(UserError, match=match):
        newest_checkpoints(tmp_path, 2)
    with pytest.raises(UserError, match=r"found 1; keep them in training: labo train .* -- --save"):
        newest_checkpoints(tmp_path, 3)


def test_newest_by_updates(tmp_path: Path) -> None:
    for name in ("checkpoint_1_50.pt", "checkpoint_2_100.pt", "checkpoint_last.pt"):
        (tmp_path / name).touch()
    names = [path.name for path in newest_checkpoints(tmp_path, 2)]
    assert names == ["checkpoint_1_50.pt", "checkpoint_2_100.pt"]
    with pytest.raises(UserError, match="at least 1, found 0"):
        newest_checkpoints(tmp_path, 0)


@pytest.mark.parametrize(
    ("newest", "updates", "said"),
    [
        ("checkpoint_2_100.pt", 120, True),  # the update that ends an epoch has no number
        ("checkpoint2.pt", 120, True),
        ("checkpoint_2_100.pt", 100, False),
        ("checkpoint_2_100.pt", None, False),  # a file that is no checkpoint: not averaged
    ],
)
def test_a_last_model_that_is_left_out_is_told(
    newest: str,
    updates: int | None,
    said: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = {"w": torch.zeros(1)}
    save(tmp_path / newest, weights, optimizer_history=[{"num_updates": 100}])
    last = tmp_path / "checkpoint_last.pt"
    if updates is None:
        last.write_bytes(b"damaged")
    else:
        save(last, weights, optimizer_history=[{"num_updates": 1}, {"num_updates": updates}])
    assert newest_checkpoints(tmp_path, 1) == [tmp_path / newest]
    message = "checkpoint_last.pt, of 120 updates, is not averaged: the newest numbered one is "
    message += f"{newest}, of 100\n"
    assert (message in (text := capsys.readouterr().err)) == said == bool(text)
