"""The number of the newest version that each catalog had: a witness beside index and catalogs.

    newest.json  {"format":1, "newest":{catalog:number}, "sum":CRC-32 of the object `newest`}

Each version is noted behind its commit, without waiting for the disk: the note is never ahead of
what is durable, and it may be lost, or behind. Where a power cut left parts of two notes, the sum
tells: together they could name a version that there never was, and a sound catalog would count as
damaged. Only who makes an index anew asks for it, because a catalog alone cannot say that it came
from an older copy.
"""

import contextlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from epmstore import fsio
from epmstore.atomic import directory, read_file
from epmstore.errors import DamagedError

FILE: Final = "newest.json"
FORMAT: Final = 1
LIMIT: Final = 16 << 20


class _Noted(msgspec.Struct, frozen=True):
    format: int
    newest: dict[str, int]
    sum: int


def read(store: Path) -> Mapping[str, int]:
    """By catalog; empty if nothing is known."""
    try:
        found = msgspec.json.decode(read_file(store / FILE, LIMIT), type=_Noted)
    except (OSError, DamagedError, ValueError, RecursionError):
        return {}
    is_whole = found.format == FORMAT and found.sum == _sum(found.newest)
    return found.newest if is_whole else {}


def note(store: Path, catalog: str, number: int) -> None:
    """A version is durable. Under the `write` lock. Nothing happens where there is no room."""
    known = read(store)
    if number > known.get(catalog, -1):
        _write(store, {**known, catalog: number})


def drop(store: Path, catalog: str) -> None:
    """A catalog was let go of. Under the `write` lock."""
    known = dict(read(store))
    if known.pop(catalog, None) is not None:
        _write(store, known)


def _write(store: Path, newest: Mapping[str, int]) -> None:
    data = msgspec.json.encode(_Noted(FORMAT, dict(newest), _sum(newest))) + b"\n"
    with contextlib.suppress(OSError), directory(store) as parent:
        fd = _open(parent)
        try:
            # In place: a rename waits for the disk, or leaves two names of it after a power cut.
            fsio.write_at(fd, data, 0)
            fsio.truncate(fd, len(data))
        finally:
            os.close(fd)


def _sum(newest: Mapping[str, int]) -> int:
    return zlib.crc32(msgspec.json.encode(newest, order="deterministic"))


def _open(parent: int) -> int:
    try:
        return fsio.open_append(FILE, parent)
    except FileNotFoundError:
        return fsio.create(FILE, parent)
