"""fairseq's thread that fills its buffer of batches, ended before the interpreter ends.

Whatever leaves an epoch early (``--max-update``, an error, Ctrl-C) leaves that thread at work. An
interpreter that ends unwinds such a thread when it comes back from torch's C++ code, and C++ then
aborts the process: a training that has said "done training" ends with status 134 and "terminate
called without an active exception".
"""

import queue
import sys
import threading
import time
from contextlib import suppress

WAIT_SECONDS = 10  # for the batch under way


def end_buffering() -> None:
    """Let every such thread finish the batch under way, and no other."""
    iterators = sys.modules.get("fairseq.data.iterators")
    if iterators is None:
        return
    threads = [
        each for each in threading.enumerate() if isinstance(each, iterators.BackgroundConsumer)
    ]
    for thread in threads:
        thread._max_len = 0  # it asks for this after each batch
    deadline = time.monotonic() + WAIT_SECONDS
    for thread in threads:
        while thread.is_alive() and time.monotonic() < deadline:
            with suppress(queue.Empty):  # where the buffer is full it waits for room
                thread._queue.get_nowait()
            thread.join(0.01)
