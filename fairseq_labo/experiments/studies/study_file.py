"""Reading a study file: YAML to `studies.study.Study`, all errors at once."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import default_folder
from fairseq_labo.experiments.studies.schema import Model, problems
from fairseq_labo.experiments.studies.study import Heading, Study

Checked = TypeVar("Checked", bound=Model)
EMBEDDED = Path(__file__).parent
LARGEST_BYTES = 1_000_000
# Decimal ones alone: in YAML 1.1 010 is 8, 1:30 is 90, and on is true. Others are texts here.
PLAIN = {
    "tag:yaml.org,2002:bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"),
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?$"
        r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
}


class _Loader(yaml.SafeLoader):
    """YAML without aliases, a few of which can stand for gigabytes, and without repeated keys."""

    def construct_scalar(self, node: Any) -> Any:
        content = super().construct_scalar(node)
        if re.search("[\ud800-\udfff]", content):
            raise yaml.YAMLError(
                f"a lone surrogate in {content!r}, which no file can hold; write the character "
                f"itself{node.start_mark}"
            )
        return content

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken; write the entry out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        content = super().construct_mapping(node, deep=deep)
        if len(content) != len(node.value):
            found = set()
            for key, _ in node.value:
                name = self.construct_object(key, deep=True)
                if name in found:
                    raise yaml.YAMLError(
                        f"{name} is there twice, again in line {key.start_mark.line + 1}; leave "
                        "one out"
                    )
                found.add(name)
        return content


_Loader.yaml_implicit_resolvers = {
    first: [(tag, PLAIN.get(tag, pattern)) for tag, pattern in pairs]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


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


def read_heading(path: Path) -> Heading:
    """What a report that is written again needs of a study file; errors as `read_study`.

    Nothing else is checked: the criterion of a method may be found from another folder alone.
    """
    return _checked(read_yaml(path), Heading, called=f"{path}")


def make_study(content: Any, path: Path, *, called: str = "") -> Study:
    """The study that `content` says; `path` is the file's, for relative folders.

    Raises UserError that begins with `called`, or with the path.
    """
    study = _checked(content, Study, called=called or f"{path}")
    # An embedded study's data lie where the commands' data lie.
    base = default_folder() if path.parent == EMBEDDED else path.parent
    references = {subset: base / file for subset, file in study.references.items()}
    return study.model_copy(update={"corpus": base / study.corpus, "references": references})


def _checked(content: Any, model: type[Checked], *, called: str) -> Checked:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        wrong = problems(error, model)
        raise UserError("\n".join(f"{called}: {line}" for line in wrong)) from error
