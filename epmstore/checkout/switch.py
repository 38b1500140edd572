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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count, takewhile

import msgspec

from epmstore import fsio
from epmstore.checkout.found import kind_of
from epmstore.checkout.plan import Seen, Step
from epmstore.checkout.rewrites import Caller, gives_privilege, identity_of, intruders
from epmstore.checkout.stage import Refused
from epmstore.digest import identify_stream
from epmstore.filestat import FileId
from epmstore.limits import OURS
from epmstore.progress import SILENT, Progress
from epmstore.relpath import ROOT, RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.metadata import read_attributes, settable_of
from epmstore.scan.problem import UnreadError
from epmstore.scan.set_metadata import apply_link_metadata, apply_metadata
from epmstore.scan.steady import SteadyStream
from epmstore.scan.xattrs import NOT_PERMITTED
from epmstore.tree import settable_values

ASIDE = ".old"
"""Suffix of the slot for what was there, on file systems that cannot exchange two names."""
PRIVATE = 0o700
_OURS = 0o300
NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
FORBIDDEN = "not permitted"
TAKEN = "something else took its name meanwhile"
WRITTEN = "somebody wrote to it meanwhile"
RISKY = "its owner, its rights or its names changed meanwhile"
HELD = "somebody who may not write to it has it open for writing"


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
    held = intruders(steps)
    with FolderCache(root_fd) as folders:
        switcher = _Switcher(folders, stage_fd, inodes, privileged, held)
        for number, step in enumerate(steps):
            switcher.do(number, step)
            progress.advance(files=1)
        # Folders get their owner and mode last, deepest first: before that we must get into them.
        for number, step in reversed(list(enumerate(steps))):
            switcher.finish_folder(number, step)
    progress.end()
    return Switched(switcher.doubtful, switcher.left, switcher.refused)


