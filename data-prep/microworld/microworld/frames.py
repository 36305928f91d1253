"""The frames of the microworld corpus: the table of verbs, parsed and searchable."""

from dataclasses import dataclass
from functools import cache

from microworld.verbs import TABLE


@dataclass(frozen=True)
class Frame:
    """One line of the table, split into its fields."""

    de: str
    en: str
    subjects: str
    complements: tuple[str, ...]
    flags: str
    places: tuple[str, ...]
    manners: tuple[str, ...]
    reasons: tuple[str, ...]


def _listed(field: str, separator: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in field.split(separator) if item.strip())


@cache
def frames() -> tuple[Frame, ...]:
    """Every frame of the table, in its order."""
    found = []
    for line in TABLE.strip().splitlines():
        fields = [field.strip() for field in f"{line} ".split(" | ")]
        de, en, subjects, complements, flags, places, manners, reasons = fields
        found.append(
            Frame(
                de,
                en,
                subjects,
                _listed(complements, ";"),
                flags,
                _listed(places, ","),
                _listed(manners, ","),
                _listed(reasons, ","),
            )
        )
    return tuple(found)


@cache
def frames_with(flags: str, subject: str = "") -> tuple[Frame, ...]:
    """The frames that have every one of the flags (and this subject class, if given)."""
    return tuple(
        frame
        for frame in frames()
        if all(flag in frame.flags for flag in flags)
        and (not subject or subject in frame.subjects.split(","))
    )
