"""``labo inspect`` from end to end, and what it refuses."""

import re
from pathlib import Path

import pytest
import torch

from fairseq_labo.defaults import DEFAULT_ALPHA, DEFAULT_BETA
from fairseq_labo.experiments import cli
from tests.conftest import WORDS


@pytest.mark.slow
def test_a_trained_model_gives_its_words_the_mass(
    trained: Path, toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "ein Hund sieht ein Haus und ein Kind"
    target = " ".join(WORDS[word] for word in source.split())
    command = ["inspect", "--data", toy_corpus, "--checkpoint", trained / "checkpoint_best.pt"]
    command += ["--source", source, "--target", target, "--beta", "1.5", "4", "--cpu"]
    command += ["--top", "3", "--figure", tmp_path / "deep" / "labels.png"]
    assert cli.main(list(map(str, command))) == 0
    printed = capsys.readouterr().out
    assert printed.count("LABO β=1.5") == printed.count("LABO β=4") == 9  # with </s>
    assert f"source     {source}" in printed and "dog" in printed
    for suffix in (".png", ".svg"):
        assert (tmp_path / "deep" / f"labels{suffix}").stat().st_size > 5000


@pytest.mark.slow
def test_numbered_sentences_with_the_defaults(
    trained: Path, toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["inspect", "--data", toy_corpus, "--checkpoint", trained / "checkpoint_best.pt"]
    command += ["--sentences", "5,0", "--cpu", "--figure", tmp_path / "labels.png"]
    assert cli.main(list(map(str, command))) == 0
    printed = capsys.readouterr().out
    assert f"LABO β={DEFAULT_BETA:g}" in printed
    assert f"taught: {1 - DEFAULT_ALPHA:g} on the reference" in printed
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"labels-{n}.{suffix}" for n in (1, 2) for suffix in ("png", "svg")}


@pytest.mark.slow
def test_priors_side_by_side(
    trained: Path, toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those asked for; else the uniform one, and that of the checkpoint's training."""
    state = torch.load(trained / "checkpoint_best.pt", weights_only=True)
    state["cfg"]["criterion"]["label_prior"] = "target"
    torch.save(state, tmp_path / "checkpoint_best.pt")
    command = ["inspect", "--data", str(toy_corpus), "--cpu", "--checkpoint"]
    command += [str(tmp_path / "checkpoint_best.pt")]
    assert cli.main([*command, "--figure", str(tmp_path / "labels.of.0.5")]) == 0
    assert (tmp_path / "labels.of.0.5.png").exists() and (tmp_path / "labels.of.0.5.svg").exists()
    printed = capsys.readouterr().out
    beta = f"β={DEFAULT_BETA:g}"
    for name in ("masked label smoothing", f"LABO {beta} ", f"LABO {beta}, target prior"):
        tokens = printed.count("label smoothing") // 2
        assert printed.count(name) == tokens > 3, name
    assert "unigram" not in printed
    assert cli.main([*command, "--prior", "unigram", "unigram", "--beta", "2"]) == 0
    printed = capsys.readouterr().out
    assert "masked" not in printed and "LABO β=2 " not in printed
    assert printed.count("unigram smoothing") == printed.count("LABO β=2, unigram prior") > 3
    with pytest.raises(SystemExit):
        cli.main([*command, "--prior", "bigram"])
    assert "invalid choice: 'bigram'" in capsys.readouterr().err
    state["cfg"]["criterion"]["label_prior"] = "bigram"
    torch.save(state, tmp_path / "checkpoint_best.pt")
    assert cli.main(command) == 1
    assert "--label-prior: expected one of uniform, unigram, target, found" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--source", "x"], "a --target for each --source, found 1 and 0"),
        (["--source", "x", "--target", "y", "--sentences", "1"], "found both"),
        (["--subset", "test7"], "expected a subset among train, valid, test, found 'test7'"),
        (["--figure", "."], "--figure: expected the name of a file, found \\."),
        (["--beta", "2", "0"], "--beta: expected a number above 0, found '0'"),
        (["--beta", "nan"], "--beta: expected a number above 0, found 'nan'"),
        (["--top", "0"], "--top: expected a whole number of at least 1, found '0'"),
        (["--label-smoothing", "1.5"], "--label-smoothing: expected a number of at least 0"),
        ([], "none.pt: expected a checkpoint of fairseq, found no file"),
    ],
)
def test_refusals(
    options: list[str], match: str, toy_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["inspect", "--data", str(toy_corpus), "--checkpoint", "none.pt", *options]
    assert cli.main(command) == 1
    assert re.search(match, capsys.readouterr().err)


def test_wrong_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        cli.main(["inspect", "--data", "d", "--checkpoint", "c", "--sentences", "a"])
    assert error.value.code == 2
    assert "expected numbers like 0,5,7, found 'a'" in capsys.readouterr().err
