"""Folders in which a file may change without an event, because it is mapped, and when to look at
them again. Pure: times are given.

The kernel writes pages out within a time; what was stored until then shows by the next look, and
what is stored afterwards in the times of the file (epmstore/scan/mapped.py).
"""

from collections.abc import Iterable

from epmstore.scan.mapped import PATIENCE, USUAL_NS, dirty_ns


class Late:
    """For one application."""

    def __init__(self) -> None:
        self.wait = PATIENCE * (dirty_ns() or USUAL_NS) / 1e9
        """Seconds until what was stored before a look shows."""
        self.due: float | None = None
        """When to look again; None: nothing is in doubt."""
        self.is_certain = False
        """Whether some file is known to be mapped: any may be, where that cannot be asked."""
        self._folders: frozenset[str] = frozenset()

    def note(self, folders: Iterable[str], now: float, *, is_certain: bool) -> None:
        """Those that one recording found; none: it found no others than are known."""
        found = frozenset(folders)
        if found:
            self._folders |= found
            self.is_certain |= is_certain
            self.due = now + self.wait if self.due is None else self.due

    def take(self, now: float) -> frozenset[str]:
        """The folders that are due, which wait no more."""
        if self.due is None or now < self.due:
            return frozenset()
        folders = self._folders
        self._folders, self.due, self.is_certain = frozenset(), None, False
        return folders
