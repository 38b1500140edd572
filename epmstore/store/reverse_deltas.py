"""What versions replaced, as differences to what replaced it: a cache for the way back.

A checkout of an older version finds what it is about to replace in the root, and makes of it what
was there before, without decoding a frame of half a megabyte for each few files. Each recording
appends a block to `live/<app>.reverse`:

    length of the body (4 bytes, big-endian)   its SHA-256   the body: msgpack, a list of deltas

Nothing is believed: what a delta makes is held against the digest that was asked for, and whatever
is wrong with the file, or not in it, comes from the packs. It is bounded, it may be lost at any
time, it is not synced. It holds pieces of contents: so what was purged or collected is not in it.
"""

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from epmstore import codec, fsio
from epmstore.atomic import directory, read_file, remove_file, replace_read
from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import DamagedError
from epmstore.pack_table import DeltaFrame

LIMIT: Final = 16 << 20
"""Bytes of one file. Of one that would be larger, what came last stays, up to half of that."""
LEVEL: Final = 2
SHARE: Final = 8
"""A delta is kept if it takes at most this part of what it makes."""
STEPS: Final = 8
"""Deltas that may follow each other from what is there to what is wanted."""
_HEAD: Final = 4 + 32
_READ: Final = LIMIT + (64 << 20)
"""A block more than the limit is read, too."""


WayBack: TypeAlias = tuple[DeltaFrame, ...]
"""Deltas to apply one after the other."""


def reverse_delta(old: BlobInfo, data: bytes, new: Sha256, new_data: bytes) -> DeltaFrame | None:
    """What leads from a new content back to the old one; None if that does not pay."""
    frame = codec.compress_delta(data, new_data, LEVEL)
    if len(frame) * SHARE > len(data):
        return None
    return DeltaFrame(old.sha256, len(data), new, frame)


def applied(chain: WayBack, live: bytes, wanted: BlobInfo) -> bytes | None:
    """What a chain makes of the bytes that are there; None if that is not what is wanted."""
    data = live
    try:
        for delta in chain:
            data = codec.decompress_delta(delta.frame, data, delta.size)
    except DamagedError:
        return None
    return data if hashlib.sha256(data).digest() == wanted.sha256 else None


def chains(
    deltas: Iterable[DeltaFrame], wanted: Mapping[Sha256, Sha256]
) -> Mapping[Sha256, WayBack]:
    """For contents that are wanted, each with the content that is there, the shortest way; those
    without one are left out.
    """
    back: dict[Sha256, list[DeltaFrame]] = defaultdict(list)
    for delta in deltas:
        back[delta.base].append(delta)
    found = ((sha256, _chain(back, live, sha256)) for sha256, live in wanted.items())
    return {sha256: chain for sha256, chain in found if chain}


def _chain(back: Mapping[Sha256, Sequence[DeltaFrame]], live: Sha256, wanted: Sha256) -> WayBack:
    """Empty if there is none."""
    ways: list[tuple[Sha256, WayBack]] = [(live, ())]
    seen = {live}
    for _ in range(STEPS):
        further = []
        for at, chain in ways:
            for delta in back.get(at, ()):
                if delta.sha256 == wanted:
                    return (*chain, delta)
                if delta.sha256 not in seen:
                    seen.add(delta.sha256)
                    further.append((delta.sha256, (*chain, delta)))
        ways = further
    return ()


class ReverseDeltas:
    """Those of one application, in a file. One that cannot be used counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[DeltaFrame]:
        """All of them, the newest first."""
        blocks = list(_blocks(self._data()))
        return [delta for block in reversed(blocks) for delta in _read(block)]

    def add(self, deltas: Sequence[DeltaFrame]) -> None:
        """Some more. Under the write lock. Without room, or the right, there are fewer."""
        if not deltas:
            return
        block = _block(deltas)
        with contextlib.suppress(OSError), directory(self._path.parent) as parent:
            try:
                fd = fsio.open_append(self._path.name, parent)
            except FileNotFoundError:
                fd = fsio.create(self._path.name, parent)
            try:
                self._append(fd, block)
            finally:
                os.close(fd)

    def _append(self, fd: int, block: bytes) -> None:
        end, size = _end_of_blocks(fd), os.fstat(fd).st_size
        if end == size and size + len(block) <= LIMIT:
            fsio.write_at(fd, block, size)
        else:  # full, or torn
            self._replace(_newest([*_blocks(self._data()), block], LIMIT // 2))

    def keep(self, stored: Callable[[Collection[Sha256]], Collection[Sha256]]) -> None:
        """Those of which both contents are among what `stored` says of them. Under the write lock.
        Raises OSError.
        """
        deltas = self.load()
        named = {sha256 for delta in deltas for sha256 in (delta.sha256, delta.base)}
        there = stored(named)
        kept = [one for one in deltas if one.sha256 in there and one.base in there]
        if len(kept) < len(deltas):
            self._replace([_block(kept[::-1])] if kept else [])

    def drop(self) -> None:
        """There are none any more, durably. Raises OSError."""
        remove_file(self._path)

    def _data(self) -> bytes:
        try:
            return read_file(self._path, _READ)
        except (OSError, DamagedError):
            return b""

    def _replace(self, blocks: Sequence[bytes]) -> None:
        if blocks:
            replace_read(self._path, b"".join(blocks), _check)
        else:
            self.drop()


def _block(deltas: Sequence[DeltaFrame]) -> bytes:
    body = msgspec.msgpack.encode(deltas)
    return len(body).to_bytes(4) + hashlib.sha256(body).digest() + body


def _blocks(data: bytes) -> Iterator[bytes]:
    """Whole blocks, as far as lengths say so."""
    at = 0
    while at + _HEAD <= len(data):
        end = at + _HEAD + int.from_bytes(data[at : at + 4])
        if end > len(data):
            return
        yield data[at:end]
        at = end


def _end_of_blocks(fd: int) -> int:
    """Where the last whole block ends, as far as lengths say so."""
    at, size = 0, os.fstat(fd).st_size
    while at + _HEAD <= size:
        end = at + _HEAD + int.from_bytes(os.pread(fd, 4, at))
        if end > size:
            break
        at = end
    return at


def _read(block: bytes) -> list[DeltaFrame]:
    """What is in one, the newest first; nothing, if it is damaged."""
    body = block[_HEAD:]
    if hashlib.sha256(body).digest() != block[4:_HEAD]:
        return []
    try:
        return msgspec.msgpack.decode(body, type=list[DeltaFrame])[::-1]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


def _check(data: bytes) -> None:
    """Raises ValueError if anything of a file could not be read again."""
    blocks = list(_blocks(data))
    if sum(map(len, blocks)) != len(data) or not all(map(_read, blocks)):
        raise ValueError("a block of it cannot be read")


def _newest(blocks: Sequence[bytes], limit: int) -> list[bytes]:
    """Of those that can be read."""
    kept: list[bytes] = []
    size = 0
    for block in filter(_read, reversed(blocks)):
        size += len(block)
        if size > limit:
            break
        kept.insert(0, block)
    return kept
