"""results.json: what is written is read again; what is no such file is refused by place."""

import json
import operator
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.studies import report
from fairseq_labo.experiments.studies.differences import Difference
from fairseq_labo.experiments.studies.results import (
    Results,
    mean_with_deviation,
    read_results,
)
from tests.experiments.studies.conftest import RESULTS


def test_results_are_read_as_they_were_written(microworld: Results, tmp_path: Path) -> None:
    write_json(tmp_path / "results.json", microworld.model_dump(mode="json"))
    assert read_results(tmp_path / "results.json") == microworld
    assert microworld.seeds == [1, 2] and microworld.tests == ["test"]
    assert list(microworld.methods) == ["cross_entropy", "label_smoothing", "tsla", "labo"]
    assert [run.name for run in microworld.methods["labo"]] == ["labo/seed-1", "labo/seed-2"]


def test_entries_may_stand_in_any_order(tmp_path: Path) -> None:
    content = (RESULTS / "multi30k-de-en-beams" / "results.json").read_text(encoding="utf-8")
    path = tmp_path / "results.json"
    path.write_text(json.dumps(json.loads(content), sort_keys=True), encoding="utf-8")
    assert len(read_results(path).differences["test"]) == 3


def test_files_from_before_have_no_note_and_no_translations(
    microworld: Results, tmp_path: Path
) -> None:
    content = microworld.model_dump(mode="json")
    for name in ("paper", "translations", "note"):
        del content[name]
    write_json(tmp_path / "results.json", content)
    read = read_results(tmp_path / "results.json")
    assert (read.paper, read.translations, read.note) == (None, {}, "")


BEAM = {"score": 30.0, "length_ratio": 0.9}


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.pop(name)


def environment(**entries: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content["runs"][0]["environment"].update(entries)


def search(**entries: Any) -> Callable[[dict[str, Any]], Any]:
    """A search of labo's β, with some entries changed."""
    among = [{"setting": {"labo_beta": beta}, "values": [3.0]} for beta in ("2", "4")]
    whole = {"methods": {"labo": among}, "choices": {"labo": {"labo_beta": "2"}}, **entries}
    return lambda content: content["search"].update(whole)


def difference(
    *names: str, test: str = "test", **entries: float
) -> Callable[[dict[str, Any]], Any]:
    """Differences from label smoothing, all 0 but for some entries; of some methods alone."""
    of = names or ("cross_entropy", "tsla", "labo")
    whole = dict.fromkeys((field.name for field in fields(Difference)), 0.0)
    found = {name: {**whole, "low": -9.0, "high": 8.0, **entries} for name in of}
    return lambda content: content.update(differences={test: found})


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (without("runs"), "results.json: runs: expected an entry, found none"),
        (lambda content: content.update(runs=[]), "runs: expected at least one, found"),
        (
            lambda content: content.update(baselin="x"),
            "baselin: .*; did you mean baseline",
        ),
        (lambda content: content["runs"][1].update(seed="one"), "runs.1.seed: expected .* 'one'"),
        (lambda content: content["runs"][0]["scores"].update(test=[]), "runs.0.scores.test: "),
        (
            lambda content: content["runs"][0]["compared"]["test"].pop("score"),
            "runs.0.compared.test.score: expected an entry, found none",
        ),
        (lambda content: content.update(baseline="x"), "json: baseline: .* cross_entropy, .*'x'"),
        (lambda content: content.update(score="x"), "score: expected one of bleu, .* found 'x'"),
        (lambda content: content.update(paper="x"), "paper: expected one of iwslt14.* found 'x'"),
        (lambda content: content["runs"].pop(), r"runs: expected seeds \[1, 2\] of labo, found"),
        (lambda content: content["runs"][0].update(method="../x"), "runs.0.method: .* text like"),
        (lambda content: content["runs"][0].update(validations=[]), "validations: .* at least one"),
        (
            lambda content: content["runs"][1].update(compared={}),
            r"runs.1.compared: .*, found \[\]",
        ),
        (
            lambda content: content["runs"][1].update(beams={"test": {"20": BEAM}}),
            r"runs.1.beams: expected {}, found {'test': \[20\]}",
        ),
        (
            lambda content: content["runs"][1].update(beams={"test": {"wide": BEAM}}),
            "runs.1.beams.test.wide: expected a valid integer",
        ),
        (
            lambda content: content["runs"][0]["scores"]["test"]["calibration"]["bins"].pop(),
            r"runs: expected one number of calibration bins, found \[14, 15\]",
        ),
        (
            lambda content: content["search"]["methods"].update(labo=[]),
            "search.methods.labo: expected at least one",
        ),
        (environment(versions=None), "runs.0.environment.versions: expected .*, found None"),
        (environment(begun="x"), "runs.0.environment.begun: expected .*, found 'x'"),
        (environment(begun=None), "runs.0.environment.begun: expected .*, found None"),
        (
            environment(begun={"begun": {"versions": 1}}),
            "runs.0.environment.begun.begun.versions: expected .*, found 1",
        ),
        (search(choices={}), r"search.choices: expected those of labo, found none"),
        (search(methods={}), r"search.choices: expected none, found those of labo"),
        (
            search(choices={"labo": {"labo_beta": "9"}}),
            "search.choices.labo: expected one of the settings .*, found labo_beta=9",
        ),
        (
            lambda content: content["runs"][0]["compared"]["test"].update(half_width=-1),
            "runs.0.compared.test.half_width: expected at least 0, found -1",
        ),
        (
            lambda content: content["runs"][1]["scores"]["test"]["bleu"].update(score=99.0),
            r"runs.1.scores.test.bleu.score: expected \d+\.\d+, as in compared, found 99.0",
        ),
        (
            lambda content: content["runs"][1]["compared"]["test"].update(p_randomization=7),
            "runs.1.compared.test.p_randomization: expected at most 1, found 7",
        ),
        (difference(p=-0.1), "differences.test.labo.p: expected at least 0, found -0.1"),
        (difference(difference=9.0), "labo.difference: expected -9.0 to 8.0, found 9.0"),
        (
            difference(difference=8.0),
            r"labo.difference: expected -?0.\d\d, as in compared, found 8.0",
        ),
        (difference("tsla"), r"differences.test: expected .*, 'labo'\] .*, found \['tsla'\]"),
        (difference(test="other"), r"differences.other: expected .* on one of \['test'\], found"),
        (
            lambda content: (
                difference()(content),
                content.update(runs=[run for run in content["runs"] if run["seed"] == 1]),
            ),
            r"differences.test: expected those of \[\] on one of",
        ),
        (
            lambda content: content["runs"][0]["scores"]["test"].update(ceiling={"bleu": "x"}),
            "runs.0.scores.test.ceiling.bleu: expected a valid number",
        ),
        (
            lambda content: content["runs"][1]["scores"]["test"].update(comet=None),
            "runs.1.scores.test.comet: expected entries with names, found None",
        ),
    ],
)
def test_results_that_were_edited_are_refused(
    edit: Callable[[dict[str, Any]], Any], match: str, tmp_path: Path
) -> None:
    content = json.loads((RESULTS / "microworld" / "results.json").read_text(encoding="utf-8"))
    edit(content)
    write_json(tmp_path / "results.json", content)
    with pytest.raises(UserError, match=match):
        read_results(tmp_path / "results.json")


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("*/results.json")), ids=lambda path: path.parent.name
)
def test_committed_results_are_read(path: Path) -> None:
    assert read_results(path).study == path.parent.name


