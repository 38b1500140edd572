"""What is in an archive, member by member: tar (gz, bz2, xz, zst), zip, deb. Nothing is unpacked.

A member is what the archive says of one path; contents are read in the order of the archive, once.
What an archive cannot be asked for is left open: owners are names (numbers mean nothing on another
host), and null where the archive has none.
"""

import calendar
import contextlib
import errno
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, Protocol, TypeAlias

import msgspec

from epmstore import codec
from epmstore.errors import EpmError, UsageError

MemberKind: TypeAlias = Literal["file", "directory", "symlink", "link", "special"]
AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60
MAX_CONTROL = 1 << 20
MAX_TARGET = 4096
_ZSTD = b"\x28\xb5\x2f\xfd"
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, struct.error, EOFError),
    # what tarfile and zipfile raise for numbers that make no sense, and for what they do not know
    *(ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RuntimeError),
)


class Member(msgspec.Struct, frozen=True):
    """One path of an archive. `name` is as the archive has it; `target` is that of a symlink, or
    the name of the member whose file a `link` is.
    """

    name: str
    kind: MemberKind
    mode: int
    size: int = 0
    mtime_ns: int | None = None
    user: str | None = None
    group: str | None = None
    target: str | None = None


class Content(Protocol):
    """What can be read of a member. Raises EpmError where the archive is damaged, OSError."""

    def read(self, size: int = -1, /) -> bytes: ...


Members: TypeAlias = Iterator[tuple[Member, Content | None]]
"""Each with its content, if it is a file: to be read before the next one is asked for."""
_Raw: TypeAlias = Iterator[tuple[Member, IO[bytes] | None]]


def read_archive(path: Path) -> Members:
    """Raises UsageError for what is no archive, EpmError for one that is damaged, OSError."""
    kind = _kind(path)
    if kind is None:
        raise UsageError(
            f"{path} is neither a folder nor an archive that can be read",
            hint="tar (also .gz, .bz2, .xz, .zst), zip and deb are",
        )
    with _told(path), path.open("rb") as file:
        if kind == "deb":
            members = _deb_members(file, path)
        else:
            members = _zip_members(file) if kind == "zip" else _tar_members(_plain(file))
        for member, content in members:
            yield member, None if content is None else _Told(path, content)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever is wrong with an archive is an EpmError, not what its reader stumbled over."""
    try:
        yield
    except (*_BROKEN, OSError) as error:
        # bz2 and zipfile have an OSError for bad data, too: of their own, or for a bad offset
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise EpmError(f"{path} cannot be read: {str(error) or type(error).__name__}") from None


class _Told:
    """A content that is read outside of the loop over the members."""

    def __init__(self, path: Path, content: IO[bytes]) -> None:
        self._path = path
        self._content = content

    def read(self, size: int = -1, /) -> bytes:
        with _told(self._path):
            return self._content.read(size)


def deb_version(path: Path) -> tuple[str, str] | None:
    """(package, version) of a deb; null for any other file. Raises EpmError, OSError."""
    if _kind(path) != "deb":
        return None
    with _told(path), path.open("rb") as file:
        for name, part in _ar_parts(file, path):
            if name.startswith("control.tar"):
                return _control(part, path)
    raise EpmError(f"{path} has no control part")


def _kind(path: Path) -> Literal["deb", "zip", "tar"] | None:
    with path.open("rb") as file:
        start = file.read(8)
        if start == AR_MAGIC:
            return "deb"
        if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return "zip"
        file.seek(0)
        try:
            with tarfile.open(fileobj=_plain(file), mode="r|*") as tar:
                tar.next()
        except (*_BROKEN, EpmError, OSError):
            return None
    return "tar"


def _plain(file: IO[bytes]) -> IO[bytes]:
    """The same without zstd, which tarfile does not know everywhere."""
    at = file.tell()
    start = file.read(4)
    file.seek(at)
    return codec.open_stream(file) if start == _ZSTD else file


def _tar_members(file: IO[bytes]) -> _Raw:
    with tarfile.open(fileobj=file, mode="r|*", errors="surrogateescape") as tar:
        for info in tar:
            yield _tar_member(info), tar.extractfile(info) if info.isreg() else None


def _tar_member(info: tarfile.TarInfo) -> Member:
    kind: MemberKind = "special"
    if info.isreg():
        kind = "file"
    elif info.isdir():
        kind = "directory"
    elif info.issym():
        kind = "symlink"
    elif info.islnk():
        kind = "link"
    return Member(
        name=info.name,
        kind=kind,
        mode=info.mode & 0o7777,
        size=info.size,
        mtime_ns=round(info.mtime) * 1_000_000_000 if info.mtime >= 0 else None,
        user=info.uname or ("root" if info.uid == 0 else None),
        group=info.gname or ("root" if info.gid == 0 else None),
        target=info.linkname if kind in ("symlink", "link") else None,
    )


def _zip_members(file: IO[bytes]) -> _Raw:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            member = _zip_member(info)
            if member.kind == "symlink":
                if member.size > MAX_TARGET:
                    raise zipfile.BadZipFile(f"{info.filename!r} is a link to what is no path")
                target = archive.read(info).decode(errors="surrogateescape")
                yield msgspec.structs.replace(member, target=target), None
            elif member.kind == "file":
                with archive.open(info) as content:
                    yield member, content
            else:
                yield member, None


def _zip_member(info: zipfile.ZipInfo) -> Member:
    unix = info.external_attr >> 16 if info.create_system == 3 else 0
    kind: MemberKind = "directory" if info.is_dir() else "file"
    if stat.S_ISLNK(unix):
        kind = "symlink"
    elif stat.S_IFMT(unix) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "special"
    mode = stat.S_IMODE(unix) or (0o755 if kind == "directory" else 0o644)
    return Member(
        name=info.filename.rstrip("/"),
        kind=kind,
        mode=mode,
        size=info.file_size,
        mtime_ns=_zip_time(info),
    )


def _zip_time(info: zipfile.ZipInfo) -> int | None:
    """zip knows no time zone: taken for UTC, so that it is the same everywhere."""
    try:
        return calendar.timegm((*info.date_time, 0, 0, 0)) * 1_000_000_000
    except ValueError:  # month 0, day 0: nobody said
        return None


def _deb_members(file: IO[bytes], path: Path) -> _Raw:
    for name, part in _ar_parts(file, path):
        if name.startswith("data.tar"):
            yield from _tar_members(_plain(part))
            return
    raise EpmError(f"{path} has no data part: it is no package of Debian's kind")


def _ar_parts(file: IO[bytes], path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Each part of an ar file; it is read before the next one is asked for."""
    file.seek(len(AR_MAGIC))
    at = len(AR_MAGIC)
    while header := file.read(AR_HEADER):
        size = header[48:58].strip()
        if len(header) < AR_HEADER or header[58:] != b"`\n" or not size.isdigit():
            raise EpmError(f"{path} is damaged at byte {at}")
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), file
        at += AR_HEADER + int(size) + int(size) % 2
        file.seek(at)


def _control(part: IO[bytes], path: Path) -> tuple[str, str]:
    for member, content in _tar_members(_plain(part)):
        if member.name.removeprefix("./") == "control" and content is not None:
            lines = content.read(MAX_CONTROL).decode(errors="replace").splitlines()
            fields = dict(line.split(": ", 1) for line in lines if ": " in line)
            return fields.get("Package", ""), fields.get("Version", "")
    raise EpmError(f"{path} has no control file")