class _Switcher:
    def __init__(
        self,
        folders: FolderCache,
        stage_fd: int,
        inodes: Mapping[int, int],
        privileged: bool,
        held: Collection[FileId],
    ) -> None:
        self._folders = folders
        self._stage_fd = stage_fd
        self._inodes = inodes
        self._privileged = privileged
        self._held = held
        self._caller = Caller.now()
        self.doubtful: set[int] = set()
        self.left: dict[RelPath, str] = {}
        self.refused: list[Refused] = []

    def do(self, number: int, step: Step) -> None:
        parent = self._folder_of(step)
        if parent is None:
            return
        try:
            self._do(number, parent, split(step.path)[1], step)
        except PermissionError:  # asked before, and still: going back is not possible any more
            self.left[step.path] = FORBIDDEN

    def finish_folder(self, number: int, step: Step) -> None:
        """What a folder finally looks like: its owner may shut us out, so it comes last, deepest
        first.
        """
        if _makes_folder(step) and step.path not in self.left:
            parent = self._folder_of(step)
            if parent is not None:
                self._set_folder(number, parent, split(step.path)[1], step)

    def _folder_of(self, step: Step) -> int | None:
        try:
            return self._folders.open(split(step.path)[0])
        except OSError as error:
            if error.errno not in GONE:
                raise
            if step.op not in ("unlink", "rmdir"):
                self.left[step.path] = "the folder above it is not there any more"
            return None

    def _do(self, number: int, parent: int, name: str, step: Step) -> None:
        if step.op == "mkdir" and number not in self._inodes:  # as older releases staged
            self._make_folder(parent, name, step)
        elif step.op == "rmdir":
            self._remove_folder(parent, name, step)
        elif step.op == "unlink":
            self._take_away(number, parent, name, step)
        elif step.op != "set":
            self._replace(number, parent, name, step)
        elif not _makes_folder(step):
            self._set(parent, name, step)

    def _make_folder(self, parent: int, name: str, step: Step) -> None:
        try:
            fsio.make_directory(name, parent, PRIVATE)
        except FileExistsError:
            if not stat.S_ISDIR(fsio.lstat(name, parent).st_mode):
                self.left[step.path] = TAKEN

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
        slot = str(number)
        done, found = self._in_slot(slot), _lstat(name, parent)
        if found is None:
            return
        if done is not None:
            if found.st_ino == done.st_ino:  # a crash may leave both names of a rename
                fsio.unlink(name, parent)
            return
        if not _is_recorded(found):
            self.left[step.path] = TAKEN
            return
        # Between the look and the rename another process may have put something else there. So what
        # was moved is looked at once more, and goes back if it is nothing that can be saved.
        _rename_new(name, parent, slot, self._stage_fd)
        if not self._judge(number, slot, step, found):
            _rename_new(slot, self._stage_fd, name, parent)

    def _replace(self, number: int, parent: int, name: str, step: Step) -> None:
        if _makes_folder(step) and number not in self._inodes:
            self._take_away(number, parent, name, step)
            if step.path not in self.left:
                self._make_folder(parent, name, step)
            return
        slot = self._in_slot(str(number))
        if slot is None or slot.st_ino != self._inodes[number]:
            # The slot has what was there before: this was done before a crash.
            return
        found = _lstat(name, parent)
        if found is not None and found.st_ino == slot.st_ino and not _makes_folder(step):
            # a hard link that is there already, or a crash left both names of a rename
            fsio.unlink(str(number), self._stage_fd)
            return
        if found is not None and step.old is not None and step.old.kind == "directory":
            self._remove_folder(parent, name, step)
            found = _lstat(name, parent)
        if step.path in self.left:
            return
        if found is None:
            _rename_new(str(number), self._stage_fd, name, parent)
        elif _is_recorded(found):
            self._exchange(number, name, parent, step, found)
        else:
            self.left[step.path] = TAKEN

    def _exchange(
        self, number: int, name: str, parent: int, step: Step, found: os.stat_result
    ) -> None:
        slot = str(number)
        try:
            # At no moment is nothing there: a process that opens the file gets the old one or the
            # new one.
            fsio.exchange(slot, self._stage_fd, name, parent)
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
            # For a moment nothing has the name. What had it waits under a name of its own, so that
            # what goes on after a crash finds both.
            aside = next(a for a in _asides(number) if self._in_slot(a) is None)
            fsio.rename(name, parent, aside, self._stage_fd)
            self._judge(number, aside, step, found)
            _rename_new(slot, self._stage_fd, name, parent)
        else:
            if not self._judge(number, slot, step, found):
                fsio.exchange(slot, self._stage_fd, name, parent)

    def _judge(self, number: int, slot: str, step: Step, before: os.stat_result) -> bool:
        """Note whether what was displaced is what the scan took it for; false if it is nothing that
        can be saved.

        A rename moves the ctime, so that is compared as it was just before.
        """
        out = fsio.lstat(slot, self._stage_fd)
        if not _is_recorded(out):
            self.left[step.path] = TAKEN
            return False
        if not _is_seen(step.seen, before) or _look(out) != _look(before):
            self.doubtful.add(number)
        return True

    def _set(self, parent: int, name: str, step: Step) -> None:
        """Set in place what grants no rights (rewrites.py), of the very file in the plan."""
        assert step.new is not None, "what is set is known"
        found = _lstat(name, parent)
        if found is None or kind_of(found) != step.new.kind:
            self.left.setdefault(step.path, TAKEN)
        elif step.new.kind == "symlink":
            self._set_link(parent, name, step)
        elif not self._set_only_mtime(parent, name, step):
            self._set_file(parent, name, step)

    def _set_file(self, parent: int, name: str, step: Step) -> None:
        assert step.new is not None, "what is set is known"
        fd = self._open(fsio.open_file, parent, name, step)
        if fd is None:
            return
        try:
            # Judged and set by the descriptor: the name may be another file's by now.
            why = self._why_not(fd, step)
            if why is None:
                self._note(step, apply_metadata(fd, step.new, self._privileged))
            else:
                self.left[step.path] = why
        finally:
            os.close(fd)

    def _open(
        self, how: Callable[[str, int], int], parent: int, name: str, step: Step
    ) -> int | None:
        """A descriptor of what is to be set; None if it is left alone."""
        try:
            return how(name, parent)
        except PermissionError:
            self.left.setdefault(step.path, FORBIDDEN)
        except OSError as error:
            if error.errno not in GONE:
                raise
            self.left.setdefault(step.path, TAKEN)
        return None

    def _why_not(self, fd: int, step: Step) -> str | None:
        """What forbids to set anything of an open file."""
        found, new = os.fstat(fd), step.new
        assert new is not None, "what is set is known"
        identity = (found.st_dev, found.st_ino)
        if kind_of(found) != "file" or identity != identity_of(step):
            return TAKEN
        if identity in self._held:
            return HELD
        if not _has_content(fd, step):
            return WRITTEN
        now = msgspec.structs.replace(new, **settable_of(found, read_attributes(fd)))
        is_risky = found.st_nlink > 1 or gives_privilege(now, new, self._caller)
        return RISKY if is_risky else None

    def _set_only_mtime(self, parent: int, name: str, step: Step) -> bool:
        """Set the time of a file, if that is all that it lacks: it is as the scan saw it, and that
        is as `old` says. False if more is to do, or this is not permitted.
        """
        if not _lacks_only_time(step) or step.new is None or step.new.mtime_ns is None:
            return False
        fd = self._open(fsio.open_place, parent, name, step)
        if fd is None:
            return True
        try:
            found = os.fstat(fd)
            if not _is_seen(step.seen, found) or found.st_nlink > 1:
                return False
            fsio.set_opened_times(fd, step.new.mtime_ns)
        except OSError as error:
            if error.errno not in NOT_PERMITTED:
                raise
            return False
        finally:
            os.close(fd)
        return True

    def _set_link(self, parent: int, name: str, step: Step) -> None:
        """Of plans that an older release staged: today a symlink is made anew. Its owner stays, for
        what takes its name in this moment would get it.
        """
        assert step.new is not None, "what is set is known"
        found = fsio.lstat(name, parent)
        if os.readlink(name, dir_fd=parent) != step.new.target:
            self.left[step.path] = WRITTEN
        elif self._privileged and (found.st_uid, found.st_gid) != (step.new.uid, step.new.gid):
            self.left[step.path] = RISKY
        else:
            self._note(step, apply_link_metadata(parent, name, step.new, self._privileged))

    def _set_folder(self, number: int, parent: int, name: str, step: Step) -> None:
        """Who has a folder open, or is in it, may do no more with it than who comes to it by name:
        so it is set in place, if it is the one that was made here or that the scan saw.
        """
        assert step.new is not None, "what is set is known"
        fd = self._open(fsio.open_directory, parent, name, step)
        if fd is None:
            return
        try:
            if self._is_the_folder(number, step, os.fstat(fd)):
                self._note(step, self._apply(fd, step))
            else:
                self.left[step.path] = TAKEN
        finally:
            os.close(fd)

    def _is_the_folder(self, number: int, step: Step, found: os.stat_result) -> bool:
        if step.op == "set":
            return (found.st_dev, found.st_ino) == identity_of(step)
        if number in self._inodes:
            return found.st_ino == self._inodes[number]
        is_new = found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == PRIVATE
        return is_new or _is_as_wanted(found, step)  # as older releases made it

    def _note(self, step: Step, refused: list[str]) -> None:
        if refused:
            self.refused.append(Refused(step.path, tuple(refused)))

    def _apply(self, fd: int, step: Step) -> list[str]:
        assert step.new is not None, "what is set is known"
        mode = step.new.mode
        if step.path != ROOT or self._privileged or mode & _OURS == _OURS:
            return apply_metadata(fd, step.new, self._privileged)
        # or we could not take our staging folder away any more
        new = msgspec.structs.replace(step.new, mode=stat.S_IMODE(os.fstat(fd).st_mode))
        return [*apply_metadata(fd, new, self._privileged), "mode"]

    def _in_slot(self, slot: str) -> os.stat_result | None:
        return _lstat(slot, self._stage_fd)


