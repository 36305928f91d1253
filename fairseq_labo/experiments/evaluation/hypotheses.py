"""From the output of fairseq-generate to hypotheses, checked, in the order of the references."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.data.moses import detokenize
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import Texts, score_text
from fairseq_labo.experiments.files import read_lines, sha256_of

HYPOTHESIS = re.compile(r"^D-(\d+)\t[^\t]*\t(.*)$")
TARGET = re.compile(r"^T-(\d+)\t(.*)$")
UNKNOWN = "<<unk>>"  # how fairseq writes an unknown word of the reference


def read_hypotheses(generated: Path, *, expected: int) -> list[str]:
    """Hypotheses of a generation log, as tokens, in the order of the test set.

    Raises UserError if they are not exactly numbers 0 to `expected` − 1.
    """
    return _numbered(generated, HYPOTHESIS, expected=expected, kind="hypotheses")


def read_targets(generated: Path, *, expected: int) -> list[str]:
    """The references of a generation log, as tokens; raises UserError as `read_hypotheses`."""
    return _numbered(generated, TARGET, expected=expected, kind="references (T-)")


def _numbered(generated: Path, pattern: re.Pattern[str], *, expected: int, kind: str) -> list[str]:
    by_number: dict[int, str] = {}
    for line in read_lines(generated):
        found = pattern.match(line)
        if found:
            by_number[int(found[1])] = found[2]
    missing = sorted(set(range(expected)) - by_number.keys())
    if missing or len(by_number) != expected:
        raise UserError(
            f"{generated}: expected {kind} 0 to {expected - 1}, found {len(by_number)}"
            f"{f', without number {missing[0]}' if missing else ''}; generate again with the "
            f"subset and the data that the references belong to"
        )
    return [by_number[number] for number in range(expected)]


def read_nll(validation_log: Path, *, subset: str) -> float:
    """NLL in bits per target token from the log of fairseq-validate.

    Criterions that smooth report it as nll_loss, plain cross entropy as loss.
    """
    report = re.compile(rf"\| {re.escape(subset)} \| (\{{.*\}})$")
    for line in read_lines(validation_log):
        found = report.search(line)
        values = json.loads(found[1]) if found else {}
        for key in (f"{subset}_nll_loss", f"{subset}_loss"):
            if key in values:
                return float(values[key])
    raise UserError(
        f"{validation_log}: expected fairseq-validate's JSON report of {subset}, found none; "
        f"read the end of that file for its error"
    )


@dataclass(frozen=True)
class Corpus:
    """A folder that data-prep/ prepared."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Corpus":
        """Raises UserError if the folder holds no prepared corpus."""
        path = folder / "manifest.json"
        if not path.is_file() or not (folder / "bin").is_dir():
            raise UserError(
                f"expected a prepared corpus in {folder} (bin/, manifest.json), found none: run "
                "a data-prep/ script"
            )
        return cls(folder, json.loads(path.read_text(encoding="utf-8")))

    @property
    def name(self) -> str:
        return str(self.manifest["corpus"])

    @property
    def languages(self) -> tuple[str, str]:
        return self.manifest["source_lang"], self.manifest["target_lang"]

    @property
    def subwords(self) -> str:
        """The kind of subwords: "subword-nmt" or "sentencepiece"."""
        return str(self.manifest.get("subwords", "subword-nmt"))

    def release_name(self, subset: str) -> str:
        """The subset's name in the release; UserError if the corpus has no such subset."""
        splits = self.manifest["splits"]
        if subset not in splits:
            raise UserError(f"expected a subset among {', '.join(splits)}, found {subset!r}")
        return str(splits[subset]["name"])

    def raw(self, subset: str, language: str) -> list[str]:
        """Raw lines of a subset, checked to be those that the corpus was prepared from."""
        self.release_name(subset)
        name = f"{subset}.{language}"
        path = self.folder / "raw" / name
        lines = list(read_lines(path))
        recorded = self.manifest.get("raw_sha256", {}).get(name)
        if recorded is not None and sha256_of(path) != recorded:
            raise UserError(
                f"{path}: expected the text that the corpus was prepared from (SHA-256 "
                f"{recorded[:12]}…), found another; prepare the corpus again"
            )
        return lines


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def check_references(references: Sequence[str], tokens: Sequence[str], *, language: str) -> None:
    """Raise UserError unless the binarized references are the raw ones, sentence by sentence.

    Compared are letters and digits without case, which tokenizing and lowercasing leave alone;
    sentences with unknown words are passed over.
    """
    for number, (raw, line) in enumerate(zip(references, tokens, strict=True)):
        if UNKNOWN in line:
            continue
        if _letters(raw) != _letters(detokenize(line, language=language)):
            raise UserError(
                f"sentence {number}: expected the raw reference {raw!r}, found {line!r} in the "
                "binarized data: they are of different texts; prepare the corpus again"
            )


def check_hypotheses(hypotheses: Sequence[str], *, allow_empty: bool) -> None:
    """Raise UserError for empty hypotheses, unless they are allowed."""
    empty = [number for number, line in enumerate(hypotheses) if not line.strip()]
    if empty and not allow_empty:
        raise UserError(
            f"expected {len(hypotheses)} translations, found {len(empty)} empty (the first: "
            f"number {empty[0]}); the model is undertrained or the data is not its own; "
            "--allow-empty scores them as they are"
        )


def read_texts(generated: Path, corpus: Corpus, *, subset: str, allow_empty: bool) -> Texts:
    """Hypotheses and references of a generation log, complete and checked; UserError if not."""
    language = corpus.languages[1]
    references = corpus.raw(subset, language)
    tokens = read_hypotheses(generated, expected=len(references))
    targets = read_targets(generated, expected=len(references))
    check_references(references, targets, language=language)
    check_hypotheses(tokens, allow_empty=allow_empty)
    hypotheses = [detokenize(line, language=language) for line in tokens]
    return Texts(hypotheses, references, tokens, targets)


def score(hypotheses: list[str], references: list[str]) -> dict[str, dict[str, Any]]:
    """Corpus BLEU (cased, 13a) and chrF of detokenized text, each with its signature."""
    scores = score_text(Texts(hypotheses, references, hypotheses, references))
    return {name: scores[name] for name in ("bleu", "chrf")}
