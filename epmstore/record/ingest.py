"""Reading what changed: candidates in, entries out, new contents compressed on the way.

Workers take slices of neighbouring paths; each reads, hashes, compresses and writes groups of its
own and waits for nobody. Rules: a content is stored once, whoever meets it first; a file is stored
only if it held still; a content that its path already has is not looked up; small work gets no
pool.
"""

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import msgspec

from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter, WrittenGroup, discard_written
from epmstore.blobs.store import PackStore
from epmstore.digest import BlobInfo, Digest, Hasher, Sha256, identify
from epmstore.index.contents import Contents
from epmstore.progress import SILENT, Progress
from epmstore.record.observe import Candidate
from epmstore.relpath import RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.metadata import Owners, describe
from epmstore.scan.problem import Problem, UnreadError, judge
from epmstore.scan.steady import SteadyStream, read_steady, stream_steady
from epmstore.tree import Entry

POOL_FROM = 4 << 20
"""Bytes of candidates from which a pool of workers pays."""
POOL_FROM_FILES = 1000
SLICE_BYTES = 8 << 20
SLICE_FILES = 2000
WORKERS = 4
LARGE = 8 << 20
"""Files from this size on are read one at a time, so that memory stays bounded."""
FILE_LIMIT = 1 << 50
DELTA_FROM = 512
"""Contents below this many bytes are not worth a delta."""


class Examined(msgspec.Struct, frozen=True, gc=False):
    """What reading a candidate gave: an entry (without `same_as`) and the stat that it had, or a
    problem.
    """

    candidate: Candidate
    entry: Entry | None
    stat: os.stat_result
    problem: Problem | None = None


class Ingested(msgspec.Struct, frozen=True):
    """`examined` in no promised order; `groups` are durable or in memory, and not published yet.

    `collided` are paths whose content has the address of another content.
    """

    examined: list[Examined]
    groups: list[WrittenGroup]
    collided: list[RelPath]

    def discard(self) -> None:
        """Take away contents that are not going to be recorded."""
        for group in self.groups:
            discard_written(group)


class Shelf:
    """Decides for all workers together which contents are new. Shared; keeps itself consistent."""

    def __init__(self, packs: Path, contents: Contents, blobs: PackStore) -> None:
        self.packs = packs
        self.blobs = blobs
        self._contents = contents
        self._empty = contents.totals()[0] == 0
        self._lock = threading.Lock()
        self._claimed: dict[Digest, Sha256] = {}
        self.large = threading.Lock()
        self.collided: list[RelPath] = []

    def claim(self, info: BlobInfo, path: RelPath) -> bool:
        """Whether the caller is the one to store this content."""
        known = [] if self._empty else self._contents.with_digest(info.digest)
        with self._lock:
            claimed = self._claimed.setdefault(info.digest, info.sha256)
        first = claimed is info.sha256
        others = [other for other in known if other.sha256 != info.sha256]
        if others or claimed != info.sha256:
            self.collided.append(path)
        return (first or claimed != info.sha256) and info not in known

    def has_part(self, sha256: Sha256) -> bool:
        return not self._empty and bool(self._contents.places([sha256]))


def ingest(
    root_fd: int,
    candidates: Sequence[Candidate],
    shelf: Shelf | None,
    *,
    progress: Progress = SILENT,
    workers: int = WORKERS,
) -> Ingested:
    """Read candidates (given in any order). Without a shelf nothing is stored, only looked at.

    Raises OSError (of the store, or when descriptors run out), DamagedError; then nothing is left.
    """
    ordered = sorted(candidates, key=lambda candidate: os.fsencode(candidate.path))
    total = sum(_size(candidate) for candidate in ordered)
    progress.begin("reading files", files=len(ordered), size=total)
    job = _Job(root_fd, list(_slices(ordered)), shelf, progress)
    small = total < POOL_FROM and len(ordered) < POOL_FROM_FILES
    job.run(1 if small else min(workers, os.cpu_count() or 1))
    progress.end()
    return Ingested(job.examined, job.groups, shelf.collided if shelf else [])


