"""fairseq's preprocessor inside the test process: it starts in seconds, and runs in less."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import binarize


@pytest.fixture
def in_process_fairseq(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `binarize` call fairseq's main instead of a process of its own."""

    def run_logged(command: Sequence[str], log_file: Path) -> int:
        from fairseq import options
        from fairseq_cli import preprocess

        assert command[1:3] == ["-m", "fairseq_cli.preprocess"]
        logger = logging.getLogger("fairseq_cli.preprocess")
        before = list(logger.handlers)
        try:
            preprocess.main(options.get_preprocessing_parser().parse_args(command[3:]))
        finally:
            for handler in set(logger.handlers) - set(before):
                logger.removeHandler(handler)
                handler.close()
        log_file.touch()
        return 0

    monkeypatch.setattr(binarize, "run_logged", run_logged)
