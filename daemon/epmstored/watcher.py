"""Who tells the daemon that a root changed: the Watcher protocol.

A watcher gives hints: folders in which something may have changed. A hint may be wrong, and a hint
may be missing only if the watcher says so (`lost`), which is healed by looking at everything.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

Notify: TypeAlias = Callable[[], None]
"""Says that there is something to take; from any thread, once until it is taken."""


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What was noticed since the last time.

    `folders` ('' is the root) are to be looked at; those that are new, with all that is below
    them. `writing` are those of them in which a file is still open for writing. `lost`: events were
    lost, so anything may have changed. `first` and `last` are when the first and the last of it was
    noticed (monotonic). `root`: the root itself was moved, removed or unmounted.
    """

    folders: frozenset[str] = frozenset()
    writing: frozenset[str] = frozenset()
    lost: bool = False
    root: bool = False
    first: float = 0.0
    last: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.folders or self.lost or self.root)


NOTHING = Hints()


class Watcher(Protocol):
    """Watches one root. All methods may take long and belong into a thread, except `take`."""

    def start(self) -> None:
        """Watch everything that is there now. Raises OSError; WatchLimitError if the host does not
        allow as many watches.
        """
        ...

    def take(self) -> Hints:
        """What was noticed since the last call. Quick."""
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
