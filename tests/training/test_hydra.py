"""The configuration files of the package, through fairseq-hydra-train."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException

from fairseq_labo.criterions.labo_cross_entropy import LaboCrossEntropyConfig
from fairseq_labo.criterions.tsla_cross_entropy import TslaCrossEntropyConfig
from tests.conftest import REPOSITORY, USER_DIR, reports, run_fairseq

CONFIG = USER_DIR / "config"
FILES = {
    "translation_labo": ("labo_cross_entropy", LaboCrossEntropyConfig),
    "translation_tsla": ("tsla_cross_entropy", TslaCrossEntropyConfig),
}
TINY = [
    f"model.{side}.{option}"
    for side in ("encoder", "decoder")
    for option in ("layers=1", "embed_dim=32", "ffn_embed_dim=64", "attention_heads=2")
]


def content(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8"))


def test_all_files_are_tested() -> None:
    assert {path.stem for path in CONFIG.glob("*.yaml")} == set(FILES)
    assert '"config/*.yaml"' in (REPOSITORY / "setup.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_criterion_block(name: str) -> None:
    """The criterion of the name, with keys that it has; all else is the same in both files."""
    criterion, config = FILES[name]
    mine, other = content(name), content("translation_labo")
    block = mine.pop("criterion")
    other.pop("criterion")
    assert mine == other
    assert block.pop("_name") == criterion
    assert block.keys() <= {field.name for field in dataclasses.fields(config)}


@pytest.mark.slow
def test_trains_and_takes_overrides(tmp_path: Path, toy_corpus: Path) -> None:
    """From another folder: paths stay relative to it, the log lies beside the checkpoints."""
    run_fairseq(
        "hydra_train",
        *("--config-dir", CONFIG, "--config-name", "translation_labo", *TINY),
        *(f"common.user_dir={USER_DIR}", "common.cpu=true", "common.log_interval=2"),
        *(f"task.data={toy_corpus / 'bin'}", "checkpoint.save_dir=runs/labo"),
        *("dataset.max_tokens=320", "optimization.max_update=4", "lr_scheduler.warmup_updates=2"),
        *("criterion.labo_beta=3", "+criterion.smoothing_updates=2"),
        *("+criterion.report_accuracy=true",),
        cwd=tmp_path,
    )
    assert {path.name for path in (tmp_path / "runs" / "labo").iterdir()} == {
        *("checkpoint_best.pt", "checkpoint_last.pt", "hydra_train.log")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    settings = torch.load(tmp_path / "runs" / "labo" / "checkpoint_last.pt")["cfg"]["criterion"]
    assert (settings["labo_beta"], settings["label_smoothing"]) == (3.0, 0.1)
    log = (tmp_path / "runs" / "labo" / "hydra_train.log").read_text(encoding="utf-8")
    log = re.sub(r"\[(\w+)\]\[INFO\] - \{", r"| \1 | {", log)
    assert [float(report["smoothing"]) for report in reports(log, "train_inner")] == [0.1, 0.0]
    (valid,) = reports(log, "valid")
    assert {"valid_loss", "valid_reg_loss", "valid_accuracy"} <= valid.keys()


def test_a_key_that_the_file_lacks_needs_a_plus() -> None:
    """Hydra's own composition, which is what fairseq-hydra-train begins with."""
    with initialize_config_dir(version_base="1.1", config_dir=str(CONFIG)):
        compose("translation_labo", ["+criterion.report_accuracy=true"])
        with pytest.raises(ConfigCompositionException) as raised:
            compose("translation_labo", ["criterion.report_accuracy=true"])
    assert "Could not override 'criterion.report_accuracy'" in str(raised.value)
    assert "+criterion.report_accuracy=true" in str(raised.value)
