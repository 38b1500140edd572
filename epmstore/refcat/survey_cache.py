"""What the last survey of an app came to, kept beside its stat cache: comparing a hundred thousand
recorded paths with a release takes longer than looking at them all.

It holds for one newest version, one state of the refcat and one release, says so, and carries a
digest; whatever is wrong with it, it is made anew.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from epmstore.atomic import read_file, replace_read
from epmstore.errors import DamagedError, UnreadableError
from epmstore.refcat.owners import Owner
from epmstore.tree import Pair

LIMIT = 64 << 20
FEW = 20_000
"""Paths in doubt up to which a survey is worth keeping."""
_DIGEST = 32


class Counted(msgspec.Struct, frozen=True):
    """For each release, how many files of the newest version are as it has them, and how many it
    has.
    """

    hits: list[int]
    sizes: list[int]


class Remembered(msgspec.Struct, frozen=True):
    """A survey of the newest version, as plain values."""

    key: str
    counted: Counted
    release: int
    pairs: list[Pair]
    same: int
    owners: list[tuple[Owner, Owner, int]]


class Memory:
    """What was derived of one app last, in a file. One that cannot be used counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, key: Sequence[object]) -> Remembered | None:
        """What was kept for a key; None if nothing was."""
        try:
            found = _parse(read_file(self._path, LIMIT))
        except (OSError, DamagedError, ValueError, RecursionError):
            return None
        return found if found.key == digest_of(key) else None

    def save(self, found: Remembered) -> None:
        """A reader that may not write makes it anew the next time."""
        if len(found.pairs) > FEW:
            return
        with contextlib.suppress(OSError, UnicodeEncodeError, OverflowError, UnreadableError):
            data = msgspec.msgpack.encode(found)
            replace_read(self._path, hashlib.sha256(data).digest() + data, _parse)


def _parse(data: bytes) -> Remembered:
    """Raises ValueError for anything but what was written."""
    if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        raise ValueError("it has another digest")
    return msgspec.msgpack.decode(data[_DIGEST:], type=Remembered)


def digest_of(key: Sequence[object]) -> str:
    return hashlib.sha256(msgspec.json.encode([1, *key])).hexdigest()
