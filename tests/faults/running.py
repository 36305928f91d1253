"""A command that is to be ended, or to find no room, while the test goes on."""

import os
import resource
import sys
from dataclasses import dataclass
from typing import Any

from fairseq_labo.experiments import cli


@dataclass
class Running:
    """A command in a copy of this process, which has imported what it needs."""

    number: int
    output: int

    @classmethod
    def start(cls, words: list[str], *, most_bytes: int | None = None) -> "Running":
        """`most_bytes`: no file may grow beyond that."""
        output, into = os.pipe()
        number = os.fork()
        if number == 0:
            status: Any = 99
            try:
                os.dup2(into, 1)
                os.dup2(into, 2)
                # Open until the process ends, so there is no `with` to close it.
                sys.stdout = sys.stderr = open(into, "w", closefd=False)  # noqa: SIM115
                if most_bytes is not None:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
                status = cli.main(words)
            except SystemExit as error:
                status = error.code
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(into)
        return cls(number, output)

    def end(self) -> tuple[int, str]:
        """Wait; exit status and output."""
        with open(self.output) as stream:
            said = stream.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1]), said
