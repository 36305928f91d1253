"""Lines of large files through several processes, in order and in little memory.

A file is cut into ranges of about `SHARD_BYTES` at line ends; each process reads its range
itself, and the results are written in the file's order. So the output does not depend on the
number of processes, and memory not on the size of the file.
"""

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Self, TypeVar

ENDING: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHARD_BYTES = 1 << 20
COUNTING_SHARD_BYTES = 1 << 24  # words that occur in many shards travel once for each

LineFunction = Callable[[str], str]
Range = tuple[Path, int, int]
Result = TypeVar("Result")


class Workers:
    """A pool of processes, used as `with Workers(n) as workers`; with n = 1 there is none.

    Functions are module-level ones, or partials of them, since other processes call them.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._pool: Pool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    def map_lines(self, function: LineFunction, source: Path, target: Path) -> int:
        """Write `function` of each line of `source` to `target`; return the number of lines."""
        count = 0
        convert = partial(_convert, function)
        with target.open("wb") as stream:
            for lines, data in self._each(convert, _ranges(source, SHARD_BYTES)):
                stream.write(data)
                count += lines
        return count

    def count_words(self, texts: Iterable[Path]) -> Counter[str]:
        """Return how often each word, separated by white space, occurs in `texts` together.

        The words are in the order of their first occurrence.
        """
        counts: Counter[str] = Counter()
        for path in texts:
            for found in self._each(_count, _ranges(path, COUNTING_SHARD_BYTES)):
                counts.update(found)
        return counts

    def _each(
        self, function: Callable[[Range], Result], ranges: Iterator[Range]
    ) -> Iterator[Result]:
        if self.number == 1:
            return map(function, ranges)
        if self._pool is None:
            # Not fork: the parent may have threads, and children would keep its files open.
            spawn = multiprocessing.get_context("spawn")
            with _signals_held_back():
                self._pool = spawn.Pool(self.number, _accept_termination)
        return self._pool.imap(function, ranges)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let signals that end the command come after this block, and not to processes begun in it.

    So the pool is whole before it is terminated, and what a terminal sends to all processes at
    once is the parent's to act on.
    """
    resource_tracker.ensure_running()  # now, since its start lets signals through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    # Another thread may receive what this one does not let through; handlers run in this one.
    came: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in ENDING
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _accept_termination() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _ranges(path: Path, size: int) -> Iterator[Range]:
    """Yield (path, start, stop) in bytes; every range ends after a "\\n" or with the file."""
    start = 0
    total = path.stat().st_size
    with path.open("rb") as stream:
        while start < total:
            stream.seek(min(start + size, total) - 1)
            stream.readline()
            yield path, start, stream.tell()
            start = stream.tell()


def _lines(part: Range) -> Iterator[str]:
    path, start, stop = part
    with path.open("rb") as stream:
        stream.seek(start)
        while start < stop:
            line = stream.readline()
            start += len(line)
            yield line.removesuffix(b"\n").decode("utf-8")


def _convert(function: LineFunction, part: Range) -> tuple[int, bytes]:
    converted = [f"{function(line)}\n" for line in _lines(part)]
    return len(converted), "".join(converted).encode("utf-8")


def _count(part: Range) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in _lines(part):
        counts.update(line.split())
    return counts
