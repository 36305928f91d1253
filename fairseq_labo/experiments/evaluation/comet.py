"""COMET, if it is installed and its model lies on this machine; never downloaded."""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import Texts


def check_comet(model: Path) -> None:
    """Raise UserError unless COMET can score with `model` (a .ckpt file) here."""
    if importlib.util.find_spec("comet") is None:
        raise UserError(
            "--comet: expected the package unbabel-comet, found none; pip install unbabel-comet "
            "(into an environment of its own if its requirements do not fit), or leave --comet out"
        )
    if not model.is_file():
        raise UserError(
            f"--comet: expected a model's checkpoint (a .ckpt file) at {model}, found none; "
            "download one with comet's own tools first: nothing is downloaded here"
        )


def score_comet(model: Path, texts: Texts, *, sources: Sequence[str], cpu: bool) -> dict[str, Any]:
    """COMET's system score (0–100) of detokenized text, with the model's name and version."""
    import torch

    comet = importlib.import_module("comet")
    triples = zip(sources, texts.hypotheses, texts.references, strict=True)
    samples = [{"src": source, "mt": ours, "ref": reference} for source, ours, reference in triples]
    gpus = int(torch.cuda.is_available() and not cpu)
    try:
        prediction = comet.load_from_checkpoint(str(model)).predict(samples, gpus=gpus)
    except Exception as error:  # whatever its many libraries raise
        raise UserError(
            f"--comet: expected a model that COMET loads and runs here, found "
            f"{type(error).__name__}: {error}; leave --comet out, or try {model} with comet-score"
        ) from error
    score = 100 * float(prediction.system_score)
    return {
        "label": "COMET, detokenized, cased",
        "score": round(score, 2),
        "signature": f"{model.stem}|version:{importlib.metadata.version('unbabel-comet')}",
        "text": f"COMET = {score:.2f}",
    }
