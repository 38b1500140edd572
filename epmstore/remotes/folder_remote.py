"""A remote that is a folder: of a disk, or of a file server that is mounted (NFS, SMB).

    /mnt/site/depot/packs/ab12....pack

Others may write there, too, and nothing of it is believed; but nothing of theirs may lead us
elsewhere. The folder is opened once, and each name below it is opened below the folder before it,
following no link: who unmounts it, or puts another in its place, meanwhile, changes nothing for us.
An object is written as a temporary beside it, synced, renamed, and its folder is synced. What is
made may be read and written by those who may the folder itself.

Where the answer of a file server is lost, the call is sent again, and finds its own work done: a
rename finds nothing to rename, a removal nothing to remove, mkdir a folder. So what counts is what
is there afterwards. There are no locks: of file servers these are promises at best.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from epmstore import fsio
from epmstore.atomic import TEMPORARY, discard, temporary_name
from epmstore.errors import (
    BadObjectError,
    RemoteChangedError,
    RemoteError,
    RemoteNotFoundError,
)
from epmstore.owned import open_way
from epmstore.remotes.checked import checked_pieces, exactly
from epmstore.remotes.folder_errors import translated
from epmstore.remotes.names import DEPTH_MAX, is_component, split_name, split_prefix
from epmstore.remotes.remote import LISTED_MAX, PIECE, Abilities, ObjectInfo

STALE_SECONDS: Final = 86_400
"""A temporary that is so much older than what was just written belongs to no living process. Both
times are the file server's own.
"""
_RIGHTS: Final = 0o7777
_OF_FILES: Final = 0o644
"""What others than its owner never get: writing into an object."""


class FolderRemote:
    """Objects as files below a folder. Holds a descriptor of it until it is closed."""

    abilities = Abilities()

    def __init__(self, path: Path) -> None:
        """Raises RemoteError if it is not there, ForeignError if what leads there can be changed by
        others.
        """
        self.path = path
        with translated(str(path)):
            try:
                self._root = open_way(str(path), way=False)
            except (FileNotFoundError, NotADirectoryError):
                raise RemoteError(
                    f"there is no folder {path}",
                    hint="mount it, if it is one of another host; or make it",
                    file=str(path),
                ) from None
            found = os.fstat(self._root)
        self._mode = stat.S_IMODE(found.st_mode) & _RIGHTS
        self._swept: set[tuple[str, ...]] = set()

    def close(self) -> None:
        os.close(self._root)

    def owner(self) -> os.stat_result:
        """Whose it is, and who may what with it."""
        with translated(str(self.path)):
            return os.fstat(self._root)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folders = split_prefix(prefix)
        with translated(prefix or str(self.path)):
            for count, found in enumerate(self._list(folders)):
                if count >= LISTED_MAX:
                    raise RemoteError(f"{prefix or self.path} lists more than {LISTED_MAX} objects")
                yield found

    def stat(self, name: str) -> ObjectInfo | None:
        folders, last = split_name(name)
        with translated(name):
            try:
                with self._folder(folders) as fd:
                    return ObjectInfo(name, _regular(fsio.lstat(last, fd), name).st_size)
            except FileNotFoundError:
                return None

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        folders, last = split_name(name)
        with translated(name):
            try:
                with self._folder(folders) as parent:
                    _regular(fsio.lstat(last, parent), name)  # a link is named, not its ELOOP
                    fd = fsio.open_file(last, parent)
            except FileNotFoundError:
                raise RemoteNotFoundError(f"no object {name} is there", object=name) from None
            try:
                _regular(os.fstat(fd), name)
                yield from exactly(_pieces(fd, start, length), length, name)
            finally:
                os.close(fd)

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        folders, last = split_name(name)
        with translated(name), self._folder(folders, make=True) as parent:
            self._put(parent, last, checked_pieces(pieces, size, sha256, name))
            self._sweep(parent, tuple(folders), last)

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        folders, last = split_name(name)
        with translated(name), self._folder(folders, make=True) as parent:
            if not self._is(name, expected):
                raise RemoteChangedError(f"{name} is not what it was", object=name)
            self._put(parent, last, [data])
            self._sweep(parent, tuple(folders), last)

    def delete(self, name: str) -> None:
        folders, last = split_name(name)
        gone = contextlib.suppress(FileNotFoundError)
        with translated(name), gone, self._folder(folders) as parent:
            _regular(fsio.lstat(last, parent), name)
            fsio.unlink(last, parent)
            _sync_names(parent)

    def _is(self, name: str, expected: bytes | None) -> bool:
        found = self.stat(name)
        if found is None or expected is None:
            return found is None and expected is None
        return found.size == len(expected) and b"".join(self.read(name)) == expected

    @contextlib.contextmanager
    def _folder(self, folders: Iterable[str], *, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder below the root, reached name by name. Raises OSError;
        BadObjectError if something else is on the way.
        """
        fd = os.dup(self._root)
        try:
            for name in folders:
                below = self._step(name, fd, make=make)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    def _step(self, name: str, parent: int, *, make: bool) -> int:
        try:
            return _open_folder(name, parent)
        except FileNotFoundError:
            if not make:
                raise
        with contextlib.suppress(
            FileExistsError
        ):  # another host was quicker, or the call went twice
            fsio.make_directory(name, parent, self._mode & 0o777)
        try:
            fd = _open_folder(name, parent)
        except FileNotFoundError:
            raise _something_else(name, "folder") from None
        _allow(fd, self._mode)
        _sync_names(parent)
        return fd

    def _put(self, parent: int, last: str, pieces: Iterable[bytes]) -> None:
        """Temporary, sync, rename, sync of the folder. Raises OSError."""
        name = temporary_name()
        fd = fsio.create(name, parent)
        try:
            try:
                for piece in pieces:
                    fsio.write(fd, piece)
                _allow(fd, 0o600 | self._mode & _OF_FILES)
                fsio.sync_file(fd)
                self._rename(fd, name, parent, last)
            except BaseException:
                discard(name, parent)
                raise
        finally:
            os.close(fd)
        _sync_names(parent)

    def _rename(self, fd: int, name: str, parent: int, last: str) -> None:
        try:
            fsio.rename(name, parent, last, parent)
        except FileNotFoundError:
            # the answer to a first call may have been lost: what counts is what is there
            here, there = os.fstat(fd), fsio.lstat(last, parent)
            if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
                raise

    def _sweep(self, parent: int, folders: tuple[str, ...], last: str) -> None:
        """Once for each folder: temporaries that no process can be writing any more are taken away.
        They are no loss, so whatever fails is left for another time.
        """
        if folders in self._swept:
            return
        self._swept.add(folders)
        with contextlib.suppress(OSError):
            now = fsio.lstat(last, parent).st_mtime
            for name in os.listdir(parent):
                if not name.startswith(TEMPORARY):
                    continue
                found = fsio.lstat(name, parent)
                if stat.S_ISREG(found.st_mode) and found.st_mtime < now - STALE_SECONDS:
                    discard(name, parent)

    def _list(self, folders: Sequence[str]) -> Iterator[ObjectInfo]:
        try:
            with self._folder(folders) as fd:
                found = sorted(_entries(fd), key=lambda entry: entry[0])
        except FileNotFoundError:
            return
        for sort_name, size in found:
            name = sort_name.removesuffix("/")
            if sort_name.endswith("/"):
                if len(folders) + 1 >= DEPTH_MAX:
                    continue  # no name is so deep
                yield from self._list([*folders, name])
            else:
                yield ObjectInfo("/".join([*folders, name]), size)


