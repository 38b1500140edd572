"""Switching: the steps of a staged plan, one after another; run again after a crash, it does what
is left.

A slot tells what was done, so nothing is hashed to find out: while the inode that was staged is
still in its slot, the step is to do; afterwards the slot holds what was there before. Nothing that
was there is thrown away here: it lies in the slots until the new version is recorded. What differs
from what the scan saw is named, so that the caller can save it first. A path where something
unforeseen stands (a folder instead of a file) is left alone and named.
"""

import errno
import os
import stat
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from epmstore import fsio
from epmstore.checkout.plan import Seen, Step
from epmstore.checkout.stage import Refused
from epmstore.progress import SILENT, Progress
from epmstore.relpath import RelPath, split
from epmstore.scan.apply import apply_link_metadata, apply_metadata
from epmstore.scan.folders import FolderCache

ASIDE = ".old"
"""Suffix of the slot for what was there, on file systems that cannot exchange two names."""
PRIVATE = 0o700
NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


class Switched(msgspec.Struct, frozen=True):
    """`doubtful` are the steps whose old file may have changed since the scan; `left` pairs paths
    that were left alone with why; `refused` is what the privilege did not allow of metadata set in
    place.
    """

    doubtful: set[int]
    left: dict[RelPath, str]
    refused: list[Refused]


def switch(
    root_fd: int,
    stage_fd: int,
    steps: Sequence[Step],
    inodes: Mapping[int, int],
    *,
    privileged: bool,
    progress: Progress = SILENT,
) -> Switched:
    """Do every step that is not done yet. Raises OSError; then it can be run again."""
    progress.begin("switching", files=len(steps))
    with FolderCache(root_fd) as folders:
        switcher = _Switcher(folders, stage_fd, inodes, privileged)
        for number, step in enumerate(steps):
            switcher.do(number, step)
            progress.advance(files=1)
        for step in reversed(steps):
            switcher.finish_folder(step)
    progress.end()
    return Switched(switcher.doubtful, switcher.left, switcher.refused)


