"""Study files: what they say, and what is refused by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.studies.run import Run, final_runs, search_runs
from fairseq_labo.experiments.studies.study import Study, setting_name
from fairseq_labo.experiments.studies.study_file import read_study

CONTENT: dict[str, Any] = {
    "name": "tiny",
    "corpus": "../data/tiny",
    "seeds": [1, 2, 3],
    "tests": ["test", "test1"],
    "baseline": "smooth",
    "train": {"size": "small", "epochs": 3, "extra": "--dropout 0.3 --lr 1e-3"},
    "evaluate": {"checkpoint": "average5", "beam": 4, "lenpen": 0.6},
    "methods": {
        "smooth": {"criterion": "label_smoothed_cross_entropy", "label-smoothing": 0.1},
        "labo": {
            "criterion": "labo_cross_entropy",
            "epochs": 4,
            "extra": ["--dropout", 0.2],
            "grid": {"label_smoothing": [0.1, 0.2], "labo_beta": [2, float("inf")]},
        },
    },
    "search": {"metric": "nll", "seeds": [7]},
}


def read(tmp_path: Path, **changes: Any) -> Study:
    path = tmp_path / "tiny.yaml"
    content = {key: value for key, value in {**CONTENT, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return read_study(path)


def test_commands_of_the_runs(tmp_path: Path) -> None:
    study = read(tmp_path)
    assert study.corpus == tmp_path / "../data/tiny"
    runs = final_runs(study, tmp_path, choices={"labo": study.method("labo").settings()[1]})
    assert [run.name for run in runs] == [
        *(f"smooth/seed-{seed}" for seed in (1, 2, 3)),
        *(f"labo/label_smoothing=0.1,labo_beta=inf/seed-{seed}" for seed in (1, 2, 3)),
    ]
    command = " ".join(runs[3].train_command())
    assert command.endswith(
        "--size small --epochs 4 --criterion labo_cross_entropy --label-smoothing 0.1 "
        "--labo-beta inf --seed 1 -- --dropout 0.3 --lr 1e-3 --dropout 0.2"
    )
    assert f"--save-dir {tmp_path}/runs/labo/label_smoothing=0.1,labo_beta=inf/seed-1 " in command
    evaluated = " ".join(runs[0].evaluate_command("test1"))
    assert evaluated.endswith("--beam 4 --lenpen 0.6 --max-tokens 4000 --average 5")
    assert "--subset test1 " in evaluated


def test_the_search_has_every_setting(tmp_path: Path) -> None:
    study = read(tmp_path)
    runs = search_runs(study, tmp_path)
    assert [(setting_name(run.setting), run.seed) for run in runs] == [
        ("label_smoothing=0.1,labo_beta=2", 7),
        ("label_smoothing=0.1,labo_beta=inf", 7),
        ("label_smoothing=0.2,labo_beta=2", 7),
        ("label_smoothing=0.2,labo_beta=inf", 7),
    ]
    # Without a choice nothing with a grid is run for the tests.
    assert {run.method.name for run in final_runs(study, tmp_path, choices={})} == {"smooth"}


def test_defaults(tmp_path: Path) -> None:
    study = read(tmp_path, seeds=[4, 5], tests=None, evaluate=None, search=None)
    assert study.tests == ("test",) and study.score == "bleu"
    assert (study.evaluation.checkpoint, study.evaluation.beam) == ("best", 5)
    assert (study.search.metric, study.search.seeds) == ("nll", (4,))
    assert (study.significance.bootstrap, study.significance.randomization) == (1000, 10000)


METHOD = {"criterion": "cross_entropy"}
MULTI30K = "data-prep/prepare-multi30k.sh"


def test_a_preparation_and_a_published_task(tmp_path: Path) -> None:
    study = read(tmp_path, prepare=f"{MULTI30K} --pair en-fr", paper="wmt14.en-de")
    assert study.prepare == (MULTI30K, "--pair", "en-fr")
    assert study.paper == "wmt14.en-de"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": None}, "expected an entry 'name', found none"),
        ({"name": "a b"}, "name: expected letters, digits"),
        ({"colour": "red"}, "the file: expected entries among .*, found colour"),
        ({"baseline": "none"}, "baseline: expected one of smooth, labo, found 'none'"),
        ({"score": "meteor"}, "score: expected one of bleu, bleu_lowercase"),
        ({"seeds": []}, "seeds: expected a list of different integers"),
        ({"seeds": [1, 1]}, "seeds: expected a list of different integers"),
        ({"seeds": ["1"]}, "seeds: expected a list of different integers"),
        ({"tests": ["valid"]}, r"tests: expected a list of test sets \(not valid\)"),
        ({"evaluate": {"beams": 5}}, "evaluate: expected entries among .*, found beams"),
        ({"evaluate": {"beam": "5"}}, "evaluate.beam: expected a value like 5, found '5'"),
        ({"evaluate": {"checkpoint": "average"}}, "expected best, last or averageN"),
        ({"search": {"metric": "test"}}, "search.metric: expected one of nll, bleu"),
        ({"significance": {"bootstrap": 0}}, "significance: expected numbers of at least 1"),
        ({"prepare": "rm -r x"}, "prepare: expected a script of data-prep/ with its options"),
        ({"prepare": "data-prep/prepare-none.sh"}, "prepare: expected a script of data-prep/"),
        ({"prepare": f"{MULTI30K} --source-dir=x"}, "prepare: expected no --source-dir"),
        ({"paper": "wmt16.en-de"}, "paper: expected one of iwslt14.de-en, "),
        ({"train": {"seed": 1}}, "train: seed is given by the study itself"),
        ({"train": {"extra": 5}}, "train.extra: expected options as a text or a list"),
        ({"methods": {"smooth": {}}}, "methods.smooth: expected an entry criterion"),
        ({"methods": {"s/m": METHOD}}, "methods: expected letters"),
        (
            {"methods": {"smooth": {**METHOD, "grid": {"labo_beta": 2}}}},
            "methods.smooth.grid.labo_beta: expected a list of values, found 2",
        ),
        (
            {"methods": {"smooth": {**METHOD, "epochs": 1, "grid": {"epochs": [1]}}}},
            "expected epochs once",
        ),
        ({"methods": {"smooth": {**METHOD, "epochs": [1]}}}, "expected a number or a text"),
    ],
)
def test_refusals(changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=match):
        read(tmp_path, **changes)


def test_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a study file, found none"):
        read_study(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(UserError, match="expected YAML, found an error"):
        read_study(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- a", encoding="utf-8")
    with pytest.raises(UserError, match="the file: expected entries with names"):
        read_study(tmp_path / "list.yaml")


def test_a_flag_of_the_setting_wins(tmp_path: Path) -> None:
    study = read(tmp_path)
    run = Run(study, study.method("labo"), {"label_smoothing": "0.3"}, 1, tmp_path)
    assert run.flags()["label_smoothing"] == "0.3" and run.flags()["epochs"] == "4"
