"""TSLA-pre: a frozen teacher's distribution in the place of the uniform one, in stage 1.

The teacher is a checkpoint of fairseq. It is read when the first batch of stage 1 needs it,
so a run that starts in stage 2, fairseq-validate and fairseq-generate never touch its file;
it is dropped when stage 2 begins. It is no submodule of the criterion: no checkpoint holds it,
no optimizer sees it.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from fairseq import checkpoint_utils, models, tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.file_io import PathManager
from fairseq.modules import LearnedPositionalEmbedding
from torch import Tensor

from fairseq_labo.criterions.logits import model_logits

logger = logging.getLogger(__name__)

LANGUAGES = ("source_lang", "target_lang")
# Of a task's configuration: the tokens that it puts into a batch beside those of the text.
TOKENS = ("encoder_langtok", "decoder_langtok", "add_bos_token", "prepend_bos")
# The same in the YAML of speech_to_text's data.
TAGS = ("prepend_tgt_lang_tag", "prepend_bos_and_append_tgt_lang_tag")


class TeacherError(RuntimeError):
    """The checkpoint of --teacher-path cannot teach this student.

    A RuntimeError, because fairseq's trainer answers those by stopping, and every other
    exception by first writing a checkpoint of the untrained model.
    """


class Teacher:
    """A frozen model that is read from `path` when it is first asked."""

    def __init__(self, path: str, *, task: Any) -> None:
        self.path = path
        self.task = task
        self._model: Any = None

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    @torch.no_grad()
    def logits(self, sample: Mapping[str, Any], *, student: Any) -> Tensor:
        """The teacher's logits [..., V] on the student's batch.

        The model takes the device and the dtype of the student's parameters when it is loaded;
        it stays in evaluation mode, so there is no dropout in it.
        """
        if self._model is None:
            parameter = next(student.parameters())
            # Its weights are drawn before they are read, and the student's dropout must not differ
            # by whether this update has read the teacher, as that after a restart does.
            with torch.random.fork_rng(devices=[]):
                model = load_teacher(self.path, self.task)
                check_positions(self.path, model, student, self.task)
            self._model = model.to(device=parameter.device, dtype=parameter.dtype)
        return model_logits(self._model, self._model(**sample["net_input"]))

    def release(self) -> None:
        """Drop the model; its memory is free for stage 2."""
        self._model = None


def load_teacher(path: str, task: Any) -> Any:
    """The model of a checkpoint, frozen, in evaluation mode, on the CPU.

    Raises:
        TeacherError: there is no such file, it is no checkpoint of fairseq, it is of another
            task or language pair or has a model for each pair, or its vocabulary is not the
            student's.
    """
    if not PathManager.isfile(path):
        raise TeacherError(
            f"--teacher-path: expected a checkpoint of fairseq, found no file at {path}; give the "
            f"path of a trained model, like runs/teacher/checkpoint_best.pt"
        )
    try:
        state = checkpoint_utils.load_checkpoint_to_cpu(path)
        config = state.get("cfg") or convert_namespace_to_omegaconf(state["args"])
        weights = state["model"]
    except Exception as cause:
        raise TeacherError(
            f"--teacher-path: expected a checkpoint of fairseq, found in {path} something that "
            f"cannot be read as one: {type(cause).__name__}: {cause}"
        ) from cause
    check_task(path, config.task, task)
    try:
        # Not task.build_model: under --eval-bleu that makes the teacher the model to translate.
        model = models.build_model(config.model, task, from_checkpoint=True)
        model.load_state_dict(weights, strict=True, model_cfg=config.model)
    except Exception as cause:
        raise TeacherError(
            f"--teacher-path: the model of {path} does not fit the student's task; it must have "
            f"been trained on the same dictionaries. {type(cause).__name__}: {cause}"
        ) from cause
    if isinstance(model, models.FairseqMultiModel):
        raise TeacherError(
            f"--teacher-path: expected one model for all batches, found one for each language pair "
            f"({type(model).__name__}) in {path}; leave out --teacher-path, or train with the task "
            f"translation"
        )
    model.requires_grad_(False).eval()
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    logger.info("teacher of stage 1: %s, %s frozen parameters", path, f"{num_parameters:,}")
    return model


def check_task(path: str, teacher_config: Any, task: Any) -> None:
    """Raise TeacherError unless a teacher of that task's configuration can teach on `task`."""
    name = getattr(teacher_config, "_name", None) or getattr(teacher_config, "task", None)
    kind = tasks.TASK_REGISTRY.get(name)
    if kind is None or not isinstance(task, kind):
        raise TeacherError(
            f"--teacher-path: expected a model of the student's task, {type(task).__name__}, "
            f"found one of the task {name} in {path}; teacher and student must read the same batch"
        )
    if name == "online_backtranslation":  # which adds symbols when it builds its own model
        raise TeacherError(
            f"--teacher-path: expected a task whose dictionaries are those of its files, found "
            f"{name}; leave it out"
        )
    ours = getattr(task, "cfg", None) or getattr(task, "args", None)
    for key in (*LANGUAGES, *TOKENS):
        theirs, expected = (getattr(each, key, None) or None for each in (teacher_config, ours))
        # The languages need not be given.
        if theirs != expected and (key in TOKENS or (theirs and expected)):
            raise TeacherError(
                f"--teacher-path: expected a teacher with --{key.replace('_', '-')} {expected}, "
                f"like the student, found {theirs} in {path}"
            )
    taught, wanted = (_pairs(each) for each in (teacher_config, ours))
    if taught and not wanted <= taught:
        raise TeacherError(
            f"--teacher-path: expected a teacher of the student's --lang-pairs, "
            f"{','.join(sorted(wanted))}, found one of {','.join(sorted(taught))} in {path}"
        )
    check_dictionaries(path, teacher_config, task)


