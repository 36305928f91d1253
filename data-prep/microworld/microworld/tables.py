"""Reading the compact data tables of the microworld corpus."""

from __future__ import annotations


def listed(text: str, separator: str | None = None) -> list[str]:
    """The entries of a one-line table, by default those between spaces."""
    return [entry.strip() for entry in text.split(separator)]


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for asking whether one is among them."""
    return frozenset(text.split())
