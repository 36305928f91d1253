"""The checkpoint of a teacher: which are read, and which are refused, with the reason."""

import logging
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq import tasks

from fairseq_labo.criterions.teacher import (
    TAGS,
    Teacher,
    TeacherError,
    check_dictionaries,
    check_positions,
    check_task,
    load_teacher,
)
from tests.criterions.conftest import Built
from tests.criterions.conftest import build as build  # the fixture
from tests.training.runs import TSLA


@pytest.fixture
def task(build: Callable[..., Built]) -> Any:
    return build(*TSLA, "--smoothing-updates", 6).task


def changed(teacher: Path, folder: Path, **task_config: Any) -> str:
    """A copy of the teacher whose checkpoint names another task configuration."""
    state = torch.load(teacher)
    state["cfg"]["task"].update(task_config)
    path = folder / "changed.pt"
    torch.save(state, path)
    return str(path)


def test_missing_and_broken_files(task: Any, tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="expected a checkpoint of fairseq, found no file at"):
        load_teacher(str(tmp_path / "none.pt"), task)
    (tmp_path / "text.pt").write_text("no checkpoint", encoding="utf-8")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt"):
        with pytest.raises(TeacherError, match=f"{name} something that cannot be read"):
            load_teacher(str(tmp_path / name), task)


