"""A prepared corpus: the one reader and writer of its manifest.json.

A folder is either from here (``labo prepare``: manifest.json, raw/, bin/, ...) or somebody's own
output of fairseq-preprocess (dictionaries and binarized splits, in the folder or in its bin/).
What the latter does not tell is given by flags: the raw references, the kind of subwords, the
tokenizer.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fairseq_labo.experiments import files
from fairseq_labo.experiments.data.intact import read_index
from fairseq_labo.experiments.errors import UserError

FORMAT = "labo_data/1"
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
# The first was the only one before the manifest had that entry.
SUBWORDS = ("subword-nmt", "sentencepiece", "none")
TOKENIZERS = ("moses", "none")
# Entries of the manifest, and what they hold; older ones lack those that may be missing.
ENTRIES = {"corpus": str, "source_lang": str, "target_lang": str, "splits": dict}
LATER_ENTRIES = {"subwords": str, "tokenizer": str, "joined_dictionary": bool, "lowercase": bool}
LATER_ENTRIES |= {"raw_sha256": dict, "settings": dict}
INDEX = re.compile(r"(?P<split>[^.]+)\.(?P<source>[^.-]+)-(?P<target>[^.-]+)\.(?P=target)\.idx")


@dataclass(frozen=True)
class Given:
    """What flags say of a corpus; None and empty: nothing."""

    subwords: str | None = None
    tokenizer: str | None = None
    references: Mapping[str, Path] = field(default_factory=dict)  # by subset


def add_corpus_options(parser: argparse.ArgumentParser, *, with_references: bool = True) -> None:
    """Add the flags that tell what a folder of fairseq-preprocess does not."""
    group = parser.add_argument_group("of a folder that fairseq-preprocess alone has made")
    group.add_argument("--subwords", choices=SUBWORDS, help="kind of its subwords")
    group.add_argument("--tokenizer", choices=TOKENIZERS, help="what made its tokens")
    if with_references:
        what = "raw references of a subset (default: test), one a line; may be repeated"
        metavar = "[SUBSET=]FILE"
        group.add_argument("--references", action="append", default=[], metavar=metavar, help=what)


def given_by(options: argparse.Namespace) -> Given:
    """What the flags of `add_corpus_options` say."""
    references = {}
    for text in getattr(options, "references", []):
        subset, equals, path = text.partition("=")
        references[subset if equals else "test"] = Path(path if equals else text)
    return Given(options.subwords, getattr(options, "tokenizer", None), references)


@dataclass(frozen=True)
class PreparedCorpus:
    """A folder that training, evaluation and studies can work on; made by `read`.

    `manifest` is empty for a folder of fairseq-preprocess alone.
    """

    folder: Path
    bin_dir: Path
    name: str
    languages: tuple[str, str]  # source, target
    splits: Mapping[str, str]  # subset -> its name in the release
    manifest: Mapping[str, Any]
    given: Given = Given()

    @classmethod
    def read(cls, folder: Path, given: Given | None = None) -> "PreparedCorpus":
        """Raise UserError if `folder` holds no corpus, or one that is not as expected."""
        files.check_plain(folder)
        given = given or Given()
        if (folder / MANIFEST).is_file():
            return _from_manifest(folder, given)
        for place in (folder, folder.parent):  # folder may be its bin/
            if (place / UNFINISHED).exists() and not (place / MANIFEST).exists():
                raise UserError(
                    f"{place}: expected a prepared corpus, found a preparation that has not ended, "
                    "whose bin/ may be of other text: run its labo prepare again"
                )
        for bin_dir in (folder / "bin", folder):
            names = [INDEX.match(path.name) for path in sorted(bin_dir.glob("*.idx"))]
            found = [match for match in names if match]
            if found:
                return _from_fairseq(folder, bin_dir, found, given)
        raise UserError(
            f"expected a prepared corpus in {folder} (manifest.json and bin/, or what "
            "fairseq-preprocess writes), found none: run labo prepare"
        )

    @cached_property
    def subwords(self) -> str:
        """subword-nmt, sentencepiece or none; UserError if neither manifest nor flag tells."""
        return self._known("subwords", SUBWORDS, self.given.subwords)

    @cached_property
    def tokenizer(self) -> str:
        """moses or none; UserError if neither manifest nor flag tells."""
        return self._known("tokenizer", TOKENIZERS, self.given.tokenizer)

    def _known(self, key: str, kinds: Sequence[str], given: str | None) -> str:
        """What the manifest says, the first if it is older than that entry, or what is given."""
        recorded = str(self.manifest.get(key, kinds[0])) if self.manifest else given
        if recorded is None:
            raise UserError(
                f"{self.folder}: expected --{key} ({', '.join(kinds)}), found none; dictionaries "
                "do not tell, and a wrong one would spoil the scores"
            )
        if recorded not in kinds:
            raise _of_manifest(self.folder, f"one of {', '.join(kinds)} as {key!r}", recorded)
        if given not in (None, recorded):
            raise UserError(f"--{key}: expected {recorded}, as {self.folder} says, found {given}")
        return recorded

    @cached_property
    def joined_dictionary(self) -> bool:
        """Whether both sides share one dictionary."""
        if self.manifest:
            return bool(self.manifest.get("joined_dictionary", True))
        source, target = (self.bin_dir / f"dict.{lang}.txt" for lang in self.languages)
        return source.read_bytes() == target.read_bytes()

    @property
    def post_process(self) -> str | None:
        """fairseq's --post-process (and --eval-bleu-remove-bpe), or None without subwords."""
        return None if self.subwords == "none" else self.subwords.replace("-", "_")

    @property
    def raw_sha256(self) -> Mapping[str, str] | None:
        """SHA-256 of the raw texts by file name, where the manifest has them."""
        return self.manifest.get("raw_sha256")

    def release_name(self, subset: str) -> str:
        """The subset's name in the release; UserError if the corpus has no such subset."""
        if subset not in self.splits:
            raise UserError(f"expected a subset among {', '.join(self.splits)}, found {subset!r}")
        return self.splits[subset]

    def num_sentences(self, subset: str) -> int:
        """Sentences of a subset as binarized."""
        self.release_name(subset)
        source, target = self.languages
        return read_index(self.bin_dir / f"{subset}.{source}-{target}.{target}.idx")[0]

    def raw(self, subset: str, language: str) -> list[str]:
        """Raw lines of a subset; those of a manifest are checked to be the ones it was made from.

        Raises UserError for other text, and where a folder of fairseq-preprocess needs a flag.
        """
        self.release_name(subset)
        name = f"{subset}.{language}"
        if not self.manifest:
            return self._given_references(subset, language)
        path = self.folder / "raw" / name
        lines = list(files.read_lines(path))
        recorded = (self.raw_sha256 or {}).get(name)
        if recorded is not None and files.sha256_of(path) != recorded:
            raise UserError(
                f"{path}: expected the text that the corpus was prepared from (SHA-256 "
                f"{recorded[:12]}…), found another; prepare the corpus again"
            )
        return lines

    def _given_references(self, subset: str, language: str) -> list[str]:
        path = self.given.references.get(subset)
        if path is None or language != self.languages[1]:
            raise UserError(
                f"{self.folder}: expected the raw text of {subset}.{language}, found a folder of "
                f"fairseq-preprocess, which keeps none; give --references {subset}=FILE (raw "
                f"{self.languages[1]}, one sentence a line)"
            )
        lines, expected = list(files.read_lines(path)), self.num_sentences(subset)
        lines[:1] = [line.removeprefix(files.BYTE_ORDER_MARK) for line in lines[:1]]
        if len(lines) != expected:
            raise UserError(
                f"{path}: expected the {expected} sentences of {subset}, found {len(lines)} lines"
                "; give a line for each, ended by \\n, without empty ones at the end"
            )
        return lines


