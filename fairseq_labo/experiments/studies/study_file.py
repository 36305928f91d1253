"""Reading a study file: YAML to `evaluation.study.Study`, every entry checked."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS, PAPER_TASKS
from fairseq_labo.experiments.studies.study import (
    VALIDATION_SUBSET,
    Evaluation,
    Method,
    Search,
    Significance,
    Study,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
REPOSITORY = Path(__file__).parents[3]
PREPARATION = re.compile(r"data-prep/prepare-[a-z0-9-]+\.sh")
# Flags of scripts/train.sh that the study itself gives.
RESERVED = {"data", "save_dir", "seed", "extra", "grid"}
SEARCH_METRICS = ("nll", *CONVENTIONS, "chrf")


def read_study(path: Path, *, corpus: Path | None = None) -> Study:
    """Read and check a study file; `corpus` replaces the folder that it names.

    Raises UserError, naming the entry, for what is missing, unknown or of the wrong kind.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: expected a study file, found none") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: expected YAML, found an error: {error}") from error
    try:
        return _study(content, path=path, corpus=corpus)
    except _Wrong as error:
        raise UserError(f"{path}: {error}") from error


class _Wrong(Exception):
    """Something in the file is not as expected."""


def _study(content: Any, *, path: Path, corpus: Path | None) -> Study:
    keys = {
        *("name", "description", "corpus", "prepare", "paper", "seeds", "tests", "baseline"),
        *("score", "train", "evaluate", "methods", "search", "significance"),
    }
    entries = _mapping(content, "the file", allowed=keys)
    for key in ("name", "corpus", "methods", "baseline"):
        if key not in entries:
            raise _Wrong(f"expected an entry {key!r}, found none")
    train = _mapping(entries.get("train") or {}, "train")
    methods = tuple(
        _method(name, value) for name, value in _mapping(entries["methods"], "methods").items()
    )
    names = [method.name for method in methods]
    baseline = str(entries["baseline"])
    if baseline not in names:
        raise _Wrong(f"baseline: expected one of {', '.join(names)}, found {baseline!r}")
    score = str(entries.get("score", "bleu"))
    if score not in CONVENTIONS:
        raise _Wrong(f"score: expected one of {', '.join(CONVENTIONS)}, found {score!r}")
    tests = entries.get("tests", ["test"])
    if not isinstance(tests, list) or not tests or VALIDATION_SUBSET in tests:
        raise _Wrong(f"tests: expected a list of test sets (not {VALIDATION_SUBSET}), got {tests}")
    seeds = _seeds(entries.get("seeds", [1]), "seeds")
    study = Study(
        name=_name(entries["name"], "name"),
        description=str(entries.get("description", "")),
        prepare=_prepare(entries.get("prepare")),
        paper=_paper(entries.get("paper")),
        corpus=corpus or (path.parent / str(entries["corpus"])),
        methods=methods,
        baseline=baseline,
        seeds=seeds,
        tests=tuple(map(str, tests)),
        score=score,
        train_flags=_flags(train, "train"),
        train_extra=_extra(train.get("extra"), "train"),
        evaluation=_evaluation(entries.get("evaluate") or {}),
        search=_search(entries.get("search") or {}, seeds=seeds),
        significance=_options(Significance, entries.get("significance") or {}, "significance"),
    )
    if study.significance.bootstrap < 1 or study.significance.randomization < 1:
        raise _Wrong("significance: expected numbers of at least 1")
    return study


