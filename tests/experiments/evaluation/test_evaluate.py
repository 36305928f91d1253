"""scripts/evaluate.sh from end to end on a tiny model, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import comet, evaluate
from fairseq_labo.experiments.evaluation import hypotheses as scoring
from fairseq_labo.experiments.evaluation.hypotheses import Corpus, check_references, read_texts
from fairseq_labo.experiments.files import read_lines
from tests.conftest import REPOSITORY, run_fairseq


@pytest.fixture(scope="module")
def evaluated(trained: Path, toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of evaluating the best checkpoint; the checkpoint's folder is read only."""
    output = tmp_path_factory.mktemp("evaluated")
    evaluate.main(
        [
            *("--data", str(toy_corpus), "--checkpoint", str(trained / "checkpoint_best.pt")),
            *("--output", str(output), "--cpu"),
        ]
    )
    return output


def scores_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text(encoding="utf-8"))


def test_tokenized_bleu_is_the_one_fairseq_generate_prints(evaluated: Path) -> None:
    log = (evaluated / "generate.log").read_text(encoding="utf-8")
    (printed,) = re.findall(r"BLEU4 = ([\d.]+)", log)
    assert scores_in(evaluated)["bleu_tokenized"]["score"] == pytest.approx(float(printed))
    assert float(printed) > 30


def test_files_are_in_the_test_sets_order(evaluated: Path, toy_corpus: Path) -> None:
    assert list(read_lines(evaluated / "ref.tok.en")) == list(
        read_lines(toy_corpus / "tok" / "test.en")
    )
    hypotheses = list(read_lines(evaluated / "hyp.en"))
    assert len(hypotheses) == 77
    report = scores_in(evaluated)
    again = scoring.score(hypotheses, list(read_lines(toy_corpus / "raw" / "test.en")))
    assert report["bleu"]["score"] == again["bleu"]["score"]
    assert report["lowercase_output"] is False
    assert report["subset"]["sentences"] == 77 and report["generation"]["beam"] == 5
    assert report["checkpoint"]["path"] == "checkpoint_best.pt"


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


def test_average_through_the_shell(trained: Path, toy_corpus: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(REPOSITORY / "scripts" / "evaluate.sh", "--data", toy_corpus, "--cpu"),
            *("--checkpoint", trained, "--average", "2", "--output", tmp_path, "--beam", "2"),
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
    models = [torch.load(path, weights_only=True)["model"] for path in newest]
    averaged = torch.load(tmp_path / "averaged.pt", weights_only=True)["model"]
    for name, tensor in averaged.items():
        exact = sum(model[name].double() for model in models) / 2
        assert torch.equal(tensor, exact.to(tensor.dtype)), name
    assert re.search(r"sacreBLEU, detokenized, cased +\d+\.\d\d +nrefs:1", done.stdout)
    assert "ECE" in done.stdout and "translated 80 of 80 sentences" in done.stderr
    assert "+ " in done.stderr and "--nbest 1" in done.stderr


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--paper", "wmt14.en-de"], "expected a corpus wmt14, en-de, found toy de-en"),
        (["--subset", "test7"], "expected a subset among train, valid, test, found 'test7'"),
        (["--checkpoint", "nowhere.pt"], "expected a checkpoint at nowhere.pt, found none"),
        (["--average", "9"], "expected 9 numbered checkpoints .* found 3"),
        (["--comet", "model.ckpt"], "expected the package unbabel-comet, found none"),
        (["--beam", "x"], "invalid int value: 'x'; see scripts/evaluate.sh -h"),
        (["--bea", "5"], "unrecognized arguments: --bea 5"),
    ],
)
def test_refusals(
    options: list[str], match: str, trained: Path, toy_corpus: Path, tmp_path: Path
) -> None:
    arguments = ["--data", str(toy_corpus), "--checkpoint", str(trained / "checkpoint_best.pt")]
    with pytest.raises(UserError, match=match):
        evaluate.main([*arguments, "--output", str(tmp_path / "out"), *options])
    assert not (tmp_path / "out" / "scores.json").exists()


def test_a_failing_generation_shows_its_end(
    trained: Path, toy_corpus: Path, tmp_path: Path
) -> None:
    arguments = ["--data", str(toy_corpus), "--checkpoint", str(trained / "checkpoint_best.pt")]
    (tmp_path / "scores.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)fairseq-generate failed.*--nonsense"):
        evaluate.main([*arguments, "--output", str(tmp_path), "--", "--nonsense"])
    assert not (tmp_path / "scores.json").exists()  # no old result beside new output


def test_changed_references_are_refused(evaluated: Path, toy_corpus: Path, tmp_path: Path) -> None:
    changed = tmp_path / "toy"
    shutil.copytree(toy_corpus, changed)
    path = changed / "raw" / "test.en"
    path.write_text(path.read_text(encoding="utf-8").replace("dog", "cat", 1), encoding="utf-8")
    with pytest.raises(UserError, match="expected the text that the corpus was prepared from"):
        Corpus.read(changed).raw("test", "en")
    # Without a recorded hash the binarized references tell.
    manifest = json.loads((changed / "manifest.json").read_text(encoding="utf-8"))
    del manifest["raw_sha256"]
    corpus = Corpus(changed, manifest)
    with pytest.raises(UserError, match=r"found .* in the binarized data"):
        read_texts(evaluated / "generate-test.txt", corpus, subset="test", allow_empty=False)


def test_references_differ_in_letters_only_if_they_differ() -> None:
    raw = ["Caf\u00e9's \u201cTest\u201d, 3.5%!", "unknown words"]
    tokens = ["caf\u00e9 &apos;s \u201c test \u201d , 3.5 % !", "<<unk>> words"]
    check_references(raw, tokens, language="en")
    with pytest.raises(UserError, match="sentence 0"):
        check_references(raw, ["caf\u00e9 &apos;s test , 3.6 %", ""], language="en")


@pytest.mark.parametrize("allow_empty", [True, False])
def test_empty_hypotheses(
    allow_empty: bool, evaluated: Path, toy_corpus: Path, tmp_path: Path
) -> None:
    text = (evaluated / "generate-test.txt").read_text(encoding="utf-8")
    log = tmp_path / "generate-test.txt"
    log.write_text(re.sub(r"(?m)^(D-4\t[^\t]*\t).*$", r"\1", text), encoding="utf-8")
    corpus = Corpus.read(toy_corpus)
    if allow_empty:
        texts = read_texts(log, corpus, subset="test", allow_empty=True)
        assert texts.hypotheses[4] == "" and len(texts.hypotheses) == 77
    else:
        with pytest.raises(UserError, match=r"found 1 empty \(the first: number 4\)"):
            read_texts(log, corpus, subset="test", allow_empty=False)


def test_lowercase_output_is_told() -> None:
    assert evaluate.has_capitals("der Hund") and not evaluate.has_capitals("der hund, 3 %")
    report = {"bleu": {"label": "x", "signature": "y", "score": 1.0}, "lowercase_output": True}
    assert "The output has no capitals" in evaluate.human_table(report)[-1]
    assert len(evaluate.human_table({**report, "lowercase_output": False})) == 2


def test_comet_needs_a_local_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comet.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(UserError, match="nothing is downloaded here"):
        comet.check_comet(tmp_path / "model.ckpt")
