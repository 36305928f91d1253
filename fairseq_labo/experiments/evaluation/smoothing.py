"""What label smoothing and LABO would teach at each target token of given sentences.

Both train on ``q = (1−α) e_y + α P``. For label smoothing P is the prior π itself: uniform, 1/V on
each token of the vocabulary, or one of `fairseq_labo.ops.priors`. For LABO it is
``P* ∝ π exp(z/β)``, computed here by the function that the criterion is tested against
(`fairseq_labo.ops.labo_targets`), from a checkpoint's logits with the reference given.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from fairseq_labo.experiments.console import format_table, printable
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.lengths import learned_positions
from fairseq_labo.experiments.evaluation.teacher_forcing import LoadedModel, Sentence, sentences_of
from fairseq_labo.ops import labo_targets
from fairseq_labo.ops.priors import prior_from_counts

# What smoothing towards a prior itself is called, where that is not its name.
SMOOTHING = {"target": "masked label smoothing"}
# Of a recipe: what makes tokens that `fairseq_labo.experiments.data.moses.tokenize` alone does not.
SPECIAL_RECIPES = ("aggressive_hyphens", "split_final_period", "released_tokens")


@dataclass(frozen=True)
class Method:
    """What gives P: LABO with that β, or the `prior` itself, which is β = inf."""

    beta: float
    prior: str = "uniform"

    @property
    def name(self) -> str:
        """``LABO β=2``, ``LABO β=2, unigram prior``, ``unigram smoothing``."""
        labo = f"LABO β={self.beta:g}"
        if self.prior == "uniform":
            return labo
        if math.isinf(self.beta):
            return SMOOTHING.get(self.prior, f"{self.prior} smoothing")
        return f"{labo}, {self.prior} prior"


def methods_of(betas: Sequence[float], priors: Sequence[str]) -> list[Method]:
    """By prior: smoothing towards it (of which the uniform one needs no P), then LABO."""
    of_prior = {prior: [] if prior == "uniform" else [math.inf] for prior in priors}
    found = [Method(beta, prior) for prior in priors for beta in (*of_prior[prior], *betas)]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class TokenSmoothing:
    """At one target token: the reference y, the model's p_y, and P of each `Method`.

    `likeliest[i]` belongs to the i-th: tokens with their probability, likeliest first, or if they
    all have the same, their number; `of_reference[i]` is P_y there.
    """

    reference: str
    probability: float
    likeliest: tuple[tuple[tuple[str, float], ...], ...]
    of_reference: tuple[float, ...]


@dataclass(frozen=True)
class SentenceSmoothing:
    """A sentence pair, as subwords, and the smoothing at each token of its target."""

    source: str
    target: str
    vocab_size: int
    methods: tuple[Method, ...]
    tokens: tuple[TokenSmoothing, ...]


def token_smoothing(
    sentence: Sentence,
    dictionary: Any,
    *,
    methods: Sequence[Method],
    top: int,
    priors: Mapping[str, Tensor] = MappingProxyType({}),
) -> tuple[TokenSmoothing, ...]:
    """The smoothing at each token of one sentence, by each method.

    `priors`: π [V] by name, on the device of the logits; those that are missing are uniform.
    """

    def likeliest(method: Method, p: Tensor) -> tuple[tuple[str, float], ...]:  # of [V]
        values, indices = (each.tolist() for each in p.topk(top))
        if math.isinf(method.beta) and method.prior != "unigram":  # alike on many types
            return ((f"any of {p.count_nonzero()}", values[0]),)
        return tuple(zip((dictionary[i] for i in indices), values, strict=True))

    p = torch.softmax(sentence.logits.float(), dim=-1)  # [T, V]
    distributions = {  # each [T, V]
        each: labo_targets(sentence.logits, beta=each.beta, prior=priors.get(each.prior))
        for each in methods
    }
    return tuple(
        TokenSmoothing(
            reference=dictionary[y],
            probability=p[row, y].item(),
            likeliest=tuple(likeliest(each, of[row]) for each, of in distributions.items()),
            of_reference=tuple(each[row, y].item() for each in distributions.values()),
        )
        for row, y in enumerate(sentence.target.tolist())
    )


def inspect(
    loaded: LoadedModel,
    batches: Sequence[Any],
    *,
    betas: Sequence[float],
    top: int,
    priors: Sequence[str] = ("uniform",),
) -> list[SentenceSmoothing]:
    """The smoothing for fairseq's batches of one sentence each, in their order.

    For priors other than the uniform one the training data of the loaded task are counted. Raises
    UserError for a `top` out of range, and sentences too long for the model.
    """
    dictionary = loaded.task.target_dictionary
    if not 1 <= top <= len(dictionary):
        raise UserError(f"--top: expected a number from 1 to {len(dictionary)}, found {top}")
    limits = learned_positions(loaded.model.state_dict())
    for batch in batches:
        found = batch["net_input"]["src_tokens"].size(1), batch["target"].size(1)
        if found[0] > limits[0] or found[1] > limits[1]:
            raise UserError(
                f"expected sentences of at most {limits[0]} source and {limits[1]} target tokens, "
                f"for which the model has learned positions, found {found[0]} and {found[1]}"
            )
    methods, weights = methods_of(betas, priors), _weights(loaded, priors)
    return [
        SentenceSmoothing(
            source=loaded.task.source_dictionary.string(batch["net_input"]["src_tokens"][0]),
            target=dictionary.string(sentence.target),
            vocab_size=len(dictionary),
            methods=tuple(methods),
            tokens=token_smoothing(sentence, dictionary, methods=methods, top=top, priors=weights),
        )
        for batch, sentence in zip(batches, sentences_of(loaded, batches), strict=True)
    ]


def _weights(loaded: LoadedModel, priors: Sequence[str]) -> dict[str, Tensor]:
    """π [V] of each prior but the uniform one; UserError where there is nothing to count."""
    if set(priors) <= {"uniform"}:
        return {}
    from fairseq_labo.criterions.target_counts import target_counts

    try:
        counts = target_counts(loaded.task)
        found = {name: prior_from_counts(name, counts) for name in priors}
    except ValueError as error:
        raise UserError(f"--prior: {error}") from error
    return {name: each.to(loaded.device) for name, each in found.items() if each is not None}


def subset_batches(loaded: LoadedModel, *, subset: str, numbers: Sequence[int]) -> list[Any]:
    """Sentences of a subset by number (from 0), for `inspect`; UserError for one too high."""
    loaded.task.load_dataset(subset)
    dataset = loaded.task.dataset(subset)
    for number in numbers:
        if not 0 <= number < len(dataset):
            raise UserError(
                f"--sentences: expected numbers from 0 to {len(dataset) - 1}, found {number}"
            )
    return [dataset.collater([dataset[number]]) for number in numbers]


def text_batches(
    loaded: LoadedModel, corpus: PreparedCorpus, pairs: Sequence[tuple[str, str]]
) -> list[Any]:
    """Raw sentence pairs, made subwords as the corpus was, for `inspect`."""
    from fairseq.data import LanguagePairDataset

    encode, task = _encoder(corpus), loaded.task
    dictionaries = task.source_dictionary, task.target_dictionary
    parts: list[Any] = []  # per side: token numbers, lengths, dictionary
    for dictionary, lang, texts in zip(
        dictionaries, corpus.languages, zip(*pairs, strict=True), strict=True
    ):
        lines = [encode(text, lang) for text in texts]
        if not all(lines):
            raise UserError("expected sentences of at least one word, found an empty one")
        ids = [dictionary.encode_line(line, add_if_not_exist=False).long() for line in lines]
        parts += [ids, [each.numel() for each in ids], dictionary]
    left_pad = {side: getattr(task.cfg, side) for side in ("left_pad_source", "left_pad_target")}
    dataset = LanguagePairDataset(*parts, **left_pad, shuffle=False)
    return [dataset.collater([dataset[number]]) for number in range(len(pairs))]


def _encoder(corpus: PreparedCorpus) -> Callable[[str, str], str]:
    """What makes a raw line of a language subwords; UserError if this corpus's way is unknown."""
    from fairseq_labo.experiments.data import bpe, moses

    settings = corpus.manifest.get("settings", {})
    special = [key for key in SPECIAL_RECIPES if settings.get(key)]
    if not corpus.manifest or corpus.subwords != "subword-nmt" or special:
        kind = corpus.subwords if corpus.manifest else "a folder of fairseq-preprocess"
        raise UserError(
            "--source: expected a corpus of labo prepare with plain tokens and subword-nmt, found "
            f"{', '.join(special) or kind}; choose sentences of it with --sentences"
        )
    codes = bpe.load_codes(corpus.folder / "bpe" / "codes")
    lowercase = corpus.manifest.get("lowercase", settings.get("lowercase"))
    has_moses = corpus.tokenizer == "moses"

    def encode(text: str, language: str) -> str:
        tokens = moses.tokenize(text, language=language) if has_moses else " ".join(text.split())
        return bpe.encode(moses.lowercase(tokens) if lowercase else tokens, codes)

    return encode


def table(sentence: SentenceSmoothing, *, label_smoothing: float) -> str:
    """The smoothing of one sentence for a terminal."""
    uniform = f"{1 / sentence.vocab_size:.5f}"
    everywhere = f"{uniform} on every token of the vocabulary"
    rows = [["reference", "p", "method", "P(reference)", "P, likeliest first"]]
    for token in sentence.tokens:
        start = [token.reference, f"{token.probability:.3f}"]
        rows.append([*start, "label smoothing", uniform, everywhere])
        smoothed = zip(sentence.methods, token.of_reference, token.likeliest, strict=True)
        for method, own, likeliest in smoothed:
            text = "  ".join(f"{word} {probability:.3f}" for word, probability in likeliest)
            rows.append(["", "", method.name, f"{own:.5f}", text])
    return (
        f"source     {printable(sentence.source)}\nreference  {printable(sentence.target)}\n"
        f"taught: {1 - label_smoothing:g} on the reference plus {label_smoothing:g} P; "
        f"V = {sentence.vocab_size} tokens; p: the model's probability of the reference\n\n"
        + format_table(rows, left_columns=5)
    )
