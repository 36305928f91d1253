"""The report: every committed one is written again from its results.json; its sections."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import markupsafe
import pytest

from fairseq_labo.experiments.studies import figures, report, report_tables
from fairseq_labo.experiments.studies.beams import BeamScore
from fairseq_labo.experiments.studies.results import Results, RunResult, read_results
from fairseq_labo.experiments.studies.search import Candidate
from fairseq_labo.experiments.studies.translations import Translation
from tests.experiments.studies.conftest import RESULTS

# Others hold the records of a study that is not complete yet.
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/results.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_report_is_written_again_to_the_byte(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the committed figures, whose bytes depend on matplotlib's version."""
    copied = shutil.copytree(folder / "figures", tmp_path / "figures")
    drawn = {path.stem: [path.with_suffix(".png"), path] for path in copied.glob("*.svg")}
    monkeypatch.setattr(figures, "draw_all", lambda results, folder: drawn)
    written = report.write(read_results(folder / "results.json"), tmp_path)
    assert [path.name for path in written] == ["report.md", "report.html", "results.json"]
    for path in written:
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def pictures(path: Path) -> dict[str, Path]:
    names = ("bleu-test", "reliability-test", "bleu-test1", "reliability-test1")
    return dict.fromkeys(("validation-curves", *names), path)


def text_of(results: Results) -> str:
    return report.render(results, "md", pictures(Path("a.svg")))


def test_the_best_checkpoint_is_named_where_it_was_used(changed: Callable[..., Results]) -> None:
    """Translated with, or taught by: not where the last ones are averaged."""
    runs = [run.model_copy(update={"checkpoint": "average5"}) for run in changed().runs]
    taught = ("--teacher-path", "t.pt", *runs[-1].train_arguments)
    pupil = runs[-1].model_copy(update={"train_arguments": taught})
    for given, named in ((runs, False), ([*runs[:-1], pupil], True)):
        text = text_of(changed(runs=tuple(given)))
        assert ("The best checkpoint is that of the lowest NLL" in text) is named


def test_tokens_that_cannot_be_joined_again_are_told(changed: Callable[..., Results]) -> None:
    """Beside the scores, which no model can raise above what the references' own tokens have."""

    def capped(run: RunResult) -> RunResult:
        scores = {**run.scores["test"], "ceiling": {"bleu": 1.32, "bleu_lowercase": 1.32}}
        return run.model_copy(update={"scores": {"test": scores}})

    thai = changed().corpus.model_copy(update={"languages": ("en", "th")})
    text = text_of(changed(capped, corpus=thai))
    said = ("have 1.32 BLEU (ceiling): the rest is lost", "Thai has no spaces, at which")
    for each in said:
        assert each in text and each not in text_of(changed())


def test_best_checkpoint_is_named_by_how_it_was_chosen(
    changed: Callable[..., Results],
) -> None:
    def by_bleu(run: RunResult) -> RunResult:
        chosen = ("--best-by", "bleu") if run.method == "labo" else ()
        return run.model_copy(update={"train_arguments": (*chosen, *run.train_arguments)})

    text = text_of(changed(by_bleu))
    assert "is that of the highest BLEU or (see the flags above) lowest NLL on the" in text


def test_resumed_runs_and_the_note_are_told(
    changed: Callable[..., Results],
) -> None:
    def resumed(run: RunResult) -> RunResult:
        return run.model_copy(update={"trained": {**run.trained, "resumed": run.seed == 2}})

    text = text_of(changed(resumed, note="Alone on the machine."))
    assert "of the last part: cross_entropy/seed-2, label_smoothing/seed-2, " in text
    assert text.endswith("\nAlone on the machine.\n")


def test_where_a_resumed_training_was_begun_is_told(changed: Callable[..., Results]) -> None:
    def elsewhere(run: RunResult) -> RunResult:
        begun = {**run.environment, "processor": "an older one", "commit": "0ld"}
        return run.model_copy(update={"environment": {**run.environment, "begun": begun}})

    text = text_of(changed(elsewhere))
    assert "; begun on CPU" in text and "an older one; " in text and "commit 0ld" in text


def test_widths_of_the_search_have_a_section(changed: Callable[..., Results]) -> None:
    scores = {5: BeamScore(score=31, length_ratio=0.97), 50: BeamScore(score=30, length_ratio=0.9)}
    found = changed(lambda run: run.model_copy(update={"beams": {"test": scores}}))
    text = report.render(found, "md", {**pictures(Path("a.svg")), "beams-test": Path("b.svg")})
    assert "\n## Widths of the search on test\n" in text and "figures/b.svg" in text
    assert "| labo | BLEU | 31.00 ± 0.00 | 30.00 ± 0.00 |" in text
    assert "Widths" not in text_of(changed())


def test_published_figures_are_of_one_test_set(changed: Callable[..., Results]) -> None:
    """The 500 sentences here are not newstest2014."""
    text = text_of(changed(paper="wmt14.en-de"))
    assert "\n## Published figures beside those of test\n" in text
    assert (
        "wmt14.en-de, test set newstest2014. Each row in the convention of its figure; assumed: "
        "the paper's own convention was not at hand. NOT comparable: the test set has 3003 "
        "sentences, this one 500.\n"
    ) in text
    assert "Published" not in text_of(changed())


