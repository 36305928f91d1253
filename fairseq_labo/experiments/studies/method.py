"""A method of a study: its training flags, checked by what `labo train` and its criterion take."""

import itertools
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import READ_OTHERWISE
from fairseq_labo.experiments.studies.schema import VALIDATION_SUBSET, Model, Name, Wrong, different
from fairseq_labo.experiments.training.flags import option, value_of
from fairseq_labo.experiments.training.presets import (
    CRITERION_FLAGS,
    check_flag,
    find_criterion,
    passed_on,
)

LONGEST = 60  # value of a grid, which is a part of a folder's name
TEACHER_PATH = "teacher_path"
BEST_FLAGS = {"--best-checkpoint-metric", "--maximize-best-checkpoint-metric"}
RESERVED = ("data", "save_dir", "seed")  # flags that the study itself gives to `labo train`


def _text(value: Any) -> str:
    """A flag's value as the command line has it: .inf is inf, a switch true or false."""
    if isinstance(value, str | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    raise ValueError(f"expected a number or a text, found {value!r}")


def _underscored(entries: Any) -> Any:
    if not isinstance(entries, dict):
        return entries
    names = [str(key).replace("-", "_") for key in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Wrong(f"{twice[0]}: expected it once, found it with - and with _; leave one out")
    return dict(zip(names, entries.values(), strict=True))


def _words(value: Any) -> Any:
    """Flags behind `--`, as a shell parts them; none that the study itself gives."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"expected flags of fairseq-train, found {value!r} ({error})") from error
    for word in words if isinstance(words, list | tuple) else ():
        flag = str(word).partition("=")[0]
        if flag in (f"--{name.replace('_', '-')}" for name in RESERVED[1:]):
            raise ValueError(f"expected no {flag}: the study itself gives it; leave it out")
    if isinstance(words, list | tuple):
        _check_readable([*map(str, words)])
    return words


def _check_readable(words: Sequence[str]) -> None:
    """Raise ValueError for flags with which a study would misread its trainings."""
    for flag in {"--disable-validation", "--no-save"} & {*words}:
        raise ValueError(f"expected no {flag}: the study reads what it leaves out")
    for name in ("criterion", *CRITERION_FLAGS):
        if (value := passed_on(name, words)) is not None:
            raise ValueError(
                f"expected no {option(name)}, which would hold for every method, found {value}; "
                f"write {name}: {value}"
            )
    if (epochs := value_of("--max-epoch", words)) is not None:
        raise ValueError(f"expected no --max-epoch: write epochs: {epochs}")
    for flag in BEST_FLAGS & {word.partition("=")[0] for word in words}:
        raise ValueError(f"expected no {flag}: give best_by: nll, or bleu; the report says which")
    log, subsets = value_of("--log-format", words), value_of("--valid-subset", words)
    if log not in (None, "json"):
        raise ValueError(f"expected --log-format json, which the study reads, found {log}")
    if subsets is not None and subsets.split(",")[0] != VALIDATION_SUBSET:
        raise ValueError(
            f"expected {VALIDATION_SUBSET} first in --valid-subset, by which fairseq chooses the "
            f"best checkpoint, found {subsets}"
        )


def _different(values: Sequence[str]) -> Sequence[str]:
    """The values; ValueError if two are equal, as 0.1 and 0.10 are."""
    numbers: list[float | str] = []
    for value in values:
        try:
            numbers.append(float(value))
        except ValueError:
            numbers.append(value)
    different(numbers)
    return values


def _of_folders(values: Sequence[str]) -> Sequence[str]:
    """The values; ValueError for one that cannot stand in the name of a run's folder."""
    for value in values:
        is_plain = value == value.strip() and value.isprintable() and len(value) <= LONGEST
        if not is_plain or any(mark in value for mark in ("/", *READ_OTHERWISE)):
            raise ValueError(
                f"expected values that can stand in a folder's name, found {value!r}; write a "
                "method for each"
            )
    return values


FlagText = Annotated[str, BeforeValidator(_text)]
FlagTexts = Annotated[
    tuple[FlagText, ...],
    Field(min_length=1),
    AfterValidator(_different),
    AfterValidator(_of_folders),
]


class Training(Model):
    """Flags of `labo train`, with - or _ in their names; `extra` is passed on to fairseq-train."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FlagText]
    extra: Annotated[
        tuple[FlagText, ...],
        BeforeValidator(_words),
    ] = ()

    @property
    def flags(self) -> Mapping[str, str]:
        return self.__pydantic_extra__

    @model_validator(mode="before")
    @classmethod
    def _of_underscores(cls, value: Any) -> Any:
        return _underscored(value)


class Method(Training):
    """A criterion, its flags, a grid of flags, and another method that teaches it."""

    teacher: Name | None = None
    grid: Annotated[Mapping[str, FlagTexts], BeforeValidator(_underscored)] = Field(
        default_factory=dict
    )

    @property
    def criterion(self) -> str:
        return self.flags["criterion"]

    @property
    def user_dir(self) -> str | None:
        """Where a criterion of the user's own is, if `extra` has a --user-dir."""
        return value_of("--user-dir", self.extra)

    def settings(self) -> list[dict[str, str]]:
        """Every combination of the grid's values; one empty setting without a grid."""
        combinations = itertools.product(*self.grid.values())
        return [dict(zip(self.grid, values, strict=True)) for values in combinations]

    @model_validator(mode="after")
    def _known_flags(self) -> Self:
        if "criterion" not in self.flags:
            raise Wrong("criterion: expected an entry, found none")
        twice = [key for key in self.grid if key in self.flags]
        if twice:
            raise Wrong(*(f"grid.{key}: expected once, found outside, too" for key in twice))
        # First, for without it no flag can be checked.
        of = [(self.criterion, self.user_dir)]
        check_flags([("criterion", self.criterion)], of)
        in_grid = [(f"grid.{key}", each) for key, values in self.grid.items() for each in values]
        check_flags([*self.flags.items(), *in_grid], of)
        if self.teacher is None:
            return self
        if TEACHER_PATH in {*self.flags, *self.grid}:
            raise Wrong(f"teacher: expected it or {TEACHER_PATH}, found both; leave out one")
        priors = [self.flags.get("label_prior", "uniform"), *self.grid.get("label_prior", [])]
        if set(priors) != {"uniform"}:
            raise Wrong(f"teacher: expected it or label_prior, found both ({', '.join(priors)})")
        if TEACHER_PATH not in find_criterion(*of[0]).flags:
            raise Wrong(
                f"teacher: expected a criterion with --teacher-path, found {self.criterion}; take "
                "tsla_cross_entropy, or leave it out"
            )
        return self


def check_flags(
    flags: Iterable[tuple[str, str]], criterions: Sequence[tuple[str, str | None]]
) -> None:
    """Raise an error with each flag (by its place) that one of the criterions does not take.

    A criterion: its name, and the --user-dir that registers it.
    """
    wrong = []
    for place, value in flags:
        name = place.removeprefix("grid.")
        reasons = [_reason(name, value, *criterion) for criterion in criterions]
        wrong += [f"{place}: {reason}" for reason in reasons if reason][:1]
    if wrong:
        raise Wrong(*wrong)


def _reason(name: str, value: str, criterion: str, user_dir: str | None) -> str:
    """Why a criterion's training does not take a flag; empty if it does."""
    if name in RESERVED:
        return "expected no such flag: the study itself gives it; leave it out"
    try:
        check_flag(name, value, criterion=criterion, user_dir=user_dir)
    except UserError as error:
        # The error names the flag; in a study its place does.
        reason = re.sub(r"^(--)?[\w-]+: (?=expected)", "", str(error))
        is_unknown = name == "criterion" and user_dir is None
        return reason + "; one of your own: extra: --user-dir DIR, in the method" * is_unknown
    return ""
