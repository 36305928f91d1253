"""The reader of checkpoints, and what tells whether one is of a corpus."""

import math
import os
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_labo.experiments.checkpoints import (
    check_corpus,
    check_finite,
    corpus_of,
    corpus_record,
    fingerprint,
    load_checkpoint,
    newest_good,
    record_corpus,
    settings_of,
    updates_of,
)
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, sha256_of, write_json


def save(path: Path, **content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": {"w": torch.ones(2)}, **content}, path)
    return path


def of_corpus(path: Path, corpus: PreparedCorpus, **task: Any) -> Path:
    """A checkpoint as a training on `corpus` leaves it, but for `task`."""
    source, target = corpus.languages
    trained = {"_name": "translation", "data": str(corpus.bin_dir)}
    trained |= {"source_lang": source, "target_lang": target, **task}
    return save(path, cfg={"task": trained})


@pytest.fixture
def corpus(toy_corpus: Path) -> PreparedCorpus:
    return PreparedCorpus.read(toy_corpus)


@pytest.mark.parametrize("zipped", [True, False])
def test_loaded_in_both_formats(zipped: bool, tmp_path: Path) -> None:
    content = {"model": {"w": torch.ones(2)}, "args": Namespace(seed=3)}
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=zipped)
    state = load_checkpoint(tmp_path / "c.pt")
    assert state["model"]["w"].tolist() == [1, 1] and state["args"].seed == 3


def test_newest_good(tmp_path: Path) -> None:
    assert newest_good(tmp_path) is None
    for number in range(4):
        save(tmp_path / f"checkpoint{number}.pt")
    (tmp_path / "checkpoint3.pt").write_bytes(b"")
    for number in range(4):  # the system's clock of files may stand still between two
        os.utime(tmp_path / f"checkpoint{number}.pt", (number, number))
    save(tmp_path / "averaged.pt")
    assert newest_good(tmp_path) == tmp_path / "checkpoint2.pt"
    assert newest_good(tmp_path, but=tmp_path / "checkpoint2.pt") == tmp_path / "checkpoint1.pt"


def test_settings_of_all_formats() -> None:
    assert settings_of({"cfg": {"task": {"a": 1}}}, "task") == {"a": 1}
    assert settings_of({"cfg": {"task": Namespace(a=1)}}, "task") == {"a": 1}
    assert settings_of({"cfg": None, "args": Namespace(a=1)}, "task") == {"a": 1}
    assert settings_of({}, "task") == {}


def test_fingerprint(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number}.pt", number=number) for number in range(2)]
    assert fingerprint(paths[:1]) == sha256_of(paths[0])
    assert len({fingerprint(paths), fingerprint(paths[::-1]), fingerprint(paths[:1])}) == 3


def test_record_of_a_corpus(corpus: PreparedCorpus, tmp_path: Path) -> None:
    record_corpus(tmp_path / "run", corpus)
    written = read_json(tmp_path / "run" / "corpus.json")
    assert written == corpus_record(corpus)
    assert written["languages"] == ["de", "en"] and written["corpus"] == corpus.name
    joined = written["dictionaries"]
    assert joined["de"] == joined["en"] and len(joined["de"]) == 64


def test_the_text_that_a_prior_was_counted_in(corpus: PreparedCorpus, tmp_path: Path) -> None:
    """Resumed on another text, the training would go on with another prior."""
    run = tmp_path / "run"
    record_corpus(run, corpus, counted=True)
    save(run / "checkpoint_last.pt")
    record_corpus(run, corpus, counted=True)
    bin_dir = Path(shutil.copytree(corpus.bin_dir, tmp_path / "bin"))
    path = bin_dir / "train.de-en.en.bin"
    path.write_bytes(path.read_bytes()[::-1])
    other = PreparedCorpus.read(bin_dir)
    before = (run / "corpus.json").read_bytes()
    with pytest.raises(UserError, match=r"--label-prior counted, found another in .*bin: the"):
        record_corpus(run, other, counted=True)
    assert (run / "corpus.json").read_bytes() == before
    record_corpus(run, other)  # without a prior nothing depends on it


@pytest.mark.parametrize(
    ("other", "found"),
    [({"source_lang": "en", "target_lang": "de"}, "other languages"),
     ({"data": "elsewhere"}, "other dictionaries"), ({"data": "gone"}, None),
     ({"data": "no\0name"}, None)],
)  # fmt: skip
def test_checkpoints_that_fairseq_train_left(
    other: dict[str, str], found: str | None, corpus: PreparedCorpus, tmp_path: Path
) -> None:
    """They have no corpus.json, but tell their task: no record of another corpus is laid beside."""
    bin_dir = Path(shutil.copytree(corpus.bin_dir, tmp_path / "elsewhere"))
    path = bin_dir / "dict.de.txt"
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[::-1]) + "\n", "utf-8")
    if "data" in other:
        other = {"data": str(tmp_path / other["data"])}
    run = tmp_path / "run"
    last = of_corpus(run / "checkpoint_last.pt", corpus, **other)
    if found is None:  # nothing is known that could differ
        record_corpus(run, corpus, begun=corpus_of(last))
        return
    with pytest.raises(UserError, match=f"run: expected checkpoints .* found {found}"):
        record_corpus(run, corpus, begun=corpus_of(last))
    assert not (run / "corpus.json").exists()
    record_corpus(run, corpus, begun=corpus_of(of_corpus(last, corpus)))
    assert read_json(run / "corpus.json") == corpus_record(corpus)


def test_settings_that_are_none_tell_no_corpus(tmp_path: Path) -> None:
    assert corpus_of(save(tmp_path / "c.pt", cfg={"task": "translation"})) == {}


