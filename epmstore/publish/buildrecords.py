"""What the pipeline asks of whatever keeps its records: a table, or a release tracker."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from epmstore.publish.build import Author, BuildDraft, BuildRecord, Transaction


class BuildRecords(Protocol):
    """Records and their transaction log. A change and its line in the log are durable together or
    not at all.
    """

    def add(self, draft: BuildDraft, author: Author, now: float) -> BuildRecord:
        """A new record, with the next number."""
        ...

    def get(self, number: int) -> BuildRecord:
        """Raises NotFoundError."""
        ...

    def find(self, states: Sequence[str]) -> Sequence[BuildRecord]:
        """Those in one of these states, by number."""
        ...

    def change(self, build: BuildRecord, author: Author, now: float, why: str) -> BuildRecord:
        """Put a build in the place of its record; `build.revision` is that of the record
        it was made from. Raises ChangedError if another was quicker, NotFoundError.
        """
        ...

    def log(self, after: int) -> Sequence[Transaction]:
        """Lines of the log with higher numbers, which have no gaps."""
        ...

    def alone(self, build: int | None = None) -> AbstractContextManager[None]:
        """For the block no other process prepares; or, of one `build`, none makes, sends or clears
        it. Ends with the process that holds it. Raises BusyError at once.
        """
        ...
