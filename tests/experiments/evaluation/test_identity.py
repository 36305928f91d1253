"""What tells evaluations apart: scores are replaced only by scores of the same setting."""

import copy
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.identity import check_earlier, identity
from fairseq_labo.experiments.files import read_json, write_json

EARLIER: dict[str, Any] = {
    "corpus": "toy",
    "languages": ["de", "en"],
    "dictionaries": {"de": "a", "en": "a"},
    "subset": {
        **{"name": "test", "release_name": "test", "sentences": 3, "sha256": "b"},
        "binarized": {"test.de-en.de.bin": "d"},
    },
    "preprocessing": {"subwords": "subword-nmt", "tokenizer": "moses"},
    "generation": {"beam": 5, "lenpen": 1.0, "max_tokens": 4000, "extra": []},
    "checkpoint": {"path": "checkpoint_best.pt", "average": 1, "sha256": "c"},
}


def changed(*keys: str, value: object) -> dict[str, Any]:
    content = copy.deepcopy(EARLIER)
    entry = content
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    return content


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (["corpus"], "other", "corpus (toy, now other)"),
        (["languages"], ["en", "de"], "languages"),
        (["dictionaries"], {"de": "x", "en": "x"}, "dictionaries"),
        (["subset", "name"], "valid", "subset (test, now valid)"),
        (["subset", "sha256"], "x", "references"),
        (["preprocessing", "tokenizer"], "none", "--tokenizer (moses, now none)"),
        (["generation", "beam"], 4, "--beam (5, now 4)"),
        (["generation", "max_tokens"], 100, "--max-tokens (4000, now 100)"),
        (["subset", "binarized"], {"test.de-en.de.bin": "x"}, "binarized text"),
        (["checkpoint"], {"path": "checkpoint_best.pt", "sha256": "c", "average": 2}, "--average"),
        (["generation", "lenpen"], 0.6, "--lenpen (1.0, now 0.6)"),
        (["generation", "extra"], ["--nbest", "2"], "flags behind --"),
        (
            ["checkpoint"],
            {"path": "checkpoint_last.pt", "average": 1, "sha256": "x"},
            "content of the checkpoint",
        ),
    ],
)
def test_other_settings_are_refused(
    keys: list[str], value: object, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "scores.json"
    write_json(path, EARLIER)
    with pytest.raises(UserError) as error:
        check_earlier(path, changed(*keys, value=value), beside=tmp_path)
    assert f"found another {named}" in str(error.value) and "--output" in str(error.value)


def test_scores_of_a_training_that_went_on_are_kept_beside(tmp_path: Path) -> None:
    path = tmp_path / "test-scores" / "scores.json"
    path.parent.mkdir()
    write_json(path, EARLIER)
    other = changed("checkpoint", "sha256", value="x")
    assert not check_earlier(path, other, beside=tmp_path)
    assert read_json(path.with_name("scores.c.json")) == EARLIER == read_json(path)


@pytest.mark.parametrize(
    "name", ["hyp.en", "hyp.tok.en", "ref.tok.en", "generate-test.txt", "scores.json"]
)
def test_files_of_a_user_are_not_replaced(name: str, tmp_path: Path) -> None:
    """An evaluation that was cut off, or whose scores were removed, is told by its own files."""
    path = tmp_path / "out" / "scores.json"
    path.parent.mkdir()
    path.with_name(name).write_text('{"mine": 1}', encoding="utf-8")
    with pytest.raises(UserError, match=rf"{name}: expected a new folder, .*; give another --outp"):
        check_earlier(path, EARLIER, beside=tmp_path)
    for ours in ("generate.log", ".part", "../config.json"):  # that of a study's run
        (path.parent / ours).touch()
        assert check_earlier(path, EARLIER, beside=tmp_path) == {}
        (path.parent / ours).unlink()


def test_a_checkpoint_of_another_folder_is_another(tmp_path: Path) -> None:
    """Every training calls its best one checkpoint_best.pt."""
    path = tmp_path / "scores.json"
    write_json(path, EARLIER)
    other = changed("checkpoint", "sha256", value="x")
    with pytest.raises(UserError, match="content of the checkpoint"):
        check_earlier(path, other, beside=tmp_path / "runs")
    assert not path.with_name("scores.c.json").exists()


def test_the_same_setting_replaces(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    assert not check_earlier(path, EARLIER, beside=tmp_path)  # there are none
    write_json(path, EARLIER)
    assert check_earlier(path, EARLIER, beside=tmp_path / "runs") == EARLIER
    # The best checkpoint, copied as the last.
    check_earlier(path, changed("checkpoint", "path", value="checkpoint_last.pt"), beside=tmp_path)


def test_scores_of_old_have_only_some_entries(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    old = {key: EARLIER[key] for key in ("corpus", "generation")}
    write_json(path, {**old, "checkpoint": {"path": "checkpoint_best.pt"}})
    check_earlier(path, EARLIER, beside=tmp_path)
    with pytest.raises(UserError, match=r"checkpoint \(checkpoint_best\.pt, now averaged\.pt\)"):
        check_earlier(path, changed("checkpoint", "path", value="averaged.pt"), beside=tmp_path)


def test_entries(toy_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(b"x")
    options = cli.parse(
        ["evaluate", "--data", str(toy_corpus), "--checkpoint", str(tmp_path / "c.pt")]
    )
    corpus = PreparedCorpus.read(toy_corpus)
    found = identity(options, corpus, [tmp_path / "c.pt"], ["a", "b"])
    assert found["subset"]["sentences"] == 2 and found["checkpoint"]["path"] == "c.pt"
    assert found["languages"] == ["de", "en"] and len(found["checkpoint"]["sha256"]) == 64
    other = identity(options, corpus, [tmp_path / "c.pt"], ["a", "c"])
    assert other["subset"]["sha256"] != found["subset"]["sha256"]
    assert found["subset"]["binarized"].keys() == {"test.de-en.de.bin", "test.de-en.en.bin"}
    assert found["generation"] == {"beam": 5, "lenpen": 1.0, "max_tokens": 4000, "extra": []}
