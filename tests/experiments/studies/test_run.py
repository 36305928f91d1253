"""What the runs of a study are: their commands, and configs that old runs have, too."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.prepared import Given, PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import sha256_of, write_json
from fairseq_labo.experiments.studies.method import Training
from fairseq_labo.experiments.studies.run import Run, final_runs, raw_sha256, search_runs
from fairseq_labo.experiments.studies.study import Evaluation, setting_name
from fairseq_labo.experiments.studies.study_file import EMBEDDED, read_study
from tests.conftest import REPOSITORY
from tests.experiments.studies.conftest import CORPUS, corpus_of, make_study
from tests.experiments.studies.test_study import CONTENT, read

# config.json of every run of every study, written by the code before studies were read by a schema.
OLD = json.loads((Path(__file__).parent / "data" / "old-configs.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", OLD["studies"])
def test_configs_of_runs_that_are_done_are_recognized(name: str, tmp_path: Path) -> None:
    old = OLD["studies"][name]
    path = tmp_path / "edges.yaml"
    path.write_text(OLD["edges"], encoding="utf-8")
    files = [*REPOSITORY.glob("studies/*"), *REPOSITORY.glob("recipes/*"), *EMBEDDED.glob("*.yaml")]
    study = read_study(next(file for file in [*files, path] if file.stem == name))
    choices = {name: method.settings()[-1] for name, method in study.methods.items() if method.grid}
    runs = {
        run.name: run
        for run in [*search_runs(study, tmp_path), *final_runs(study, tmp_path, choices=choices)]
    }
    assert set(runs) == set(old["runs"])
    corpus = corpus_of(old["corpus"]["name"], old["corpus"]["raw_sha256"])
    for of_run, known in old["runs"].items():
        config = {
            **known,
            "train": shlex.split(known["train"]),
            "evaluate": old["evaluate"],
            "corpus": old["corpus"],
        }
        found = runs[of_run].config(corpus)
        assert found["corpus"].pop("dictionaries") == {} and found == config
        # As the old code wrote it down, this code takes the folder up.
        runs[of_run].folder.mkdir(parents=True)
        write_json(runs[of_run].folder / "config.json", config)
        runs[of_run].claim(corpus)


def parsed(command: list[str]) -> Any:
    assert command[:3] == [sys.executable, "-m", "fairseq_labo.experiments.cli"]
    return cli.parse(command[3:])


def test_commands_of_the_runs(tmp_path: Path) -> None:
    study = read(tmp_path)
    assert study.corpus == tmp_path / "../data/tiny"
    runs = final_runs(study, tmp_path, choices={"labo": study.methods["labo"].settings()[1]})
    assert [run.name for run in runs] == [
        *(f"smooth/seed-{seed}" for seed in (1, 2, 3)),
        *(f"labo/label_smoothing=0.1,labo_beta=inf/seed-{seed}" for seed in (1, 2, 3)),
    ]
    command = runs[3].train_command()
    assert " ".join(command).endswith(
        "--size small --epochs 4 --criterion labo_cross_entropy --label-smoothing 0.1 "
        "--labo-beta inf --seed 1 -- --dropout 0.3 --lr 1e-3 --dropout 0.2"
    )
    options = parsed(command)
    assert options.save_dir == tmp_path / "runs/labo/label_smoothing=0.1,labo_beta=inf/seed-1"
    assert (options.data, options.subwords) == (study.corpus, None)
    evaluated = runs[0].evaluate_command("test1")
    assert " ".join(evaluated).endswith("--beam 4 --lenpen 0.6 --max-tokens 4000")
    assert parsed(evaluated).subset == "test1"
    average = study.model_copy(update={"evaluate": Evaluation(checkpoint="average5")})
    run = final_runs(average, tmp_path, choices={})[0]
    assert run.evaluate_arguments()[-2:] == ["--average", "5"]


def test_a_folder_of_fairseq_preprocess_is_described_to_the_commands(tmp_path: Path) -> None:
    given = {"subwords": "none", "tokenizer": "moses", "references": {"test": "a", "test1": "b"}}
    run = final_runs(read(tmp_path, **given), tmp_path, choices={})[0]
    trained = parsed(run.train_command())  # which needs both for --best-by bleu
    assert (trained.subwords, trained.tokenizer) == ("none", "moses")
    options = parsed(run.evaluate_command("test"))
    assert (options.subwords, options.tokenizer) == ("none", "moses")
    assert options.references == [f"test={tmp_path}/a", f"test1={tmp_path}/b"]
    # The references are what such a corpus is known by.
    (tmp_path / "a").write_text("one\n", encoding="utf-8")
    own = Given(references={"test": tmp_path / "a"})
    corpus = PreparedCorpus(tmp_path, tmp_path, "own", ("de", "en"), {"test": "test"}, {}, own)
    assert raw_sha256(corpus) == {"test.en": sha256_of(tmp_path / "a")}
    assert (
        run.train_arguments()
        == final_runs(read(tmp_path), tmp_path, choices={})[0].train_arguments()
    )


def test_flags_that_only_fairseq_knows_go_behind_the_dashes(tmp_path: Path) -> None:
    entries = {
        "criterion": "label_smoothed_cross_entropy_with_rdrop",
        "rdrop_alpha": 0.7,
        "label_smoothing": 0.2,
    }
    run = final_runs(read(tmp_path, baseline="r", methods={"r": entries}), tmp_path, choices={})[0]
    before, after = " ".join(run.train_arguments()).split(" -- ")
    assert before.endswith(
        "--criterion label_smoothed_cross_entropy_with_rdrop --label-smoothing 0.2 --seed 1"
    )
    assert after == "--dropout 0.3 --lr 1e-3 --rdrop-alpha 0.7"


def test_switches_are_true_or_false(tmp_path: Path) -> None:
    entries = {"criterion": "labo_cross_entropy", "fused_projection": True}
    run = final_runs(read(tmp_path, baseline="r", methods={"r": entries}), tmp_path, choices={})[0]
    assert parsed(run.train_command()).fused_projection is True


def test_a_teacher_is_the_run_of_the_same_seed(tmp_path: Path) -> None:
    """In the chosen setting of its grid; without a choice there is no run of its students.

    What a config says does not depend on where the runs are.
    """
    tsla = {"criterion": "tsla_cross_entropy"}
    pre = {**tsla, "teacher": "labo", "grid": {"label_smoothing": [0.3, 0.5]}}
    entries = {**CONTENT["methods"], "pre": pre, "last": {**tsla, "teacher": "pre"}}
    study = read(tmp_path, methods=entries)
    labo, chosen = study.methods["labo"].settings()[1], study.methods["pre"].settings()[1]
    assert {run.method for run in search_runs(study, tmp_path)} == {"labo"}
    assert len(search_runs(study, tmp_path, choices={"labo": labo})) == 4 + 2
    assert {run.method for run in final_runs(study, tmp_path, choices={"labo": labo})} == {
        "smooth", "labo",
    }  # fmt: skip
    choices = {"labo": labo, "pre": chosen}
    runs = {run.name: run for run in final_runs(study, tmp_path, choices=choices)}
    run = runs["last/seed-2"]
    assert [each.name for each in run.teachers] == [
        "labo/label_smoothing=0.1,labo_beta=inf/seed-2",
        "pre/label_smoothing=0.5/seed-2",
    ]
    best = f"{tmp_path}/runs/pre/label_smoothing=0.5/seed-2/checkpoint_best.pt"
    assert parsed(run.train_command()).teacher_path == best
    elsewhere = final_runs(study, tmp_path / "elsewhere", choices=choices)
    config = run.config(CORPUS)
    assert config in [each.config(CORPUS) for each in elsewhere]
    assert str(tmp_path) not in json.dumps(config)
    assert f"--teacher-path {best.removeprefix(f'{tmp_path}/')} --seed 2" in " ".join(
        config["train"]
    )
    # A training depends on that of its teacher, and on nothing of it else.
    assert config["teacher"] == runs["pre/label_smoothing=0.5/seed-2"].training()
    assert list(config["teacher"]["teacher"]) == ["method", "setting", "seed", "train"]


def test_the_search_has_every_setting(tmp_path: Path) -> None:
    study = read(tmp_path)
    runs = search_runs(study, tmp_path)
    assert [(setting_name(run.setting), run.seed) for run in runs] == [
        ("label_smoothing=0.1,labo_beta=2", 7),
        ("label_smoothing=0.1,labo_beta=inf", 7),
        ("label_smoothing=0.2,labo_beta=2", 7),
        ("label_smoothing=0.2,labo_beta=inf", 7),
    ]
    # Without a choice nothing with a grid is run for the tests.
    assert {run.method for run in final_runs(study, tmp_path, choices={})} == {"smooth"}


def test_a_flag_of_the_setting_wins(tmp_path: Path) -> None:
    """Over the method's, which wins over the study's."""
    entries = {**CONTENT["methods"]["labo"], "epochs": 4, "label_smoothing": 0.5, "grid": {}}
    study = read(tmp_path, baseline="labo", methods={"labo": entries})
    run = Run(study, "labo", {"label_smoothing": "0.3"}, 1, tmp_path)
    text = " ".join(run.train_arguments())
    assert "--label-smoothing 0.3 " in text and "--epochs 4 " in text
    assert "0.5" not in text and "--epochs 3" not in text


def test_a_folder_belongs_to_one_config(tmp_path: Path) -> None:
    study = make_study()
    run = search_runs(study, tmp_path)[0]
    run.claim(CORPUS)
    run.claim(CORPUS)
    changes = {"train": Training.model_validate({"epochs": 9}), "evaluate": Evaluation(beam=1)}
    other = study.model_copy(update=changes)
    with pytest.raises(UserError, match="found one with another train, evaluate"):
        search_runs(other, tmp_path)[0].claim(CORPUS)
    foreign = search_runs(study, tmp_path)[2]
    foreign.folder.mkdir(parents=True)
    (foreign.folder / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="found other content"):
        foreign.claim(CORPUS)
