"""`labo train` as one runs it: what it starts, what it says, what it leaves alone.

There is no GPU here: a fake nvidia-smi shows some, and a fake fairseq tells what torchrun set.
"""

import importlib.util
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

# (importing the plugin also lets torch.load read checkpoints)
from fairseq_labo.criterions.labo_cross_entropy import LaboCrossEntropyConfig
from fairseq_labo.experiments.cli import main, parser_of
from fairseq_labo.experiments.training import train
from fairseq_labo.experiments.training.launch_plan import free_port
from tests.conftest import REPOSITORY, TINY_MODEL, USER_DIR, reports
from tests.experiments.training.test_inquiry import PLUGIN

SCRIPT = REPOSITORY / "scripts" / "train.sh"
OPTIONS = [*TINY_MODEL, "--max-tokens", "1200", "--max-update", "4", "--log-interval", "1"]
FAKE_FAIRSEQ = """
import os, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
words = ["WARNING", *(os.environ[name] for name in names), *sys.argv[-2:]]
os.write(1, (" ".join(words) + "\\n").encode())  # at once: workers share the output
"""


def environment(**more: str) -> dict[str, str]:
    """Without what a cluster may have set."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    return {**kept, "VENV": sys.prefix, "OMP_NUM_THREADS": "1", **more}


def train_sh(data: Path, save_dir: Path, *options: object, **more: str) -> tuple[str, str]:
    """What it printed on standard output and on standard error."""
    done = subprocess.run(
        [SCRIPT, "--data", data, "--save-dir", save_dir, *map(str, options)],
        capture_output=True,
        text=True,
        cwd="/",
        env=environment(**more),
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def show_gpus(folder: Path, count: int) -> str:
    """A PATH with an nvidia-smi that lists so many GPUs."""
    lines = "".join(f"echo 'GPU {number}: NVIDIA H100'\n" for number in range(count))
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{lines}", encoding="utf-8")
    (folder / "nvidia-smi").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def dry_run(*words: object, monkeypatch: pytest.MonkeyPatch, path: str = "/nowhere") -> int:
    """labo train in this process, as where no cluster and no GPU is, unless `path` has some."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", path)
    return main(["train", *map(str, words)])


def blocks() -> list[tuple[str, str]]:
    """What scripts/train.sh of version 0.1 printed: its arguments, and the command it made."""
    lines = (Path(__file__).parent / "old_commands.txt").read_text(encoding="utf-8").splitlines()
    return list(zip(lines[::2], lines[1::2], strict=True))


