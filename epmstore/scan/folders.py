"""Getting to the folders of a root, component by component, never through a symlink.

What is opened here is borrowed: a FolderCache owns its descriptors, closes them, and belongs to one
thread.
"""

import os
from typing import Self

from epmstore import fsio
from epmstore.errors import InvalidNameError

HELD = 16
"""So many levels below the root stay open; deeper ones are opened again when they are needed."""


class FolderCache:
    """Open folders of one root, the last one and those above it, for paths that come in order.

    Holds at most HELD + 3 descriptors, whatever the depth.
    """

    def __init__(self, root_fd: int) -> None:
        self._root = fsio.open_directory(".", root_fd)  # an own file offset for listing
        self._names: list[str] = []
        self._fds: list[int] = []  # parallel to _names; -1 where too deep to stay open
        self._last: str | None = ""

    def open(self, folder: str) -> int:
        """A descriptor of `folder` ('' is the root itself) that is good until the next call. Raises
        OSError: a component that is missing, no directory, or a symlink. Raises InvalidNameError
        for `..`.
        """
        if folder == self._last:
            return self._top()
        self._last = None
        parts = _components(folder)
        self._shrink(self._common(parts))
        while self._fds and self._fds[-1] == -1:
            self._shrink(len(self._fds) - 1)
        for name in parts[len(self._fds) :]:
            self._push(name)
        self._last = folder
        return self._top()

    def close(self) -> None:
        self._last = None
        self._shrink(0)
        if self._root != -1:
            os.close(self._root)
            self._root = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _common(self, parts: list[str]) -> int:
        count = 0
        for held, wanted in zip(self._names, parts, strict=False):
            if held != wanted:
                break
            count += 1
        return count

    def _shrink(self, count: int) -> None:
        while len(self._fds) > count:
            self._names.pop()
            fd = self._fds.pop()
            if fd != -1:
                os.close(fd)

    def _push(self, name: str) -> None:
        fd = fsio.open_directory(name, self._top())
        if len(self._fds) > HELD:
            os.close(self._fds[-1])
            self._fds[-1] = -1
        self._fds.append(fd)
        self._names.append(name)

    def _top(self) -> int:
        return self._fds[-1] if self._fds else self._root


def _components(folder: str) -> list[str]:
    parts = folder.split("/") if folder else []
    if ".." in parts:
        raise InvalidNameError(f"{folder!r} is not a path below a root")
    return parts
