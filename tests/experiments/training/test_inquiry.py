"""What fairseq is asked in a process of its own: of criterions."""

import os
import sys
from pathlib import Path

import pytest

from fairseq_labo.experiments.training.inquiry import Criterion, _quietly, apart, registered

PLUGIN = """
from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion

@register_criterion("of_somebody_else")
class OfSomebodyElse(CrossEntropyCriterion):
    @staticmethod
    def add_args(parser):
        parser.add_argument("--heat", type=float)
        parser.add_argument("--cold", action="store_true")
        parser.add_argument("--kind", choices=["a", "b"])
    @staticmethod
    def reduce_metrics(logging_outputs):
        raise KeyError("wants more")
"""


def test_result_of_another_process() -> None:
    assert apart(os.getpid) != os.getpid()


def test_what_it_raises_is_raised_here(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        apart(__import__, "no_such_module")
    assert caught.value.name == "no_such_module"
    assert "Traceback" not in capfd.readouterr().err


def test_only_the_result_leaves_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert _quietly(print, "noise") is None
    with pytest.raises(RuntimeError, match="exit status 3"):
        _quietly(sys.exit, 3)
    with pytest.raises(RuntimeError, match=r"^last words$"):
        _quietly(_end_like_argparse)
    assert capsys.readouterr() == ("", "")


def _end_like_argparse() -> None:
    print("usage\nlast words", file=sys.stderr)
    raise SystemExit(2)


@pytest.mark.slow
def test_r_drop() -> None:
    """It has the flags of label smoothing and one of its own, and logs NLL apart."""
    found = apart(registered, "label_smoothed_cross_entropy_with_rdrop", None)
    assert isinstance(found, Criterion)
    kinds = {name: flag.kind for name, flag in found.flags.items()}
    assert kinds == {
        "label_smoothing": float,
        "ignore_prefix_size": int,
        "report_accuracy": bool,
        "rdrop_alpha": float,
    }
    assert found.nll_metric == "nll_loss"


@pytest.mark.slow
def test_names_of_all_for_one_that_is_none() -> None:
    found = apart(registered, "label_smoothed", None)
    assert isinstance(found, list)
    assert {"cross_entropy", "labo_cross_entropy", "tsla_cross_entropy"} <= set(found)


@pytest.mark.slow
def test_a_criterion_of_another_plugin(tmp_path: Path) -> None:
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "__init__.py").write_text(PLUGIN, encoding="utf-8")
    found = apart(registered, "of_somebody_else", str(tmp_path / "plugin"))
    assert isinstance(found, Criterion)
    kinds = {name: flag.kind for name, flag in found.flags.items()}
    assert kinds == {"heat": float, "cold": bool, "kind": str}
    assert found.nll_metric == "loss"
    with pytest.raises(FileNotFoundError):
        apart(registered, "of_somebody_else", str(tmp_path / "absent"))
