"""Whose a place is: what may be believed, because only we and root can have written it.

Root carries out what it finds in a store: journals, hooks, classes of paths. So a place counts as
ours only if it, what is in it, and every folder and link on the way to it belong to us or to root,
and no other user may write there. A sticky folder of root's, such as /tmp, counts: what we have in
it is ours. A group that is its owner's alone counts as its owner.

Nothing is looked at first and opened then: each name is opened below the descriptor of the folder
before it, and what was opened is judged. Who may not change the way cannot put anything else there
later, so that names may be used from then on.
"""

import contextlib
import errno
import grp
import os
import pwd
import stat
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Final

from epmstore import fsio
from epmstore.atomic import TEMPORARY, about, read_up_to
from epmstore.errors import ForeignError, RootError
from epmstore.places import APPS, CONFIG, SYSTEM_CONFIG

OVERFLOW: Final = 65534
"""What the kernel shows for an owner that a user namespace does not know."""
UID_MAP: Final = Path("/proc/self/uid_map")
MAX_LINKS: Final = 40
_EVERYBODY: Final = ["0", "0", "4294967295"]
_PATH: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
FOLDERS: Final = (
    *("packs", "packs/log", "catalogs", "journals", "quarantine", "locks", "live", "trust"),
    *("scratch", "remotes"),
)
"""Of a store: those whose files are believed, or written in place."""
_ON_THEIR_OWN: Final = (CONFIG, APPS)
"""What a store may hold and `read_trusted` judges."""


def is_ours(uid: int) -> bool:
    """Whether this owner is us or root."""
    return uid in (0, os.geteuid())


def who(uid: int) -> str:
    """An owner for a message."""
    if uid == OVERFLOW and in_user_namespace():
        return "an owner who is not known in this user namespace"
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"the user {uid}"


def in_user_namespace() -> bool:
    """Whether some owners of the host are not known here, as in a container without root."""
    try:
        return UID_MAP.read_text().split() != _EVERYBODY
    except OSError:
        return False


def settings_file() -> str:
    """Where the one who runs this says which stores of others are safe."""
    return f"{SYSTEM_CONFIG}/{CONFIG}" if os.geteuid() == 0 else f"~/.config/epmstore/{CONFIG}"


def open_way(path: str, *, folder: bool = True, way: bool = True) -> int:
    """A descriptor for reading what `path` names, reached name by name. Every link on the way, and
    the folder that it lies in, must be ours; with `way` every other folder, too. What it names is
    not judged, and what is not a `folder` does not make the caller wait. Raises ForeignError,
    OSError.
    """
    with _Way(path, way) as found:
        flags = fsio.DIRECTORY if folder else fsio.READ
        with about(Path(path)):
            return os.open(found.last, flags, dir_fd=found.folder)


def check_way(path: Path) -> None:
    """Raises ForeignError if others may change the way to `path`, as far as it is there."""
    with contextlib.suppress(FileNotFoundError), _Way(str(path), True):
        pass


class _Way:
    """Walks a path; stands in the folder that holds its last name, which is no link."""

    def __init__(self, path: str, all_of_it: bool) -> None:
        self._path = path
        self._all = all_of_it
        self._open = [os.open("/", fsio.DIRECTORY)]
        self.names: list[str] = []
        self.last = "."

    def __enter__(self) -> "_Way":
        try:
            self._walk()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def folder(self) -> int:
        return self._open[-1]

    def _close(self) -> None:
        for fd in self._open:
            os.close(fd)

    def _walk(self) -> None:
        todo = self._path.split("/")[::-1]
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(self._open) > 1:
                    os.close(self._open.pop())
                    self.names.pop()
                continue
            target = self._step(name, is_last=not any(todo))
            if target is None:
                continue
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
            todo += target.split("/")[::-1]

    def _step(self, name: str, *, is_last: bool) -> str | None:
        """One name further; where it leads to if it is a link."""
        where = "/".join(["", *self.names])
        if self._all:
            _check_folder(os.fstat(self.folder), where or "/")
        try:
            fd = os.open(name, _PATH, dir_fd=self.folder)
        except OSError as error:
            error.filename = f"{where}/{name}"
            raise
        keep = False
        try:
            found = os.fstat(fd)
            if stat.S_ISLNK(found.st_mode):
                _check_link(found, os.fstat(self.folder), f"{where}/{name}", where or "/")
                target = os.readlink("", dir_fd=fd)
                if target.startswith("/"):
                    self._to_the_top()
                return target
            if is_last:
                self.last = name
            else:
                if not stat.S_ISDIR(found.st_mode):
                    code = errno.ENOTDIR
                    raise OSError(code, os.strerror(code), f"{where}/{name}")
                self._open.append(fd)
                self.names.append(name)
                keep = True
        finally:
            if not keep:
                os.close(fd)
        return None

    def _to_the_top(self) -> None:
        for fd in self._open[1:]:
            os.close(fd)
        del self._open[1:]
        self.names.clear()


