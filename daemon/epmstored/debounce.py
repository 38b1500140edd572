"""When what changed is to be looked at: after it has been quiet for a while, but not too late.

Pure: times are given. One Debounce for each application, so that what belongs together is recorded
together.
"""

from collections.abc import Collection

import msgspec

from epmstore.catalog.model import Reason

MANY = 20_000
"""From so many dirty folders on, everything is looked at instead."""


class Batch(msgspec.Struct, frozen=True):
    """What to look at: these folders, or everything for `whole`'s reason. `first`: when the oldest
    of it changed. `writing` are files that were written to and, as far as was noticed, not closed;
    `unsure`: others may have been opened before that was noticed.
    """

    folders: frozenset[str]
    whole: Reason | None
    first: float
    writing: frozenset[str] = frozenset()
    unsure: bool = False

    @property
    def reason(self) -> Reason:
        return self.whole or "event"

    @property
    def only(self) -> frozenset[str] | None:
        """The folders to look at; None: everything."""
        return None if self.whole is not None else self.folders


class Debounce:
    """Collects dirty folders. `settle` is how long it must have been quiet, `longest` how long
    nothing may wait, both in seconds.
    """

    def __init__(self, settle: float, longest: float) -> None:
        self.settle = settle
        self.longest = longest
        self._folders: set[str] = set()
        self._whole: Reason | None = None
        self._first = 0.0
        self._last = 0.0
        self._not_before = 0.0
        self._writing: set[str] = set()
        self._unsure = False

    def add(
        self,
        folders: Collection[str],
        *,
        first: float,
        last: float,
        writing: Collection[str] = (),
        closed: Collection[str] = (),
        unsure: bool = False,
    ) -> None:
        """Folders were touched between two times; files in them are open for writing still, or were
        closed; or (`unsure`) there are some of which that is not known.
        """
        self._touch(first, last)
        self._writing = (self._writing | set(writing)).difference(closed)
        self._unsure |= unsure
        self._folders |= set(folders)
        if len(self._folders) > MANY:
            self.add_whole("event", now=last)

    def add_whole(self, reason: Reason, *, now: float) -> None:
        """Everything is to be looked at; the first reason stays."""
        self._touch(now, now)
        if reason == "after-overflow":
            self._writing.clear()  # that they were closed may be among what was lost
        self._whole = self._whole or reason
        self._folders.clear()

    def due(self) -> float | None:
        """When to look, as far as is known now; None if nothing is dirty."""
        if not self:
            return None
        return max(min(self._last + self.settle, self._first + self.longest), self._not_before)

    def take(self, now: float) -> Batch | None:
        """What is due, which is not dirty any more; None if nothing is."""
        due = self.due()
        if due is None or now < due:
            return None
        return self.take_all()

    def take_all(self) -> Batch | None:
        """What is dirty, due or not."""
        if not self:
            return None
        writing, unsure = frozenset(self._writing), self._unsure or self._whole is not None
        batch = Batch(frozenset(self._folders), self._whole, self._first, writing, unsure)
        self._folders.clear()
        self._whole = None
        self._writing.clear()
        self._unsure = False
        self._not_before = 0.0
        return batch

    def give_back(self, batch: Batch, *, not_before: float) -> None:
        """It could not be done (yet), and is as old as it was."""
        older = min(self._first, batch.first) if self else batch.first
        if not self:
            self._last = batch.first
        self._first = older
        self._writing |= batch.writing
        self._unsure |= batch.unsure
        self._not_before = max(self._not_before, not_before)
        if batch.whole is not None:
            self._whole = self._whole or batch.whole
        if self._whole is None:
            self._folders |= batch.folders
        else:
            self._folders.clear()

    def has(self, folder: str) -> bool:
        """Whether it is known that this folder is to be looked at."""
        return self._whole is not None or folder in self._folders

    @property
    def queue(self) -> int:
        """Folders that wait; one for everything."""
        return 1 if self._whole is not None else len(self._folders)

    def lag(self, now: float) -> float:
        return max(0.0, now - self._first) if self else 0.0

    def __bool__(self) -> bool:
        return bool(self._folders) or self._whole is not None

    def _touch(self, first: float, last: float) -> None:
        if not self:
            self._first, self._last = first, last
        self._first = min(self._first, first)
        self._last = max(self._last, last)
