"""Making many files with given contents below a folder. Where there is much to do, other processes
do it side by side, because each file is a handful of short system calls.

The folder is ours, private, and locked by all who write into it: when a parent dies, its children
end a moment later, and who takes the folder away waits for that (`wait_for_writers`).
"""

import contextlib
import fcntl
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from typing import Self, TypeAlias

import msgspec

from epmstore import fsio
from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.interface import BlobReader
from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.checkout.near import Near, NearFiles
from epmstore.child import Child, cores, serve
from epmstore.digest import BlobInfo
from epmstore.errors import BusyError
from epmstore.locks import POLL_SECONDS, WAIT_SECONDS
from epmstore.progress import Progress
from epmstore.relpath import RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.holes import write_sparse
from epmstore.scan.set_metadata import NewFiles
from epmstore.store.source import StoreSource
from epmstore.store.store import Store
from epmstore.tree import Entry

WORKERS = 4
POOL_FROM = 64 << 20
"""Bytes of contents from which processes pay."""
POOL_FROM_FILES = 1500
PART_FILES = 1000
PART_BYTES = 32 << 20
"""What is done at a time: large enough that few frames are in two of them."""
FLUSH_FROM = 128 << 20
"""Bytes that are written before the file system is told to write them out."""


class NewFile(msgspec.Struct, frozen=True, gc=False):
    """A file to make at a path below the folder, with content, metadata and time of an entry;
    perhaps of one that is `near` it.
    """

    path: RelPath
    entry: Entry
    near: Near | None = None

    @property
    def content(self) -> BlobInfo:
        assert self.entry.content is not None, "only what has a content is written"
        return self.entry.content


class Made(msgspec.Struct, frozen=True, gc=False):
    """`refused` is what of the metadata could not be set, as `apply_metadata` says it."""

    inode: int
    refused: list[str]


_Part: TypeAlias = list[NewFile]
_Take: TypeAlias = Callable[[_Part, list[Made]], None]


class FileMaker:
    """Makes files below a folder, one after the other; a context manager. For one thread."""

    def __init__(self, folder_fd: int, *, privileged: bool, syncs: bool) -> None:
        """`syncs`: each file is durable when it is made, though not its name."""
        self._folders = FolderCache(folder_fd)
        self._metadata = NewFiles(privileged=privileged)
        self._syncs = syncs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folders.close()

    def make(self, file: NewFile, chunks: Iterable[bytes]) -> Made:
        """Raises OSError, and what `chunks` raises."""
        folder, name = split(file.path)
        fd = fsio.create(name, self._folders.open(folder))
        try:
            if file.entry.sparse:
                write_sparse(fd, chunks)
            else:
                for chunk in chunks:
                    fsio.write(fd, chunk)
            found, refused = self._metadata.apply(fd, file.entry)
            if self._syncs:
                fsio.sync_file(fd)
        finally:
            os.close(fd)
        return Made(found.st_ino, refused)


class _Setting(msgspec.Struct, frozen=True):
    """What a child needs to know. It inherits the descriptors; without one of a root, nothing is
    made of what lies there.
    """

    folder_fd: int
    root_fd: int | None
    privileged: bool
    source: StoreSource


class _Service:
    """Makes files, wherever that is."""

    def __init__(self, blobs: BlobReader, maker: FileMaker, near: NearFiles | None) -> None:
        self._blobs = blobs
        self._maker = maker
        self._near = near

    def do(self, files: _Part) -> list[Made]:
        """What became of each."""
        made = {} if self._near is None else self._made_of_near(files, self._near)
        wanted: dict[BlobInfo, list[NewFile]] = defaultdict(list)
        for file in files:
            if file.path in made:
                continue
            if file.content.size > PART_THRESHOLD:
                made[file.path] = self._maker.make(file, self._blobs.stream(file.content))
            else:
                wanted[file.content].append(file)
        for info, data in self._blobs.read_many(wanted):
            for file in wanted[info]:
                made[file.path] = self._maker.make(file, (data,))
        return [made[file.path] for file in files]

    def _made_of_near(self, files: _Part, near: NearFiles) -> dict[RelPath, Made]:
        """Those that can be made of what lies in the root."""
        found = [(file, file.near) for file in files if file.near is not None]
        contents = near.contents([(file.content, one) for file, one in found])
        return {
            file.path: self._maker.make(file, (data,))
            for (file, _), data in zip(found, contents, strict=True)
            if data is not None
        }

    def finish(self) -> None:
        """Nothing is left."""


@contextmanager
def _begin(setting: _Setting) -> Iterator[_Service]:
    _, blobs = setting.source.open()
    with (
        blobs,
        FileMaker(setting.folder_fd, privileged=setting.privileged, syncs=False) as maker,
        _near(setting.root_fd, blobs) as near,
    ):
        yield _Service(blobs, maker, near)


