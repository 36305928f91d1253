"""Reading a study file: YAML to `studies.study.Study`, all errors at once."""

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.studies.schema import problems
from fairseq_labo.experiments.studies.study import Study

EMBEDDED = Path(__file__).parent
LARGEST_BYTES = 1_000_000
OLD_FORM = re.compile(r"data-prep/prepare-([a-z0-9-]+)\.sh")  # how `prepare:` began before
GIVEN_BY_THE_STUDY = ("--destdir", "--source-dir", "--archive")


class _Loader(yaml.SafeLoader):
    """YAML without aliases, a few of which can stand for gigabytes, and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken; write the entry out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        content = super().construct_mapping(node, deep=deep)
        if len(content) != len(node.value):
            raise yaml.YAMLError(f"an entry is there twice{node.start_mark}")
        return content


def find_study(name: str) -> Path:
    """The file of that path, or the study of that name that comes with the package.

    Raises UserError if there is neither.
    """
    if (path := Path(name)).is_file():
        return path
    embedded = sorted(path.stem for path in EMBEDDED.glob("*.yaml"))
    if name in embedded:
        return EMBEDDED / f"{name}.yaml"
    raise UserError(f"{name}: expected a study file, or one of {', '.join(embedded)}; found none")


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; UserError if it is not one, or a suspicious one."""
    if path.stat().st_size > LARGEST_BYTES:
        raise UserError(f"{path}: expected at most {LARGEST_BYTES} bytes, found more")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected YAML, found an error: {error}") from error


def read_study(path: Path) -> Study:
    """Read and check a study file. Raises UserError with a line for each wrong entry."""
    return make_study(read_yaml(path), path)


def make_study(content: Any, path: Path) -> Study:
    """The study that `content` says; `path` is the file's, for errors and relative folders."""
    wrong = []
    words: tuple[str, ...] = ()
    if isinstance(content, dict) and content.get("prepare") is not None:
        try:
            words = _preparation(content["prepare"])
        except UserError as error:
            wrong.append(f"prepare: {error}")
        content = {**content, "prepare": words}
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        wrong += problems(error, Study)
    if wrong:
        raise UserError("\n".join(f"{path}: {line}" for line in wrong))
    # An embedded study's data lie where the commands' data lie.
    base = cli.default_folder() if path.parent == EMBEDDED else path.parent
    references = {subset: base / file for subset, file in study.references.items()}
    return study.model_copy(update={"corpus": base / study.corpus, "references": references})


def _preparation(value: Any) -> tuple[str, ...]:
    """Words of `labo prepare`, checked by its parser: a study file runs nothing else."""
    try:
        corpus, *options = shlex.split(value) if isinstance(value, str) else []
    except ValueError as error:
        raise UserError(
            "expected words of labo prepare, such as multi30k --pair de-en, found "
            f"{value!r} ({error})"
        ) from error
    if found := OLD_FORM.fullmatch(corpus):
        corpus = found[1]
    given = sorted({word.partition("=")[0] for word in options} & set(GIVEN_BY_THE_STUDY))
    if given:
        raise UserError(
            f"expected no {', '.join(given)}: the folder is the study's corpus, and archives are "
            "given to labo compare (--source-dir)"
        )
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            cli.parser_of("prepare").parse_args([corpus, *options, "--destdir", "x"])
        except SystemExit as error:
            reason = said.getvalue().strip().removeprefix("error: ").splitlines()[0]
            raise UserError(f"expected words of labo prepare, found {value!r}: {reason}") from error
    return (corpus, *options)
