"""Contents of a release that are not stored, sought where the caller says that they may be:
folders, archives, other stores. Only what is sought is stored, and only if both its digests are
right.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter, discard_written
from epmstore.digest import BlobInfo, identify, identify_stream
from epmstore.progress import Progress
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store

if TYPE_CHECKING:  # start-up
    from epmstore.refcat.archives import Content

CHUNK = 1 << 20


def seek_contents(
    store: Store, wanted: Collection[BlobInfo], place: Path, progress: Progress
) -> set[BlobInfo]:
    """Those of `wanted` that lie somewhere in a folder or an archive; they are stored then.
    Raises UsageError for what is neither, EpmError for a damaged archive, CollisionError, OSError.
    """
    for info in wanted:
        store.blobs.check_no_collision(info)
    progress.begin(f"looking into {place.name}")
    left = set(wanted)
    with Deposit(store) as deposit:
        for size, file in _files(place, {info.size for info in wanted}):
            if size > PART_THRESHOLD:
                _large(deposit, left, file)
            else:
                _small(deposit, left, file)
            progress.advance(size=size)
            if not left:
                break
        deposit.commit()
    progress.end()
    return set(wanted) - left


def find_contents(wanted: Collection[BlobInfo], place: Path, progress: Progress) -> set[BlobInfo]:
    """Those that `seek_contents` would store, without storing any. Raises as it does."""
    progress.begin(f"looking into {place.name}")
    left = set(wanted)
    for size, file in _files(place, {info.size for info in wanted}):
        left.discard(identify_stream(_chunks(file)))
        progress.advance(size=size)
        if not left:
            break
    progress.end()
    return set(wanted) - left


def _small(deposit: Deposit, left: set[BlobInfo], file: "Content") -> None:
    data = file.read()
    info = identify(data)
    if info in left:
        deposit.add(info, data)
        left.remove(info)


def _large(deposit: Deposit, left: set[BlobInfo], file: "Content") -> None:
    """Written before it is known what it is, as an archive can be read only once; then kept, if it
    was sought.
    """
    with GroupWriter(deposit.store.packs) as writer:
        info = writer.add_large(_chunks(file), deposit.shelf.has_part)
        written = writer.finish()
    if info in left:
        deposit.take([written])
        left.remove(info)
    else:
        discard_written(written)


def _files(place: Path, sizes: Collection[int]) -> Iterator[tuple[int, "Content"]]:
    """(size, content) of every regular file that has one of these sizes."""
    if not place.is_dir():
        from epmstore.refcat.unpacked import read_archive  # noqa: PLC0415 - start-up: seldom needed

        for member, content in read_archive(place):
            if content is not None and member.size in sizes:
                yield member.size, content
        return
    for folder, _, names in os.walk(place):
        for name in sorted(names):
            path = os.path.join(folder, name)
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and found.st_size in sizes:
                with open(path, "rb") as file:
                    yield found.st_size, file


def _chunks(file: "Content") -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data
