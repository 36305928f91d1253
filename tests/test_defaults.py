"""α and β have one default: every place that has one of its own has that of `defaults`."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from fairseq_labo.defaults import DEFAULT_ALPHA, DEFAULT_BETA
from fairseq_labo.experiments import cli
from tests.conftest import USER_DIR

DEFAULTS = {
    "label_smoothing": DEFAULT_ALPHA,
    "alpha": DEFAULT_ALPHA,
    "beta": DEFAULT_BETA,
    "labo_beta": DEFAULT_BETA,
}
Place = tuple[str, str, Any]  # where, the parameter's name, its default


def parameters_of(each: Any) -> list[tuple[str, Any]]:
    """Names and defaults of a function, a class's constructor, or a dataclass's fields."""
    if dataclasses.is_dataclass(each):
        return [(field.name, field.default) for field in dataclasses.fields(each)]
    try:
        parameters = inspect.signature(each).parameters.values()
    except (TypeError, ValueError):  # not callable, or a class without a constructor of its own
        return []
    return [(parameter.name, parameter.default) for parameter in parameters]


def of_signatures() -> Iterator[Place]:
    """Functions, constructors and dataclasses of the plugin's modules."""
    for package in ("ops", "nn", "criterions"):
        folder = importlib.import_module(f"fairseq_labo.{package}")
        for info in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
            if info.name.rpartition(".")[2] in ("triton_kernels", "triton_math"):
                continue  # no parameter of theirs has a default, and Triton may be absent
            for name, each in vars(importlib.import_module(info.name)).items():
                if getattr(each, "__module__", "") == info.name:
                    for parameter, default in parameters_of(each):
                        if isinstance(default, int | float):
                            yield f"{info.name}.{name}", parameter, default


def of_hydra_files() -> Iterator[Place]:
    for path in (USER_DIR / "config").glob("*.yaml"):
        criterion = yaml.safe_load(path.read_text(encoding="utf-8"))["criterion"]
        yield from ((path.name, name, value) for name, value in criterion.items())


def of_commands() -> Iterator[Place]:
    """Options whose default the parser has, or says (as ``(default: 4)``)."""
    for name in cli.COMMANDS:
        for action in cli.parser_of(name)._actions:
            if action.default is not None:
                yield f"labo {name}", action.dest, action.default
            elif "(default: " in (action.help or "") and action.dest in DEFAULTS:
                said = str(action.help).partition("(default: ")[2].partition(")")[0]
                yield f"labo {name} -h", action.dest, float(said.split(",")[0])


def of_the_benchmark() -> Iterator[Place]:
    from benchmarks.loss import BETAS, parse_options

    options = parse_options(["--device", "cpu"])
    yield "benchmarks.loss", "label_smoothing", options.label_smoothing
    yield "benchmarks.loss", "beta", DEFAULT_BETA if DEFAULT_BETA in BETAS else BETAS


# At least so many; fewer would mean that a place is no longer found.
PLACES = [
    (of_signatures, {"label_smoothing": 4, "beta": 1, "labo_beta": 1}),
    (of_hydra_files, {"label_smoothing": 2, "labo_beta": 1}),
    (of_commands, {"label_smoothing": 2, "labo_beta": 1}),
    (of_the_benchmark, {"label_smoothing": 1, "beta": 1}),
]


@pytest.mark.parametrize(("places", "least"), PLACES, ids=lambda x: getattr(x, "__name__", ""))
def test_every_place_has_the_one_default(places: Any, least: dict[str, int]) -> None:
    found = [place for place in places() if place[1] in DEFAULTS]
    for where, name, value in found:
        assert value == DEFAULTS[name], f"{where}: {name} is {value}"
    for name, number in least.items():
        assert sum(place[1] == name for place in found) >= number, (name, found)
