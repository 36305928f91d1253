"""The texts of a release as plain lines, `{part}.{language}`, checked as they are read.

Their markup goes: train.tags of TED, and xml and sgm sets of segments.
"""

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_labo.experiments.data import archives, moses
from fairseq_labo.experiments.data.archives import Container
from fairseq_labo.experiments.data.recipe import Corpus, Markup, Text
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import (
    BYTE_ORDER_MARK,
    decode_lines,
    most_bytes,
    open_text,
    write_lines,
)

# One line each per talk. What stands in title and description is training text, as in fairseq's
# recipe.
_DROPPED_2014 = ("<url>", "<talkid>", "<keywords>")
_DROPPED_2017 = (*_DROPPED_2014, "<speaker>", "<reviewer", "<translator", "<doc", "</doc>")
_KEPT_TAGS = re.compile(r"</?(?:title|description)>")
# sgm is no XML, and the ids start again with every document: each line is read for itself.
_SEGMENT = re.compile(r'<seg id="[0-9]*">(.*?)(?:</seg>.*)?$', re.DOTALL)
_EDGES = " \t\r"
Reader = Callable[[Iterator[str], list["Oddity"]], Iterator[str]]


class Oddity(NamedTuple):
    """A line (counted from 1) that is read in another way than its author may have meant.

    `place`: of a sentence that is dropped, its number among those of the text; else None.
    """

    line: int
    what: str
    place: int | None = None


class Read(NamedTuple):
    """A text that was read: where it lies, its name for the user, its lines, what was odd in it."""

    path: Path
    name: str
    lines: int
    odd: list[Oddity]


def extract(
    corpus: Corpus,
    containers: Mapping[str, Container],
    folder: Path,
    *,
    accept_counts: bool = False,
) -> dict[str, Any]:
    """Write {part}.{lang} of `corpus` into `folder`; return the numbers of pairs, and notes.

    Raises UserError for a damaged or wrong archive, bytes that are not UTF-8, an empty text,
    sides of unequal length, and other counts than published unless `accept_counts`.
    """
    pieces = folder / "pieces"
    pieces.mkdir()
    read: dict[Text, Read] = {}
    packed: dict[Container, dict[str, Text]] = defaultdict(dict)  # each is read once
    for text in corpus.texts():
        if text.path in containers:
            _read(containers[text.path], {"": text}, pieces, read)
        else:
            packed[containers[text.archive]][text.path] = text
    for container, texts in packed.items():
        _read(container, texts, pieces, read)
    pairs: Counter[str] = Counter()
    for source, target in zip(*[iter(corpus.texts())] * 2, strict=True):
        pairs[source.part] += _compare(source, read[source], read[target], accept_counts)
        for text in (source, target):
            whole = folder / f"{text.part}.{text.language}"
            with read[text].path.open("rb") as stream, whole.open("ab") as output:
                shutil.copyfileobj(stream, output)
            read[text].path.unlink()
    pieces.rmdir()
    notes = [f"{text.name}, line {x.line:,}: {x.what}" for text in read.values() for x in text.odd]
    return {"lines": pairs.total() * 2, "pairs": dict(pairs), "notes": notes}


def _read(
    container: Container, texts: Mapping[str, Text], pieces: Path, read: dict[Text, Read]
) -> None:
    """Write the texts of one container by their names in it; "" is the container itself."""
    with archives.reporting_damage(container), ExitStack() as files:
        if list(texts) == [""]:
            streams = iter([("", files.enter_context(open_text(container.path)))])
        else:
            streams = archives.read_members(container, list(texts))
        for name, stream in streams:
            text, where = texts[name], f"{container}: {name}" if name else f"{container}"
            decoded = decode_lines(stream, where, most_bytes=most_bytes(container.path))
            odd: list[Oddity] = []
            path = pieces / f"{text.part}.{text.number}.{text.language}"
            lines = write_lines(path, _sentences(decoded, text, odd))
            read[text] = Read(path, name or where, lines, odd)
            if lines == 0:
                raise UserError(
                    f"{where}: expected one sentence a line, found an empty text; check the "
                    "corpus or fetch it again"
                )


