"""What is in an archive, member by member: tar (gz, bz2, xz, zst), zip, deb. Nothing is unpacked.

It is read in a process of its own, within limits (archivechild.py): archives.py is what runs there,
and unpacked.py what asks it.

A member is what the archive says of one path; contents are read in the order of the archive, once.
What an archive cannot be asked for is left open: owners are names (numbers mean nothing on another
host), and None where the archive has none.
"""

import bz2
import calendar
import contextlib
import errno
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Literal, Protocol, TypeAlias

import msgspec

from epmstore import codec
from epmstore.errors import EpmError, UsageError

MemberKind: TypeAlias = Literal["file", "directory", "symlink", "link", "special"]
AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60
MAX_CONTROL = 1 << 20
DEB_SCRIPTS = ("config", "postinst", "postrm", "preinst", "prerm")
MAX_TARGET = 4096
MAX_HEADER = 1 << 20
_AHEAD = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
CHUNK = 1 << 19
FREE = 512 << 20
"""Plain bytes that any archive may come to; beyond, RATIO for each of its own."""
RATIO = 200
FREE_MEMBERS = 20_000
SMALLEST = 16
"""Bytes that a member takes at least in an archive of very many."""
LATEST = (1 << 63) // 1_000_000_000
"""Seconds since 1970 beyond which nanoseconds have no number."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, struct.error, EOFError),
    # what tarfile and zipfile raise for numbers that make no sense, and for what they do not know
    *(ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RuntimeError),
)


class ArchiveMember(msgspec.Struct, frozen=True):
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


class DebControl(msgspec.Struct, frozen=True, array_like=True):
    """What a deb says of itself: its name, its version, and the paths (of any bytes, as seen from
    the root) that are configuration of the host that it is installed on.
    """

    package: str
    version: str
    conffiles: tuple[bytes, ...] = ()
    fields: dict[str, str] = {}
    """All that its control file says; lines that go on are joined by line ends."""
    scripts: tuple[str, ...] = ()
    """Its maintainer scripts, by name."""


class Content(Protocol):
    """What can be read of a member. Raises EpmError where the archive is damaged, OSError."""

    def read(self, size: int = -1, /) -> bytes: ...


Members: TypeAlias = Iterator[tuple[ArchiveMember, Content | None]]
"""Each with its content, if it is a file: to be read before the next one is asked for."""
_Raw: TypeAlias = Iterator[tuple[ArchiveMember, IO[bytes] | None]]


class TooMuchError(EpmError):
    """An archive comes to more than one of its size may."""


class _Header(tarfile.TarInfo):
    """Names and attributes that come before a member are read at once: they are bounded."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _AHEAD and self.size > MAX_HEADER:
            raise TooMuchError(f"a header of {self.size:,} bytes (no name is so long)")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


