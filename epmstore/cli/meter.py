"""Progress for people who watch a terminal: what is done, how fast, how much longer.

Nothing is shown for a phase that is over before a person could wonder; rich is imported only when
there is something to show.
"""

import threading
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PATIENCE = 0.5
"""Seconds that a phase may last unseen."""


class ProgressBar:
    """An epmstore.progress.Progress. May be advanced from many threads."""

    def __init__(self, stream: TextIO, patience: float = PATIENCE) -> None:
        self._stream = stream
        self._patience = patience
        self._lock = threading.Lock()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._timer: threading.Timer | None = None
        self._reset("", None, None)

    def _reset(self, what: str, files: int | None, size: int | None) -> None:
        self._what = what
        self._total_files = files
        self._total_size = size
        self._files = 0
        self._size = 0

    def begin(self, what: str, *, files: int | None = None, size: int | None = None) -> None:
        with self._lock:
            self._hide()
            self._reset(what, files, size)
            self._timer = threading.Timer(self._patience, self._show)
            self._timer.daemon = True
            self._timer.start()

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        with self._lock:
            self._files += files
            self._size += size
            if self._bar is not None:
                self._update()

    def end(self) -> None:
        with self._lock:
            self._hide()

    def _counts_bytes(self) -> bool:
        return bool(self._total_size)

    def _show(self) -> None:
        """In the timer's thread: what is waited for may never say a word."""
        with self._lock:
            if self._timer is threading.current_thread():
                self._start_bar()

    def _start_bar(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - start-up
        from rich.progress import (  # noqa: PLC0415 - start-up
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        measured = self._counts_bytes()
        total = self._total_size if measured else self._total_files
        columns: list[ProgressColumn] = [TimeElapsedColumn()]
        if measured:
            columns = [
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
            ]
        elif total or self._files:
            columns = [MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True)]
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            console=Console(file=self._stream),
            transient=True,
        )
        self._task = self._bar.add_task(self._what, total=total)
        self._bar.start()
        self._update()

    def _update(self) -> None:
        assert self._bar is not None and self._task is not None
        self._bar.update(self._task, completed=self._size if self._counts_bytes() else self._files)

    def _hide(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
