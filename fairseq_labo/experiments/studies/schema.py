"""What studies read: models by pydantic, JSON files, and their errors in plain words."""

import difflib
import reprlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails

from fairseq_labo.experiments.errors import UserError

EXPECTED = {
    **dict.fromkeys(("model_type", "dict_type", "mapping_type"), "entries with names"),
    "tuple_type": "a list",
    "too_short": "at least one",
    "path_type": "a path",
    "bool_type": "true or false",
}
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]  # of a file, too
Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0)]
Probability = Annotated[NotNegative, Field(le=1)]
VALIDATION_SUBSET = "valid"


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


def different(values: Sequence[Any]) -> Sequence[Any]:
    """The values; ValueError if two are equal."""
    if len(set(values)) != len(values):
        raise ValueError(f"expected different values, found {list(values)}")
    return values


def holding(*numbers: str, optional: Mapping[str, Any] | None = None, **others: Any) -> Any:
    """The type of entries that hold at least these; they stay as they are.

    `numbers` are numbers, the others what they are given as; the `optional` may be missing.
    """
    wanted = {**dict.fromkeys(numbers, Number), **others}
    fields: Any = {name: (kind, ...) for name, kind in wanted.items()}
    fields |= {name: (kind, None) for name, kind in (optional or {}).items()}
    shape = TypeAdapter(create_model("Entries", **fields))

    def check(value: Any) -> Any:
        shape.validate_python(value, strict=True)
        return value

    return Annotated[dict[str, Any], AfterValidator(check)]


def read_entries(path: Path, shape: Any) -> Any:
    """What a JSON file holds, as a value of the type `shape`; None if there is no file.

    Raises UserError with a line for each wrong entry.
    """
    try:
        return TypeAdapter(shape).validate_json(path.read_bytes(), strict=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        wrong = "\n".join(f"{path}: {line}" for line in problems(error, shape))
    except OSError as error:
        wrong = f"{path}: expected a JSON file, found none: {error.strerror}"
    raise UserError(f"{wrong}; restore the file, or remove it and what was made from it")


def problems(error: ValidationError, model: Any) -> list[str]:
    """A line for each error: ``train.epochs: expected ..., found ...``."""
    # Where an entry of a list is wrong, pydantic also says that the list is too short.
    found = [each for each in error.errors() if each["type"] != "too_short" or not each["input"]]
    return [line for each in found for line in _lines(each, model)]


def _lines(error: ErrorDetails, model: Any) -> Iterator[str]:
    place = [part for part in error["loc"] if part != "[key]"]
    at = ".".join(map(str, place)) or "the file"
    raised = error.get("ctx", {}).get("error")
    if isinstance(raised, Wrong):
        yield from (f"{at}.{line}" if place else line for line in raised.args)
    elif error["type"] == "json_invalid":
        yield f"{at}: expected JSON, found an error: {raised}"
    elif error["type"] == "missing":
        yield f"{at}: expected an entry, found none"
    elif error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(place[-1]), _names(model, place[:-1]), n=1)
        yield f"{at}: expected no such entry" + (f"; did you mean {close[0]}?" if close else "")
    elif error["type"] == "value_error":
        yield f"{at}: {raised}"
    else:
        found = reprlib.repr(error["input"])
        told = error["msg"].removeprefix("Input should be ")
        told = told.replace("greater than or equal to", "at least")
        told = told.replace("less than or equal to", "at most")
        told = told.replace("String should match pattern", "a text like")
        yield f"{at}: expected {EXPECTED.get(error['type'], told)}, found {found}"


def _names(model: Any, place: Sequence[int | str]) -> list[str]:
    """The entries that the model at a place of the file has."""
    for part in place:
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else None
    return list(getattr(model, "model_fields", {}))