class Archive:
    """An archive, opened by its reader. What it may come to is in proportion to its size."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        """`name` for messages."""
        self._file = file
        self._name = name
        size = os.fstat(file.fileno()).st_size
        self._most = FREE + size * RATIO
        self._members = FREE_MEMBERS + size // SMALLEST
        self._plain = 0

    def members(self) -> _Raw:
        """Raises UsageError for what is no archive, EpmError for one that is damaged or comes to
        too much, OSError.
        """
        kind = self._kind()
        if kind is None:
            raise UsageError(
                f"{self._name} is neither a folder nor an archive that can be read",
                hint="tar (also .gz, .bz2, .xz, .zst), zip and deb are",
            )
        self._file.seek(0)
        with self._told():
            if kind == "deb":
                members = self._deb_members()
            else:
                found = self._file
                members = _zip_members(found) if kind == "zip" else _tar_members(self.plain(found))
            for number, (member, content) in enumerate(members):
                if number >= self._members:
                    raise self._too_much(f"has more than {number:,} members")
                if member.size > self._most:
                    what = f"says that {member.name[:80]!r} has {member.size:,} bytes"
                    raise self._too_much(what)
                yield member, content

    def control(self) -> DebControl | None:
        """What a deb says of itself; None for any other file. Raises EpmError, OSError."""
        if self._kind() != "deb":
            return None
        with self._told():
            for name, part in self._ar_parts():
                if name.startswith("control.tar"):
                    return self._control(part)
        raise EpmError(f"{self._name} has no control part")

    def read(self, content: IO[bytes], member: ArchiveMember) -> Iterator[bytes]:
        """The content of a member, in pieces. Raises as `members`."""
        left = member.size
        with self._told():
            while piece := content.read(CHUNK):
                self._count(len(piece))
                left -= len(piece)
                if left < 0:
                    break
                yield piece
            if left:
                raise EpmError(f"{member.name[:80]!r} does not have the size that it says")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever is wrong with an archive is an EpmError, not what its reader stumbled over."""
        try:
            yield
        except TooMuchError as error:
            if error.message.startswith(self._name):
                raise
            raise self._too_much(f"has {error.message}") from None
        except (*_BROKEN, OSError) as error:
            # bz2 and zipfile have an OSError for bad data, too: of their own, or for a bad offset
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            why = str(error) or type(error).__name__
            raise EpmError(f"{self._name} cannot be read: {why}") from None

    def _count(self, size: int) -> None:
        self._plain += size
        if self._plain > self._most:
            raise self._too_much(f"unpacks to more than {self._most >> 20:,} MiB")

    def _too_much(self, what: str) -> EpmError:
        return TooMuchError(
            f"{self._name} {what}: more than an archive of its size may come to",
            hint="if it is right, unpack it, and name the folder",
        )

    def _kind(self) -> Literal["deb", "zip", "tar"] | None:
        start = self._file.read(8)
        if start == AR_MAGIC:
            return "deb"
        if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return "zip"
        self._file.seek(0)
        try:
            with tarfile.open(fileobj=self.plain(self._file), mode="r|", tarinfo=_Header) as tar:
                tar.next()
        except TooMuchError as error:
            raise self._too_much(f"has {error.message}") from None
        except (*_BROKEN, EpmError, OSError):
            return None
        return "tar"

    def plain(self, file: IO[bytes]) -> "_Counted":
        """The same without its compression, counted."""
        start = file.read(6)
        file.seek(-len(start), os.SEEK_CUR)
        return _Counted(_decompressed(file, start), self._count)

    def _deb_members(self) -> _Raw:
        for name, part in self._ar_parts():
            if name.startswith("data.tar"):
                yield from _tar_members(self.plain(part))
                return
        raise EpmError(f"{self._name} has no data part: it is no package of Debian's kind")

    def _ar_parts(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Each part of an ar file; it is read before the next one is asked for."""
        file, at = self._file, len(AR_MAGIC)
        file.seek(at)
        while header := file.read(AR_HEADER):
            size = header[48:58].strip()
            if len(header) < AR_HEADER or header[58:] != b"`\n" or not size.isdigit():
                raise EpmError(f"{self._name} is damaged at byte {at}")
            part = io.BufferedReader(FilePart(file, at + AR_HEADER, int(size)))
            yield header[:16].decode("ascii", "replace").strip().rstrip("/"), part
            at += AR_HEADER + int(size) + int(size) % 2
            file.seek(at)

    def _control(self, part: IO[bytes]) -> DebControl:
        found: dict[str, list[bytes]] = {}
        scripts = set()
        for member, content in _tar_members(self.plain(part)):
            name = member.name.removeprefix("./")
            if name in ("control", "conffiles") and content is not None:
                found[name] = content.read(MAX_CONTROL).splitlines()
            elif name in DEB_SCRIPTS:
                scripts.add(name)
        if "control" not in found:
            raise EpmError(f"{self._name} has no control file")
        fields = _fields(line.decode(errors="replace") for line in found["control"])
        # a line is a path, with a flag and a space before it where it is to be removed on upgrades
        conffiles = (line[line.find(b"/") + 1 :] for line in found.get("conffiles", ()))
        return DebControl(
            fields.get("Package", ""),
            fields.get("Version", ""),
            tuple(filter(None, conffiles)),
            fields,
            tuple(sorted(scripts)),
        )


def _fields(lines: Iterable[str]) -> dict[str, str]:
    """What stands in the first paragraph of a control file."""
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1].isspace() and name:
            found[name] += f"\n{line.strip()}"
            continue
        name, colon, value = line.partition(":")
        if not colon:
            break
        found[name] = value.strip()
    return found


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Counted(io.BufferedIOBase):
    """A file that is read forward, and says how much came out of it."""

    def __init__(self, file: _Readable, count: Callable[[int], None]) -> None:
        self._file = file
        self._counter = count

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._file.read(-1 if size is None else size)
        self._counter(len(data))
        return data


class FilePart(io.RawIOBase):
    """A stretch of a file."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _decompressed(file: IO[bytes], start: bytes) -> _Readable:
    if start.startswith(_ZSTD):
        return codec.open_stream(file)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file, mode="rb")
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if start.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
        return lzma.LZMAFile(file)
    return file


def _tar_members(file: _Counted) -> _Raw:
    with tarfile.open(fileobj=file, mode="r|", errors="surrogateescape", tarinfo=_Header) as tar:
        while (info := tar.next()) is not None:
            vars(tar)["members"].clear()  # it would remember all of them
            yield _tar_member(info), tar.extractfile(info) if info.isreg() else None


def _tar_member(info: tarfile.TarInfo) -> ArchiveMember:
    kind: MemberKind = "special"
    if info.isreg():
        kind = "file"
    elif info.isdir():
        kind = "directory"
    elif info.issym():
        kind = "symlink"
    elif info.islnk():
        kind = "link"
    return ArchiveMember(
        name=info.name,
        kind=kind,
        mode=info.mode & 0o7777,
        size=info.size,
        mtime_ns=_tar_time(info.mtime),
        user=info.uname or ("root" if info.uid == 0 else None),
        group=info.gname or ("root" if info.gid == 0 else None),
        target=info.linkname if kind in ("symlink", "link") else None,
    )


def _tar_time(seconds: float) -> int | None:
    """None for what is before all times."""
    if seconds >= LATEST:
        raise tarfile.ReadError(f"a file is from a time beyond all times: {seconds}")
    return round(seconds) * 1_000_000_000 if seconds >= 0 else None


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


def _zip_member(info: zipfile.ZipInfo) -> ArchiveMember:
    unix = info.external_attr >> 16 if info.create_system == 3 else 0
    kind: MemberKind = "directory" if info.is_dir() else "file"
    if stat.S_ISLNK(unix):
        kind = "symlink"
    elif stat.S_IFMT(unix) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "special"
    mode = stat.S_IMODE(unix) or (0o755 if kind == "directory" else 0o644)
    return ArchiveMember(
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
    except ValueError:  # month 0, day 0: it was not said
        return None