def _from_manifest(folder: Path, given: Given) -> PreparedCorpus:
    manifest = files.read_json(folder / MANIFEST)
    entries = manifest if isinstance(manifest, dict) else {}
    for key, value_type in (ENTRIES | LATER_ENTRIES).items():
        is_wanted = key in ENTRIES or key in entries
        if is_wanted and not isinstance(entries.get(key), value_type):
            expected = f"an entry {key!r} ({value_type.__name__})"
            raise _of_manifest(folder, expected, entries.get(key))
    languages = entries["source_lang"], entries["target_lang"]
    for name in (*languages, *entries["splits"]):  # parts of the names of files
        if not re.fullmatch(r"\w+", name):
            raise _of_manifest(folder, "languages and splits of letters, digits and _", name)
    for digest in entries.get("raw_sha256", {}).values():
        if not isinstance(digest, str):
            raise _of_manifest(folder, "digests in 'raw_sha256'", digest)
    if not (folder / "bin").is_dir():
        raise UserError(f"{folder}: expected bin/ beside {MANIFEST}, found none; prepare it again")
    if given.references:
        raise UserError(
            f"--references: expected none, since {folder} has its own in raw/, found "
            f"{', '.join(map(str, given.references.values()))}; leave them out"
        )
    splits = {
        split: str(entry["name"]) if isinstance(entry, dict) and "name" in entry else split
        for split, entry in entries["splits"].items()
    }
    name = entries["corpus"]
    return PreparedCorpus(folder, folder / "bin", name, languages, splits, entries, given)


