"""Lines through several processes: the same bytes, in order, and in little memory."""

import os
import signal
import threading
import time
import tracemalloc
from functools import partial
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import moses, parallel
from fairseq_labo.experiments.data.parallel import Workers
from fairseq_labo.experiments.files import read_lines, write_lines

LINES = [f"{n} Zeile\u2028mit\rTrennern ÄÖ." for n in range(400)] + ["", "\x0c", "letzte"]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SHARD_BYTES", 256)
    monkeypatch.setattr(parallel, "COUNTING_SHARD_BYTES", 512)


@pytest.mark.usefixtures("small_shards")
def test_as_with_one_process(tmp_path: Path) -> None:
    source = tmp_path / "text"
    write_lines(source, LINES)
    function = partial(moses.tokenize_with, moses.TokenizerOptions("de"))
    with Workers(1) as one, Workers(2) as two:
        for workers, name in ((one, "one"), (two, "two")):
            assert workers.map_lines(function, source, tmp_path / name) == len(LINES)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        expected = [moses.tokenize(line, language="de") for line in LINES]
        assert list(read_lines(tmp_path / "two")) == expected
        counts = [list(w.count_words([source, tmp_path / "one"]).items()) for w in (one, two)]
    assert counts[0] == counts[1]
    assert dict(counts[0])["Zeile"] == 800


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("text", ["", "\n", "ein Ende ohne Umbruch", "\n\n" * 300, "x" * 3000])
def test_edges_of_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "text").write_text(text, encoding="utf-8")
    with Workers(1) as workers:
        lines = workers.map_lines(str, tmp_path / "text", tmp_path / "out")
    assert list(read_lines(tmp_path / "out")) == list(read_lines(tmp_path / "text"))
    assert lines == len(list(read_lines(tmp_path / "text")))


def test_an_error_in_a_process_arrives(tmp_path: Path) -> None:
    write_lines(tmp_path / "text", ["1", "two"])
    with Workers(2) as workers, pytest.raises(ValueError, match="'two'"):
        workers.map_lines(_number, tmp_path / "text", tmp_path / "out")


def test_signals_come_when_the_pool_is_whole(tmp_path: Path) -> None:
    """Not to the processes, which the parent ends, nor to the parent while it starts them."""
    came = []
    before = signal.signal(signal.SIGHUP, lambda *_: came.append(1))
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)  # which the signal may be given to
    other.start()
    try:
        with parallel._signals_held_back():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
            assert not came
        assert came == [1]
    finally:
        ended.set()
        other.join()
        signal.signal(signal.SIGHUP, before)
    write_lines(tmp_path / "text", ["x"])
    with Workers(2) as workers:
        workers.map_lines(_blocked_signals, tmp_path / "text", tmp_path / "out")
    assert list(read_lines(tmp_path / "out")) == ["SIGHUP SIGINT"]
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "SHARD_BYTES", 1 << 16)
    peaks = []
    for size in (10_000, 80_000):
        write_lines(tmp_path / "text", ("some words in a line" for _ in range(size)))
        with Workers(1) as workers:
            tracemalloc.start()
            workers.map_lines(str, tmp_path / "text", tmp_path / "out")
            workers.count_words([tmp_path / "text"])
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def _number(line: str) -> str:
    return str(int(line))


def _blocked_signals(line: str) -> str:
    return " ".join(sorted(number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])))
