"""A checkpoint's logits for the reference, token by token: what validation sees."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairseq_labo.experiments.errors import UserError


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, and the task (dictionaries, data) that it was trained for."""

    model: Any
    task: Any
    device: torch.device


@dataclass(frozen=True)
class Sentence:
    """One sentence: its number in the subset, target [T] (ends in EOS), logits [T, V]."""

    number: int
    target: Tensor
    logits: Tensor


def load_model(
    checkpoint: Path, *, bin_dir: Path, cpu: bool = False, limits: Mapping[str, int] | None = None
) -> LoadedModel:
    """Load a translation checkpoint, on the GPU if there is one, unless `cpu`.

    `limits`: values of max_source_positions and max_target_positions, if other than its own.
    Raises UserError if it does not fit the dictionaries of `bin_dir`, or cannot be built.
    """
    from fairseq import checkpoint_utils

    try:
        models, _, task = checkpoint_utils.load_model_ensemble_and_task(
            [str(checkpoint)], arg_overrides={**(limits or {}), "data": str(bin_dir)}
        )
    except Exception as error:
        raise UserError(
            f"{checkpoint}: expected a model that fairseq builds for the data in {bin_dir}, found "
            f"{type(error).__name__}: {error}; evaluate it on the data that it was trained on"
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")
    return LoadedModel(models[0].to(device).eval(), task, device)


def subset_sentences(
    loaded: LoadedModel, *, subset: str, max_tokens: int, skip_long: bool = False
) -> Iterator[Sentence]:
    """Every sentence of a subset, in batches' order (of similar lengths), not the subset's.

    Without those too long for the model, if `skip_long`.
    """
    from fairseq.utils import resolve_max_positions

    task = loaded.task
    task.load_dataset(subset)
    iterator = task.get_batch_iterator(
        dataset=task.dataset(subset),
        max_tokens=max_tokens,
        max_positions=resolve_max_positions(task.max_positions(), loaded.model.max_positions()),
        ignore_invalid_inputs=skip_long,
        required_batch_size_multiple=1,  # or fairseq drops the end of the subset
        disable_iterator_cache=True,
    ).next_epoch_itr(shuffle=False)
    yield from sentences_of(loaded, iterator)


@torch.no_grad()
def sentences_of(loaded: LoadedModel, samples: Any) -> Iterator[Sentence]:
    """The sentences of fairseq's batches, padding left out."""
    from fairseq import utils

    from fairseq_labo.criterions.logits import model_logits

    padding = loaded.task.target_dictionary.pad()
    for batch in samples:
        sample = utils.move_to_cuda(batch) if loaded.device.type == "cuda" else batch
        net_output = loaded.model(**sample["net_input"])
        logits = model_logits(loaded.model, net_output)  # [B, T, V]
        target = loaded.model.get_targets(sample, net_output)  # [B, T]
        for row, number in enumerate(sample["id"].tolist()):
            kept = target[row].ne(padding)
            yield Sentence(number, target[row][kept], logits[row][kept])