def displaced(stage_fd: int, number: int, inodes: Mapping[int, int]) -> list[str]:
    """The names in the staging folder of what a step displaced."""
    found = _lstat(str(number), stage_fd)
    names = [] if found is None or found.st_ino == inodes.get(number) else [str(number)]
    return [*names, *takewhile(lambda a: _lstat(a, stage_fd) is not None, _asides(number))]


def sync(root_fd: int, steps: Iterable[Step], *, everything: bool) -> None:
    """Make the switch durable: one syncfs, or each touched folder. Raises OSError.

    A symlink cannot be synced by itself, and its folder's sync need not write what was set of it.
    """
    steps = list(steps)
    if everything or any(_sets_link(step) for step in steps):
        fsio.sync_filesystem(root_fd)
        return
    with FolderCache(root_fd) as folders:
        for folder in {split(step.path)[0] for step in steps}:
            try:
                fd = folders.open(folder)
            except OSError as error:
                if error.errno not in GONE:
                    raise
                continue  # it went with what was in it; the folder above is synced too
            fsio.sync_directory(fd)
        for step in steps:
            if step.op == "set" or _makes_folder(step):
                _sync_entry(folders, step.path)


def _sync_entry(folders: FolderCache, path: RelPath) -> None:
    folder, name = split(path)
    try:
        fd = fsio.open_file(name, folders.open(folder))
    except OSError as error:
        if error.errno in OURS:  # it says nothing of the file, which would go without its sync
            raise
        return  # not ours to read
    try:
        if kind_of(os.fstat(fd)) != "special":  # it took the name, and has nothing to sync
            fsio.sync_file(fd)
    finally:
        os.close(fd)


