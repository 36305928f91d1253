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
import functools
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from digits_report import print_and_write
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from fairseq_labo.nn import LaboLoss, TwoStageSmoothing

CLASSES = 10


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


def split_images(settings: Settings) -> tuple[Images, Images, Images]:
    """Training, validation and test images, with the same share of each digit."""
    data = load_digits()
    numbers = list(range(len(data.target)))
    split = functools.partial(train_test_split, random_state=settings.split_seed)
    rest, test = split(numbers, test_size=settings.test_fraction, stratify=data.target)
    valid_share = settings.valid_fraction / (1 - settings.test_fraction)
    train, valid = split(rest, test_size=valid_share, stratify=data.target[rest])
    pixels = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16.0
    digits = torch.tensor(data.target)
    train, valid, test = (Images(pixels[part], digits[part]) for part in (train, valid, test))
    return train, valid, test


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `stride` 2 halves height and width."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        return functional.relu(self.body(x) + self.shortcut(x))


def residual_network(channels: int) -> nn.Module:
    """Images [N, 1, 8, 8] to logits [N, 10]."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        ResidualBlock(channels, channels),
        ResidualBlock(channels, 2 * channels, stride=2),
        ResidualBlock(2 * channels, 4 * channels, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * channels, CLASSES),
    )


def methods(settings: Settings) -> dict[str, Callable[[], nn.Module]]:
    """Each method's name, and how to make its criterion."""
    labo = functools.partial(LaboLoss, label_smoothing=settings.label_smoothing)

    def tsla(switch: int) -> nn.Module:
        return TwoStageSmoothing(labo(beta=math.inf), first_stage_steps=switch)

    switches = sorted({settings.epochs * quarters // 4 for quarters in (1, 2, 3)})
    return {
        "cross entropy": nn.CrossEntropyLoss,
        "label smoothing": functools.partial(labo, beta=math.inf),
        **{f"TSLA({switch})": functools.partial(tsla, switch) for switch in switches},
        "LABO": functools.partial(labo, beta=settings.beta),
    }


@torch.no_grad()
def evaluate(model: nn.Module, images: Images) -> dict[str, float]:
    """Accuracy in % and negative log-likelihood in nats, never smoothed, for every method."""
    model.eval()
    logits = model(images.pixels)
    accuracy = 100.0 * logits.argmax(1).eq(images.digits).double().mean().item()
    nll = functional.cross_entropy(logits, images.digits).item()
    return {"accuracy": round(accuracy, 4), "nll": round(nll, 5)}


def train(method: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Train one network; its test scores, and validation scores after every epoch."""
    torch.manual_seed(seed)
    images, valid, test = split_images(settings)
    model = residual_network(settings.channels)
    criterion = methods(settings)[method]()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    curve = []
    for _ in range(settings.epochs):
        model.train()
        for batch in torch.randperm(len(images.digits)).split(settings.batch_size):
            optimizer.zero_grad()
            criterion(model(images.pixels[batch]), images.digits[batch]).backward()
            optimizer.step()
        schedule.step()
        if isinstance(criterion, TwoStageSmoothing):
            criterion.step()  # its stages count epochs here
        curve.append(evaluate(model, valid))
    return {"method": method, "seed": seed, "test": evaluate(model, test), "valid": curve}


def train_all(settings: Settings, *, seeds: int, jobs: int) -> list[dict[str, Any]]:
    """Every method with seeds 1, 2, ..., `jobs` trainings at a time with a thread each."""
    runs = [(method, seed) for method in methods(settings) for seed in range(1, seeds + 1)]
    # Images of this size gain nothing by a second thread, and the sums keep their order.
    if jobs == 1:
        torch.set_num_threads(1)
        return [train(method, seed, settings) for method, seed in runs]
    # From a server that has imported torch and not used it: its threads do not survive a fork.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
        waiting = [pool.submit(train, method, seed, settings) for method, seed in runs]
        return [future.result() for future in waiting]


def main(arguments: list[str] | None = None) -> None:
    """Train, print the table, write the results."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each method")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--output", type=Path, default=here.parent / "runs" / "digits")
    options = parser.parse_args(arguments)
    if min(options.seeds, options.epochs, options.jobs) < 1:
        parser.error("expected --seeds, --epochs and --jobs of 1 or more")
    settings = Settings(epochs=options.epochs)
    sizes = dict(
        zip(
            ("train", "valid", "test"), (len(x.digits) for x in split_images(settings)), strict=True
        )
    )
    start = time.perf_counter()
    runs = train_all(settings, seeds=options.seeds, jobs=options.jobs)
    seconds = time.perf_counter() - start
    described = {**asdict(settings), "images": sizes, "seeds": options.seeds, "jobs": options.jobs}
    print_and_write(runs, settings=described, seconds=seconds, output=options.output)


if __name__ == "__main__":
    main()
