"""Flags of labo train and the command that they make: the one that scripts/train.sh made."""

import json
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fairseq.data.data_utils import batch_by_size

from fairseq_labo.criterions.labo_cross_entropy import LaboCrossEntropyConfig
from fairseq_labo.criterions.tsla_cross_entropy import TslaCrossEntropyConfig
from fairseq_labo.defaults import USER_DIR
from fairseq_labo.experiments.cli import parse
from fairseq_labo.experiments.data.prepared import Given, PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import presets
from fairseq_labo.experiments.training.flags import option, value_of
from fairseq_labo.experiments.training.inquiry import apart
from fairseq_labo.experiments.training.presets import (
    CRITERION_FLAGS,
    CRITERIONS,
    TRAIN_FLAGS,
    check_flag,
    fairseq_arguments,
    find_criterion,
    split_flags,
)
from fairseq_labo.experiments.training.progress import training_config

RDROP = "label_smoothed_cross_entropy_with_rdrop"


def arguments(data: PreparedCorpus, *passed_on: str, **flags: Any) -> list[str]:
    """fairseq's, of labo train with these flags."""
    words = ["train", "--data", "unread", "--save-dir", "run"]
    for name, value in flags.items():
        words += [option(name), str(value)]
    return fairseq_arguments(parse([*words, "--", *passed_on]), data)


def corpus(folder: Path, **manifest: Any) -> PreparedCorpus:
    """A folder that looks like a prepared one."""
    (folder / "bin").mkdir(parents=True)
    whole = {"corpus": "c", "source_lang": "de", "target_lang": "en", "splits": {}, **manifest}
    (folder / "manifest.json").write_text(json.dumps(whole), encoding="utf-8")
    return PreparedCorpus.read(folder)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("labo_cross_entropy", LaboCrossEntropyConfig),
        ("tsla_cross_entropy", TslaCrossEntropyConfig),
    ],
)
def test_all_flags_of_our_criterions_are_known(name: str, config: Any) -> None:
    """Names, types, and the defaults of those that have one here."""
    declared = {
        each.name: each
        for each in fields(config)
        # The last two are every training's.
        if each.name not in ("_name", "sentence_avg", "train_subset")
    }
    flags = CRITERIONS[name].flags
    assert flags.keys() == declared.keys()
    for flag, each in declared.items():
        assert flags[flag].kind.__name__ in str(each.type), flag
        assert flags[flag].default in (None, each.default), flag
    assert flags["label_smoothing"].default == declared["label_smoothing"].default
    assert name != "labo_cross_entropy" or flags["labo_beta"].default == config.labo_beta


def test_schedules_are_the_criterions() -> None:
    from fairseq_labo.criterions.stages import SCHEDULES

    flag = CRITERION_FLAGS["smoothing_schedule"]
    assert [flag.read("smoothing_schedule", name) for name in SCHEDULES] == list(SCHEDULES)
    assert flag.wanted == "one of " + ", ".join(SCHEDULES)


def test_all_sizes_train_and_validate_on_every_sentence(tmp_path: Path) -> None:
    data = corpus(tmp_path / "data")
    assert list(presets.SIZES) == TRAIN_FLAGS["size"].choices
    for size in presets.SIZES:
        words = arguments(data, size=size)
        assert value_of("--required-batch-size-multiple", words) == "1"


@pytest.mark.parametrize(("multiple", "sentences"), [(1, 77), (8, 72)])
def test_why_batches_need_no_multiple(multiple: int, sentences: int) -> None:
    """fairseq's default is 8: of 77 sentences it drops the last 5."""
    batches = batch_by_size(
        *(np.arange(77), None, np.full(77, 10)),
        max_tokens=320,
        required_batch_size_multiple=multiple,
    )
    assert sum(map(len, batches)) == sentences


@pytest.mark.parametrize(
    ("own", "behind", "found"),
    [
        (["--label-smoothing", "0.2"], "--label-smoothing 0.9", "0.2 and, behind --, 0.9"),
        (["--fused-projection"], "--fused-projection --fp16", "True and, behind --, true"),
        ([], "--criterion=cross_entropy", "labo_cross_entropy and, behind --, cross_entropy"),
    ],
)
def test_a_flag_of_the_criterion_is_given_once(
    own: list[str], behind: str, found: str, tmp_path: Path
) -> None:
    options = parse(["train", "--data", "d", "--save-dir", "s", *own, "--", *behind.split()])
    with pytest.raises(UserError, match=f"expected it once, found {found}; leave out one"):
        fairseq_arguments(options, corpus(tmp_path / "data"))
    # The default is no second one.
    assert "0.9" in arguments(corpus(tmp_path / "other"), "--label-smoothing", "0.9")


