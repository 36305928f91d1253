"""Widths of the search: what other beams find with the same checkpoints, and how long it is."""

import re
from collections.abc import Mapping
from typing import Any

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.identity import SCORES
from fairseq_labo.experiments.studies.run import Run
from fairseq_labo.experiments.studies.schema import Model, Number

# As sacreBLEU writes its BLEU: of all hypotheses and references, in the tokens that it counts.
LENGTHS = re.compile(r"hyp_len = (\d+) ref_len = (\d+)")


class BeamScore(Model):
    """The study's score with one width of the search; length of the hypotheses / references."""

    score: Number
    length_ratio: Number


def length_ratio(bleu: Mapping[str, Any]) -> float | None:
    """Of an entry of scores.json, translations / references; None where it does not say."""
    lengths = LENGTHS.search(str(bleu.get("text", "")))
    return int(lengths[1]) / max(1, int(lengths[2])) if lengths else None


def beam_scores(run: Run, test: str) -> dict[int, BeamScore]:
    """By width, the study's own among them; empty for a study without others.

    Raises UserError for scores without lengths.
    """
    study = run.study
    widths = {beam: name for name, (subset, beam) in study.evaluations.items() if subset == test}
    found = {}
    for beam, name in sorted(widths.items()) if study.beams else ():
        scores = (run.scores(name) or {})[study.score]
        if (ratio := length_ratio(scores)) is None:
            path = run.scores_folder(name) / SCORES
            raise UserError(
                f"{path}: {study.score}.text: expected BLEU with hyp_len and ref_len, found none; "
                "remove that folder and run labo compare again"
            )
        found[beam] = BeamScore(score=scores["score"], length_ratio=round(ratio, 4))
    return found
