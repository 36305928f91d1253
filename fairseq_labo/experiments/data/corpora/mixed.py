"""TED-15k + Tatoeba + Multi30k, German-English: three sources to train on, TED to be tested on.

The training text is that of IWSLT14-15k, all of Tatoeba and Multi30k's training text (213,134
pairs); validation and test set are IWSLT'14's. All lowercase Moses tokens; the text that is not
released as such is tokenized while it is read. The merges are learned here, on all three.
"""

import argparse

from fairseq_labo.experiments.data.corpora import iwslt14_15k, multi30k, tatoeba
from fairseq_labo.experiments.data.recipe import Corpus, Member, Part, Recipe

TITLE = "TED-15k + Tatoeba + Multi30k, German-English, tested on TED"
PAIRS = ("de-en", "en-de")
TED, TATOEBA, MULTI30K = "iwslt14-de-en", "tatoeba-de-en", "multi30k"


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`."""
    ted = {
        split: Member(f"{TED}/{name}.{{lang}}.gz", expected_lines=iwslt14_15k.LINES[split])
        for split, name in iwslt14_15k.FILES.items()
    }
    name, lines = multi30k.PARTS["train"]
    others = (
        Member(f"{TATOEBA}/all.{{lang}}.gz", expected_lines=tatoeba.LINES, tokenize=True),
        Member(
            f"{MULTI30K}/{multi30k.LAYOUT}/{name}.{{lang}}.gz", expected_lines=lines, tokenize=True
        ),
    )
    return Corpus(
        name="mixed",
        pair=options.pair,
        parts={
            "train": Part("train15k + tatoeba + multi30k", (ted["train"], *others)),
            "valid": Part("IWSLT'14 valid", (ted["valid"],)),
            "test": Part("IWSLT'14 test", (ted["test"],)),
        },
        recipe=Recipe(released_tokens=True, lowercase=True, bpe_size=10_000),
        note="the references in raw/ are detokenized from released tokens",
        train_options="--size iwslt",
    )
