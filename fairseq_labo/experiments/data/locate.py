"""Where the files of a corpus are: given by the user, in a folder of his, or downloaded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_labo.experiments.data import download
from fairseq_labo.experiments.data.archives import Container, find_in_folder
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.errors import UserError

DOWNLOADS = "download"
Fetch = Callable[[download.Source, Path], Path]


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
    corpus: Corpus, request: Request, destdir: Path, *, fetch: Fetch | None = None
) -> Located:
    """Find or download every file of `corpus`, verified where a hash or size is known.

    Raises UserError for what is missing or wrong, with the addresses and the manual route.
    """
    search = _Search(corpus)
    if corpus.at_hand:
        search.take_at_hand(request, destdir)
        return search.located
    search.take_archives(request.archives)
    names = [name for name in needed_names(corpus) if name not in search.located.containers]
    if request.source_dir is not None:
        search.take_folder(request.source_dir, names)
    else:
        search.download(destdir / DOWNLOADS, names, fetch or download.fetch)
    return search.located


def candidates(
    corpus: Corpus, name: str, known: Mapping[str, download.Source]
) -> list[download.Source]:
    """Return what to download for `name`: itself, or the larger archive that holds it."""
    nested = corpus.nested.get(name)
    files = [_basename(corpus, name)] + ([nested.outer] if nested else [])
    return [known[file] for file in files if file in known]


def _basename(corpus: Corpus, name: str) -> str:
    return name.removeprefix(f"{corpus.layout}/") if corpus.layout else name


class _Search:
    """The files of a corpus that are found so far."""

    def __init__(self, corpus: Corpus) -> None:
        sources = download.read_sources(corpus.sources) if corpus.sources else []
        self.corpus = corpus
        self.known = {source.file: source for source in sources}
        self.located = Located()

    def _take(self, name: str, path: Path, *, is_outer: bool = False) -> None:
        """Take `path` as the file `name`, or the larger archive that holds it, if it is right."""
        nested = self.corpus.nested[name] if is_outer else None
        source = self.known.get(nested.outer if nested else _basename(self.corpus, name))
        if source is not None:
            download.verify(path, source)
        self.located.containers[name] = Container(path, nested.path if nested else None)
        self.located.files[nested.outer if nested else name] = path

    def take_at_hand(self, request: Request, destdir: Path) -> None:
        if request.archives or request.source_dir is not None:
            raise UserError(
                f"expected neither --archive nor --source-dir for {self.corpus.name}, whose text "
                "is at hand, found one; leave it out"
            )
        for name, path in self.corpus.at_hand.items():
            if path.resolve().is_relative_to(destdir.resolve()):
                raise UserError(
                    f"{path}: expected the text outside {destdir}, whose folders are made again; "
                    "move it to another folder"
                )
            self._take(name, path)

    def take_archives(self, archives: Sequence[Path]) -> None:
        names = needed_names(self.corpus)
        nested = self.corpus.nested
        for path in archives:
            if not path.is_file():
                raise UserError(f"--archive {path}: expected a file, found none; check the path")
            by_name = [name for name in names if Path(name).name == path.name]
            outer = [name for name in nested if nested[name].outer == path.name]
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
                self._take(name, path, is_outer=not by_name)

    def take_folder(self, folder: Path, names: Sequence[str]) -> None:
        inner = folder / self.corpus.layout
        base = inner if self.corpus.layout and inner.is_dir() else folder
        missing = [name for name in names if not self._take_from(base, name)]
        if missing:
            raise UserError(
                f"{folder}: expected {len(names)} files in it"
                + (f" or in {inner}" if self.corpus.layout else "")
                + f", found {len(names) - len(missing)}; missing: {', '.join(missing)}.\n"
                + self._manual_route(missing)
            )

    def _take_from(self, folder: Path, name: str) -> bool:
        """Take `name`, the archive around it or what it unpacks to, if `folder` has one of them."""
        file = _basename(self.corpus, name)
        nested = self.corpus.nested.get(name)
        paths = [folder / file]
        if [Path(other).name for other in needed_names(self.corpus)].count(Path(file).name) == 1:
            paths.append(folder / Path(file).name)
        for path in paths:
            if path.is_file():
                self._take(name, path)
                return True
        if nested is not None and (folder / nested.outer).is_file():
            self._take(name, folder / nested.outer, is_outer=True)
            return True
        languages = self.corpus.languages
        unpacked = [
            find_in_folder(folder, member.path_of(lang, languages))
            for _, member, lang in self.corpus.texts()
            if member.archive_of(lang, languages) == name
        ]
        if not unpacked or None in unpacked:
            return False
        self.located.containers[name] = Container(folder)
        self.located.files.update({path.name: path for path in unpacked if path is not None})
        return True

    def download(self, folder: Path, names: Sequence[str], fetch: Fetch) -> None:
        for name in names:
            errors = []
            for source in candidates(self.corpus, name, self.known):
                try:
                    path = fetch(source, folder)
                except UserError as error:
                    errors.append(str(error))
                    continue
                is_outer = source.file != _basename(self.corpus, name)
                self._take(name, path, is_outer=is_outer)
                break
            else:
                rest = [other for other in names if other not in self.located.containers]
                reasons = "\n".join(errors) or f"{name}: no address to download it from"
                raise UserError(f"{reasons}\n{self._manual_route(rest)}")

    def _manual_route(self, names: Sequence[str]) -> str:
        lines = [
            f"  {source.file}  from  {url}"
            for name in names
            for source in candidates(self.corpus, name, self.known)
            for url in source.urls
        ]
        if not lines:
            return (
                f"no address is known for {', '.join(names)}: give its folder with --source-dir DIR"
            )
        return (
            "Without a connection, download these files by hand into one folder DIR (any one "
            "address of a file will do):\n" + "\n".join(lines) + "\nthen add --source-dir DIR"
        )
