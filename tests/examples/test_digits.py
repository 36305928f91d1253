"""The example on images: its data, its methods, and a short run of all of it."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import digits
import pytest
import torch
from torch import nn

from fairseq_labo.nn import LaboLoss, TwoStageSmoothing

SETTINGS = digits.Settings(epochs=4)


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    """The example computes with one thread; other tests need not."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_split_is_fixed_disjoint_and_stratified() -> None:
    named = digits.split_images(SETTINGS)
    assert list(named) == ["train", "valid", "test"]
    parts = list(named.values())
    assert [len(part.digits) for part in parts] == [718, 180, 899]
    assert parts[0].pixels.shape == (718, 1, 8, 8)
    assert parts[0].pixels.min() >= 0 and parts[0].pixels.max() == 1
    for part in parts:
        share = torch.bincount(part.digits) / len(part.digits)
        assert share.sub(0.1).abs().max() < 0.015
    again = digits.split_images(SETTINGS)
    assert torch.equal(parts[2].pixels, again["test"].pixels)
    whole = torch.cat([part.pixels for part in parts]).flatten(1).sum(0)
    expected = torch.tensor(digits.load_digits().data, dtype=torch.float32).div(16).sum(0)
    torch.testing.assert_close(whole, expected)  # each image in one of them, once


def test_methods_are_what_their_names_say() -> None:
    made = digits.methods(SETTINGS)
    switches = ["TSLA(1)", "TSLA(2)", "TSLA(3)"]
    assert list(made) == ["cross entropy", "label smoothing", *switches, "LABO"]
    assert isinstance(made["cross entropy"], nn.CrossEntropyLoss)
    smoothing, labo = made["label smoothing"], made["LABO"]
    assert isinstance(smoothing, LaboLoss) and isinstance(labo, LaboLoss)
    assert (smoothing.label_smoothing, smoothing.beta) == (0.1, math.inf)
    assert (labo.label_smoothing, labo.beta) == (0.1, 2.0)
    for steps, name in enumerate(switches, start=1):
        tsla = made[name]
        assert isinstance(tsla, TwoStageSmoothing)
        assert (tsla.first_stage_steps, tsla.loss.beta) == (steps, math.inf)


def test_before_and_after_the_switch() -> None:
    """TSLA(2) is label smoothing for two epochs, and no longer in the third."""
    settings = digits.Settings(epochs=4, channels=2, batch_size=256)
    curves = {
        method: digits.train(method, 1, settings)["valid"]
        for method in ("label smoothing", "TSLA(2)", "cross entropy")
    }
    assert curves["TSLA(2)"][:2] == curves["label smoothing"][:2]
    assert curves["TSLA(2)"][2] != curves["label smoothing"][2]
    assert curves["TSLA(2)"][0] != curves["cross entropy"][0]


@pytest.mark.slow
def test_whole_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits.main(["--seeds", "1", "--epochs", "2", "--jobs", "1", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert printed.startswith(table)
    rows = re.findall(r"^\| ([\w() ]+) \| ([\d.]+) \| ([\d.]+) \|$", table, re.M)
    names = ["cross entropy", "label smoothing", "TSLA(0)", "TSLA(1)", "LABO"]
    assert [name for name, *_ in rows] == names
    for name, accuracy, nll in rows:
        assert float(accuracy) > 60 and float(nll) < 1.5, name  # learned; chance is 10 and 2.3
    results = json.loads((tmp_path / "digits.json").read_text(encoding="utf-8"))
    assert results["settings"]["label_smoothing"] == 0.1
    assert results["settings"]["images"] == {"train": 718, "valid": 180, "test": 899}
    assert {"python", "torch", "scikit-learn"} <= results["versions"].keys()
    assert "commit" in results and len(results["runs"]) == len(names)
    assert "<svg" in (tmp_path / "digits.svg").read_text(encoding="utf-8")


def test_refuses_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        digits.main(["--seeds", "0"])
    assert "of 1 or more" in capsys.readouterr().err


def test_mean_and_sample_deviation() -> None:
    runs = [
        {"method": "LABO", "seed": seed, "test": {"accuracy": accuracy, "nll": nll}}
        for seed, (accuracy, nll) in enumerate([(98.0, 0.1), (99.0, 0.3), (100.0, 0.2)])
    ]
    table = digits.table(digits.summarize(runs))
    assert table.endswith("| LABO | 99.00 ± 1.00 | 0.2000 ± 0.1000 |\n")
