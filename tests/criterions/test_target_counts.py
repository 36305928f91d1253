"""Counts of the target side: from every kind of binarized file, and from the checkpoint."""

import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import fairseq_labo  # noqa: F401  (registers the criterions)
from fairseq_labo.criterions import target_counts as module
from fairseq_labo.criterions.target_counts import STATE_KEY, target_counts
from tests.conftest import preprocessing_in_process


def task_of(data: object, dataset_impl: str | None = None, **settings: Any) -> Any:
    from fairseq.tasks.translation import TranslationConfig, TranslationTask

    config = TranslationConfig(data=str(data), dataset_impl=dataset_impl, **settings)
    return TranslationTask.setup_task(config)


def by_type(task: Any) -> dict[str, int]:
    counts = target_counts(task)
    assert counts.dtype == torch.int64 and len(counts) == len(task.target_dictionary)
    symbols = task.target_dictionary.symbols
    return {symbols[n]: int(counts[n]) for n in counts.nonzero().flatten()}


def words_of(text: Path) -> dict[str, int]:
    lines = text.read_text(encoding="utf-8").splitlines()
    return {**Counter(word for line in lines for word in line.split()), "</s>": len(lines)}


@pytest.mark.parametrize("at_once", [1 << 22, 100])
def test_only_the_target_side_counts(
    toy_corpus: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """The dictionary is joined: types of the source alone have no mass."""
    monkeypatch.setattr(module, "TYPES_AT_ONCE", at_once)
    task = task_of(toy_corpus / "bin")
    counts = by_type(task)
    assert counts == words_of(toy_corpus / "bpe" / "train.en")
    only_source = set(words_of(toy_corpus / "bpe" / "train.de")) - set(counts)
    assert only_source and all(task.target_dictionary.index(word) > 3 for word in only_source)
    other = by_type(task_of(toy_corpus / "bin", source_lang="en", target_lang="de"))
    assert other == words_of(toy_corpus / "bpe" / "train.de")


def test_more_folders_and_more_splits(toy_corpus: Path, tmp_path: Path) -> None:
    shard = tmp_path / "shard"
    shutil.copytree(toy_corpus / "bin", shard)
    for path in shard.glob("train.*"):
        shutil.copyfile(path, shard / path.name.replace("train.", "train1."))
    one = target_counts(task_of(toy_corpus / "bin"))
    more = target_counts(task_of(f"{toy_corpus / 'bin'}:{shard}"))
    assert torch.equal(more, 3 * one)
    # Of one file alone fairseq takes each sentence once, of several the first file's more often.
    upsampled = task_of(f"{toy_corpus / 'bin'}:{shard}", upsample_primary=5)
    assert torch.equal(target_counts(upsampled), (1 + 5 + 1) * one)


def test_another_split_is_trained_on(toy_corpus: Path) -> None:
    """--train-subset valid."""
    task = task_of(toy_corpus / "bin", train_subset="valid")
    assert by_type(task) == words_of(toy_corpus / "bpe" / "valid.en")


@pytest.mark.parametrize("kind", ["raw", "lazy", "cached"])
def test_other_kinds_of_files(
    toy_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from fairseq import options
    from fairseq_cli import preprocess

    monkeypatch.setattr(module, "SENTENCES_AT_ONCE", 7)
    dictionary = str(toy_corpus / "bin" / "dict.de.txt")
    words = ["-s", "de", "-t", "en", "--srcdict", dictionary, "--tgtdict", dictionary]
    words += ["--trainpref", str(toy_corpus / "bpe" / "train"), "--destdir", str(tmp_path)]
    words += ["--dataset-impl", kind]
    with preprocessing_in_process():
        preprocess.main(options.get_preprocessing_parser().parse_args(words))
    task = task_of(tmp_path, dataset_impl="raw" if kind == "raw" else None)
    assert by_type(task) == words_of(toy_corpus / "bpe" / "train.en")


def test_what_is_not_in_the_dictionary_is_unk(toy_corpus: Path, tmp_path: Path) -> None:
    """The target text of a corpus that was binarized with a dictionary of two words."""
    from fairseq import options
    from fairseq_cli import preprocess

    text = words_of(toy_corpus / "bpe" / "train.en")
    (tmp_path / "two").write_text("a 1\ndog 1\n", encoding="utf-8")
    words = ["-s", "de", "-t", "en", "--joined-dictionary", "--srcdict", str(tmp_path / "two")]
    words += ["--trainpref", str(toy_corpus / "bpe" / "train"), "--destdir", str(tmp_path / "bin")]
    with preprocessing_in_process():
        preprocess.main(options.get_preprocessing_parser().parse_args(words))
    counts = by_type(task_of(tmp_path / "bin"))
    unknown = sum(text.values()) - text["a"] - text["dog"] - text["</s>"]
    assert counts == {"a": text["a"], "dog": text["dog"], "</s>": 1200, "<unk>": unknown}


def test_language_modeling(toy_corpus: Path, tmp_path: Path) -> None:
    from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask

    for ending in ("bin", "idx"):
        name = f"train.de-en.en.{ending}"
        shutil.copyfile(toy_corpus / "bin" / name, tmp_path / f"train.{ending}")
    shutil.copyfile(toy_corpus / "bin" / "dict.en.txt", tmp_path / "dict.txt")
    config = LanguageModelingConfig(data=str(tmp_path), dataset_impl=None)
    whole = by_type(LanguageModelingTask.setup_task(config))
    assert whole == words_of(toy_corpus / "bpe" / "train.en")
    config.output_dictionary_size = 8
    cut = by_type(LanguageModelingTask.setup_task(config))
    assert sum(cut.values()) == sum(whole.values()) and cut["<unk>"] > 0 and len(cut) < len(whole)


def test_the_counts_of_the_checkpoint_are_kept(toy_corpus: Path) -> None:
    task = task_of(toy_corpus / "bin")
    counts = target_counts(task)
    state = task.state_dict()
    assert torch.equal(state[STATE_KEY], counts)
    later = task_of(toy_corpus / "bin")
    later.load_state_dict({STATE_KEY: 2 * counts})
    assert torch.equal(target_counts(later), 2 * counts)
    later.load_state_dict({STATE_KEY: counts[:-1]})
    with pytest.raises(ValueError, match="trained with another dictionary"):
        target_counts(later)


def test_no_training_data(toy_corpus: Path, tmp_path: Path) -> None:
    for language in ("de", "en"):
        shutil.copy(toy_corpus / "bin" / f"dict.{language}.txt", tmp_path)
    task = task_of(tmp_path, source_lang="de", target_lang="en")
    with pytest.raises(ValueError, match=r"text .*train\.de-en\.en or .*, found no such file"):
        target_counts(task)


def test_another_task(toy_corpus: Path) -> None:
    from fairseq.tasks.fairseq_task import FairseqTask

    class Tagging(FairseqTask):
        target_dictionary = task_of(toy_corpus / "bin").target_dictionary

    with pytest.raises(ValueError, match="translation and language_modeling, found Tagging"):
        target_counts(Tagging(SimpleNamespace()))


def test_a_kin_of_translation_without_a_pair_of_languages(toy_corpus: Path) -> None:
    from fairseq.tasks.online_backtranslation import OnlineBackTranslationTask

    dictionary = task_of(toy_corpus / "bin").target_dictionary
    config = SimpleNamespace(data=str(toy_corpus / "bin"), lambda_bt="1.0", lambda_dae="1.0")
    task = OnlineBackTranslationTask(config, dictionary, ["de", "en"], ["de-en"])
    with pytest.raises(ValueError, match="language_modeling, found OnlineBackTranslationTask"):
        target_counts(task)
