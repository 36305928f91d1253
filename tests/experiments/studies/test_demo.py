"""``labo demo``: which study it is, and what it prints."""

from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.studies import demo
from fairseq_labo.experiments.studies.results import Results
from fairseq_labo.experiments.studies.run import final_runs
from fairseq_labo.experiments.studies.study import Study


def study_of(*words: str) -> Study:
    return demo.study_of(cli.parse(["demo", *words]))


def arguments(study: Study) -> dict[str, str]:
    """What each method's training is called with."""
    runs = final_runs(study, Path("nowhere"), choices={})
    return {run.method: " ".join(run.train_arguments()) for run in runs}


def test_the_trainings_are_those_that_the_demo_always_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scripts/demo.sh gave no more than these: all else is a default of `labo train`."""
    monkeypatch.setenv("LABO_HOME", str(tmp_path))
    study = study_of()
    shown = "--size small --epochs 2 --criterion {} --seed 1 -- --dropout 0.1"
    assert arguments(study) == {
        "cross_entropy": shown.format("cross_entropy"),
        "label_smoothing": shown.format("label_smoothed_cross_entropy"),
        "tsla": shown.format("tsla_cross_entropy"),
        "labo": shown.format("labo_cross_entropy"),
    }
    assert study.corpus == tmp_path / "data" / "microworld" and study.prepare == ("microworld",)
    assert (study.seeds, study.baseline, study.evaluate.beam) == ((1,), "label_smoothing", 5)


def test_other_corpora_get_more_epochs_and_more_dropout(tmp_path: Path) -> None:
    study = study_of("--corpus", "multi30k", "--source-dir", str(tmp_path))
    assert study.corpus == Path("data/multi30k") and study.prepare == ("multi30k",)
    assert study.name == "demo-multi30k"
    assert "--epochs 10 " in arguments(study)["labo"]
    assert arguments(study)["labo"].endswith(" -- --dropout 0.2")
    study = study_of("--data", str(tmp_path / "own"), "--epochs", "3", "--seed", "7")
    assert study.corpus == tmp_path / "own" and study.name == "demo-own"
    assert "--epochs 3 " in arguments(study)["tsla"] and "--seed 7 " in arguments(study)["tsla"]


def test_criterions_are_chosen() -> None:
    study = study_of("--criterions", "labo_cross_entropy cross_entropy")
    assert list(study.methods) == ["labo", "cross_entropy"] and study.baseline == "labo"
    with pytest.raises(UserError, match=r"^labo demo: methods: expected at least one"):
        study_of("--criterions", "")
    with pytest.raises(UserError, match=r"^labo demo: train\.epochs: expected a whole number"):
        study_of("--epochs", "0")
    with pytest.raises(UserError, match="--source-dir: expected with --corpus multi30k"):
        study_of("--source-dir", "x")


def test_the_table(microworld: Results) -> None:
    header, *rows = demo.table(microworld).splitlines()
    assert header.split("  ")[0] == "method" and len(rows) == 8
    assert rows[0].split() == ["cross_entropy", "76.70", "0.621", "5257", "132"]


@pytest.mark.slow
def test_a_demo_on_a_prepared_corpus(
    toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["demo", "--data", str(toy_corpus), "--output", str(tmp_path / "out")]
    words += ["--criterions", "labo_cross_entropy", "--epochs", "1"]
    for _ in range(2):  # the second time there is nothing to train
        assert cli.main(words) == 0
        printed = capsys.readouterr()
        header, row, empty, sentence, source, *_ = printed.out.splitlines()
        assert header.split() == ["method", "BLEU", "NLL", "(bits)", "words/s", "train", "seconds"]
        assert row.startswith("labo ") and len(row.split()) == 5 and not empty
        assert sentence == "sentence 1" and source.startswith("source ")
    assert "1 of 1 runs done before, 0 to do" in printed.err
    assert (tmp_path / "out" / "report" / "report.html").exists()
