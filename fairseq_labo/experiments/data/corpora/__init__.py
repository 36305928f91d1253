"""The corpora, one module each: archive layout, recipe and counts, declared as data."""

from importlib import import_module
from types import ModuleType

NAMES = [
    "iwslt14", "iwslt14-15k", "iwslt15", "iwslt17", "microworld", "mixed", "multi30k", "own",
    "tatoeba", "wmt14",
]  # fmt: skip
# Name on the command line -> its module, which has TITLE, corpus(options), PAIRS unless any two
# languages will do, and add_options(parser) if it has options of its own.
CORPORA: dict[str, ModuleType] = {
    name: import_module(f"{__name__}.{name.replace('-', '_')}") for name in NAMES
}
