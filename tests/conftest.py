"""Shared by all tests: fairseq's entry points, and a toy corpus that a tiny model can learn."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

if not torch.cuda.is_available():  # before Triton is imported, by whatever test comes first
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A shell starts what runs in the background, or under nohup, with these ignored; many tests send
# them, to commands that inherit that.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        interrupts = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if interrupts else signal.SIG_DFL)

REPOSITORY = Path(__file__).parent.parent
USER_DIR = REPOSITORY / "fairseq_labo"
QUICK_IMPORTS = REPOSITORY / "tests" / "quick_imports"

# Words that Moses and BPE leave whole; translation is word by word.
WORDS = {
    "ein": "a", "Hund": "dog", "Haus": "house", "Baum": "tree", "Kind": "child", "rot": "red",
    "klein": "small", "alt": "old", "sieht": "sees", "hat": "has", "und": "and", "nicht": "not",
}  # fmt: skip
# 77: not a multiple of 8, so that fairseq's habit of dropping a remainder is noticed.
SIZES = {"train": 1200, "valid": 80, "test": 77}

TINY_MODEL = [
    *("--arch", "transformer", "--share-all-embeddings", "--dropout", "0"),
    *("--encoder-layers", "1", "--encoder-embed-dim", "32", "--encoder-ffn-embed-dim", "64"),
    *("--encoder-attention-heads", "2", "--decoder-layers", "1", "--decoder-embed-dim", "32"),
    *("--decoder-ffn-embed-dim", "64", "--decoder-attention-heads", "2"),
]
TRAINING = [
    *TINY_MODEL,
    *("--optimizer", "adam", "--lr", "5e-3", "--max-tokens", "320", "--num-workers", "0"),
    *("--cpu", "--log-format", "json", "--log-interval", "5", "--seed", "3"),
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest --device cuda``: run the kernels' tests on a GPU."""
    parser.addoption("--device", choices=["cpu", "cuda"], default="cpu")
    text = "N cases, kills or updates in tests/faults, instead of the few that fit into CI"
    parser.addoption("--soak", type=int, metavar="N", help=text)


@pytest.fixture(scope="session", autouse=True)
def quick_imports_of_processes() -> None:
    """For what the tests start, and not for the workers that run them, which import more."""
    os.environ["PYTHONPATH"] = f"{QUICK_IMPORTS}:{REPOSITORY}"


@pytest.fixture(autouse=True)
def same_numbers_in_any_order() -> None:
    """What a test draws does not hang on the tests that its worker ran before it."""
    random.seed(0)
    torch.manual_seed(0)


# Files of few tests that take minutes: begun first, or one worker would be left with them.
LONG = ["benchmarks/test_acceptance", "test_wheel", "faults/test_wrong_files"]
LONG += ["experiments/studies/test_compare", "faults/test_training_kills", "faults/test_fuzz"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files in the order in which the workers shall take them."""
    ranks = {REPOSITORY / "tests" / f"{name}.py": rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@contextmanager
def preprocessing_in_process() -> Iterator[None]:
    """fairseq-preprocess in this process: another takes seconds to start."""
    from fairseq_labo.experiments.data import binarize

    def run_logged(command: Sequence[str], log_file: Path, *, cwd: Path) -> int:
        from fairseq import options
        from fairseq_cli import preprocess

        assert command[1:3] == ["-m", "fairseq_cli.preprocess"]
        logger = logging.getLogger("fairseq_cli.preprocess")
        before = list(logger.handlers)
        try:
            with chdir(cwd):
                preprocess.main(options.get_preprocessing_parser().parse_args(command[3:]))
        finally:
            for handler in set(logger.handlers) - set(before):
                logger.removeHandler(handler)
                handler.close()
        log_file.touch()
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binarize, "run_logged", run_logged)
        yield


@pytest.fixture
def in_process_fairseq() -> Iterator[None]:
    with preprocessing_in_process():
        yield


@pytest.fixture(scope="session")
def toy_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus of about 45 updates an epoch (with TRAINING's batches)."""
    from fairseq_labo.experiments import cli
    from fairseq_labo.experiments.files import write_lines

    raw = tmp_path_factory.mktemp("toy-raw")
    generator = random.Random(5)
    for split, size in SIZES.items():
        pairs = []
        for _ in range(size):
            german = generator.choices(list(WORDS), k=generator.randint(4, 12))
            pairs.append([" ".join(german), " ".join(WORDS[word] for word in german)])
        for language, lines in zip(("de", "en"), zip(*pairs, strict=True), strict=True):
            write_lines(raw / f"{split}.{language}", lines)
    destination = tmp_path_factory.mktemp("toy")
    words = ["prepare", "own", "--name", "toy", "--pair", "de-en", "--bpe-size", "200"]
    words += [word for split in SIZES for word in (f"--{split}", str(raw / split))]
    with preprocessing_in_process():
        assert cli.main([*words, "--destdir", str(destination)]) == 0
    return destination


def run_fairseq(
    tool: str, *arguments: object, check: bool = True, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run an entry point of fairseq (train, generate, ...) in a process of its own.

    Only what the plugin needs is on the path: nothing of the repository is.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"fairseq_cli.{tool}", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd or "/",
        env={**os.environ, "PYTHONPATH": str(QUICK_IMPORTS)},
        timeout=300,
    )
    assert not check or done.returncode == 0, done.stdout[-4000:]
    return done


def reports(output: str, kind: str) -> list[dict[str, Any]]:
    """The JSON reports of one kind ("train", "train_inner", "valid") in fairseq's output."""
    marker = f"| {kind} | {{"
    return [
        json.loads(line[line.index(marker) + len(marker) - 1 :])
        for line in output.splitlines()
        if marker in line
    ]