@contextmanager
def _near(root_fd: int | None, blobs: PackStore) -> Iterator[NearFiles | None]:
    if root_fd is None:
        yield None
        return
    with NearFiles(root_fd, blobs) as near:
        yield near


def main() -> None:
    """Of a child."""
    serve(_begin)


def make_files(
    folder_fd: int,
    files: Sequence[NewFile],
    store: Store,
    *,
    privileged: bool,
    syncs: bool = False,
    progress: Progress,
    root_fd: int | None = None,
) -> list[tuple[NewFile, Made]]:
    """Make them, and say what became of each. What goes wrong with one ends everything. With
    `syncs`, each is durable then: children, who sync nothing, have no part in it. What files are
    `near` lies below `root_fd`.

    Raises BlobNotFoundError, DamagedError, OSError.
    """
    parts = list(_divided(files))
    done: list[tuple[_Part, list[Made]]] = []

    def take(part: _Part, made: list[Made]) -> None:
        done.append((part, made))
        flusher.wrote(_size(part))
        progress.advance(files=len(part), size=_size(part))

    is_much = len(files) >= POOL_FROM_FILES or _size(files) >= POOL_FROM
    count = min(cores(WORKERS), len(parts)) if is_much else 1
    with _Flusher(folder_fd) as flusher:
        if count > 1 and not syncs and _lock(folder_fd):
            _share(parts, _Setting(folder_fd, root_fd, privileged, store.source), count, take)
        else:
            with (
                FileMaker(folder_fd, privileged=privileged, syncs=syncs) as maker,
                _near(root_fd, store.blobs) as near,
            ):
                service = _Service(store.blobs, maker, near)
                for part in parts:
                    take(part, service.do(part))
    return [one for part, made in done for one in zip(part, made, strict=True)]


class _Flusher:
    """Has a file system write out what it was given, in a thread, while more is being made: the
    sync at the end, which is the one that counts, then has little left to wait for.
    """

    def __init__(self, folder_fd: int) -> None:
        # Not the caller's: what goes wrong is told once to each who has the file system open.
        self._fd = fsio.open_directory(".", folder_fd)
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        os.close(self._fd)

    def wrote(self, size: int) -> None:
        """So many bytes more."""
        self._size += size
        if self._size >= FLUSH_FROM and (self._last is None or self._last.done()):
            self._size = 0
            self._last = self._pool.submit(fsio.sync_filesystem, self._fd)


def _divided(files: Sequence[NewFile]) -> Iterator[_Part]:
    """Neighbours are recorded together, so they lie in the same frames."""
    part: _Part = []
    size = 0
    for file in files:
        part.append(file)
        size += file.content.size
        if len(part) >= PART_FILES or size >= PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _size(files: Iterable[NewFile]) -> int:
    return sum(file.content.size for file in files)


def wait_for_writers(folder_fd: int, name: str) -> None:
    """Wait until no process writes into a folder of ours whose parent process has died: a moment.
    Raises BusyError if it takes longer.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while _is_locked(folder_fd):
        if time.monotonic() >= deadline:
            raise BusyError(
                f"some process holds a lock on the staging folder {name}",
                hint="`fuser` names it; end it, then run `epmstore recover`",
            )
        time.sleep(POLL_SECONDS)


def _is_locked(folder_fd: int) -> bool:
    """Whether another process has the lock, if there are such locks; else it is ours now."""
    try:
        fcntl.flock(folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(folder_fd: int) -> bool:
    """Children inherit the descriptor, and the lock lasts for as long as one of them has it. False
    where the file system has no such locks, or another process has it: there is no waiting.
    """
    try:
        fcntl.flock(folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _share(todo: list[_Part], setting: _Setting, count: int, take: _Take) -> None:
    """Children take from both ends, so that they are seldom in each other's folders."""
    queue = deque(todo)

    def parts(number: int) -> Iterator[_Part]:
        with contextlib.suppress(IndexError):
            while True:
                yield queue.pop() if number % 2 else queue.popleft()

    root = () if setting.root_fd is None else (setting.root_fd,)
    inherited = (setting.folder_fd, *root)
    with ExitStack() as stack:
        children = [stack.enter_context(Child(__name__, setting, inherited)) for _ in range(count)]
        pool = stack.enter_context(ThreadPoolExecutor(count))
        working = [
            pool.submit(child.work, parts(number), list, take)
            for number, child in enumerate(children)
        ]
        try:
            for future in as_completed(working):
                future.result()
        except BaseException:
            queue.clear()
            for child in children:
                child.stop()
            raise
