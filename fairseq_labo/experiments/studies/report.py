"""The report of a study: what was run, every number with how it was obtained, the figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS, PAPER_TASKS
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.studies import figures, report_tables
from fairseq_labo.experiments.studies.document import (
    Block,
    Heading,
    Paragraph,
    Picture,
    Table,
    render,
)
from fairseq_labo.experiments.studies.results import Results, mean_with_deviation
from fairseq_labo.experiments.studies.search import best
from fairseq_labo.experiments.studies.significance import LEVEL
from fairseq_labo.experiments.studies.study import VALIDATION_SUBSET, setting_name

KEEPS = "keeps_freed_memory"
PAPER_SUBSET = "test"  # the one that the published figures are of


def write(results: Results, folder: Path, *, note: str = "") -> list[Path]:
    """Write report.md, report.html (self-contained), results.json and figures/.

    `note`: a paragraph for the section on how the numbers were obtained. Returns the first three.
    """
    drawn = figures.draw_all(results, folder / "figures")
    blocks = compose(results, {name: paths[1] for name, paths in drawn.items()})
    if note:
        blocks.append(Paragraph(note))
    title = f"Study {results.study.name}"
    written = []
    for name in ("report.md", "report.html"):
        text = render(title, blocks, template=f"{name}.j2", folder=folder)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        written.append(folder / name)
    write_json(folder / "results.json", results.as_json())
    return [*written, folder / "results.json"]


def summary(results: Results) -> str:
    """The headline tables, for a terminal."""
    parts = []
    for test in results.study.tests:
        table = report_tables.headline(results, test)
        rows = [table.header, *table.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
        lines = [
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        parts.append("\n".join([test, *lines]))
    return "\n\n".join(parts)


def compose(results: Results, drawn: Mapping[str, Path]) -> list[Block]:
    """The blocks of the report. `drawn`: a figure's name to its SVG."""
    blocks: list[Block] = [Paragraph(introduction(results))]
    if results.study.description:
        blocks.append(Paragraph(results.study.description))
    for test in results.study.tests:
        blocks += _of_test(results, test, drawn)
    blocks += [
        Heading("Training"),
        report_tables.training(results),
        Paragraph(
            "words/s: target tokens per second of training, the median over epochs as fairseq "
            "counts them; peak memory: the largest resident set of the training process. Runs "
            "that share the machine slow each other down."
        ),
        Picture(
            drawn["validation-curves"],
            "Validation NLL over updates: each seed (thin) and their mean. Dashed: stage 2 "
            "(one-hot targets) begins.",
        ),
    ]
    if results.searches:
        blocks += searches(results)
    return [*blocks, Heading("How the numbers were obtained"), *_conditions(results)]


def introduction(results: Results) -> str:
    """Corpus, seeds and baseline in a sentence."""
    study = results.study
    seeds = ", ".join(map(str, study.seeds))
    languages = "-".join(results.corpus.languages)
    methods = f"{len(study.methods)} methods" if len(study.methods) > 1 else "One method"
    baseline = f"Baseline of all tests: {study.baseline}. " if len(study.methods) > 1 else ""
    return (
        f"{methods} on {results.corpus.name} ({languages}), "
        f"{'seeds' if len(study.seeds) > 1 else 'one seed:'} {seeds}. {baseline}"
        "Values are mean ± standard deviation over seeds (n − 1)."
    )


def _of_test(results: Results, test: str, drawn: Mapping[str, Path]) -> list[Block]:
    first = next(iter(results.methods.values()))[0].scores[test]
    sentences = first["subset"]["sentences"]
    named = f"{test} (release: {first['subset']['release_name']}; {sentences} sentences)"
    return [
        Heading(f"Results on {named}"),
        report_tables.headline(results, test),
        Paragraph(
            f"BLEU: {CONVENTIONS[results.study.score].label}, "
            f"{first[results.study.score]['signature']}; difference: of the means, from "
            f"{results.study.baseline}; significant: seeds for which both tests below say p < "
            f"{LEVEL}. NLL in bits per target token."
        ),
        Picture(
            drawn[f"bleu-{test}"],
            f"BLEU on {test}: each seed with its 95 % bootstrap interval over "
            "sentences, and the mean over seeds.",
        ),
        *(_differences(results, test) if len(results.methods) > 1 else []),
        Heading(f"Every convention on {test}"),
        *report_tables.conventions(results, test),
        *published_figures(results, test),
        Heading(f"Calibration on {test}"),
        report_tables.calibration(results, test),
        Paragraph(
            "Of the prediction of each target token with the reference before it given: ECE and "
            "MCE over 15 bins of the confidence, Brier score (0 to 2), entropy in bits."
        ),
        Picture(
            drawn[f"reliability-{test}"],
            "Reliability: accuracy (bars) over confidence, tokens of all seeds. Bars below the "
            "dotted diagonal are overconfident, above it underconfident. Grey: share of tokens.",
        ),
    ]


