"""What study files and results files share: models by pydantic, and its errors in plain words."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

# Parts of a place inside a model that a reader of the file does not know.
INNER = {"flags", "[key]"}
EXPECTED = {
    **dict.fromkeys(("model_type", "dict_type", "mapping_type"), "entries with names"),
    "tuple_type": "a list",
    "too_short": "at least one",
}


class Model(BaseModel):
    """Immutable, and without entries that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Wrong(ValueError):
    """Several errors of one entry, each with its place below it: ``epochs: expected ...``."""


def one_of(names: Collection[str]) -> AfterValidator:
    """A text that is one of `names`."""

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}, found {value!r}")
        return value

    return AfterValidator(check)


def problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """A line for each error: ``train.epochs: expected ..., found ...``."""
    return [line for each in error.errors() for line in _lines(each, model)]


def _lines(error: ErrorDetails, model: type[BaseModel]) -> Iterator[str]:
    *outer, last = [part for part in error["loc"] if part not in INNER] or ["the file"]
    at = "".join(f"{part}." for part in outer)
    raised = error.get("ctx", {}).get("error")
    if isinstance(raised, Wrong):
        yield from (f"{at}{last}.{line}" for line in raised.args)
    elif error["type"] == "missing":
        yield f"{at}{last}: expected an entry, found none"
    elif error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(last), _names(model, outer), n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        yield f"{at}{last}: expected no such entry{meant}"
    elif error["type"] == "value_error":
        yield f"{at}{last}: {raised}"
    else:
        told = error["msg"].removeprefix("Input should be ")
        told = told.replace("greater than or equal to", "at least")
        told = told.replace("String should match pattern", "a text like")
        yield f"{at}{last}: expected {EXPECTED.get(error['type'], told)}, found {error['input']!r}"


def _names(model: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    """The entries that the model at a place of the file has."""
    found: Any = model
    for part in place:
        fields = getattr(found, "model_fields", {})
        found = fields[part].annotation if part in fields else None
    return list(getattr(found, "model_fields", {}))
