"""Study files: what they say, and what is refused by name when the file is read."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.studies.schema import problems
from fairseq_labo.experiments.studies.study import Study
from fairseq_labo.experiments.studies.study_file import read_study

CONTENT: dict[str, Any] = {
    "name": "tiny",
    "corpus": "../data/tiny",
    "seeds": [1, 2, 3],
    "tests": ["test", "test1"],
    "baseline": "smooth",
    "train": {"size": "small", "epochs": 3, "extra": "--dropout 0.3 --lr 1e-3"},
    "evaluate": {"checkpoint": "last", "beam": 4, "lenpen": 0.6},
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


def test_defaults(tmp_path: Path) -> None:
    study = read(tmp_path, seeds=[4, 5], tests=None, evaluate=None, search=None)
    assert study.tests == ("test",) and study.score == "bleu"
    assert (study.evaluate.checkpoint, study.evaluate.beam) == ("best", 5)
    assert (study.search.metric, study.search_seeds) == ("nll", (4,))
    assert (study.significance.bootstrap, study.significance.randomization) == (1000, 10000)


METHOD = {"criterion": "cross_entropy"}
MULTI30K = "data-prep/prepare-multi30k.sh"


def test_a_published_task(tmp_path: Path) -> None:
    assert read(tmp_path, paper="wmt14.en-de").paper == "wmt14.en-de"


def test_a_folder_of_fairseq_preprocess_is_described(tmp_path: Path) -> None:
    """Paths are those from the study file."""
    given = read(
        tmp_path, subwords="none", tokenizer="moses", references={"test": "raw/test.en"}
    ).given
    assert (given.subwords, given.tokenizer) == ("none", "moses")
    assert given.references == {"test": tmp_path / "raw" / "test.en"}


def methods(**entries: Any) -> dict[str, Any]:
    return {"methods": {"smooth": {**METHOD, **entries}}}


def taught(**entries: Any) -> dict[str, Any]:
    """A method that another one teaches, unless `entries` say something else."""
    pre = {"criterion": "tsla_cross_entropy", "teacher": "smooth", **entries}
    return {"methods": {"smooth": METHOD, "pre": pre}}


def test_a_teacher_of_a_teacher(tmp_path: Path) -> None:
    last = {"criterion": "tsla_cross_entropy", "teacher": "pre"}
    study = read(tmp_path, methods={**taught()["methods"], "last": last})
    assert [method.teacher for method in study.methods.values()] == [None, "smooth", "pre"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": None}, "name: expected an entry, found none"),
        ({"name": "a b"}, "name: expected a text like"),
        ({"name": 5}, "name: expected a valid string, found 5"),
        ({"colour": "red"}, "colour: expected no such entry$"),
        ({"seedz": [1]}, "seedz: expected no such entry; did you mean seeds[?]"),
        ({"baseline": "none"}, "baseline: expected one of smooth, labo, found 'none'"),
        ({"score": "meteor"}, "score: expected one of bleu, bleu_lowercase, .* 'meteor'"),
        ({"seeds": []}, "seeds: expected at least one, found"),
        ({"seeds": [1, 1]}, r"seeds: expected different values, found \[1, 1\]"),
        ({"seeds": ["1"]}, "seeds.0: expected a valid integer, found '1'"),
        ({"seeds": [True]}, "seeds.0: expected a valid integer, found True"),
        (
            {"tests": ["valid", "test"]},
            "tests: expected test sets, or valid alone, found valid, test",
        ),
        ({"tests": ["../x"]}, "tests.0: expected a text like"),
        (
            {"evaluate": {"beams": 5}},
            "evaluate.beams: expected no such .*; did you mean beam[?]",
        ),
        ({"evaluate": {"beam": "5"}}, "evaluate.beam: expected a valid integer, found '5'"),
        ({"evaluate": {"beam": 0}}, "evaluate.beam: expected .*at least 1, .*, found 0"),
        ({"evaluate": {"lenpen": float("nan")}}, "evaluate.lenpen: expected a number.*, found nan"),
        # As `labo evaluate` takes them.
        ({"evaluate": {"lenpen": 101}}, "evaluate.lenpen: expected .*at most 100, found 101"),
        ({"evaluate": {"lenpen": True}}, "evaluate.lenpen: expected a valid number, found True"),
        ({"evaluate": {"beam": 10**6}}, "evaluate.beam: expected .*at most 10000, found 1000000"),
        ({"evaluate": {"max_tokens": 0}}, "evaluate.max_tokens: expected .*at least 1, found 0"),
        ({"beams": [1, 10**6]}, "beams.1: expected .*at most 10000, found 1000000"),
        (
            {"evaluate": {"checkpoint": "average"}},
            "evaluate.checkpoint: expected a text like",
        ),
        ({"search": {"metric": "test"}}, "search.metric: expected one of nll, bleu"),
        (
            {"significance": {"bootstrap": 1}},
            "significance.bootstrap: expected at least 2",
        ),
        (
            {"prepare": "rm -r x"},
            "prepare: expected words of labo prepare, .* 'rm -r x': .*'rm'",
        ),
        ({"prepare": ["rm"]}, r"prepare: expected words of labo prepare, .* found \['rm'\]"),
        ({"prepare": "multi30k 'a"}, "prepare: expected words of labo prepare, .*No closing quot"),
        (
            {"prepare": "multi30k -h"},
            "prepare: expected words of labo prepare, .* 'multi30k -h': that asks for help; leave",
        ),
        ({"prepare": "data-prep/prepare-none.sh"}, "prepare: expected words of labo .*'none'"),
        ({"prepare": "multi30k --pears de-en"}, "prepare: expected .*--pears"),
        ({"prepare": "multi30k --pair de-xx"}, "prepare: expected .*de-xx"),
        ({"prepare": f"{MULTI30K} --source-dir=x"}, "prepare: expected no --source-dir"),
        ({"paper": "wmt16.en-de"}, "paper: expected one of iwslt14.de-en, "),
        ({"subwords": "bpe"}, "subwords: expected one of subword-nmt, sentencepiece, none, found"),
        ({"references": {"test": 5}}, "references.test: .*path.*, found 5"),
        ({"train": {"seed": 1}}, "train.seed: expected no such flag: the study itself gives it"),
        ({"train": {"extra": 5}}, "train.extra: expected a list, found 5"),
        (
            {"train": {"extra": "a 'b"}},
            "train.extra: expected flags of fairseq-train, found \"a 'b",
        ),
        ({"train": {"extra": "--seed=7"}}, "train.extra: expected no --seed: the study itself"),
        ({"train": {"extra": ["--save-dir", "x"]}}, "train.extra: expected no --save-dir"),
        ({"train": {"best-by": "nll", "best_by": "nll"}}, "train.best_by: expected it once"),
        (
            {"significance": {"bootstrap": 1}},
            "significance.bootstrap: expected at least 2, found 1",
        ),
        ({"train": {"epochs": "many"}}, "train.epochs: expected a whole number.*, found 'many'"),
        ({"train": {"grid": {}}}, "train.grid: expected a number or a text, found {}"),
        ({"train": {"sise": "small"}}, "train.sise: expected a flag .*; did you mean size[?]"),
        ({"methods": {"smooth": {}}}, "methods.smooth.criterion: expected an entry, found none"),
        ({"methods": {"smooth": 5}}, "methods.smooth: expected entries with names, found 5"),
        ({"methods": []}, r"methods: expected entries with names, found \[\]"),
        ({"methods": {"s/m": METHOD}}, "methods.s/m: expected a text like"),
        (methods(epochs=[1]), "methods.smooth.epochs: expected a number or a text, found"),
        (
            methods(criterion="labo_cross_entropy", label_smothing=0.1),
            "methods.smooth.label_smothing: expected .*; did you mean label_smoothing[?]",
        ),
        (
            methods(teacher_path="a.pt"),
            "methods.smooth.teacher_path: expected a flag of .* or of cr",
        ),
        ({"train": {"teacher_path": "a"}}, "train.teacher_path: expected a flag of .* label_smoot"),
        # As `labo train` takes them.
        ({"seeds": [2**31]}, "seeds.0: expected .*2147483647, found 2147483648"),
        ({"train": {"extra": "--log-format simple"}}, "train.extra: expected --log-format json"),
        (methods(extra="--disable-validation"), "smooth.extra: expected no --disable-validation"),
        (methods(extra=["--no-save"]), "smooth.extra: expected no --no-save"),
        (methods(extra="--valid-subset=test"), "extra: expected valid first in --val.*found test"),
        # For every method, above its own and above the grid's.
        (
            {"train": {"extra": "--label-smoothing=0.9"}},
            "train.extra: .*write label_smoothing: 0.9",
        ),
        (
            methods(extra="--criterion cross_entropy"),
            "expected no --criterion.*write criterion: cr",
        ),
        (methods(extra="--fused-projection --fp16"), "no --fused-p.*write fused_projection: true"),
        (methods(extra="--max-epoch 3"), "expected no --max-epoch: write epochs: 3"),
        (methods(grid={"labo_beta": ["2", "2.0"]}), r"labo_beta: expected different values, found"),
        ({"corpus": 3}, "corpus: expected a path, found 3"),
        # fairseq chooses the best checkpoint by the first.
        (methods(extra="--valid-subset test,valid"), "expected valid first in --valid-subset"),
        (methods(extra="--best-checkpoint-metric=ppl"), "expected no --best-checkpoint-m.*best_by"),
        (methods(label_smoothing=2), "methods.smooth.label_smoothing: expected a number.*, found"),
        *[
            (
                methods(grid={"label_prior": [value]}),
                f"in a folder's name, found '{re.escape(value)}'; write",
            )
            for value in ("../../x", "/x/a.pt", "unigram ", "a:b", "${a}", "x" * 61)
        ],
        (methods(grid={"labo_beta": 2}), "methods.smooth.grid.labo_beta: expected a list"),
        (
            methods(grid={"labo_beta": []}),
            "methods.smooth.grid.labo_beta: expected at least one",
        ),
        (methods(grid={"labo_beta": [0]}), "methods.smooth.grid.labo_beta: expected a number abo"),
        (methods(grid={"labo_bta": [2]}), "methods.smooth.grid.labo_bta: .*did you mean labo_beta"),
        (methods(epochs=1, grid={"epochs": [1]}), "methods.smooth.grid.epochs: expected once"),
        (
            taught(teacher="smoth"),
            r"methods.pre.teacher: expected a method that stands above it \(smooth\), .* 'smoth'$",
        ),
        (taught(teacher=5), "methods.pre.teacher: expected a valid string, found 5"),
        (
            taught(criterion="labo_cross_entropy"),
            "methods.pre.teacher: expected a criterion with --teacher-path, found labo_cross_entro",
        ),
        (taught(teacher_path="a.pt"), "methods.pre.teacher: expected it or teacher_path, found bo"),
        (
            taught(grid={"teacher_path": ["a.pt"]}),
            "methods.pre.teacher: expected it or teacher_path, found both",
        ),
        (
            taught(grid={"label_prior": ["unigram"]}),
            "methods.pre.teacher: expected it or label_prior, found both .uniform, unigram.",
        ),
        (taught(teacher="pre"), "methods.pre.teacher: expected .* above it .smooth., found 'pre'$"),
        (
            {
                "methods": {
                    "a": {"criterion": "tsla_cross_entropy", "teacher": "b"},
                    "b": {"criterion": "tsla_cross_entropy", "teacher": "a"},
                }
            },
            "methods.a.teacher: expected a method .* above it .there is none., found 'b'",
        ),
        (
            {
                "train": {"teacher_path": "a.pt"},
                "methods": {
                    "smooth": {"criterion": "tsla_cross_entropy"},
                    "pre": {"criterion": "tsla_cross_entropy", "teacher": "smooth"},
                },
            },
            "train.teacher_path: expected none, since pre has a teacher",
        ),
    ],
)
def test_refusals(changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=match) as raised:
        read(tmp_path, **changes)
    assert str(raised.value).startswith(f"{tmp_path / 'tiny.yaml'}: ")


@pytest.mark.slow
def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(
            tmp_path,
            train={"epochs": "many", "label_smothing": 0.1},
            evaluate={"beam": 0},
            methods={"smooth": {**METHOD, "labo_beta": 0}, "labo": {"criterion": "labo"}},
            prepare="none",
            colour="red",
        )
    places = [
        line.removeprefix(f"{tmp_path}/tiny.yaml: ") for line in str(raised.value).split("\n")
    ]
    assert [place.partition(":")[0] for place in places] == [
        "prepare", "methods.smooth.labo_beta", "methods.labo.criterion", "train.epochs",
        "train.label_smothing", "evaluate.beam", "colour",
    ]  # fmt: skip
    assert "did you mean label_smoothing?" in places[4] and "found 'labo'" in places[2]
    assert places[2].endswith("; one of your own: extra: --user-dir DIR, in the method")


@pytest.mark.slow
def test_criterions_of_fairseq_and_their_flags(tmp_path: Path) -> None:
    """R-Drop's criterion ships with fairseq-fixed; its flag goes behind --."""
    entries = {"criterion": "label_smoothed_cross_entropy_with_rdrop", "label_smoothing": 0.2}
    study = read(tmp_path, baseline="rdrop", methods={"rdrop": {**entries, "rdrop_alpha": 0.7}})
    assert study.methods["rdrop"].flags["rdrop_alpha"] == "0.7"
    match = "methods.rdrop.rdrop_alfa: expected .*; did you mean rdrop_alpha[?]"
    with pytest.raises(UserError, match=match):
        read(tmp_path, baseline="rdrop", methods={"rdrop": {**entries, "rdrop_alfa": 0.7}})


def test_a_wrong_entry_of_a_list_does_not_make_it_short() -> None:
    with pytest.raises(ValidationError) as caught:
        Study.model_validate({"seeds": [True]})
    assert [line for line in problems(caught.value, Study) if line.startswith("seeds")] == [
        "seeds.0: expected a valid integer, found True"
    ]
