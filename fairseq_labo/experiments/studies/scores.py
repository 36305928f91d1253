"""What a study asks of the files that `labo evaluate` and its own runs leave."""

from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, create_model

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.studies.schema import Number, with_entries

MEASURES = ("nll_bits", "accuracy", "confidence", "ece", "mce", "brier", "entropy_bits")


def _entries(*numbers: str, optional: Any = None, **others: Any) -> Any:
    """Entries with these names: `numbers` are numbers, the others what they are given as."""
    wanted = {**dict.fromkeys(numbers, Number), **others}
    fields: Any = {name: (kind, ...) for name, kind in wanted.items()}
    fields |= {name: (kind | None, None) for name, kind in (optional or {}).items()}
    return create_model("Entries", **fields)


_signed = _entries("score", label=str, signature=str)
_bin = _entries("lower", "upper", "accuracy", "confidence", tokens=NonNegativeInt)
_bins = with_entries(Annotated[list[_bin], Field(min_length=1)])  # type: ignore[valid-type]
_scores = {
    "nll": _entries("score"),
    "calibration": _entries(*MEASURES, bins=Annotated[list[Any], _bins]),
    "subset": _entries(release_name=str, sentences=int),
    "generation": _entries("lenpen", beam=int),
    **dict.fromkeys((*CONVENTIONS, "chrf"), _signed),
}
_peaks = dict.fromkeys(("peak_memory_mib", "peak_gpu_memory_mib"), Number)
Scores = Annotated[dict[str, Any], with_entries(_entries(**_scores, optional={"comet": _signed}))]
Trained = Annotated[dict[str, Any], with_entries(_entries("seconds", optional=_peaks))]
Environment = Annotated[
    dict[str, Any], with_entries(_entries(optional={"versions": dict[str, Any]}))
]