def _open_folder(name: str, parent: int) -> int:
    """Raises OSError; FileNotFoundError if an object has its name: nothing is below that;
    BadObjectError if it is something else: a link is followed nowhere.
    """
    try:
        return fsio.open_directory(name, parent)
    except OSError:
        mode = fsio.lstat(name, parent).st_mode
        if stat.S_ISREG(mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None
        if not stat.S_ISDIR(mode):
            raise _something_else(name, "folder") from None
        raise


def _entries(fd: int) -> Iterator[tuple[str, int]]:
    """Name and size of what may be an object or a folder of them; a folder's name ends with `/`, by
    which it sorts as the names below it do.
    """
    for name in filter(is_component, os.listdir(fd)):
        with contextlib.suppress(FileNotFoundError):  # taken away meanwhile
            found = fsio.lstat(name, fd)
            if stat.S_ISDIR(found.st_mode):
                yield f"{name}/", 0
            elif stat.S_ISREG(found.st_mode):
                yield name, found.st_size


def _pieces(fd: int, start: int, length: int | None) -> Iterator[bytes]:
    left = length
    while left is None or left > 0:
        piece = os.pread(fd, PIECE if left is None else min(left, PIECE), start)
        if not piece:
            return
        yield piece
        start += len(piece)
        left = None if left is None else left - len(piece)


def _allow(fd: int, mode: int) -> None:
    """Where a file server has rules of its own, these hold."""
    with contextlib.suppress(PermissionError):
        fsio.set_mode(fd, mode)


def _sync_names(fd: int) -> None:
    """Raises OSError; nothing where a file system knows no such thing."""
    try:
        fsio.sync_directory(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _regular(found: os.stat_result, name: str) -> os.stat_result:
    if not stat.S_ISREG(found.st_mode):
        raise _something_else(name, "file")
    return found


def _something_else(name: str, what: str) -> BadObjectError:
    return BadObjectError(
        f"{name} is no {what} there: something else lies in its place (a link, perhaps)",
        hint="links are not followed on a remote; find out who put it there, and take it away",
        object=name,
    )
