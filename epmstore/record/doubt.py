"""What no stat shows: whether what one look reads may change afterwards unseen, and what changed so
before.

Who has files mapped is asked of the kernel once a look, before the first file is read of which that
can matter. A share of all files may be read whatever their stats say.
"""

from collections.abc import Callable, Iterable, Mapping
from stat import S_ISREG
from typing import TypeAlias

import msgspec

from epmstore.record.observe import Candidate, CandidateSink
from epmstore.record.observed_changes import Changes
from epmstore.relpath import RelPath, split, to_bytes
from epmstore.scan.compare import RACY, Settled, doubt_share, unpack_stats
from epmstore.scan.mapped import Outstanding, read_mapped


class Share(msgspec.Struct, frozen=True):
    """One of so many shares of all files: `number` counts from 0."""

    number: int
    of: int

    def doubt(self, rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Rows of the stat cache that do not tell of these files."""
        return {folder: doubt_share(row, self.number, self.of) for folder, row in rows.items()}


ReadMapped: TypeAlias = Callable[[], frozenset[int] | None]


MANY_FILES = 200
MANY_BYTES = 32 << 20


class MappedDoubt:
    """Of one look."""

    def __init__(self, outstanding: Outstanding, read: ReadMapped = read_mapped) -> None:
        self._outstanding = outstanding
        self._read = read
        self._mapped: frozenset[int] | None = frozenset()
        self._is_asked = False
        self._files = self._bytes = 0

    def watching(self, feed: CandidateSink) -> CandidateSink:
        """The same feed; what is mapped is known before anything of it is read."""

        def watched(candidates: Iterable[Candidate]) -> None:
            found = list(candidates)
            if not self._is_asked and any(map(self._is_young, found)):
                self._is_asked = True
                self._mapped = self._read()
            self._files += len(found)
            self._bytes += sum(one.stat.st_size for one in found if S_ISREG(one.stat.st_mode))
            feed(found)

        return watched

    @property
    def was_dear(self) -> bool:
        """Whether so much was read that a look that finds the same should not read it again."""
        return self._files >= MANY_FILES or self._bytes >= MANY_BYTES

    def settled(self) -> Settled:
        """When everything was read."""
        if self._is_asked and self._outstanding.is_in_memory:
            # There, what was mapped meanwhile may have been written to without a trace.
            before, now = self._mapped, self._read()
            self._mapped = None if before is None or now is None else before | now
        return self._outstanding.settled(self._mapped)

    def _is_young(self, one: Candidate) -> bool:
        later = one.stat.st_ctime_ns > self._outstanding.mapped_since_ns
        return later and S_ISREG(one.stat.st_mode)


def unshown(
    changes: Changes, before: Mapping[bytes, bytes], now: Mapping[str, bytes]
) -> list[RelPath]:
    """Files with another content whose stat is the one that the stat cache had of the content that
    is recorded: `before` are its rows, `now` the stats that were found.
    """
    found: list[RelPath] = []
    for old, new in changes.modified:
        folder, name = split(new.path)
        if old.content is None or new.content in (None, old.content) or folder not in now:
            continue
        known = before.get(to_bytes(folder))
        row = None if known is None else unpack_stats(known).get(name)
        if row is not None and row[3] != RACY and row == unpack_stats(now[folder]).get(name):
            found.append(new.path)
    return found
