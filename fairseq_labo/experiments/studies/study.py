"""A study: methods and seeds on one corpus, written down in one YAML file.

.. code-block:: yaml

    name: microworld
    corpus: ../data/microworld      # prepared folder, relative to this file
    prepare: microworld             # what `labo prepare` is called with where there is none
    paper: iwslt14.de-en            # only where it is that task: figures to stand beside ours
    seeds: [1, 2]
    tests: [test]                   # subsets that are scored at the end
    baseline: label_smoothing       # the method that the others are tested against
    score: bleu                     # convention of the headline, see evaluation.bleu
    train:                          # flags of `labo train`, for every method
      size: small
      epochs: 3
      extra: --dropout 0.1          # passed on to fairseq-train
    evaluate: {checkpoint: best, beam: 5, lenpen: 1}
    beams: [1, 20]                  # other widths of the search: score and length by beam
    methods:
      label_smoothing: {criterion: label_smoothed_cross_entropy, label_smoothing: 0.1}
      labo:
        criterion: labo_cross_entropy
        grid: {label_smoothing: [0.1, 0.2], labo_beta: [1.5, 2]}
      distillation: {criterion: tsla_cross_entropy, teacher: label_smoothing}
    search: {metric: nll, seeds: [1]}   # how a grid's setting is chosen, on `valid` alone

A method with a grid is trained in every combination of its values; the setting with the best mean
of the search's metric on the validation set is chosen, and it alone is scored on the tests.

A method with a teacher, a method above it, gets as its ``--teacher-path`` the best checkpoint of
that method's training with the same seed (in the chosen setting of its grid).

Of a corpus that fairseq-preprocess alone has made, the file also says what the folder does not:
``subwords: subword-nmt``, ``tokenizer: moses``, ``references: {test: test.en}``.
"""

import contextlib
import io
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fairseq_labo.experiments.commands import parser_of
from fairseq_labo.experiments.data.prepared import SUBWORDS, TOKENIZERS, Given
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.evaluate import SEARCH_FLAGS
from fairseq_labo.experiments.evaluation.published import PAPER_TASKS
from fairseq_labo.experiments.studies.kept import unreadable
from fairseq_labo.experiments.studies.method import TEACHER_PATH, Method, Training, check_flags
from fairseq_labo.experiments.studies.schema import (
    VALIDATION_SUBSET,
    Model,
    Name,
    Wrong,
    different,
    one_of,
)
from fairseq_labo.experiments.training.presets import SEED

OLD_FORM = re.compile(r"data-prep/prepare-([a-z0-9-]+)\.sh")  # how `prepare:` began before


def _preparation(value: Any) -> tuple[str, ...]:
    """Words of `labo prepare`, checked by its parser: a study file runs nothing else."""
    try:
        corpus, *options = shlex.split(value) if isinstance(value, str) else []
    except ValueError as error:
        wanted = "words of labo prepare, such as multi30k --pair de-en"
        raise ValueError(f"expected {wanted}, found {value!r} ({error})") from error
    if found := OLD_FORM.fullmatch(corpus):
        corpus = found[1]
    of_study = {"--destdir", "--source-dir", "--archive"}
    if given := sorted({word.partition("=")[0] for word in options} & of_study):
        raise ValueError(
            f"expected no {', '.join(given)}: the folder is the study's corpus, and archives are "
            "given to labo compare (--source-dir)"
        )
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parser_of("prepare").parse_args([corpus, *options, "--destdir", "x"])
        except SystemExit as error:
            reason = said.getvalue().strip().removeprefix("error: ").splitlines()[0]
            reason = reason if error.code else "that asks for help; leave it out"
            raise ValueError(
                f"expected words of labo prepare, found {value!r}: {reason}"
            ) from error
    return (corpus, *options)


def _search(name: str) -> AfterValidator:
    """A number that `labo evaluate` takes for a flag of the search."""

    def check(value: float) -> float:
        flag = SEARCH_FLAGS[name]
        try:
            flag.read(name, str(value))
        except UserError as error:
            raise ValueError(f"expected {flag.wanted}, found {value}") from error
        return value

    return AfterValidator(check)


Seed = Annotated[StrictInt, Field(ge=0, le=SEED["seed"].at_most)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(different)]
Positive = Annotated[StrictInt, Field(ge=1)]
Beam = Annotated[StrictInt, _search("beam")]


class Evaluation(Model):
    """How models are evaluated. checkpoint: "best", "last" or e.g. "average5"."""

    checkpoint: Annotated[str, Field(pattern=r"^(best|last|average[1-9][0-9]*)$")] = "best"
    beam: Beam = 5
    lenpen: Annotated[float, Field(strict=True), _search("lenpen")] = 1.0
    max_tokens: Annotated[StrictInt, _search("max_tokens")] = 4000
    allow_empty: StrictBool = False


class Search(Model):
    """How the setting of a grid is chosen: a metric on the validation set, and the seeds."""

    metric: Annotated[str, one_of(("nll", *CONVENTIONS, "chrf"))] = "nll"
    seeds: Seeds | None = None  # the study's first


class Significance(Model):
    """Samples of the paired bootstrap, trials of approximate randomization."""

    bootstrap: Annotated[int, Field(ge=2, strict=True)] = 1000
    randomization: Positive = 10000


