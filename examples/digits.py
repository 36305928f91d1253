"""Label regularization outside fairseq: a small residual network on real images of digits.

    python examples/digits.py

trains it with cross entropy, label smoothing, TSLA(s) for several switch epochs s, and LABO, with
several seeds each, on the 1797 scanned digits that scikit-learn brings along (8 by 8 pixels, no
download). It prints a table of test accuracy and negative log-likelihood (mean and standard
deviation over the seeds) and writes the numbers, the table and a figure.

Half of the images are for testing, a tenth for validation; the split is the same for all. The
methods share the network, the optimizer's settings and α; a seed fixes initialization and the
order of the batches. The test set is looked at once, after the last epoch.
"""

import argparse
import io
import json
import logging
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from fairseq_labo.experiments.provenance import current_commit
from fairseq_labo.nn import LaboLoss, TwoStageSmoothing

RUNS = Path(__file__).resolve().parents[1] / "runs"
Run = dict[str, Any]  # method, seed, test scores, validation scores after every epoch
Summary = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Settings:
    """What all methods share. Textbook values; none was searched for."""

    label_smoothing: float = 0.1  # α
    beta: float = 2.0  # LABO's temperature
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.1  # of SGD with Nesterov's momentum, annealed to 0 by a cosine
    momentum: float = 0.9
    weight_decay: float = 5e-4
    channels: int = 16
    split_seed: int = 0
    test_fraction: float = 0.5
    valid_fraction: float = 0.1


class Images(NamedTuple):
    """Images [N, 1, 8, 8] with values from 0 to 1, and their digits [N]."""

    pixels: Tensor
    digits: Tensor


