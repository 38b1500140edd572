"""Which directories of a root a walk goes into, asked one at a time: for a watcher.

The rules are those of walk.py; this holds the root open only while it is used.
"""

import os
from collections.abc import Collection, Iterator
from typing import Literal, Self

from epmstore.filestat import FileId
from epmstore.relpath import join
from epmstore.scan.folders import FolderCache
from epmstore.scan.mounts import mounted_below
from epmstore.scan.walk import Classify
from epmstore.tree import PathClass


class WalkScope:
    """A context manager; for one thread at a time."""

    def __init__(
        self,
        root_fd: int,
        *,
        classify: Classify | None,
        skip: frozenset[FileId],
        cross_mounts: bool,
        staging: Collection[str] = (),
    ) -> None:
        """`staging` are the names at the top of the root that journals have for staging folders;
        for hints the name is enough.
        """
        self._classify = classify
        self._staging = staging
        self._skip = skip
        self._device = None if cross_mounts else os.fstat(root_fd).st_dev
        self._mounts = frozenset() if cross_mounts else mounted_below(root_fd)
        self._cache = FolderCache(root_fd)  # last: it would not be closed if the others fail

    def close(self) -> None:
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, folder: str) -> int | None:
        """A descriptor that is good until the next call; None for what a walk does not enter
        because of where it is. What `class_of` says of it is the caller's business.

        Raises OSError if it is not there, or may not be opened.
        """
        fd = self._cache.open(folder)
        found = os.fstat(fd)
        if folder and (found.st_dev, found.st_ino) in self._skip:
            return None
        if folder in self._mounts or self._device not in (None, found.st_dev):
            return None
        return fd

    def below(self, fd: int, folder: str) -> Iterator[str]:
        """Names of the directories in an open folder that are looked into. Raises OSError."""
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and self.enters(join(folder, entry.name)):
                    yield entry.name

    def enters(self, folder: str) -> bool:
        """Whether the rules let a walk go into a directory."""
        return self.class_of(folder, is_dir=True) not in ("ignore", "state")

    def class_of(self, path: str, *, is_dir: bool) -> PathClass | Literal["ignore"]:
        """Our own staging folders are ignored, too."""
        if is_dir and path in self._staging:
            return "ignore"
        return self._classify(path, is_dir) if self._classify else "program"
