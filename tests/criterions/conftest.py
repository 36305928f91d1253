"""fairseq's own objects in this process: task, model and criterion on the toy corpus."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import TRAINING, USER_DIR


class Built(NamedTuple):
    """What fairseq-train would build from the same flags, and its first batch."""

    task: Any
    model: Any
    criterion: Any
    batch: dict[str, Any]


@pytest.fixture
def build(toy_corpus: Path) -> Callable[..., Built]:
    """`build(*flags)`: task, model (the same weights every time), criterion and a batch."""

    def build(*flags: object) -> Built:
        import torch
        from fairseq import options, tasks
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf

        arguments = [str(toy_corpus / "bin"), "--user-dir", str(USER_DIR), *TRAINING]
        parser = options.get_training_parser()
        namespace = options.parse_args_and_arch(parser, [*arguments, *map(str, flags)])
        config = convert_namespace_to_omegaconf(namespace)
        task = tasks.setup_task(config.task)
        torch.manual_seed(0)
        model = task.build_model(config.model)
        criterion = task.build_criterion(config.criterion)
        task.load_dataset("valid")
        dataset = task.dataset("valid")
        return Built(task, model, criterion, dataset.collater([dataset[n] for n in range(7)]))

    return build
