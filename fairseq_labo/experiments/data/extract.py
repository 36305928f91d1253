"""The texts of a release as plain lines, `{part}.{language}`, checked as they are read."""

import shutil
from collections.abc import Iterator, Mapping
from itertools import islice
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


class Text(NamedTuple):
    """A text that was read: its name for the user, its lines."""

    name: str
    lines: int


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
    texts: dict[Path, Text] = {}
    for container, places in _places(corpus, containers, pieces):
        _read(container, places, texts)
    pairs = {part: _join(corpus, part, folder, texts, accept_counts) for part in corpus.parts}
    shutil.rmtree(pieces)
    return {"lines": sum(pairs.values()) * 2, "pairs": pairs}


def _piece(pieces: Path, part: str, number: int, lang: str) -> Path:
    return pieces / f"{part}.{number}.{lang}"


def _places(
    corpus: Corpus, containers: Mapping[str, Container], pieces: Path
) -> list[tuple[Container, dict[str, Place]]]:
    """Return for each container the texts to read from it; "" is the container itself.

    An archive is read once for all its texts, a text that is a file of its own for each language.
    """
    archives: dict[Container, dict[str, Place]] = {}
    texts = []
    for part, content in corpus.parts.items():
        for number, member in enumerate(content.members):
            for lang in corpus.languages:
                path = member.path_of(lang, corpus.languages)
                archive = member.archive_of(lang, corpus.languages)
                place = Place(_piece(pieces, part, number, lang), member, lang)
                if archive is None:
                    texts.append((containers[path], {"": place}))
                else:
                    archives.setdefault(containers[archive], {})[path] = place
    return [*texts, *archives.items()]


def _read(container: Container, places: Mapping[str, Place], texts: dict[Path, Text]) -> None:
    def visit(name: str, stream: IO[bytes]) -> None:
        place = places[name]
        where = f"{container}: {name}" if name else f"{container}"
        lines = write_lines(place.target, _sentences(stream, place, where))
        texts[place.target] = Text(name or where, lines)
        if lines == 0:
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
    lines = decode_lines(stream, where)
    if place.member.columns:
        column = place.member.columns.index(place.language)
        lines = (line.split("\t")[column] for line in lines)
    sentences = islice(reader(place.member.markup)(lines), place.member.first_lines)
    if not place.member.tokenize:
        return sentences
    # As the released tokens: what today's tokenizer.perl makes.
    options = moses.TokenizerOptions(place.language, split_final_period=True)
    return (moses.tokenize_with(options, sentence) for sentence in sentences)


def _join(
    corpus: Corpus, part: str, folder: Path, texts: Mapping[Path, Text], accept_counts: bool
) -> int:
    """Make {part}.{lang} from its pieces, in order, after comparing both sides."""
    total = 0
    for number, member in enumerate(corpus.parts[part].members):
        targets = [_piece(folder / "pieces", part, number, lang) for lang in corpus.languages]
        source, target = (texts[path] for path in targets)
        if source.lines != target.lines:
            longer = max(source, target, key=lambda text: text.lines)
            raise UserError(
                f"expected as many lines in {source.name} as in {target.name}, found "
                f"{source.lines:,} and {target.lines:,}: {longer.name}, line "
                f"{min(source.lines, target.lines) + 1:,} has no partner; lines end at "
                '"\\n" only; mend the text, or fetch both files again from the same release'
            )
        expected = member.expected_lines
        if expected not in (None, source.lines) and not accept_counts:
            raise UserError(
                f"{source.name} and {target.name}: expected {expected:,} lines, found "
                f"{source.lines:,}; the files are cut off or of another release: fetch them "
                "again, or add --accept-counts to prepare them as they are"
            )
        total += source.lines
        for path, lang in zip(targets, corpus.languages, strict=True):
            with path.open("rb") as stream, (folder / f"{part}.{lang}").open("ab") as whole:
                shutil.copyfileobj(stream, whole)
            path.unlink()
    return total
