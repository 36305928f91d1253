"""Which BLEU: how text is scored, in every convention that scores are published in.

A score is comparable to another only under the same convention. `score_text` computes every one
with sacreBLEU, so each carries a signature; what the signature cannot say (which text went in)
is in the label. Detokenized text is tokenized as sacreBLEU does it for the target language: 13a,
but for Chinese, Japanese and Korean, which have tokenizers of their own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.languages import short_code

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

# In labels, of text and of what a corpus without a tokenizer has, which may be tokens.
DETOKENIZED, AS_IT_IS = "detokenized", "text as the corpus has it"
COMPOUND = re.compile(r"(\S)-(\S)")


@dataclass(frozen=True)
class Convention:
    """One way to compute BLEU: of which text, in which case.

    `tokens`: of the tokens as the corpus has them (with no tokenizer of sacreBLEU's, and without
    smoothing, like fairseq-score and multi-bleu.perl); otherwise of detokenized text against the
    raw references, tokenized by sacreBLEU. `straight`: U+2019 becomes ' on both sides.
    """

    label: str
    tokens: bool = False
    lowercase: bool = False
    split_compounds: bool = False
    straight: bool = False

    def metric(self, language: str) -> "BLEU":
        """sacreBLEU's metric of this convention for a target language (``en``, ``zh_CN``)."""
        from sacrebleu.metrics import BLEU

        # force: silences the question whether tokenized text was meant; here it is.
        plain: Any = {"tokenize": "none", "smooth_method": "none", "force": True}
        of_text = {"trg_lang": short_code(language)}
        return BLEU(lowercase=self.lowercase, **(plain if self.tokens else of_text))

    def prepared(self, lines: Sequence[str]) -> list[str]:
        """Lines as this convention scores them."""
        if self.straight:
            return [line.replace("\u2019", "'") for line in lines]
        return [split_compounds(line) for line in lines] if self.split_compounds else list(lines)


CONVENTIONS = {
    "bleu": Convention("sacreBLEU, detokenized, cased"),
    "bleu_lowercase": Convention("sacreBLEU, detokenized, lowercase", lowercase=True),
    "bleu_tokenized": Convention("BLEU of tokens (fairseq-score)", tokens=True),
    "bleu_tokenized_lowercase": Convention(
        "BLEU of tokens, lowercase", tokens=True, lowercase=True
    ),
    "bleu_tokenized_compounds": Convention(
        "BLEU of tokens, compounds split", tokens=True, split_compounds=True
    ),
}
# Beside those, for a corpus whose recipe straightened the tokens, though not the raw references.
STRAIGHT = {
    "bleu_straight": Convention("sacreBLEU, detokenized, cased, \u2019 as '", straight=True),
    "bleu_lowercase_straight": Convention(
        "sacreBLEU, detokenized, lowercase, \u2019 as '", lowercase=True, straight=True
    ),
}


def check_tokenizer(language: str) -> None:
    """Raise UserError if what sacreBLEU tokenizes the language with is not installed."""
    try:
        CONVENTIONS["bleu"].metric(language)
    except (ImportError, RuntimeError) as error:
        code = short_code(language)
        raise UserError(
            f"BLEU: expected what sacreBLEU parts {language} into words with, found it not "
            f"installed; run `pip install 'sacrebleu[{code}]'`"
        ) from error


def split_compounds(tokens: str) -> str:
    """Split hyphenated compounds: ``a-b`` becomes ``a ##AT##-##AT## b``.

    The convention of WMT'14 En-De, applied to both sides. As in fairseq's script, a character
    belongs to one match only, so in ``a-b-c`` (one letter in the middle) the second hyphen stays.
    """
    return COMPOUND.sub(r"\1 ##AT##-##AT## \2", tokens)


@dataclass(frozen=True)
class Texts:
    """The same sentences four times: detokenized and as tokens, hypotheses and references."""

    hypotheses: Sequence[str]
    references: Sequence[str]
    hypothesis_tokens: Sequence[str]
    reference_tokens: Sequence[str]


def score_text(texts: Texts, *, language: str, straight: bool = False) -> dict[str, dict[str, Any]]:
    """Corpus BLEU in every convention, and chrF: label, score (0–100), signature, text.

    `language`: the target side's, by which sacreBLEU chooses its tokenizer.
    Those of `STRAIGHT` only if `straight`.
    """
    from sacrebleu.metrics import CHRF

    scores = {}
    plain = texts.hypotheses, texts.references
    for name, each in _conventions(straight).items():
        sides = (texts.hypothesis_tokens, texts.reference_tokens) if each.tokens else plain
        scores[name] = _scored(each.label, each.metric(language), *map(each.prepared, sides))
    return {**scores, "chrf": _scored("chrF, detokenized, cased", CHRF(), *plain)}


def ceilings(
    texts: Texts, *, language: str, detokenize: Callable[[str], str], straight: bool = False
) -> dict[str, float]:
    """By convention of detokenized text: the score of the references' own tokens, detokenized.

    What it lacks of 100 is lost in the tokens (lowercased, straightened) and in detokenizing.
    """
    sides = [detokenize(line) for line in texts.reference_tokens], texts.references
    return {
        name: _scored("", each.metric(language), *map(each.prepared, sides))["score"]
        for name, each in _conventions(straight).items()
        if not each.tokens
    }


def _conventions(straight: bool) -> dict[str, Convention]:
    return {**CONVENTIONS, **(STRAIGHT if straight else {})}


def _scored(
    label: str, metric: Any, hypotheses: Sequence[str], references: Sequence[str]
) -> dict[str, Any]:
    result = metric.corpus_score(list(hypotheses), [list(references)])
    score, signature = round(result.score, 2), str(metric.get_signature())
    return {"label": label, "score": score, "signature": signature, "text": str(result)}
