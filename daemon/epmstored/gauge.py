"""How far a recording is: a Progress that can be asked. It is told from any thread."""

import threading
import time
from typing import Final

import msgspec

from epmstore.progress import SILENT, Progress

QUICK: Final = 1.0
"""Seconds: shorter work is no news, and longer work is news so often."""


class Doing(msgspec.Struct, frozen=True):
    """What is being done, and how much of it is; totals are None where they are not known."""

    what: str
    files: int
    files_total: int | None
    bytes: int
    bytes_total: int | None


class Gauge:
    """For one application; `beneath` is told, too, and may end the work."""

    def __init__(self) -> None:
        self.beneath: Progress = SILENT
        self._lock = threading.Lock()
        self._began: float | None = None
        self._shown_at = 0.0
        self._shown: Doing | None = None
        self._now = Doing("", 0, None, 0, None)

    def begin(self, what: str, *, files: int | None = None, size: int | None = None) -> None:
        with self._lock:
            self._began = self._began or time.monotonic()
            self._now = Doing(what, 0, files, 0, size)
        self.beneath.begin(what, files=files, size=size)

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        with self._lock:
            now = self._now
            self._now = Doing(
                now.what, now.files + files, now.files_total, now.bytes + size, now.bytes_total
            )
        self.beneath.advance(files=files, size=size)

    def end(self) -> None:
        self.beneath.end()

    def rest(self) -> None:
        """What was being done is done, or has failed."""
        with self._lock:
            self._began = self._shown = None

    @property
    def doing(self) -> Doing | None:
        """None while nothing is being done that takes long. The same for a while, so that who is
        told of changes is not told of each file.
        """
        now = time.monotonic()
        with self._lock:
            if self._began is None or now < self._began + QUICK:
                return None
            if self._shown is None or now >= self._shown_at + QUICK:
                self._shown, self._shown_at = self._now, now
            return self._shown


def words(doing: Doing) -> str:
    """`recording 12,000 of 78,600 files`"""
    total = f" of {doing.files_total:,}" if doing.files_total else ""
    return f"{doing.what}: {doing.files:,}{total} files"
