"""A remote that is a folder of an SFTP server.

    sftp://epm@backup.example.org/srv/depot

An object is written as a temporary beside it, made durable where the server can (`fsync`), looked
at, and renamed over what is there (`posix-rename`). Where a server has no such rename, what is
there goes aside first: for that moment there is no object. Links are not followed, as far as a
client can see to that: a folder or an object that is a link is named.
"""

import contextlib
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import paramiko

from epmstore.atomic import TEMPORARY, temporary_name
from epmstore.errors import (
    BadObjectError,
    RemoteChangedError,
    RemoteError,
    RemoteFullError,
    RemoteNotFoundError,
    RemoteTransientError,
)
from epmstore.remotes.checked import checked_pieces, exactly
from epmstore.remotes.names import DEPTH_MAX, is_component, split_name, split_prefix
from epmstore.remotes.place import RemotePlace, sftp_address
from epmstore.remotes.remote import LISTED_MAX, Abilities, ObjectInfo
from epmstore.remotes.sftp_channel import SftpChannel
from epmstore.remotes.sftp_connection import SECONDS, SftpConnections
from epmstore.remotes.sftp_errors import FAILURE, NO_SUCH_FILE, StatusError

STALE_SECONDS: Final = 86_400
"""As of folders: a temporary that is so much older than what was just written belongs to no living
process.
"""