@pytest.mark.parametrize(("flags", "expected"), blocks())
def test_the_commands_of_before(
    flags: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Word for word; but every size validates on every sentence, not small alone, and BLEU is of
    text that is detokenized by the target's rules.
    """
    monkeypatch.chdir(tmp_path)
    languages = {"corpus": "c", "source_lang": "de", "target_lang": "en", "splits": {}}
    for name, more in (
        ("joined", {}),
        ("separate", {"joined_dictionary": False}),
        ("piece", {"source_lang": "fr", "subwords": "sentencepiece"}),
    ):
        (tmp_path / name / "bin").mkdir(parents=True)
        manifest = json.dumps({**languages, **more})
        (tmp_path / name / "manifest.json").write_text(manifest, encoding="utf-8")
    assert dry_run(*shlex.split(flags)[2:], monkeypatch=monkeypatch) == 0
    wanted = shlex.split(expected)
    if "--required-batch-size-multiple" not in wanted:
        place = wanted.index("--optimizer")
        wanted[place:place] = ["--required-batch-size-multiple", "1"]
    if "--eval-bleu-detok" in wanted:
        place = wanted.index("--eval-bleu-remove-bpe")
        wanted[place:place] = ["--eval-bleu-detok-args", '{"target_lang": "en"}']
    wanted = [{"PYTHON": sys.executable, "USER_DIR": str(USER_DIR)}.get(w, w) for w in wanted]
    assert shlex.split(capsys.readouterr().out) == wanted


def test_dry_run_with_four_gpus(
    toy_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command, as one would type it; nothing is made or run."""
    save_dir = tmp_path / "save dir"
    options = ["--criterion", "tsla_cross_entropy", "--epochs", 7, "--dry-run", "--", "--fp16"]
    path = show_gpus(tmp_path, 4)
    words = ["--data", toy_corpus, "--save-dir", save_dir, *options]
    assert dry_run(*words, monkeypatch=monkeypatch, path=path) == 0
    (line,) = capsys.readouterr().out.splitlines()
    python, *command = shlex.split(line)
    assert Path(python).samefile(sys.executable)
    assert command[:4] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    assert command[4:7] == ["4", "-m", "fairseq_cli.train"]
    flags = dict(itertools.pairwise(command))
    assert flags["--save-dir"] == str(save_dir)
    assert (flags["--smoothing-epochs"], flags["--max-epoch"]) == ("4", "7")
    assert command[-3:] == ["--fp16", "--distributed-world-size", "4"]
    assert not save_dir.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--nodes", "2"], "--nodes 2 needs --node-rank"),
        (["--epochs", "0"], "--epochs: expected a whole number of at least 1, found '0'"),
        (["--batch-tokens", "0"], "--batch-tokens: expected a whole number of at least 1"),
        (["--seed", "text"], "--seed: expected a whole number of at least 0, at most 2147483647"),
        (["--size", "large"], "--size: expected one of small, iwslt, wmt, found 'large'"),
        (["--best-by", "ter"], "--best-by: expected one of nll, bleu, found 'ter'"),
        (["--labo-beta", "0"], "--labo-beta: expected a number above 0, found '0'"),
        (["--gpus", "-1"], "--gpus: expected a whole number of at least 0, at most 1024, found"),
        (["--nodes", "0"], "--nodes: expected a whole number of at least 1, found '0'"),
        (["--workers", "-1"], "--workers: expected a whole number of at least 1, at most 1024"),
        (["--workers", "1025"], "--workers: expected a whole number of at least 1, at most 1024"),
        (["--gpus", "99999999999"], "--gpus: expected a whole number of at least 0, at most 1024"),
        (["--smoothing-schedule", "up"], "--smoothing-schedule: expected one of step, linear,"),
        (["--save-dir", __file__], "--save-dir: expected a folder, found a file at"),
        (["--data", "/nowhere"], "expected a prepared corpus in /nowhere"),
        (["--data", "a${b"], "a${b: expected a path without ${, which fairseq's"),
    ],
)
def test_refusals_reach_the_user(
    flags: list[str],
    message: str,
    toy_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--data", toy_corpus, "--save-dir", tmp_path / "x", *flags]
    assert dry_run(*words, monkeypatch=monkeypatch) == 1
    assert f"error: {message}" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("flags", "mending"), [([], True), (["--resume", "auto"], True), (["--resume", "last"], False)]
)
def test_what_becomes_of_a_damaged_checkpoint_is_a_flag(
    flags: list[str],
    mending: bool,
    toy_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {}
    monkeypatch.setattr(train, "train_in", lambda *_, **options: asked.update(options))
    words = ["--data", toy_corpus, "--save-dir", tmp_path / "x", *flags]
    assert dry_run(*words, monkeypatch=monkeypatch) == 0
    assert asked["mending"] == mending and asked["corpus"].folder == toy_corpus


def test_a_missing_fairseq_is_named(
    toy_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = ["--data", toy_corpus, "--save-dir", tmp_path / "x"]
    assert dry_run(*words, monkeypatch=monkeypatch) == 1
    assert "pip install 'fairseq_labo[fairseq]'" in capsys.readouterr().err


@pytest.mark.slow
def test_two_machines_find_each_other(toy_corpus: Path, tmp_path: Path) -> None:
    """Two times labo train, as on two machines of two GPUs; torchrun is the real one."""
    fake = tmp_path / "fairseq_cli"
    fake.mkdir()
    (fake / "__init__.py").touch()
    (fake / "train.py").write_text(FAKE_FAIRSEQ, encoding="utf-8")
    variables = environment(PATH=show_gpus(tmp_path, 2), PYTHONPATH=f"{tmp_path}:{REPOSITORY}")
    port = free_port()
    machines = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "fairseq_labo.experiments.cli", "train", "--nodes", "2"),
                *("--data", toy_corpus, "--save-dir", tmp_path / "run"),
                *("--node-rank", str(rank), "--master", f"localhost:{port}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=variables,
        )
        for rank in (0, 1)
    ]
    outputs = [machine.communicate(timeout=120)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], outputs
    expected = f"4 localhost {port} --distributed-world-size 4"
    for rank, output in enumerate(outputs):
        workers = sorted(re.findall(r"^WARNING (\d) (\d) (.*)$", output, re.MULTILINE))
        assert workers == [(str(2 * rank + i), str(i), expected) for i in (0, 1)], output
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *("train.log", "train.node-1.log", ".lock", ".train.node-1.log.lock", "resources.json"),
        "corpus.json",
    }


