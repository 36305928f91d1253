"""The corpus of a study, prepared by compare.sh where it is not there yet."""

from pathlib import Path

import pytest
import yaml

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json
from fairseq_labo.experiments.studies.compare import main, prepare_corpus
from fairseq_labo.experiments.studies.study import Study
from fairseq_labo.experiments.studies.study_file import read_study
from tests.experiments.data import releases

# The generated release has other counts than the real one.
TED = "data-prep/prepare-iwslt14-15k.sh --accept-counts --pair en-de"
CONTENT = {
    "name": "ted",
    "corpus": "data/ted",
    "baseline": "smooth",
    "methods": {"smooth": {"criterion": "label_smoothed_cross_entropy"}},
}


def study_of(folder: Path, **changes: str) -> Study:
    path = folder / "ted.yaml"
    path.write_text(yaml.safe_dump(CONTENT | changes), encoding="utf-8")
    return read_study(path)


def test_a_missing_corpus_is_prepared_and_a_present_one_left_alone(tmp_path: Path) -> None:
    releases.write_iwslt14_15k(tmp_path / "release")
    study = study_of(tmp_path, prepare=TED)
    prepare_corpus(study, archives=[f"--source-dir={tmp_path / 'release'}"])
    manifest = read_json(tmp_path / "data" / "ted" / "manifest.json")
    assert (manifest["corpus"], manifest["source_lang"]) == ("iwslt14-15k", "en")
    prepare_corpus(study, archives=["--no-such-option"])  # would fail, were it run


def test_a_preparation_that_fails_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"preparing .*/data/ted failed .* --source-dir DIR"):
        prepare_corpus(study_of(tmp_path, prepare=TED), archives=[f"--source-dir={tmp_path}/empty"])
    assert "train15k.en.gz" in capfd.readouterr().err  # what is missing


def test_no_corpus_and_no_preparation(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a prepared corpus in .*/data/ted, found none"):
        prepare_corpus(study_of(tmp_path), archives=[])


def test_the_published_task_must_be_that_of_the_corpus(toy_corpus: Path, tmp_path: Path) -> None:
    study_of(tmp_path, paper="iwslt14.de-en")
    with pytest.raises(UserError, match=r"expected a corpus iwslt14, de-en, found toy de-en"):
        main(
            [str(tmp_path / "ted.yaml"), "--data", str(toy_corpus), "--output", str(tmp_path / "o")]
        )
    assert not (tmp_path / "o").exists()
