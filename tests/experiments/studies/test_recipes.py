"""The recipes of LABO's tasks, and the other study files of the repository: what they would run."""

import json
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fairseq import options

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data import prepare as preparation
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.published import PAPER_TASKS, paper_task
from fairseq_labo.experiments.studies.run import Run, final_runs
from fairseq_labo.experiments.studies.study import Study
from fairseq_labo.experiments.studies.study_file import EMBEDDED, read_study
from fairseq_labo.experiments.training.presets import fairseq_arguments
from tests.conftest import REPOSITORY, TRAINING
from tests.experiments.studies.conftest import CORPUS
from tests.training.runs import fairseq_train

RECIPES = REPOSITORY / "recipes"
STUDIES = REPOSITORY / "studies"
FOLDERS = (RECIPES, STUDIES, EMBEDDED)
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.yaml"))]
FINALS = "multi30k-de-en-finals"
# With methods of the finals: on other corpora, with other searches, as teachers.
OF_THE_FINALS = [
    *("multi30k-de-en-beams", "multi30k-de-en-distillation"),
    *("multi30k-en-de-finals", "iwslt14-15k-de-en-finals"),
]
# Of fairseq's recipes, as they are published: flags and values that labo train must pass on.
PUBLISHED = {
    "iwslt": {
        **{"--arch": "transformer_iwslt_de_en", "--lr": "5e-4", "--warmup-updates": "4000"},
        **{"--dropout": "0.3", "--weight-decay": "1e-4", "--max-tokens": "4096"},
        **{"--update-freq": "1", "--best-checkpoint-metric": "bleu"},
    },
    "wmt": {
        **{"--arch": "transformer_wmt_en_de", "--lr": "5e-4", "--warmup-updates": "4000"},
        **{"--dropout": "0.1", "--max-tokens": "4096", "--update-freq": "8"},
    },
}
RDROP = "label_smoothed_cross_entropy_with_rdrop"
COMMON = {
    **{"--optimizer": "adam", "--adam-betas": "(0.9, 0.98)", "--lr-scheduler": "inverse_sqrt"},
}


def prepared_by(study: Study) -> tuple[str, str, str, bool]:
    """Name, languages and whether the dictionary is joined, of the corpus that `prepare:` makes."""
    made = preparation.corpus_of(cli.parse(["prepare", *study.prepare, "--destdir", "x"]))
    return made.name, *made.languages, made.recipe.joined_dictionary