class SftpRemote:
    """Objects as files below a folder of a server. Connects when it is first asked for something.
    `secret` gives a private key, or a password.
    """

    def __init__(
        self, place: RemotePlace, secret: Callable[[], bytes], *, seconds: float = SECONDS
    ) -> None:
        """Raises UsageError for what is no URL of an SFTP server."""
        address = sftp_address(place.url)
        self._base = address.folder
        self._links = SftpConnections(address, place.host_keys, secret, seconds)
        self._known: set[str] = set()
        self._swept: set[str] = set()
        self.syncs: bool | None = None
        """Whether the server makes a file durable when it is asked to; None: not asked yet."""
        self.replaces_at_once: bool | None = None
        """Whether an object is replaced without a moment in which there is none."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(syncs=self.syncs is not False, at_once=self.replaces_at_once is not False)

    def close(self) -> None:
        self._links.close()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folders = split_prefix(prefix)
        with self._links.channel(prefix or self._base) as sftp:
            try:
                path = self._folder(sftp, folders)
            except _NothingError:
                return
            for count, found in enumerate(self._below(sftp, path, prefix, len(folders))):
                if count >= LISTED_MAX:
                    raise RemoteError(f"{prefix or self._base} lists more than {LISTED_MAX}")
                yield found

    def stat(self, name: str) -> ObjectInfo | None:
        folders, last = split_name(name)
        with self._links.channel(name) as sftp:
            with contextlib.suppress(_NothingError):
                found = _looked_at(sftp, f"{self._folder(sftp, folders)}/{last}")
                return ObjectInfo(name, _size(found, name))
            return None

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        folders, last = split_name(name)
        with self._links.channel(name) as sftp:
            try:
                path = f"{self._folder(sftp, folders)}/{last}"
                size = _size(_looked_at(sftp, path), name)
            except _NothingError:
                raise RemoteNotFoundError(f"no object {name} is there", object=name) from None
            end = size if length is None else start + length
            with sftp.opened(path) as handle:
                yield from exactly(sftp.pieces(handle, start, end), length, name)

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        folders, last = split_name(name)
        with self._links.channel(name) as sftp:
            parent = self._folder(sftp, folders, make=True)
            self._put(sftp, parent, last, checked_pieces(pieces, size, sha256, name), name)
            self._sweep(sftp, parent, last)

    def write_on(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        """As `write`; the temporary is called by the digest, and stays where this is cut off."""
        folders, last = split_name(name)
        with self._links.channel(name) as sftp:
            parent = self._folder(sftp, folders, make=True)
            temporary = f"{parent}/{_partial(sha256)}"
            kept = self._kept(sftp, temporary)
            if kept is None or kept > size:
                self._discard(sftp, temporary)
                kept = None
            right = _beyond(checked_pieces(pieces, size, sha256, name), kept or 0)
            self._put(sftp, parent, last, right, name, temporary=temporary, kept=kept)
            self._sweep(sftp, parent, last)

    def kept(self, name: str, sha256: str) -> int:
        """Bytes that `write_on` left when it was cut off."""
        folders, _ = split_name(name)
        with self._links.channel(name) as sftp:
            with contextlib.suppress(_NothingError):
                parent = self._folder(sftp, folders)
                return self._kept(sftp, f"{parent}/{_partial(sha256)}") or 0
            return 0

    def _kept(self, sftp: SftpChannel, path: str) -> int | None:
        """None if there is nothing that can be gone on with."""
        try:
            return _size(_looked_at(sftp, path), path)
        except (_NothingError, BadObjectError):
            return None

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        folders, last = split_name(name)
        if not self._is(name, expected):
            raise RemoteChangedError(f"{name} is not what it was", object=name)
        with self._links.channel(name) as sftp:
            parent = self._folder(sftp, folders, make=True)
            self._put(sftp, parent, last, [data], name)
            self._sweep(sftp, parent, last)

    def delete(self, name: str) -> None:
        folders, last = split_name(name)
        gone = contextlib.suppress(_NothingError)
        with self._links.channel(name) as sftp, gone:
            path = f"{self._folder(sftp, folders)}/{last}"
            _size(_looked_at(sftp, path), name)
            with _nothing():
                sftp.remove(path)

    def _is(self, name: str, expected: bytes | None) -> bool:
        found = self.stat(name)
        if found is None or expected is None:
            return found is None and expected is None
        return found.size == len(expected) and b"".join(self.read(name)) == expected

    def _folder(self, sftp: SftpChannel, folders: Iterable[str], *, make: bool = False) -> str:
        """The path of a folder that is there. Raises _NothingError if it is not, BadObjectError if
        something else is on the way, RemoteError if there is no folder for the depot at all.
        """
        path = self._base
        if path not in self._known:
            with contextlib.suppress(StatusError):
                self._base_is_there(sftp)
        if path not in self._known:
            raise RemoteError(
                f"there is no folder {path} on {self._links.where}",
                hint="make it there; what is missing may have to be mounted first",
            )
        for name in folders:
            path = posixpath.join(path, name)
            if path not in self._known:
                self._step(sftp, path, make=make)
                self._known.add(path)
        return path

    def _base_is_there(self, sftp: SftpChannel) -> None:
        if stat.S_ISDIR(sftp.stat(self._base).st_mode or 0):
            self._known.add(self._base)

    def _step(self, sftp: SftpChannel, path: str, *, make: bool) -> None:
        try:
            found = _looked_at(sftp, path)
        except _NothingError:
            if not make:
                raise
            with contextlib.suppress(StatusError):  # another host was quicker; or it is seen below
                sftp.mkdir(path)
            found = self._made(sftp, path)
        if not stat.S_ISDIR(found.st_mode or 0):
            raise _something_else(posixpath.basename(path), "folder")

    def _made(self, sftp: SftpChannel, path: str) -> paramiko.SFTPAttributes:
        try:
            return _looked_at(sftp, path)
        except _NothingError:
            sftp.mkdir(path)  # and says why not
            raise RemoteTransientError(f"{path} was made, and is not there") from None

    def _put(
        self,
        sftp: SftpChannel,
        parent: str,
        last: str,
        pieces: Iterable[bytes],
        name: str,
        *,
        temporary: str | None = None,
        kept: int | None = None,
    ) -> None:
        """A `temporary` that is named stays where this is cut off; `kept` bytes of it are there."""
        stays = temporary is not None
        temporary = temporary or f"{parent}/{temporary_name()}"
        try:
            with sftp.opened(temporary, new=kept is None, on=kept is not None) as handle:
                size = sftp.write_all(handle, pieces, kept or 0)
                if self.syncs is not False:
                    self.syncs = sftp.sync(handle)
            there = _looked_at(sftp, temporary).st_size
            if there != size:
                said = f"{name}: {there} of {size} bytes were kept"
                raise RemoteTransientError(said, object=name)
            self._rename(sftp, temporary, f"{parent}/{last}")
        except StatusError as error:
            self._discard(sftp, temporary)
            room = sftp.room(parent) if error.number == FAILURE else None
            if room is not None and room < (1 << 20):
                raise RemoteFullError(
                    f"{name}: there is no room on {self._links.where}",
                    hint="nothing is lost: make room there, and run the command again",
                ) from None
            if error.number == NO_SUCH_FILE:
                self._known.clear()  # a folder that vanished is made anew
                raise RemoteTransientError(f"{name}: {error.text}", object=name) from None
            raise
        except _NothingError:
            raise RemoteTransientError(f"{name}: what was written is gone", object=name) from None
        except Exception as error:
            if not stays or isinstance(error, BadObjectError):
                self._discard(sftp, temporary)
            raise

    def _rename(self, sftp: SftpChannel, old: str, new: str) -> None:
        if self.replaces_at_once is not False:
            self.replaces_at_once = sftp.rename_over(old, new)
        if not self.replaces_at_once:
            try:
                sftp.rename(old, new)
            except StatusError as error:
                self._rename_aside(sftp, old, new, error)

    def _rename_aside(self, sftp: SftpChannel, old: str, new: str, error: StatusError) -> None:
        """What is there, if anything, is in the way: it goes aside, and comes back if that was not
        what was wrong. Raises the error if nothing is there.
        """
        aside = f"{posixpath.dirname(new)}/{temporary_name()}"
        try:
            sftp.rename(new, aside)
        except StatusError:
            raise error from None
        try:
            sftp.rename(old, new)
        except StatusError:
            sftp.rename(aside, new)
            raise
        self._discard(sftp, aside)

    def _discard(self, sftp: SftpChannel, path: str) -> None:
        with contextlib.suppress(StatusError, paramiko.SSHException, EOFError, OSError):
            sftp.remove(path)

    def _sweep(self, sftp: SftpChannel, parent: str, last: str) -> None:
        """Once for each folder: temporaries that no process can be writing any more are taken away.
        Both times are the server's own; whatever fails is left for another time.
        """
        if parent in self._swept:
            return
        self._swept.add(parent)
        with contextlib.suppress(StatusError):
            now = sftp.lstat(f"{parent}/{last}").st_mtime or 0
            old = [
                name
                for name, found in sftp.entries(parent)
                if name.startswith(TEMPORARY.encode())
                and stat.S_ISREG(found.st_mode or 0)
                and (found.st_mtime or now) < now - STALE_SECONDS
            ]
            for name in old:
                sftp.remove(f"{parent}/{name.decode('ascii', 'ignore')}")

    def _below(self, sftp: SftpChannel, path: str, prefix: str, depth: int) -> Iterator[ObjectInfo]:
        """What is below a folder, in order: a folder's name sorts as the names below it do."""
        found: list[tuple[str, int]] = []
        for raw, attributes in sftp.entries(path):
            name = raw.decode("ascii", "replace")
            if is_component(name) and stat.S_ISDIR(attributes.st_mode or 0):
                found.append((f"{name}/", 0))
            elif is_component(name) and stat.S_ISREG(attributes.st_mode or 0):
                found.append((name, attributes.st_size or 0))
            if len(found) > LISTED_MAX:
                raise RemoteError(f"{prefix or self._base} lists more than {LISTED_MAX}")
        for name, size in sorted(found):
            if not name.endswith("/"):
                yield ObjectInfo(prefix + name, size)
            elif depth + 1 < DEPTH_MAX:
                with contextlib.suppress(_NothingError), _nothing():
                    yield from self._below(sftp, path + "/" + name[:-1], prefix + name, depth + 1)


class _NothingError(Exception):
    """There is nothing of that name."""


def _partial(sha256: str) -> str:
    return f"{TEMPORARY}{sha256[:32]}"


def _beyond(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """The same without the first so many bytes."""
    for piece in pieces:
        if piece[count:]:
            yield piece[count:]
        count = max(0, count - len(piece))


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    try:
        yield
    except StatusError as error:
        if error.number == NO_SUCH_FILE:
            raise _NothingError from None
        raise


def _looked_at(sftp: SftpChannel, path: str) -> paramiko.SFTPAttributes:
    """Without following a link. Raises _NothingError, StatusError."""
    with _nothing():
        return sftp.lstat(path)


def _size(found: paramiko.SFTPAttributes, name: str) -> int:
    if not stat.S_ISREG(found.st_mode or 0) or found.st_size is None:
        raise _something_else(name, "file")
    return found.st_size


def _something_else(name: str, what: str) -> BadObjectError:
    return BadObjectError(
        f"{name} is no {what} there: something else lies in its place (a link, perhaps)",
        hint="links are not followed on a remote; find out who put it there, and take it away",
        object=name,
    )