def _differences(results: Results, test: str) -> list[Block]:
    return [
        Heading(f"Differences from {results.study.baseline} on {test}"),
        report_tables.significance(results, test),
        Paragraph(
            "p: probability of a difference at least this large if the systems were equal, over "
            "the sentences of this test set, for one seed; not corrected for the number of "
            f"comparisons. * marks p < {LEVEL}. These tests know nothing of other seeds: compare "
            f"the standard deviation above. Signatures: {results.signatures['bs']} (bootstrap), "
            f"{results.signatures['ar']} (approximate randomization)."
        ),
    ]


def published_figures(results: Results, test: str) -> list[Block]:
    """Published figures of the study's task, beside ours on that task's test set."""
    if results.study.paper is None or test != PAPER_SUBSET:
        return []
    task = PAPER_TASKS[results.study.paper]
    subset = next(iter(results.methods.values()))[0].scores[test]["subset"]
    text = f"{task.name}, test set {task.test_set}. Each row in the convention of its figure"
    if any(not figure.stated for figure in task.figures):
        text += "; assumed: the paper's own convention was not at hand"
    if task.sentences is not None and subset["sentences"] != task.sentences:
        text += (
            f". NOT comparable: the test set has {task.sentences} sentences, this one "
            f"{subset['sentences']}"
        )
    heading = Heading(f"Published figures beside those of {test}")
    return [heading, report_tables.published(results, task, test), Paragraph(text + ".")]


def searches(results: Results) -> list[Block]:
    """What every setting of a grid scored on the validation set, and which was chosen."""
    study = results.study
    seeds = ", ".join(map(str, study.search.seeds))
    over = "mean ± standard deviation over seeds" if len(study.search.seeds) > 1 else "with seed"
    digits = 4 if study.search.metric == "nll" else 2
    blocks: list[Block] = [
        Heading("Hyper-parameter search"),
        Paragraph(
            f"Settings were chosen by {study.search.metric} on the validation set "
            f"({VALIDATION_SUBSET}) alone, {over} {seeds}. The tests were scored once, "
            "for the chosen setting. The other settings have no test score."
        ),
    ]
    for name, found in results.searches.items():
        chosen = best(list(found), study.search.metric)
        rows = [
            [
                setting_name(each.setting) + (" (chosen)" if each is chosen else ""),
                mean_with_deviation(each.values, digits),
            ]
            for each in found
        ]
        blocks.append(Table([name, f"{study.search.metric} on {VALIDATION_SUBSET}"], rows))
    return blocks


def _conditions(results: Results) -> list[Block]:
    runs = [each for found in results.methods.values() for each in found]
    places: dict[str, list[str]] = {}
    for each in runs:
        environment = each.environment
        versions = ", ".join(
            f"{name} {number}" for name, number in environment.get("versions", {}).items()
        )
        line = (
            f"{environment.get('device')}, {environment.get('processor')}; "
            f"{environment.get('jobs')} runs at a time, threads each: "
            f"{environment.get('threads')}; "
            f"{'freed memory kept by the C library; ' * bool(environment.get(KEEPS))}"
            f"{versions}; commit {environment.get('commit')}"
        )
        places.setdefault(line, []).append(each.run.name)
    blocks: list[Block] = []
    for line, names in places.items():
        of = "" if len(places) == 1 else f" ({', '.join(names)})"
        blocks.append(Paragraph(f"Trained on {line}{of}."))
    blocks.append(Paragraph(_translation(results)))
    resumed = [each.run.name for each in runs if each.trained.get("resumed")]
    if resumed:
        blocks.append(
            Paragraph(
                f"Interrupted and resumed, so that speed and memory are of the last part: "
                f"{', '.join(resumed)}."
            )
        )
    return blocks


def _translation(results: Results) -> str:
    evaluation = results.study.evaluation
    hashes: dict[str, Any] = results.corpus.manifest.get("raw_sha256") or {}
    names = [f"{test}.{results.corpus.languages[1]}" for test in results.study.tests]
    references = ", ".join(f"{name} {hashes[name][:16]}" for name in names if name in hashes)
    return (
        f"Translated with checkpoint {evaluation.checkpoint}, beam {evaluation.beam}, length "
        f"penalty {evaluation.lenpen:g}. The best checkpoint is that of the {_best(results)} on "
        f"the validation set. References (SHA-256): {references or 'not recorded'}."
    )


def _best(results: Results) -> str:
    chosen_by = {
        each.run.flags().get("best_by", "nll")
        for found in results.methods.values()
        for each in found
    }
    names = {"nll": "lowest NLL", "bleu": "highest BLEU"}
    return " or (see the flags above) ".join(names[metric] for metric in sorted(chosen_by))
