"""Where the files of a corpus are: given by the user, in a folder of his, or downloaded."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fairseq_labo.experiments.data import download
from fairseq_labo.experiments.data.archives import Container, find_in_folder
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.errors import UserError

DOWNLOADS = "download"
Fetch = Callable[[download.Source, Path], Path]


def needed_names(corpus: Corpus) -> list[str]:
    """Return the archives of `corpus`, or the paths of the texts that are files of their own."""
    names = [text.archive or text.path for text in corpus.texts()]
    return list(dict.fromkeys([*names, *filter(None, [corpus.recipe.codes])]))


def routes(corpus: Corpus, name: str) -> list[tuple[str, str | None]]:
    """Return the files that will do for `name`: itself, and an archive with its path in that."""
    nested = corpus.nested.get(name)
    around = [(nested.outer, nested.path)] if nested else []
    return [(name.removeprefix(f"{corpus.layout}/"), None), *around]


def locate(
    corpus: Corpus,
    destdir: Path,
    *,
    archives: Sequence[Path] = (),
    source_dir: Path | None = None,
    fetch: Fetch | None = None,
) -> "Located":
    """Find every file of `corpus` in `archives` and `source_dir`, or download it.

    Files are verified where a hash or size is known. Raises UserError for what is missing or
    wrong, with the addresses and the manual route.
    """
    if corpus.at_hand and (archives or source_dir is not None):
        raise UserError(
            f"expected neither --archive nor --source-dir for {corpus.name}, whose text is at "
            "hand, found one; leave it out"
        )
    for path in corpus.at_hand.values():
        if path.resolve().is_relative_to(destdir.resolve()):
            raise UserError(
                f"{path}: expected the text outside {destdir}, whose folders are made again; move "
                "it to another folder"
            )
    located = Located(corpus)
    located.take_archives(archives)
    names = [name for name in located.needed if name not in located.containers]
    if source_dir is not None:
        located.take_folder(source_dir, names)
    else:
        located.download(destdir / DOWNLOADS, names, fetch or download.fetch)
    return located


def _twin(name: str) -> str:
    """Return the name of the same text unpacked, or gzipped."""
    return name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"


class Located:
    """Archive or path in the release -> where it is; `files`: all the files to hash."""

    def __init__(self, corpus: Corpus) -> None:
        sources = download.read_sources(corpus.sources) if corpus.sources else []
        self.corpus = corpus
        self.needed = needed_names(corpus)
        self.known = {source.file: source for source in sources}
        self.files = dict(corpus.at_hand)
        self.containers = {name: Container(path) for name, path in self.files.items()}

    def _take(self, name: str, path: Path, file: str, inner: str | None) -> None:
        """Take `path` for `name` by one of its `routes`, if it is right."""
        if file in self.known:
            download.verify(path, self.known[file])
        self.containers[name] = Container(path, inner)
        self.files[file if inner else name] = path

    def take_archives(self, archives: Sequence[Path]) -> None:
        """Take what --archive named. Raises UserError for no file, and for an unknown name."""
        for path in archives:
            if not path.is_file():
                raise UserError(f"--archive {path}: expected a file, found none; check the path")
            names = {name: (name, _twin(name)) for name in self.needed}
            direct = [name for name in names if path.name in (Path(x).name for x in names[name])]
            if len(direct) > 1:  # told apart by their folders
                direct = [name for name in direct if str(path).endswith(names[name])]
            around = [
                name for name, nested in self.corpus.nested.items() if nested.outer == path.name
            ]
            if not direct and not around and len(self.needed) == 1:
                direct = self.needed  # there is only one that it can be
            if not direct and not around:
                raise UserError(
                    f"--archive {path}: expected a file named as in the release "
                    f"({', '.join(self.needed)}), found another name; rename it"
                )
            for name in direct or around:
                file, inner = routes(self.corpus, name)[0 if direct else 1]
                is_twin = path.name == Path(_twin(file)).name
                self._take(name, path, _twin(file) if is_twin else file, inner)

    def take_folder(self, folder: Path, names: Sequence[str]) -> None:
        """Take the files `names` from --source-dir. Raises UserError that lists those missing."""
        inner = folder / self.corpus.layout
        base = inner if inner.is_dir() else folder
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
        names = [Path(other).name for other in self.needed]
        ways = routes(self.corpus, name)
        for file, inner in (*ways, (_twin(ways[0][0]), None)):
            is_unique = names.count(Path(file).name) + names.count(Path(_twin(file)).name) == 1
            for path in (folder / file, folder / Path(file).name)[: 1 + is_unique]:
                if path.is_file():
                    self._take(name, path, file, inner)
                    return True
        texts = dict.fromkeys(x.path for x in self.corpus.texts() if x.archive == name)
        found = {path: place for path in texts if (place := find_in_folder(folder, path))}
        if found.keys() == texts.keys():
            self.containers |= {path: Container(place) for path, place in found.items()}
            self.files |= {place.name: place for place in found.values()}
        return bool(found) and found.keys() == texts.keys()

    def download(self, folder: Path, names: Sequence[str], fetch: Fetch) -> None:
        """Fetch `names` into `folder`, from the first source that has each; UserError if none."""
        for name in names:
            errors = []
            for file, inner in routes(self.corpus, name):
                if file not in self.known:
                    continue
                try:
                    self._take(name, fetch(self.known[file], folder), file, inner)
                    break
                except UserError as error:
                    errors.append(str(error))
            else:
                rest = [other for other in names if other not in self.containers]
                reasons = "\n".join(errors) or f"{name}: no address to download it from"
                raise UserError(f"{reasons}\n{self._manual_route(rest)}")

    def _manual_route(self, names: Sequence[str]) -> str:
        lines = [
            f"  {file}  from  {url}"
            for name in names
            for file, _ in routes(self.corpus, name)
            if file in self.known
            for url in self.known[file].urls
        ]
        if not lines:
            return (
                f"no address is known for {', '.join(names)}: give its folder with --source-dir DIR"
            )
        return (
            "Without a connection, download these files by hand into one folder DIR (any one "
            "address of a file will do):\n" + "\n".join(lines) + "\nthen add --source-dir DIR"
        )
