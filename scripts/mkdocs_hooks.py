"""Hooks of mkdocs.yml: files of the repository that a page links to become part of the site.

In the repository a page of docs/ links to ``../results/...``, which works wherever its files are
browsed. A site has nothing above docs/, so these files are copied into it under the same names, and
the links of Markdown files among them are checked like those of the pages.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)\s#]+)")


def linked(page: Path) -> list[Path]:
    """Files outside docs/ that a Markdown file links to, and what those of Markdown link to."""
    found: list[Path] = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        inside = path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "docs")
        if "://" not in target and inside and path.is_file():
            found += [path, *(linked(path) if path.suffix == ".md" else ())]
    return found


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what the pages link to, as ``../NAME``: so the links stay as they are written."""
    pages = [Path(file.abs_src_path or "") for file in files.documentation_pages()]
    for path in sorted({each for page in pages for each in linked(page)}):
        name = path.relative_to(ROOT).as_posix()
        file = File.generated(config, f"../{name}", abs_src_path=str(path))
        file.inclusion = InclusionLevel.NOT_IN_NAV
        file.dest_uri = file.dest_uri.removeprefix("../")
        files.append(file)
    return files
