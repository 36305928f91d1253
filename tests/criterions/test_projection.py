"""--fused-projection: the same losses, logs and gradients as from the logits."""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fairseq.models.transformer_lm import TransformerLanguageModel
from fairseq.nan_detector import NanDetector

from fairseq_labo.criterions.projection import decoder_features, why_not_fused
from fairseq_labo.ops import chunked_linear
from tests.criterions.conftest import Build, Built
from tests.training.runs import Train

LABO = ("--criterion", "labo_cross_entropy", "--labo-beta", "2.5")
TSLA = ("--criterion", "tsla_cross_entropy", "--smoothing-updates", "5")


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_linear, "CPU_CHUNK_BYTES", 4096)


FUSED = "--fused-projection"


def run(built: Built, *, training: bool = True, reduce: bool = True) -> tuple[Any, ...]:
    """Loss, sample size, log, and the gradients by name."""
    built.criterion.progress.num_updates, built.criterion.progress.epoch = 0, 1
    built.model.train(training)
    built.criterion.train(training)
    built.model.zero_grad()
    with torch.set_grad_enabled(training):
        loss, sample_size, log = built.criterion(built.model, built.batch, reduce=reduce)
    if training:
        loss.sum().backward()
    named = {name: p.grad for name, p in built.model.named_parameters() if p.grad is not None}
    return loss.detach(), sample_size, log, {name: grad.clone() for name, grad in named.items()}


@pytest.mark.parametrize("criterion", [LABO, TSLA])
@pytest.mark.parametrize(
    "flags",
    [
        (),  # TINY_MODEL shares all embeddings, the output layer's among them
        ("--report-accuracy", "--ignore-prefix-size", "1", "--sentence-avg"),
    ],
)
@pytest.mark.parametrize(("training", "reduce"), [(True, True), (True, False), (False, True)])
def test_same_step_as_from_the_logits(
    build: Build,
    criterion: tuple[str, ...],
    flags: tuple[str, ...],
    training: bool,
    reduce: bool,
) -> None:
    expected = run(build(*criterion, *flags), training=training, reduce=reduce)
    found = run(build(*criterion, *flags, "--fused-projection"), training=training, reduce=reduce)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-6)
    assert found[1] == expected[1] and found[2].keys() == expected[2].keys()
    for key, value in expected[2].items():
        assert float(found[2][key]) == pytest.approx(float(value), rel=1e-5), key
    assert found[3].keys() == expected[3].keys() and bool(found[3]) is training
    for name, gradient in expected[3].items():
        torch.testing.assert_close(found[3][name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("wrapped", "weight"),
    [
        (lambda layer: layer, "weight"),
        # A power iteration goes on each time that the weight is read.
        (torch.nn.utils.parametrizations.spectral_norm, "parametrizations.weight.original"),
    ],
)
def test_an_output_layer_of_its_own(
    build: Build, wrapped: Callable[[torch.nn.Module], torch.nn.Module], weight: str
) -> None:
    """Neither tied to the embeddings, nor without a bias."""
    losses = []
    for flags in (LABO, (*LABO, "--fused-projection")):
        built = build(*flags)
        torch.manual_seed(1)
        layer = torch.nn.Linear(32, len(built.task.target_dictionary))
        built.model.decoder.output_projection = wrapped(layer)
        _, _, _, gradients = run(built)
        losses.append([gradients[f"decoder.output_projection.{name}"] for name in (weight, "bias")])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


def test_embeddings_that_have_no_weight(build: Build) -> None:
    """Adaptive ones, and those of characters: nothing that the output layer could be tied to."""
    built = build(*LABO, "--fused-projection")
    decoder: Any = built.model.decoder
    decoder.embed_tokens = torch.nn.Sequential(decoder.embed_tokens)
    run(built)


def test_models_without_such_a_layer_are_refused(build: Build) -> None:
    from fairseq.models import lstm

    built = build(*LABO, "--fused-projection")
    small = argparse.Namespace(criterion="", encoder_layers=1, decoder_layers=1)
    lstm.base_architecture(small)
    other = built._replace(model=lstm.LSTMModel.build_model(small, built.task))
    with pytest.raises(RuntimeError, match=r"LSTMModel is no transformer.*leave out --fused-proj"):
        run(other)
    built.model.decoder.adaptive_softmax = torch.nn.Identity()
    with pytest.raises(RuntimeError, match=r"has an adaptive softmax.*leave out --fused-proj"):
        run(built)


def test_a_model_that_does_not_give_its_features_is_refused(build: Build) -> None:
    """fairseq's transformer_align."""
    built = build(*LABO, "--fused-projection", "--arch", "transformer_align")
    with pytest.raises(RuntimeError, match=r"TransformerAlignModel does not give its features"):
        run(built)


def test_an_output_layer_of_another_width_is_refused(build: Build) -> None:
    """With the flags for which fairseq's own forward fails."""
    shape, flag = ("--share-decoder-input-output-embed", "--decoder-output-dim", 8), [FUSED]
    built = build(*LABO, FUSED, *shape)
    with pytest.raises(RuntimeError, match=r"has features of 8 for a layer of 32: leave out"):
        run(built)
    # With this one fairseq leaves the features as they are, and the layer fits.
    losses = [run(build(*LABO, *fused, *shape, "--tie-adaptive-weights")) for fused in ([], flag)]
    assert float(losses[0][0]) == pytest.approx(float(losses[1][0]))


def test_a_decoder_with_an_output_layer_in_its_own_way_is_refused(build: Build) -> None:
    built = build(*LABO, "--fused-projection")

    class Scaled(type(built.model.decoder)):  # type: ignore[misc]
        def output_layer(self, features: torch.Tensor) -> torch.Tensor:
            return super().output_layer(features) * 0.5

    assert why_not_fused(built.model) is None
    built.model.decoder.__class__ = Scaled
    with pytest.raises(RuntimeError, match="no plain linear output layer"):
        decoder_features(built.model, built.batch["net_input"])


def soft_capped(built: Built) -> None:
    class Capped(type(built.model.decoder)):  # type: ignore[misc]
        def forward(self, *words: Any, features_only: bool = False, **options: Any) -> Any:
            out, extra = super().forward(*words, features_only=features_only, **options)
            return (out if features_only else 2.0 * torch.tanh(out / 2.0)), extra

    built.model.decoder.__class__ = Capped


def masked(built: Built) -> None:
    class Masked(type(built.model)):  # type: ignore[misc]
        def forward(self, *words: Any, **options: Any) -> Any:
            out, extra = super().forward(*words, **options)
            return out - 30.0 * torch.arange(out.size(-1)).eq(3), extra

    built.model.__class__ = Masked


def with_more_of_its_own(built: Built) -> None:
    class WithMore(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) + input.sum(-1, keepdim=True)

    built.model.decoder.output_projection.__class__ = WithMore


def replaced_on_the_instance(built: Built) -> None:
    before = built.model.decoder.output_layer
    built.model.decoder.output_layer = lambda features: before(features) * 0.5


def hooked(built: Built) -> None:
    built.model.decoder.output_projection.register_forward_hook(lambda *case: case[-1] * 0.5)


def hooked_outside(built: Built) -> None:
    built.model.decoder.register_forward_hook(lambda *case: None)


def hooked_before(built: Built) -> None:
    built.model.register_forward_pre_hook(lambda *case: None)


def hooked_behind(built: Built) -> None:
    """What clips the gradient of the logits."""
    layer = built.model.decoder.output_projection
    layer.register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] * 0.1,))