def _pairs(config: Any) -> set[str]:
    """The pairs of languages of a multilingual task, as it was given or as the task parted it."""
    pairs = getattr(config, "lang_pairs", None) or []
    found = set(pairs.split(",") if isinstance(pairs, str) else pairs)
    for more in (getattr(config, "extra_lang_pairs", None) or {}).values():
        found.update(more.split(","))
    return found


def check_positions(path: str, teacher: Any, student: Any, task: Any) -> None:
    """Raise TeacherError if the student may read sentences for which the teacher has no positions.

    Positions that are computed have no end.
    """
    if not any(isinstance(module, LearnedPositionalEmbedding) for module in teacher.modules()):
        return
    ours = utils.resolve_max_positions(task.max_positions(), student.max_positions())
    theirs = teacher.max_positions()
    both = utils.resolve_max_positions(ours, theirs)
    if both != ours:
        remedy = f"--tokens-per-sample {both} and no other --max-target-positions"
        if isinstance(both, tuple):
            remedy = f"--max-source-positions {both[0]} --max-target-positions {both[1]}"
        raise TeacherError(
            f"--teacher-path: expected learned positions for as many tokens as the student may "
            f"read, {ours}, found {theirs} in {path}; give the student {remedy}"
        )


def check_dictionaries(path: str, teacher_config: Any, task: Any) -> None:
    """Raise TeacherError if the teacher's dictionaries, or tags, are at hand and not the student's.

    A checkpoint names the folder of its data; the dictionaries are there. Where that folder is
    gone, only the sizes of the embeddings can be compared, which the log then says.
    """
    folders = utils.split_paths(getattr(teacher_config, "data", None) or "")
    if not folders or not os.path.isdir(folders[0]):
        logger.warning(
            "teacher %s: its data %s is not here, so that its dictionaries (and language tags) "
            "cannot be compared with the student's, only their sizes",
            path,
            folders[0] if folders else "folder",
        )
        return
    try:
        teacher_task = tasks.setup_task(teacher_config, from_checkpoint=True)
    except Exception as cause:
        raise TeacherError(
            f"--teacher-path: the dictionaries that the teacher {path} was trained on cannot be "
            f"read from {folders[0]}: {type(cause).__name__}: {cause}"
        ) from cause
    for key in TAGS:
        of_data = (getattr(each, "data_cfg", None) for each in (teacher_task, task))
        theirs, ours = (getattr(each, key, False) for each in of_data)
        if theirs != ours:
            raise TeacherError(
                f"--teacher-path: expected a teacher whose data has {key}: {ours}, like the "
                f"student's, found {theirs} in {path}"
            )
    for side in ("source_dictionary", "target_dictionary"):
        theirs, ours = getattr(teacher_task, side), getattr(task, side)
        if theirs != ours:
            raise TeacherError(
                f"--teacher-path: expected the student's {side.replace('_', ' ')}, "
                f"{first_difference(ours, theirs)} in {folders[0]}; train the teacher on the "
                f"student's dictionaries (fairseq-preprocess --srcdict, --tgtdict)"
            )


def first_difference(ours: Any, theirs: Any) -> str:
    """What of two dictionaries that differ to show: their sizes, or the first other symbol."""
    if len(ours) != len(theirs):
        return f"of {len(ours)} entries, found one of {len(theirs)}"
    index = next(n for n in range(len(ours)) if ours[n] != theirs[n])
    return f"whose entry {index} is {ours[index]!r}, found {theirs[index]!r}"
