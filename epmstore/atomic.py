"""Files that are complete or not there: the few compositions of fsio that the store is built from.

The order is always: temporary in the destination directory, write, sync, rename, sync the
directory. A temporary that a crash leaves behind begins with TEMPORARY and may be removed by
whoever holds the lock.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from epmstore import fsio
from epmstore.errors import DamagedError

TEMPORARY = ".tmp-"


def temporary_name() -> str:
    return f"{TEMPORARY}{secrets.token_hex(8)}"


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """`path` holds `data`, durably, or what it held before. Raises OSError."""
    with directory(path.parent) as parent:
        name = temporary_name()
        fd = fsio.create(name, parent, mode)
        try:
            fsio.write(fd, data)
            fsio.sync_file(fd)
            fsio.rename(name, parent, path.name, parent)
        except BaseException:
            discard(name, parent)
            raise
        finally:
            os.close(fd)
        fsio.sync_directory(parent)


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
    """`path` is gone, durably; nothing happens if it was not there. Raises OSError."""
    with directory(path.parent) as parent:
        with contextlib.suppress(FileNotFoundError):
            fsio.unlink(path.name, parent)
        fsio.sync_directory(parent)


def retire(path: Path, folder: Path) -> None:
    """Move a file of ours to another folder of the same file system, durably; its name gets a
    suffix.

    Nothing happens if it is not there. Raises OSError.
    """
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


def read_file(path: Path, limit: int) -> bytes:
    """The whole of a small file of ours. Raises OSError, DamagedError if it is beyond `limit`
    bytes.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise DamagedError(f"{path} is larger than {limit} bytes")
    return data