def _of_manifest(folder: Path, expected: str, found: object) -> UserError:
    return UserError(
        f"{folder / MANIFEST}: expected {expected}, found {found!r}; prepare the corpus again with "
        "--force"
    )


def _from_fairseq(
    folder: Path, bin_dir: Path, found: Sequence[re.Match[str]], given: Given
) -> PreparedCorpus:
    pairs = sorted({(match["source"], match["target"]) for match in found})
    if len(pairs) > 1:
        raise UserError(
            f"{bin_dir}: expected the data of one language pair, found "
            f"{', '.join(map('-'.join, pairs))}; give each a folder"
        )
    for lang in pairs[0]:
        if not (bin_dir / f"dict.{lang}.txt").is_file():
            raise UserError(
                f"{bin_dir}: expected dict.{lang}.txt beside the data, found none; run "
                "fairseq-preprocess for both sides"
            )
    splits = {match["split"]: match["split"] for match in found}
    corpus = PreparedCorpus(folder, bin_dir, folder.resolve().name, pairs[0], splits, {}, given)
    for subset in given.references:
        corpus.release_name(subset)
    return corpus


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a finished folder, or None when there is none from here."""
    return _of_here(folder / MANIFEST)


def check_no_corpus(folder: Path) -> None:
    """Raise UserError for a folder to write into that is a corpus's own, or that of its data."""
    begun = read_manifest(folder) or read_beginning(folder) is not None
    if begun or any(folder.glob("dict.*.txt")):
        raise UserError(
            f"{folder}: expected a folder for results, found one of a corpus; choose another"
        )


def read_beginning(folder: Path) -> dict[str, Any] | None:
    """Of a folder that is not finished: what `begin` wrote, {} in one of an earlier version."""
    path = folder / UNFINISHED
    return _of_here(path) or {} if path.exists() else None


def _of_here(path: Path) -> dict[str, Any] | None:
    found = files.read_json(path)
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, which says that the folder is finished."""
    files.write_json(folder / MANIFEST, files.sealed({"format": FORMAT, **manifest}))
    (folder / UNFINISHED).unlink(missing_ok=True)


def begin(folder: Path, corpus: Mapping[str, str]) -> None:
    """Say that the folder is ours and not finished; `corpus`: those entries of its manifest."""
    # Not by write_json: killed then, a new folder would hold what is not known to be from here.
    text = json.dumps({"format": FORMAT, **corpus})
    (folder / UNFINISHED).write_text(text, encoding="utf-8")
    (folder / MANIFEST).unlink(missing_ok=True)
