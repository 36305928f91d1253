"""fairseq's preprocessor as a process, and what it wrote."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import binarize
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_lines


def test_failure_of_fairseq_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any program that fails will do, and starts faster.
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nseq 1 100\necho No space left >&2\nexit 3\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    log = tmp_path / "preprocess.log"
    with pytest.raises(UserError, match=r"status 3, expected 0; .*preprocess\.log") as caught:
        binarize.binarize(
            tmp_path, tmp_path / "bin", source_lang="de", target_lang="en",
            splits=["train", "valid"], workers=1, log_file=log,
        )  # fmt: skip
    assert "\n100\nNo space left\n" in str(caught.value)
    assert "\n50\n" not in str(caught.value)


@pytest.mark.usefixtures("in_process_fairseq")
def test_index_that_does_not_match_the_text(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for lang in ("de", "en"):
            (tmp_path / "bpe").mkdir(exist_ok=True)
            write_lines(tmp_path / "bpe" / f"{split}.{lang}", ["ein H@@ und", "", "ein"])
    binarize.binarize(
        tmp_path / "bpe", tmp_path / "bin", source_lang="de", target_lang="en",
        splits=["train", "valid"], workers=1, log_file=tmp_path / "log",
    )  # fmt: skip
    index = tmp_path / "bin" / "valid.de-en.de.idx"
    assert binarize.read_index(index) == (3, 4 + 3)
    assert binarize.measure(tmp_path, "valid", "de", ("de", "en")) == (4, 0, [])
    write_lines(tmp_path / "bpe" / "valid.de", ["Ein Hund"])
    with pytest.raises(UserError, match="expected 1 sentences and 3 tokens as in"):
        binarize.measure(tmp_path, "valid", "de", ("de", "en"))
    index.write_bytes(b"no index")
    with pytest.raises(UserError, match="expected an index of fairseq's mmap data"):
        binarize.read_index(index)


@pytest.mark.skipif(
    sys.platform != "linux", reason="prctl is Linux's; run_logged calls it there only"
)
def test_a_command_does_not_outlive_a_parent_killed_before_it_began() -> None:
    for parent, ends in ((os.getpid(), False), (os.getpid() + 1, True)):
        child = os.fork()
        if child == 0:
            binarize.end_with(parent)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) == ends


def test_a_command_that_ends_as_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`Popen.wait` takes the end of a child that comes within its last quarter of a second."""

    class Ended(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            status = super().wait(timeout)
            if not hasattr(self, "told"):
                self.told = True
                raise KeyboardInterrupt
            return status

    monkeypatch.setattr(subprocess, "Popen", Ended)
    with pytest.raises(KeyboardInterrupt):
        binarize.run_logged(["true"], tmp_path / "log", cwd=tmp_path)


def test_an_interrupted_command_ends_with_its_own_processes(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            binarize.run_logged(
                ["sh", "-c", "sleep 99 & echo $! $PWD; wait"], tmp_path / "log", cwd=tmp_path
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    number, folder = (tmp_path / "log").read_text(encoding="utf-8").split()
    assert folder == str(tmp_path)
    stat = Path(f"/proc/{number}/stat")
    assert not stat.exists() or stat.read_text().split()[2] in "ZX"


@pytest.mark.parametrize("symbol", ["<s>", "</s>", "<pad>"])
def test_a_symbol_of_fairseq_s_own_is_no_word(symbol: str, tmp_path: Path) -> None:
    """Its end of the sentence within one, say; <unk> is what it says."""
    write_lines(tmp_path / "train.de", ["a <unk> b", "a<s> </s>b <<pad>>"])
    binarize.check_words(tmp_path / "train.de")
    write_lines(tmp_path / "train.de", ["a b", f"a {symbol} b"])
    with pytest.raises(UserError, match=rf"train.de, line 2: expected words, found {symbol}, a sy"):
        binarize.check_words(tmp_path / "train.de")
