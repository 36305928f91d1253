"""The runs of a study: what each is, where it lives, which commands it takes."""

import fnmatch
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fairseq_labo.experiments.checkpoints import corpus_record
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.identity import CONFIG, SCORES
from fairseq_labo.experiments.files import read_lines, sha256_of, write_json
from fairseq_labo.experiments.studies.method import TEACHER_PATH
from fairseq_labo.experiments.studies.schema import read_entries
from fairseq_labo.experiments.studies.scores import Scores
from fairseq_labo.experiments.studies.study import Study, setting_name
from fairseq_labo.experiments.training.flags import option
from fairseq_labo.experiments.training.presets import split_flags

Setting = Mapping[str, str] | None
Choices = Mapping[str, Mapping[str, str]]  # of methods with a grid: the chosen setting


def labo(*words: object) -> list[str]:
    """A command of `labo`, run by the Python that this process runs."""
    return [sys.executable, "-m", "fairseq_labo.experiments.cli", *map(str, words)]


@dataclass(frozen=True)
class Run:
    """One training of a method in one setting of its grid with one seed; the run that teaches."""

    study: Study
    method: str
    setting: Mapping[str, str]
    seed: int
    root: Path
    teacher: "Run | None" = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """``labo/seed-1``, ``labo/label_smoothing=0.1,labo_beta=2/seed-1``."""
        return run_name(self.method, self.setting, self.seed)

    @property
    def folder(self) -> Path:
        return self.root / "runs" / self.name

    @property
    def teachers(self) -> list["Run"]:
        """The teachers of the run's teacher, and this one."""
        return [] if self.teacher is None else [*self.teacher.teachers, self.teacher]

    def train_arguments(self, *, root: Path = Path()) -> list[str]:
        """Arguments of `labo train` but those of the corpus, and --save-dir.

        Flags: the study's, then the method's, then the setting's; the teacher's checkpoint, by its
        path from `root`. The text is part of a run's config: it must not change for a study that
        is done, nor depend on where its runs are.
        """
        train, method = self.study.train, self.study.methods[self.method]
        given = {**train.flags, **method.flags, **self.setting}
        if self.teacher is not None:
            given[TEACHER_PATH] = str(root / "runs" / self.teacher.name / "checkpoint_best.pt")
        own, of_fairseq = split_flags(given, method.criterion, method.user_dir)
        flags = [part for key, value in own.items() for part in (option(key), value)]
        extra = [*train.extra, *method.extra, *of_fairseq]
        return [*flags, "--seed", str(self.seed), *(["--", *extra] if extra else [])]

    def train_command(self) -> list[str]:
        corpus = ["--data", self.study.corpus, *self.study.corpus_flags]
        arguments = self.train_arguments(root=self.root)
        return labo("train", *corpus, "--save-dir", self.folder, *arguments)

    def evaluate_arguments(self, *, beam: int | None = None) -> list[str]:
        """Arguments of `labo evaluate` but the checkpoint, those of the corpus and the subset.

        beam: width of the search (the study's).
        """
        settings = self.study.evaluate
        arguments = ["--beam", str(beam or settings.beam), "--lenpen", str(settings.lenpen)]
        arguments += ["--max-tokens", str(settings.max_tokens)]
        if settings.checkpoint.startswith("average"):
            arguments += ["--average", settings.checkpoint.removeprefix("average")]
        return [*arguments, *(["--allow-empty"] if settings.allow_empty else [])]

    def evaluate_command(self, name: str) -> list[str]:
        """Of one of the study's evaluations, or of the validation set."""
        study = self.study
        subset, beam = study.evaluation(name)
        best_or_last = "last" if study.evaluate.checkpoint == "last" else "best"
        given = study.corpus_flags
        given += [f"--references={test}={path}" for test, path in study.references.items()]
        return labo(
            "evaluate", "--data", study.corpus, *given, "--subset", subset,
            "--checkpoint", self.folder / f"checkpoint_{best_or_last}.pt",
            "--output", self.scores_folder(name), *self.evaluate_arguments(beam=beam),
        )  # fmt: skip

    def scores_folder(self, name: str) -> Path:
        return self.folder / f"{name}-scores"

    def scores(self, name: str) -> dict[str, Any] | None:
        """The finished evaluation of that name, or None; UserError for a file of another form."""
        return read_entries(self.scores_folder(name) / SCORES, Scores)

    def lines(self, subset: str, name: str, count: int) -> list[str]:
        """A text that the evaluation wrote; UserError if it has not `count` lines."""
        lines = list(read_lines(path := self.scores_folder(subset) / name))
        if len(lines) != count:
            raise UserError(
                f"{path}: expected {count} lines, found {len(lines)}; remove "
                f"{path.parent} and run labo compare again"
            )
        return lines

    def training(self) -> dict[str, Any]:
        """What decides the training: its arguments, and those of its teacher."""
        taught = {} if self.teacher is None else {"teacher": self.teacher.training()}
        return {
            "method": self.method,
            "setting": dict(self.setting),
            "seed": self.seed,
            "train": self.train_arguments(),
            **taught,
        }

    def config(self, corpus: PreparedCorpus) -> dict[str, Any]:
        """What decides the run's results; a folder belongs to one config for ever."""
        return {
            **self.training(),
            "evaluate": self.study.evaluate.model_dump(),
            "corpus": {
                "name": corpus.name,
                "raw_sha256": raw_sha256(corpus),
                "dictionaries": corpus_record(corpus)["dictionaries"],  # of its subwords
            },
        }

    def differs(self, before: Mapping[str, Any], corpus: PreparedCorpus) -> list[str]:
        """The entries of an earlier config that are others now; an older one has not all of them.

        Of the corpus only what it says is compared.
        """
        now = json.loads(json.dumps(self.config(corpus)))
        told = before.get("corpus")
        if isinstance(told, dict) and "name" in told:
            now["corpus"] = {key: value for key, value in now["corpus"].items() if key in told}
        return [key for key in {**now, **before} if before.get(key) != now.get(key)]

    def check(self, corpus: PreparedCorpus) -> bool:
        """Whether the folder was made for a config, which is this one.

        Raises UserError if it is another.
        """
        before = read_entries(self.folder / CONFIG, dict[str, Any])
        if before is not None and (different := self.differs(before, corpus)):
            raise UserError(
                f"{self.folder}: expected a run with the study's present settings, found one with "
                f"another {', '.join(different)}; choose another --output, or remove that folder"
            )
        return before is not None

    def claim(self, corpus: PreparedCorpus) -> None:
        """Make the folder and write config.json, or check that it is of the same config.

        Raises UserError if the folder was made for another config.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.check(corpus):
            if any(path for path in self.folder.iterdir() if path.suffix != ".part"):
                raise UserError(
                    f"{self.folder}: expected an empty folder or one of this study (with "
                    f"{CONFIG}), found other content; choose another --output"
                )
            write_json(self.folder / CONFIG, self.config(corpus))


def run_name(method: str, setting: Mapping[str, str], seed: int) -> str:
    """The name of a run, which is its folder's path."""
    parts = [method, setting_name(setting), f"seed-{seed}"]
    return "/".join(part for part in parts if part)


