"""What a study asks of the files that `labo evaluate` and its own runs leave."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, NonNegativeInt, TypeAdapter

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.studies.schema import Number, holding

MEASURES = ("nll_bits", "accuracy", "confidence", "ece", "mce", "brier", "entropy_bits")

_signed = holding("score", label=str, signature=str)
_bin = holding("lower", "upper", "accuracy", "confidence", tokens=NonNegativeInt)
# _bin is a type that is made when this runs, which mypy cannot follow.
_bins = Annotated[list[_bin], Field(min_length=1)]  # type: ignore[valid-type]
Scores: Any = holding(
    nll=holding("score"),
    calibration=holding(*MEASURES, bins=_bins),
    subset=holding(release_name=str, sentences=int),
    generation=holding("lenpen", beam=int),
    **dict.fromkeys((*CONVENTIONS, "chrf"), _signed),
    optional={"comet": _signed, "ceiling": dict[str, Number]},
)
Trained: Any = holding(
    seconds=Number | None,
    optional=dict.fromkeys(("peak_memory_mib", "peak_gpu_memory_mib"), Number | None),
)


def _begun(value: Any) -> Any:
    return TypeAdapter(Environment).validate_python(value, strict=True)


# begun: where a training began that went on elsewhere.
_elsewhere = Annotated[Any, AfterValidator(_begun)]
Environment: Any = holding(optional={"versions": dict[str, Any], "begun": _elsewhere})
