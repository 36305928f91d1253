"""fp32, fp16, bf16 and mixed precision through fairseq-train; on the CPU as far as it goes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import TRAINING
from tests.criterions.conftest import Built
from tests.criterions.conftest import build as build  # the fixture
from tests.training.runs import LABO, TSLA, Run, Train, fairseq_train

pytestmark = pytest.mark.slow  # trainings

# On the CPU fairseq's flat float32 copy cannot be built, which asks for the current GPU.
PRECISIONS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "fp16": (("--fp16", "--fp16-init-scale", 128, "--fp16-no-flatten-grads"), {}),
    "memory-efficient-fp16": (("--memory-efficient-fp16", "--fp16-init-scale", 128), {}),
    # Not --bf16: fairseq's command line takes it to mean a TPU. Hydra's key does not.
    "bf16": ((), {"common.bf16": True, "common.fp16_no_flatten_grads": True}),
    "memory-efficient-bf16": ((), {"common.bf16": True, "common.memory_efficient_bf16": True}),
}
RUN = ("--smoothing-updates", 12, "--max-update", 20)


@pytest.fixture(scope="module", params=["labo", "tsla", "tsla with a teacher"])
def criterion(request: pytest.FixtureRequest, teacher: Path) -> tuple[Any, ...]:
    return {
        "labo": LABO,
        "tsla": TSLA,
        "tsla with a teacher": (*TSLA, "--teacher-path", teacher),
    }[request.param]


@pytest.fixture(scope="module")
def full(
    criterion: tuple[Any, ...], toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """The same training in float32, on the CPU."""
    folder = tmp_path_factory.mktemp("fp32")
    return fairseq_train(toy_corpus / "bin", folder, *TRAINING, *criterion, *RUN)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_half_precision_learns_what_fp32_does(
    precision: str, criterion: tuple[Any, ...], full: Run, train: Train
) -> None:
    flags, config = PRECISIONS[precision]
    half = train("half", *criterion, *RUN, *flags, config=config)
    dtype = torch.bfloat16 if config else torch.float16
    weight = half.parameters()["encoder.layers.0.fc1.weight"]  # saved as float32, whatever it was
    assert torch.equal(weight.to(dtype).float(), weight)
    for key in ("loss", "nll_loss", "reg_loss", "label_entropy"):
        for ours, theirs in zip(half.logged(key), full.logged(key), strict=True):
            assert ours == pytest.approx(theirs, abs=0.08), key
    assert half.logged("smoothing") == full.logged("smoothing")
    if dtype == torch.float16:
        assert set(half.logged("loss_scale")) == {128.0}
    assert half.last("nll_loss") == pytest.approx(full.last("nll_loss"), abs=0.08)


def test_bf16_flag_is_refused_by_fairseq(train: Train) -> None:
    """Its command line takes --bf16 for a TPU, of which there is none."""
    with pytest.raises(AttributeError, match="xla_device"):
        train("run", *LABO, *RUN, "--bf16")


def test_step_under_autocast(criterion: tuple[Any, ...], build: Callable[..., Built]) -> None:
    """What --amp does on a GPU: logits in half precision, the loss and its sums in float32."""
    results = []
    for enabled in (True, False):
        built = build(*criterion, "--smoothing-updates", 12)
        built.criterion.progress.num_updates = 0
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            assert built.model(**built.batch["net_input"])[0].dtype == (
                torch.bfloat16 if enabled else torch.float32
            )
            loss, _, log = built.criterion(built.model, built.batch)
        assert loss.dtype == log["nll_loss"].dtype == torch.float32
        loss.backward()
        gradients = [parameter.grad for parameter in built.model.parameters()]
        results.append((loss.item(), torch.cat([g.flatten() for g in gradients if g is not None])))
    (half_loss, half), (full_loss, full) = results
    assert half_loss == pytest.approx(full_loss, rel=5e-3)
    assert torch.nn.functional.cosine_similarity(half, full, dim=0) > 0.999


GPU_PRECISIONS = {
    "fp32": (),
    "fp16": ("--fp16",),
    "memory-efficient-fp16": ("--memory-efficient-fp16",),
    "amp": ("--amp",),
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", GPU_PRECISIONS)
def test_precisions_on_a_gpu(
    precision: str, criterion: tuple[Any, ...], full: Run, toy_corpus: Path, tmp_path: Path
) -> None:
    on_gpu = [flag for flag in TRAINING if flag != "--cpu"]
    flags = GPU_PRECISIONS[precision]
    ours = fairseq_train(toy_corpus / "bin", tmp_path / "gpu", *on_gpu, *criterion, *RUN, *flags)
    assert ours.last("num_updates") == 20
    assert ours.last("nll_loss") == pytest.approx(full.last("nll_loss"), abs=0.1)
    chosen = set(re.findall(r"is computed by impl='(\w+)'", ours.output))
    assert chosen == {"triton"}  # right kernels were rejected under autocast
