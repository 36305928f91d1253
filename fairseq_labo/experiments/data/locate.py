"""Where the files of a corpus are: given by the user, in a folder of his, or downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_labo.experiments.data import download
from fairseq_labo.experiments.data.archives import Container, find_in_folder
from fairseq_labo.experiments.data.recipe import Corpus, Nested
from fairseq_labo.experiments.errors import UserError

DOWNLOADS = "download"


@dataclass(frozen=True)
class Request:
    """What the user said about files: --archive (several times), --source-dir, or neither."""

    archives: Sequence[Path] = ()
    source_dir: Path | None = None


@dataclass
class Located:
    """Archive or file name of the release -> where it is; `files`: all the files to hash."""

    containers: dict[str, Container] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def needed_names(corpus: Corpus) -> list[str]:
    """Return the archives of `corpus`, or the paths of the texts that are files of their own."""
    names: dict[str, None] = {}
    for _, member, lang in corpus.texts():
        path = member.path_of(lang, corpus.languages)
        names[member.archive_of(lang, corpus.languages) or path] = None
    if corpus.recipe.codes is not None:
        names[corpus.recipe.codes] = None
    return list(names)


def locate(
    corpus: Corpus,
    request: Request,
    destdir: Path,
    *,
    sources: Sequence[download.Source] | None = None,
    fetch: Callable[[download.Source, Path], Path] = download.fetch,
) -> Located:
    """Find or download every file of `corpus`, verified where a hash or size is known.

    Raises UserError for what is missing or wrong, with the addresses and the manual route.
    """
    if sources is None:
        sources = download.read_sources(corpus.sources) if corpus.sources else []
    known = {source.file: source for source in sources}
    located = Located()
    if request.archives:
        _take_archives(corpus, request.archives, known, located)
    names = [name for name in needed_names(corpus) if name not in located.containers]
    if request.source_dir is not None:
        _take_folder(corpus, request.source_dir, names, known, located)
    elif names:
        _download(corpus, destdir / DOWNLOADS, names, known, located, fetch)
    return located


def manual_route(corpus: Corpus, names: Sequence[str], known: Mapping[str, download.Source]) -> str:
    """Return the addresses of `names` and what to do with the files."""
    lines = []
    for name in names:
        for source in candidates(corpus, name, known):
            lines += [f"  {source.file}  from  {url}" for url in source.urls]
    if not lines:
        return f"no address is known for {', '.join(names)}: give its folder with --source-dir DIR"
    return (
        "Without a connection, download these files by hand into one folder DIR (any one address "
        "of a file will do):\n" + "\n".join(lines) + "\nthen add --source-dir DIR"
    )


def candidates(
    corpus: Corpus, name: str, known: Mapping[str, download.Source]
) -> list[download.Source]:
    """Return what to download for `name`: itself, or the larger archive that holds it."""
    nested = corpus.nested.get(name)
    files = [_basename(corpus, name)] + ([nested.outer] if nested else [])
    return [known[file] for file in files if file in known]


def _basename(corpus: Corpus, name: str) -> str:
    return name.removeprefix(f"{corpus.layout}/") if corpus.layout else name


def _add(located: Located, name: str, path: Path, nested: Nested | None) -> None:
    located.containers[name] = Container(path, nested.path if nested else None)
    located.files[nested.outer if nested else name] = path


def _take_archives(
    corpus: Corpus,
    archives: Sequence[Path],
    known: Mapping[str, download.Source],
    located: Located,
) -> None:
    names = needed_names(corpus)
    for path in archives:
        if not path.is_file():
            raise UserError(f"--archive {path}: expected a file, found none; check the path")
        by_name = [name for name in names if Path(name).name == path.name]
        outer = [name for name in names if _outer(corpus, name) == path.name]
        if len(by_name) > 1:  # told apart by their folders
            by_name = [name for name in by_name if str(path).endswith(name)]
        if not by_name and not outer and len(names) == 1:
            by_name = names  # there is only one that it can be
        if not by_name and not outer:
            raise UserError(
                f"--archive {path}: expected a file named as in the release "
                f"({', '.join(names)}), found another name; rename it"
            )
        for name in by_name or outer:
            source = known.get(_basename(corpus, name) if by_name else path.name)
            if source is not None:
                download.verify(path, source)
            _add(located, name, path, None if by_name else corpus.nested[name])


def _outer(corpus: Corpus, name: str) -> str | None:
    nested = corpus.nested.get(name)
    return nested.outer if nested else None


def _take_folder(
    corpus: Corpus,
    folder: Path,
    names: Sequence[str],
    known: Mapping[str, download.Source],
    located: Located,
) -> None:
    inner = folder / corpus.layout
    base = inner if corpus.layout and inner.is_dir() else folder
    short_names = [Path(name).name for name in needed_names(corpus)]
    missing = []
    for name in names:
        file = _basename(corpus, name)
        nested = corpus.nested.get(name)
        short = Path(file).name
        if not (path := base / file).is_file() and short_names.count(short) == 1:
            path = base / short
        if path.is_file():
            if file in known:
                download.verify(path, known[file])
            _add(located, name, path, None)
        elif nested is not None and (path := base / nested.outer).is_file():
            if nested.outer in known:
                download.verify(path, known[nested.outer])
            _add(located, name, path, nested)
        elif not _take_unpacked(corpus, base, name, located):
            missing.append(name)
    if missing:
        raise UserError(
            f"{folder}: expected {len(names)} files in it"
            + (f" or in {inner}" if corpus.layout else "")
            + f", found {len(names) - len(missing)}; missing: {', '.join(missing)}.\n"
            + manual_route(corpus, missing, known)
        )


def _take_unpacked(corpus: Corpus, folder: Path, name: str, located: Located) -> bool:
    paths = [
        member.path_of(lang, corpus.languages)
        for _, member, lang in corpus.texts()
        if member.archive_of(lang, corpus.languages) == name
    ]
    found = [find_in_folder(folder, path) for path in paths]
    if not paths or None in found:
        return False
    located.containers[name] = Container(folder)
    located.files.update({path.name: path for path in found if path is not None})
    return True


def _download(
    corpus: Corpus,
    folder: Path,
    names: Sequence[str],
    known: Mapping[str, download.Source],
    located: Located,
    fetch: Callable[[download.Source, Path], Path],
) -> None:
    for name in names:
        errors = []
        for source in candidates(corpus, name, known):
            try:
                path = fetch(source, folder)
            except UserError as error:
                errors.append(str(error))
                continue
            is_outer = source.file != _basename(corpus, name)
            _add(located, name, path, corpus.nested[name] if is_outer else None)
            break
        else:
            rest = [other for other in names if other not in located.containers]
            reasons = "\n".join(errors) or f"{name}: no address to download it from"
            raise UserError(f"{reasons}\n{manual_route(corpus, rest, known)}")