def test_counts_of_a_dictionary_do_not_matter(corpus: PreparedCorpus, tmp_path: Path) -> None:
    """A model depends on the order of the symbols alone."""
    bin_dir = shutil.copytree(corpus.bin_dir, tmp_path / "bin")
    path = bin_dir / "dict.de.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line}0\n" for line in lines), encoding="utf-8")
    other = PreparedCorpus.read(bin_dir)
    assert corpus_record(other)["dictionaries"] == corpus_record(corpus)["dictionaries"]


def test_a_checkpoint_of_the_corpus(corpus: PreparedCorpus, tmp_path: Path) -> None:
    path = of_corpus(tmp_path / "checkpoint_best.pt", corpus)
    assert check_corpus(path, corpus)["model"]["w"].tolist() == [1, 1]
    # One of which nothing is known but the model, and one whose data is gone.
    check_corpus(save(tmp_path / "bare.pt"), corpus)
    check_corpus(of_corpus(tmp_path / "gone.pt", corpus, data="/nowhere"), corpus)
    # A task that the user names.
    path = of_corpus(path, corpus, _name="translation_lev")
    check_corpus(path, corpus, task="translation_lev")


def test_what_its_training_recorded_tells(corpus: PreparedCorpus, tmp_path: Path) -> None:
    """The folder that it was trained on has been prepared again since."""
    record_corpus(tmp_path, corpus)
    other = shutil.copytree(corpus.bin_dir, tmp_path / "bin")
    (other / "dict.de.txt").write_text("x 1\n", encoding="utf-8")
    path = of_corpus(tmp_path / "checkpoint_best.pt", corpus, data=str(other))
    check_corpus(path, corpus)
    with pytest.raises(UserError, match="found other dictionaries"):
        check_corpus(path, PreparedCorpus.read(other))
    shutil.copy(path, tmp_path / "elsewhere.pt")
    (tmp_path / "corpus.json").unlink()
    with pytest.raises(UserError, match="found other dictionaries"):
        check_corpus(tmp_path / "elsewhere.pt", corpus)


def test_dictionaries_that_nothing_tells_are_a_note(
    corpus: PreparedCorpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of another training they may be others of the same sizes, also where it tells its languages.

    A relative folder of data may be another one, seen from here.
    """
    gone = of_corpus(tmp_path / "gone.pt", corpus, data="/nowhere")
    check_corpus(gone, corpus)
    note = "does not tell the dictionaries of its training: only their sizes are compared\n"
    assert capsys.readouterr().err == f"{gone} {note}"
    path = of_corpus(tmp_path / "c.pt", corpus, data="data/bin")
    shutil.copytree(corpus.bin_dir, tmp_path / "data" / "bin")
    monkeypatch.chdir(tmp_path)
    check_corpus(of_corpus(tmp_path / "absolute.pt", corpus), corpus)
    check_corpus(path, corpus)  # as good as by its absolute name
    assert capsys.readouterr().err == ""
    check_corpus(path, PreparedCorpus.read(Path("data/bin")))  # which is compared with itself
    assert "tells of its training the folder data/bin, which is seen" in capsys.readouterr().err
    lines = (tmp_path / "data" / "bin" / "dict.de.txt").read_text("utf-8").splitlines()
    (tmp_path / "data" / "bin" / "dict.de.txt").write_text("\n".join(lines[::-1]) + "\n", "utf-8")
    match = r"found other dictionaries.*, or call this where .* started, from which data/bin is$"
    with pytest.raises(UserError, match=match):
        check_corpus(path, corpus)


def test_a_link_to_a_checkpoint_tells_what_is_beside_that(
    corpus: PreparedCorpus, tmp_path: Path
) -> None:
    real = of_corpus(tmp_path / "real" / "c.pt", corpus, data="/nowhere")
    record_corpus(real.parent, corpus)
    record = read_json(real.parent / "corpus.json")
    record["dictionaries"]["de"] = "another"
    write_json(real.parent / "corpus.json", record)
    (tmp_path / "link.pt").symlink_to(real)
    with pytest.raises(UserError, match=r"link\.pt: expected a model .* found other dictionaries"):
        check_corpus(tmp_path / "link.pt", corpus)


def test_a_folder_names_the_newest_good_one_in_it(tmp_path: Path) -> None:
    good = save(tmp_path / "checkpoint_best.pt")
    with pytest.raises(UserError, match=f"found a folder; the newest good one in it is {good}"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_parameters_that_are_no_numbers(dtype: torch.dtype, bad: float) -> None:
    """Wherever they stand; tensors without elements and integers are finite."""
    good = {
        "none": torch.ones(0, dtype=dtype),
        "steps": torch.tensor([3]),
        "on": torch.tensor(True),
    }
    for place in (0, 7, 11):
        weights = torch.arange(12, dtype=dtype) - 5
        check_finite(Path("1.pt"), {**good, "w": weights})
        weights[place] = bad
        with pytest.raises(UserError, match=r"1\.pt: expected finite .* found inf or nan in w:"):
            check_finite(Path("1.pt"), {**good, "w": weights})


@pytest.mark.parametrize(
    ("history", "updates"),
    [([{"num_updates": 3}], 3), ([], None), ([{}], None), (["x"], None), (None, None)],
)
def test_updates(history: list[Any] | None, updates: int | None, tmp_path: Path) -> None:
    torch.save({"model": {}, "optimizer_history": history}, tmp_path / "a.pt")
    assert updates_of(tmp_path / "a.pt") == updates
    assert updates_of(tmp_path / "none.pt") is None
