"""The whole of the command from a wheel, in an environment of its own, without the repository."""

import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# Nothing may be opened below the repository, but for the packages of the tests' environment.
GUARD = f"""\
import sys
REPOSITORY, ALLOWED = {str(REPOSITORY)!r}, {(str(Path(sys.prefix)), str(REPOSITORY / ".git"))!r}

def refuse(event, arguments):
    path = arguments[0] if event == "open" and arguments else None
    if isinstance(path, str) and path.startswith(REPOSITORY) and not path.startswith(ALLOWED):
        raise RuntimeError(f"the repository was opened: {{path}}")

sys.addaudithook(refuse)
"""
STUDY = """\
name: tiny
corpus: data/microworld
baseline: label_smoothing
train:
  extra: >-
    --max-update 20 --encoder-layers 1 --decoder-layers 1 --encoder-embed-dim 32
    --decoder-embed-dim 32 --encoder-ffn-embed-dim 64 --decoder-ffn-embed-dim 64
evaluate: {beam: 1, max_tokens: 8000, allow_empty: true}
significance: {bootstrap: 10, randomization: 10}
methods:
  label_smoothing: {criterion: label_smoothed_cross_entropy, label_smoothing: 0.1}
  labo: {criterion: labo_cross_entropy, label_smoothing: 0.1, labo_beta: 4}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a tree in which a killed build left something behind."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "fairseq_labo", tree / "fairseq_labo", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tree)
    leftover = tree / "build" / "lib" / "fairseq_labo" / "left_behind.py"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, tree], check=True, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "fairseq_labo").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == ours
    assert "fairseq_labo/experiments/data/microworld/train.tsv.gz" in names


@pytest.mark.slow
def test_every_command_works_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    # With PYTHONPATH pip would find the repository, and have nothing to install; PIP_USER and the
    # like would send it elsewhere.
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))
    }
    pip = [sys.executable, "-m", "pip", f"--python={environment / 'bin' / 'python'}"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", wheel], check=True, env=clean)
    # Its dependencies are those of the tests' environment, behind its own packages.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    (packages / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(STUDY, encoding="utf-8")

    def labo(*words: str) -> str:
        done = subprocess.run(
            [environment / "bin" / "labo", *words],
            cwd=folder,
            env={**clean, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    labo("prepare", "microworld")
    assert (folder / "data" / "microworld" / "manifest.json").is_file()
    words = "train --data data/microworld --save-dir runs/labo -- --max-update 20"
    output = labo(*words.split(), "--encoder-layers", "1", "--decoder-layers", "1")
    assert f"--user-dir {packages / 'fairseq_labo'}" in output
    checkpoint = "runs/labo/checkpoint_best.pt"
    output = labo(
        *("evaluate", "--data", "data/microworld", "--checkpoint", checkpoint),
        *("--beam", "1", "--max-tokens", "8000", "--allow-empty"),
    )
    assert "sacreBLEU, detokenized, cased" in output
    assert (folder / "runs" / "labo" / "test-scores" / "scores.json").is_file()
    output = labo("compare", "tiny.yaml", "--output", "runs/tiny", "--jobs", "2")
    assert (folder / "runs" / "tiny" / "report" / "report.html").is_file()
    assert "label_smoothing" in output and "labo" in output
    output = labo(
        *("inspect", "--data", "data/microworld", "--checkpoint", checkpoint, "--sentences", "3")
    )
    assert "LABO β=4" in output
    assert "usage: labo benchmark" in labo("benchmark", "-h")
    assert "usage: labo demo" in labo("demo", "-h")