def _mapping(value: Any, where: str, *, allowed: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _Wrong(f"{where}: expected entries with names, found {value!r}")
    unknown = sorted(value.keys() - allowed) if allowed is not None else []
    if unknown:
        raise _Wrong(
            f"{where}: expected entries among {', '.join(sorted(allowed or ()))}, "
            f"found {', '.join(unknown)}"
        )
    return value


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _Wrong(f"{where}: expected letters, digits and any of _.+- , found {value!r}")
    return value


def _text(value: Any, where: str) -> str:
    """A flag's value as the command line has it: .inf is inf."""
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise _Wrong(f"{where}: expected a number or a text, found {value!r}")


def _flags(entries: Mapping[str, Any], where: str) -> dict[str, str]:
    flags = {}
    for key, value in entries.items():
        name = key.replace("-", "_")
        if name in ("extra", "grid"):
            continue
        if name in RESERVED:
            raise _Wrong(f"{where}: {key} is given by the study itself; leave it out")
        flags[name] = _text(value, f"{where}.{key}")
    return flags


def _extra(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list):
        return tuple(_text(part, f"{where}.extra") for part in value)
    raise _Wrong(f"{where}.extra: expected options as a text or a list, found {value!r}")


def _prepare(value: Any) -> tuple[str, ...]:
    """A command of data-prep/, and no other: a study file runs nothing else."""
    if value is None:
        return ()
    words = shlex.split(value) if isinstance(value, str) else []
    if not words or not PREPARATION.fullmatch(words[0]) or not (REPOSITORY / words[0]).is_file():
        raise _Wrong(
            f"prepare: expected a script of data-prep/ with its options, found {value!r}; it is "
            "given as it is called in the repository: data-prep/prepare-multi30k.sh --pair de-en"
        )
    flags = {word.partition("=")[0] for word in words}
    given = sorted({"--destdir", "--source-dir", "--archive"} & flags)
    if given:
        raise _Wrong(
            f"prepare: expected no {', '.join(given)}: the folder is the study's corpus, and "
            "archives are given to compare.sh (--source-dir)"
        )
    return tuple(words)


def _paper(value: Any) -> str | None:
    if value is not None and value not in PAPER_TASKS:
        raise _Wrong(f"paper: expected one of {', '.join(PAPER_TASKS)}, found {value!r}")
    return value


def _method(name: str, value: Any) -> Method:
    where = f"methods.{_name(name, 'methods')}"
    entries = _mapping(value, where)
    if "criterion" not in entries:
        raise _Wrong(f"{where}: expected an entry criterion, found none")
    grid = {}
    for key, values in _mapping(entries.get("grid") or {}, f"{where}.grid").items():
        flag = key.replace("-", "_")
        if not isinstance(values, list) or not values or flag in RESERVED:
            raise _Wrong(f"{where}.grid.{key}: expected a list of values, found {values!r}")
        if flag in _flags(entries, where):
            raise _Wrong(f"{where}: expected {key} once, found it in the grid and outside")
        grid[flag] = tuple(_text(each, f"{where}.grid.{key}") for each in values)
    return Method(name, _flags(entries, where), _extra(entries.get("extra"), where), grid)


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    good = isinstance(value, list) and value and all(type(seed) is int for seed in value)
    if not good or len(set(value)) != len(value):
        raise _Wrong(f"{where}: expected a list of different integers, found {value!r}")
    return tuple(value)


def _options(kind: type[Any], value: Any, where: str) -> Any:
    """A dataclass of plain values from a mapping, each of the type of its default."""
    entries = _mapping(value, where, allowed={each.name for each in fields(kind)})
    for each in fields(kind):
        found = entries.get(each.name, each.default)
        kinds = (int, float) if isinstance(each.default, float) else (type(each.default),)
        if type(found) not in kinds:
            raise _Wrong(f"{where}.{each.name}: expected a value like {each.default!r}, "
                         f"found {found!r}")  # fmt: skip
    return kind(**entries)


def _evaluation(value: Any) -> Evaluation:
    evaluation: Evaluation = _options(Evaluation, value, "evaluate")
    if not re.fullmatch(r"best|last|average[1-9]\d*", evaluation.checkpoint):
        raise _Wrong(
            f"evaluate.checkpoint: expected best, last or averageN, found {evaluation.checkpoint!r}"
        )
    return evaluation


def _search(value: Any, *, seeds: Sequence[int]) -> Search:
    entries = _mapping(value, "search", allowed={"metric", "seeds"})
    metric = str(entries.get("metric", "nll"))
    if metric not in SEARCH_METRICS:
        raise _Wrong(
            f"search.metric: expected one of {', '.join(SEARCH_METRICS)}, found {metric!r}"
        )
    return Search(metric, _seeds(entries.get("seeds", [seeds[0]]), "search.seeds"))
