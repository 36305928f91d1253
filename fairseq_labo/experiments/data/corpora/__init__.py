"""The corpora: archive layout, recipe and counts. Most are data: NAME.toml, read here.

In a file, <pair>, <source>, <target> and <option> stand for what the user chose, and {lang},
{other}, {side} for a text (see `recipe.Member`). The keys are those of `recipe.Corpus`; what a
part says beside its name and members holds for each of its members. [when."A B"] adds to the rest
where the user chose A or B. [options.NAME] has the arguments of `ArgumentParser.add_argument`.
"""

import argparse
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_labo.experiments.data.corpora import microworld, own
from fairseq_labo.experiments.data.recipe import (
    Corpus,
    Counts,
    Limits,
    Member,
    Nested,
    Part,
    Recipe,
)

TEXTS = ("sources", "layout", "divide_by", "train_options", "note")  # copied as they are


class Declaration(NamedTuple):
    """What `labo prepare NAME` knows of a corpus before its options are read."""

    title: str
    pairs: Sequence[str]  # none: any two languages
    add_options: Callable[[argparse.ArgumentParser], None]  # those of its own
    corpus: Callable[[argparse.Namespace], Corpus]


def _read(path: Path) -> Declaration:
    text = path.read_text(encoding="utf-8")
    content = tomllib.loads(text)
    options = content.get("options", {})
    corpus = partial(_corpus, path.stem, text, [name.replace("-", "_") for name in options])
    return Declaration(content["title"], content["pairs"], partial(_add_options, options), corpus)


def _add_options(options: dict[str, Any], parser: argparse.ArgumentParser) -> None:
    for name, arguments in options.items():
        parser.add_argument(f"--{name}", **arguments)


def _corpus(name: str, text: str, names: Sequence[str], options: argparse.Namespace) -> Corpus:
    """Return the corpus of a file's `text` with the options of those `names`."""
    chosen = {option: getattr(options, option) for option in names}
    source, _, target = options.pair.partition("-")
    source, target = chosen.get("source_lang") or source, chosen.get("target_lang") or target
    chosen |= {"source": source, "target": target, "pair": f"{source}-{target}"}
    content = tomllib.loads(re.sub("<([a-z_]+)>", lambda found: chosen[found[1]], text))
    for choices, more in content.get("when", {}).items():
        if not set(choices.split()).isdisjoint(chosen.values()):
            for key, value in more.items():
                is_table = isinstance(value, dict)
                content[key] = content.get(key, {}) | value if is_table else value
    recipe = content["recipe"]
    for key in recipe.keys() & {"clean_tokens", "clean_subwords"}:
        recipe[key] = Limits(**recipe[key])
    return Corpus(
        name=name,
        pair=chosen["pair"],
        parts={part: _part(**entries) for part, entries in content["parts"].items()},
        recipe=Recipe(**recipe),
        counts=Counts(**content.get("counts", {})),
        nested={key: Nested(**value) for key, value in content.get("nested", {}).items()},
        **{key: content[key] for key in TEXTS if key in content},
    )


def _part(*, name: str, members: Sequence[dict[str, Any]], **of_all: Any) -> Part:
    return Part(name, tuple(Member(**of_all | member) for member in members))


_PYTHON = {
    "microworld": Declaration(
        microworld.TITLE, microworld.PAIRS, microworld.add_options, microworld.corpus
    ),
    "own": Declaration(own.TITLE, (), own.add_options, own.corpus),
}
_FILES = {path.stem: _read(path) for path in Path(__file__).parent.glob("*.toml")}
CORPORA: dict[str, Declaration] = dict(sorted((_FILES | _PYTHON).items()))
