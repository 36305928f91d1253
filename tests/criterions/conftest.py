"""fairseq's own objects in this process: task, model and criterion on the toy corpus."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import fairseq_labo  # noqa: F401  (registers the criterions)
from tests.conftest import TRAINING
from tests.training.conftest import teacher as teacher  # fixtures
from tests.training.conftest import train as train


class Built(NamedTuple):
    """What fairseq-train would build from the same flags, and its first batch."""

    task: Any
    model: Any
    criterion: Any
    batch: dict[str, Any]


Build = Callable[..., Built]


@functools.cache
def configuration(arguments: tuple[str, ...]) -> Any:
    """What fairseq-train makes of its command line."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    from tests import quick_configuration

    quick_configuration.install()
    namespace = options.parse_args_and_arch(options.get_training_parser(), list(arguments))
    return convert_namespace_to_omegaconf(namespace)


@pytest.fixture
def build(toy_corpus: Path) -> Build:
    """`build(*flags)`: task, model (the same weights every time), criterion and a batch."""

    def build(*flags: object) -> Built:
        from fairseq import tasks

        arguments = (str(toy_corpus / "bin"), *TRAINING, *map(str, flags))
        config = copy.deepcopy(configuration(arguments))
        task = tasks.setup_task(config.task)
        torch.manual_seed(0)
        model = task.build_model(config.model)
        criterion = task.build_criterion(config.criterion)
        task.load_dataset("valid")
        dataset = task.dataset("valid")
        return Built(task, model, criterion, dataset.collater([dataset[n] for n in range(7)]))

    return build
