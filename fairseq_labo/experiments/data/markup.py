"""The releases' markup around sentences: train.tags of TED, and xml and sgm sets of segments."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from fairseq_labo.experiments.data.recipe import Markup
from fairseq_labo.experiments.errors import UserError

# One line each per talk. What stands in title and description is training text, as in fairseq's
# recipe.
_DROPPED_2014 = ("<url>", "<talkid>", "<keywords>")
_DROPPED_2017 = (*_DROPPED_2014, "<speaker>", "<reviewer", "<translator", "<doc", "</doc>")
_KEPT_TAGS = re.compile(r"</?(?:title|description)>")
# sgm is no XML, and the ids start again with every document: each line is read for itself.
_SEGMENT = re.compile(r'<seg id="[0-9]*">(.*?)(?:</seg>.*)?$', re.DOTALL)
_EDGES = " \t\r"


class Oddity(NamedTuple):
    """A line (counted from 1) that is read in another way than its author may have meant.

    `place`: of a sentence that is dropped, its number among those of the text; else None.
    """

    line: int
    what: str
    place: int | None = None


Reader = Callable[[Iterator[str], list[Oddity]], Iterator[str]]


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