@pytest.fixture(scope="module")
def trained(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run of two workers on the CPU, and what it printed."""
    save_dir = tmp_path_factory.mktemp("two-workers") / "run"
    printed, _ = train_sh(toy_corpus, save_dir, "--workers", 2, "--epochs", 1, "--", *OPTIONS)
    return save_dir, printed


@pytest.mark.slow
def test_two_workers_on_the_cpu(trained: tuple[Path, str]) -> None:
    save_dir, printed = trained
    log = (save_dir / "train.log").read_text(encoding="utf-8")
    assert "training on 2 devices" in log and "initialized host" in log
    assert reports(log, "valid")[-1]["valid_num_updates"] == "4"
    assert "epoch   1 | valid" in printed and "done training" in printed
    assert (save_dir / "train.worker-1.log").exists()
    resources = json.loads((save_dir / "resources.json").read_text(encoding="utf-8"))
    assert resources["peak_memory_mib"] > 100 and resources["seconds"] > 1


@pytest.mark.slow
def test_finished_runs_are_left_alone(trained: tuple[Path, str], toy_corpus: Path) -> None:
    """fairseq by itself would train a fifth update of four."""
    save_dir, _ = trained
    before = (save_dir / "checkpoint_last.pt").read_bytes()
    printed, said = train_sh(toy_corpus, save_dir, "--epochs", 1, "--", *OPTIONS)
    assert "finished: 4 updates are done of --max-update 4" in said
    assert "Nothing is trained" in said
    assert printed == "" and "fairseq_cli.train" not in said
    assert (save_dir / "checkpoint_last.pt").read_bytes() == before


@pytest.mark.slow
def test_r_drop_trains(toy_corpus: Path, tmp_path: Path) -> None:
    """A criterion of fairseq without a preset: its best checkpoint, too, is by NLL."""
    flags = ["--criterion", "label_smoothed_cross_entropy_with_rdrop", "--label-smoothing", 0.1]
    train_sh(toy_corpus, tmp_path, *flags, "--", "--rdrop-alpha", 5, *OPTIONS)
    log = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert "rdrop_kl_loss" in reports(log, "train_inner")[-1]
    nll = reports(log, "valid")[-1]["valid_nll_loss"]
    assert f"checkpoint_best.pt (epoch 1 @ 4 updates, score {nll})" in log


@pytest.mark.slow
def test_with_the_plugin_of_somebody_else(toy_corpus: Path, tmp_path: Path) -> None:
    """fairseq imports one --user-dir, the last: our criterions would be unknown."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text(PLUGIN, encoding="utf-8")
    for updates in (2, 3):
        more = ["--user-dir", tmp_path / "theirs", "--max-update", updates]
        train_sh(toy_corpus, tmp_path / "run", "--", *OPTIONS, *more)
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "checkpoint_last.pt (epoch 1 @ 2 updates)" in log and "reg_loss" in log


def test_every_place_has_the_criterions_defaults() -> None:
    """labo train, the configuration file, the recipes and the README against the criterion."""
    alpha, beta = LaboCrossEntropyConfig().label_smoothing, LaboCrossEntropyConfig().labo_beta
    described = " ".join(parser_of("train").format_help().split())
    assert f"cross_entropy has none (default: {alpha:g})" in described
    assert f"inf is label smoothing (default: {beta:g})" in described
    config = REPOSITORY / "fairseq_labo" / "config" / "translation_labo.yaml"
    criterion = yaml.safe_load(config.read_text(encoding="utf-8"))["criterion"]
    assert (criterion["label_smoothing"], criterion["labo_beta"]) == (alpha, beta)
    recipes = REPOSITORY / "recipes" / "README.md"
    assert f"α = {alpha:g} and β = {beta:g} are this project's" in recipes.read_text("utf-8")
    flag = f"| `--labo-beta` | β > 0, temperature of P*; default {beta:g};"
    assert flag in (REPOSITORY / "README.md").read_text(encoding="utf-8")
