"""Links of Markdown files: to files of the repository, and to headings in them."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.documents.texts import BLOCK

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchor(heading: str) -> str:
    """What a heading is called in a link, on a host of repositories as on the site."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def dead(page: Path) -> Iterator[str]:
    """Links of a page that lead nowhere; those to other hosts are not looked at."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        name, _, fragment = target.partition("#")
        path = page.parent / name if name else page
        if re.match(r"https?://", target):
            continue
        if not path.exists():
            yield target
        elif fragment:
            headings = HEADING.findall(BLOCK.sub("", path.read_text(encoding="utf-8")))
            if fragment not in map(anchor, headings):
                yield target
