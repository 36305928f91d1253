"""fairseq's thread that fills its buffer of batches, when a process ends while it is at work."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

# A batch is half a second of torch's C++ code; the process ends in the middle of one.
PROGRAM = """
import sys, time, torch
import fairseq_labo
from fairseq.data.iterators import BufferedIterator

class Batches:
    def __len__(self):
        return 1000

    def __iter__(self):
        part = torch.zeros(50_000)
        while True:
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                torch.cat([part, part])
            yield part

batches = BufferedIterator(SIZE, Batches())
next(batches)
time.sleep(0.2)
END
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 10])
@pytest.mark.parametrize(
    ("end", "status", "said"),
    [("print('done')", 0, ""), ("raise ValueError('wrong')", 1, "ValueError: wrong")],
)
def test_a_process_ends_as_it_would_without_it(size: int, end: str, status: int, said: str) -> None:
    program = PROGRAM.replace("SIZE", str(size)).replace("END", end)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, timeout=60
    )
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "terminate called" not in done.stderr


@pytest.mark.slow
def test_a_thread_that_waits_for_room_ends_too() -> None:
    """Else every training that --max-update ends would wait in vain for it."""
    program = PROGRAM.replace("SIZE", "1").replace("0.2", "2").replace("END", "import threading")
    program += """
from fairseq_labo.data_buffer import end_buffering
before = time.monotonic()
end_buffering()
assert threading.active_count() == 1, threading.enumerate()
assert time.monotonic() - before < 5
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, timeout=60
    )
    assert done.returncode == 0, done.stderr