def _check_folder(found: os.stat_result, where: str) -> None:
    """A folder on the way: no other user may put something else in the place of what is in it."""
    is_hidden_root = found.st_uid == OVERFLOW and in_user_namespace()
    if not is_ours(found.st_uid) and not is_hidden_root:
        remedy = f"`chown {os.geteuid()} {where}`, or have what is in it elsewhere"
        if not os.geteuid():
            remedy = f"use it as its owner (`sudo -u '#{found.st_uid}'`); {remedy}"
        raise _foreign(where, f"{where} belongs to {who(found.st_uid)}", found, remedy)
    if may_others_write(found) and not found.st_mode & stat.S_ISVTX:
        raise _foreign(where, f"others may write in {where}", found, f"`chmod go-w {where}`")


def _check_link(link: os.stat_result, folder: os.stat_result, name: str, where: str) -> None:
    if not is_ours(link.st_uid):
        text = f"the link {name} belongs to {who(link.st_uid)}"
        raise _foreign(name, text, link, "name the place that it leads to")
    _check_folder(folder, where)


def may_others_write(found: os.stat_result) -> bool:
    """Whether its mode lets a user write who is not its owner."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private(found.st_gid, found.st_uid)


def _is_private(gid: int, uid: int) -> bool:
    """Whether a group is that of one user alone, as many systems make one for each; never root's,
    in which others may be.
    """
    if uid == 0:
        return False
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(uid)
    except KeyError:
        return False
    is_own = user.pw_gid == gid and group.gr_name == user.pw_name
    return is_own and set(group.gr_mem) <= {user.pw_name}


def check_store(path: Path, safe: Container[Path] = ()) -> None:
    """Raises ForeignError if a user other than us and root can have written what is in a store,
    unless it is among those that are `safe`; OSError if it cannot be opened.
    """
    with _of_store(path, safe):
        fd = open_way(str(path))
        try:
            _check_inside(fd, str(path), FOLDERS)
        finally:
            os.close(fd)


def check_working_space(path: Path, what: str, folders: Sequence[str]) -> None:
    """The same for another place that is believed, with these folders in it: `what` it is called.
    Where it is not there yet, the way to it is judged. Raises ForeignError, OSError.
    """
    try:
        try:
            fd = open_way(str(path))
        except (FileNotFoundError, NotADirectoryError):
            check_way(path)
            return
        try:
            _check_inside(fd, str(path), folders)
        finally:
            os.close(fd)
    except ForeignError as error:
        raise ForeignError(
            f"the {what} at {path} is not believed: {error.message}",
            hint=error.hint or _remedy(error.data["owner"], path),
            **error.data,
        ) from None


def check_new_store(path: Path, safe: Container[Path] = ()) -> None:
    """Raises ForeignError where others could put something in the place of a store that is going
    to be made; or if there is a folder already that is not ours.
    """
    with _of_store(path, safe):
        check_way(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            fd = open_way(str(path))
            try:
                _check_owner(os.fstat(fd), str(path))
            finally:
                os.close(fd)


def _check_inside(fd: int, store: str, folders: Sequence[str]) -> None:
    _check_place(os.fstat(fd), store)
    _check_files(fd, store, fd, folders)
    for name in folders:
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        except (FileNotFoundError, NotADirectoryError):
            continue  # the command that needs it says so
        try:
            link = fsio.lstat(name, fd)
            if stat.S_ISLNK(link.st_mode):
                os.close(open_way(f"{store}/{name}"))
            _check_place(os.fstat(below), f"{store}/{name}")
            if name != "quarantine":
                _check_files(below, f"{store}/{name}", fd, folders, packs=name == "packs")
        finally:
            os.close(below)


def _check_files(
    fd: int, where: str, store_fd: int, folders: Sequence[str], *, packs: bool = False
) -> None:
    """What lies in a folder of a store that only we may write. Folders of packs are judged, packs
    are not: each content has its witness, and a pack never changes. A temporary is written by the
    process that made it, and by no other process: it is only ever taken away.
    """
    for name in os.listdir(fd):
        try:
            found = fsio.lstat(name, fd)
        except FileNotFoundError:  # a temporary of another process at work
            continue
        path = f"{where}/{name}"
        if stat.S_ISDIR(found.st_mode):
            if packs:
                _check_place(found, path)
        elif name not in _ON_THEIR_OWN and not name.startswith(TEMPORARY):
            _check_file(found, path, (fd, name), store_fd, folders)


def _names_within(store_fd: int, found: os.stat_result, folders: Sequence[str]) -> int:
    """How many names of a file are in a store, where only we can have made them: a power cut may
    leave both that a file was moved between.
    """
    counts: dict[int, int] = {}  # a folder that is reached in two ways counts once
    for folder in (".", *folders):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=store_fd)
            try:
                place = os.fstat(fd)
                if place.st_dev == found.st_dev:  # names of a file are on its file system
                    inodes = [one.inode() for one in os.scandir(fd)]
                    counts[place.st_ino] = inodes.count(found.st_ino)
            finally:
                os.close(fd)
    return sum(counts.values())


def _check_file(
    found: os.stat_result,
    path: str,
    place: tuple[int, str],
    store_fd: int,
    folders: Sequence[str],
) -> None:
    """`place` is the folder and the name."""
    fd, name = place
    _check_owner(found, path)
    if stat.S_ISLNK(found.st_mode):
        try:
            os.close(open_way(path, folder=False))
            target = os.stat(name, dir_fd=fd)
        except OSError:
            return  # it leads nowhere, and the command that needs it says so
        _check_owner(target, path)
        found = target
    if not stat.S_ISREG(found.st_mode):
        return
    if may_others_write(found):
        raise _foreign(path, f"others may write {path}", found, f"`chmod go-w {path}`")
    if found.st_nlink > 1 and found.st_nlink > _names_within(store_fd, found, folders):
        text = f"{path} has another name elsewhere (a hard link), by which it may be written"
        copy = f"`cp -p {path} {path}.new && mv {path}.new {path}`"
        raise _foreign(path, text, found, f"give it a life of its own: {copy}")


def _check_place(found: os.stat_result, where: str) -> None:
    """A folder of a store."""
    _check_owner(found, where)
    if may_others_write(found):
        raise _foreign(where, f"others may write in {where}", found, f"`chmod go-w {where}`")


def _check_owner(found: os.stat_result, where: str) -> None:
    if not is_ours(found.st_uid):
        raise _foreign(where, f"{where} belongs to {who(found.st_uid)}", found, None)


def _foreign(where: str, text: str, found: os.stat_result, remedy: str | None) -> ForeignError:
    return ForeignError(text, hint=remedy, file=where, owner=found.st_uid)


@contextlib.contextmanager
def _of_store(store: Path, safe: Container[Path]) -> Iterator[None]:
    """What is not ours is said with what helps, unless the settings say that this store is safe."""
    try:
        yield
    except ForeignError as error:
        if store in safe or Path(os.path.realpath(store)) in safe:
            return
        raise ForeignError(
            f"the store at {store} is not believed: {error.message}",
            hint=f"{error.hint or _remedy(error.data['owner'], store)}; or name the store in"
            f" `safe_stores` in {settings_file()}",
            **{**error.data, "store": str(store)},
        ) from None


def _remedy(owner: int, store: Path) -> str:
    if owner == OVERFLOW and in_user_namespace():
        return "use it where its owner is known (outside of the container), or map its owner"
    mine = f"`chown -R {os.geteuid()} {store}` if all that is in it is to be believed"
    return mine if os.geteuid() else f"use it as its owner (`sudo -u '#{owner}'`); {mine}"


def read_own(path: Path, limit: int) -> bytes:
    """A file, or a pipe, that says what is to be done. Raises ForeignError if others may have
    written it, OSError, DamagedError if it is beyond `limit` bytes.
    """
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if not is_ours(found.st_uid):
            text = f"{path} belongs to {who(found.st_uid)}, and what it says would be carried out"
            hint = f"read it; if it is right, `chown {os.geteuid()} {path}`"
            raise _foreign(str(path), text, found, hint)
        if may_others_write(found):
            text = f"others may write {path}, and what it says would be carried out"
            hint = f"read it; if it is right, `chmod go-w {path}`"
            raise _foreign(str(path), text, found, hint)
        return read_up_to(file, path, limit)


def follow(path: str, key: str) -> int:
    """A descriptor of the root that `path` leads to through links that only we can have made. The
    root itself may belong to any user. Raises RootError, OSError.
    """
    try:
        return open_way(path, way=False)
    except ForeignError as error:
        raise RootError(
            f"the root of {key} is reached through what others may change: {error.message}",
            hint=f"chown the link and its folder to root or yourself, or `epmstore app move {key}"
            " DIR` with the folder that it leads to",
            app=key,
            file=error.data["file"],
        ) from None
