"""Whether what is gone on from is the training that was asked for, or another."""

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import progress
from tests.conftest import TINY_MODEL
from tests.experiments.training.conftest import StateOf, checkpoint


@pytest.mark.parametrize(
    ("criterion", "seed", "said"),
    [
        ({"_name": "label_smoothed_cross_entropy", "label_smoothing": 0.1}, 1, ""),
        ({"_name": "label_smoothed_cross_entropy", "report_accuracy": True}, 1, ""),
        ({"_name": "cross_entropy"}, 1,
         "criterion cross_entropy, now label_smoothed_cross_entropy"),
        ({"_name": "label_smoothed_cross_entropy", "label_smoothing": 0.2}, 1,
         "label_smoothing 0.2, now 0.1"),
        ({"_name": "label_smoothed_cross_entropy"}, 7, "seed 7, now 1"),
    ],
)  # fmt: skip
def test_a_training_with_other_flags(
    criterion: dict[str, Any], seed: int, said: str, state_of: StateOf, tmp_path: Path
) -> None:
    """A finished one is not what was asked for; one that goes on is told."""
    path = checkpoint(tmp_path / "checkpoint_last.pt", epoch=1)
    content = torch.load(path)
    content["cfg"] = {"criterion": criterion, "common": {"seed": seed}}
    torch.save(content, path)
    assert state_of() == (False, said and f"warning: resuming a training with other flags: {said}")
    if said:
        with pytest.raises(UserError, match=rf"finished one with other \({said}\); take another"):
            state_of("optimization.max_update=40")
    else:
        assert state_of("optimization.max_update=40")[0]
    reset = "checkpoint.reset_optimizer=true"
    assert state_of("optimization.max_update=40", reset) == (False, "")
    if said:  # its epochs are counted on: it is not finished as what was asked for, either
        for end, remedy in (
            ("stop_time_hours=2", "save-dir$"),
            ("max_epoch=3", "add --reset-data"),
        ):
            checkpoint(path, epoch=4)
            torch.save(torch.load(path) | {"cfg": content["cfg"]}, path)
            with pytest.raises(UserError, match=remedy):
                state_of(f"optimization.{end}", reset)
    else:
        assert state_of("optimization.stop_time_hours=2", reset)[0]


@pytest.mark.parametrize(
    ("section", "entries", "said"),
    [
        ("model", argparse.Namespace(arch="transformer_iwslt_de_en", dropout=0.3, decoder_layers=6),
         "arch transformer_iwslt_de_en, now transformer"),
        ("model", argparse.Namespace(arch="transformer", dropout=0.3, save_dir="elsewhere"),
         "dropout 0.3, now 0.0"),
        ("model", argparse.Namespace(arch="transformer", share_all_embeddings=False),
         "share_all_embeddings False, now True"),
        ("model", argparse.Namespace(arch="transformer", share_decoder_input_output_embed=False),
         "share_decoder_input_output_embed False, now True"),
        ("optimization", {"lr": [0.5], "clip_norm": 0.0, "max_update": 7}, "lr [0.5], now [0.25]"),
        ("optimization", {"sentence_avg": True}, "sentence_avg True, now False"),
        ("optimizer", {"_name": "adam", "weight_decay": 0.1}, "weight_decay 0.1, now 0.0"),
        ("lr_scheduler", {"_name": "inverse_sqrt"}, "lr_scheduler inverse_sqrt, now fixed"),
    ],
)  # fmt: skip
def test_a_training_of_another_model_or_optimizer(
    section: str, entries: Any, said: str, state_of: StateOf, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "checkpoint_last.pt", epoch=1)
    content = torch.load(path, weights_only=False)
    content["cfg"] = {section: entries}
    torch.save(content, path)
    with pytest.raises(UserError, match=rf"with other \({re.escape(said)}\); take"):
        state_of("optimization.max_update=40")


@pytest.mark.parametrize(
    ("section", "entries"),
    [
        # The text of hydra's files, and of labo train, for the same two numbers.
        ("optimizer", {"_name": "adam", "adam_betas": "(0.9,0.999)"}),
        # hydra's nested sections, beside flat keys with fairseq's defaults.
        ("model", {"_name": "transformer", "encoder_layers": 6, "encoder_embed_dim": 512,
                   "share_all_embeddings": True, "share_decoder_input_output_embed": True,
                   "encoder": {"layers": 1, "embed_dim": 32}, "decoder_layers": 6,
                   "decoder": {"layers": 1}}),
    ],
)  # fmt: skip
def test_the_same_training_written_otherwise(
    section: str, entries: Any, state_of: StateOf, tmp_path: Path, parsed: Any
) -> None:
    assert parsed.optimizer.adam_betas == [0.9, 0.999]
    assert parsed.model.encoder_embed_dim == 32 and parsed.model.encoder_layers == 1
    path = checkpoint(tmp_path / "checkpoint_last.pt", epoch=1)
    content = torch.load(path, weights_only=False)
    content["cfg"] = {section: entries}
    torch.save(content, path)
    assert state_of("optimization.max_update=40")[0]
    for same in ("(0.9,0.98)", "[0.9, 0.98]", [0.9, 0.98], (0.9, 0.98)):
        assert progress._same(same, "(0.9, 0.98)")
    for other in ("(0.9, 0.9)", "(", "[{[1]: 2}]", "0.9, 0.98", None):
        assert not progress._same(other, "(0.9, 0.98)")
    assert not progress._same("1_0", "10")
    if section == "model":
        entries["encoder"] = {"layers": 2, "embed_dim": 32}
    else:
        entries["adam_betas"] = "(0.9,0.98)"
    torch.save(content, path)
    with pytest.raises(UserError, match=r"layers 2, now 1\)|\(adam_betas \(0.9,0.98\), now"):
        state_of("optimization.max_update=40")


def test_a_file_by_another_name_is_no_other_flag(state_of: StateOf, tmp_path: Path) -> None:
    """A teacher's path may be written in several ways; and the error says what to do, once."""
    path = checkpoint(tmp_path / "checkpoint_last.pt", epoch=1)
    content = torch.load(path)
    for teacher, same in ((f"{tmp_path}/../{tmp_path.name}/a", True), (f"{tmp_path}/b", False)):
        criterion = {"_name": "tsla_cross_entropy", "teacher_path": teacher}
        content["cfg"] = {"criterion": criterion, "common": {"seed": 1}}
        torch.save(content, path)
        flags = ["data", "--save-dir", str(tmp_path), *TINY_MODEL, "--optimizer", "adam"]
        flags += ["--criterion", "tsla_cross_entropy", "--teacher-path", f"{tmp_path}/a"]
        flags += ["--max-update", "40"]
        if same:
            assert progress.state_of(flags, tmp_path, "train.log", True)[0]
            continue
        with pytest.raises(UserError, match=r"/b, now .*/a\); take another --save-dir$"):
            progress.state_of(flags, tmp_path, "train.log", True)


def test_its_own_checkpoint_by_name_is_no_other(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "checkpoint_last.pt")
    flags = ["data", "--save-dir", str(tmp_path), *TINY_MODEL, "--optimizer", "adam"]
    own, other = str(path), str(checkpoint(tmp_path / "other.pt"))
    for named, warned in ((own, False), (other, True)):
        _, said = progress.state_of([*flags, "--restore-file", named], tmp_path, "train.log", True)
        assert any("is not gone on from" in line for line in said) is warned