def hooked_before_backward(built: Built) -> None:
    layer = built.model.decoder.output_projection
    layer.register_full_backward_pre_hook(lambda module, outputs: (outputs[0] * 0.1,))


def weight_normed(built: Built) -> None:
    """Its weight is computed by a hook, before each call."""
    layer = torch.nn.Linear(32, len(built.task.target_dictionary), bias=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        built.model.decoder.output_projection = torch.nn.utils.weight_norm(layer)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (soft_capped, "has a Capped with a forward of its own"),
        (masked, "Masked has a forward of its own"),
        (with_more_of_its_own, "no plain linear output layer"),
        (replaced_on_the_instance, "no plain linear output layer"),
        (hooked, "has hooks"),
        (hooked_outside, "has hooks"),
        (hooked_before, "has hooks"),
        (hooked_behind, "has hooks"),
        (hooked_before_backward, "has hooks"),
        (weight_normed, "has hooks"),
    ],
)
def test_a_model_that_changes_its_logits_is_refused(
    build: Build, change: Callable[[Built], None], match: str
) -> None:
    """Without a word, another model was trained than the one that translates."""
    built = build(*LABO, "--fused-projection")
    change(built)
    with pytest.raises(RuntimeError, match=f"{match}.*leave out --fused-proj"):
        run(built)


@pytest.mark.parametrize("arch", ["transformer_iwslt_de_en", "bart_base"])
def test_fairseq_s_own_models_are_taken(build: Build, arch: str) -> None:
    model = build(*LABO, "--fused-projection", "--arch", arch).model
    for each in (model, TransformerLanguageModel(model.decoder)):
        assert why_not_fused(each) is None
        with NanDetector(each):  # with which fairseq repeats a batch whose gradients are NaN
            assert why_not_fused(each) is None


def test_a_compiled_model_is_refused_by_its_name(build: Build) -> None:
    built = build(*LABO, "--fused-projection")
    compiled = torch.compile(built.model, backend="eager")
    with pytest.raises(RuntimeError, match=r"OptimizedModule is compiled.*leave out --fused-proj"):
        decoder_features(compiled, built.batch["net_input"])


@pytest.mark.slow
@pytest.mark.parametrize("criterion", [LABO, TSLA])
def test_training_is_the_same_to_rounding(train: Train, criterion: tuple[str, ...]) -> None:
    """Through the stage switch and under gradient accumulation, by fairseq-train."""
    flags = (*criterion, "--max-update", 8, "--update-freq", 2, "--report-accuracy")
    plain = train("plain", *flags)
    fused = train("fused", *flags, "--fused-projection")
    assert plain.logged("train_loss", "train")
    losses = fused.logged("train_loss", "train")
    assert losses == pytest.approx(plain.logged("train_loss", "train"), abs=2e-3)
    for key in ("loss", "reg_loss", "accuracy"):
        assert fused.last(key) == pytest.approx(plain.last(key), abs=5e-3), key


class Wrapped(torch.nn.Module):
    """What DistributedDataParallel shows of itself; the real one needs a process group."""

    find_unused_parameters = True

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, **net_input: Any) -> Any:
        return self.module(**net_input)


@pytest.mark.parametrize("tied", [False, True])
def test_a_layer_that_would_be_taken_for_unused_is_refused(build: Build, tied: bool) -> None:
    """By DistributedDataParallel, with an error of torch's that names no flag."""
    built = build(*LABO, "--fused-projection")
    if not tied:
        layer = built.model.decoder.output_projection
        layer.weight = torch.nn.Parameter(layer.weight.detach().clone())
    wrapped = Wrapped(built.model)
    if tied:
        assert decoder_features(wrapped, built.batch["net_input"]).hidden.requires_grad
    else:
        with pytest.raises(RuntimeError, match="--find-unused-parameters takes it for unused"):
            decoder_features(wrapped, built.batch["net_input"])
