"""Where a group goes while it is made: memory, and a temporary file once it is too large."""

import os
from pathlib import Path

from epmstore import atomic, fsio
from epmstore.blobs import frames
from epmstore.seal import Seal


class SpillBuffer:
    """Bytes in memory up to a limit, then in a temporary file."""

    def __init__(self, packs: Path, spill: int) -> None:
        self.length = 0
        self._packs = packs
        self._spill = spill
        self._memory = bytearray()
        self._temporary: Temporary | None = None

    def append(self, record: bytes) -> None:
        self.length += len(record)
        if self._temporary is None and self.length > self._spill:
            self._temporary = Temporary(self._packs)
            self._temporary.write(self._memory)
            self._memory = bytearray()
        if self._temporary is None:
            self._memory += record
        else:
            self._temporary.write(record)

    def finish(self, found: Seal) -> tuple[bytes | None, Path | None]:
        if self._temporary is None:
            return bytes(self._memory), None
        self._temporary.write(frames.trailer(found).sealed())
        path = self._temporary.finish()
        self._temporary = None
        return None, path

    def discard(self) -> None:
        if self._temporary is not None:
            self._temporary.discard()
            self._temporary = None


class Temporary:
    """A file below `packs/` that has no name of its own yet."""

    def __init__(self, packs: Path) -> None:
        self.path = packs / atomic.temporary_name()
        with atomic.directory(packs) as parent:
            self._fd = fsio.create(self.path.name, parent)

    def write(self, data: bytes | bytearray) -> None:
        fsio.write(self._fd, data)

    def finish(self) -> Path:
        """Make it durable. Raises OSError; an error of sync is final: then discard it."""
        fsio.sync_file(self._fd)
        self._close()
        return self.path

    def discard(self) -> None:
        self._close()
        discard_temporary(self.path)

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def discard_temporary(path: Path) -> None:
    with atomic.directory(path.parent) as parent:
        atomic.discard(path.name, parent)
