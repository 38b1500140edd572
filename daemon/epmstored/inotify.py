"""A watcher on the kernel's events, by the low level of watchdog.

watchdog's own observer is not used: its walk after an overflow can feed its own queue, it does not
tell its handlers of one, and it swallows a watch that failed. Its InotifyFD is: one kernel queue, a
thread that reads it, and the parser.

Rules: a folder is watched before it is listed, so nothing is made unseen in between; a folder that
moves is let go under its old name and watched anew, as a new one, under the new; what is not asked
for is not queued (no opens, no reads). Folders are reached by descriptors, never through a symlink.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, TypeAlias

from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask, WatchDescriptor

from epmstore.errors import EpmError, LimitError, UnreadableRootError
from epmstore.limits import is_out_of_descriptors, limit_error
from epmstore.relpath import join
from epmstore.scan.scope import WalkScope
from epmstored.clock import DaemonClock
from epmstored.kernelqueue import SharedQueue
from epmstored.watcher import Hints, Notify, WatchLimitError

OpenScope: TypeAlias = Callable[[], AbstractContextManager[WalkScope]]
"""Opens the root as it is now. Raises RootError."""

_C = InotifyConstants
APPEARED: Final = _C.IN_CREATE | _C.IN_MOVED_TO
_LEFT: Final = _C.IN_DELETE | _C.IN_MOVED_FROM
_WRITTEN: Final = _C.IN_MODIFY | _C.IN_CLOSE_WRITE
_ROOT_GONE: Final = _C.IN_UNMOUNT | _C.IN_DELETE_SELF | _C.IN_MOVE_SELF
_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ESTALE)
MASK: Final = Mask(
    APPEARED | _LEFT | _WRITTEN | _C.IN_ATTRIB | _C.IN_DELETE_SELF | _C.IN_MOVE_SELF
    | _C.IN_ONLYDIR | _C.IN_EXCL_UNLINK
)  # fmt: skip


class _Folder:
    """A watched folder. `path` never changes: one that moves becomes another _Folder."""

    __slots__ = ("children", "generation", "name", "parent", "path", "wd")

    def __init__(self, path: str, name: str, parent: "_Folder | None", wd: WatchDescriptor) -> None:
        self.path = path
        self.name = name
        self.parent = parent
        self.wd = wd
        self.children: dict[str, _Folder] = {}
        self.generation = 0


_Place: TypeAlias = tuple[_Folder | None, str]
"""A folder that is watched, and the path of one in it; none and '' for the root."""


class _Noticed:
    """Hints under way from the reading thread to the task that takes them."""

    def __init__(self, clock: DaemonClock, notify: Notify) -> None:
        self._clock = clock
        self._notify = notify
        self._lock = threading.Lock()
        self._hints = Hints()

    def add(self, folders: Iterable[str], files: dict[str, bool], **flags: bool) -> None:
        """`files`: whether they are still being written."""
        now = self._clock.monotonic()
        with self._lock:
            old = self._hints
            writing = frozenset(path for path, open_ in files.items() if open_)
            closed = frozenset(files).difference(writing)
            self._hints = Hints(
                folders=old.folders.union(folders),
                writing=old.writing - closed | writing,
                closed=old.closed - writing | closed,
                lost=old.lost or flags.get("lost", False),
                root=old.root or flags.get("root", False),
                limit=old.limit or flags.get("limit", False),
                unsure=old.unsure or flags.get("unsure", False),
                first=old.first if old else now,
                last=now,
            )
            is_news = bool(self._hints) and not old
        if is_news:
            self._notify()

    def take(self) -> Hints:
        with self._lock:
            hints, self._hints = self._hints, Hints()
        return hints

    @property
    def is_empty(self) -> bool:
        return not self._hints


class InotifyWatcher:
    """Watches one root, with a thread of its own and a seat at the queue of all roots."""

    def __init__(
        self,
        open_scope: OpenScope,
        clock: DaemonClock,
        notify: Notify,
        shared: SharedQueue | None = None,
    ) -> None:
        """Raises WatchLimitError if the host does not allow a queue, LimitError."""
        try:
            self._seat = (shared or SharedQueue()).join(self._handle)
        except OSError as error:
            raise _no_queue(error) from None
        self._open_scope = open_scope
        self._noticed = _Noticed(clock, notify)
        self._lock = threading.Lock()
        self._by_wd: dict[WatchDescriptor, _Folder] = {}
        self._root: _Folder | None = None
        self._shut: dict[str, _Folder | None] = {}
        """Folders that we may not look into, and what they are in; tar makes some that are opened
        when all is unpacked.
        """
        self._generation = 0
        self._touched: set[str] = set()
        self._files: dict[str, bool] = {}
        self._flags: dict[str, bool] = {}

    # The Watcher protocol.

    def start(self) -> None:
        self._seat.start()
        self.renew()

    def take(self) -> Hints:
        return self._noticed.take()

    def renew(self) -> None:
        """Raises WatchLimitError, LimitError, RootError, OSError."""
        self._generation += 1
        with self._open_scope() as scope:
            with self._lock:
                self._shut.clear()
            pending: list[_Place] = [(None, "")]
            while pending:
                with self._lock:
                    pending += self._watch_one(scope, *pending.pop())
        with self._lock:
            for folder in [f for f in self._by_wd.values() if f.generation < self._generation]:
                self._forget(folder)

    def is_quiet(self) -> bool:
        return self._seat.is_quiet() and self._noticed.is_empty

    def close(self) -> None:
        with self._lock:
            watched = list(self._by_wd)
        self._seat.end(watched)

    @property
    def watched(self) -> int:
        return len(self._by_wd)

    # The reading thread.

    def _handle(self, events: list[InotifyEvent]) -> None:
        with self._lock:
            self._touched, self._files, self._flags = set(), {}, {}
            try:
                with self._open_scope() as scope:
                    for event in events:
                        self._on(event, scope)
            except WatchLimitError:
                self._flags["limit"] = True
            except (UnreadableRootError, LimitError):  # of the root that says nothing
                self._flags["lost"] = True
            except (EpmError, OSError):  # no root, or something is wrong with this host
                self._flags |= {"root": True, "lost": True}
            self._noticed.add(self._touched, self._files, **self._flags)

    def _on(self, event: InotifyEvent, scope: WalkScope) -> None:
        mask = event.mask
        if mask & _C.IN_Q_OVERFLOW:
            self._flags["lost"] = True
            return
        folder = self._by_wd.get(event.wd)
        if folder is None:
            return
        if not event.name:
            self._on_itself(folder, mask)
        elif mask & _C.IN_ISDIR:
            self._on_directory(folder, os.fsdecode(event.name), mask, scope)
        else:
            self._on_file(folder, os.fsdecode(event.name), mask, scope)

    def _on_itself(self, folder: _Folder, mask: int) -> None:
        if mask & (_ROOT_GONE | _C.IN_IGNORED) and folder is self._root:
            self._flags["root"] = True
        if mask & _C.IN_IGNORED:
            self._detach(folder)
        elif mask & _C.IN_ATTRIB:
            self._touched.add(folder.path)

    def _on_directory(self, folder: _Folder, name: str, mask: int, scope: WalkScope) -> None:
        path = join(folder.path, name)
        if mask & _LEFT:
            if (child := folder.children.get(name)) is not None:
                self._forget(child)
            for shut in self._shut_at(path):
                del self._shut[shut]
        path_class = scope.class_of(path, is_dir=True)
        if path_class == "ignore":
            return
        self._touched.add(folder.path)
        if mask & APPEARED and path_class != "state":
            self._watch_new(scope, [(folder, path)])
        elif mask & _C.IN_ATTRIB and self._shut:
            self._watch_new(scope, self._shut_places(path))

    def _on_file(self, folder: _Folder, name: str, mask: int, scope: WalkScope) -> None:
        path = join(folder.path, name)
        path_class = scope.class_of(path, is_dir=False)
        if path_class == "ignore" or (path_class == "state" and not mask & ~_WRITTEN):
            return
        self._touched.add(folder.path)
        if mask & _C.IN_MODIFY:
            self._files[path] = True
        elif mask & (_C.IN_CLOSE_WRITE | _LEFT):
            self._files[path] = False

    # The watched folders.

    def _watch_new(self, scope: WalkScope, pending: list[_Place]) -> None:
        """Watch these and all below them, and have them looked at. Raises as `_watch_one`."""
        while pending:
            self._flags["unsure"] = True
            place = pending.pop()
            pending += self._watch_one(scope, *place)
            self._touched.add(place[1])

    def _shut_at(self, path: str) -> list[str]:
        """What we may not look into of a directory and all below it."""
        return [shut for shut in self._shut if shut == path or shut.startswith(f"{path}/")]

    def _shut_places(self, path: str) -> list[_Place]:
        """The same, where it is to be watched; it may be open now."""
        found = [(self._shut[shut], shut) for shut in self._shut_at(path)]
        return [(p, s) for p, s in found if p is not None and self._by_wd.get(p.wd) is p]

    def _watch_one(self, scope: WalkScope, parent: _Folder | None, path: str) -> list[_Place]:
        """Watch a folder; what is to be watched below it. Nothing if it is not there (any more).

        Raises WatchLimitError, OSError.
        """
        self._shut.pop(path, None)
        try:
            fd = scope.open(path)
            if fd is None:
                return []
            folder = self._watch(parent, path, fd)
            return [(folder, join(path, name)) for name in scope.below(fd, path)]
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise limit_error(error, f"{path or '.'} cannot be watched") or error from None
            if error.errno == errno.EACCES:
                self._shut[path] = parent
            return []

    def _watch(self, parent: _Folder | None, path: str, fd: int) -> _Folder:
        """Watch an open folder, whichever name it was watched under before."""
        try:
            wd = self._seat.watch(fd, MASK)
        except OSError as error:
            raise _limit(error) from None
        folder = self._by_wd.get(wd)
        if folder is None or folder.path != path or folder.parent is not parent:
            if folder is not None:
                self._detach(folder)
            name = path.rpartition("/")[2]
            if parent is not None and (other := parent.children.get(name)) is not None:
                self._forget(other)
            folder = self._by_wd[wd] = _Folder(path, name, parent, wd)
            if parent is None:
                self._root = folder
            else:
                parent.children[name] = folder
        folder.generation = self._generation
        return folder

    def _detach(self, folder: _Folder) -> None:
        """It is not watched any more, or is about to be under another name."""
        if self._by_wd.get(folder.wd) is folder:
            del self._by_wd[folder.wd]
        if folder.parent is not None and folder.parent.children.get(folder.name) is folder:
            del folder.parent.children[folder.name]

    def _forget(self, top: _Folder) -> None:
        """Watch a folder and all below it no more."""
        pending = [top]
        while pending:
            folder = pending.pop()
            pending += folder.children.values()
            if self._by_wd.get(folder.wd) is folder:
                self._seat.unwatch(folder.wd)
            self._detach(folder)


def _limit(error: OSError) -> Exception:
    """Why a folder cannot be watched."""
    if error.errno in (errno.ENOSPC, errno.ENOMEM):
        return WatchLimitError(error)
    return error


def _no_queue(error: OSError) -> Exception:
    """The kernel says the same of two limits: of its queues, and of our descriptors."""
    if error.errno == errno.EMFILE and not is_out_of_descriptors():
        return WatchLimitError(error)
    return limit_error(error, "the kernel's events cannot be had") or error
