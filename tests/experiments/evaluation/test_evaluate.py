"""``labo evaluate`` from end to end on a tiny model, and what it refuses."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.prepared import Given, PreparedCorpus, given_by
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import evaluate
from fairseq_labo.experiments.evaluation.bleu import Texts, score_text
from fairseq_labo.experiments.evaluation.generation import binarized_references
from fairseq_labo.experiments.files import read_lines
from tests.conftest import REPOSITORY, run_fairseq


def words(data: Path, checkpoint: Path, *options: object) -> list[str]:
    """A command line of ``labo evaluate``, on the CPU."""
    given = ["--data", data, "--checkpoint", checkpoint, "--cpu", *options]
    return ["evaluate", *map(str, given)]


def scores_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def evaluated(trained: Path, toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of evaluating the best checkpoint; the checkpoint's folder is read only."""
    output = tmp_path_factory.mktemp("evaluated")
    assert cli.main(words(toy_corpus, trained / "checkpoint_best.pt", "--output", output)) == 0
    return output


@pytest.fixture(scope="module")
def bare(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fairseq-preprocess alone would have left of the toy corpus."""
    return shutil.copytree(toy_corpus / "bin", tmp_path_factory.mktemp("bare") / "data")


@pytest.mark.slow
def test_tokenized_bleu_is_the_one_fairseq_generate_prints(evaluated: Path) -> None:
    log = (evaluated / "generate.log").read_text(encoding="utf-8")
    (printed,) = re.findall(r"BLEU4 = ([\d.]+)", log)
    assert scores_in(evaluated)["bleu_tokenized"]["score"] == pytest.approx(float(printed))
    assert float(printed) > 30


@pytest.mark.slow
def test_files_are_in_the_test_sets_order(evaluated: Path, toy_corpus: Path) -> None:
    targets = list(read_lines(evaluated / "ref.tok.en"))
    assert targets == list(read_lines(toy_corpus / "tok" / "test.en"))
    corpus = PreparedCorpus.read(toy_corpus)
    assert targets == binarized_references(corpus, "test", 77)
    hypotheses = list(read_lines(evaluated / "hyp.en"))
    tokens = list(read_lines(evaluated / "hyp.tok.en"))
    assert len(hypotheses) == 77
    references = list(read_lines(toy_corpus / "raw" / "test.en"))
    report = scores_in(evaluated)
    again = score_text(Texts(hypotheses, references, tokens, targets), language="en")
    assert {name: report[name] for name in again} == again
    assert report["ceiling"] == {"bleu": 100.0, "bleu_lowercase": 100.0}
    assert report["lowercase_output"] is False and report["skipped"] == []
    subset = {key: report["subset"][key] for key in ("name", "release_name", "sentences")}
    assert subset == {"name": "test", "release_name": "test", "sentences": 77}
    assert {path.suffix for path in evaluated.iterdir()} == {"", ".json", ".log", ".txt", ".en"}
    generation = {"beam": 5, "lenpen": 1.0, "max_tokens": 4000, "extra": []}
    assert {key: report["generation"][key] for key in generation} == generation
    assert report["checkpoint"]["path"] == "checkpoint_best.pt"


@pytest.mark.slow
def test_nll_is_that_of_fairseq_validate(evaluated: Path, trained: Path, toy_corpus: Path) -> None:
    output = run_fairseq(
        "validate",
        *(toy_corpus / "bin", "--user-dir", REPOSITORY / "fairseq_labo", "--task", "translation"),
        *("--path", trained / "checkpoint_best.pt", "--valid-subset", "test", "--cpu"),
        *("--required-batch-size-multiple", 1, "--max-tokens", 500, "--log-format", "json"),
    ).stdout
    (theirs,) = re.findall(r'"test_nll_loss": "([\d.]+)"', output)
    report = scores_in(evaluated)
    assert report["nll"]["score"] == pytest.approx(float(theirs), abs=6e-4)
    tokens = sum(len(line.split()) + 1 for line in read_lines(toy_corpus / "bpe" / "test.en"))
    assert report["calibration"]["tokens"] == tokens
    assert sum(each["tokens"] for each in report["calibration"]["bins"]) == tokens


@pytest.mark.slow
def test_average_through_the_shell(trained: Path, toy_corpus: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            REPOSITORY / "scripts" / "evaluate.sh",
            *words(toy_corpus, trained, "--average", 2, "--output", tmp_path, "--beam", 2)[1:],
            *("--subset", "valid", "--", "--nbest", "1"),
        ],
        capture_output=True,
        text=True,
        env={"VENV": sys.prefix, "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    report = scores_in(tmp_path)
    newest = sorted(trained.glob("checkpoint_*_*.pt"), key=lambda path: path.stat().st_mtime)[-2:]
    assert report["checkpoint"]["averaged_from"] == [path.name for path in newest]
    assert report["subset"]["name"] == "valid" and report["generation"]["beam"] == 2
    assert report["generation"]["extra"] == ["--nbest", "1"]
    models = [torch.load(path, weights_only=True)["model"] for path in newest]
    averaged = torch.load(tmp_path / "averaged.pt", weights_only=True)["model"]
    for name, tensor in averaged.items():
        exact = sum(model[name].double() for model in models) / 2
        assert torch.equal(tensor, exact.to(tensor.dtype)), name
    assert re.search(r"sacreBLEU, detokenized, cased +\d+\.\d\d +\d+\.\d\d +nrefs:1", done.stdout)
    assert "ECE" in done.stdout and "translated 80 of 80 sentences" in done.stderr
    assert "+ " in done.stderr and "--nbest 1" in done.stderr


@pytest.mark.slow
def test_a_folder_of_fairseq_preprocess_scores_the_same(
    evaluated: Path, bare: Path, trained: Path, toy_corpus: Path, tmp_path: Path
) -> None:
    flags = ["--subwords", "subword-nmt", "--tokenizer", "moses"]
    flags += ["--references", str(toy_corpus / "raw" / "test.en"), "--output", str(tmp_path)]
    assert cli.main(words(bare, trained / "checkpoint_best.pt", *flags)) == 0
    ours, theirs = scores_in(tmp_path), scores_in(evaluated)
    for name in ("bleu", "bleu_lowercase", "bleu_tokenized", "chrf", "nll", "calibration"):
        assert ours[name] == theirs[name], name
    assert ours["corpus"] == "data" and ours["subset"]["sentences"] == 77


@pytest.mark.slow
def test_without_a_tokenizer_and_subwords(
    bare: Path, trained: Path, toy_corpus: Path, tmp_path: Path
) -> None:
    """The subwords themselves as text: hypotheses are neither joined nor detokenized."""
    flags = ["--subwords", "none", "--tokenizer", "none", "--output", str(tmp_path)]
    flags += ["--references", f"test={toy_corpus / 'bpe' / 'test.en'}", "--beam", "1"]
    assert cli.main(words(bare, trained / "checkpoint_best.pt", *flags)) == 0
    tokens = (tmp_path / "hyp.tok.en").read_text(encoding="utf-8")
    assert (tmp_path / "hyp.en").read_text(encoding="utf-8") == tokens
    bpe = (toy_corpus / "bpe" / "test.en").read_text(encoding="utf-8")
    assert (tmp_path / "ref.tok.en").read_text(encoding="utf-8") == bpe
    assert scores_in(tmp_path)["bleu"]["label"] == "sacreBLEU, text as the corpus has it, cased"


@pytest.mark.parametrize("tokenizer", ["moses", "none"])
def test_labels_claim_no_detokenizing_that_was_not_done(tokenizer: str) -> None:
    """The text may be tokens: then sacreBLEU's 13a parts what is parted."""
    folder = Path("nowhere")
    given = Given(tokenizer=tokenizer)
    corpus = PreparedCorpus(folder, folder, "own", ("de", "en"), {}, {}, given)
    texts = Texts(*[["a dog , a tree ."]] * 4)
    scores = evaluate.score(argparse.Namespace(comet=None), corpus, texts, sources=[])
    said = {"moses": "detokenized", "none": "text as the corpus has it"}[tokenizer]
    assert scores["bleu"]["label"] == f"sacreBLEU, {said}, cased"
    assert scores["chrf"]["label"] == f"chrF, {said}, cased"
    assert scores["bleu_tokenized"]["label"] == "BLEU of tokens (fairseq-score)"


@pytest.mark.parametrize(
    ("missing", "match"),
    [
        ("--references", r"give --references test=FILE \(raw en"),
        ("--subwords", "expected --subwords"),
        ("--tokenizer", "expected --tokenizer"),
    ],
)
def test_a_missing_flag_is_named(
    missing: str, match: str, bare: Path, toy_corpus: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    flags = {"--subwords": "subword-nmt", "--tokenizer": "moses"}
    flags["--references"] = str(toy_corpus / "raw" / "test.en")
    del flags[missing]
    given = [word for flag in flags.items() for word in flag]
    assert cli.main(words(bare, tmp_path / "none.pt", *given)) == 1
    assert re.search(match, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"--references": "valid.en"}, "sentence 0: expected the raw reference"),
        ({"--subwords": "sentencepiece"}, "subwords were not joined as they should be"),
    ],
)
def test_a_wrong_flag_is_told_before_the_translation(
    change: dict[str, str], match: str, bare: Path, toy_corpus: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It was told after it, which may take hours; here there is not even a checkpoint."""
    flags = {"--subwords": "subword-nmt", "--tokenizer": "moses", "--references": "test.en"}
    flags |= change
    lines = (toy_corpus / "raw" / flags["--references"]).read_text(encoding="utf-8").splitlines()
    references = tmp_path / "references"
    references.write_text("".join(f"{line}\n" for line in lines[:77]), encoding="utf-8")
    given = [word for flag in (flags | {"--references": str(references)}).items() for word in flag]
    assert cli.main(words(bare, tmp_path / "none.pt", *given)) == 1
    assert match in capsys.readouterr().err


def test_raw_sources_for_comet(
    bare: Path, toy_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate.comet, "check_comet", lambda model: None)
    raw = toy_corpus / "raw"
    flags = ["--subwords", "subword-nmt", "--tokenizer", "moses", "--comet", "model.ckpt"]
    flags += ["--references", str(raw / "test.en")]

    def sources(data: Path, *more: object) -> list[str]:
        options = cli.parse(words(data, tmp_path, *flags, *more))
        corpus = PreparedCorpus.read(data, given_by(options))
        return list(evaluate.check(options, corpus)[1])

    expected = list(read_lines(raw / "test.de"))
    assert sources(bare, "--sources", raw / "test.de") == expected
    with pytest.raises(UserError, match=r"expected 77 raw sources .* found 0; give --sources"):
        sources(bare)
    with pytest.raises(UserError, match="found 80; give --sources"):
        sources(bare, "--sources", raw / "valid.de")
    alone = [each for each in flags if each not in ("--comet", "model.ckpt")]
    options = cli.parse(words(bare, tmp_path, *alone, "--sources", raw / "test.de"))
    with pytest.raises(UserError, match="--sources: expected with --comet"):
        evaluate.check(options, PreparedCorpus.read(bare, given_by(options)))
    flags = ["--comet", "model.ckpt"]
    assert sources(toy_corpus) == expected


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--paper", "wmt14.en-de"], "expected a corpus wmt14, en-de, found toy de-en"),
        (["--subset", "test7"], "expected a subset among train, valid, test, found 'test7'"),
        (
            ["--checkpoint", "nowhere.pt"],
            "nowhere.pt: expected a checkpoint .* found no file",
        ),
        (["--beam", "0"], "--beam: expected a whole number of at least 1, .*, found '0'"),
        (["--beam", "x"], "--beam: expected a whole number of at least 1, .*, found 'x'"),
        (["--max-tokens", "0"], "--max-tokens: expected a whole number of at least 1, found '0'"),
        (["--lenpen", "nan"], "--lenpen: expected a number of at least -100, at most 100"),
        (["--lenpen=-inf"], "--lenpen: expected a number of at least -100, at most 100"),
        (["--average", "0"], "--average: expected a whole number of at least 1, found '0'"),
        (
            ["--checkpoint", "no/where.pt", "--average", "1"],
            "--average, a folder .* no folder no;",
        ),
        (["--average", "9"], "expected 9 numbered checkpoints .* found 1"),
        (["--comet", "model.ckpt"], "expected the package unbabel-comet, found none"),
        (["--data", "nowhere"], "expected a prepared corpus in nowhere"),
        (["--", "--path", "x"], "--path: expected it as --checkpoint"),
    ],
)
def test_refusals(
    options: list[str],
    match: str,
    toy_corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "checkpoint1.pt").touch()
    given = words(toy_corpus, tmp_path, "--output", tmp_path / "out", *options)
    assert cli.main(given) == 1
    assert re.search(match, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--bea", "5"], "unrecognized arguments: --bea 5"),
        (["--paper", "wmt99.en-de"], "invalid choice: 'wmt99.en-de'"),
    ],
)
def test_wrong_flags(options: list[str], match: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        cli.main(words(Path("data"), Path("model.pt"), *options))
    assert error.value.code == 2
    assert match in capsys.readouterr().err


def test_defaults() -> None:
    options = cli.parse(["evaluate", "--data", "d", "--checkpoint", "f/c.pt", "--", "--nbest", "2"])
    assert evaluate.output_folder(options) == Path("f/test-scores")
    assert (options.beam, options.lenpen, options.max_tokens) == (5, 1.0, 4000)
    assert options.passed_on == ["--nbest", "2"] and not options.cpu
    options = cli.parse(words(Path("d"), Path("f/c.pt"), "--average", 3, "--subset", "valid"))
    assert evaluate.output_folder(options) == Path("f/valid-average3-scores")


def test_help_loads_no_library() -> None:
    """Described without torch, fairseq, sacreBLEU or sacremoses of their own accord."""
    program = (
        "import sys, types\n"
        "for name in ('torch', 'fairseq', 'sacrebleu', 'sacremoses', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "package = types.ModuleType('fairseq_labo')\n"
        f"package.__path__ = [{str(REPOSITORY / 'fairseq_labo')!r}]\n"
        f"package.__file__ = {str(REPOSITORY / 'fairseq_labo' / '__init__.py')!r}\n"
        "sys.modules['fairseq_labo'] = package\n"
        "from fairseq_labo.experiments import cli\n"
        "print(len(cli.parser_of('evaluate').format_help()))\n"
        "print(len(cli.parser_of('inspect').format_help()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
