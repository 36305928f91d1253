"""Tasks and models of fairseq under both criterions: what trains, and what is refused."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.criterions.conftest import Built
from tests.criterions.conftest import build as build  # the fixture
from tests.training.runs import LABO, TSLA, Run, Train, fairseq_train

pytestmark = pytest.mark.slow  # trainings

# TRAINING of tests/conftest.py without its model.
TRAINING = (
    *("--optimizer", "adam", "--lr", "5e-3", "--max-tokens", "320", "--num-workers", "0"),
    *("--cpu", "--log-format", "json", "--log-interval", "5", "--seed", "3"),
)
RUN = ("--smoothing-updates", 10, "--max-update", 20)
CRITERIONS = {"labo": LABO, "tsla": TSLA}
WIDTHS = ("--encoder-embed-dim", 32, "--decoder-embed-dim", 32)
LAYERS = ("--encoder-layers", 1, "--decoder-layers", 1)
HEADS = ("--encoder-attention-heads", 2, "--decoder-attention-heads", 2)
FEED_FORWARD = ("--encoder-ffn-embed-dim", 64, "--decoder-ffn-embed-dim", 64)
TRANSFORMER = ("--arch", "transformer", *WIDTHS, *LAYERS, *HEADS, *FEED_FORWARD)
LSTM = (
    *("--arch", "lstm", *WIDTHS, "--encoder-hidden-size", 32, "--decoder-hidden-size", 32),
    *("--decoder-out-embed-dim", 32),
)
LIGHTCONV = (
    *("--arch", "lightconv", *WIDTHS, *LAYERS, *HEADS, *FEED_FORWARD),
    *("--encoder-conv-dim", 32, "--decoder-conv-dim", 32),
    *("--encoder-kernel-size-list", "[3]", "--decoder-kernel-size-list", "[3]"),
)
FCONV = (
    *("--arch", "fconv", *WIDTHS, "--decoder-out-embed-dim", 32),
    *("--encoder-layers", "[(32, 3)]", "--decoder-layers", "[(32, 3)]"),
)
ADAPTIVE = ("--adaptive-softmax-cutoff", "8,12")
MODELS: dict[str, tuple[Any, ...]] = {
    "transformer": TRANSFORMER,
    "transformer, shared embeddings": (*TRANSFORMER, "--share-all-embeddings"),
    "transformer, adaptive softmax": (*TRANSFORMER, *ADAPTIVE),
    "lstm": LSTM,
    "lstm, shared embeddings": (*LSTM, "--share-all-embeddings"),
    "lightconv": LIGHTCONV,
    "lightconv, shared embeddings": (*LIGHTCONV, "--share-all-embeddings"),
    "fconv": FCONV,
    "fconv, shared embeddings": (*FCONV, "--share-input-output-embed"),
}


def assert_learns(data: object, save_dir: Path, *flags: object) -> Run:
    run = fairseq_train(data, save_dir, *flags, *TRAINING, *RUN)
    nll = run.logged("nll_loss")
    assert len(nll) == 4 and nll[-1] < nll[0] - 0.2
    assert [weight > 0 for weight in run.logged("smoothing")] == [True, True, False, False]
    assert run.logged("reg_loss")[:2] == [value for value in run.logged("reg_loss") if value > 0]
    assert run.last("loss") == run.last("nll_loss") < nll[0]
    return run


@pytest.mark.parametrize("criterion", CRITERIONS)
@pytest.mark.parametrize("model", MODELS)
def test_translation(model: str, criterion: str, toy_corpus: Path, tmp_path: Path) -> None:
    assert_learns(toy_corpus / "bin", tmp_path, *MODELS[model], *CRITERIONS[criterion])


def test_adaptive_softmax_has_the_gradient_of_its_probabilities(
    build: Callable[..., Built],
) -> None:
    """Label smoothing written out on p of the head times p within the cluster."""
    flags = (*ADAPTIVE, "--decoder-normalize-before", "--label-smoothing", 0.2)
    built = build("--criterion", "tsla_cross_entropy", "--smoothing-updates", 5, *flags)
    built.criterion.progress.num_updates = 0
    loss = built.criterion(built.model, built.batch)[0]
    loss.backward()
    found = [parameter.grad.clone() for parameter in built.model.parameters()]

    built.model.zero_grad()
    softmax = built.model.decoder.adaptive_softmax
    counted = built.batch["target"].ne(built.criterion.padding_idx)
    features = built.model(**built.batch["net_input"])[0][counted]
    head = torch.softmax(softmax.head(features), -1)
    first, second = (torch.softmax(tail(features), -1) for tail in softmax.tail)
    p = torch.cat((head[:, :8], head[:, 8:9] * first, head[:, 9:10] * second), -1)
    vocab_size = len(built.task.target_dictionary)
    q = torch.full_like(p, 0.2 / (vocab_size - 1))
    q.scatter_(1, built.batch["target"][counted].unsqueeze(1), 0.8)
    expected = -(q * p.log()).sum()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for gradient, parameter in zip(found, built.model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-5)


def test_translation_multi_simple_epoch(toy_corpus: Path, tmp_path: Path) -> None:
    assert_learns(
        toy_corpus / "bin",
        tmp_path,
        *("--task", "translation_multi_simple_epoch", "--langs", "de,en"),
        *("--lang-pairs", "de-en", *TRANSFORMER, *LABO),
    )


@pytest.fixture(scope="session")
def monolingual(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The English side of the toy corpus, named as language_modeling reads it."""
    folder = tmp_path_factory.mktemp("monolingual")
    for split in ("train", "valid", "test"):
        for suffix in ("bin", "idx"):
            shutil.copy(toy_corpus / "bin" / f"{split}.de-en.en.{suffix}", folder)
            (folder / f"{split}.de-en.en.{suffix}").rename(folder / f"{split}.{suffix}")
    shutil.copy(toy_corpus / "bin" / "dict.en.txt", folder / "dict.txt")
    return folder


