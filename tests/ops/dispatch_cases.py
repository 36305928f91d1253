"""What the tests of choosing an implementation, and of its check, share."""

from collections.abc import Iterator

import pytest

from fairseq_labo.ops import dispatch
from fairseq_labo.ops.settings import Settings

SETTINGS = Settings(0.1, 2.5, 1, statistics=True)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Nothing is remembered from, or for, other tests."""
    for remembered in (dispatch._chosen, dispatch.triton_disagrees):
        remembered.cache_clear()
    yield
    for remembered in (dispatch._chosen, dispatch.triton_disagrees):
        remembered.cache_clear()
