"""A study: methods and seeds on one corpus, written down in one YAML file.

.. code-block:: yaml

    name: microworld
    corpus: ../data/microworld      # prepared folder, relative to this file
    prepare: data-prep/prepare-microworld.sh    # what makes that folder where there is none
    paper: iwslt14.de-en            # only where it is that task: figures to stand beside ours
    seeds: [1, 2]
    tests: [test]                   # subsets that are scored at the end
    baseline: label_smoothing       # the method that the others are tested against
    score: bleu                     # convention of the headline, see evaluation.conventions
    train:                          # flags of scripts/train.sh, for every method
      size: small
      epochs: 3
      extra: --dropout 0.1          # passed on to fairseq-train
    evaluate: {checkpoint: best, beam: 5, lenpen: 1}
    methods:
      label_smoothing: {criterion: label_smoothed_cross_entropy, label_smoothing: 0.1}
      labo:
        criterion: labo_cross_entropy
        grid: {label_smoothing: [0.1, 0.2], labo_beta: [1.5, 2]}
    search: {metric: nll, seeds: [1]}   # how a grid's setting is chosen, on `valid` alone

A method with a grid is trained in every combination of its values; the setting with the best mean
of the search's metric on the validation set is chosen, and it alone is scored on the tests.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VALIDATION_SUBSET = "valid"


@dataclass(frozen=True)
class Evaluation:
    """How models are evaluated. checkpoint: "best", "last" or e.g. "average5"."""

    checkpoint: str = "best"
    beam: int = 5
    lenpen: float = 1.0
    max_tokens: int = 4000
    allow_empty: bool = False


@dataclass(frozen=True)
class Search:
    """How the setting of a grid is chosen: a metric on the validation set, and the seeds."""

    metric: str = "nll"
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Significance:
    """Samples of the paired bootstrap, trials of approximate randomization."""

    bootstrap: int = 1000
    randomization: int = 10000


@dataclass(frozen=True)
class Method:
    """Flags of scripts/train.sh, options passed on to fairseq-train, and a grid of flags."""

    name: str
    flags: Mapping[str, str]
    extra: tuple[str, ...] = ()
    grid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def settings(self) -> list[dict[str, str]]:
        """Every combination of the grid's values; one empty setting without a grid."""
        combinations = itertools.product(*self.grid.values())
        return [dict(zip(self.grid, values, strict=True)) for values in combinations]


@dataclass(frozen=True)
class Study:
    """See the module."""

    name: str
    corpus: Path
    methods: tuple[Method, ...]
    baseline: str
    seeds: tuple[int, ...]
    tests: tuple[str, ...]
    score: str
    train_flags: Mapping[str, str]
    train_extra: tuple[str, ...]
    evaluation: Evaluation
    search: Search
    significance: Significance
    description: str = ""
    prepare: tuple[str, ...] = ()
    paper: str | None = None

    def method(self, name: str) -> Method:
        return next(method for method in self.methods if method.name == name)


def setting_name(setting: Mapping[str, str]) -> str:
    """``label_smoothing=0.1,labo_beta=2``; empty for the empty setting."""
    return ",".join(f"{key}={value}" for key, value in setting.items())
