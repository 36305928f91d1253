"""How many kernels a criterion launches on a GPU, without one: operations on tensors without data.

    python -m benchmarks.launches [--output FILE]

A step is a criterion's forward and backward in training, as fairseq calls it, from the logits of a
model to their gradient and the sums that are logged. Views, and tensors made without being filled,
launch nothing; a copy to another dtype does.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.trainer import SENTENCE_TOKENS, batches, configure
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.training.benchmark import variants
from fairseq_labo.ops import arguments, dispatch, triton_loss

# They make, name or look at tensors, and launch nothing.
NOTHING = ("aten::empty", "aten::detach", "aten::lift_fresh", "prim::", "aten::_unsafe_view")


class Launches(TorchDispatchMode):
    """Counts what is dispatched, by name, but for views and what makes tensors without filling."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.name()
        if not (function.is_view or name.startswith(NOTHING)):
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def launches_of(step: Callable[[], object]) -> Launches:
    with Launches() as launches:
        step()
    return launches


@contextmanager
def imaginary_kernels(launches: Counter[str]) -> Iterator[None]:
    """``impl="auto"`` takes Triton's kernels, which are counted and not launched."""
    names = "forward_kernel", "backward_kernel"
    kernels = SimpleNamespace(**{name: _Counted(launches, name) for name in names})
    lanes = triton_loss._Lanes(1, 1, 1, 1)
    with ExitStack() as patches:
        for module, name, stand_in in (
            (dispatch, "choose", lambda *_, **__: "triton"),
            (arguments, "check_target", lambda target, **_: target),  # on CUDA the kernel does it
            (triton_loss, "triton_unavailable", lambda logits: None),
            (triton_loss, "_kernels", lambda: kernels),
            (triton_loss, "_on_device", lambda tensor: nullcontext()),
            (triton_loss._Lanes, "for_logits", lambda logits: lanes),
        ):
            patches.enter_context(mock.patch.object(module, name, stand_in))
        yield


class _Counted:
    """Stands for a kernel: ``kernel[grid](...)`` is one launch of it."""

    def __init__(self, launches: Counter[str], name: str) -> None:
        self.launches, self.name = launches, name

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*operands: Any, **options: Any) -> None:
            self.launches[self.name] += 1

        return launch


def build(flags: list[str], shape: tuple[int, int, int]) -> tuple[Any, Any, Any]:
    """A small model, a criterion that is in training, and the dictionary.  shape: [B, T, V]"""
    config, task = configure(flags, argparse.Namespace(size="small", vocab_size=shape[2]), "fp32")
    criterion = task.build_criterion(config.criterion).train()
    task.begin_epoch(1, None)  # what the trainer tells a criterion
    if progress := getattr(criterion, "progress", None):
        progress.num_updates = 0
    return task.build_model(config.model).train(), criterion, task.target_dictionary


def criterion_step(flags: list[str], shape: tuple[int, int, int], dtype: torch.dtype) -> Launches:
    """Launches of one step of a fairseq criterion for logits of that shape [B, T, V]."""
    model, criterion, _ = build(flags, shape)
    # Not of the device "cuda", where autograd asks for a GPU; the operations are the same.
    with FakeTensorMode():
        logits = torch.empty(shape, dtype=dtype, requires_grad=True)
        target = torch.empty(shape[:2], dtype=torch.long)
        sample = {"net_input": {}, "target": target, "ntokens": target.numel()}
        with (
            mock.patch.object(model, "forward", lambda: (logits, None)),
            Launches() as launches,
            imaginary_kernels(launches.counts),
        ):
            loss, _, _ = criterion(model, sample)
            torch.autograd.grad(loss, logits)
    return launches


def whole_step(flags: list[str], shape: tuple[int, int, int]) -> Launches:
    """Launches of model and criterion, forward and backward, in float32, without the optimizer.

    On the CPU, whose attention and dropout are made of other operations than a GPU's. The kernels
    write nothing, so the numbers that are computed are none.
    """
    model, criterion, dictionary = build(flags, shape)
    batch = next(batches(dictionary, 2 * SENTENCE_TOKENS))
    with Launches() as launches, imaginary_kernels(launches.counts):
        criterion(model, batch)[0].backward()
    return launches


def main(words: list[str] | None = None) -> None:
    """Print the counts, and write them."""
    parser = argparse.ArgumentParser("python -m benchmarks.launches", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--output", type=Path, help="JSON file of the counts")
    options = parser.parse_args(words)
    for logger in ("fairseq", "hydra"):  # fairseq lets every logger talk
        logging.getLogger(logger).setLevel(logging.WARNING)
    shape = (120, 30, 8848)  # of IWSLT'14: 3,600 tokens
    rows = []
    for name, flags in variants(10**9).items():
        if "--fused-projection" not in flags:  # which has no logits
            launches, whole = criterion_step(flags, shape, torch.float16), whole_step(flags, shape)
            row = {"criterion": name, "launches": launches.total, "with_the_model": whole.total}
            rows.append(row | launches.counts)
            print(f"{name:<30} {launches.total:>4} {whole.total:>5}  {dict(launches.counts)}")
    if options.output:
        settings = {"shape": shape, "dtype": "fp16"}
        versions = {"torch": torch.__version__}
        write_json(options.output, {"settings": settings, "versions": versions, "rows": rows})


if __name__ == "__main__":
    main()