def _sentences(lines: Iterator[str], text: Text, odd: list[Oddity]) -> Iterator[str]:
    member = text.member
    first = next(lines, None)
    if first is not None:
        if first.startswith(BYTE_ORDER_MARK):
            odd.append(Oddity(1, "a byte order mark, removed"))
        lines = chain([first.removeprefix(BYTE_ORDER_MARK)], lines)
    if member.columns:
        column = member.columns.index(text.language)
        lines = (line.split("\t")[column] for line in lines)
    sentences = islice(reader(member.markup)(lines, odd), member.first_lines)
    if not member.tokenize:
        return sentences
    # As the released tokens: what today's tokenizer.perl makes.
    options = moses.TokenizerOptions(text.language, split_final_period=True)
    return (moses.tokenize_with(options, sentence) for sentence in sentences)


def _compare(text: Text, source: Read, target: Read, accept_counts: bool) -> int:
    """Return the lines of both sides; UserError unless they are as many, and as expected."""
    (_, first, lines, _), (_, second, others, _) = source, target
    for here, there in ((source, target), (target, source)):
        places = {odd.place for odd in there.odd}
        for odd in here.odd:
            if odd.place is not None and odd.place not in places:
                raise UserError(
                    f"{here.name}, line {odd.line:,}: expected a sentence, as in {there.name}, "
                    f"found {odd.what}, as fairseq's recipe does, so that the sides no longer "
                    "match; remove the tag from the sentence"
                )
    if lines != others:
        raise UserError(
            f"expected as many lines in {first} as in {second}, found {lines:,} and {others:,}: "
            f"{first if lines > others else second}, line {min(lines, others) + 1:,} has no "
            'partner; lines end at "\\n" only; mend the text, or fetch both files again from the '
            "same release"
        )
    expected = text.member.expected_lines
    if expected not in (None, lines) and not accept_counts:
        raise UserError(
            f"{first} and {second}: expected {expected:,} lines, found {lines:,}; the files are "
            "cut off or of another release: fetch them again, or add --accept-counts to prepare "
            "them as they are"
        )
    return lines


def reader(markup: Markup) -> Reader:
    """Return the function that reads sentences out of the lines of a file; it adds oddities."""
    readers: dict[Markup, Reader] = {
        "plain": lambda lines, odd: lines,
        "tags2014": partial(_read_tags, _DROPPED_2014),
        "tags2017": partial(_read_tags, _DROPPED_2017),
        "segments": _read_segments,
    }
    return readers[markup]


def _read_tags(dropped: tuple[str, ...], lines: Iterator[str], odd: list[Oddity]) -> Iterator[str]:
    """Yield the lines of a train.tags file without those that hold metadata, and without tags.

    XML entities stay as they are: fairseq's recipe does not unescape them. As there, a line is
    metadata wherever in it the tag stands.
    """
    place = 0
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith(dropped):
            continue
        place += 1
        tag = next((tag for tag in dropped if tag in line), None)
        if tag is None:
            yield _KEPT_TAGS.sub("", line)
        else:
            odd.append(Oddity(number, f"a sentence with {tag} in it, dropped as metadata", place))


def _read_segments(lines: Iterator[str], odd: list[Oddity]) -> Iterator[str]:
    """Yield the text of each `<seg id="n">` of an xml or sgm set, which stands on one line."""
    for number, line in enumerate(lines, start=1):
        if "<seg id" not in line:
            continue
        found = _SEGMENT.search(line)
        if found is None:
            raise UserError(
                f'expected a segment as in <seg id="1"> text </seg>, found {line[:80]!r}; this is '
                "another format than the release's: fetch the set again"
            )
        if "</seg>" not in line:
            odd.append(Oddity(number, "a segment without its end, read to the end of the line"))
        yield found[1].strip(_EDGES)
