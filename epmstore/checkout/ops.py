"""What brings one entry of a path to another. Pure."""

from typing import Literal, TypeAlias

from epmstore.tree import SETTABLE, Entry

Op: TypeAlias = Literal["mkdir", "put", "retype", "set", "unlink", "rmdir"]


def displaces(verdict: str, found: Entry | None) -> bool:
    """Whether a file goes from its path."""
    is_file = found is not None and found.kind == "file"
    return is_file and verdict in ("put", "retype", "unlink")


def op_of(found: Entry | None, wanted: Entry | None) -> Op | None:
    """What brings one entry to the other, disregarding names of users and groups."""
    if wanted is None:
        if found is None:
            return None
        return "rmdir" if found.kind == "directory" else "unlink"
    if found is None:
        return "mkdir" if wanted.kind == "directory" else "put"
    if found.kind != wanted.kind:
        return "retype"
    if wanted.kind == "file" and _needs_writing(found, wanted):
        return "put"
    if found.target != wanted.target:
        return "put"
    if any(getattr(found, field) != getattr(wanted, field) for field in SETTABLE):
        return "set"
    return "set" if wanted.mtime_ns not in (None, found.mtime_ns) else None


def _needs_writing(found: Entry, wanted: Entry) -> bool:
    if wanted.content is None:
        return False
    old = (found.content, found.same_as, found.sparse)
    return old != (wanted.content, wanted.same_as, wanted.sparse)


def look_of(entry: Entry | None) -> tuple[object, ...]:
    """What all names of one file share."""
    if entry is None:
        return ()
    return (entry.mtime_ns, *(getattr(entry, field) for field in SETTABLE))