LANGUAGE_MODEL = (
    *("--task", "language_modeling", "--arch", "transformer_lm", "--decoder-embed-dim", 32),
    *("--decoder-layers", 1, "--decoder-attention-heads", 2, "--decoder-ffn-embed-dim", 64),
    *("--tokens-per-sample", 64),
)


@pytest.mark.parametrize("softmax", [(), ADAPTIVE])
def test_language_modeling_and_eval_lm(
    softmax: tuple[str, ...], monolingual: Path, tmp_path: Path, fairseq: Callable[..., str]
) -> None:
    whole = ("--required-batch-size-multiple", 1)  # both validate on every block
    flags = ("--criterion", "labo_cross_entropy", *softmax)
    trained = assert_learns(monolingual, tmp_path, *LANGUAGE_MODEL, *flags, *whole)
    checkpoint = tmp_path / "checkpoint_last.pt"
    length = ("--tokens-per-sample", 64)  # fairseq's own default is longer than the model reads
    output = fairseq(
        "eval_lm", monolingual, "--path", checkpoint, "--gen-subset", "valid", *length, *whole
    )
    (tokens,) = re.findall(r"Evaluated ([\d,]+) tokens", output)
    (loss,) = re.findall(r"Loss \(base 2\): ([\d.]+)", output)
    assert int(tokens.replace(",", "")) > 0
    assert float(loss) == pytest.approx(trained.last("loss"), abs=2e-3)


def test_the_prior_of_a_language_model_is_that_of_its_training_subset(
    monolingual: Path, tmp_path: Path
) -> None:
    """Its task does not know --train-subset."""
    data = tmp_path / "data"
    data.mkdir()
    for path in monolingual.iterdir():
        shutil.copy(path, data / path.name.replace("train.", "small."))
    flags = (*LANGUAGE_MODEL, *TRAINING, *LABO, "--label-prior", "unigram")
    flags = (*flags, "--train-subset", "small", "--max-update", 2)
    output = fairseq_train(data, tmp_path / "run", *flags).output
    assert re.search(r"counted [\d,]+ target tokens in \['\S+/data/small'\]", output)


def test_language_modeling_by_sentence(monolingual: Path, tmp_path: Path) -> None:
    """Where fairseq uses a name that numpy has dropped (see `fairseq_labo.numpy_names`)."""
    assert_learns(monolingual, tmp_path, *LANGUAGE_MODEL, *LABO, "--sample-break-mode", "eos")


def test_batches_by_buckets(train: Train) -> None:
    """The same for translation."""
    run = train("run", *TRANSFORMER, *LABO, "--num-batch-buckets", 2, "--max-update", 5)
    assert len(run.logged("loss")) == 1


def test_a_language_model_teaches_a_language_model(monolingual: Path, tmp_path: Path) -> None:
    common = (*LANGUAGE_MODEL, *TRAINING)
    teacher = fairseq_train(
        monolingual, tmp_path / "teacher", *common, "--criterion", "cross_entropy",
        *("--max-update", 20),
    )  # fmt: skip
    path = teacher.save_dir / "checkpoint_last.pt"
    assert_learns(monolingual, tmp_path / "taught", *LANGUAGE_MODEL, *TSLA, "--teacher-path", path)


def test_a_teacher_of_another_architecture(toy_corpus: Path, tmp_path: Path) -> None:
    data, flags = toy_corpus / "bin", ("--criterion", "cross_entropy", "--max-update", 5)
    lstm = fairseq_train(data, tmp_path / "lstm", *LSTM, *TRAINING, *flags)
    path = lstm.save_dir / "checkpoint_last.pt"
    assert_learns(data, tmp_path / "taught", *TRANSFORMER, *TSLA, "--teacher-path", path)


def test_adaptive_softmax_of_lightconv_is_refused_by_fairseq(train: Train) -> None:
    """With any criterion: its decoder asks for a flag that this model has not."""
    for criterion in (LABO, ("--criterion", "cross_entropy")):
        with pytest.raises(AttributeError, match="tie_adaptive_weights"):
            train("run", *LIGHTCONV, *ADAPTIVE, *criterion)


NON_AUTOREGRESSIVE = [
    ("translation_lev", "levenshtein_transformer"),
    ("translation_lev", "cmlm_transformer"),
    ("translation_lev", "nonautoregressive_transformer"),
    ("translation", "nonautoregressive_transformer"),
]


@pytest.mark.parametrize(("task", "arch"), NON_AUTOREGRESSIVE)
@pytest.mark.parametrize("criterion", CRITERIONS)
def test_non_autoregressive_translation_is_refused(
    task: str, arch: str, criterion: str, train: Train, tmp_path: Path
) -> None:
    flags = ("--task", task, "--arch", arch, *CRITERIONS[criterion], *RUN)
    with pytest.raises(RuntimeError, match=r"expected an autoregressive task and model, found .+"):
        train("run", *flags)
    assert not list(tmp_path.rglob("crash.pt"))  # a checkpoint of an untrained model


def test_fully_sharded_is_refused_without_fairscale(train: Train) -> None:
    """fairseq's own refusal, before the criterion is built."""
    with pytest.raises(ImportError, match="Please install fairscale"):
        train("run", *LABO, *RUN, "--ddp-backend", "fully_sharded")
