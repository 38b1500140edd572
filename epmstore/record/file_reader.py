"""Reading paths of a root, slice by slice: contents go to a writer, what is said of them comes
back.

The work of one worker, wherever that runs: values in, values out. Rules: a file counts only if it
held still; contents that a path already has are not looked up; no other process is waited for.
"""

import os
import stat
from collections.abc import Iterable
from typing import Self

import msgspec

from epmstore.blobs.frames import PART_SIZE
from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter, WrittenGroup, discard_written
from epmstore.digest import BlobInfo, identify_again, identify_stream
from epmstore.filestat import AnyStat
from epmstore.pack_table import DeltaFrame
from epmstore.record.deltas import DeltaWriter, Fresh
from epmstore.relpath import RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.metadata import NOTHING_MORE, Rest, read_rest
from epmstore.scan.problem import Problem, UnreadError, judge
from epmstore.scan.steady import read_as_listed, read_steady, stream_steady
from epmstore.store.dedup import Dedup
from epmstore.tree import PathClass

FILE_LIMIT = 1 << 50
_TYPE = 0o170000


class ReadTask(msgspec.Struct, frozen=True, gc=False):
    """A path to read, with the content that is recorded of it, and the stat it was listed with."""

    path: RelPath
    path_class: PathClass
    before: BlobInfo | None
    stat: AnyStat


class ReadPath(msgspec.Struct, frozen=True, gc=False):
    """What reading a path gave. `stat` is None if it is the one it was listed with."""

    content: BlobInfo | None = None
    rest: Rest = NOTHING_MORE
    stat: os.stat_result | None = None
    problem: Problem | None = None


_NOTHING_MORE = ReadPath()


class FileReader:
    """Reads tasks of one root; a context manager. Without a dedup nothing is stored."""

    def __init__(self, root_fd: int, dedup: Dedup | None, *, ways_back: bool = False) -> None:
        """`ways_back`: what leads back to contents of before is noted, too."""
        self._folders = FolderCache(root_fd)
        self.back: list[DeltaFrame] = []
        self._ways_back = ways_back
        self._deltas = None if dedup is None else self._writer(dedup)
        self._groups: list[WrittenGroup] = []
        self._folder: str | None = None
        self._parent = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folders.close()
        if self._deltas is not None:
            self._deltas.writer.discard()
        for group in self._groups:
            discard_written(group)

    def read(self, tasks: Iterable[ReadTask]) -> list[ReadPath]:
        """Parallel to `tasks`. Raises OSError (of the store, or for want of descriptors)."""
        if self._deltas is None:
            return [self._look(task) for task in tasks]
        with self._deltas.dedup.asked_much():
            seen = [self._look(task) for task in tasks]
            self._deltas.flush()
        if self._deltas.writer.is_full:
            self._groups.append(self._deltas.writer.finish())
            self._deltas = self._writer(self._deltas.dedup)
        return seen

    def _writer(self, dedup: Dedup) -> DeltaWriter:
        return DeltaWriter(dedup, GroupWriter(dedup.packs), self.back if self._ways_back else None)

    def finish(self) -> list[WrittenGroup]:
        """What was stored, durable; it is the caller's to publish or to discard."""
        if self._deltas is not None:
            self._groups.append(self._deltas.writer.finish())
        groups, self._groups = self._groups, []
        return groups

    def _look(self, task: ReadTask) -> ReadPath:
        try:
            name = self._enter(task.path)
            if task.stat.st_mode & _TYPE != stat.S_IFREG or task.path_class == "state":
                rest = read_rest(self._parent, name, task.stat.st_mode)
                return _NOTHING_MORE if rest is NOTHING_MORE else ReadPath(rest=rest)
            if task.stat.st_size <= PART_THRESHOLD:
                data, rest, changed = self._read(name, task)
            else:
                rest = read_rest(self._parent, name, task.stat.st_mode)
        except UnreadError as error:
            return ReadPath(problem=error.problem(task.path))
        except OSError as error:
            return ReadPath(problem=Problem(task.path, *judge(error)))
        # From here on an OSError is one of the store.
        if task.stat.st_size > PART_THRESHOLD:
            return self._read_large(name, rest, task)
        info = identify_again(data, task.before)
        if info != task.before and self._deltas is not None and task.path_class != "secret":
            self._deltas.add(Fresh(task.path, info, data, task.before))
        return ReadPath(info, rest, changed)

    def _enter(self, path: str) -> str:
        """The name of a path, whose folder is then open as `_parent`."""
        folder, name = split(path)
        if folder != self._folder:
            self._folder = None
            self._parent = self._folders.open(folder)
            self._folder = folder
        return name

    def _read(self, name: str, task: ReadTask) -> tuple[bytes, Rest, os.stat_result | None]:
        found = read_as_listed(self._parent, name, task.stat)
        if found is not None:
            return *found, None
        steady = read_steady(self._parent, name, task.stat, PART_THRESHOLD)
        return steady.data, read_rest(self._parent, name, task.stat.st_mode), steady.stat

    def _read_large(self, name: str, rest: Rest, task: ReadTask) -> ReadPath:
        try:
            with stream_steady(self._parent, name, task.stat, FILE_LIMIT) as stream:
                if self._deltas is None or task.path_class == "secret":
                    info = identify_stream(stream.chunks())
                else:
                    dedup, before = self._deltas.dedup, task.before
                    bases = None if before is None else dedup.blobs.part_bases(before)
                    chunks = stream.chunks(PART_SIZE)
                    writer = self._deltas.writer
                    info = writer.add_large(chunks, lambda sha: not dedup.claim_part(sha), bases)
                return ReadPath(info, rest, stream.stat)
        except UnreadError as error:
            return ReadPath(problem=error.problem(task.path))