class _Switcher:
    def __init__(
        self,
        folders: FolderCache,
        stage_fd: int,
        inodes: Mapping[int, int],
        privileged: bool,
    ) -> None:
        self._folders = folders
        self._stage_fd = stage_fd
        self._inodes = inodes
        self._privileged = privileged
        self.doubtful: set[int] = set()
        self.left: dict[RelPath, str] = {}
        self.refused: list[Refused] = []

    def do(self, number: int, step: Step) -> None:
        folder, name = split(step.path)
        try:
            parent = self._folders.open(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            if step.op not in ("unlink", "rmdir"):
                self.left[step.path] = "the folder above it is not there any more"
            return
        if step.op == "mkdir":
            self._make_folder(parent, name, step)
        elif step.op == "rmdir":
            self._remove_folder(parent, name, step)
        elif step.op == "unlink":
            self._take_away(number, parent, name, step)
        elif step.op == "set":
            if not _makes_folder(step):
                self._set(parent, name, step)
        else:
            self._replace(number, parent, name, step)

    def finish_folder(self, step: Step) -> None:
        """What a folder finally looks like: its owner may shut us out, so it comes last, deepest
        first.
        """
        if _makes_folder(step) and step.path not in self.left:
            folder, name = split(step.path)
            self._set(self._folders.open(folder), name, step)

    def _make_folder(self, parent: int, name: str, step: Step) -> None:
        try:
            fsio.make_directory(name, parent, PRIVATE)
        except FileExistsError:
            if not stat.S_ISDIR(fsio.lstat(name, parent).st_mode):
                self.left[step.path] = "something else took its name meanwhile"

    def _remove_folder(self, parent: int, name: str, step: Step) -> None:
        try:
            fsio.remove_directory(name, parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            self.left[step.path] = "holds something that was not there before, or is ignored"

    def _take_away(self, number: int, parent: int, name: str, step: Step) -> None:
        """Move what is to go into the slot."""
        if self._in_slot(str(number)) is not None:
            return
        found = _lstat(name, parent)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            self.left[step.path] = "a folder took its name meanwhile"
            return
        self._judge(number, step.seen, found)
        fsio.rename_new(name, parent, str(number), self._stage_fd)

    def _replace(self, number: int, parent: int, name: str, step: Step) -> None:
        assert step.new is not None, "what is put is known"
        if step.new.kind == "directory":
            self._take_away(number, parent, name, step)
            if step.path not in self.left:
                self._make_folder(parent, name, step)
            return
        slot = self._in_slot(str(number))
        if slot is None or slot.st_ino != self._inodes[number]:
            return
        found = _lstat(name, parent)
        if found is not None and step.old is not None and step.old.kind == "directory":
            self._remove_folder(parent, name, step)
            found = _lstat(name, parent)
        if found is None:
            fsio.rename_new(str(number), self._stage_fd, name, parent)
        elif stat.S_ISDIR(found.st_mode):
            self.left.setdefault(step.path, "a folder took its name meanwhile")
        elif found.st_ino == slot.st_ino:
            fsio.unlink(str(number), self._stage_fd)  # a hard link that is there already
        else:
            self._judge(number, step.seen, found)
            self._exchange(str(number), name, parent)

    def _exchange(self, slot: str, name: str, parent: int) -> None:
        try:
            fsio.exchange(slot, self._stage_fd, name, parent)
        except OSError as error:
            if error.errno not in NO_EXCHANGE:
                raise
            fsio.rename(name, parent, slot + ASIDE, self._stage_fd)
            fsio.rename_new(slot, self._stage_fd, name, parent)

    def _judge(self, number: int, seen: Seen | None, found: os.stat_result) -> None:
        """Note whether what is about to be displaced is what the scan took it for."""
        now = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if seen is None or now != (seen.ino, seen.size, seen.mtime_ns, seen.ctime_ns):
            self.doubtful.add(number)

    def _set(self, parent: int, name: str, step: Step) -> None:
        assert step.new is not None, "what is set is known"
        found = _lstat(name, parent)
        if found is None or _kind(found) != step.new.kind:
            self.left.setdefault(step.path, "something else took its name meanwhile")
            return
        if step.new.kind == "symlink":
            refused = apply_link_metadata(parent, name, step.new, self._privileged)
        else:
            fd = fsio.open_file(name, parent)
            try:
                refused = apply_metadata(fd, step.new, self._privileged)
            finally:
                os.close(fd)
        if refused:
            self.refused.append(Refused(step.path, tuple(refused)))

    def _in_slot(self, slot: str) -> os.stat_result | None:
        return _lstat(slot, self._stage_fd)


def displaced(stage_fd: int, number: int, inodes: Mapping[int, int]) -> str | None:
    """The name in the staging folder of what a step displaced; null if it displaced nothing."""
    aside = f"{number}{ASIDE}"
    if _lstat(aside, stage_fd) is not None:
        return aside
    found = _lstat(str(number), stage_fd)
    return None if found is None or found.st_ino == inodes.get(number) else str(number)


def sync(root_fd: int, steps: Iterable[Step], *, everything: bool) -> None:
    """Make the switch durable: one syncfs, or each touched folder. Raises OSError."""
    if everything:
        fsio.sync_filesystem(root_fd)
        return
    with FolderCache(root_fd) as folders:
        for folder in {split(step.path)[0] for step in steps}:
            try:
                fd = folders.open(folder)
            except FileNotFoundError:
                continue  # it went with what was in it; the folder above is synced too
            fsio.sync_directory(fd)
        for step in steps:
            if step.op == "set":
                _sync_entry(folders, step.path)


def verify(
    root_fd: int, steps: Sequence[Step], inodes: Mapping[int, int], left: Iterable[RelPath]
) -> tuple[bool, dict[RelPath, os.stat_result | None]]:
    """(whether each path is what was staged for it, its stat now). Contents were checked when they
    were staged.
    """
    skipped = set(left)
    stats: dict[RelPath, os.stat_result | None] = {}
    is_right = True
    with FolderCache(root_fd) as folders:
        for number, step in enumerate(steps):
            folder, name = split(step.path)
            try:
                found = _lstat(name, folders.open(folder))
            except OSError:
                found = None
            stats[step.path] = found
            if step.path in skipped:
                continue
            if (found is None) != (step.new is None):
                is_right = False
            elif found is not None and number in inodes:
                is_right &= found.st_ino == inodes[number] and _fits(found, step)
    return is_right, stats


def _fits(found: os.stat_result, step: Step) -> bool:
    content = step.new.content if step.new is not None else None
    return content is None or found.st_size == content.size


def _sync_entry(folders: FolderCache, path: RelPath) -> None:
    folder, name = split(path)
    try:
        fd = fsio.open_file(name, folders.open(folder))
    except OSError:
        return  # a symlink: its folder's sync has to do
    try:
        fsio.sync_file(fd)
    finally:
        os.close(fd)


def _makes_folder(step: Step) -> bool:
    return step.new is not None and step.new.kind == "directory"


def _lstat(name: str, parent: int) -> os.stat_result | None:
    try:
        return fsio.lstat(name, parent)
    except FileNotFoundError:
        return None


def _kind(found: os.stat_result) -> str:
    if stat.S_ISDIR(found.st_mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(found.st_mode) else "file"
