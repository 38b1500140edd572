"""Reading what changed: candidates in, entries out, new contents compressed on the way.

Candidates go in slices of neighbouring paths to workers, each of which reads, hashes, compresses
and writes a group of its own and waits for nobody. Rules: a content is stored once, whoever meets
it first; a file is stored only if it held still; small work is done here, large work in processes.
"""

import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack

import msgspec

from epmstore.blobs.pack import WrittenGroup, discard_written
from epmstore.digest import Digest, Sha256
from epmstore.progress import SILENT, Progress
from epmstore.record.observe import Candidate
from epmstore.record.pool import Worker
from epmstore.record.reading import Reader, Seen, Task
from epmstore.record.shelf import SharedClaims, Shelf
from epmstore.record.worker import Finished
from epmstore.relpath import RelPath, to_bytes
from epmstore.scan.metadata import Owners, make_entry
from epmstore.scan.problem import Problem
from epmstore.tree import Entry

POOL_FROM = 4 << 20
"""Bytes of candidates from which a pool of workers pays."""
POOL_FROM_FILES = 1000
SLICE_BYTES = 8 << 20
SLICE_FILES = 2000
WORKERS = 4


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
    ordered = sorted(candidates, key=_in_bytes)
    slices = list(_slices(ordered))
    total = sum(part.size for part in slices)
    progress.begin("reading files", files=len(ordered), size=total)
    job = _Job(root_fd, slices, shelf, progress)
    small = total < POOL_FROM and len(ordered) < POOL_FROM_FILES
    cores = len(os.sched_getaffinity(0)) if sys.executable else 1  # what embeds us may have none
    job.run(1 if small else min(workers, cores, len(slices)))
    progress.end()
    return Ingested(job.examined, job.groups, sorted({*job.collided, *_collided(job.examined)}))


class _Slice(msgspec.Struct, frozen=True):
    """Neighbours, and how many bytes they hold."""

    candidates: list[Candidate]
    size: int

    def tasks(self) -> list[Task]:
        return list(map(_task, self.candidates))


class _Job:
    def __init__(
        self,
        root_fd: int,
        slices: list[_Slice],
        shelf: Shelf | None,
        progress: Progress,
    ) -> None:
        self._root_fd = root_fd
        self._count = sum(len(part.candidates) for part in slices)
        self._slices = iter(slices)
        self._shelf = shelf
        self._progress = progress
        self._lock = threading.Lock()
        self._owners = Owners()
        self.examined: list[Examined] = []
        self.groups: list[WrittenGroup] = []
        self.collided: list[RelPath] = []

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

    def _pool(self, count: int) -> None:
        """In processes, each served by a thread that mostly waits."""
        claims = SharedClaims.create(self._count)
        with ExitStack() as stack:
            stack.callback(claims.close)
            workers = [
                stack.enter_context(Worker(self._root_fd, self._shelf, claims))
                for _ in range(count)
            ]
            pool = stack.enter_context(ThreadPoolExecutor(count))
            futures = [pool.submit(self._serve, worker) for worker in workers]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                for worker in workers:
                    worker.stop()
                raise

    def _serve(self, worker: Worker) -> None:
        self._finish(worker.work(self._parts(), _Slice.tasks, self._take))

    def _work(self) -> None:
        """Here and now."""
        with Reader(self._root_fd, self._shelf) as reader:
            for part in self._parts():
                self._take(part, reader.read(part.tasks()))
            collided = [] if self._shelf is None else self._shelf.collided
            self._finish(Finished(reader.finish(), collided))

    def _parts(self) -> Iterator[_Slice]:
        while True:
            with self._lock:
                part = next(self._slices, None)
            if part is None:
                return
            yield part

    def _finish(self, finished: Finished) -> None:
        with self._lock:
            self.collided += finished.collided
            if finished.group is not None:
                self.groups.append(finished.group)

    def _take(self, part: _Slice, seen: Sequence[Seen]) -> None:
        """Make entries of what was read."""
        found = list(map(self._examined, part.candidates, seen))
        with self._lock:
            self.examined += found
        self._progress.advance(files=len(found), size=part.size)

    def _examined(self, candidate: Candidate, seen: Seen) -> Examined:
        stats = candidate.stat if seen.stat is None else seen.stat
        if seen.problem is not None:
            return Examined(candidate, None, stats, seen.problem)
        entry = make_entry(
            candidate.path,
            stats,
            path_class=candidate.path_class,
            owners=self._owners,
            content=seen.content,
            target=seen.target,
            xattrs=seen.xattrs,
        )
        return Examined(candidate, entry, stats)


def _task(candidate: Candidate) -> Task:
    found, recorded = candidate.stat, candidate.recorded
    return Task(
        candidate.path,
        candidate.path_class,
        None if recorded is None else recorded.content,
        found.st_mode,
        found.st_ino,
        found.st_dev,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _collided(examined: Iterable[Examined]) -> Iterator[RelPath]:
    """Paths whose new content has the address of another one that was read before it."""
    first: dict[Digest, Sha256] = {}
    for one in examined:
        content = None if one.entry is None else one.entry.content
        if content is None or first.setdefault(content.digest, content.sha256) == content.sha256:
            continue
        yield one.candidate.path


def _in_bytes(candidate: Candidate) -> bytes:
    return to_bytes(candidate.path)


def _slices(ordered: Sequence[Candidate]) -> Iterator[_Slice]:
    part: list[Candidate] = []
    size = 0
    for candidate in ordered:
        part.append(candidate)
        if stat.S_ISREG(candidate.stat.st_mode):
            size += candidate.stat.st_size
        if size >= SLICE_BYTES or len(part) >= SLICE_FILES:
            yield _Slice(part, size)
            part, size = [], 0
    if part:
        yield _Slice(part, size)
