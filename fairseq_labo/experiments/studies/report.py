"""The report of a study: what was run, every number with how it was obtained, the figures.

Its text stands in templates/report.j2; md.j2 and html.j2 are the two forms of it.
"""

import base64
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fairseq_labo.experiments.console import format_table, printable
from fairseq_labo.experiments.evaluation.published import PAPER_TASKS
from fairseq_labo.experiments.evaluation.summary import cautions
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.studies import figures, report_tables
from fairseq_labo.experiments.studies.results import Results
from fairseq_labo.experiments.studies.schema import VALIDATION_SUBSET
from fairseq_labo.experiments.studies.significance import LEVEL
from fairseq_labo.experiments.training.flags import value_of

FORMS = ("md", "html")
# What Markdown would read as markup in text that is none: tags, entities, code, links, emphasis;
# at the start of a paragraph: headings, lists, quotes, rules, tables.
MARKUP = re.compile(r"[\\`]|<(?=[A-Za-z/!?])|&(?=[#\w]+;)|\[|\*(?=\S)|(?<!\w)_(?=\S)|~(?=~)")
START = re.compile(r"^(?=[-+>#=|~])|^(\d{1,9})(?=[.)](?:\s|$))")


def write(results: Results, folder: Path) -> list[Path]:
    """Write report.md, report.html (self-contained), results.json and figures/.

    Returns the first three.
    """
    drawn = figures.draw_all(results, folder / "figures")
    svgs = {name: paths[1] for name, paths in drawn.items()}
    written = {form: folder / f"report.{form}" for form in FORMS}
    for form, path in written.items():
        path.write_text(render(results, form, svgs), encoding="utf-8", newline="\n")
    write_json(folder / "results.json", results.model_dump(mode="json"))
    return [*written.values(), folder / "results.json"]


def summary(results: Results) -> str:
    """The headline tables, for a terminal."""
    tables = {test: report_tables.headline(results, test) for test in results.tests}
    return "\n\n".join(
        f"{test}\n{format_table([table.header, *table.rows], left_columns=1)}"
        for test, table in tables.items()
    )


def render(results: Results, form: str, svgs: Mapping[str, Path]) -> str:
    """The report in a form, "md" or "html". `svgs`: a figure's name to its file.

    Markdown refers to figures as figures/NAME; HTML contains them.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=form == "html",
        undefined=StrictUndefined,
        finalize=lambda each: type(each)(printable(each)) if isinstance(each, str) else each,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "embedded": embedded,
        "relative": lambda path: f"figures/{path.name}",
        "oneline": lambda text: type(text)(" ".join(text.split())),
        "text": lambda text: START.sub(r"\1\\", plain(text)),
        "cell": lambda text: plain(" ".join(text.split())).replace("|", "\\|"),
    }
    return environment.get_template("report.j2").render(
        form=form,
        results=results,
        tables=report_tables,
        figures=svgs,
        level=LEVEL,
        paper_tasks=PAPER_TASKS,
        validation_subset=VALIDATION_SUBSET,
        machines=machines(results),
        chosen_by=chosen_by(results),
        cautions=partial(cautions, language=results.corpus.languages[1]),
        references=references(results),
        resumed=[run.name for run in results.runs if run.trained.get("resumed")],
    )


def embedded(path: Path) -> Markup:
    """An SVG as a data URL, so that the HTML needs no other file."""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return Markup(f"data:image/svg+xml;base64,{content}")


def plain(text: str) -> str:
    """`text` for Markdown, which shows it as it is."""
    return MARKUP.sub(r"\\\g<0>", text)


def machines(results: Results) -> dict[str, list[str]]:
    """The runs' names by what they were trained on."""
    places: dict[str, list[str]] = {}
    for run in results.runs:
        places.setdefault(_place(run.environment), []).append(run.name)
    return places


def _place(known: Mapping[str, Any]) -> str:
    """What a training ran on, and where it was begun if that was elsewhere."""
    versions = ", ".join(f"{name} {each}" for name, each in known.get("versions", {}).items())
    kept = "freed memory kept by the C library; " if known.get("keeps_freed_memory") else ""
    jobs = known.get("jobs")
    place = (
        f"{known.get('device')}, {known.get('processor')}; {jobs} run{'s' * (jobs != 1)} at a "
        f"time, threads each: {known.get('threads')}; {kept}{versions}; commit "
        f"{known.get('commit')}"
    )
    return f"{place}; begun on {_place(known['begun'])}" if "begun" in known else place


def chosen_by(results: Results) -> list[str]:
    """By what the best checkpoints were chosen, where one was translated with, or taught."""
    taught = any("--teacher-path" in run.train_arguments for run in results.runs)
    if not taught and all(run.checkpoint != "best" for run in results.runs):
        return []
    names = {"nll": "lowest NLL", "bleu": "highest BLEU"}
    metrics = {value_of("--best-by", run.train_arguments) or "nll" for run in results.runs}
    return [names.get(each, each) for each in sorted(metrics)]


def references(results: Results) -> list[str]:
    """Name and hash of each test set's raw references, as far as they are recorded."""
    hashes = results.corpus.raw_sha256 or {}
    names = [f"{test}.{results.corpus.languages[1]}" for test in results.tests]
    return [f"{name} {hashes[name][:16]}" for name in names if name in hashes]
