"""Many entries in little memory: a sixth of what they take as objects.

A first look at a root finds all of its entries new, and they are held until the version is
recorded. Beyond a certain number they lie packed here, a run of neighbours at a time, and each look
at them unpacks a run.
"""

import heapq
import marshal
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from typing import Any

import msgspec

from epmstore import codec
from epmstore.digest import BlobInfo
from epmstore.relpath import to_bytes
from epmstore.tree import FIELDS, SUM_MODULUS, Entry, tree_sum

PLAIN = 1 << 16
"""Entries that are held as they are, which is quicker: 30 MB."""
LEVEL = 1
"""Of zstd: paths are alike, digests are not."""
_fields = attrgetter(*FIELDS)
_CONTENT = FIELDS.index("content")


class _Run(msgspec.Struct, frozen=True, gc=False):
    """Entries in byte order of their paths: `first` is the least of these, `sum` that of all. They
    are in `plain`, or in `packed`, which takes `size` bytes unpacked. `folders` counts these.
    """

    first: bytes
    count: int
    folders: int
    sum: int
    plain: list[Entry]
    packed: bytes = b""
    size: int = 0


class CompactEntries(Collection[Entry]):
    """Entries of different paths; a collection that only grows. Threads may add to it."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._plain = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Neighbours: of others, more are unpacked at once than need be."""
        found = sorted(entries, key=lambda entry: to_bytes(entry.path))
        if not found:
            return
        folders = sum(entry.kind == "directory" for entry in found)
        run = _Run(to_bytes(found[0].path), len(found), folders, tree_sum(found), found)
        if self._plain + len(found) <= PLAIN:
            self._plain += len(found)
        else:
            run = _packed(run)
        self._runs.append(run)

    def joined(self, others: Iterable[Entry]) -> "CompactEntries":
        """These and more."""
        both = CompactEntries()
        both._runs, both._plain = [*self._runs], self._plain
        both.add(others)
        return both

    def __len__(self) -> int:
        return sum(run.count for run in self._runs)

    def __iter__(self) -> Iterator[Entry]:
        """In no promised order."""
        for run in self._runs:
            yield from _unpack(run)

    def __contains__(self, entry: object) -> bool:
        return any(entry == one for one in self)

    @property
    def folders(self) -> int:
        """How many of them are folders."""
        return sum(run.folders for run in self._runs)

    @property
    def sum(self) -> int:
        """As `tree_sum` of them."""
        return sum(run.sum for run in self._runs) % SUM_MODULUS

    def in_order(self) -> Iterator[tuple[bytes, Entry]]:
        """In byte order of their paths, each with that."""
        waiting = sorted(self._runs, key=attrgetter("first"), reverse=True)
        # what has begun: (path, number, entry, those behind it)
        begun: list[tuple[bytes, int, Entry, Iterator[Entry]]] = []
        while waiting or begun:
            while waiting and (not begun or waiting[-1].first <= begun[0][0]):
                rest = iter(_unpack(waiting.pop()))
                entry = next(rest)
                heapq.heappush(begun, (to_bytes(entry.path), len(waiting), entry, rest))
            path, number, entry, rest = begun[0]
            yield path, entry
            following = next(rest, None)
            if following is None:
                heapq.heappop(begun)
            else:
                heapq.heapreplace(begun, (to_bytes(following.path), number, following, rest))


def in_order(entries: Collection[Entry]) -> Iterator[tuple[bytes, Entry]]:
    """Any entries in byte order of their paths, each with that."""
    if isinstance(entries, CompactEntries):
        return entries.in_order()
    return iter(sorted(((to_bytes(entry.path), entry) for entry in entries), key=_path))


def _path(pair: tuple[bytes, Entry]) -> bytes:
    return pair[0]


def _packed(run: _Run) -> _Run:
    # in this process and for a moment: no format, but the quickest that takes any string
    rows = marshal.dumps(list(map(_row, run.plain)))
    packed = codec.compress(rows, LEVEL)
    return _Run(run.first, run.count, run.folders, run.sum, [], packed, len(rows))


def _row(entry: Entry) -> list[Any]:
    row = [*_fields(entry)]
    content = entry.content
    if content is not None:
        row[_CONTENT] = (content.digest, content.sha256, content.size)
    return row


def _unpack(run: _Run) -> list[Entry]:
    return run.plain or [*map(_entry, marshal.loads(codec.decompress(run.packed, run.size)))]


def _entry(row: list[Any]) -> Entry:
    content = row[_CONTENT]
    if content is not None:
        row[_CONTENT] = BlobInfo(*content)
    return Entry(*row)
