"""Reading what changed: candidates in, entries out, new contents compressed on the way.

Candidates go in slices of neighbouring paths to workers, each of which reads, hashes, compresses
and writes a group of its own and waits for no other one, not even for the end of the walk that
finds the candidates. Rules: a content is stored once, whichever process meets it first; a file is
stored only if it held still; small work is done here, large work in processes.
"""

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import cached_property
from itertools import chain
from queue import SimpleQueue
from typing import Self

import msgspec

from epmstore.blobs.pack import WrittenGroup, discard_written
from epmstore.child import Child, cores
from epmstore.compact import CompactEntries
from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.pack_table import DeltaFrame
from epmstore.progress import SILENT, Progress
from epmstore.record.collisions import CollisionFilter
from epmstore.record.file_reader import FileReader, ReadPath, ReadTask
from epmstore.record.observe import Candidate
from epmstore.record.worker import Finished, ReadService, start
from epmstore.relpath import RelPath, to_bytes
from epmstore.scan.metadata import OwnerNames, make_entry
from epmstore.scan.problem import Problem
from epmstore.store.dedup import Dedup, SharedClaims
from epmstore.tree import Entry

POOL_FROM = 4 << 20
"""Bytes of candidates from which a pool of workers pays."""
POOL_FROM_FILES = 1000
SLICE_BYTES = 4 << 20
SLICE_FILES = 400
WORKERS = 4
AHEAD = 100
"""Slices that may wait for processes to read them."""
PATIENCE = 0.02
"""Seconds between two looks at whether they still work."""


class Examined(msgspec.Struct, frozen=True, gc=False):
    """What reading a candidate gave: an entry (without `same_as`), or a problem. `stat` is None if
    it is the one that the candidate has; `recorded` is the candidate's.
    """

    path: RelPath
    recorded: Entry | None
    entry: Entry | None
    stat: os.stat_result | None
    problem: Problem | None = None


class Ingested(msgspec.Struct, frozen=True):
    """What reading gave, in no promised order: `fresh` are entries of new paths of which nothing
    more is to be said, `others` everything else. `groups` are durable or in memory, and not
    published yet. `collided` are paths whose content has the address of another content. `back`
    leads from contents to those of before, if that was asked for.
    """

    fresh: CompactEntries
    others: list[Examined]
    groups: list[WrittenGroup]
    collided: list[RelPath]
    back: list[DeltaFrame]

    @property
    def examined(self) -> Iterator[Examined]:
        """All of it."""
        plain = (Examined(entry.path, None, entry, None) for entry in self.fresh)
        return chain(plain, self.others)

    def discard(self) -> None:
        """Take away contents that are not going to be recorded."""
        for group in self.groups:
            discard_written(group)


def ingest(
    root_fd: int,
    candidates: Iterable[Candidate],
    dedup: Dedup | None,
    *,
    progress: Progress = SILENT,
    workers: int = WORKERS,
) -> Ingested:
    """Read candidates (given in any order). Without a dedup nothing is stored, only looked at.

    Raises OSError (of the store, or when descriptors run out), DamagedError; then nothing is left.
    """
    with Ingestion(root_fd, dedup, progress=progress, workers=workers) as ingestion:
        ingestion.feed(sorted(candidates, key=_in_bytes))
        return ingestion.finish()


class _Slice(msgspec.Struct, frozen=True):
    """Neighbours, and how many bytes they hold."""

    candidates: list[Candidate]
    size: int

    def tasks(self) -> list[ReadTask]:
        return list(map(_task, self.candidates))