def test_the_save_dir_stands_before_the_others(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--save-dir: expected it before --.*found elsewhere"):
        arguments(corpus(tmp_path / "data"), "--save-dir", "elsewhere")


@pytest.mark.slow
def test_a_plugin_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import of_nobody\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"--user-dir: expected a module .* found .*broken, which"):
        find_criterion("of_somebody_else", str(tmp_path / "broken"))


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("label_smoothed_cross_entropy", "0.1"),
        ("label_smoothed_cross_entropy_with_rdrop", "0.1"),
        ("label_smoothed_cross_entropy_with_alignment", "0.1"),
        ("nat_loss", None),  # fairseq's default
    ],
)
def test_label_smoothing_is_alike(criterion: str, expected: str | None, tmp_path: Path) -> None:
    data = corpus(tmp_path / "data")
    assert value_of("--label-smoothing", arguments(data, criterion=criterion)) == expected
    words = arguments(data, criterion=criterion, label_smoothing=0.3)
    assert value_of("--label-smoothing", words) == "0.3"


def test_best_by_bleu_of_a_language_without_spaces(tmp_path: Path) -> None:
    data = corpus(tmp_path / "data", target_lang="zh")
    with pytest.raises(UserError, match=r"--best-by bleu: expected .* found zh; give"):
        arguments(data, best_by="bleu")
    assert "--eval-bleu" in arguments(data, "--eval-tokenized-bleu", best_by="bleu")
    assert "--eval-bleu" not in arguments(data)


def test_flags_of_our_criterions_reach_fairseq(tmp_path: Path) -> None:
    given = {"teacher_path": "t.pt", "teacher_temperature": 2.0, "smoothing_updates": 9}
    given |= {"fused_projection": True, "report_accuracy": False, "smoothing_schedule": "cosine"}
    given |= {"divide_by_counted": True, "ignore_prefix_size": 1}
    words = arguments(corpus(tmp_path / "data"), criterion="tsla_cross_entropy", **given)
    start = words.index("--criterion") + 2
    assert words[start : words.index("--arch")] == shlex.split(
        "--smoothing-updates 9 --label-smoothing 0.1 --smoothing-schedule cosine "
        "--teacher-path t.pt --teacher-temperature 2 --fused-projection --ignore-prefix-size 1 "
        "--divide-by-counted"
    )


