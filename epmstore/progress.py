"""What long work tells an observer: one method per event, silent by default."""

from typing import Protocol


class Progress(Protocol):
    def begin(self, what: str, *, files: int | None = None, size: int | None = None) -> None:
        """A phase starts; totals are given where they are known (`size` in bytes)."""
        ...

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        """So much more is done. May be called from worker threads."""
        ...

    def end(self) -> None:
        """The phase is over."""
        ...


class Silent:
    """A Progress that is not watched."""

    def begin(self, what: str, *, files: int | None = None, size: int | None = None) -> None:
        pass

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        pass

    def end(self) -> None:
        pass


SILENT = Silent()
