"""What the tests' trainings are configured by is what fairseq and hydra configure."""

import argparse
import warnings
from typing import Any

import pytest

from tests.conftest import TRAINING
from tests.training.runs import LABO, TSLA

pytestmark = pytest.mark.slow


def configurations(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Of the same command line: hydra's, and that of the tests."""
    from fairseq.dataclass import utils

    from fairseq_labo.experiments.training.progress import training_config
    from tests import quick_configuration

    both = []
    for compose in (quick_configuration.compose, quick_configuration.compose_quickly):
        monkeypatch.setattr(utils, "compose", compose)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            both.append(training_config(["data", "--save-dir", "some where", *TRAINING, *flags]))
    return both[0], both[1]


@pytest.mark.parametrize(
    "flags",
    [LABO, TSLA, (*LABO, "--max-update", "5", "--valid-subset", "a,b", "--lr", "1e-3,2e-3"),
     (*LABO, "--optimizer", "sgd", "--lr-scheduler", "cosine", "--tensorboard-logdir", "a=b"),
     ("--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_a": 1.2}', "--patience", "3")],
)  # fmt: skip
def test_equals_hydra_s(flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    from omegaconf import OmegaConf

    expected, found = configurations([*flags], monkeypatch)
    assert found == expected and OmegaConf.is_struct(found) == OmegaConf.is_struct(expected)
    assert repr(found) == repr(expected)


def test_one_does_not_change_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    configurations([*LABO, "--max-update", "5"], monkeypatch)
    expected, found = configurations([*LABO], monkeypatch)
    assert found == expected and found.optimization.max_update == 0


@pytest.mark.filterwarnings("ignore")
def test_an_unknown_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from fairseq.dataclass import utils
    from hydra.errors import ConfigCompositionException

    from tests.quick_configuration import compose_quickly

    monkeypatch.setattr(utils, "override_module_args", lambda args: (["common.no_such=1"], []))
    monkeypatch.setattr(utils, "compose", compose_quickly)
    with pytest.raises(ConfigCompositionException, match="no_such"):
        utils.convert_namespace_to_omegaconf(argparse.Namespace())
