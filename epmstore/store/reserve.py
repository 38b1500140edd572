"""The reserve: space that is taken while there is plenty, and given up when the disk is full.

A file of allocated blocks in the store, given up only for what frees space or must not fail for
want of a few bytes (gc, forget, journals, catalog lines), and made again by the next collection.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from epmstore import fsio
from epmstore.atomic import directory, discard, remove_file, temporary_name
from epmstore.errors import DiskFullError

FILE = "reserve"
SIZE = 64 << 20
SHARE = 20
"""The reserve takes at most this part (one in so many) of what is free."""

_Result = TypeVar("_Result")


def make_reserve(store: Path, size: int | None = None) -> bool:
    """Whether the reserve is there now (`size` None: of SIZE bytes). It is not made where the disk
    is nearly full. Raises OSError, but not for want of space.
    """
    size = SIZE if size is None else size
    if has_reserve(store):
        return True
    free = os.statvfs(store)
    if free.f_bavail * free.f_frsize < size * SHARE:
        return False
    with directory(store) as parent:
        name = temporary_name()
        fd = fsio.create(name, parent)
        try:
            fsio.allocate(fd, size)
            fsio.sync_file(fd)
            # It has its name once it is whole: a part of it would free less than is counted on.
            fsio.rename(name, parent, FILE, parent)
        except OSError as error:
            discard(name, parent)
            if not fsio.is_full(error):
                raise
            return False
        finally:
            os.close(fd)
        fsio.sync_directory(parent)
    return True


def has_reserve(store: Path) -> bool:
    return (store / FILE).exists()


def give_up_reserve(store: Path) -> bool:
    """Whether there was one to give up."""
    if not has_reserve(store):
        return False
    remove_file(store / FILE)
    return True


@contextmanager
def storing(store: Path) -> Iterator[None]:
    """A caller that finds no room in the store is told which file system has none: a full disk is
    told by calls that know descriptors only, or by SQLite. Raises DiskFullError.
    """
    try:
        yield
    except (OSError, DiskFullError) as error:
        if isinstance(error, OSError) and not fsio.is_full(error):
            raise
        why = error.strerror if isinstance(error, OSError) else error.message
        raise DiskFullError(
            f"{store}: the file system of the store is full ({why})",
            hint="free some space there, by `epmstore forget` and then `epmstore gc` for one;"
            " then run the command again",
            file=str(store),
        ) from error


def with_reserve(store: Path, action: Callable[[], _Result]) -> _Result:
    """Do something that can be done again; if the disk is full, give up the reserve and do it once
    more. Raises what `action` raises.
    """
    try:
        return action()
    except OSError as error:
        if not fsio.is_full(error) or not give_up_reserve(store):
            raise
    except DiskFullError:
        if not give_up_reserve(store):
            raise
    return action()
