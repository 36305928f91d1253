"""``--user-dir fairseq_labo``: from the repository, from anywhere, in every entry point."""

import importlib.metadata
import importlib.util
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, TRAINING, USER_DIR, reports, run_fairseq


def installed_beside_fairseq() -> bool:
    """Whether a copy (not a link to the work tree) is installed where fairseq is."""
    fairseq = importlib.util.find_spec("fairseq")
    assert fairseq is not None and fairseq.origin is not None
    return (Path(fairseq.origin).parents[1] / "fairseq_labo").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["repository", "anywhere"])
def test_name_of_the_package_is_enough(where: str, tmp_path: Path, toy_corpus: Path) -> None:
    if where == "anywhere" and not installed_beside_fairseq():
        pytest.skip("fairseq_labo is not installed here; scripts/setup.sh installs it")
    output = run_fairseq(
        "train",
        toy_corpus / "bin",
        *("--user-dir", "fairseq_labo", "--criterion", "labo_cross_entropy"),
        *("--save-dir", tmp_path, "--max-update", 2, *TRAINING),
        cwd=REPOSITORY if where == "repository" else tmp_path,
    ).stdout
    assert reports(output, "valid")[0]["valid_num_updates"] == "2"


def test_installed_version_is_that_of_the_package() -> None:
    import fairseq_labo

    if not installed_beside_fairseq():
        pytest.skip("fairseq_labo is not installed here; scripts/setup.sh installs it")
    assert importlib.metadata.version("fairseq_labo") == fairseq_labo.__version__


@pytest.mark.slow
def test_hydra_train(tmp_path: Path, toy_corpus: Path) -> None:
    (tmp_path / "labo.yaml").write_text(
        f"""
common: {{user_dir: {USER_DIR}, cpu: true, log_format: json, log_interval: 2}}
checkpoint: {{save_dir: {tmp_path / "checkpoints"}}}
task: {{_name: translation, data: {toy_corpus / "bin"}, source_lang: de, target_lang: en}}
dataset: {{max_tokens: 320, num_workers: 0}}
criterion:
  _name: labo_cross_entropy
  label_smoothing: 0.2
  labo_beta: .inf
  smoothing_updates: 4
optimization: {{max_update: 8, lr: [0.005], sentence_avg: true}}
optimizer: {{_name: adam}}
lr_scheduler: {{_name: fixed}}
model:
  _name: transformer
  encoder: {{embed_dim: 32, ffn_embed_dim: 64, layers: 1, attention_heads: 2}}
  decoder: {{embed_dim: 32, ffn_embed_dim: 64, layers: 1, attention_heads: 2}}
""",
        encoding="utf-8",
    )
    run_fairseq(
        "hydra_train",
        *("--config-dir", tmp_path, "--config-name", "labo", "+criterion.report_accuracy=true"),
        f"hydra.run.dir={tmp_path / 'hydra'}",
        cwd=tmp_path,
    )
    (log,) = (tmp_path / "hydra").glob("*.log")
    output = log.read_text(encoding="utf-8").replace("][INFO] - {", " | {").replace("[", "| ")
    smoothing = [float(report["smoothing"]) for report in reports(output, "train_inner")]
    assert smoothing == [0.2, 0.2, 0.0, 0.0]
    (valid,) = reports(output, "valid")
    # Per sentence, not per token: sentence_avg arrived in the criterion.
    assert float(valid["valid_loss"]) > 3 * float(valid["valid_nll_loss"])
    assert "valid_accuracy" in valid
    generated = run_fairseq(
        "generate",
        toy_corpus / "bin",
        *("--user-dir", USER_DIR, "--path", tmp_path / "checkpoints" / "checkpoint_last.pt"),
        "--cpu",
    ).stdout
    assert "Generate test with beam=5" in generated