def split_images(settings: Settings) -> dict[str, Images]:
    """Training, validation and test images, with the same share of each digit."""
    data = load_digits()
    split = partial(train_test_split, random_state=settings.split_seed)
    everything, of_all = range(len(data.target)), data.target
    rest, test = split(everything, test_size=settings.test_fraction, stratify=of_all)
    valid_share = settings.valid_fraction / (1 - settings.test_fraction)
    train, valid = split(rest, test_size=valid_share, stratify=of_all[rest])
    pixels, digits = torch.tensor(data.images).float().unsqueeze(1) / 16.0, torch.tensor(of_all)
    parts = {"train": train, "valid": valid, "test": test}
    return {name: Images(pixels[part], digits[part]) for name, part in parts.items()}


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and batch normalization."""
    plain = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(plain, nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `stride` 2 halves height and width."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        first = convolution(inputs, outputs, stride)
        self.body = nn.Sequential(first, nn.ReLU(), convolution(outputs, outputs))
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        return functional.relu(self.body(x) + self.shortcut(x))


def residual_network(width: int) -> nn.Module:
    """Images [N, 1, 8, 8] to logits [N, 10]."""
    blocks = ((width, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2))
    return nn.Sequential(
        *(convolution(1, width), nn.ReLU(), *starmap(ResidualBlock, blocks)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)),
    )


def methods(settings: Settings) -> dict[str, nn.Module]:
    """The criterion of each method."""
    labo = partial(LaboLoss, label_smoothing=settings.label_smoothing)
    smoothing = labo(beta=math.inf)
    switches = sorted({settings.epochs * quarters // 4 for quarters in (1, 2, 3)})
    return {
        "cross entropy": nn.CrossEntropyLoss(),
        "label smoothing": smoothing,
        **{f"TSLA({s})": TwoStageSmoothing(smoothing, first_stage_steps=s) for s in switches},
        "LABO": labo(beta=settings.beta),
    }


@torch.no_grad()
def evaluate(model: nn.Module, images: Images) -> dict[str, float]:
    """Accuracy in % and negative log-likelihood in nats, never smoothed, for every method."""
    logits = model.eval()(images.pixels)
    accuracy = 100.0 * logits.argmax(1).eq(images.digits).double().mean().item()
    nll = functional.cross_entropy(logits, images.digits).item()
    return {"accuracy": round(accuracy, 4), "nll": round(nll, 5)}


def train(method: str, seed: int, settings: Settings) -> Run:
    """Train one network; its test scores, and validation scores after every epoch."""
    torch.manual_seed(seed)
    images, valid, test = split_images(settings).values()
    model, criterion = residual_network(settings.channels), methods(settings)[method]
    rate, momentum, decay = settings.learning_rate, settings.momentum, settings.weight_decay
    sgd = torch.optim.SGD(model.parameters(), rate, momentum, weight_decay=decay, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, settings.epochs)
    curve = []
    for _ in range(settings.epochs):
        model.train()
        for batch in torch.randperm(len(images.digits)).split(settings.batch_size):
            sgd.zero_grad()
            criterion(model(images.pixels[batch]), images.digits[batch]).backward()
            sgd.step()
        schedule.step()
        if isinstance(criterion, TwoStageSmoothing):
            criterion.step()  # its stages count epochs here
        curve.append(evaluate(model, valid))
    return {"method": method, "seed": seed, "test": evaluate(model, test), "valid": curve}


def train_all(settings: Settings, *, seeds: int, jobs: int) -> list[Run]:
    """Every method with seeds 1, 2, ..., `jobs` trainings at a time with a thread each."""
    runs = [(method, seed) for method in methods(settings) for seed in range(1, seeds + 1)]
    # Images of this size gain nothing by a second thread, and the sums keep their order.
    torch.set_num_threads(1)
    # From a server that has imported torch and not used it: its threads do not survive a fork.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
        each = map if jobs == 1 else pool.map
        return list(each(partial(train, settings=settings), *zip(*runs, strict=True)))


def summarize(runs: list[Run]) -> Summary:
    """By method: mean and (sample) standard deviation of its test scores over the seeds."""
    summary: Summary = {}
    for method in dict.fromkeys(run["method"] for run in runs):
        tests = [run["test"] for run in runs if run["method"] == method]
        summary[method] = {"seeds": float(len(tests))}
        for score in ("accuracy", "nll"):
            values = [test[score] for test in tests]
            summary[method][f"{score}_mean"] = statistics.mean(values)
            if len(values) > 1:
                summary[method][f"{score}_std"] = statistics.stdev(values)
    return summary


def table(summary: Summary) -> str:
    """The summary as a Markdown table."""
    row = "| {} | {accuracy_mean:.2f} | {nll_mean:.4f} |"  # one seed has no deviation
    if any("nll_std" in scores for scores in summary.values()):
        row = "| {} | {accuracy_mean:.2f} ± {accuracy_std:.2f} | {nll_mean:.4f} ± {nll_std:.4f} |"
    rows = [row.format(method, **scores) for method, scores in summary.items()]
    head = ["| method | test accuracy (%) | test NLL (nats) |", "|---|---:|---:|"]
    return "\n".join([*head, *rows, ""])


def draw(runs: list[Run], summary: Summary, path: Path) -> None:
    """Validation NLL after every epoch, and test NLL and accuracy with each seed as a dot."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq turns all reports on
    # The same numbers give the same file, and a small one.
    matplotlib.rcParams.update({"svg.hashsalt": "digits", "svg.fonttype": "none"})
    figure = Figure(figsize=(13, 4.2))
    over_time, *scores = figure.subplots(1, 3)
    for row, method in enumerate(summary):
        mine, color = [run for run in runs if run["method"] == method], f"C{row}"
        curves = ([epoch["nll"] for epoch in run["valid"]] for run in mine)
        means = [statistics.mean(values) for values in zip(*curves, strict=True)]
        over_time.plot(range(1, len(means) + 1), means, label=method, color=color)
        for axes, score in zip(scores, ("nll", "accuracy"), strict=True):
            axes.plot([run["test"][score] for run in mine], [row] * len(mine), "o", alpha=0.4,
                      color=color)  # fmt: skip
            mean = summary[method][f"{score}_mean"]
            deviation = summary[method].get(f"{score}_std")
            axes.errorbar(mean, row, xerr=deviation, fmt="|k", capsize=3)
    over_time.set(xlabel="epoch", ylabel="nats", yscale="log", title="validation NLL (mean)")
    over_time.legend(fontsize=8)
    for axes, title in zip(scores, ("test NLL (nats)", "test accuracy (%)"), strict=True):
        axes.set_yticks(range(len(summary)), list(summary))
        axes.invert_yaxis()
        axes.set_title(f"{title}: seeds, mean ± std")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main(arguments: list[str] | None = None) -> None:
    """Train, print the table; write it, digits.json and digits.svg into the folder of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each method")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--output", type=Path, default=RUNS / "digits")
    options = parser.parse_args(arguments)
    if min(options.seeds, options.epochs, options.jobs) < 1:
        parser.error("expected --seeds, --epochs and --jobs of 1 or more")
    settings, output = Settings(epochs=options.epochs), options.output
    start = time.perf_counter()
    runs = train_all(settings, seeds=options.seeds, jobs=options.jobs)
    seconds = time.perf_counter() - start
    summary = summarize(runs)
    sizes = {name: len(part.digits) for name, part in split_images(settings).items()}
    described = {**asdict(settings), "images": sizes, "seeds": options.seeds, "jobs": options.jobs}
    versions = {name: version(name) for name in ("torch", "scikit-learn", "numpy")}
    results = {
        "settings": described,
        "machine": f"CPU ({platform.machine()})",
        "versions": {"python": platform.python_version(), **versions},
        "commit": current_commit(),
        "seconds": round(seconds, 1),
        "summary": summary,
    }
    head = json.dumps(results, indent=1).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(run)}" for run in runs)  # one run a line
    output.mkdir(parents=True, exist_ok=True)
    (output / "digits.json").write_text(f'{head},\n "runs": [\n{lines}\n ]\n}}\n')
    (output / "table.md").write_text(table(summary), encoding="utf-8")
    draw(runs, summary, output / "digits.svg")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may know no ±
    print(table(summary), end="")
    print(f"{len(runs)} trainings in {seconds:.0f} s; table, numbers, figure: {output}")


if __name__ == "__main__":
    main()