class Ingestion:
    """Reading that may begin before all candidates are known. A context manager: what is not
    finished when the block is left is undone.

    Contents come to lie in the store about in the order in which their candidates are fed.
    """

    def __init__(
        self,
        root_fd: int,
        dedup: Dedup | None,
        *,
        progress: Progress = SILENT,
        workers: int = WORKERS,
        ways_back: bool = False,
    ) -> None:
        self._root_fd = root_fd
        self._ways_back = ways_back
        self._back: list[DeltaFrame] = []
        self._dedup = dedup
        self._progress = progress
        self._count = cores(workers)
        self._lock = threading.Lock()
        self._owners = OwnerNames()
        self._waiting: list[Candidate] = []
        self._waiting_size = 0
        self._slices: SimpleQueue[_Slice | None] = SimpleQueue()
        self._fed = self._fed_files = self._fed_size = 0
        self._done_files = self._done_size = 0
        self._stack = ExitStack()
        self._workers: list[Child] = []
        self._futures: list[Future[None]] = []
        self._fresh = CompactEntries()
        self._others: list[Examined] = []
        self._identities = CollisionFilter()
        self._groups: list[WrittenGroup] = []
        self._collided: list[RelPath] = []
        self._is_finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_finished:
            for worker in self._workers:
                worker.stop()
                self._slices.put(None)
        self._stack.close()
        if not self._is_finished:
            for group in self._groups:
                discard_written(group)

    def feed(self, candidates: Iterable[Candidate]) -> None:
        """More to read. As soon as there is enough for several readers, they begin."""
        for candidate in candidates:
            self._waiting.append(candidate)
            if stat.S_ISREG(candidate.stat.st_mode):
                self._waiting_size += candidate.stat.st_size
            if self._waiting_size >= SLICE_BYTES or len(self._waiting) >= SLICE_FILES:
                self._cut()

    def finish(self) -> Ingested:
        """Everything that was fed, read. Raises as `ingest`."""
        if self._waiting:
            self._cut()
        self._progress.begin("reading files", files=self._fed_files, size=self._fed_size)
        self._progress.advance(files=self._done_files, size=self._done_size)
        if not self._futures:
            self._work()
            self._finish(self._here.finish())
        for _ in self._futures:
            self._slices.put(None)
        finished, _ = wait(self._futures, return_when=FIRST_EXCEPTION)
        for future in finished:
            future.result()
        self._progress.end()
        self._is_finished = True
        ingested = Ingested(self._fresh, self._others, self._groups, self._collided, self._back)
        if self._identities.may_collide():
            self._collided += _collided(ingested.examined)
        self._collided[:] = sorted(set(self._collided))
        return ingested

    def _cut(self) -> None:
        """What waits becomes a slice."""
        part = _Slice(self._waiting, self._waiting_size)
        self._waiting, self._waiting_size = [], 0
        self._fed += 1
        self._fed_files += len(part.candidates)
        self._fed_size += part.size
        self._relieve()
        self._slices.put(part)
        is_large = self._fed_size >= POOL_FROM or self._fed_files >= POOL_FROM_FILES
        if not self._futures and self._fed > 1 and self._count > 1 and is_large:
            self._start()

    def _start(self) -> None:
        """Processes read from now on, each served by a thread that mostly waits."""
        self._progress.begin("reading files")
        claims = SharedClaims.create()
        self._stack.callback(claims.close)
        for _ in range(self._count):
            worker = start(self._root_fd, self._dedup, claims, ways_back=self._ways_back)
            self._workers.append(self._stack.enter_context(worker))
        pool = self._stack.enter_context(ThreadPoolExecutor(self._count))
        self._futures = [pool.submit(self._serve, worker) for worker in self._workers]

    def _relieve(self) -> None:
        """What waits takes memory: of very much, some is read before the walk goes on."""
        while self._slices.qsize() >= AHEAD and not any(one.done() for one in self._futures):
            if self._count == 1:
                self._work()
            elif self._futures:
                wait(self._futures, timeout=PATIENCE, return_when=FIRST_COMPLETED)
            else:
                return  # they begin when there is enough for them

    def _serve(self, worker: Child) -> None:
        self._finish(worker.work(self._parts(), _Slice.tasks, self._take))

    def _work(self) -> None:
        """Here and now, what waits."""
        while not self._slices.empty():
            part = self._slices.get()
            assert part is not None, "only workers are told of an end"
            self._take(part, self._here.do(part.tasks()))

    @cached_property
    def _here(self) -> ReadService:
        """What reads without a process."""
        reader = FileReader(self._root_fd, self._dedup, ways_back=self._ways_back)
        return ReadService(self._stack.enter_context(reader), self._dedup)

    def _parts(self) -> Iterator[_Slice]:
        while (part := self._slices.get()) is not None:
            yield part

    def _finish(self, finished: Finished) -> None:
        with self._lock:
            self._collided += finished.collided
            self._groups += finished.groups
            self._back += finished.back

    def _take(self, part: _Slice, seen: Sequence[ReadPath]) -> None:
        """Make entries of what was read."""
        fresh: list[Entry] = []
        others: list[Examined] = []
        for one, said in zip(part.candidates, seen, strict=True):
            entry = None if said.problem is not None else self._entry(one, said)
            if entry is not None and said.stat is None and _is_plainly_new(one):
                fresh.append(entry)
            else:
                others.append(Examined(one.path, one.recorded, entry, said.stat, said.problem))
        self._fresh.add(fresh)
        with self._lock:
            self._others += others
            self._identities.add(said.content for said in seen if said.content is not None)
            self._done_files += len(seen)
            self._done_size += part.size
        self._progress.advance(files=len(seen), size=part.size)

    def _entry(self, candidate: Candidate, seen: ReadPath) -> Entry:
        return make_entry(
            candidate.path,
            candidate.stat if seen.stat is None else seen.stat,
            path_class=candidate.path_class,
            owners=self._owners,
            content=seen.content,
            rest=seen.rest,
        )


def _is_plainly_new(candidate: Candidate) -> bool:
    """Whether nothing is recorded of a path, and it is no hard link: only when all are known, they
    know what they are links of.
    """
    found = candidate.stat
    return candidate.recorded is None and not (found.st_nlink > 1 and stat.S_ISREG(found.st_mode))


def _task(candidate: Candidate) -> ReadTask:
    return ReadTask(candidate.path, candidate.path_class, _stored(candidate), candidate.stat)


def _stored(candidate: Candidate) -> BlobInfo | None:
    """The content that is recorded of a path and stored; what is read to be the same is not stored
    again.
    """
    recorded = candidate.recorded
    if (
        candidate.afresh
        or recorded is None
        or (recorded.path_class == "secret" != candidate.path_class)
    ):
        return None
    return recorded.content


def _collided(examined: Iterable[Examined]) -> Iterator[RelPath]:
    """Paths whose new content has the address of another one that was read before it."""
    first: dict[Digest, Sha256] = {}
    for one in examined:
        content = None if one.entry is None else one.entry.content
        if content is None or first.setdefault(content.digest, content.sha256) == content.sha256:
            continue
        yield one.path


def _in_bytes(candidate: Candidate) -> bytes:
    return to_bytes(candidate.path)
