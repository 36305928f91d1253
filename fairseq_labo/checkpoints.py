"""fairseq's checkpoints under torch's safe loader (``weights_only=True``, torch >= 2.6).

The safe loader builds tensors, containers and primitives, and refuses every other type unless
it is allow-listed. fairseq's checkpoints hold a few that are plain data:

- `argparse.Namespace`: the model's arguments, in every checkpoint;
- numpy's arrays of integers: the n-gram counts that ``--eval-bleu`` logs;
- omegaconf's containers, the types in their metadata, and fairseq's placeholder for a tensor:
  only in memory, when a resume broadcasts the state from the first worker to the others.

Exactly those are allow-listed. A checkpoint that holds anything else is still refused, before
any of its code runs, by torch's own error, which names the type.
"""

import argparse
import collections
import sys
import typing
from typing import Any

import numpy
import torch.serialization


def checkpoint_types() -> list[Any]:
    """The types allow-listed: those of omegaconf and fairseq only where these are at hand."""
    types: list[Any] = [argparse.Namespace, *_integer_array_types()]
    try:
        from omegaconf import AnyNode, DictConfig, ListConfig
        from omegaconf.base import ContainerMetadata, Metadata
    except ImportError:  # without omegaconf there is no fairseq either
        return types
    types += [DictConfig, ListConfig, AnyNode, ContainerMetadata, Metadata]
    # What the metadata names: the declared element, key and container types.
    types += [typing.Any, dict, list, int, collections.defaultdict]
    fairseq_utils = sys.modules.get("fairseq.distributed.utils")
    if fairseq_utils is not None:
        types.append(fairseq_utils._TensorPlaceholder)
    return types


def _integer_array_types() -> list[Any]:
    rebuild = numpy.zeros(1).__reduce__()[0]
    # Under numpy 2 the function has another path than in files that numpy 1 wrote.
    paths = [(rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    return [*paths, numpy.ndarray, numpy.dtype, type(numpy.dtype(int))]


def allow_fairseq_checkpoints() -> None:
    """Allow-list `checkpoint_types` in this process; calling it again changes nothing."""
    torch.serialization.add_safe_globals(checkpoint_types())
