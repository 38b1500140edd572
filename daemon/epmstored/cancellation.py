"""Ending a long recording early: a Progress that stops what reports to it.

Recording cleans up after itself on any error, and what was not recorded is found by the next start.
"""

from typing import ClassVar

from epmstore.errors import EpmError


class StoppedError(EpmError):
    code: ClassVar[str] = "stopped"


class Cancellation:
    """Shared by all threads of a daemon."""

    def __init__(self) -> None:
        self._is_cancelled = False

    def cancel(self) -> None:
        """From now on nothing that reports here goes on."""
        self._is_cancelled = True

    def begin(self, what: str, *, files: int | None = None, size: int | None = None) -> None:
        self._check()

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        self._check()

    def end(self) -> None:
        """Whatever is over needs no stopping."""

    def _check(self) -> None:
        if self._is_cancelled:
            raise StoppedError("the daemon ends", hint="its next start goes on")
