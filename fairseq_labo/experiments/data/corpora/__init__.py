"""The corpora: archive layout, recipe and counts. Most are data: NAME.toml, read here.

In a file, <pair>, <source>, <target> and <option> stand for what the user chose, and {lang},
{other}, {side} for a text (see `recipe.Member`). The keys are those of `recipe.Corpus`; what a
part says beside its name and members holds for each of its members. [when."A B"] adds to the rest
where the user chose A or B. [options.NAME] has the arguments of `ArgumentParser.add_argument`, and
perhaps the `pattern` of what it takes, and that in words. What all corpora have: options.toml.
"""

import argparse
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_labo.experiments.data import recipe as declared
from fairseq_labo.experiments.data.corpora import microworld, own

FOLDER = Path(__file__).parent
OPTIONS = tomllib.loads((FOLDER / "options.toml").read_text(encoding="utf-8"))
TYPES: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float, "path": Path}
READING = {"type", "pattern", "expected"}  # of an option: what `_reader` takes
TEXTS = ("sources", "layout", "divide_by", "train_options", "note")  # copied as they are


class Declaration(NamedTuple):
    """What `labo prepare NAME` knows of a corpus before its options are read."""

    title: str
    pairs: Sequence[str]  # none: any two languages
    add_options: Callable[[argparse.ArgumentParser], None]
    corpus: Callable[[argparse.Namespace], declared.Corpus]


def _read(path: Path) -> Declaration:
    name, text = path.stem, path.read_text(encoding="utf-8")
    content = tomllib.loads(text)
    options = [option.replace("-", "_") for option in content.get("options", {})]
    corpus = _PYTHON.get(name) or partial(_corpus, name, text, options)
    return Declaration(
        content["title"], content["pairs"], partial(_add_options, name, content), corpus
    )


def _add_options(name: str, content: dict[str, Any], parser: argparse.ArgumentParser) -> None:
    """Add the options of a corpus, and those of all."""
    if pairs := content["pairs"]:
        parser.add_argument("--pair", choices=pairs, default=pairs[0], help="source-target")
    defaults = OPTIONS["defaults"] | content.get("defaults", {})
    defaults["folder"] = defaults["folder"].format(name=name)
    release = OPTIONS["release"] if pairs else {}
    for option, given in (content.get("options", {}) | release | OPTIONS["common"]).items():
        arguments = {**given, "help": given.get("help", "").format(**defaults) or None}
        aliases = arguments.pop("aliases", [])
        reading = {key: arguments.pop(key) for key in READING & arguments.keys()}
        if reading:
            arguments["type"] = _reader(**reading)
        if arguments.get("action") == "yes or no":
            arguments["action"] = argparse.BooleanOptionalAction
        parser.add_argument(f"--{option}", *aliases, **arguments)


def _reader(type: str = "str", pattern: str = "", expected: str = "") -> Callable[[str], Any]:
    """The function that reads a value of the option: argparse's `type`."""

    def read(text: str) -> Any:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
        return TYPES[type](text)

    return read if pattern else TYPES[type]


def _corpus(
    name: str, text: str, names: Sequence[str], options: argparse.Namespace
) -> declared.Corpus:
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
        recipe[key] = declared.Limits(**recipe[key])
    return declared.Corpus(
        name=name,
        pair=chosen["pair"],
        parts={part: _part(**entries) for part, entries in content["parts"].items()},
        recipe=declared.Recipe(**recipe),
        counts=declared.Counts(**content.get("counts", {})),
        nested={key: declared.Nested(**value) for key, value in content.get("nested", {}).items()},
        **{key: content[key] for key in TEXTS if key in content},
    )


def _part(*, name: str, members: Sequence[dict[str, Any]], **of_all: Any) -> declared.Part:
    return declared.Part(name, tuple(declared.Member(**of_all | member) for member in members))


_PYTHON = {"microworld": microworld.corpus, "own": own.corpus}
_FILES = {path.stem: path for path in FOLDER.glob("*.toml") if path.stem != "options"}
CORPORA = {name: _read(path) for name, path in sorted(_FILES.items())}
