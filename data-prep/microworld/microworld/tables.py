"""Reading the compact data tables of the microworld corpus."""


def listed(text: str) -> list[str]:
    """The entries of a one-line table, which commas part."""
    return text.split(",")


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for asking whether one is among them."""
    return frozenset(text.split())