class _Job:
    def __init__(
        self,
        root_fd: int,
        slices: list[list[Candidate]],
        shelf: Shelf | None,
        progress: Progress,
    ) -> None:
        self._root_fd = root_fd
        self._slices = iter(slices)
        self._shelf = shelf
        self._progress = progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.examined: list[Examined] = []
        self.groups: list[WrittenGroup] = []

    def run(self, workers: int) -> None:
        try:
            if workers == 1:
                self._work()
            else:
                self._pool(workers)
        except BaseException:
            for group in self.groups:
                discard_written(group)
            raise

    def _pool(self, workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(self._work) for _ in range(workers)]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
        for future in futures:
            future.result()

    def _work(self) -> None:
        """One worker: takes slices until there are none, and leaves one finished group."""
        with FolderCache(self._root_fd) as folders:
            if self._shelf is None:
                self._take_slices(_Worker(folders, None, None))
                return
            with GroupWriter(self._shelf.packs) as writer:
                if self._take_slices(_Worker(folders, self._shelf, writer)):
                    group = writer.finish()
                    with self._lock:
                        self.groups.append(group)

    def _take_slices(self, worker: "_Worker") -> bool:
        """Whether everything was taken, and nobody asked to stop."""
        while not self._stop.is_set():
            with self._lock:
                part = next(self._slices, None)
            if part is None:
                return True
            found: list[Examined] = []
            for candidate in part:
                if self._stop.is_set():
                    return False
                found.append(worker.examine(candidate))
            with self._lock:
                self.examined += found
            self._progress.advance(files=len(part), size=sum(map(_size, part)))
        return False


class _Worker:
    """Reads candidates of one root, in one thread."""

    def __init__(
        self, folders: FolderCache, shelf: Shelf | None, writer: GroupWriter | None
    ) -> None:
        self._folders = folders
        self._shelf = shelf
        self._writer = writer
        self._owners = Owners()

    def examine(self, candidate: Candidate) -> Examined:
        path = candidate.path
        folder, name = split(path)
        try:
            parent = self._folders.open(folder)
            content, found = None, candidate.stat
            if stat.S_ISREG(found.st_mode) and candidate.path_class != "state":
                content, found = self._read(parent, name, candidate)
            entry = describe(
                parent,
                name,
                path,
                found,
                path_class=candidate.path_class,
                owners=self._owners,
            )
        except UnreadError as error:
            return Examined(candidate, None, candidate.stat, error.problem(path))
        except OSError as error:
            return Examined(candidate, None, candidate.stat, Problem(path, *judge(error)))
        if content is not None:
            entry = msgspec.structs.replace(entry, content=content)
        return Examined(candidate, entry, found)

    def _read(
        self, parent: int, name: str, candidate: Candidate
    ) -> tuple[BlobInfo, os.stat_result]:
        if candidate.stat.st_size > PART_THRESHOLD:
            return self._read_large(parent, name, candidate)
        if candidate.stat.st_size >= LARGE and self._shelf is not None:
            with self._shelf.large:
                return self._read_whole(parent, name, candidate)
        return self._read_whole(parent, name, candidate)

    def _read_whole(
        self, parent: int, name: str, candidate: Candidate
    ) -> tuple[BlobInfo, os.stat_result]:
        steady = read_steady(parent, name, candidate.stat, PART_THRESHOLD)
        info = identify(steady.data)
        if self._shelf is not None and self._writer is not None:
            self._keep(info, steady.data, candidate)
        return info, steady.stat

    def _keep(self, info: BlobInfo, data: bytes, candidate: Candidate) -> None:
        assert self._shelf is not None and self._writer is not None
        before = None if candidate.recorded is None else candidate.recorded.content
        if candidate.path_class == "secret" or before == info:
            return
        if not self._shelf.claim(info, candidate.path):
            return
        if before is not None and info.size >= DELTA_FROM and _is_akin(before, info):
            base = self._shelf.blobs.base_for(before)
            if base is not None:
                ((_, base_data),) = self._shelf.blobs.read_places([base])
                self._writer.add_delta(info, data, base.sha256, base_data)
                return
        self._writer.add(info, data)

    def _read_large(
        self, parent: int, name: str, candidate: Candidate
    ) -> tuple[BlobInfo, os.stat_result]:
        with stream_steady(parent, name, candidate.stat, FILE_LIMIT) as stream:
            keep = self._shelf is not None and candidate.path_class != "secret"
            if keep and self._shelf is not None and self._writer is not None:
                with self._shelf.large:
                    info = self._writer.add_large(stream.chunks(), self._shelf.has_part)
            else:
                info = _identify_stream(stream)
            return info, stream.stat


def _identify_stream(stream: SteadyStream) -> BlobInfo:
    hasher = Hasher()
    for chunk in stream.chunks():
        hasher.update(chunk)
    return hasher.info()


def _is_akin(before: BlobInfo, after: BlobInfo) -> bool:
    """Whether sizes make it likely that one is an edit of the other."""
    return before.size <= 8 * after.size and after.size <= 64 * max(before.size, 1)


def _size(candidate: Candidate) -> int:
    return candidate.stat.st_size if stat.S_ISREG(candidate.stat.st_mode) else 0


def _slices(ordered: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    part: list[Candidate] = []
    size = 0
    for candidate in ordered:
        part.append(candidate)
        size += _size(candidate)
        if size >= SLICE_BYTES or len(part) >= SLICE_FILES:
            yield part
            part, size = [], 0
    if part:
        yield part
