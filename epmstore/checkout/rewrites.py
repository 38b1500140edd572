"""Which files are made anew though only their metadata is to change.

A process that has a file open for writing, mapped, or by another name reaches its inode whatever is
set of it afterwards. So nothing that gives privilege is ever set on an inode that was there before:
another owner or group, setuid and setgid, capabilities, who may write. Such a file is copied into
the staging folder, is given its metadata there, where no other user can reach it, and takes the
place of the old one. What gives nothing (times, reading, executing, the owner's own rights) is set
in place, after a look through the descriptor that is used for it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from epmstore.checkout.plan import Step
from epmstore.filestat import FileId
from epmstore.relpath import RelPath
from epmstore.scan.holders import Credentials, Holder, credentials, holders
from epmstore.scan.xattrs import ACLS, CAPABILITY
from epmstore.tree import Entry, Xattrs, settable_values

SETID = 0o6000
OTHERS_WRITE = 0o022
_PLAIN = "user."


class Caller(msgspec.Struct, frozen=True):
    """Whose rights decide what can be set at all."""

    uid: int
    gids: frozenset[int]

    @staticmethod
    def now() -> "Caller":
        return Caller(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))

    def owner(self, old: Entry, new: Entry) -> tuple[int, int]:
        """Who a file belongs to that is to be `new`, as far as this caller can have it so."""
        if self.uid == 0:
            return new.uid, new.gid
        uid = new.uid if new.uid == self.uid else old.uid
        return uid, new.gid if new.gid in self.gids else old.gid

    def guarded(self, xattrs: Xattrs) -> Xattrs:
        """Those that say who may do what, and that this caller can set."""
        if self.uid == 0:
            return tuple(one for one in xattrs if not one[0].startswith(_PLAIN))
        return tuple(one for one in xattrs if one[0] in ACLS)


def gives_privilege(old: Entry, new: Entry, caller: Caller) -> bool:
    """Whether who reaches the inode of a file gains by its metadata becoming `new`. Pure."""
    if settable_values(old) == settable_values(new):
        return False  # only times are to be set
    if caller.uid not in (0, old.uid, new.uid):
        return False  # it may set nothing
    if caller.owner(old, new) != (old.uid, old.gid) or (old.mode ^ new.mode) & OTHERS_WRITE:
        return True
    if caller.guarded(old.xattrs) != caller.guarded(new.xattrs):
        return True
    is_powerful = new.mode & SETID or any(name == CAPABILITY for name, _ in new.xattrs)
    return bool(is_powerful) and old.mode != new.mode


def is_made_anew(step: Step, caller: Caller) -> bool:
    """Whether what a step sets is set of a new file or symlink. A symlink has no descriptor by
    which it could be told from what takes its name. Pure.
    """
    if step.op != "set" or step.old is None or step.new is None or step.new.kind == "directory":
        return False
    if step.new.kind == "symlink":
        return True
    has_names = step.seen is not None and step.seen.links > 1
    return has_names or gives_privilege(step.old, step.new, caller)


def sets_rights(step: Step) -> bool:
    """Whether a step sets more of a file than its time. Pure."""
    if step.op != "set" or step.old is None or step.new is None or step.new.kind != "file":
        return False
    return (step.old.mode, step.old.xattrs) != (step.new.mode, step.new.xattrs)


def with_copies(
    steps: Sequence[Step], caller: Caller, held: Iterable[FileId] = ()
) -> tuple[list[Step], set[int]]:
    """(the steps as they are carried out, the numbers of those that put a copy of the file that is
    there). Files whose identity is in `held` are made anew whatever is set. Names of one file stay
    names of one file. Pure.
    """
    held = set(held)
    linked = {step.link for step in steps if step.link is not None}
    leaders: dict[FileId, RelPath] = {}
    copies: set[int] = set()
    carried_out = list(steps)
    for number, step in enumerate(steps):
        identity = identity_of(step)
        is_file = step.op == "set" and step.new is not None and step.new.kind == "file"
        is_reached = is_file and (step.path in linked or identity in held)
        if not is_reached and not is_made_anew(step, caller):
            continue
        link = None
        if is_file and identity is not None:
            first = leaders.setdefault(identity, step.path)
            link = None if first == step.path else first
        if is_file and link is None:
            copies.add(number)
        carried_out[number] = msgspec.structs.replace(step, op="put", link=link)
    return carried_out, copies


def identity_of(step: Step) -> FileId | None:
    return None if step.seen is None else (step.seen.dev, step.seen.ino)


def intruders(steps: Iterable[Step]) -> set[FileId]:
    """Of files on which rights are to be set in place: those that a process holds for writing which
    may not write to them as they are to be. Raises OSError.
    """
    wanted = {
        identity: step.new
        for step in steps
        if sets_rights(step) and (identity := identity_of(step)) is not None and step.new
    }
    return {holder.identity for holder in _writers(wanted, may=False)}


def rightful_writers(wanted: Mapping[FileId, Entry]) -> list[Holder]:
    """Of files that are to be made anew: those who hold one for writing and may go on to write to
    it, and would go on with the old file.
    """
    return list(_writers(wanted, may=True))


def _writers(wanted: Mapping[FileId, Entry], *, may: bool) -> Iterator[Holder]:
    for holder in holders(wanted.keys()).found if wanted else ():
        if holder.mode == "write":
            who = credentials(holder.pid)
            if who is not None and may_write(who, wanted[holder.identity]) == may:
                yield holder


def may_write(who: Credentials, entry: Entry) -> bool:
    """Whether a process may open a file for writing. An ACL is not read: it says no. Pure."""
    if who.uid == 0 or who.uid == entry.uid:
        return True
    if any(name in ACLS for name, _ in entry.xattrs):
        return False
    return bool(entry.mode & (0o020 if entry.gid in who.gids else 0o002))