def command_of(run: Run, folder: Path) -> list[str]:
    """What `labo train` would start for a run, on a corpus that looks like the prepared one."""
    name, source, target, joined = prepared_by(run.study)
    (folder / "bin").mkdir()
    manifest = {
        **{"corpus": name, "source_lang": source, "target_lang": target, "splits": {}},
        "joined_dictionary": joined,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    command = run.train_command()
    command[command.index("--data") + 1] = str(folder)
    end = command.index("--") if "--" in command else len(command)
    done = subprocess.run(
        [*command[:end], "--dry-run", *command[end:]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return shlex.split(line)


def test_every_task_of_the_paper_has_a_recipe() -> None:
    assert {path.stem for path in RECIPES.glob("*.yaml")} == set(PAPER_TASKS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_file_is_read_and_says_how_to_run_it(path: Path) -> None:
    study = read_study(path)
    assert study.name == path.stem and study.prepare
    criterions = {method.criterion for method in study.methods.values()}
    compared = {"cross_entropy", "label_smoothed_cross_entropy", "tsla_cross_entropy"}
    compared |= {RDROP} if study.name.endswith("rivals") else set()
    compared |= {"labo_cross_entropy_with_rdrop"} if study.name.endswith("-finals") else set()
    if study.name.endswith("-finals"):  # as in the map, α = 0 is cross entropy
        compared.remove("cross_entropy")
    # These compare LABO with itself: β = inf is label smoothing, α = 0 cross entropy.
    alone = study.name.endswith(("-beta", "-map", "-regime"))
    if study.name not in OF_THE_FINALS:
        assert criterions == {"labo_cross_entropy"} | (set() if alone else compared)
    said = path.read_text(encoding="utf-8")
    shown = study.name if path.parent == EMBEDDED else path.relative_to(REPOSITORY)
    assert f"#   labo compare {shown} --" in said


@pytest.mark.parametrize("name", OF_THE_FINALS)
def test_what_goes_on_with_the_finals_trains_alike(name: str) -> None:
    study, finals = (read_study(STUDIES / f"{each}.yaml") for each in (name, FINALS))
    untaught = {name: method for name, method in study.methods.items() if not method.teacher}
    assert untaught.items() <= finals.methods.items() and "label_smoothing" in untaught
    for entry in ("train", "evaluate", "baseline"):
        assert getattr(study, entry) == getattr(finals, entry)


@pytest.mark.parametrize("name", sorted(PAPER_TASKS))
def test_a_recipe_is_its_task(name: str) -> None:
    study = read_study(RECIPES / f"{name}.yaml")
    corpus, source, target, _ = prepared_by(study)
    task = paper_task(study.paper or "", corpus=corpus, languages=(source, target))
    assert task.name == name
    labo = next(figure for figure in task.figures if figure.method == "LABO")
    assert study.score == labo.convention
    assert labo.score in study.description


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iwslt14.de-en", "wmt14.en-de"])
def test_a_recipe_trains_with_the_published_settings(name: str, tmp_path: Path) -> None:
    study = read_study(RECIPES / f"{name}.yaml")
    runs = final_runs(study, tmp_path / "out", choices={})
    run = next(run for run in runs if run.method == "labo")
    command = command_of(run, tmp_path)
    size = study.train.flags["size"]
    for flag, value in {**PUBLISHED[size], **COMMON}.items():
        # fairseq takes the last of an option that stands there twice.
        assert command[len(command) - command[::-1].index(flag)] == value, flag
    shared = "--share-all-embeddings" if size == "wmt" else "--share-decoder-input-output-embed"
    assert shared in command
    # fairseq's own parser knows every word of it.
    parsed = subprocess.run(
        [sys.executable, "-c", PARSE, *command[command.index("fairseq_cli.train") + 1 :]],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert parsed.returncode == 0, parsed.stderr[-2000:]
    assert json.loads(parsed.stdout.splitlines()[-1]) == ["labo_cross_entropy", 0.1, 4.0]


PARSE = """
import json, sys
from fairseq import options
args = options.parse_args_and_arch(options.get_training_parser())
print(json.dumps([args.criterion, args.label_smoothing, args.labo_beta]))
"""
# What each method of studies/rivals.yaml is, as fairseq's parser sees it: criterion, weight, β,
# prior, end of stage 1, whether it has a teacher, R-Drop's weight.
RIVALS = {
    "cross_entropy": ["cross_entropy", None, None, None, None, False, None],
    "label_smoothing": ["label_smoothed_cross_entropy", 0.1, None, None, None, False, None],
    "unigram": ["labo_cross_entropy", 0.1, math.inf, "unigram", None, False, None],
    "masked": ["labo_cross_entropy", 0.1, math.inf, "target", None, False, None],
    "confidence_penalty": ["labo_cross_entropy", 0.909091, 1.01, "uniform", None, False, None],
    "tsla": ["tsla_cross_entropy", 0.1, None, "uniform", 1, False, None],
    "tsla_pre": ["tsla_cross_entropy", 0.5, None, "uniform", 1, True, None],
    "distillation": ["tsla_cross_entropy", 0.5, None, "uniform", None, True, None],
    "rdrop": [RDROP, 0.1, None, None, None, False, 5.0],
    "labo": ["labo_cross_entropy", 0.1, 2.0, "uniform", None, False, None],
    "labo_unigram": ["labo_cross_entropy", 0.1, 2.0, "unigram", None, False, None],
    "labo_target": ["labo_cross_entropy", 0.1, 2.0, "target", None, False, None],
}


def fairseq_words(run: Run, corpus: PreparedCorpus) -> list[str]:
    """fairseq-train's arguments of a run."""
    return fairseq_arguments(cli.parse(run.train_command()[3:]), corpus)


@pytest.mark.slow
def test_every_rival_is_trained_by_fairseq(tmp_path: Path) -> None:
    """fairseq's own parser knows every word of the commands; a teacher is a run of the study."""
    study = read_study(REPOSITORY / "studies" / "rivals.yaml")
    names = "criterion label_smoothing labo_beta label_prior smoothing_epochs teacher_path"
    of_teacher = str(tmp_path / "runs/cross_entropy/seed-1/checkpoint_best.pt")
    parsed = {}
    for run in final_runs(study, tmp_path, choices={}):
        if run.seed == 1:
            words = fairseq_words(run, CORPUS)
            found = vars(options.parse_args_and_arch(options.get_training_parser(), words))
            parsed[run.method] = [found.get(name) for name in (*names.split(), "rdrop_alpha")]
            parsed[run.method][5] = found.get("teacher_path") == of_teacher
    assert parsed == RIVALS


@pytest.mark.slow
def test_every_rival_learns_something_else(toy_corpus: Path, tmp_path: Path) -> None:
    """Two epochs of a tiny model, in the order of the teachers."""
    study = read_study(REPOSITORY / "studies" / "rivals.yaml")
    runs = [run for run in final_runs(study, tmp_path, choices={}) if run.seed == 1]
    found = {}
    for run in sorted(runs, key=lambda run: len(run.teachers)):
        _, *words = fairseq_words(run, PreparedCorpus.read(toy_corpus))
        tiny = [*TRAINING, "--dropout", "0.1", "--warmup-updates", "10"]
        trained = fairseq_train(toy_corpus / "bin", run.folder, *words, *tiny)
        first, second = trained.logged("train_loss", "train")
        assert second < first, run.method
        assert len(trained.announcements()) == run.method.startswith("tsla")
        values = trained.parameters().values()
        found[run.method] = sum(value.double().sum().item() for value in values)
    assert found.keys() == study.methods.keys()
    assert len(set(found.values())) == len(found)


def test_the_confidence_penalty_of_the_rivals_is_its_limit() -> None:
    """α = w / (w + d) with β = 1 + d and w = 0.1."""
    flags = read_study(REPOSITORY / "studies" / "rivals.yaml").methods["confidence_penalty"].flags
    weight, distance = 0.1, float(flags["labo_beta"]) - 1
    assert float(flags["label_smoothing"]) == pytest.approx(weight / (weight + distance), abs=1e-6)


def test_the_table_has_the_figures_of_the_papers() -> None:
    rows = re.findall(r"^\| `(.+)\.yaml` \|(.*)\|$", (RECIPES / "README.md").read_text(), re.M)
    assert {name for name, _ in rows} == set(PAPER_TASKS)
    for name, row in rows:
        score, convention, smoothing, _ = (cell.strip() for cell in row.split("|"))
        figures = PAPER_TASKS[name].figures
        labo = next(figure for figure in figures if figure.method == "LABO")
        assert (score, convention) == (labo.score, CONVENTIONS[labo.convention].label)
        published = [figure for figure in figures if figure.method == "label smoothing"]
        assert smoothing.partition(" (")[0] == (
            published[0].score if published else "not on record"
        )
