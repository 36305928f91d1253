"""fairseq's uses of names that numpy has dropped."""

import ast
from collections.abc import Iterator
from pathlib import Path

import fairseq
import numpy
import pytest

import fairseq_labo  # noqa: F401
from fairseq_labo.numpy_names import DROPPED, MODULES

# Of models and data that the plugin does not take: speech, vision, non-autoregressive models.
NOT_OURS = {
    "modules/dynamic_crf_layer.py",
    "data/audio/feature_transforms/specaugment.py",  # OpenCV's argument
}
FOLDERS = "criterions data dataclass distributed logging models modules optim scoring tasks".split()  # noqa: SIM905


RENAMED_ARGUMENTS = {"interpolation"}


def dropped_names() -> Iterator[tuple[str, str]]:
    """File and name of every `np.NAME` in fairseq's code that this numpy does not have.

    Also of every function that is called with an argument which numpy has renamed.
    """
    root = Path(fairseq.__file__).parent
    for folder in FOLDERS:
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id in ("np", "numpy")
                    and not hasattr(numpy, node.attr)
                ):
                    yield str(path.relative_to(root)), node.attr
                if isinstance(node, ast.Call) and any(
                    keyword.arg in RENAMED_ARGUMENTS for keyword in node.keywords
                ):
                    yield str(path.relative_to(root)), ast.unparse(node.func).removeprefix("np.")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_every_dropped_name_is_covered() -> None:
    covered = {module.removeprefix("fairseq.").replace(".", "/") + ".py" for module in MODULES}
    found = set(dropped_names())
    assert {file for file, _ in found} - NOT_OURS <= covered
    assert {name for file, name in found if file not in NOT_OURS} <= DROPPED.keys()
    if numpy.__version__.startswith("2"):
        assert ("data/language_pair_dataset.py", "compat") in found  # or the scan sees nothing


def test_numpy_itself_is_left_alone() -> None:
    from fairseq.data import language_pair_dataset

    assert language_pair_dataset.np is not numpy
    assert language_pair_dataset.np.vectorize is numpy.vectorize
    assert language_pair_dataset.np.compat.long is int
    if numpy.__version__.startswith("2"):
        assert not hasattr(numpy, "compat")
