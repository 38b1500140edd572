"""Locks of the pipeline in the spool: one for preparing, and one for each build, which its uploader
and the preparer take turns with.

All are `flock`, which the kernel frees when their holder dies. The file of a build goes again with
its holder: it is locked first and looked for then, as one that its last holder removed meanwhile is
no lock any more. What a killed process leaves is removed by the next holder, or by `sweep_locks`.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from epmstore import fsio, locks
from epmstore.atomic import directory
from epmstore.errors import BusyError

_NAME: Final = re.compile(r"build-([1-9][0-9]*)", re.ASCII)


@contextlib.contextmanager
def hold_preparing(folder: Path) -> Iterator[None]:
    """For the block no other process prepares. Raises BusyError at once, naming the holder."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.hold(folder, "prepare", wait=0.0))
        except BusyError as error:
            raise BusyError(
                f"somebody else prepares: {error.data.get('holder') or 'another process'}",
                hint="try again when it is done",
            ) from None
        yield


@contextlib.contextmanager
def hold_build(folder: Path, number: int) -> Iterator[None]:
    """For the block no other process holds this build. Raises BusyError at once, OSError."""
    name = f"build-{number}"
    with directory(folder) as parent:
        fd = _locked(name, parent, number)
        try:
            try:
                yield
            finally:
                with contextlib.suppress(FileNotFoundError):
                    fsio.unlink(name, parent)  # while it is held: else it could be another's
        finally:
            os.close(fd)


def sweep_locks(folder: Path) -> None:
    """Remove what processes that were killed left. For the preparer."""
    for found in filter(None, map(_NAME.fullmatch, os.listdir(folder))):
        with contextlib.suppress(BusyError), hold_build(folder, int(found[1])):
            pass


def _locked(name: str, parent: int, number: int) -> int:
    while True:
        fd = _open_or_make(name, parent)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(fd, name, parent):
                return fd
        except BlockingIOError:
            os.close(fd)
            raise BusyError(
                f"another process is at build {number}", hint="try again when it is done"
            ) from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _open_or_make(name: str, parent: int) -> int:
    while True:
        with contextlib.suppress(FileNotFoundError):
            return fsio.open_append(name, parent)
        with contextlib.suppress(FileExistsError):
            return fsio.create(name, parent)


def _is_there(fd: int, name: str, parent: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), fsio.lstat(name, parent))
    except FileNotFoundError:
        return False