def test_published_figures_of_the_same_test_set(changed: Callable[..., Results]) -> None:
    """And of no other."""

    def longer(run: RunResult) -> RunResult:
        scores = run.scores["test"]
        of_paper = {**scores, "subset": {**scores["subset"], "sentences": 3003}}
        return run.model_copy(
            update={
                "scores": {"test": of_paper, "test1": scores},
                "compared": {"test": run.compared["test"], "test1": run.compared["test"]},
            }
        )

    names = (
        "validation-curves",
        "bleu-test",
        "reliability-test",
        "bleu-test1",
        "reliability-test1",
    )
    results = changed(longer, paper="wmt14.en-de")
    text = report.render(results, "md", {name: Path(name) for name in names})
    assert "## Every convention on test1" in text and "NOT comparable" not in text
    assert "was not at hand.\n" in text and text.count("## Published figures") == 1


@pytest.mark.parametrize(
    ("seeds", "text", "cells"),
    [
        ((1, 2), "mean ± standard deviation over seeds 1, 2", ["2.0000 ± 1.4142", "4.0000"]),
        ((1,), "with seed 1", ["2.0000", "4.0000"]),
    ],
)
def test_report_of_one_method_and_its_search(
    seeds: tuple[int, ...], text: str, cells: list[str], changed: Callable[..., Results]
) -> None:
    found = changed()
    values = [(1.0, 3.0) if len(seeds) > 1 else (2.0,), (4.0,)]
    among = tuple(Candidate({"labo_beta": str(n)}, value) for n, value in enumerate(values))
    searched = found.search.model_copy(
        update={"seeds": seeds, "methods": {"labo": among}, "choices": {"labo": among[0].setting}}
    )
    results = found.model_copy(
        update={"runs": tuple(found.methods["labo"]), "search": searched, "baseline": "labo"}
    )
    results = Results.model_validate(results.model_dump())  # without what was computed before
    shown = text_of(results)
    assert "\nOne method on microworld (de-en), seeds 1, 2. Values are" in shown
    assert "Differences" not in shown
    assert f"alone, {text}. The tests" in shown
    table = report_tables.search(results, "labo")
    assert [row[1] for row in table.rows] == cells
    assert [row[0].endswith(" (chosen)") for row in table.rows] == [True, False]
    assert f"\n| labo | nll on valid |\n|---|---:|\n| labo_beta=0 (chosen) | {cells[0]} |" in shown


def test_translations_stand_side_by_side(changed: Callable[..., Results]) -> None:
    each = Translation(
        sentence=7, source="ein Hund", reference="a dog", hypotheses={"tsla": "a|cat", "labo": "a"}
    )
    text = text_of(changed(translations={"test": (each,)}))
    assert (
        "\n## Translations of test\n\nSentences on which the methods differ most, with seed 1.\n"
        "\n| sentence 7 |  |\n|---|---|\n| source | ein Hund |\n| reference | a dog |\n"
        "| tsla | a\\|cat |\n| labo | a |\n\n## How the"
    ) in text
    assert "Translations" not in text_of(changed(translations={"test": ()}))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
        ("![x](http://y)", r"!\[x](http://y)"),
        ("a `b` *c* _d_", r"a \`b\` \*c* \_d_"),
        ("&lt; \\", r"\&lt; \\"),
        # What needs no escape stays readable.
        ("tsla_late, p < 0.05: 0.0479*", "tsla_late, p < 0.05: 0.0479*"),
    ],
)
def test_text_is_no_markup(text: str, shown: str, changed: Callable[..., Results]) -> None:
    """In Markdown, in a cell, where a bar would end it, and in HTML."""
    assert report.plain(text) == shown
    said = Translation(sentence=1, source=f"{text} |", reference=text, hypotheses={})
    results = changed(note=text, description=text, translations={"test": (said,)})
    written = text_of(results)
    assert written.endswith(f"\n{shown}\n") and f"| source | {shown} \\| |\n" in written
    with tempfile.NamedTemporaryFile(suffix=".svg") as svg:
        page = report.render(results, "html", pictures(Path(svg.name)))
    escaped = str(markupsafe.escape(text))
    assert f"<p>{escaped}</p>" in page and f"<td>{escaped} |</td>" in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# a", r"\# a"),
        ("- a", r"\- a"),
        ("+ a", r"\+ a"),
        ("> a", r"\> a"),
        ("12. a", r"12\. a"),
        ("1) a", r"1\) a"),
        ("---", r"\---"),
        ("~~~ a", r"\~\~~ a"),
        ("| a", r"\| a"),
        ("0.5 of a", "0.5 of a"),
        ("a\n\n# b", "a # b"),
        ("a\x1b[2J\x9b\u202e\x00", r"a\\x1b\[2J\\x9b\\u202e\\x00"),
    ],
)
def test_a_hostile_note_stays_one_paragraph(
    text: str, shown: str, changed: Callable[..., Results]
) -> None:
    """It is no heading, list, quote, rule or table, and steers no terminal."""
    written = text_of(changed(note=text, description=text))
    assert written.endswith(f"\n\n{shown}\n") and written.count(f"\n{shown}\n") == 2


def test_a_hostile_translation_stays_in_its_cell(changed: Callable[..., Results]) -> None:
    """As a method of a results.json: bars, line breaks, links out of the picture's text."""
    hypotheses = {"a|b\n# c": "](http://x)\r\n| d | e |\x1b]0;title\x07"}
    said = Translation(sentence=1, source=None, reference="a", hypotheses=hypotheses)
    results = changed(translations={"test": (said,)})
    shown = r"| a\|b # c | ](http://x) \| d \| e \|\x1b]0;title\x07 |"
    assert f"\n{shown}\n" in text_of(results)


def test_summary_for_a_terminal(microworld: Results) -> None:
    title, header, *rows = report.summary(microworld).splitlines()
    assert title == "test" and header.split()[:3] == ["method", "BLEU", "difference"]
    assert [row.split()[0] for row in rows] == list(microworld.methods)
    assert "80.06 ± 1.44" in rows[3] and "+0.18" in rows[3]
