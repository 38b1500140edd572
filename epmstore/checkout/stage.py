"""Staging: everything new is made in a folder of its own, whole and durable, before anything is
touched.

The folder lies at the top of the root, so it is on the same file system; it is 0700, so no other
user runs or swaps what is half written. Its name proves nothing: the journal says which directory
it is, and only that one is used, locked, emptied or removed; and of what is in it, only what we put
there. Each step that makes an inode has a slot there, named by its number.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import msgspec

from epmstore import fsio
from epmstore.checkout.files import POOL_FROM, FileMaker, NewFile, make_files, wait_for_writers
from epmstore.checkout.near import near_files
from epmstore.checkout.plan import Step
from epmstore.digest import identify_stream
from epmstore.errors import ChangedError
from epmstore.pack_table import DeltaFrame
from epmstore.progress import Progress
from epmstore.relpath import RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.problem import UnreadError
from epmstore.scan.set_metadata import apply_link_metadata
from epmstore.scan.staging_mark import MARK
from epmstore.scan.steady import SteadyStream
from epmstore.store.staging import StageProof
from epmstore.store.store import Store
from epmstore.tree import Entry

SYNCFS_FROM = 64
"""Files from which one syncfs costs less than an fsync each."""
REMOVERS = 4
"""Threads that remove many files: to remove one is to wait for the file system."""
ALONE = 256
"""Files that one thread removes as quickly."""
SWITCHING = "switching"
"""The sign of `mark_switching`, among slots that are all numbers."""
_SLOT = re.compile(r"[0-9]+(\.old[0-9]*)?")


class Refused(msgspec.Struct, frozen=True):
    """What the privilege or the file system did not allow of one path."""

    path: RelPath
    what: tuple[str, ...]


class Staged(msgspec.Struct, frozen=True):
    """`inodes` maps the number of each step that has a slot to the inode in it."""

    inodes: dict[int, int]
    refused: list[Refused]


def is_staged(step: Step) -> bool:
    """Whether a step has a new inode in its slot."""
    return step.op in ("put", "retype", "mkdir") and step.new is not None


def make_stage(root_fd: int, name: str) -> int:
    """A descriptor of a new staging folder, whose name is durable. Raises OSError, ChangedError if
    something else has its name at once.
    """
    fsio.make_directory(name, root_fd)
    fsio.sync_directory(root_fd)
    # Between making and opening it, a process that may write to the root can have put a folder of
    # its own there: so the one that is open is looked at.
    fd = fsio.open_directory(name, root_fd)
    found = os.fstat(fd)
    has_more = found.st_mode & 0o777 & ~fsio.PRIVATE
    if found.st_uid != os.geteuid() or has_more or os.listdir(fd):
        os.close(fd)
        raise ChangedError(
            f"somebody took the name of the staging folder, {name!r}, in the moment it was made",
            hint="nothing was changed; see who may write to the root",
            path=name,
        )
    if found.st_mode & 0o777 != fsio.PRIVATE:  # an umask, or an ACL of the root, took some away
        fsio.set_mode(fd, fsio.PRIVATE)
    return fd


def open_stage(root_fd: int, name: str, proof: StageProof | None) -> int | None:
    """A descriptor of a staging folder; None if it is not there: nothing, or what is not the
    directory that was made. Without a proof, as in journals of older releases, it is a private
    folder of ours with nothing in it that a checkout does not put there. Raises OSError.
    """
    try:
        fd = fsio.open_directory(name, root_fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return None
    if _is_ours(fd, proof):
        return fd
    os.close(fd)
    return None


def _is_ours(fd: int, proof: StageProof | None) -> bool:
    found = os.fstat(fd)
    if proof is not None:
        return proof.fits(found)
    is_private = found.st_uid == os.geteuid() and found.st_mode & 0o777 == fsio.PRIVATE
    return is_private and all(map(_is_known, os.listdir(fd)))


def _is_known(name: str) -> bool:
    """Whether a name in a staging folder is one that a checkout gives."""
    return name in (SWITCHING, MARK) or _SLOT.fullmatch(name) is not None


def mark_switching(stage_fd: int) -> None:
    """Leave a sign that from now on slots may hold what was displaced: even a journal that lost its
    last line must not have them thrown away.
    """
    with contextlib.suppress(FileExistsError):
        fsio.make_directory(SWITCHING, stage_fd)


def is_switching(stage_fd: int) -> bool:
    """Whether slots of a staging folder may hold what was displaced."""
    try:
        fsio.lstat(SWITCHING, stage_fd)
    except FileNotFoundError:
        return False
    return True


def stage(
    root_fd: int,
    stage_fd: int,
    steps: Sequence[Step],
    store: Store,
    *,
    copies: Collection[int] = (),
    known: Iterable[DeltaFrame] = (),
    privileged: bool,
    progress: Progress,
) -> Staged:
    """Fill the slots and make them durable. Those of the steps numbered in `copies` get what the
    file has now. `known` are differences between contents that lead back from what is there. Raises
    OSError, DamagedError, BlobNotFoundError, ChangedError.
    """
    stager = _Stager(stage_fd, steps, copies, privileged, progress)
    progress.begin("staging", files=len(stager.numbers), size=stager.size)
    stager.folders()
    stager.symlinks()
    stager.copies(root_fd)
    stager.files(root_fd, store, known)
    # Last: they are links to slots that were filled before.
    stager.links(root_fd)
    # All of it is durable before the journal says STAGED.
    if stager.syncs_each:
        fsio.sync_directory(stage_fd)
    else:
        fsio.sync_filesystem(stage_fd)
    progress.end()
    return Staged(stager.inodes(), stager.refused)


class _Stager:
    def __init__(
        self,
        stage_fd: int,
        steps: Sequence[Step],
        copies: Collection[int],
        privileged: bool,
        progress: Progress,
    ) -> None:
        self._stage_fd = stage_fd
        self._steps = steps
        self._copies = copies
        self._privileged = privileged
        self._progress = progress
        self.numbers = [n for n, step in enumerate(steps) if is_staged(step)]
        self.size = sum(step.content.size for step in steps if step.content is not None)
        # What is set of a symlink, and what is large enough for processes to share, is synced by
        # nothing but the sync of all.
        has_links = any(self._entry(number).kind == "symlink" for number in self.numbers)
        is_shared = self.size >= POOL_FROM
        self.syncs_each = len(self.numbers) < SYNCFS_FROM and not has_links and not is_shared
        self.refused: list[Refused] = []
        self._inodes: dict[int, int] = {}

    def folders(self) -> None:
        """Private, until what is in them is there."""
        for number in self.numbers:
            if self._entry(number).kind == "directory":
                fsio.make_directory(str(number), self._stage_fd)

    def symlinks(self) -> None:
        for number in self.numbers:
            entry = self._entry(number)
            if entry.kind == "symlink":
                assert entry.target is not None, "a symlink has a target"
                fsio.make_symlink(entry.target, str(number), self._stage_fd)
                self._note(
                    entry,
                    apply_link_metadata(self._stage_fd, str(number), entry, self._privileged),
                )

    def files(self, root_fd: int, store: Store, known: Iterable[DeltaFrame]) -> None:
        """Contents in the order in which the store reads them best."""
        wanted = {
            RelPath(str(number)): number for number in self.numbers if self._is_stored(number)
        }
        near = near_files({number: self._steps[number] for number in wanted.values()}, known)
        done = make_files(
            self._stage_fd,
            [NewFile(slot, self._entry(n), near.get(n)) for slot, n in wanted.items()],
            store,
            root_fd=root_fd,
            privileged=self._privileged,
            syncs=self.syncs_each,
            progress=self._progress,
        )
        for slot, made in done:
            self._note(slot.entry, made.refused)
            self._inodes[wanted[slot.path]] = made.inode

    def _is_stored(self, number: int) -> bool:
        """Whether a slot is filled from the store."""
        has_own = self._steps[number].link is None and number not in self._copies
        return has_own and self._entry(number).content is not None

    def copies(self, root_fd: int) -> None:
        """Files that get other metadata, with what is in them now."""
        with (
            FolderCache(root_fd) as folders,
            FileMaker(self._stage_fd, privileged=self._privileged, syncs=self.syncs_each) as maker,
        ):
            for number in sorted(self._copies):
                step, entry = self._steps[number], self._entry(number)
                with _opened(folders, step) as (fd, found):
                    kept = msgspec.structs.replace(entry, mtime_ns=found.st_mtime_ns)
                    wanted = kept if entry.mtime_ns is None else entry
                    chunks = _checked(step, fd, found)
                    made = maker.make(NewFile(RelPath(str(number)), wanted), chunks)
                self._note(entry, made.refused)
                self._inodes[number] = made.inode
                self._progress.advance(files=1)

    def links(self, root_fd: int) -> None:
        """Hard links, to the slot of their first path or to the file that stays."""
        slots = {self._steps[n].path: n for n in self.numbers if self._steps[n].link is None}
        with FolderCache(root_fd) as folders:
            for number in self.numbers:
                leader = self._steps[number].link
                if leader is None:
                    continue
                if leader in slots:
                    fsio.make_link(str(slots[leader]), self._stage_fd, str(number), self._stage_fd)
                else:
                    folder, name = split(leader)
                    fsio.make_link(name, folders.open(folder), str(number), self._stage_fd)
                    self._check_linked(number, leader)

    def _check_linked(self, number: int, leader: RelPath) -> None:
        """What the file that stays holds now was not seen. Raises ChangedError."""
        entry = self._entry(number)
        fd = fsio.open_file(str(number), self._stage_fd)
        try:
            stream = SteadyStream(leader, fd, os.fstat(fd))
            is_same = identify_stream(stream.chunks()) == entry.content
        except UnreadError:
            is_same = False
        finally:
            os.close(fd)
        if not is_same:
            raise ChangedError(
                f"somebody wrote to {leader!r} meanwhile, which {entry.path!r} was to be a name of",
                hint="nothing was changed; try again",
                path=leader,
            )

    def inodes(self) -> dict[int, int]:
        """Of every slot. Those that were written are known."""
        for number in self.numbers:
            if number not in self._inodes:
                self._inodes[number] = fsio.lstat(str(number), self._stage_fd).st_ino
        return self._inodes

    def _entry(self, number: int) -> Entry:
        entry = self._steps[number].new
        assert entry is not None, "a staged step makes something"
        return entry

    def _note(self, entry: Entry, what: list[str]) -> None:
        if what:
            self.refused.append(Refused(entry.path, tuple(what)))


@contextlib.contextmanager
def _opened(folders: FolderCache, step: Step) -> Iterator[tuple[int, os.stat_result]]:
    """The file that a step is about, open. Raises ChangedError if it is not the one in the plan."""
    folder, name = split(step.path)
    try:
        fd = fsio.open_file(name, folders.open(folder))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            raise
        raise _written(step.path) from error
    try:
        found, seen = os.fstat(fd), step.seen
        is_same = seen is not None and (found.st_dev, found.st_ino) == (seen.dev, seen.ino)
        if not is_same or not stat.S_ISREG(found.st_mode):
            raise _written(step.path)
        yield fd, found
    finally:
        os.close(fd)


def _checked(step: Step, fd: int, found: os.stat_result) -> Iterator[bytes]:
    """What an open file holds, in pieces. After the last one, raises ChangedError unless it held
    still and is what the step says.
    """
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in SteadyStream(step.path, fd, found).chunks():
            digest.update(chunk)
            size += len(chunk)
            yield chunk
    except UnreadError as error:
        raise _written(step.path) from error
    content = None if step.new is None else step.new.content
    if content is not None and (content.size, content.sha256) != (size, digest.digest()):
        raise _written(step.path)


def _written(path: RelPath) -> ChangedError:
    return ChangedError(
        f"somebody writes to {path!r}, or replaces it: its owner or its rights are to change",
        hint="nothing was changed; stop that, and try again",
        path=path,
    )


def remove_stage(root_fd: int, name: str, proof: StageProof | None) -> None:
    """Take a staging folder and all that we put into it away; nothing happens if it is not there
    (see `open_stage`). Raises OSError, BusyError, ChangedError if it holds anything else.
    """
    fd = open_stage(root_fd, name, proof)
    if fd is None:
        return
    try:
        wait_for_writers(fd, name)
        names = os.listdir(fd)
        strange = sorted(found for found in names if not _is_known(found))
        if strange:
            raise _strange(name, strange[0])
        if len(names) <= ALONE:
            _remove_all(names, fd, name)
        else:
            with ThreadPoolExecutor(REMOVERS) as pool:
                shares = [names[n::REMOVERS] for n in range(REMOVERS)]
                list(pool.map(_remove_all, shares, repeat(fd), repeat(name)))
        if os.path.samestat(os.fstat(fd), fsio.lstat(name, root_fd)):
            fsio.remove_directory(name, root_fd)
    finally:
        os.close(fd)


def remove_unnamed(root_fd: int, name: str) -> None:
    """Take away a staging folder of which no journal could say yet which directory it is: nothing
    was put into it, so it goes if it is empty. Raises OSError.
    """
    try:
        if fsio.lstat(name, root_fd).st_uid == os.geteuid():
            fsio.remove_directory(name, root_fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
            raise


def _remove_all(names: Iterable[str], stage_fd: int, stage: str) -> None:
    for name in names:
        try:
            fsio.unlink(name, stage_fd)
        except IsADirectoryError:
            _remove_folder(name, stage_fd, stage)


def _remove_folder(name: str, stage_fd: int, stage: str) -> None:
    try:
        fsio.remove_directory(name, stage_fd)
    except OSError as error:
        raise _strange(stage, f"{name}, a folder that is not empty") from error


def _strange(stage: str, what: str) -> ChangedError:
    return ChangedError(
        f"the staging folder {stage} holds what no checkout puts there: {what}",
        hint="move that away, and run `epmstore recover`; nothing of it was removed",
        path=stage,
    )
