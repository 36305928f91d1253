"""What label smoothing and LABO would teach at each target token of given sentences.

Both train on ``q = (1−α) e_y + α P``. For label smoothing P is uniform, 1/V on every type; for
LABO it is ``P* = softmax(z/β)``, computed here by the function that the criterion is tested
against (`fairseq_labo.ops.labo_targets`), from a checkpoint's logits with the reference given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fairseq_labo.experiments.data import bpe, moses
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.hypotheses import Corpus
from fairseq_labo.experiments.evaluation.teacher_forcing import LoadedModel, Sentence, sentences_of
from fairseq_labo.ops import labo_targets

# Of a recipe: what makes tokens that `fairseq_labo.experiments.data.moses.tokenize` alone does not.
SPECIAL_RECIPES = ("aggressive_hyphens", "split_final_period", "released_tokens")


@dataclass(frozen=True)
class Share:
    """A type of the vocabulary and its probability."""

    token: str
    probability: float


@dataclass(frozen=True)
class TokenLabels:
    """At one target token: the reference, its probability p_y, and the likeliest types of P*.

    `smoothing[i]` belongs to the i-th β, likeliest first; `reference_shares[i]` is P*_y there.
    """

    reference: str
    probability: float
    smoothing: tuple[tuple[Share, ...], ...]
    reference_shares: tuple[float, ...]


@dataclass(frozen=True)
class SentenceLabels:
    """A sentence pair, as subwords, and the labels at each token of its target."""

    source: str
    target: str
    vocab_size: int
    betas: tuple[float, ...]
    tokens: tuple[TokenLabels, ...]


def token_labels(
    sentence: Sentence, dictionary: Any, *, betas: Sequence[float], top: int
) -> tuple[TokenLabels, ...]:
    """Labels at each token of one sentence, for each β."""
    logits, target = sentence.logits, sentence.target  # [T, V], [T]
    rows = torch.arange(target.numel(), device=target.device)
    probabilities = torch.softmax(logits.float(), dim=-1)[rows, target].tolist()
    ranked: list[list[tuple[Share, ...]]] = []
    shares = []
    for beta in betas:
        distribution = labo_targets(logits, beta=beta)  # [T, V]
        values, indices = distribution.topk(top, dim=-1)  # [T, top]
        ranked.append(
            [
                tuple(Share(dictionary[i], value) for i, value in zip(types, row, strict=True))
                for types, row in zip(indices.tolist(), values.tolist(), strict=True)
            ]
        )
        shares.append(distribution[rows, target].tolist())
    return tuple(
        TokenLabels(
            reference=dictionary[index],
            probability=probabilities[row],
            smoothing=tuple(of_beta[row] for of_beta in ranked),
            reference_shares=tuple(of_beta[row] for of_beta in shares),
        )
        for row, index in enumerate(target.tolist())
    )


def inspect(
    loaded: LoadedModel, samples: Sequence[Any], dataset: Any, *, betas: Sequence[float], top: int
) -> list[SentenceLabels]:
    """Labels for samples of a fairseq dataset, in their order.

    Raises UserError for a β or `top` out of range.
    """
    dictionary = loaded.target_dictionary
    if not 1 <= top <= len(dictionary):
        raise UserError(f"--top: expected a number from 1 to {len(dictionary)}, found {top}")
    for beta in betas:
        if not beta > 0:
            raise UserError(f"--beta: expected a temperature above 0 (or inf), found {beta:g}")
    results = []
    for sample in samples:
        (sentence,) = sentences_of(loaded, [dataset.collater([sample])])
        results.append(
            SentenceLabels(
                source=loaded.task.source_dictionary.string(sample["source"]),
                target=dictionary.string(sample["target"]),
                vocab_size=len(dictionary),
                betas=tuple(betas),
                tokens=token_labels(sentence, dictionary, betas=betas, top=top),
            )
        )
    return results


def subset_samples(
    loaded: LoadedModel, *, subset: str, numbers: Sequence[int]
) -> tuple[list[Any], Any]:
    """Samples of a subset by number (from 0), and their dataset; UserError for one too high."""
    loaded.task.load_dataset(subset)
    dataset = loaded.task.dataset(subset)
    for number in numbers:
        if not 0 <= number < len(dataset):
            raise UserError(
                f"--sentences: expected numbers from 0 to {len(dataset) - 1}, found {number}"
            )
    return [dataset[number] for number in numbers], dataset


def text_samples(
    loaded: LoadedModel, corpus: Corpus, pairs: Sequence[tuple[str, str]]
) -> tuple[list[Any], Any]:
    """Samples of raw sentence pairs, prepared as the corpus was, and their dataset."""
    from fairseq.data import LanguagePairDataset

    manifest = corpus.manifest
    settings = manifest.get("settings", {})
    special = [key for key in SPECIAL_RECIPES if settings.get(key)]
    if corpus.subwords != "subword-nmt" or special:
        raise UserError(
            f"--source: expected a corpus of plain Moses tokens and subword-nmt, found "
            f"{', '.join(special) or corpus.subwords}; choose sentences of it with --sentences"
        )
    encoder = bpe.load_codes(corpus.folder / "bpe" / "codes")
    dictionaries = loaded.task.source_dictionary, loaded.target_dictionary
    lowercase = bool(manifest.get("lowercase", settings.get("lowercase")))
    sides: list[list[torch.Tensor]] = [[], []]
    for pair in pairs:
        for side, text in enumerate(pair):
            tokens = moses.tokenize(text, language=corpus.languages[side])
            subwords = bpe.encode(tokens.lower() if lowercase else tokens, encoder)
            if not subwords:
                raise UserError("expected sentences of at least one word, found an empty one")
            ids = dictionaries[side].encode_line(subwords, add_if_not_exist=False)
            sides[side].append(ids.long())
    lengths = [[side.numel() for side in ids] for ids in sides]
    config = loaded.task.cfg
    dataset = LanguagePairDataset(
        *(sides[0], lengths[0], dictionaries[0], sides[1], lengths[1], dictionaries[1]),
        left_pad_source=config.left_pad_source,
        left_pad_target=config.left_pad_target,
        shuffle=False,
    )
    return [dataset[number] for number in range(len(pairs))], dataset


def format_beta(beta: float) -> str:
    """β as shown: 2, 1.5, inf."""
    return "inf" if math.isinf(beta) else f"{beta:g}"


def table(labels: SentenceLabels, *, label_smoothing: float) -> list[str]:
    """The labels of one sentence as lines for a terminal."""
    uniform = 1 / labels.vocab_size
    alpha = label_smoothing
    rows = [["reference", "p", "labels", "P(reference)", "P, likeliest first"]]
    for token in labels.tokens:
        first = [token.reference, f"{token.probability:.3f}"]
        rows.append([*first, "smoothing", f"{uniform:.5f}", f"{uniform:.5f} on each of all types"])
        for beta, shares, own in zip(
            labels.betas, token.smoothing, token.reference_shares, strict=True
        ):
            likeliest = "  ".join(f"{share.token} {share.probability:.3f}" for share in shares)
            rows.append(["", "", f"LABO β={format_beta(beta)}", f"{own:.5f}", likeliest])
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  "
        f"{row[3]:>{widths[3]}}  {row[4]}"
        for row in rows
    ]
    return [
        f"source     {labels.source}",
        f"reference  {labels.target}",
        f"taught: {1 - alpha:g} on the reference plus {alpha:g} P; V = {labels.vocab_size} types; "
        "p: the model's probability of the reference",
        "",
        *lines,
    ]
