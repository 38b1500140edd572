"""The facts in which two entries differ, for people: what it is, and what it was or should be."""

from collections.abc import Iterable, Sequence

from epmstore.cli.moments import local_ns
from epmstore.cli.output import name
from epmstore.tree import Entry, Field


def differing(old: Entry | None, new: Entry | None, fields: Iterable[Field]) -> list[str]:
    """`mode 0644 -> 0755`, `content`: digests are not for reading, nor is the time of what is new
    anyhow.
    """
    named = list(fields)
    plain = {"content", "mtime"} if "content" in named else set()
    return [f if f in plain else _pair(old, new, f, "{0} -> {1}") for f in named]


def unexpected(found: Entry | None, expected: Entry | None, fields: Iterable[Field]) -> list[str]:
    """`mode 0755, not 0644`"""
    return [_pair(expected, found, field, "{1}, not {0}") for field in fields]


def _pair(old: Entry | None, new: Entry | None, field: Field, form: str) -> str:
    if old is None or new is None or field == "content":
        return field
    texts = [_shown(entry, field) for entry in (old, new)]
    if texts[0] == texts[1]:
        texts = [_exact(entry, field) for entry in (old, new)]
    return f"{field} {form.format(*texts)}" if texts[0] != texts[1] else field


def _shown(entry: Entry, field: Field) -> str:
    if field == "mode":
        return f"{entry.mode:04o}"
    if field == "owner":
        return f"{name(entry.user or str(entry.uid))}:{name(entry.group or str(entry.gid))}"
    if field == "mtime":
        return local_ns(entry.mtime_ns) or "none"
    if field == "target":
        return name(entry.target or "")
    if field == "xattrs":
        return _names([key for key, _ in entry.xattrs])
    if field == "link":
        return f"a link to {name(entry.same_as)}" if entry.same_as else "a file of its own"
    return str(getattr(entry, field))


def _exact(entry: Entry, field: Field) -> str:
    """Where both look alike: numbers."""
    if field == "owner":
        return f"{entry.uid}:{entry.gid}"
    if field == "mtime":
        return f"{entry.mtime_ns} ns"
    if field == "xattrs":
        return _names([f"{key}={value.hex()}" for key, value in entry.xattrs])
    if field == "link":
        return "sparse" if entry.sparse else "not sparse"
    return _shown(entry, field)


def _names(found: Sequence[str]) -> str:
    return " ".join(map(name, found)) or "none"
