"""What a study asks of the files that `labo evaluate` and its own runs leave."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, NonNegativeInt, create_model

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.studies.schema import Number, with_entries

PARTS = ("nll_bits", "accuracy", "confidence", "ece", "mce", "brier", "entropy_bits")


def _shape(numbers: tuple[str, ...] = (), **others: Any) -> type[BaseModel]:
    fields: dict[str, Any] = {**dict.fromkeys(numbers, Number), **others}
    return create_model("Entries", **{name: (kind, ...) for name, kind in fields.items()})


_signed = _shape(("score",), label=str, signature=str)
_bin = _shape(("lower", "upper", "accuracy", "confidence"), tokens=NonNegativeInt)
_scores = create_model(
    "Scores",
    __base__=_shape(
        nll=_shape(("score",)),
        calibration=_shape(PARTS, bins=Annotated[list[_bin], Field(min_length=1)]),  # type: ignore[valid-type]
        subset=_shape(release_name=str, sentences=int),
        generation=_shape(("lenpen",), beam=int),
        **dict.fromkeys((*CONVENTIONS, "chrf"), _signed),
    ),
    comet=(_signed | None, None),
)
_peaks: Any = dict.fromkeys(("peak_memory_mib", "peak_gpu_memory_mib"), (Number | None, None))
Scores = Annotated[dict[str, Any], with_entries(_scores)]
Trained = Annotated[
    dict[str, Any], with_entries(create_model("Trained", __base__=_shape(("seconds",)), **_peaks))
]
Environment = Annotated[
    dict[str, Any], with_entries(create_model("Environment", versions=(dict[str, Any], {})))
]
