"""Which files change again and again, without end. Pure.

A log that was not classified would become a version each time that it grows, with all its content.
What is in so many drift versions one after the other is noisy.
"""

from collections.abc import Iterable

RUNNING = 10
"""Drift versions one after the other."""


class NoisyFiles:
    """Counts for one application, since the daemon was started."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}

    def note(self, changed: Iterable[str]) -> list[str]:
        """One more drift version, and the files that it has new contents of; those that are noisy
        by now, once each.
        """
        running = {path: self._running.get(path, 0) + 1 for path in changed}
        noisy = sorted(path for path, times in running.items() if times >= RUNNING)
        self._running = {path: times for path, times in running.items() if times < RUNNING}
        return noisy
