"""One path as wanted or found, and the sum that a whole tree of them has. Pure.

An Entry is a value: two equal entries are the same state of a path. A tree is a mapping from
RelPath to Entry; wherever order matters it is byte order of the paths. The root directory itself is
in no tree: what a version says of it is an entry with the path `.` (catalog/rootfacts.py).
"""

import hashlib
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.digest import BlobInfo
from epmstore.relpath import RelPath, text_to_json, to_json

Kind: TypeAlias = Literal["file", "directory", "symlink"]
PathClass: TypeAlias = Literal["program", "config", "state", "secret"]
Xattrs: TypeAlias = tuple[tuple[str, bytes], ...]
"""Extended attributes in name order; ACLs and capabilities are among them."""
Field: TypeAlias = Literal["content", "kind", "mode", "owner", "mtime", "target", "xattrs", "link"]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One path. `mode` is the twelve permission bits; `mtime_ns` is None for directories.

    `content` is None for everything but files, and for files of class `state`, of which neither
    content nor size nor mtime is recorded. A `secret` file has a content identity and never a
    stored blob. `same_as` names the first path (byte order) of a group of hard links within the
    root. `sparse` files have holes. `user` and `group` are the names on the recording host, where
    known.
    """

    path: RelPath
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    user: str | None = None
    group: str | None = None
    mtime_ns: int | None = None
    content: BlobInfo | None = None
    target: str | None = None
    xattrs: Xattrs = ()
    same_as: RelPath | None = None
    sparse: bool = False
    path_class: PathClass = "program"


FIELDS: Final = Entry.__struct_fields__
"""Of an entry, in the order in which forms and rows of it have them."""
_SAID_ONCE: Final = {"path", "kind", "path_class", "content", "target"}
SETTABLE: Final = tuple(
    name
    for name in FIELDS
    if name not in _SAID_ONCE | {"user", "group", "mtime_ns", "same_as", "sparse"}
)
"""What is set of a file that has the right content: mode, uid, gid, xattrs. Times are not always
known, and names of owners are those of another host.
"""
settable_values: Final = attrgetter(*SETTABLE)
"""Their values, of an entry: plans compare them for each path of a tree."""
HOSTS_OWN: Final = tuple(name for name in FIELDS if name not in _SAID_ONCE | {"mode"})
"""What a foreign tree cannot know of a host: it is not compared with what that has."""

Tree: TypeAlias = Mapping[RelPath, Entry]
Pair: TypeAlias = tuple[Entry | None, Entry | None]
"""Two states of one path: what is there or was before, and what is wanted or came of it."""

SUM_MODULUS = 1 << 256

_sum_encoder = msgspec.json.Encoder()


def entry_sum(entry: Entry) -> int:
    """SHA-256 over the canonical form of one entry, as a number. The class is not part of it.

    The form is the JSON array that docs/formats/catalog.md draws; every writer must make the same
    bytes.
    """
    content = entry.content
    form = _sum_encoder.encode(
        (
            to_json(entry.path),
            entry.kind,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.user,
            entry.group,
            entry.mtime_ns,
            None if content is None else content.sha256.hex(),
            None if entry.target is None else text_to_json(entry.target),
            [(text_to_json(name), value.hex()) for name, value in entry.xattrs],
            None if entry.same_as is None else to_json(entry.same_as),
            entry.sparse,
        )
    )
    return int.from_bytes(hashlib.sha256(form).digest())


def tree_sum(entries: Iterable[Entry], start: int = 0) -> int:
    """The sum modulo 2^256 over entries, in any order. Shows accidents, not forgery."""
    total = start
    for entry in entries:
        total += entry_sum(entry)
    return total % SUM_MODULUS


def shifted_sum(start: int, *, gone: Iterable[Entry], come: Iterable[Entry]) -> int:
    """The sum of a tree with sum `start` after `gone` left it and `come` entered it."""
    return (start - tree_sum(gone) + tree_sum(come)) % SUM_MODULUS


def is_disclosed(old: Entry, new: Entry) -> bool:
    """Whether a content that was secret, and so was never stored, is to be stored from now on."""
    return old.path_class == "secret" != new.path_class and new.content is not None


def changed_fields(old: Entry, new: Entry) -> list[Field]:
    """In what two entries of one path differ, in the order of json.md; empty if they are equal.

    The class of a path is a setting and not a state of the file, so it is not compared.
    """
    pairs: tuple[tuple[Field, object, object], ...] = (
        ("content", old.content, new.content),
        ("kind", old.kind, new.kind),
        ("mode", old.mode, new.mode),
        ("owner", (old.uid, old.gid, old.user, old.group), (new.uid, new.gid, new.user, new.group)),
        ("mtime", old.mtime_ns, new.mtime_ns),
        ("target", old.target, new.target),
        ("xattrs", old.xattrs, new.xattrs),
        ("link", (old.same_as, old.sparse), (new.same_as, new.sparse)),
    )
    return [name for name, a, b in pairs if a != b]


def path_of(pair: tuple[Entry | None, Entry | None]) -> RelPath:
    """The path that a pair of entries is about, one of which may be None."""
    entry = pair[0] or pair[1]
    assert entry is not None, "a pair has at least one side"
    return entry.path
