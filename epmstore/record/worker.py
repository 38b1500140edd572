"""A reader in a process of its own, told by its parent what to read. See epmstore/child.py.

It takes away what it wrote if it ends early, unless it is killed outright.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from epmstore.blobs.pack import WrittenGroup, discard_written
from epmstore.child import Child, serve
from epmstore.pack_table import DeltaFrame
from epmstore.record.file_reader import FileReader, ReadPath, ReadTask
from epmstore.relpath import RelPath
from epmstore.store.dedup import Dedup, SharedClaims
from epmstore.store.source import StoreSource


class Setting(msgspec.Struct, frozen=True):
    """Where to read, and where contents go (None: nowhere). Descriptors are inherited."""

    root_fd: int
    target: "Target | None"


class Target(msgspec.Struct, frozen=True):
    """What makes a Dedup."""

    source: StoreSource
    claims_fd: int
    ways_back: bool


class Finished(msgspec.Struct, frozen=True):
    """What a worker leaves; see FileReader and Dedup."""

    groups: list[WrittenGroup]
    collided: list[RelPath]
    back: list[DeltaFrame]

    def discard(self) -> None:
        for group in self.groups:
            discard_written(group)


def start(root_fd: int, dedup: Dedup | None, claims: SharedClaims, *, ways_back: bool) -> Child:
    """A process that answers each ReadTask with a ReadPath, and leaves a Finished."""
    target = None
    if dedup is not None:
        target = Target(StoreSource.of(dedup.packs, dedup.contents), claims.fd, ways_back)
    return Child(__name__, Setting(root_fd, target), (root_fd, claims.fd), Finished.discard)


class ReadService:
    """What a worker does, in whatever process."""

    def __init__(self, reader: FileReader, dedup: Dedup | None) -> None:
        self._reader = reader
        self._dedup = dedup

    def do(self, tasks: list[ReadTask]) -> list[ReadPath]:
        return self._reader.read(tasks)

    def finish(self) -> Finished:
        collided = [] if self._dedup is None else self._dedup.collided
        return Finished(self._reader.finish(), collided, self._reader.back)


@contextmanager
def _begin(setting: Setting) -> Iterator[ReadService]:
    dedup = None if setting.target is None else _dedup(setting.target)
    ways_back = setting.target is not None and setting.target.ways_back
    with FileReader(setting.root_fd, dedup, ways_back=ways_back) as reader:
        yield ReadService(reader, dedup)


def _dedup(target: Target) -> Dedup:
    contents, blobs = target.source.open()
    return Dedup(target.source.packs, contents, blobs, SharedClaims(target.claims_fd))


def main() -> None:
    serve(_begin, Finished.discard)
