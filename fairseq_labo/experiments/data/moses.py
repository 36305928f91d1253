"""Moses tokenization with sacremoses, equal to Moses' Perl scripts for languages with an alphabet.

`&` becomes `&amp;`, `'` becomes `&apos;`, `"` becomes `&quot;`, and so on; `detokenize` turns
them back. The tokens hold no white space of any kind, so fairseq, which splits on all of it, sees
the same tokens and the same lines.

sacremoses 0.2.0 differs from the Perl scripts in two ways, both mended here on demand:

- tokenizer.perl since November 2018 splits a final period off the last word of a line whatever
  the word ("in the U.S." ends in "U.S ."): `split_final_period`.
- normalize-punctuation.perl sees the line with its line break (which decides the order of a final
  quotation mark and period), and remove-non-printing-char.perl puts a space where sacremoses
  deletes: `normalize_punctuation`.

Not mended: of Chinese and Japanese it leaves `。`, `、` and the like with the words, and in text of
other languages it parts Chinese characters.
"""

import re
from dataclasses import dataclass
from functools import cache

import regex
from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer

from fairseq_labo.experiments.languages import short_code

_NON_PRINTING = regex.compile(r"\p{C}")


@dataclass(frozen=True)
class TokenizerOptions:
    """What is done to a line: in this order, apostrophes, normalization, tokenization.

    By the rules of `language`, which may have a region or script (``en_US``); for one that Moses
    does not know they are its general ones.
    """

    language: str
    straight_apostrophes: bool = False
    normalize: bool = False
    aggressive_hyphens: bool = False
    split_final_period: bool = False


def tokenize_with(options: TokenizerOptions, line: str) -> str:
    """Return the tokens of one line as `options` say; one line in, one line out."""
    if options.straight_apostrophes:
        line = line.replace("’", "'")
    if options.normalize:
        line = normalize_punctuation(line, language=options.language)
    # sacremoses' own string may end in a space (after a final `.'`); its list may not.
    return " ".join(
        _tokenizer(short_code(options.language), options.split_final_period).tokenize(
            line, aggressive_dash_splits=options.aggressive_hyphens, escape=True
        )
    )


def tokenize(line: str, *, language: str) -> str:
    """Return the tokens of one line, separated by single spaces; one line in, one line out.

    Unicode white space (also CR, form feed, U+0085, U+2028, 0x1C) separates tokens, other control
    characters below 0x20 are dropped. `language`: as in `TokenizerOptions`.
    """
    return tokenize_with(TokenizerOptions(language), line)


def fold_white_space(line: str) -> str:
    """Return what stands between white space of any kind, as fairseq splits it."""
    return " ".join(line.split())


def normalize_punctuation(line: str, *, language: str) -> str:
    """Return one line as normalize-punctuation.perl and remove-non-printing-char.perl leave it.

    Up to white space at its ends, which tokenization drops anyway.
    """
    line += "\n"
    for pattern, replacement in _substitutions(short_code(language)):
        line = pattern.sub(replacement, line)
    return _NON_PRINTING.sub(" ", line.removesuffix("\n"))


def lowercase(line: str) -> str:
    """Return one line as Perl's `lc` does: a capital sigma has one small letter everywhere."""
    return line.replace("Σ", "σ").lower()


def detokenize(line: str, *, language: str) -> str:
    """Return one line of tokens as text, unescaped.

    The inverse of `tokenize` for ordinary text; the spaces around unusual punctuation are guesses.
    """
    return str(
        _detokenizer(short_code(language)).detokenize(line.split(), return_str=True, unescape=True)
    )


class _Tokenizer(MosesTokenizer):
    """sacremoses' tokenizer; its sets of letters made once, not for each word with a period."""

    LOWER = frozenset(MosesTokenizer.IsLower)
    ALPHA = frozenset(MosesTokenizer.IsAlpha)

    def __init__(self, language: str, split_final_period: bool) -> None:
        super().__init__(language)
        self.split_final_period = split_final_period

    def islower(self, text: str) -> bool:
        return self.LOWER.issuperset(text)

    def isanyalpha(self, text: str) -> bool:
        return not self.ALPHA.isdisjoint(text)

    def handles_nonbreaking_prefixes(self, text: str) -> str:
        text = str(super().handles_nonbreaking_prefixes(text))
        if not self.split_final_period:
            return text
        # Dots in a row are another symbol by now, so this is a word with a period.
        head, space, last = text.rpartition(" ")
        return f"{head}{space}{last[:-1]} ." if last.endswith(".") and last != "." else text


@cache
def _substitutions(language: str) -> list[tuple[re.Pattern[str], str]]:
    normalizer = MosesPunctNormalizer(language, perl_parity=True)
    return [(re.compile(pattern), text) for pattern, text in normalizer.substitutions]


_tokenizer, _detokenizer = cache(_Tokenizer), cache(MosesDetokenizer)
