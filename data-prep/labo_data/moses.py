"""Moses tokenization with sacremoses: escaped, hyphens kept inside words.

`&` becomes `&amp;`, `'` becomes `&apos;`, `"` becomes `&quot;`, and so on; `detokenize` turns
them back. The tokens hold no white space of any kind, so fairseq, which splits on all of it, sees
the same tokens and the same lines.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sacremoses import MosesDetokenizer, MosesTokenizer

from labo_data.text import read_lines, write_lines


def tokenize(line: str, *, language: str) -> str:
    """Return the tokens of one line, separated by single spaces; one line in, one line out.

    Unicode white space (also CR, form feed, U+0085, U+2028, 0x1C) separates tokens, other control
    characters below 0x20 are dropped. `language` is the two-letter code whose rules apply.
    """
    # sacremoses' own string may end in a space (after a final `.'`); its list may not.
    return " ".join(_tokenizer(language).tokenize(line, aggressive_dash_splits=False, escape=True))


def detokenize(line: str, *, language: str) -> str:
    """Return one line of tokens as text, unescaped.

    The inverse of `tokenize` for ordinary text; the spaces around unusual punctuation are guesses.
    """
    return str(_detokenizer(language).detokenize(line.split(), return_str=True, unescape=True))


def tokenize_file(text: Path, tokens: Path, *, language: str) -> None:
    """Write the tokens of `text` to `tokens`, line by line."""
    write_lines(tokens, (tokenize(line, language=language) for line in read_lines(text)))


@cache
def _tokenizer(language: str) -> MosesTokenizer:
    return MosesTokenizer(lang=language)


@cache
def _detokenizer(language: str) -> MosesDetokenizer:
    return MosesDetokenizer(lang=language)
