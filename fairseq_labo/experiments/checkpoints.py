"""Checkpoints of fairseq: the one reader of such files, and whether one is of a corpus.

`labo train` calls some of this, so that torch is imported only where a file is read.
"""

import hashlib
import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.console import say
from fairseq_labo.experiments.data.intact import SPECIAL_SYMBOLS, read_dictionary
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, sha256_of, write_json

# What is read of a checkpoint beside the model, each of which it may lack.
KINDS = {"cfg": dict, "args": Namespace, "extra_state": dict, "optimizer_history": list}
CHECKPOINTS = "checkpoint*.pt"
CORPUS = "corpus.json"  # beside the checkpoints of labo train
RELATIVE = "relative"  # of a record: the training's folder of data, which is looked for from here
# What torch's safe loader says of a type that it does not build.
REFUSED = re.compile(r"(?:GLOBAL|Unsupported class) ([\w.]+)")


class _NoCheckpoint(Exception):
    """Says what was found in the place of a checkpoint."""


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, by torch's safe loader; its tensors stay in the file.

    Files of torch's old format are read whole. Raises UserError for whatever is not a whole
    checkpoint with a model; it names the newest good one beside it.
    """
    try:
        return _read(path)
    except _NoCheckpoint as error:
        good = (path.is_dir() and newest_good(path)) or newest_good(path.parent, but=path)
        where = "in" if good and good.parent == path else "beside"
        beside = f"the newest good one {where} it is {good}" if good else "no good one is beside it"
        raise UserError(
            f"{path}: expected a checkpoint of fairseq, found {error}; {beside}"
        ) from error


def newest_good(folder: Path, *, but: Path | None = None) -> Path | None:
    """The newest file ``checkpoint*.pt`` of a folder that can be read, other than `but`."""
    paths = [path for path in folder.glob(CHECKPOINTS) if path != but and path.is_file()]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(_NoCheckpoint):
            _read(path)
            return path
    return None


def updates_of(path: Path) -> int | None:
    """The updates up to a checkpoint; None for what is none, or does not tell them."""
    try:
        history = _read(path).get("optimizer_history") or [None]
    except _NoCheckpoint:
        return None
    last = history[-1]
    updates = last.get("num_updates") if isinstance(last, dict) else None
    return updates if isinstance(updates, int) else None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise _NoCheckpoint("a folder" if path.is_dir() else "no file")
    import torch

    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        if not start:
            raise _NoCheckpoint("an empty file")
        zipped = zipfile.is_zipfile(path)  # whose directory stands at the end
        if start == b"PK\x03\x04" and not zipped:
            raise _NoCheckpoint(
                "a part of one: its end is missing (a full disk, or a kill, while it was written)"
            )
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)
    except OSError as error:
        raise _NoCheckpoint(f"a file that cannot be read ({error.strerror})") from error
    except _NoCheckpoint:
        raise
    except Exception as error:  # of torch, zipfile and pickle, by what the bytes are
        if refused := REFUSED.search(str(error)):
            raise _NoCheckpoint(
                f"an object of {refused[1]} in it, which is not data; nothing of it was run"
            ) from error
        raise _NoCheckpoint("another kind of file, or a damaged one") from error
    model = state.get("model") if isinstance(state, dict) else None
    if not isinstance(model, Mapping) or not all(map(torch.is_tensor, model.values())):
        raise _NoCheckpoint("a file without a model")
    for name, kind in KINDS.items():
        if not isinstance(state.get(name) or kind(), kind):
            raise _NoCheckpoint(f"no {kind.__name__} in its entry {name!r}")
    return state


def fingerprint(paths: Sequence[Path]) -> str:
    """SHA-256 of a checkpoint's bytes; of several, which are averaged, that of all of theirs.

    Raises UserError for a file that is damaged within, at which torch does not look.
    """
    for path in filter(zipfile.is_zipfile, paths):
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        except Exception as error:  # of zipfile, by which bytes are others
            damaged = f"({error})"
        if damaged is not None:
            raise UserError(
                f"{path}: expected a whole checkpoint, found damage in {damaged}: it does not have "
                "its checksum; copy or make it again (if torch was told to write no checksums, "
                "save it with them)"
            )
    hashes = [sha256_of(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def corpus_record(corpus: PreparedCorpus) -> dict[str, Any]:
    """What identifies a corpus for a model: name, languages, and hashes of the dictionaries."""
    source, target = corpus.languages
    return {
        "corpus": corpus.name,
        "languages": [source, target],
        "dictionaries": _dictionaries(corpus.bin_dir, corpus.languages),
    }


def _dictionaries(bin_dir: Path, languages: Sequence[str]) -> dict[str, str]:
    """By language, the SHA-256 of the symbols, one a line; counts do not concern a model."""
    symbols = {each: read_dictionary(bin_dir / f"dict.{each}.txt") for each in languages}
    return {
        language: hashlib.sha256("\n".join(each).encode()).hexdigest()
        for language, each in symbols.items()
    }


def record_corpus(
    save_dir: Path,
    corpus: PreparedCorpus,
    *,
    counted: bool = False,
    begun: Mapping[str, Any] | None = None,
) -> None:
    """Write corpus.json for the checkpoints that a training is about to leave in `save_dir`.

    `counted`: the target side of its training data is, too, since a prior is made of its counts.
    `begun`: what holds where there is no corpus.json yet, of `corpus_of`.

    Raises UserError if the folder's checkpoints are of other languages or dictionaries, or, where
    it is counted, of another text.
    """
    now, before = corpus_record(corpus), read_json(save_dir / CORPUS)
    if counted:
        texts = sorted(corpus.bin_dir.glob(f"train*.*-*.{corpus.languages[1]}.bin"))
        now["target_text"] = {path.name: sha256_of(path) for path in texts}
    before = before if isinstance(before, dict) else begun
    if before and any(save_dir.glob(CHECKPOINTS)):
        _check_recorded(before, corpus, f"{save_dir}: expected checkpoints")
        if counted and before.get("target_text") not in (None, now["target_text"]):
            raise UserError(
                f"{save_dir}: expected the target side of the training data that --label-prior "
                f"counted, found another in {corpus.bin_dir}: the prior would change; give the "
                f"corpus as it was, or another --save-dir"
            )
    save_dir.mkdir(parents=True, exist_ok=True)
    write_json(save_dir / CORPUS, now)


def corpus_of(path: Path) -> dict[str, Any]:
    """What a checkpoint tells of the corpus of its training, as far as it does. Imports torch."""
    state = load_checkpoint(path)
    try:
        return _record_of(path, settings_of(state, "task"))
    except UserError:  # of its settings
        return {}


def _check_recorded(record: Mapping[str, Any], corpus: PreparedCorpus, expected: str) -> None:
    now = corpus_record(corpus)
    for key, what in (("languages", "languages"), ("dictionaries", "dictionaries, by content,")):
        if record.get(key) not in (None, now[key]):
            remedy = "give the checkpoint or the corpus that fits"
            if relative := record.get(RELATIVE):
                remedy += f", or call this where the training was started, from which {relative} is"
            raise UserError(
                f"{expected} of the corpus {corpus.folder} ({'-'.join(corpus.languages)}), found "
                f"other {what} of its training: {record.get('corpus')}, {record.get('languages')}; "
                f"{remedy}"
            )


def check_corpus(
    path: Path, corpus: PreparedCorpus, *, task: str = "translation"
) -> dict[str, Any]:
    """The checkpoint at `path`, if it is of the corpus: its task, languages, dictionaries.

    The dictionaries of its training are told by corpus.json beside it, or else by the folder that
    it was trained on, if that still is there; their sizes are always compared. Raises UserError
    if one differs, and for parameters that are no numbers.
    """
    state = load_checkpoint(path)
    trained = settings_of(state, "task")
    name = trained.get("_name") or trained.get("task") or task
    if name != task:
        raise UserError(
            f"{path}: expected a model of fairseq's task {task}, found one of {name}; if it can "
            f"translate this corpus, name its task: -- --task {name}"
        )
    record = _record_of(path, trained)
    relative = record.get(RELATIVE)
    if "dictionaries" not in record:
        what = "only their sizes are compared" if task == "translation" else "they are not compared"
        say(f"{path} does not tell the dictionaries of its training: {what}")
    elif relative and Path(relative).resolve() == corpus.bin_dir.resolve():
        say(
            f"{path} tells of its training the folder {relative}, which is seen from here that of "
            "this corpus: only sizes of dictionaries compared"
        )
    _check_recorded(record, corpus, f"{path}: expected a model")
    if task == "translation":  # others add symbols of their own
        _check_sizes(path, state["model"], corpus)
    check_finite(path, state["model"])
    return state


def check_finite(path: Path, model: Mapping[str, Any]) -> None:
    """Raise UserError for parameters that are no numbers, of the checkpoint at `path`."""
    for name, tensor in model.items():
        # By its extremes, which take no memory; a NaN is both.
        if tensor.numel() and not all(end.isfinite() for end in tensor.aminmax()):
            raise UserError(
                f"{path}: expected finite parameters, found inf or nan in {name}: the training "
                "diverged; evaluate an earlier checkpoint"
            )


def _record_of(path: Path, trained: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the corpus of a checkpoint's training, by the settings of its task."""
    beside = read_json(path.parent / CORPUS)
    if beside is None:  # the checkpoint may be a link
        beside = read_json(path.resolve().parent / CORPUS)
    data = str(trained.get("data")).split(":")[0]
    record = dict(beside) if isinstance(beside, dict) else {"corpus": data}
    languages = [trained.get("source_lang"), trained.get("target_lang")]
    if all(languages):
        record["languages"] = languages
    with suppress(UserError, OSError, ValueError):  # the folder is gone, or its name is none
        if "languages" not in record:  # fairseq had found them by itself
            record["languages"] = list(PreparedCorpus.read(Path(data)).languages)
        if "dictionaries" not in record:
            record["dictionaries"] = _dictionaries(Path(data), record["languages"])
            if not Path(data).is_absolute():
                record[RELATIVE] = data
    return record


def _check_sizes(path: Path, model: Mapping[str, Any], corpus: PreparedCorpus) -> None:
    for side, language in zip(("encoder", "decoder"), corpus.languages, strict=True):
        embedding = model.get(f"{side}.embed_tokens.weight")
        size = len(read_dictionary(corpus.bin_dir / f"dict.{language}.txt")) + SPECIAL_SYMBOLS
        if embedding is not None and embedding.shape[:1] != (size,):
            raise UserError(
                f"{path}: expected a model of the dictionaries of {corpus.bin_dir} ({size} symbols "
                f"of {language}), found {embedding.shape[0]}; give the corpus of its training"
            )


def settings_of(state: Mapping[str, Any], part: str) -> dict[str, Any]:
    """A part of the configuration (task, model, ...) in a checkpoint, of old ones all of it."""
    chosen = (state.get("cfg") or {}).get(part) or state.get("args") or {}
    if not isinstance(chosen, Namespace | dict):
        raise UserError(f"expected settings in the checkpoint's {part!r}, found {chosen!r}")
    return dict(vars(chosen) if isinstance(chosen, Namespace) else chosen)