def test_a_flag_of_another_criterion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that the methods of a study share are left out, and it is said; others are refused."""
    data = corpus(tmp_path / "data")
    assert "--labo-beta" not in arguments(data, criterion="cross_entropy", labo_beta=2.0)
    assert capsys.readouterr().err == "cross_entropy has no --labo-beta: left out\n"
    both = {"criterion": "tsla_cross_entropy", "teacher_path": "t.pt", "label_prior": "target"}
    with pytest.raises(UserError, match="--label-prior and --teacher-path, found both"):
        arguments(data, **both)
    with pytest.raises(
        UserError, match="--teacher-path: expected a criterion that has it, found l"
    ):
        arguments(data, teacher_path="t.pt")
    with pytest.raises(UserError, match="expected one of --smoothing-epochs and"):
        arguments(data, smoothing_epochs=1, smoothing_updates=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch", [("--arch", "lstm"), ("--arch=fconv",), ("-a", "transformer_tiny"), ("-alstm",)]
)
def test_an_architecture_of_one_s_own(tmp_path: Path, arch: tuple[str, ...]) -> None:
    """The model is what is said behind --; the size has the settings of the training."""
    words = arguments(corpus(tmp_path / "data"), *arch)
    assert value_of("--lr", words) == "5e-3" and value_of("--max-tokens", words) == "1000"
    config = apart(training_config, words)
    assert config.model.arch == arch[-1].rpartition("=")[2].removeprefix("-a")
    assert config.model.encoder_embed_dim == {"transformer_tiny": 64}.get(config.model.arch, 512)


@pytest.mark.slow
def test_a_criterion_of_fairseq_without_a_preset(tmp_path: Path) -> None:
    """R-Drop: what it shares with ours is a flag of labo train, the rest stands behind --."""
    data = corpus(tmp_path / "data")
    words = arguments(data, "--rdrop-alpha", "5", criterion=RDROP, label_smoothing=0.2)
    flags = words[words.index("--criterion") : words.index("--arch")]
    assert flags == ["--criterion", RDROP, "--label-smoothing", "0.2"]
    assert value_of("--best-checkpoint-metric", words) == "nll_loss"
    assert words[-2:] == ["--rdrop-alpha", "5"]


def test_an_unknown_criterion_has_a_near_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "apart", lambda *_: ["cross_entropy", "labo_cross_entropy"])
    with pytest.raises(UserError, match=r"found 'labo_cros_entropy'; did you mean labo_cross_en"):
        find_criterion("labo_cros_entropy")
    with pytest.raises(UserError, match=r"found 'xyz'$"):
        find_criterion("xyz")


@pytest.mark.parametrize(
    ("tokenizer", "subwords", "detok", "remove"),
    [("moses", "subword-nmt", "moses", "subword_nmt"), ("none", "none", "space", "none")],
)
def test_bleu_of_validation_is_of_the_corpus(
    tokenizer: str, subwords: str, detok: str, remove: str, tmp_path: Path
) -> None:
    data = corpus(tmp_path / "data", tokenizer=tokenizer, subwords=subwords)
    words = arguments(data, best_by="bleu")
    assert value_of("--eval-bleu-detok", words) == detok
    assert value_of("--eval-bleu-remove-bpe", words) == remove
    # By default fairseq detokenizes by the rules of English, whatever the target is.
    assert value_of("--eval-bleu-detok-args", words) == f'{{"target_lang": "{data.languages[1]}"}}'
    of_region = corpus(tmp_path / "region", target_lang="de_AT", tokenizer=tokenizer)
    words = arguments(of_region, best_by="bleu")
    assert value_of("--eval-bleu-detok-args", words) == '{"target_lang": "de"}'
    assert value_of("--target-lang", words) == "de_AT"


def test_bleu_of_validation_asks_what_a_folder_does_not_tell(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("dict.de.txt", "dict.en.txt", "train.de-en.en.idx"):
        (tmp_path / "bin" / name).touch()
    with pytest.raises(UserError, match="expected --tokenizer"):
        arguments(PreparedCorpus.read(tmp_path), best_by="bleu")
    given = Given(subwords="sentencepiece", tokenizer="none")
    words = arguments(PreparedCorpus.read(tmp_path, given), best_by="bleu")
    assert value_of("--eval-bleu-remove-bpe", words) == "sentencepiece"
    assert words[:3] == [str(tmp_path / "bin"), "--user-dir", str(USER_DIR)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("label_smoothing", "0.2"), ("labo_beta", float("inf")), ("epochs", 3), ("size", "wmt"),
        ("fused_projection", True), ("criterion", "tsla_cross_entropy"), ("gpus", "0"),
    ],
)  # fmt: skip
def test_flags_of_a_study(name: str, value: Any) -> None:
    check_flag(name, value, criterion="labo_cross_entropy")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("label_smothing", "0.1", "label_smothing: expected a flag of labo train or of labo_cross_"
         "entropy, found none; did you mean label_smoothing?"),
        ("save_dir", "x", "save_dir: expected a flag of labo train or of labo_cross_entropy, "
         "found none"),
        ("epochs", "many", "--epochs: expected a whole number of at least 1, found 'many'"),
        ("label_smoothing", 1, "--label-smoothing: expected a number of at least 0 and below 1, "
         "found '1'"),
    ],
)  # fmt: skip
def test_a_wrong_flag_of_a_study(name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_flag(name, value, criterion="labo_cross_entropy")
    assert str(caught.value) == message


def test_flags_that_only_the_criterion_knows() -> None:
    flags = {"criterion": RDROP, "label_smoothing": "0.1", "rdrop_alpha": "5", "epochs": "3"}
    own, words = split_flags(flags, RDROP)
    assert own == {"criterion": RDROP, "label_smoothing": "0.1", "epochs": "3"}
    assert words == ["--rdrop-alpha", "5"]
    assert split_flags({"labo_beta": "4"}, "labo_cross_entropy") == ({"labo_beta": "4"}, [])
    with pytest.raises(UserError, match=r"rdrop_alfa: .*; did you mean rdrop_alpha"):
        split_flags({"rdrop_alfa": "5"}, RDROP)
    with pytest.raises(UserError, match="--rdrop-alpha: expected a number, found 'much'"):
        split_flags({"rdrop_alpha": "much"}, RDROP)
    with pytest.raises(UserError, match="expected a flag of labo train or of labo_cross_entropy"):
        split_flags({"rdrop_alpha": "5"}, "labo_cross_entropy")


def test_no_flag_decides_where_a_study_trains() -> None:
    assert not {"data", "save_dir", "seed", "dry_run"} & TRAIN_FLAGS.keys()


@pytest.mark.parametrize(
    ("behind", "is_kept"),
    [
        ([], False),
        (["--keep-interval-updates", "5"], False),
        (["--keep-last-epochs", "5"], True),
        (["--save-interval=2"], True),
        # Of those of updates the newest are averaged; epochs would take their place.
        (["--save-interval-updates", "4", "--save-interval=2"], False),
    ],
)
def test_checkpoints_of_epochs_are_kept_where_they_are_asked_for(
    behind: list[str], is_kept: bool, tmp_path: Path
) -> None:
    """All other words are the same, in the same order."""
    data = corpus(tmp_path)
    usual = arguments(data)
    assert "--no-epoch-checkpoints" in usual
    wanted = [word for word in usual if not is_kept or word != "--no-epoch-checkpoints"]
    assert arguments(data, *behind) == [*wanted, *behind]