def _sets_link(step: Step) -> bool:
    return step.op == "set" and step.new is not None and step.new.kind == "symlink"


def _makes_folder(step: Step) -> bool:
    return step.new is not None and step.new.kind == "directory"


def _lstat(name: str, parent: int) -> os.stat_result | None:
    try:
        return fsio.lstat(name, parent)
    except FileNotFoundError:
        return None


def _is_recorded(found: os.stat_result) -> bool:
    """Whether this can be displaced and saved: folders and FIFOs cannot."""
    return kind_of(found) in ("file", "symlink")


def _look(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_seen(seen: Seen | None, found: os.stat_result) -> bool:
    return seen is not None and (*_look(found), found.st_ctime_ns) == (
        seen.ino,
        seen.size,
        seen.mtime_ns,
        seen.ctime_ns,
    )


def _lacks_only_time(step: Step) -> bool:
    """Whether the file that the plan knows is as wanted, but for its time."""
    old, new = step.old, step.new
    if old is None or new is None:
        return False
    is_same = (old.content, old.target) == (new.content, new.target)
    return is_same and settable_values(old) == settable_values(new)


def _is_as_wanted(found: os.stat_result, step: Step) -> bool:
    new = step.new
    is_owned = new is not None and (found.st_uid, found.st_gid) == (new.uid, new.gid)
    return new is not None and is_owned and stat.S_IMODE(found.st_mode) == new.mode


def _has_content(fd: int, step: Step) -> bool:
    """Whether an open file still has the content that only its metadata is set of."""
    content = None if step.new is None else step.new.content
    found = os.fstat(fd)
    if content is None or _is_seen(step.seen, found):
        return True
    try:
        return identify_stream(SteadyStream(step.path, fd, found).chunks()) == content
    except UnreadError:
        return False


def _asides(number: int) -> Iterator[str]:
    return (f"{number}{ASIDE}{n or ''}" for n in count())


def _rename_new(old: str, old_parent: int, new: str, new_parent: int) -> None:
    """Never replaces anything; as far as a file system without such a rename can promise that."""
    try:
        fsio.rename_new(old, old_parent, new, new_parent)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        if _lstat(new, new_parent) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from None
        fsio.rename(old, old_parent, new, new_parent)
