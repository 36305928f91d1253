"""The microworld: a German-English corpus generated from a small grammar, without any download.

`corpus` draws the splits; `simple`, `describe`, `facts`, `complex` and `embedding` hold the
sentence templates; `grammar`, `phrases`, `german` and `english` build clauses and inflect;
`nouns`, `verbs`, `lexicon`, `adverbials` are the words.
"""

from microworld.corpus import generate

__all__ = ["generate"]
