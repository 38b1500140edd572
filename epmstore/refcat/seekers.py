"""Seekers of contents in places that a user names: folders and archives."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from epmstore.digest import BlobInfo
from epmstore.store.seeking import ContentOffer, Seeker

if TYPE_CHECKING:  # start-up
    from epmstore.refcat.archives import Content

CHUNK = 1 << 20


def seeker_at(place: Path) -> Seeker:
    """What seeks in a folder, or in an archive."""
    return Folder(place) if place.is_dir() else ArchiveFiles(place)


class Folder:
    """The regular files in a folder, and below it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def offers(self, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        sizes = {info.size for info in wanted}
        for folder, _, names in os.walk(self._path):
            for name in sorted(names):
                path = os.path.join(folder, name)
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode) and found.st_size in sizes:
                    with open(path, "rb") as file:
                        yield ContentOffer(found.st_size, _pieces(file))


class ArchiveFiles:
    """The files in an archive. Raises UsageError for what is none, EpmError for one that is damaged
    or comes to too much, OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def offers(self, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        from epmstore.refcat.unpacked import read_archive  # noqa: PLC0415 - start-up: seldom needed

        sizes = {info.size for info in wanted}
        for member, content in read_archive(self._path):
            if content is not None and member.size in sizes:
                yield ContentOffer(member.size, _pieces(content))


def _pieces(file: "Content") -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data
