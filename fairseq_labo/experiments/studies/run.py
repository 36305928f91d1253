"""The runs of a study: what each is, where it lives, which commands it takes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.hypotheses import Corpus
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies.study import Method, Study, setting_name

SCRIPTS = Path(__file__).parents[3] / "scripts"


@dataclass(frozen=True)
class Run:
    """One training of a method in one setting of its grid with one seed."""

    study: Study
    method: Method
    setting: Mapping[str, str]
    seed: int
    root: Path

    @property
    def name(self) -> str:
        """``labo/seed-1``, ``labo/label_smoothing=0.1,labo_beta=2/seed-1``."""
        parts = [self.method.name, setting_name(self.setting), f"seed-{self.seed}"]
        return "/".join(part for part in parts if part)

    @property
    def folder(self) -> Path:
        return self.root / "runs" / self.name

    def flags(self) -> dict[str, str]:
        """Flags of scripts/train.sh: the study's, then the method's, then the setting's."""
        return {**self.study.train_flags, **self.method.flags, **self.setting}

    def train_arguments(self) -> list[str]:
        """Arguments of scripts/train.sh but --data and --save-dir."""
        flags = [part for key, value in self.flags().items() for part in (_option(key), value)]
        extra = [*self.study.train_extra, *self.method.extra]
        return [*flags, "--seed", str(self.seed), *(["--", *extra] if extra else [])]

    def train_command(self) -> list[str]:
        return [
            *(str(SCRIPTS / "train.sh"), "--data", str(self.study.corpus)),
            *("--save-dir", str(self.folder), *self.train_arguments()),
        ]

    def evaluate_arguments(self) -> list[str]:
        """Arguments of scripts/evaluate.sh but the checkpoint, the data and the subset."""
        settings = self.study.evaluation
        arguments = ["--beam", str(settings.beam), "--lenpen", str(settings.lenpen)]
        arguments += ["--max-tokens", str(settings.max_tokens)]
        if settings.checkpoint.startswith("average"):
            arguments += ["--average", settings.checkpoint.removeprefix("average")]
        return [*arguments, *(["--allow-empty"] if settings.allow_empty else [])]

    def evaluate_command(self, subset: str) -> list[str]:
        chosen = self.study.evaluation.checkpoint
        name = "checkpoint_last.pt" if chosen == "last" else "checkpoint_best.pt"
        return [
            *(str(SCRIPTS / "evaluate.sh"), "--data", str(self.study.corpus)),
            *("--checkpoint", str(self.folder / name), "--subset", subset),
            *("--output", str(self.scores_folder(subset)), *self.evaluate_arguments()),
        ]

    def scores_folder(self, subset: str) -> Path:
        return self.folder / f"{subset}-scores"

    def scores(self, subset: str) -> dict[str, Any] | None:
        """The finished evaluation of a subset, or None."""
        found = read_json(self.scores_folder(subset) / "scores.json")
        return found if isinstance(found, dict) else None

    def config(self, corpus: Corpus) -> dict[str, Any]:
        """What decides the run's results; a folder belongs to one config for ever."""
        return {
            "method": self.method.name,
            "setting": dict(self.setting),
            "seed": self.seed,
            "train": self.train_arguments(),
            "evaluate": {"checkpoint": self.study.evaluation.checkpoint, **_rest(self.study)},
            "corpus": {"name": corpus.name, "raw_sha256": corpus.manifest.get("raw_sha256")},
        }

    def claim(self, corpus: Corpus) -> None:
        """Make the folder and write config.json, or check that it is of the same config.

        Raises UserError if the folder was made for another config.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path, config = self.folder / "config.json", self.config(corpus)
        found = read_json(path)
        if found is None:
            if any(path for path in self.folder.iterdir() if path.suffix != ".part"):
                raise UserError(
                    f"{self.folder}: expected an empty folder or one of this study (with "
                    "config.json), found other content; choose another --output"
                )
            write_json(path, config)
        elif found != json.loads(json.dumps(config)):
            different = ", ".join(key for key in config if found.get(key) != config[key])
            raise UserError(
                f"{self.folder}: expected a run with the study's present settings, found one with "
                f"another {different}; choose another --output, or remove that folder"
            )


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _rest(study: Study) -> dict[str, Any]:
    values = asdict(study.evaluation)
    values.pop("checkpoint")
    return values


def search_runs(study: Study, root: Path) -> list[Run]:
    """The runs among which the settings of grids are chosen."""
    return [
        Run(study, method, setting, seed, root)
        for method in study.methods
        if method.grid
        for setting in method.settings()
        for seed in study.search.seeds
    ]


def final_runs(study: Study, root: Path, *, choices: Mapping[str, Mapping[str, str]]) -> list[Run]:
    """The runs that are scored on the tests: methods without a grid, and chosen settings."""
    return [
        Run(study, method, choices[method.name] if method.grid else {}, seed, root)
        for method in study.methods
        if not method.grid or method.name in choices
        for seed in study.seeds
    ]
