"""How often each type occurs on the target side of the training data: what priors are made of.

Counted once, from the binarized files of the training split (``--train-subset``: ``train``, and
``train1``, ... where there are more, in every folder of the data path), whose target side is a
file of its own, so that with a joined dictionary no type of the source gets in. The first file of
several counts as often as ``--upsample-primary`` says. Every worker reads the same files. The
counts go into the task's state, which fairseq writes into every checkpoint: there fairseq-validate
finds them, whatever corpus it validates on.
"""

import itertools
import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from fairseq import utils
from fairseq.data.data_utils import load_indexed_dataset
from fairseq.data.indexed_dataset import MMapIndexedDataset, dataset_exists
from fairseq.tasks.language_modeling import LanguageModelingTask
from fairseq.tasks.translation import TranslationTask
from torch import Tensor

logger = logging.getLogger(__name__)

STATE_KEY = "target_counts"
DEFAULT_SPLIT = "train"
SENTENCES_AT_ONCE = 4096
TYPES_AT_ONCE = 1 << 22


def target_counts(task: Any, criterion: Any = None) -> Tensor:
    """Counts [V], int64, for `task.target_dictionary`: those of its checkpoint, or new ones.

    criterion: its configuration, with --train-subset, which tasks of language modeling do not know.

    ``</s>`` is counted once for each sentence, ``<unk>`` as often as it stands in the text; padding
    and ``<s>`` never occur.

    Raises:
        ValueError: the task is neither translation nor language modeling, there are no training
            data, or the counts of the checkpoint are of another dictionary.
    """
    size = len(task.target_dictionary)
    kept = task.state.state_dict.get(STATE_KEY)
    if kept is not None:
        if kept.shape != (size,):
            raise ValueError(
                f"expected counts of {size} types for --label-prior, found {kept.numel()} in the "
                f"checkpoint: it was trained with another dictionary"
            )
        return kept
    counts = np.zeros(0, np.int64)
    files = list(_target_files(task, criterion))
    for path, times in files:
        for types in _types(path, task):
            found = times * np.bincount(types, minlength=counts.size)
            found[: counts.size] += counts
            counts = found
    counts = np.pad(counts, (0, max(0, size - counts.size)))
    paths = [f"{times} x {path}" if times != 1 else path for path, times in files]
    logger.info("--label-prior: counted %s target tokens in %s", f"{counts.sum():,}", paths)
    # A truncated output dictionary has <unk> for the rest.
    counts[task.target_dictionary.unk()] += counts[size:].sum()
    result = torch.from_numpy(counts[:size])
    task.state.merge_state_dict({STATE_KEY: result})
    return result


def _target_files(task: Any, criterion: Any) -> Iterator[tuple[str, int]]:
    """Paths, without .bin and .idx, of the target side of the training data; how often it is read.

    That is --upsample-primary for the first of several files in a folder.
    """
    config = getattr(task, "cfg", None) or task.args
    pair = [getattr(config, side, None) for side in ("source_lang", "target_lang")]
    if isinstance(task, TranslationTask) and all(pair):
        source, target = pair
        pairs = (f"{source}-{target}", f"{target}-{source}")
        endings = [f".{pair}.{target}" for pair in pairs]
    elif isinstance(task, LanguageModelingTask):
        endings = [""]
    else:
        raise ValueError(
            f"--label-prior counts the target side of the tasks translation and language_modeling, "
            f"found {type(task).__name__}: leave it out"
        )
    said = [getattr(each, "train_subset", None) for each in (criterion, config)]
    subset = next(filter(None, said), DEFAULT_SPLIT)
    if "$" in subset:  # of a configuration that is not resolved
        subset = DEFAULT_SPLIT
    upsampled = max(1, getattr(config, "upsample_primary", 1))  # fairseq's default is -1
    for folder in utils.split_paths(config.data):
        files: list[str] = []
        for number in itertools.count():
            split = os.path.join(folder, f"{subset}{number or ''}")
            here = [split + ending for ending in endings]
            found = [path for path in here if dataset_exists(path, config.dataset_impl)]
            if not found and number == 0:
                raise ValueError(
                    f"--label-prior counts the target side of the training data: expected the "
                    f"binarized text {' or '.join(here)}, found no such file; check --train-subset "
                    f"and --dataset-impl, or leave --label-prior out"
                )
            if not found:
                break
            files.append(found[0])
        for number, path in enumerate(files):
            yield path, upsampled if number == 0 and len(files) > 1 else 1


def _types(path: str, task: Any) -> Iterator[np.ndarray]:
    """The type numbers of a binarized text, some at a time."""
    config = getattr(task, "cfg", None) or task.args
    dataset = load_indexed_dataset(path, task.target_dictionary, config.dataset_impl)
    if isinstance(dataset, MMapIndexedDataset):
        # fairseq's memory map of the whole text: reading it sentence by sentence takes minutes.
        text = np.frombuffer(dataset._bin_buffer, dataset._index.dtype)
        for start in range(0, text.size, TYPES_AT_ONCE):
            yield text[start : start + TYPES_AT_ONCE]
        return
    for start in range(0, len(dataset), SENTENCES_AT_ONCE):
        numbers = range(start, min(start + SENTENCES_AT_ONCE, len(dataset)))
        if dataset.supports_prefetch:
            dataset.prefetch(numbers)
        yield torch.cat([dataset[number] for number in numbers]).numpy()