class Heading(Model):
    """What a report says of its study beside the results; other entries are not looked at."""

    model_config = ConfigDict(extra="ignore")
    name: Name
    paper: Annotated[str, one_of(PAPER_TASKS)] | None = None


class Study(Model):
    """See the module."""

    name: Name
    description: str = ""
    corpus: Path
    prepare: Annotated[tuple[str, ...], BeforeValidator(_preparation)] = ()
    subwords: Annotated[str, one_of(SUBWORDS)] | None = None
    tokenizer: Annotated[str, one_of(TOKENIZERS)] | None = None
    references: Mapping[str, Path] = Field(default_factory=dict)
    paper: Annotated[str, one_of(PAPER_TASKS)] | None = None
    seeds: Seeds = (1,)
    tests: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(different)] = ("test",)
    score: Annotated[str, one_of(CONVENTIONS)] = "bleu"
    methods: Annotated[Mapping[Name, Method], Field(min_length=1)]  # before what refers to them
    baseline: str
    train: Training = Training.model_validate({})
    evaluate: Evaluation = Evaluation()
    beams: Annotated[tuple[Beam, ...], AfterValidator(different)] = ()
    search: Search = Search()
    significance: Significance = Significance()

    @property
    def searched(self) -> dict[str, Method]:
        """The methods with a grid."""
        return {name: method for name, method in self.methods.items() if method.grid}

    @property
    def search_seeds(self) -> tuple[int, ...]:
        """The seeds that every setting of a grid is trained with."""
        return self.search.seeds or self.seeds[:1]

    @property
    def evaluations(self) -> dict[str, tuple[str, int]]:
        """What is scored at the end, by name: a test set and the width of the search.

        With the study's own width the name is the test set's, else ``test-beam20``.
        """
        of_beam = {f"{test}-beam{n}": (test, n) for test in self.tests for n in self.beams}
        return {**{test: (test, self.evaluate.beam) for test in self.tests}, **of_beam}

    def evaluation(self, name: str) -> tuple[str, int]:
        """Subset and width of the search of one of `evaluations`, or of the validation set."""
        return self.evaluations.get(name, (name, self.evaluate.beam))

    @property
    def given(self) -> Given:
        """What the study says of a corpus that fairseq-preprocess alone has made."""
        return Given(self.subwords, self.tokenizer, self.references)

    @property
    def corpus_flags(self) -> list[str]:
        """What the study says of its corpus, as flags of `labo train` and `labo evaluate`."""
        names = ("subwords", "tokenizer")
        return [f"--{name}={value}" for name in names if (value := getattr(self, name))]

    @field_validator("tests")
    @classmethod
    def _no_validation_set_among_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if VALIDATION_SUBSET in value and len(value) > 1:
            raise ValueError(
                f"expected test sets, or {VALIDATION_SUBSET} alone, found {', '.join(value)}"
            )
        return value

    @field_validator("beams")
    @classmethod
    def _others_than_the_study_s(
        cls, value: tuple[int, ...], info: ValidationInfo
    ) -> tuple[int, ...]:
        evaluate = info.data.get("evaluate")  # not there if it is wrong
        if evaluate and evaluate.beam in value:
            raise ValueError(
                f"expected other widths than evaluate.beam, found {evaluate.beam}, too"
            )
        return value

    @field_validator("methods")
    @classmethod
    def _teachers_are_above(cls, value: Mapping[str, Method]) -> Mapping[str, Method]:
        above: list[str] = []
        wrong = []
        for name, method in value.items():
            if method.teacher and method.teacher not in above:
                wrong.append(
                    f"{name}.teacher: expected a method that stands above it "
                    f"({', '.join(above) or 'there is none'}), found {method.teacher!r}"
                )
            above.append(name)
        if wrong:
            raise Wrong(*wrong)
        return value

    @field_validator("baseline")
    @classmethod
    def _is_a_method(cls, value: str, info: ValidationInfo) -> str:
        names = list(info.data.get("methods", {value: None}))  # not there if they are wrong
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}, found {value!r}")
        return value

    @field_validator("train")
    @classmethod
    def _known_flags(cls, value: Training, info: ValidationInfo) -> Training:
        methods = info.data.get("methods", {})
        criterions = [(method.criterion, method.user_dir) for method in methods.values()]
        check_flags(value.flags.items(), criterions or [("cross_entropy", None)])
        taught = [name for name, method in methods.items() if method.teacher]
        if taught and TEACHER_PATH in value.flags:
            raise Wrong(f"{TEACHER_PATH}: expected none, since {taught[0]} has a teacher")
        return value

    @model_validator(mode="after")
    def _leaves_what_is_read(self) -> Self:
        checkpoint = self.evaluate.checkpoint
        wrong = [
            f"methods.{name}: {reason}"
            for name, method in self.methods.items()
            for reason in unreadable(method, self.train, checkpoint=checkpoint)
        ]
        if wrong:
            raise Wrong(*wrong)
        return self


def setting_name(setting: Mapping[str, str]) -> str:
    """``label_smoothing=0.1,labo_beta=2``; empty for the empty setting."""
    return ",".join(f"{key}={value}" for key, value in setting.items())
