"""``tsla_cross_entropy``: fairseq's label smoothing, then cross entropy; its flags."""

import logging

import pytest

from tests.criterions.conftest import Build
from tests.criterions.steps import COMMON_FLAGS, SMOOTHED, TSLA, assert_same_step, step


@pytest.mark.parametrize("flags", COMMON_FLAGS)
def test_tsla_stage_1_is_fairseqs_label_smoothing(build: Build, flags: tuple[str, ...]) -> None:
    assert_same_step(build(*TSLA, "--label-smoothing", "0.2", *flags), build(*SMOOTHED, *flags))


def test_switch_is_logged_once(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    built = build(*TSLA)
    with caplog.at_level(logging.INFO, logger="fairseq_labo"):
        for num_updates in (3, 4, 5, 6):
            step(built, num_updates=num_updates)
    messages = [record.message for record in caplog.records if "stage 2" in record.message]
    assert messages == ["stage 2 begins: one-hot targets from epoch 1, after 5 updates"]


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (("--criterion", "tsla_cross_entropy"), "found neither"),
        ((*TSLA, "--smoothing-epochs", "2"), "found both"),
        ((*TSLA, "--label-smoothing", "1.5"), r"must be in \[0, 1\)"),
        ((*TSLA, "--label-smoothing", "0.999"), r"must be below \(V-1\)/V"),
    ],
)
def test_refused_at_start_up(build: Build, flags: tuple[str, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build(*flags)
