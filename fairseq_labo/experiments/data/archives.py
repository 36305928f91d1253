"""Texts out of archives and folders, without unpacking anything by the names it holds.

Only the members asked for are read, and their content is written under names of our own: a path
that leads out of the folder, or a link, has nowhere to act. tar files are read once, front to
back, also a .tgz inside another, and no further than `files.most_bytes`.
"""

import gzip
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Self, cast

from fairseq_labo.experiments.console import printable
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import most_bytes, too_large

SHOWN_MEMBERS = 8
# Headers whose content tarfile reads into memory: long names, extended attributes.
LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
ATTRIBUTES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
HEADER_BYTES = 1 << 20
# What tarfile and gzip raise for bytes that are no archive.
DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RecursionError)


@dataclass(frozen=True)
class Container:
    """A tar archive (in it, `inner`: another), or a text that is a file of its own."""

    path: Path
    inner: str | None = None

    def __str__(self) -> str:
        return f"{self.path}" if self.inner is None else f"{self.path} ({self.inner})"


def read_members(container: Container, names: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield (name, stream) for each of `names` in an archive, in any order.

    Raises UserError when a member is missing (naming what is there instead) or is no regular file;
    `reporting_damage` should be around it, and around the reading of the streams.
    """
    seen: list[str] = []
    waiting = set(names)
    with container.path.open("rb") as file:
        for name, stream in _members(file, container, container.inner, set(names), seen):
            yield name, stream
            waiting.discard(name)
            if not waiting:
                return
    shown = printable(", ".join(seen[:SHOWN_MEMBERS])) or "nothing"
    raise UserError(
        f"{container}: expected the members {', '.join(sorted(waiting))}, found {shown}"
        f"{', ...' if len(seen) > SHOWN_MEMBERS else ''}; this is the archive of another corpus, "
        "language pair or year: fetch the right one"
    )


def find_in_folder(folder: Path, name: str) -> Path | None:
    """Return the file `name` of an unpacked archive in `folder`, also gzipped, or None.

    The archive's first folder may be left out.
    """
    names = (name, name.partition("/")[2] or name)
    paths = (folder / f"{candidate}{suffix}" for candidate in names for suffix in ("", ".gz"))
    return next(filter(Path.is_file, paths), None)


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        most = HEADER_BYTES if header.type in LONG_NAMES + ATTRIBUTES else sys.maxsize
        if not 0 <= header.size <= most:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


def _members(
    file: IO[bytes], container: Container, inner: str | None, names: set[str], seen: list[str]
) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield those of `names` in the tar `file`, or in the member `inner` of it, a tar, too."""
    most = most_bytes(container.path)
    is_packed = cast(BufferedReader, file).peek(2).startswith(b"\x1f\x8b")
    plain = gzip.GzipFile(fileobj=file) if is_packed else file
    # Not unpacked by tarfile, of which one read may fill the memory.
    with tarfile.open(fileobj=plain, mode="r|", tarinfo=_Header) as archive:
        for member in archive:
            if member.offset_data + member.size > most:
                raise too_large(f"{container}", most)
            name = member.name.removeprefix("./")
            if not member.isdir():
                seen.append(name)
            if name not in (names if inner is None else {inner}):
                continue
            is_file = member.isreg() and not member.issparse()
            stream = archive.extractfile(member) if is_file else None
            if stream is None:
                raise UserError(
                    f"{container}: expected {name} to be a file, found a link or a device; "
                    "archives of the release hold files only: fetch it again from the official "
                    "address"
                )
            if inner is None:
                yield name, stream
            else:
                yield from _members(stream, container, None, names, seen)
                return


@contextmanager
def reporting_damage(container: Container) -> Iterator[None]:
    """Turn every error of a damaged archive into a UserError that names it."""
    try:
        yield
    except DAMAGE as error:
        raise UserError(
            f"{container}: expected a whole archive, found one that is cut off, damaged or of "
            f"another kind ({error}; {container.path.stat().st_size:,} bytes); fetch it again"
        ) from error
