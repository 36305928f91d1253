"""The releases' markup around sentences: train.tags of TED, and xml and sgm sets of segments."""

import re
from collections.abc import Callable, Iterator

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


def reader(markup: Markup) -> Callable[[Iterator[str]], Iterator[str]]:
    """Return the function that reads sentences out of the lines of a file."""
    return {
        "plain": lambda lines: lines,
        "tags2014": lambda lines: _read_tags(lines, _DROPPED_2014),
        "tags2017": lambda lines: _read_tags(lines, _DROPPED_2017),
        "segments": _read_segments,
    }[markup]


def _read_tags(lines: Iterator[str], dropped: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a train.tags file without those that hold metadata, and without tags.

    XML entities stay as they are: fairseq's recipe does not unescape them.
    """
    for line in lines:
        if not any(tag in line for tag in dropped):
            yield _KEPT_TAGS.sub("", line)


def _read_segments(lines: Iterator[str]) -> Iterator[str]:
    """Yield the text of each `<seg id="n">` of an xml or sgm set, which stands on one line."""
    for line in lines:
        if "<seg id" not in line:
            continue
        found = _SEGMENT.search(line)
        if found is None:
            raise UserError(
                f'expected a segment as in <seg id="1"> text </seg>, found {line[:80]!r}; this is '
                "another format than the release's: fetch the set again"
            )
        yield found[1].strip(_EDGES)
