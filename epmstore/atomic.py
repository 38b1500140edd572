"""Files that are complete or not there: the few compositions of fsio that the store is built from.

The order is always: temporary in the destination directory, write, sync, rename, sync the
directory. A temporary that a crash leaves behind begins with TEMPORARY and may be removed by
the holder of the lock.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from epmstore import fsio
from epmstore.errors import DamagedError, EpmError, UnreadableError

TEMPORARY = ".tmp-"
_PIECE = 1 << 20
_FROM_COPY = "move it away, and take the file from a copy of the store"


def temporary_name() -> str:
    return f"{TEMPORARY}{secrets.token_hex(8)}"


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """`path` holds `data`, durably, or what it held before. Raises OSError."""
    replace_with_pieces(path, [data], mode)


def replace_with_pieces(path: Path, pieces: Iterable[bytes], mode: int = 0o600) -> int:
    """The same with what `pieces` come to; how many bytes that is. Raises what they raise, too."""
    size = 0
    with directory(path.parent) as parent:
        name = temporary_name()
        fd = fsio.create(name, parent, mode)
        try:
            for piece in pieces:
                fsio.write(fd, piece)
                size += len(piece)
            # Content before name: else a power cut may leave the name with nothing in it.
            fsio.sync_file(fd)
            fsio.rename(name, parent, path.name, parent)
        except BaseException:
            discard(name, parent)
            raise
        finally:
            os.close(fd)
        fsio.sync_directory(parent)
    return size


def replace_read(
    path: Path, data: bytes, read: Callable[[bytes], object], mode: int = 0o600
) -> None:
    """As `replace_file`, for what a program of ours will read again: `read` takes it first, or
    nothing is written. Raises UnreadableError.
    """
    try:
        read(data)
    except (EpmError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError(path.name, str(error)) from None
    replace_file(path, data, mode)


def make_directories(path: Path, mode: int = 0o700) -> None:
    """`path` and every missing folder above it, durably. Raises OSError."""
    if path.is_dir():
        return
    make_directories(path.parent, mode)
    with directory(path.parent) as parent, about(path):
        try:
            fsio.make_directory(path.name, parent, mode)
        except FileExistsError:
            if not path.is_dir():
                raise
        fsio.sync_directory(parent)


def remove_file(path: Path) -> None:
    """`path` is gone, durably; nothing happens if it was not there, nor its folder. Raises
    OSError.
    """
    if not path.parent.is_dir():
        return
    with directory(path.parent) as parent:
        with contextlib.suppress(FileNotFoundError):
            fsio.unlink(path.name, parent)
        fsio.sync_directory(parent)


def retire(path: Path, folder: Path) -> None:
    """Move a file of ours to another folder of the same file system, durably; its name gets a
    suffix.

    Nothing happens if it is not there, nor its folder. Raises OSError.
    """
    if not path.parent.is_dir():
        return
    make_directories(folder)
    with directory(path.parent) as source, directory(folder) as target:
        try:
            fsio.rename(path.name, source, f"{path.name}.{secrets.token_hex(4)}", target)
        except FileNotFoundError:
            return
        fsio.sync_directory(target)
        fsio.sync_directory(source)


def discard(name: str, parent: int) -> None:
    """Take a temporary away if it can be; what an error left must not hide the error."""
    with contextlib.suppress(OSError):
        fsio.unlink(name, parent)


@contextlib.contextmanager
def directory(path: Path | str) -> Iterator[int]:
    """A descriptor of a directory of ours. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Who gets an OSError of this block reads `path`, not a name below some descriptor."""
    try:
        yield
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def open_regular(path: Path, *, follow: bool = True, hint: str = _FROM_COPY) -> int:
    """A descriptor for reading a file of ours, without waiting for another process. Raises OSError;
    DamagedError if something else lies in its place: a folder, a FIFO, a link to nothing.
    """
    irregular = DamagedError(f"{path} is not a regular file", hint=hint, file=str(path))
    try:
        fd = os.open(path, fsio.READ & ~os.O_NOFOLLOW if follow else fsio.READ)
    except OSError as error:
        leads_nowhere = error.errno == errno.ENOENT and path.is_symlink()
        if leads_nowhere or error.errno in (errno.ELOOP, errno.ENXIO):
            raise irregular from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise irregular
    return fd


def is_something_else(path: Path) -> bool:
    """Whether what has the name of a file of ours is none: a folder, a FIFO, a link."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def read_file(path: Path, limit: int | None = None) -> bytes:
    """The whole of a small file of ours. Raises as `open_regular`, DamagedError if it is beyond
    `limit` bytes.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        return read_up_to(file, path, limit)


def read_named(path: Path, limit: int) -> bytes:
    """As `read_file`, of a file that the user named: a pipe will do. Raises OSError, DamagedError
    if it is beyond `limit` bytes.
    """
    with path.open("rb") as file:
        return read_up_to(file, path, limit)


def read_up_to(file: BinaryIO, path: Path, limit: int | None) -> bytes:
    """The rest of an open file. Raises OSError, DamagedError if that is beyond `limit` bytes."""
    if limit is None:
        return file.read()
    if os.fstat(file.fileno()).st_size > limit:
        raise DamagedError(f"{path} is larger than {limit} bytes")
    data = bytearray()  # piece by piece: what is asked for at once is taken from memory at once
    while piece := file.read(min(_PIECE, limit + 1 - len(data))):
        data += piece
        if len(data) > limit:
            raise DamagedError(f"{path} is larger than {limit} bytes")
    return bytes(data)
