"""Which evaluation a scores.json is of, so that it never replaces the scores of another."""

import argparse
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.checkpoints import corpus_record, fingerprint
from fairseq_labo.experiments.console import say
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, sha256_of

CONTENT = "content of the checkpoint"
SCORES = "scores.json"  # the file
AVERAGED = "averaged.pt"
PART = ".part"  # of the output folder: what is not finished
CONFIG = "config.json"  # in a run of a study, beside the folders of its evaluations
LOG = "generate.log"
TEXTS = ("hyp.{}", "hyp.tok.{}", "ref.tok.{}")  # by the target language
# What an entry of scores.json is called. Files from before have only some of them.
NAMES = {
    ("corpus",): "corpus",
    ("languages",): "languages",
    ("dictionaries",): "dictionaries",
    ("subset", "name"): "subset",
    ("subset", "sha256"): "references",
    ("subset", "binarized"): "binarized text",
    ("preprocessing", "subwords"): "--subwords",
    ("preprocessing", "tokenizer"): "--tokenizer",
    ("generation", "beam"): "--beam",
    ("generation", "lenpen"): "--lenpen",
    # Hypotheses are cut by the longest source in their batch.
    ("generation", "max_tokens"): "--max-tokens",
    ("generation", "extra"): "flags behind --",
    ("checkpoint", "path"): "checkpoint",
    ("checkpoint", "average"): "--average",
    ("checkpoint", "sha256"): CONTENT,
}


def identity(
    options: argparse.Namespace,
    corpus: PreparedCorpus,
    checkpoints: Sequence[Path],
    references: Sequence[str],
) -> dict[str, Any]:
    """The entries of scores.json that tell evaluations apart, and what belongs beside them.

    `checkpoints`: the one that is evaluated, or those whose average is.
    """
    generation = {name: getattr(options, name) for name in ("beam", "lenpen", "max_tokens")}
    text = "\n".join(references)
    binarized = sorted(corpus.bin_dir.glob(f"{options.subset}.*-*.*.bin"))
    return {
        **corpus_record(corpus),
        "subset": {
            "name": options.subset,
            "release_name": corpus.release_name(options.subset),
            "sentences": len(references),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "binarized": {path.name: sha256_of(path) for path in binarized},
        },
        "preprocessing": {"subwords": corpus.subwords, "tokenizer": corpus.tokenizer},
        "generation": {**generation, "extra": options.passed_on},
        "checkpoint": {
            "path": checkpoints[0].name if options.average is None else AVERAGED,
            "average": options.average or 1,
            "sha256": fingerprint(checkpoints),
        },
    }


def check_earlier(path: Path, present: Mapping[str, Any], *, beside: Path) -> Mapping[str, Any]:
    """The scores.json at `path`, if it is of the present setting and checkpoint; else nothing.

    Where only the content of the checkpoint is another, and `path` lies in the checkpoint's folder
    `beside`, its training went on: the earlier scores are kept under a second name. Raises
    UserError for scores of another setting, or of a checkpoint elsewhere.
    """
    earlier = read_json(path)
    if not isinstance(earlier, dict) or not any(_at(earlier, keys) for keys in NAMES):
        subset, (_, language) = present["subset"]["name"], present["languages"]
        _check_nobody_s(path, subset=subset, language=language)
        return {}
    different = {}
    for keys, name in NAMES.items():
        before, now = _at(earlier, keys), _at(present, keys)
        # The same content may have two names (best and last), and none if the file is old.
        named = keys == ("checkpoint", "path") and _at(earlier, ("checkpoint", "sha256"))
        if before not in (None, now) and not named:
            different[name] = f"{name} ({_short(before)}, now {_short(now)})"
    same_file = _at(earlier, ("checkpoint", "path")) == _at(present, ("checkpoint", "path"))
    within = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(beside))
    if list(different) == [CONTENT] and same_file and within:
        kept = path.with_name(f"scores.{_at(earlier, ('checkpoint', 'sha256'))[:8]}.json")
        shutil.copyfile(path, kept)
        say(f"{path} is of an earlier content of this checkpoint: kept as {kept.name}")
        return {}
    if different:
        raise UserError(
            f"{path}: expected scores of the present setting, which these would replace, found "
            f"another {'; '.join(different.values())}; give another --output, or remove that file"
        )
    return earlier


def _check_nobody_s(path: Path, *, subset: str, language: str) -> None:
    """Raise UserError for files that an evaluation would replace, beside no scores of one."""
    folder = path.parent
    # One that was cut off, or that was taken over by a study.
    if any(ours.exists() for ours in (folder / LOG, folder / PART, folder.parent / CONFIG)):
        return
    names = [path.name, f"generate-{subset}.txt", *(name.format(language) for name in TEXTS)]
    if others := [folder / name for name in names if (folder / name).exists()]:
        raise UserError(
            f"{others[0]}: expected a new folder, or that of an evaluation, found a file that is "
            "beside none; give another --output, or move it"
        )


def _at(content: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
