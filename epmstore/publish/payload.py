"""The one file that is uploaded, made of a build.

Two runs over one build come to the same bytes: names in order, no owners of this host, no time of
the run. A build that changes while it is packed is refused.
"""

import gzip
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from epmstore import codec, fsio
from epmstore.atomic import directory, discard, open_regular, temporary_name
from epmstore.errors import BadPackageError, ChangedError, NotFoundError, UsageError
from epmstore.package.file_format import APPLICATION_ID
from epmstore.publish.build import BuildRecord
from epmstore.remotes.names import COMPONENT_MAX, is_component

_PIECE: Final = 4 << 20
_HEADER: Final = 100
_APPLICATION: Final = slice(68, 72)
"""Where the header of a SQLite file says whose it is."""
_ROOM: Final = 40
"""Letters that digest and suffix take of a name."""
_BESIDE: Final = ".filesize"


class PayloadFile(msgspec.Struct, frozen=True, kw_only=True):
    """A payload in the folder where it was made; `built` as in `BuildRecord`."""

    name: str
    size: int
    md5: str
    sha1: str
    sha256: str
    built: float


class _Sink:
    """A file that is hashed while it is written."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._ended = False
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha1 = hashlib.sha1(usedforsecurity=False)
        self.sha256 = hashlib.sha256()

    def end(self) -> None:
        """Nothing is written any more: a compressor that an error left behind writes its end when
        it is forgotten, and the number of the descriptor may be another file's then.
        """
        self._ended = True

    def write(self, data: bytes) -> int:
        if self._ended:
            return len(data)
        fsio.write(self._fd, data)
        self.size += len(data)
        for one in (self.md5, self.sha1, self.sha256):
            one.update(data)
        return len(data)

    def flush(self) -> None:
        """Compressors call it; the file is synced at the end."""


class _Frames:
    """What is written comes out as zstd frames, one after the other."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) >= _PIECE:
            self._sink.write(codec.compress(self._held[:_PIECE]))
            del self._held[:_PIECE]
        return len(data)

    def close(self) -> None:
        if self._held:
            self._sink.write(codec.compress(self._held))


def make_payload(build: BuildRecord, folder: Path) -> PayloadFile:
    """Made in `folder`, durable, under the name that it has on the remote. Raises NotFoundError
    (`build not found`), ChangedError, UsageError, BadPackageError, OSError.
    """
    source = Path(build.path)
    before = _looked_at(source, is_file=build.payload == "epkg")
    with directory(folder) as parent:
        temporary = temporary_name()
        fd = fsio.create(temporary, parent, 0o644)
        sink = _Sink(fd)
        try:
            _WRITERS[build.payload](source, sink, before)
            if _looked_at(source, is_file=build.payload == "epkg") != before:
                raise ChangedError(
                    f"{source} changed while it was packed",
                    hint="nothing is lost: it is tried again",
                )
            sha256 = sink.sha256.hexdigest()
            name = f"{_stem(source)}-{sha256[:16]}.{build.payload}"
            fsio.sync_file(fd)
            fsio.rename(temporary, parent, name, parent)
        except BaseException:
            discard(temporary, parent)
            raise
        finally:
            sink.end()
            os.close(fd)
        fsio.sync_directory(parent)
    return PayloadFile(
        name=name,
        size=sink.size,
        md5=sink.md5.hexdigest(),
        sha1=sink.sha1.hexdigest(),
        sha256=sha256,
        built=max(found[0] for found in before.values()) / 1e9,
    )


def newest_change(source: Path, *, is_file: bool) -> float:
    """When something of a build changed last, by its file system. Raises OSError, NotFoundError."""
    looks = _looked_at(source, is_file=is_file)
    return max(max(found[:2]) for found in looks.values()) / 1e9


def sha256_of(path: Path) -> str | None:
    """Of a file; None if there is none. Raises DamagedError for anything else, OSError."""
    try:
        with os.fdopen(open_regular(path, follow=False), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _stem(source: Path) -> str:
    stem = source.name.removesuffix(".epkg")[: COMPONENT_MAX - _ROOM - len(_BESIDE)]
    return stem if is_component(stem) else "build"


_Looks = dict[str, tuple[int, ...]]


def _looked_at(source: Path, *, is_file: bool) -> _Looks:
    """Every name of a build, with what changes when it does; the first number is a time in ns."""
    try:
        found = source.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"build not found: {source}", file=str(source)) from None
    if is_file != stat.S_ISREG(found.st_mode) or (not is_file and not source.is_dir()):
        kind = "file" if is_file else "folder"
        raise UsageError(f"{source} is no {kind}")
    looks = {".": _look(found)}
    if not is_file:
        for path in _below(source):
            looks[path.relative_to(source).as_posix()] = _look(path.lstat())
    return looks


def _below(folder: Path) -> Iterator[Path]:
    """However deep they are nested."""
    left = _entries_backwards(folder)
    while left:
        entry = left.pop()
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            left += _entries_backwards(entry.path)


def _entries_backwards(folder: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as names:
        return sorted(names, key=lambda entry: os.fsencode(entry.name), reverse=True)


def _look(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size, found.st_mode)


def _tar(source: Path, out: Any, looks: _Looks) -> None:
    with tarfile.open(fileobj=cast(IO[bytes], out), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name in looks:
            arcname = source.name if name == "." else f"{source.name}/{name}"
            try:
                tar.add(source / name, arcname, recursive=False, filter=_without_owner)
            except FileNotFoundError:
                raise ChangedError(
                    f"{source / name} went while it was packed",
                    hint="nothing is lost: it is tried again",
                ) from None


def _without_owner(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _tar_gz(source: Path, sink: _Sink, looks: _Looks) -> None:
    with gzip.GzipFile("", "wb", 6, cast(IO[bytes], sink), mtime=0) as out:
        _tar(source, out, looks)


def _tar_zst(source: Path, sink: _Sink, looks: _Looks) -> None:
    out = _Frames(sink)
    _tar(source, out, looks)
    out.close()


def _copy(source: Path, sink: _Sink, looks: _Looks) -> None:
    with os.fdopen(open_regular(source, follow=False), "rb") as file:
        if file.read(_HEADER)[_APPLICATION] != APPLICATION_ID.to_bytes(4):
            raise BadPackageError(f"{source} is no package")
        file.seek(0)
        while piece := file.read(_PIECE):
            sink.write(piece)


_WRITERS: Final = {"epkg": _copy, "tar.gz": _tar_gz, "tar.zst": _tar_zst}
