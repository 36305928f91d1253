"""The corpora, one module each: archive layout, recipe and counts, declared as data."""

from __future__ import annotations

from types import ModuleType

from fairseq_labo.experiments.data.corpora import (
    iwslt14,
    iwslt14_15k,
    iwslt15,
    iwslt17,
    microworld,
    mixed,
    multi30k,
    tatoeba,
    wmt14,
)

# Name on the command line and in the manifest -> its module, which has TITLE, PAIRS,
# add_options(parser) and corpus(options).
CORPORA: dict[str, ModuleType] = {
    "iwslt14": iwslt14,
    "iwslt14-15k": iwslt14_15k,
    "iwslt15": iwslt15,
    "iwslt17": iwslt17,
    "microworld": microworld,
    "mixed": mixed,
    "multi30k": multi30k,
    "tatoeba": tatoeba,
    "wmt14": wmt14,
}
