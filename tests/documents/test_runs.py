"""The commands of README and docs run: small, on a toy corpus, with what they print looked at."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fairseq_labo.experiments import cli
from tests.conftest import REPOSITORY, TINY_MODEL
from tests.documents import parsers, texts

README = REPOSITORY / "README.md"
EVALUATION = REPOSITORY / "docs" / "evaluation.md"
MARKED = [
    pytest.param(language, code, id=f"{page.name}: {code.strip().splitlines()[-1]}"[:80])
    for page in texts.PAGES
    for marked, language, code in texts.blocks(page.read_text(encoding="utf-8"))
    if marked
]
# Those without a placeholder: R, DIR, FILE, NAME, TASK and the like are the reader's.
LABO = [
    list(words)
    for words in dict.fromkeys(
        tuple(parsers.labo_words(command) or ())
        for page in texts.PAGES
        for command in texts.of_file(page)
        if not parsers.CUT_SHORT.search(command) and not re.search(r"\b[A-Z]+\b", command)
    )
    if len(words) > 2
]
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `labo` in a folder that has the repository's studies and results; what it printed."""
    for name in ("studies", "recipes", "results"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> str:
        status = cli.main(list(map(str, words)))
        printed, said = capfd.readouterr()
        assert status == 0, said
        return printed

    return command


@pytest.mark.slow
@pytest.mark.parametrize("language, code", MARKED)
def test_marked_block_runs(language: str, code: str, run: Run) -> None:
    if language == "python":
        generator = torch.Generator().manual_seed(1)
        hidden, weight = (torch.randn(n, 8, generator=generator) for n in (6, 20))
        target = torch.tensor([3, 1, 4, 1, 5, 9])
        names = {"hidden": hidden, "weight": weight, "target": target}
        names["logits"] = hidden @ weight.T
        exec(code, names)
        if torch.is_tensor(loss := names.get("loss")):
            assert loss.dim() == 0 and loss > 0
    else:
        for command in texts.commands(f"```\n{code}```\n"):
            run(*(parsers.labo_words(command) or ()))


def test_a_block_that_fails_is_noticed(run: Run) -> None:
    with pytest.raises(NameError, match="logitss"):
        test_marked_block_runs("python", "loss = logitss", run)


@pytest.mark.parametrize("words", [each for each in LABO if each[0] == "prepare"], ids=" ".join)
def test_preparation_is_planned(words: list[str], run: Run, tmp_path: Path) -> None:
    """Every `labo prepare`, with --dry-run."""
    if words[1] == "own":  # a text of 60 pairs under each of the names
        for name in re.findall(r"text/\w+", " ".join(words)):
            for language in words[words.index("--pair") + 1].split("-"):
                path = tmp_path / f"{name}.{language}"
                path.parent.mkdir(exist_ok=True)
                path.write_text("".join(f"{name} {n}\n" for n in range(60)), encoding="utf-8")
    assert "stage" in run(*words, "--dry-run")


@pytest.mark.slow
@pytest.mark.parametrize("words", [each for each in LABO if each[0] == "train"], ids=" ".join)
def test_training_is_planned(words: list[str], run: Run, toy_corpus: Path) -> None:
    """Every `labo train`, with --dry-run, on the toy corpus."""
    place = words.index("--") if "--" in words else len(words)
    own = words[:place]
    own[own.index("--data") + 1] = str(toy_corpus)
    assert "fairseq" in run(*own, "--gpus", "0", "--dry-run", *words[place:])


@pytest.mark.slow
def test_the_readme_s_way_from_a_corpus_to_its_scores(
    run: Run, toy_corpus: Path, tmp_path: Path
) -> None:
    """train and evaluate as they stand there, on a toy corpus in the place of the microworld."""
    shutil.copytree(toy_corpus, tmp_path / "data" / "microworld")
    commands = [parsers.labo_words(command) or [""] for command in texts.of_file(README)]
    train, evaluate = (
        next(words for words in commands if words[0] == name and "data/microworld" in words)
        for name in ("train", "evaluate")
    )
    run(*train, "--", *TINY_MODEL, "--max-tokens", "1200", "--max-update", "20")
    printed = run(*evaluate)
    assert "sacreBLEU, detokenized, cased" in printed and "NLL" in printed
    assert (tmp_path / "runs" / "labo" / "test-scores" / "scores.json").is_file()
    (inspect,) = (
        words for words in map(parsers.labo_words, texts.of_file(EVALUATION)) if "--beta" in words
    )
    places = {"DIR": "data/microworld", "FILE": evaluate[-1]}
    assert "LABO β=1.5" in run(*(places.get(word, word) for word in inspect))


# Each program of the documents, and the test (or CI's own step) that runs it whole and small.
RUN_BY = {
    "--criterion": "tests/training/test_entry_points.py",
    "fairseq-generate": "tests/training/test_entry_points.py",
    "fairseq-train": "tests/training/test_entry_points.py",
    "fairseq-hydra-train": "tests/training/test_hydra.py",
    "labo benchmark": "tests/experiments/training/test_benchmark.py",
    "labo compare": "tests/test_wheel.py",
    "labo demo": "tests/experiments/studies/test_demo.py",
    "labo evaluate": "tests/test_wheel.py",
    "labo inspect": "tests/documents/test_runs.py",
    "labo prepare": "tests/test_wheel.py",
    "labo train": "tests/test_wheel.py",
    "labo COMMAND": "tests/scripts/test_shell.py",  # -h
    "data-prep/": "tests/scripts/test_shell.py",
    "make": ".ci/run",
    "pip install": "scripts/test-matrix.sh",
    "pytest": ".ci/run",
    "python -m pytest": ".ci/run",
    "python -m benchmarks.kernels": "tests/benchmarks/test_kernels.py",
    "python -m benchmarks.launches": "tests/benchmarks/test_launches.py",
    "python -m benchmarks.loss": "tests/benchmarks/test_loss.py",
    "python -m benchmarks.preparation": "tests/benchmarks/test_preparation.py",
    "python -m benchmarks.updates": "tests/benchmarks/test_updates.py",
    "python -m microworld": "data-prep/microworld/tests/test_corpus.py",
    "python -m scripts.figure_of_p_star": "tests/documents/test_tables.py",
    "python -m scripts.tables": "tests/documents/test_tables.py",
    "python examples/digits.py": "tests/examples/test_digits.py",
    "scripts/bench_training.sh": "tests/scripts/test_shell.py",
    "scripts/compare.sh": "tests/scripts/test_shell.py",
    "scripts/demo.sh": "tests/scripts/test_shell.py",
    "scripts/evaluate.sh": "tests/scripts/test_shell.py",
    "scripts/gpu-wheels.sh": "tests/scripts/test_gpu_wheels.py",
    "scripts/inspect_labels.sh": "tests/scripts/test_shell.py",
    "scripts/lock.sh": "tests/scripts/test_setup.py",  # what it wrote; it needs the network
    "scripts/setup.sh": ".ci/run",
    "scripts/test-matrix.sh": "tests/scripts/test_matrix.py",
    "scripts/test.sh": ".ci/run",
    "scripts/train.sh": "tests/scripts/test_shell.py",
}


def program(command: str) -> str:
    """The entry of `RUN_BY` that a command belongs to; empty if there is none."""
    return next((name for name in RUN_BY if command.startswith(name)), "")


def test_every_program_of_the_documents_is_run_by_a_test() -> None:
    """Whole and small; with what exactly stands there, where it needs nothing of the reader's."""
    pages = (*texts.PAGES, *texts.STUDIES)
    documented = {command for page in pages for command in texts.of_file(page)}
    assert not [command for command in documented if not program(command)]
    for name, runner in RUN_BY.items() - {("labo COMMAND", "tests/scripts/test_shell.py")}:
        text = (REPOSITORY / runner).read_text(encoding="utf-8")
        words = re.split(r"[ /.-]+", name.removesuffix(".sh").removesuffix(".py").rstrip("/"))
        assert runner == ".ci/run" or words[-1] in text, (name, runner)
    assert program("labo shine --brightly") == ""
