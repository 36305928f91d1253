"""The texts of a release as plain lines, `{part}.{language}`, checked as they are read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from fairseq_labo.experiments.data import moses
from fairseq_labo.experiments.data.archives import (
    Container,
    open_text,
    read_members,
    reporting_damage,
)
from fairseq_labo.experiments.data.markup import reader
from fairseq_labo.experiments.data.recipe import Corpus, Member
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import decode_lines, write_lines


class Place(NamedTuple):
    """Where a text goes, how it is marked up, its language."""

    target: Path
    member: Member
    language: str


def extract(
    corpus: Corpus,
    containers: Mapping[str, Container],
    folder: Path,
    *,
    accept_counts: bool = False,
) -> dict[str, Any]:
    """Write {part}.{lang} of `corpus` into `folder`; return the numbers of pairs.

    Raises UserError for a damaged or wrong archive, bytes that are not UTF-8, an empty text,
    sides of unequal length, and other counts than published unless `accept_counts`.
    """
    pieces = folder / "pieces"
    pieces.mkdir()
    lines: dict[Path, int] = {}
    for container, places in _places(corpus, containers, pieces).items():
        _read(container, places, lines)
    pairs = {part: _join(corpus, part, folder, lines, accept_counts) for part in corpus.parts}
    shutil.rmtree(pieces)
    return {"lines": sum(pairs.values()) * 2, "pairs": pairs}


def _piece(pieces: Path, part: str, number: int, lang: str) -> Path:
    return pieces / f"{part}.{number}.{lang}"


def _places(
    corpus: Corpus, containers: Mapping[str, Container], pieces: Path
) -> dict[Container, dict[str, Place]]:
    """Return for each container the texts to read from it; "" is the container itself."""
    places: dict[Container, dict[str, Place]] = {}
    for part, content in corpus.parts.items():
        for number, member in enumerate(content.members):
            for lang in corpus.languages:
                path = member.path_of(lang, corpus.languages)
                archive = member.archive_of(lang, corpus.languages)
                target = _piece(pieces, part, number, lang)
                name = "" if archive is None else path
                places.setdefault(containers[archive or path], {})[name] = Place(
                    target, member, lang
                )
    return places


def _read(container: Container, places: Mapping[str, Place], lines: dict[Path, int]) -> None:
    def visit(name: str, stream: IO[bytes]) -> None:
        place = places[name]
        where = f"{container}: {name}" if name else f"{container}"
        lines[place.target] = write_lines(place.target, _sentences(stream, place, where))
        if lines[place.target] == 0:
            raise UserError(
                f"{where}: expected one sentence a line, found an empty text; check the corpus "
                "or fetch it again"
            )

    if list(places) == [""]:
        if not container.path.is_file():
            raise UserError(f"{container}: expected a text file, found none; check the folder")
        with reporting_damage(container), open_text(container.path) as stream:
            visit("", stream)
    else:
        read_members(container, list(places), visit)


def _sentences(stream: IO[bytes], place: Place, where: str) -> Iterator[str]:
    sentences = reader(place.member.markup)(decode_lines(stream, where))
    if not place.member.tokenize:
        return sentences
    # As the released tokens: what today's tokenizer.perl makes.
    options = moses.TokenizerOptions(place.language, split_final_period=True)
    return (moses.tokenize_with(options, sentence) for sentence in sentences)


def _join(
    corpus: Corpus, part: str, folder: Path, lines: Mapping[Path, int], accept_counts: bool
) -> int:
    """Make {part}.{lang} from its pieces, in order, after comparing both sides."""
    source_lang, target_lang = corpus.languages
    total = 0
    for number, member in enumerate(corpus.parts[part].members):
        source, target = (
            _piece(folder / "pieces", part, number, lang) for lang in corpus.languages
        )
        names = [member.path_of(lang, corpus.languages) for lang in corpus.languages]
        if lines[source] != lines[target]:
            longer = names[lines[source] < lines[target]]
            raise UserError(
                f"expected as many lines in {names[0]} as in {names[1]}, found "
                f"{lines[source]:,} and {lines[target]:,}: {longer}, line "
                f"{min(lines[source], lines[target]) + 1:,} has no partner; lines end at "
                '"\\n" only; fetch both files again from the same release'
            )
        expected = member.expected_lines
        if expected not in (None, lines[source]) and not accept_counts:
            raise UserError(
                f"{names[0]} and {names[1]}: expected {expected:,} lines, found "
                f"{lines[source]:,}; the files are cut off or of another release: fetch them "
                "again, or add --accept-counts to prepare them as they are"
            )
        total += lines[source]
        for piece, lang in ((source, source_lang), (target, target_lang)):
            with piece.open("rb") as stream, (folder / f"{part}.{lang}").open("ab") as whole:
                shutil.copyfileobj(stream, whole)
            piece.unlink()
    return total