def test_reading_it_draws_no_random_numbers(build: Callable[..., Built], teacher: Path) -> None:
    """Else the student's dropout would be another in the update that reads it after a restart."""
    built = build(*TSLA, "--smoothing-updates", 6)
    before = torch.get_rng_state()
    Teacher(str(teacher), task=built.task).logits(built.batch, student=built.model)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_for_each_language_pair_cannot_teach(
    task: Any, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the task multilingual_translation, which is called by pairs."""
    from fairseq.models import FairseqMultiModel, build_model

    def of_pairs(*arguments: Any, **options: Any) -> FairseqMultiModel:
        model = build_model(*arguments, **options)
        both = FairseqMultiModel({"de-en": model.encoder}, {"de-en": model.decoder})
        both.load_state_dict = model.load_state_dict
        return both

    monkeypatch.setattr("fairseq_labo.criterions.teacher.models.build_model", of_pairs)
    with pytest.raises(TeacherError, match=r"found one for each language pair .* leave out"):
        load_teacher(str(teacher), task)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"_name": "language_modeling"}, "student's task, TranslationTask, found one of the task"),
        ({"_name": "translation_lev"}, "found one of the task translation_lev"),
        ({"_name": "unheard_of"}, "found one of the task unheard_of"),
        ({"source_lang": "en"}, "expected a teacher with --source-lang de.*found en"),
        ({"target_lang": "fr"}, "expected a teacher with --target-lang en.*found fr"),
        ({"encoder_langtok": "src"}, "a teacher with --encoder-langtok None, .* found src"),
        ({"add_bos_token": True}, "a teacher with --add-bos-token None, .* found True"),
    ],
)
def test_other_tasks(
    config: dict[str, str], match: str, task: Any, teacher: Path, tmp_path: Path
) -> None:
    if "source_lang" in config or "target_lang" in config:
        task.cfg.source_lang, task.cfg.target_lang = "de", "en"
    with pytest.raises(TeacherError, match=match):
        load_teacher(changed(teacher, tmp_path, **config), task)


def test_a_task_that_adds_symbols_when_it_builds_its_model() -> None:
    """Else its dictionaries would seem to be another training's."""
    kind = tasks.TASK_REGISTRY["online_backtranslation"]
    config = Namespace(_name="online_backtranslation")
    with pytest.raises(TeacherError, match=r"those of its files, found online_backtrans.* leave"):
        check_task("t.pt", config, object.__new__(kind))


@pytest.mark.parametrize(
    ("theirs", "more", "ours", "found"),
    [
        ("de-fr,fr-de", None, {}, "de-en, found one of de-fr,fr-de"),
        ("de-en,de-fr", None, {}, ""),
        ("de-fr", {"mined": "fr-de,de-en"}, {}, ""),
        ("de-en", None, {"mined": "de-fr"}, "de-en,de-fr, found one of de-en"),
    ],
)
def test_a_teacher_of_other_language_pairs(
    theirs: str, more: dict[str, str] | None, ours: dict[str, str], found: str
) -> None:
    """It has not seen a sentence of the student's pair."""
    student = object.__new__(tasks.TASK_REGISTRY["translation_multi_simple_epoch"])
    student.args = Namespace(lang_pairs=["de-en"], extra_lang_pairs=ours)
    name = "translation_multi_simple_epoch"
    config = Namespace(_name=name, lang_pairs=theirs, extra_lang_pairs=more)
    if not found:
        return check_task("t.pt", config, student)
    with pytest.raises(TeacherError, match=f"student's --lang-pairs, {found} in t.pt"):
        check_task("t.pt", config, student)


@pytest.mark.parametrize("key", TAGS)
def test_a_teacher_of_data_with_language_tags(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that the YAML of speech_to_text asks for; the two would read different targets."""
    theirs, ours = (Namespace(data_cfg=Namespace(**{key: tags})) for tags in (1, 0))
    monkeypatch.setattr(tasks, "setup_task", lambda *_, **__: theirs)
    with pytest.raises(TeacherError, match=rf"whose data has {key}: 0, like .* found 1 in"):
        check_dictionaries("t.pt", Namespace(data=str(tmp_path)), ours)


@pytest.mark.parametrize("learned", [True, False])
def test_a_teacher_with_fewer_positions(
    build: Callable[..., Built], learned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before the first batch, not by the first sentence that is too long; computed ones do."""
    student = build(*TSLA, "--smoothing-updates", 6, "--max-source-positions", 90)
    positions = ["--decoder-learned-pos"] if learned else []
    other = build(*TSLA, "--smoothing-updates", 6, "--max-target-positions", 70, *positions)
    monkeypatch.setattr("fairseq_labo.criterions.teacher.load_teacher", lambda *_: other.model)
    teacher = Teacher("small.pt", task=student.task)
    if not learned:
        assert teacher.logits(student.batch, student=student.model).dim() == 3
        return
    match = (
        r"as many tokens as the student may read, \(90, 1024\), found \(1024, 70\) in small.pt; "
    )
    match += "give the student --max-source-positions 90 --max-target-positions 70$"
    with pytest.raises(TeacherError, match=match):
        teacher.logits(student.batch, student=student.model)
    lm, task = (Namespace(max_positions=lambda size=size: size) for size in (128, 200))
    monkeypatch.setattr(other.model, "max_positions", lambda: 64)  # as of a language model
    with pytest.raises(TeacherError, match=r"give the student --tokens-per-sample 64 and no other"):
        check_positions("t.pt", other.model, lm, task)


@pytest.fixture
def data(toy_corpus: Path, tmp_path: Path) -> Path:
    """A copy of the binarized corpus, whose dictionaries a test may change."""
    return Path(shutil.copytree(toy_corpus / "bin", tmp_path / "data"))


def edit_dictionary(data: Path, language: str, edit: Callable[[list[str]], list[str]]) -> None:
    path = data / f"dict.{language}.txt"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(edit(lines)), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda lines: lines[:-2], r"of \d+ entries, found one of \d+"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], r"whose entry 4 is '.+', found '.+'"),
    ],
)
@pytest.mark.parametrize("language", ["de", "en"])
def test_other_vocabulary(
    language: str, edit: Any, match: str, task: Any, teacher: Path, data: Path, tmp_path: Path
) -> None:
    side = "source" if language == "de" else "target"
    edit_dictionary(data, language, edit)
    with pytest.raises(TeacherError, match=f"expected the student's {side} dictionary, {match}"):
        load_teacher(changed(teacher, tmp_path, data=str(data)), task)


@pytest.mark.slow
def test_without_the_teachers_data_sizes_are_compared(
    build: Callable[..., Built],
    teacher: Path,
    data: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    built = build(*TSLA, "--smoothing-updates", 6)
    path = changed(teacher, tmp_path, data="/nowhere/data")
    with caplog.at_level(logging.WARNING, logger="fairseq_labo"):
        load_teacher(path, built.task)
    assert "(and language tags) cannot be compared with the student's, only their" in caplog.text
    for dictionary in (built.task.src_dict, built.task.tgt_dict):
        dictionary.add_symbol("one-more")
    with pytest.raises(TeacherError, match=r"(?s)does not fit the student's task.*size mismatch"):
        load_teacher(path, built.task)
