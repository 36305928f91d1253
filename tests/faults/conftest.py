"""A prepared corpus with a trained model, and a folder in which a command can do no harm."""

import argparse
import contextlib
import errno
import gzip
import io
import multiprocessing.pool
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.corpora import microworld
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import generation
from fairseq_labo.experiments.files import read_lines, sha256_of, write_lines
from tests.conftest import REPOSITORY, TRAINING, USER_DIR, WORDS, preprocessing_in_process
from tests.faults.evaluations import BEST, translated
from tests.shared import made_once

SENTENCES = {"train": 60, "valid": 6, "test": 5}
STUDY = """\
name: tiny
corpus: corpus
seeds: [1]
tests: [test]
baseline: smooth
methods:
  smooth: {criterion: label_smoothed_cross_entropy}
  labo: {criterion: labo_cross_entropy}
"""
MOST_SECONDS = 20
MOST_PROCESSES = 1024  # that one command may ask for
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ONE_PATH = {"os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "shutil.rmtree"}
TWO_PATHS = {"os.rename", "os.link", "os.symlink"}  # of which the second is made
STARTS = {"socket.connect", "socket.getaddrinfo", "os.fork", "os.exec", "os.posix_spawn"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For the whole run only: who edits has no use for minutes of faults."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """text/, corpus/ (prepared), bin/ (fairseq-preprocess's alone), save/, study.yaml, ..."""
    return made_once(tmp_path_factory, "fault-materials", _make_materials)


def _make_materials(folder: Path) -> None:
    generator = random.Random(7)
    words = ["prepare", "own", "--pair", "de-en", "--bpe-size", "20", "--name", "tiny"]
    (folder / "text").mkdir()
    for split, size in SENTENCES.items():
        pairs = [generator.choices(list(WORDS.items()), k=5) for _ in range(size)]
        for side, language in enumerate(("de", "en")):
            lines = [" ".join(pair[side] for pair in sentence) for sentence in pairs]
            write_lines(folder / "text" / f"{split}.{language}", lines)
        words += [f"--{split}", str(folder / "text" / split)]
    with preprocessing_in_process():
        assert cli.main([*words, "--destdir", str(folder / "corpus")]) == 0
    shutil.copytree(folder / "corpus" / "bin", folder / "bin")
    command = [sys.executable, "-m", "fairseq_cli.train", folder / "corpus" / "bin", *TRAINING]
    command += ["--user-dir", USER_DIR, "--save-dir", folder / "save", "--max-epoch", "2"]
    command += ["--criterion", "labo_cross_entropy", "--required-batch-size-multiple", "1"]
    with (folder / "log").open("w") as log:
        subprocess.run(list(map(str, command)), check=True, stdout=log, env=_one_thread())
    (folder / "log").rename(folder / "save" / "train.log")
    (folder / "save" / "resources.json").write_text('{"seconds": 1, "peak_memory_mib": 1}')
    (folder / "study.yaml").write_text(STUDY)
    (folder / "microworld").mkdir()
    for split, size in SENTENCES.items():
        name = f"{split}.tsv.gz"
        lines = list(read_lines(microworld.FOLDER / name))[:size]
        with gzip.open(folder / "microworld" / name, "wt", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
    results = REPOSITORY / "results" / "studies" / "microworld" / "results.json"
    shutil.copyfile(results, folder / "results.json")


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@dataclass
class Outcome:
    """What a command left: exit status, standard output and error."""

    words: list[str]
    status: object
    out: str
    err: str

    def check(self) -> None:
        """The promise: status 0, 1 or 2, and where it is not 0 one message, no traceback."""
        shown = f"{self.words}\n{self.status}\n{self.err[-3000:]}"
        assert self.status in (0, 1, 2), shown
        assert "Traceback" not in self.err + self.out, shown
        messages = [line for line in self.err.split("\n") if line.startswith("error: ")]
        assert len(messages) == (self.status != 0), shown
        assert not self.err.endswith("error: \n"), shown


@dataclass
class Sandbox:
    """A folder of which copies of the materials are made on demand, and a command's run in it."""

    root: Path
    materials: Path
    words: Sequence[str] = ()
    outside: list[str] = field(default_factory=list)  # what was written elsewhere, or started
    opened: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.here = self.root / "above" / "here"  # so that ../x is still inside
        (self.root / "tmp").mkdir(parents=True)
        self.here.mkdir(parents=True)

    def place(self, name: str) -> Path:
        """A copy of a material, or of a file in one (``save/checkpoint_best.pt``)."""
        top = name.split("/")[0]
        source, copy = self.materials / top, self.here / top
        if not copy.exists():
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
        return self.here / name

    def run(self, words: Sequence[str]) -> Outcome:
        """``labo WORDS`` in this process; fails where something outside was written."""
        out, err = io.BytesIO(), io.BytesIO()
        before, temporary = Path.cwd(), tempfile.tempdir
        streams = [
            io.TextIOWrapper(out, "utf-8"),
            io.TextIOWrapper(err, "utf-8", "backslashreplace"),
        ]
        os.chdir(self.here)
        tempfile.tempdir = str(self.root / "tmp")
        self.words = words
        NoProcess.started = 0
        _GUARD.sandbox = self
        try:
            with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
                status = self._status(words)
        finally:
            _GUARD.sandbox = None
            tempfile.tempdir = temporary
            os.chdir(before)
        for stream in streams:
            stream.flush()
        shown = [text.getvalue().decode("utf-8") for text in (out, err)]
        assert not self.outside, f"{words}: {self.outside}"
        return Outcome(list(words), status, *shown)

    def _status(self, words: Sequence[str]) -> object:
        before = signal.signal(signal.SIGALRM, _took_too_long)
        signal.alarm(MOST_SECONDS)
        try:
            return cli.main(words)
        except SystemExit as ended:
            if isinstance(ended.code, int) and ended.code > 128:  # the tests are to end
                raise KeyboardInterrupt from ended
            return ended.code or 0
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    def seen(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's audit events: record what is written elsewhere, refuse to leave the process."""
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            self.opened.add(os.path.realpath(os.fsdecode(arguments[0])))
        if event in STARTS:
            self.outside.append(f"{event} {arguments}")
            raise PermissionError(f"{event}: not in this test")
        is_relative = event in ONE_PATH | TWO_PATHS and any(
            isinstance(each, int) and each > 2 for each in arguments[1:][-2:]
        )
        if (event == "open" and not (arguments[2] or 0) & WRITES) or is_relative:
            return
        if event in {"open"} | ONE_PATH | TWO_PATHS:
            path = arguments[1 if event in TWO_PATHS else 0]
            if isinstance(path, str | bytes | os.PathLike):
                self._written(event, os.path.realpath(os.fsdecode(path)))

    def _written(self, event: str, path: str) -> None:
        inside = (str(self.root), "/dev/", "/proc/")
        if path.startswith(inside) or "__pycache__" in path:
            return
        values = [word.partition("=")[2] if word.startswith("--") else word for word in self.words]
        if not any(value.startswith("/") and path.startswith(value) for value in values):
            self.outside.append(f"{event} {path}")
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


class TookTooLong(BaseException):
    """A command did not come to its end."""


def _took_too_long(number: int, frame: object) -> None:
    raise TookTooLong


_GUARD = SimpleNamespace(sandbox=None)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    sandbox = _GUARD.sandbox
    if sandbox is not None:
        sandbox.seen(event, arguments)


sys.addaudithook(_audit)  # there is no way to remove one


class NoProcess:
    """In the place of subprocess.Popen: ends at once with status 0, without output."""

    pid, returncode, started = 1 << 22, 0, 0

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        NoProcess.started += 1
        assert NoProcess.started <= MOST_PROCESSES, command
        is_text = options.get("text") or options.get("encoding")
        self.empty: Any = "" if is_text else b""
        self.stdout = (io.StringIO if is_text else io.BytesIO)() if options.get("stdout") else None
        self.args = command

    def __enter__(self) -> "NoProcess":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def communicate(self, *arguments: Any, **options: Any) -> tuple[Any, Any]:
        return self.empty, self.empty

    def wait(self, *arguments: Any, **options: Any) -> int:
        return 0

    poll = wait

    def terminate(self) -> None:
        pass

    kill = terminate


class FewThreads:
    """In the place of multiprocessing's context: a pool of a thread, however many are asked for."""

    @staticmethod
    def Pool(number: int, initializer: object) -> multiprocessing.pool.ThreadPool:
        assert number <= MOST_PROCESSES, number
        return multiprocessing.pool.ThreadPool(1)


def _no_download(source: Any, folder: Path) -> Path:
    raise UserError(f"{source.file}: expected a connection, found none")


def _translate_nothing(parsed: argparse.Namespace) -> None:
    """fairseq-generate's output where the translations are the references."""
    assert parsed.beam >= 1 and parsed.max_tokens >= 1 and abs(parsed.lenpen) < 1e300
    folder, subset = Path(parsed.data).parent / "tok", parsed.gen_subset
    lines = (folder / f"{subset}.en").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        print(f"T-{number}\t{line}\nD-{number}\t-0.5\t{line}")


@pytest.fixture(scope="module")
def harmless(materials: Path) -> Iterator[None]:
    """Where a long work begins (a process, a download, a translation), nothing begins."""
    from fairseq_cli import generate

    from fairseq_labo.experiments.data import binarize, download, parallel
    from fairseq_labo.experiments.studies import workflow  # noqa: F401  (before Popen is none)
    from fairseq_labo.experiments.training import inquiry, launch, presets
    from tests import quick_configuration

    quick_configuration.install()

    # In this order: what is patched last is undone first.
    with preprocessing_in_process(), pytest.MonkeyPatch.context() as patch:
        preprocess = binarize.run_logged

        def one_worker(command: Sequence[str], log_file: Path, **options: Any) -> int:
            words = list(command)
            words[words.index("--workers") + 1] = "1"
            return preprocess(words, log_file, **options)

        patch.setattr(binarize, "run_logged", one_worker)
        patch.setattr(subprocess, "Popen", NoProcess)
        patch.setattr(launch, "apart", inquiry._quietly)
        patch.setattr(presets, "apart", inquiry._quietly)
        threads = SimpleNamespace(get_context=lambda kind: FewThreads)
        patch.setattr(parallel, "multiprocessing", threads)
        # The embedded corpus is cut short.
        files = {path.name: path for path in (materials / "microworld").iterdir()}
        patch.setattr(microworld, "SIZES", SENTENCES)
        patch.setattr(microworld, "FOLDER", materials / "microworld")
        hashes = {name: sha256_of(path) for name, path in files.items()}
        patch.setattr(microworld, "SHA256", hashes)
        patch.setattr(download, "fetch", _no_download)
        patch.setattr(generate, "main", _translate_nothing)
        patch.delenv("LABO_HOME", raising=False)
        yield


@pytest.fixture
def corpus(materials: Path, tmp_path: Path) -> Path:
    return shutil.copytree(materials / "corpus", tmp_path / "corpus")


@pytest.fixture
def save(materials: Path, tmp_path: Path) -> Path:
    """The folder of one checkpoint, trained on `materials`'s corpus."""
    (tmp_path / "save").mkdir()
    shutil.copyfile(materials / "save" / BEST, tmp_path / "save" / BEST)
    return tmp_path / "save"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "_fairseq_generate", translated)
