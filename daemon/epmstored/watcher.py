"""Who tells the daemon that a root changed: the Watcher protocol.

A watcher gives hints: folders in which something may have changed. A hint may be wrong, and a hint
may be missing only if the watcher says so (`lost`), which is healed by looking at everything.
"""

import errno
from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from epmstore.errors import EpmError

Notify: TypeAlias = Callable[[], None]
"""Says that there is something to take; from any thread, once until it is taken."""


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What was noticed since the last time.

    `folders` ('' is the root) are to be looked at. `writing` are files in them that were written
    and not closed since, `closed` those that were closed. `lost`: events were lost, so anything may
    have changed. `root`: the root itself was moved, removed or unmounted. `limit`: the host does
    not let us watch all that there is now. `unsure`: there are new folders, in which files may have
    been opened before they were watched. `first` and `last` are when the first and the last of it
    was noticed (monotonic).
    """

    folders: frozenset[str] = frozenset()
    writing: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    lost: bool = False
    root: bool = False
    limit: bool = False
    unsure: bool = False
    first: float = 0.0
    last: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.folders or self.lost or self.root or self.limit)


NOTHING = Hints()


class WatchLimitError(EpmError):
    """The kernel does not let us watch more."""

    code = "watch_limit"

    def __init__(self, error: OSError) -> None:
        if error.errno == errno.ENOMEM:
            super().__init__("the kernel has no memory for more watches", setting="memory")
            return
        queues = error.errno == errno.EMFILE
        setting = "fs.inotify.max_user_instances" if queues else "fs.inotify.max_user_watches"
        super().__init__(
            f"the kernel allows no more watches ({setting})",
            hint=f"raise it: sysctl {setting}",
            setting=setting,
        )


class Watcher(Protocol):
    """Watches one root. All methods may take long and belong into a thread, except `take`
    and `is_quiet`."""

    def start(self) -> None:
        """Watch everything that is there now. Raises OSError; WatchLimitError if the host does not
        allow as many watches.
        """
        ...

    def take(self) -> Hints:
        """What was noticed since the last call. Quick."""
        ...

    def is_quiet(self) -> bool:
        """Whether everything that has happened up to now was noticed, and taken. Quick."""
        ...

    def renew(self) -> None:
        """Watch what is there now, after hints were lost. Raises as `start`."""
        ...

    def close(self) -> None:
        """Watch no more."""
        ...

    @property
    def watched(self) -> int:
        """Folders that the kernel watches for us."""
        ...
