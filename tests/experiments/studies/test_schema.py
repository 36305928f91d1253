"""Errors of a model in plain words, each with its place."""

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError, model_validator

from fairseq_labo.experiments.studies.schema import Model, Wrong, one_of, problems


class Inner(Model):
    count: Annotated[int, Field(ge=1)] = 1
    flags: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "Inner":
        if self.count == 13:
            raise Wrong("count: expected luck, found 13", "flags: expected none")
        return self


class Outer(Model):
    name: str
    kind: Annotated[str, one_of(("red", "green"))] = "red"
    inner: Inner = Inner()
    values: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ({}, ["name: expected an entry, found none"]),
        ([], ["the file: expected entries with names, found []"]),
        ({"name": 5}, ["name: expected a valid string, found 5"]),
        ({"name": "a", "kid": 1}, ["kid: expected no such entry; did you mean kind?"]),
        ({"name": "a", "zebra": 1}, ["zebra: expected no such entry"]),
        ({"name": "a", "inner": {"cuont": 1}}, [
            "inner.cuont: expected no such entry; did you mean count?",
        ]),
        ({"name": "a", "kind": "blue"}, ["kind: expected one of red, green, found 'blue'"]),
        ({"name": "a", "values": 5}, ["values: expected a list, found 5"]),
        ({"name": "a", "inner": {"flags": {"x": []}}}, [
            "inner.flags.x: expected a valid integer, found []",
        ]),
        ({"name": "a", "inner": {"count": 13}}, [
            "inner.count: expected luck, found 13", "inner.flags: expected none",
        ]),
        ({"kind": "b", "inner": {"count": 0}}, [
            "name: expected an entry, found none",
            "kind: expected one of red, green, found 'b'",
            "inner.count: expected at least 1, found 0",
        ]),
    ],
)  # fmt: skip
def test_problems(content: Any, lines: list[str]) -> None:
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate(content)
    assert problems(raised.value, Outer) == lines


def test_models_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Outer(name="a").name = "b"  # type: ignore[misc]
