"""What brings one entry of a path to another. Pure."""

from typing import Literal, TypeAlias

from epmstore.tree import Entry, settable_values

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
    if settable_values(found) != settable_values(wanted):
        return "set"
    return "set" if wanted.mtime_ns not in (None, found.mtime_ns) else None


def may_displace(found: Entry | None, wanted: Entry | None) -> bool:
    """Whether bringing one entry to the other can take a file from its path, whatever is decided
    about names of the same file. A file without other names, that has its content, stays.
    """
    if found is None or found.kind != "file":
        return False
    if wanted is None or wanted.kind != "file" or (found.same_as, wanted.same_as) != (None, None):
        return True
    return _needs_writing(found, wanted)


def _needs_writing(found: Entry, wanted: Entry) -> bool:
    if wanted.content is None:
        return False
    old = (found.content, found.same_as, found.sparse)
    return old != (wanted.content, wanted.same_as, wanted.sparse)


def look_of(entry: Entry | None) -> tuple[object, ...]:
    """What all names of one file share."""
    if entry is None:
        return ()
    return (entry.mtime_ns, *settable_values(entry))
