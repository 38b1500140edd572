"""Watched folders: what appears in them becomes a record, once it holds still.

A build system writes for a while, and does not say when it is done: a build counts as whole when
nothing of it changed for `settle` seconds. Names that begin with a dot are passed over, so that one
that renames when it is done need not wait long.
"""

import contextlib
import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from epmstore import locks
from epmstore.atomic import read_file, replace_read
from epmstore.errors import ConflictError, DamagedError, NotFoundError, UsageError
from epmstore.package.file_format import SUFFIX
from epmstore.publish.build import BuildDraft
from epmstore.publish.payload import newest_change
from epmstore.publish.spoolfolder import SpoolFolder
from epmstore.relpath import is_utf8

SETTLE: Final = 600.0
_LIMIT: Final = 1 << 20
_LOCK: Final = "watched"


class WatchedFolder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of that which appears in a folder."""

    folder: str
    product: str
    kind: str
    payload: str
    settle: float = SETTLE


def watched_folders(spool: SpoolFolder) -> list[WatchedFolder]:
    """Raises DamagedError, OSError."""
    try:
        return _read(read_file(spool.watched, _LIMIT))
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedError(f"{spool.watched} is damaged: {error}") from None


def watch(spool: SpoolFolder, one: WatchedFolder) -> None:
    """From now on; in the place of what was said of that folder. Raises BusyError, DamagedError,
    OSError.
    """
    _change(spool, one.folder, [one])


def unwatch(spool: SpoolFolder, folder: str) -> None:
    """Not any more. Raises ConflictError if it is not watched, and as `watch`."""
    if folder not in [one.folder for one in watched_folders(spool)]:
        raise ConflictError(f"{folder} is not watched")
    _change(spool, folder, [])


def _change(spool: SpoolFolder, folder: str, new: Sequence[WatchedFolder]) -> None:
    with locks.hold(spool.locks, _LOCK):
        kept = [one for one in watched_folders(spool) if one.folder != folder]
        found = sorted([*kept, *new], key=lambda one: one.folder)
        replace_read(spool.watched, msgspec.json.encode(found) + b"\n", _read)


def _read(data: bytes) -> list[WatchedFolder]:
    return msgspec.json.decode(data, type=list[WatchedFolder])


def appeared(one: WatchedFolder, known: Container[str], now: float) -> Iterator[BuildDraft]:
    """Builds in a watched folder that are whole, and not among the `known` paths. Raises
    NotFoundError if the folder is not there, OSError.
    """
    try:
        names = sorted(os.listdir(one.folder))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"the watched folder {one.folder} is not there",
            hint="mount it, or end that: `epmstore publish add --no-watch DIR`",
        ) from None
    is_file = one.payload == "epkg"
    for name in names:
        path = Path(one.folder, name)
        if name.startswith(".") or not is_utf8(str(path)) or str(path) in known:
            continue
        if path.is_symlink() or not (path.is_file() if is_file else path.is_dir()):
            continue
        if is_file and not name.endswith(SUFFIX):
            continue
        with contextlib.suppress(FileNotFoundError):  # it is still at work there
            if _changed(path, is_file=is_file) + one.settle <= now:
                yield BuildDraft(
                    product=one.product, kind=one.kind, payload=one.payload, path=str(path)
                )


def _changed(path: Path, *, is_file: bool) -> float:
    """When a build changed last; what cannot be looked at whole counts as it is itself: preparing
    it says why, and no other build waits for it. Raises FileNotFoundError.
    """
    try:
        return newest_change(path, is_file=is_file)
    except (NotFoundError, UsageError):
        raise FileNotFoundError(path) from None  # gone, or something else meanwhile
    except FileNotFoundError:
        raise
    except OSError:
        return path.lstat().st_ctime
