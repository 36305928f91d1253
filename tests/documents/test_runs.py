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
