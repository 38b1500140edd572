"""What is there when a checkout has done what it could. Its version and its report are made from
this, not from the plan.

Every path of the plan is looked at again. Contents were checked when they were staged, so a file
that is in its place with the inode, size and time that it got there is as planned. Anything else is
looked at like what a recording finds: a user was faster, or repaired by hand what an interrupted
checkout had left. That is stored and recorded before the version of the checkout, which says no
more than what the checkout did.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from epmstore import fsio
from epmstore.checkout.plan import Step
from epmstore.checkout.stage import Refused
from epmstore.record.observe import Candidate
from epmstore.record.observed_changes import with_link
from epmstore.relpath import RelPath, join, parents, sort_paths, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.metadata import OwnerNames, Rest, group_links, read_attributes, settable_of
from epmstore.scan.walk import Listing
from epmstore.scan.xattrs import link_path, missing_xattrs
from epmstore.tree import SETTABLE, Entry

ABSENT = "it is not there"
IRREGULAR = "a FIFO, a socket or a device has its name"
CHANGED = "somebody changed it meanwhile"
CAME = "something took its name meanwhile"


class CheckedPaths(msgspec.Struct, frozen=True):
    """`stats` of every path of the plan. `done` maps each path at which is what was put there, or
    nothing as planned, to what it is: the wanted entry, but for metadata that could not be set.
    `wrong` maps all others to why.
    """

    stats: dict[RelPath, os.stat_result | None]
    done: dict[RelPath, Entry | None]
    wrong: dict[RelPath, str]

    def add(self, more: "CheckedPaths") -> None:
        self.stats.update(more.stats)
        self.done.update(more.done)
        self.wrong.update(more.wrong)


def check(
    root_fd: int,
    steps: Sequence[Step],
    inodes: Mapping[int, int],
    left: Mapping[RelPath, str],
    refused: Iterable[Refused],
) -> CheckedPaths:
    """Look at every path again. `left` are paths that are known to have been left alone, and why;
    of those in `refused` not all metadata could be set.
    """
    missed = {one.path: one.what for one in refused}
    checked = CheckedPaths({}, {}, {})
    owners = OwnerNames()
    with FolderCache(root_fd) as folders:
        for number, step in enumerate(steps):
            path = step.path
            folder, name = split(path)
            try:
                parent = folders.open(folder)
                found = fsio.lstat(name, parent)
            except OSError:
                checked.stats[path] = None
                _judge_absent(checked, step, left)
                continue
            checked.stats[path] = found
            if step.new is None:
                checked.wrong[path] = left.get(path, CAME)
                continue
            if path in left or not _is_it(found, step, inodes.get(number), missed.get(path, ())):
                checked.wrong[path] = left.get(path) or why_not(found, step)
                continue
            rest = _rest(parent, name)
            if rest is not None and path in missed:
                checked.done[path] = _as_found(step.new, found, rest, owners)
            elif rest is None or not _is_described(found, rest, step.new):
                checked.wrong[path] = CHANGED
            else:
                checked.done[path] = step.new
    return checked


def _rest(parent: int, name: str) -> Rest | None:
    """None for what has gone meanwhile."""
    try:
        return read_attributes(link_path(parent, name))
    except OSError:
        return None


def with_folders(steps: Sequence[Step], recorded: Mapping[RelPath, Entry]) -> list[Step]:
    """The steps, and one for each folder above them that the plan does not touch: it is wanted as
    it is `recorded`, and what is planned in it can be there only if it is. Pure.
    """
    planned = {step.path for step in steps}
    above = [folder for path, folder in recorded.items() if path not in planned]
    return [*steps, *(Step("set", folder.path, folder, folder) for folder in above)]


def folders_above(steps: Iterable[Step]) -> list[RelPath]:
    """Of all paths of a plan, in order."""
    return sort_paths({RelPath(folder) for step in steps for folder in parents(step.path)})


def is_any_done(root_fd: int, steps: Sequence[Step], inodes: Mapping[int, int]) -> bool:
    """Whether a step of a plan was carried out: of a journal whose staging folder is gone."""
    with FolderCache(root_fd) as folders:
        for number, step in enumerate(steps):
            folder, name = split(step.path)
            try:
                found = fsio.lstat(name, folders.open(folder))
            except OSError:
                if step.op == "unlink":
                    return True
                continue
            if found.st_ino == inodes.get(number):
                return True
    return False


def _judge_absent(checked: CheckedPaths, step: Step, left: Mapping[RelPath, str]) -> None:
    if step.new is None:
        checked.done[step.path] = None
    else:
        checked.wrong[step.path] = left.get(step.path, ABSENT)


def _is_it(found: os.stat_result, step: Step, inode: int | None, missed: Collection[str]) -> bool:
    """Whether this is the very file or folder that was put there or set, with its content. A file
    has the time that it was given, unless that is among what could not be set.
    """
    new = step.new
    if new is None or kind_of(found) != new.kind:
        return False
    keeps = step.op == "set" and step.seen is not None
    expected = step.seen.ino if keeps and step.seen is not None else inode
    if expected not in (None, found.st_ino):
        return False
    content = new.content
    is_whole = content is None or found.st_size == content.size
    is_timeless = new.kind != "file" or new.mtime_ns is None or "mtime" in missed
    return is_whole and (is_timeless or found.st_mtime_ns == new.mtime_ns)


def is_as_wanted(found: Entry, new: Entry) -> bool:
    """Whether what was read of a path is what was to be there."""
    return (
        all(getattr(found, name) == getattr(new, name) for name in ("kind", "target", *SETTABLE))
        and new.content in (None, found.content)
        and new.mtime_ns in (None, found.mtime_ns)
    )


def _is_described(found: os.stat_result, rest: Rest, new: Entry) -> bool:
    """Whether owner, mode, time and attributes are those of an entry."""
    if new.mtime_ns not in (None, found.st_mtime_ns) or missing_xattrs(rest.xattrs, new.xattrs):
        return False
    free = ("mode", "xattrs") if new.kind == "symlink" else ("xattrs",)
    now = settable_of(found, rest)
    return all(now[name] == getattr(new, name) for name in SETTABLE if name not in free)


def _as_found(new: Entry, found: os.stat_result, rest: Rest, owners: OwnerNames) -> Entry:
    """An entry with the metadata that is there."""
    is_owned = (found.st_uid, found.st_gid) == (new.uid, new.gid)
    now = settable_of(found, rest)
    if new.kind == "symlink":
        del now["mode"]
    return msgspec.structs.replace(
        new,
        user=new.user if is_owned else owners.user(found.st_uid),
        group=new.group if is_owned else owners.group(found.st_gid),
        mtime_ns=None if new.mtime_ns is None else found.st_mtime_ns,
        **now,
    )


def why_not(found: os.stat_result, step: Step) -> str:
    """Why a path is not as wanted, though it is there."""
    kind = kind_of(found)
    if kind == "special":
        return IRREGULAR
    return CHANGED if step.new is not None and kind == step.new.kind else CAME


def kind_of(found: os.stat_result) -> str:
    if stat.S_ISREG(found.st_mode):
        return "file"
    if stat.S_ISDIR(found.st_mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(found.st_mode) else "special"


def as_tree(
    changes: Mapping[RelPath, Entry | None],
    base: Mapping[RelPath, Entry | None],
    planned: Mapping[RelPath, Entry],
    below: Callable[[RelPath], Iterable[Entry]],
) -> dict[RelPath, Entry | None]:
    """Changes to `base`, and those without which a version of them would be no tree: what comes
    lies in folders, for which there are the ones that the plan made there (`planned`), or it is
    left to the next look; where a folder is none any more, all that history has `below` it goes.
    Pure but for `below`.
    """
    whole: dict[RelPath, Entry | None] = {}
    lies_nowhere: set[RelPath] = set()
    for path, entry in changes.items():
        for folder in map(RelPath, parents(path) if entry is not None else ()):
            known = changes[folder] if folder in changes else base.get(folder)
            if known is not None and known.kind == "directory":
                continue
            if folder in planned:
                whole[folder] = planned[folder]
            else:
                lies_nowhere.add(path)
    kept = changes.keys() - whole.keys() - lies_nowhere
    whole |= {path: entry for path, entry in changes.items() if path in kept}
    for path, entry in list(whole.items()):
        old = base.get(path)
        if old is None or old.kind != "directory" or (entry and entry.kind == "directory"):
            continue
        for inside in below(path):
            whole[inside.path] = None
    return whole


def made_folders(steps: Iterable[Step], checked: CheckedPaths) -> set[RelPath]:
    """Folders that are there because the plan made them."""
    return {
        step.path
        for step in steps
        if _is_folder(step.new) and not _is_folder(step.old) and step.path in checked.done
    }


def _is_folder(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == "directory"


# What other processes put there.

Walk = Callable[[RelPath], Iterable[Listing]]
"""A folder and all below it, as a look at the root sees them."""


def strangers(checked: CheckedPaths, steps: Sequence[Step], walk: Walk) -> Iterator[Candidate]:
    """What has to be looked at of paths that are not as planned: files and links that this checkout
    did not make, and all that is in folders where none was.
    """
    planned = {step.path for step in steps}
    for step in steps:
        found, entry = checked.stats[step.path], step.new or step.old
        if step.path not in checked.wrong or found is None:
            continue
        assert entry is not None, "a step has a side"
        kind = kind_of(found)
        if kind != "special":
            yield Candidate(step.path, found, entry.path_class, None)
        if kind == "directory" and (step.old is None or step.old.kind != "directory"):
            yield from _inside(step.path, planned, walk)


def _inside(top: RelPath, planned: Collection[RelPath], walk: Walk) -> Iterator[Candidate]:
    for listing in walk(top):
        classes = listing.classes or ["program"] * len(listing.names)
        for name, found, path_class in zip(listing.names, listing.stats, classes, strict=True):
            path = join(listing.folder, name)
            if path not in planned:
                yield Candidate(path, found, path_class, None)


def linked(
    entries: Iterable[Entry], candidates: Iterable[Candidate], checked: CheckedPaths
) -> dict[RelPath, Entry]:
    """Entries by path, each with the first name of its file, as far as that is among these."""
    candidates = list(candidates)
    stats = {**checked.stats, **{one.path: one.stat for one in candidates}}
    state = {one.path for one in candidates if one.path_class == "state"}
    state.update(path for path, one in checked.done.items() if one and one.path_class == "state")
    several = [
        (path, found)
        for path, found in stats.items()
        if found is not None and stat.S_ISREG(found.st_mode) and found.st_nlink > 1
        if path not in state
    ]
    same_as = group_links(several)
    return {one.path: with_link(one, same_as.get(one.path)) for one in entries}