def named(runs: Sequence[Run], patterns: Sequence[str]) -> list[Run]:
    """The runs whose names are of one of these patterns."""
    return [run for run in runs if any(fnmatch.fnmatch(run.name, each) for each in patterns)]


def possible_names(study: Study, methods: Collection[str]) -> list[str]:
    """Names that runs of such methods may have, whatever is chosen."""
    return [
        run_name(name, setting, seed)
        for name in methods
        for setting in study.methods[name].settings()
        for seed in {*study.seeds, *study.search_seeds}
    ]


def check_patterns(
    only: Sequence[str], names: Sequence[str], *, waiting: Collection[str] = ()
) -> None:
    """Raise UserError for a pattern of no run's name, nor of one that waits for a choice."""
    unknown = [each for each in only if not fnmatch.filter([*names, *waiting], each)]
    if unknown:
        raise UserError(
            f"--only: expected patterns of runs' names, found {', '.join(unknown)}, which no run "
            f"has; there are {', '.join(dict.fromkeys(names))}"
        )


def raw_sha256(corpus: PreparedCorpus) -> dict[str, str] | None:
    """SHA-256 of the raw texts: the manifest's, or of the references that flags give."""
    if corpus.manifest:
        return None if corpus.raw_sha256 is None else dict(corpus.raw_sha256)
    target = corpus.languages[1]
    return {
        f"{subset}.{target}": sha256_of(path) for subset, path in corpus.given.references.items()
    }


def search_runs(study: Study, root: Path, *, choices: Choices = MappingProxyType({})) -> list[Run]:
    """The runs among which the settings of grids are chosen, but for teachers without a choice."""
    found = [
        run_of(study, root, name, seed, choices=choices, setting=setting)
        for name, method in study.searched.items()
        for setting in method.settings()
        for seed in study.search_seeds
    ]
    return [run for run in found if run]


def final_runs(study: Study, root: Path, *, choices: Choices) -> list[Run]:
    """The runs that are scored on the tests: methods without a grid, and chosen settings."""
    found = [
        run_of(study, root, name, seed, choices=choices)
        for name in study.methods
        for seed in study.seeds
    ]
    return [run for run in found if run]


def run_of(
    study: Study, root: Path, name: str, seed: int, *, choices: Choices, setting: Setting = None
) -> Run | None:
    """A method's run, by default in the chosen setting of its grid, and the one that teaches it.

    None if a setting that it needs, its own or its teacher's, is not chosen yet.
    """
    method, teacher = study.methods[name], None
    if setting is None:
        setting = choices.get(name) if method.grid else {}
    if method.teacher:
        teacher = run_of(study, root, method.teacher, seed, choices=choices)
    if setting is None or (method.teacher and not teacher):
        return None
    return Run(study, name, setting, seed, root, teacher=teacher)