def test_a_training_that_went_on_elsewhere_says_where_it_began(tmp_path: Path) -> None:
    content = json.loads((RESULTS / "microworld" / "results.json").read_text(encoding="utf-8"))
    begun = {"device": "another", "versions": {"torch": "2"}, "begun": {"device": "a third"}}
    environment(begun=begun)(content)
    write_json(tmp_path / "results.json", content)
    run = read_results(tmp_path / "results.json").runs[0]
    assert run.environment["begun"] == begun


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a study's results.json, found none"):
        read_results(tmp_path / "results.json")


def test_means_and_deviations() -> None:
    assert mean_with_deviation([1.0, 3.0], 2) == "2.00 ± 1.41"
    assert mean_with_deviation([1.0], 3) == "1.000"


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every entry below `content`; of a list the first two."""
    entries = content.items() if isinstance(content, dict) else enumerate(content[:2])
    for key, below in list(entries):
        yield (*at, key)
        if isinstance(below, dict | list):
            yield from places(below, (*at, key))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_edited_is_refused_or_shown(seed: int, tmp_path: Path) -> None:
    """One entry, anywhere, is taken out or becomes another: no other error than the user's."""
    generator, path = random.Random(seed), tmp_path / "results.json"
    content = json.loads((RESULTS / "microworld" / "results.json").read_text(encoding="utf-8"))
    *outer, last = generator.choice(list(places(content)))
    holder = reduce(operator.getitem, outer, content)
    if seed % 4:
        holder[last] = generator.choice([None, [], {}, "\x1b[2J\u202e", -1, 1e400, [1], {"a": 1}])
    else:
        del holder[last]
    path.write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "a.svg").write_text("<svg/>", encoding="utf-8")
    try:
        results = read_results(path)
    except UserError as error:
        assert all(line.startswith(f"{path}: ") for line in str(error).split("\n"))
        return
    names = ("validation-curves", "bleu-test", "reliability-test")
    svgs = dict.fromkeys(names, tmp_path / "a.svg")
    shown = [report.render(results, form, svgs) for form in report.FORMS]
    assert not re.search("[\x1b\u202e]", "".join([*shown, report.summary(results)]))
