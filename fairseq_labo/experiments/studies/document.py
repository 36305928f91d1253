"""A report as a list of blocks, and its two forms: Markdown, and HTML in a single file."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Heading:
    """A section's title."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str
    kind: str = "paragraph"


@dataclass(frozen=True)
class Table:
    """Cells of text; the first `left_columns` are words, the others numbers (to the right)."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_columns: int = 1
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure that lies as PNG and SVG beside the report; `path` is that of the SVG."""

    path: Path
    caption: str
    kind: str = "picture"


Block = Heading | Paragraph | Table | Picture


def render(title: str, blocks: Sequence[Block], *, template: str, folder: Path) -> str:
    """The document by a template: report.md.j2 or report.html.j2.

    Markdown refers to figures by their paths from `folder`; HTML contains them.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["embedded"] = embedded
    environment.filters["relative"] = lambda path: path.relative_to(folder).as_posix()
    environment.filters["cell"] = lambda text: text.replace("|", "\\|")
    return environment.get_template(template).render(title=title, blocks=blocks)


def embedded(path: Path) -> Markup:
    """An SVG as a data URL, so that the HTML needs no other file."""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return Markup(f"data:image/svg+xml;base64,{content}")
