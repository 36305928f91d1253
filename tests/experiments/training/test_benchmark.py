"""Whole training: speed and memory, from a training that only pretends."""

import json
import re
import sys
from pathlib import Path

import pytest

from fairseq_labo.experiments.cli import parse
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked
from fairseq_labo.experiments.training import benchmark
from fairseq_labo.experiments.training.flags import value_of

FAKE_TRAIN = """
import json, pathlib, sys
words = dict(zip(sys.argv[1:], sys.argv[2:]))
folder, criterion = pathlib.Path(words["--save-dir"]), words["--criterion"]
speed = {"lab": 1000, "tsl": 500}[criterion[:3]] + 500 * criterion.startswith("labo")
report = 'x | INFO | train_inner | {"epoch": 1, "loss": "3", "wpb": "9", "wps": "%s", "num_updates": "%s"}'
lines = [report % pair for pair in ((1, 5), (speed, 10), (speed, 15))]
(folder / "train.log").write_text("\\n".join(lines) + "\\n")
peak = {"seconds": 1, "peak_memory_mib": 120 if criterion.startswith("labo") else 60}
(folder / "resources.json").write_text(json.dumps(peak))
"""  # noqa: E501


def benchmark_(folder: Path, *options: str) -> Path:
    """Run the command on a folder that looks like a corpus; the file of the results."""
    (folder / "bin").mkdir(exist_ok=True)
    manifest = {"corpus": "c", "source_lang": "de", "target_lang": "en", "splits": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    output = folder / "results" / "training.json"
    words = ["--data", str(folder), "--updates", "15", "--repeats", "2", "--output", str(output)]
    benchmark.run(parse(["benchmark", *words, *options]))
    return output


def test_training_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "TRAIN", [sys.executable, "-c", FAKE_TRAIN])
    results = json.loads(benchmark_(tmp_path).read_text("utf-8"))
    names = [run["name"] for run in results["runs"]]
    variants = benchmark.variants(15)
    assert names[:5] == names[:4:-1] == list(variants)
    fused = [name for name, flags in variants.items() if "--fused-projection" in flags]
    assert fused == ["labo_cross_entropy fused", "tsla_cross_entropy fused"]
    ratios = results["words_per_second_ratio"]
    assert ratios["labo_cross_entropy"] == pytest.approx(1.5)  # the first interval is left out
    assert ratios["tsla_cross_entropy"] == pytest.approx(0.5)
    memory = {name: each["peak_resident_mib"] for name, each in results["medians"].items()}
    assert memory["labo_cross_entropy"] == 120 and memory["tsla_cross_entropy"] == 60
    assert results["settings"]["max_tokens"] == 2000 and results["settings"]["size"] == "small"
    assert re.search(
        r"^labo_cross_entropy  +1500\.0 +120\.0 +1\.50x$", capsys.readouterr().out, re.M
    )
    fails = [sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"]
    monkeypatch.setattr(benchmark, "TRAIN", fails)
    with pytest.raises(UserError, match=r"exit status 3\nwhy"):
        benchmark_(tmp_path)


def test_the_log_of_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = f"{FAKE_TRAIN}\nsys.exit(f'the whole log: {{folder}}/train.log')"
    monkeypatch.setattr(benchmark, "TRAIN", [sys.executable, "-c", fails])
    kept = tmp_path / "results" / "training.train.log"
    with pytest.raises(UserError, match=f"the whole log: {kept}$"):
        benchmark_(tmp_path)
    assert "train_inner" in kept.read_text("utf-8")


def test_the_command_of_a_training(tmp_path: Path) -> None:
    """labo train takes it, and fairseq gets what the benchmark asks for."""
    options = parse(["benchmark", "--data", str(tmp_path), "--updates", "30", "--size", "iwslt"])
    for name, flags in benchmark.variants(30).items():
        words = benchmark.command(flags, options, tmp_path / "run")
        assert words[:3] == [sys.executable, "-m", "fairseq_labo.experiments.cli"]
        train = parse(words[3:])
        assert (train.size, train.epochs, train.criterion) == (
            *("iwslt", 100000, name.removesuffix(" fused")),
        )
        assert train.fused_projection == (True if name.endswith("fused") else None)
        assert value_of("--max-update", train.passed_on) == "30"
        assert value_of("--log-interval", train.passed_on) == "3"
        assert value_of("--max-tokens", train.passed_on) == "2000"


@pytest.mark.slow
def test_a_real_training_is_measured(toy_corpus: Path, tmp_path: Path) -> None:
    options = parse(["benchmark", "--data", str(toy_corpus), "--updates", "4"])
    flags = benchmark.variants(4)["labo_cross_entropy fused"]
    words = benchmark.command(flags, options, tmp_path)
    measured = benchmark.train_once(words, tmp_path)
    assert measured["words_per_second"] > 0 and measured["peak_resident_mib"] > 100


def test_training_without_reports_of_speed(tmp_path: Path) -> None:
    report = {"num_updates": "5", "wps": "0", "wpb": "100"}
    with pytest.raises(UserError, match="expected two or more reports of speed, found 1 reports"):
        benchmark.words_per_second([report], log=tmp_path / "train.log")


@pytest.mark.parametrize(
    ("flag", "value", "wanted"), [("updates", "1", "at least 2"), ("repeats", "0", "at least 1")]
)
def test_too_few(flag: str, value: str, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--{flag}: expected a whole number of {wanted}, found"):
        parse(["benchmark", "--data", str(tmp_path), f"--{flag}", value])


def test_a_folder_that_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a prepared corpus"):
        benchmark.run(parse(["benchmark", "--data", str(tmp_path)]))


def test_an_output_that_cannot_be_written_is_found_before_the_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "TRAIN", ["/nothing/is/started"])
    (tmp_path / "file").touch()
    for output, message in (
        (tmp_path, "--output: expected a file, found a folder"),
        (tmp_path / "file" / "x", "expected a folder, found a file"),
    ):
        with pytest.raises(UserError, match=message):
            benchmark_(tmp_path, "--output", str(output))


def test_one_benchmark_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "TRAIN", ["/nothing/is/started"])
    with (
        locked(tmp_path / "results", name=".training.json.lock"),
        pytest.raises(UserError, match="expected to be alone in this folder"),
    ):
        benchmark_(tmp_path)
