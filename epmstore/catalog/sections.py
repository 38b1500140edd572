"""The entries of one catalog line, by what they are: the larger half of docs/formats/catalog.md.
Pure.

- A value equal to the line's `defaults` is left out; a path that says nothing else has `{}`, and
  the list form `{"<sha1>": ["path", ...]}` means the same for all its paths.
- Every content that a line names, it also identifies (`blobs`): each line can be read alone.
- A path is in one section of a line only.
"""

from collections import Counter
from collections.abc import Callable, Collection
from functools import cache, lru_cache
from itertools import chain
from operator import attrgetter
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from epmstore.catalog.model import VersionPart, VersionRecord
from epmstore.digest import BlobInfo, Digest, parse_digest, parse_sha256
from epmstore.errors import DamagedError
from epmstore.relpath import (
    are_plain_paths,
    from_json,
    sort_paths,
    text_from_json,
    text_to_json,
    to_json,
)
from epmstore.tree import Entry, Kind, PathClass, Xattrs


class BlobFacts(msgspec.Struct, frozen=True, gc=False):
    """The rest of a content's identity, beside the SHA-1 that is its key."""

    size: int
    sha256: str


class PathFacts(msgspec.Struct, omit_defaults=True, gc=False):
    """One path in a line. What is unset is as the line's `defaults` say."""

    mode: str | UnsetType = UNSET
    uid: int | UnsetType = UNSET
    gid: int | UnsetType = UNSET
    user: str | UnsetType | None = UNSET
    group: str | UnsetType | None = UNSET
    mtime_ns: int | UnsetType | None = UNSET
    target: str | None = None
    xattrs: dict[str, bytes] | None = None
    same_as: str | None = None
    sparse: bool = False
    path_class: PathClass | None = msgspec.field(default=None, name="class")
    # only where two contents with one SHA-1 meet in a line: the one that `blobs` does not show
    size: int | None = None
    sha256: str | None = None


Paths: TypeAlias = dict[str, PathFacts]


class Defaults(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What holds for every path of a line that does not say otherwise.

    `mode` is for files, and 0644 if it is None: directories are 0755 and links 0777 unless they say
    otherwise. `mtime_ns` is for files with content and for links: directories and states have none.
    """

    mode: str | None = None
    uid: int = 0
    gid: int = 0
    user: str | None = None
    group: str | None = None
    mtime_ns: int | None = None


class Sections(msgspec.Struct, omit_defaults=True):
    """The entries of one line, by what they are."""

    defaults: Defaults | None = None
    components: dict[str, Paths | list[str]] = {}
    links: Paths = {}
    directories: Paths = {}
    states: Paths = {}
    meta: Paths = {}
    removed: list[str] = []
    blobs: dict[str, BlobFacts] = {}


Section: TypeAlias = Literal["file", "state", "symlink", "directory"]
_SECTIONS: Final[tuple[Section, ...]] = ("file", "state", "symlink", "directory")
_NOTHING_SAID = PathFacts()
_path_of = attrgetter("path")


def write_sections(part: VersionPart) -> Sections:
    """What a line says of its entries."""
    defaults = _common([*part.entries, *part.meta])
    write = {kind: _writer(kind, defaults) for kind in _SECTIONS}
    sections = Sections(removed=[to_json(path) for path in part.removed])
    if defaults != Defaults():
        sections.defaults = defaults
    contents: dict[Digest, tuple[BlobInfo, Paths]] = {}
    for entry in part.entries:
        content = entry.content
        if entry.kind == "symlink":
            write["symlink"](entry, sections.links)
        elif entry.kind == "directory":
            write["directory"](entry, sections.directories)
        elif content is None:
            write["state"](entry, sections.states)
        else:
            shown, paths = contents.setdefault(content.digest, (content, {}))
            facts = write["file"](entry, paths)
            if shown != content:
                facts.size, facts.sha256 = content.size, content.sha256.hex()
    for entry in part.meta:
        write["file"](entry, sections.meta)
    for digest, (content, paths) in contents.items():
        sections.components[digest.hex()] = paths
        sections.blobs[digest.hex()] = BlobFacts(content.size, content.sha256.hex())
    return sections


def _common(entries: list[Entry]) -> Defaults:
    """The defaults that leave out most of what these entries say."""
    if not entries:
        return Defaults()
    modes = Counter(entry.mode for entry in entries if entry.kind == "file")
    owners = Counter(map(attrgetter("uid", "gid", "user", "group"), entries))
    mtimes = Counter(entry.mtime_ns for entry in entries if entry.mtime_ns is not None)
    uid, gid, user, group = max(owners, key=owners.__getitem__)
    mtime_ns = max(mtimes, key=mtimes.__getitem__, default=None)
    mode = max(modes, key=modes.__getitem__, default=0o644)
    return Defaults(
        mode=None if mode == 0o644 else _mode_text(mode),
        uid=uid,
        gid=gid,
        user=user,
        group=group,
        # one that only one path has saves nothing, and would be read as a rule
        mtime_ns=None if mtime_ns is None or mtimes[mtime_ns] == 1 else mtime_ns,
    )


def _built_in(section: Section, defaults: Defaults) -> tuple[str, int | None, PathClass]:
    """Mode, mtime and class of a path of this section that says nothing of them."""
    if section == "directory":
        return "0755", None, "program"
    if section == "symlink":
        return "0777", defaults.mtime_ns, "program"
    mode = defaults.mode or "0644"
    if section == "state":
        return mode, None, "state"
    return mode, defaults.mtime_ns, "program"


def _writer(section: Section, defaults: Defaults) -> Callable[[Entry, Paths], PathFacts]:
    """Adds an entry's facts to a section: those that the defaults do not say."""
    mode_text, mtime_ns, path_class = _built_in(section, defaults)
    mode = _mode(mode_text)
    owner = (defaults.uid, defaults.gid, defaults.user, defaults.group)

    def write(entry: Entry, paths: Paths) -> PathFacts:
        facts = paths[to_json(entry.path)] = PathFacts()
        if entry.mode != mode:
            facts.mode = _mode_text(entry.mode)
        if (entry.uid, entry.gid, entry.user, entry.group) != owner:
            _say_owner(facts, entry, defaults)
        if entry.mtime_ns != mtime_ns:
            facts.mtime_ns = entry.mtime_ns
        if entry.target or entry.xattrs or entry.same_as or entry.sparse:
            _say_rare(facts, entry)
        if entry.path_class != path_class:
            facts.path_class = entry.path_class
        return facts

    return write


def _say_owner(facts: PathFacts, entry: Entry, defaults: Defaults) -> None:
    if entry.uid != defaults.uid:
        facts.uid = entry.uid
    if entry.gid != defaults.gid:
        facts.gid = entry.gid
    if entry.user != defaults.user:
        facts.user = entry.user
    if entry.group != defaults.group:
        facts.group = entry.group


def _say_rare(facts: PathFacts, entry: Entry) -> None:
    if entry.target is not None:
        facts.target = text_to_json(entry.target)
    if entry.xattrs:
        facts.xattrs = {text_to_json(name): value for name, value in entry.xattrs}
    if entry.same_as is not None:
        facts.same_as = to_json(entry.same_as)
    facts.sparse = entry.sparse


def read_sections(header: VersionRecord, sections: Sections) -> VersionPart:
    """The inverse of `write_sections`. Raises DamagedError, InvalidNameError, UsageError."""
    defaults = sections.defaults or Defaults()
    read_file = _reader("file", defaults)
    entries = []
    for key, paths in sections.components.items():
        if isinstance(paths, list):
            paths = dict.fromkeys(paths, _NOTHING_SAID)
        digest = parse_digest(key)
        content = _content(digest, sections.blobs.get(key))
        for path, facts in paths.items():
            if facts.sha256 is not None and facts.size is not None:
                own = _content(digest, BlobFacts(facts.size, facts.sha256))
                entries.append(read_file(path, facts, own))
            else:
                entries.append(read_file(path, facts, content))
    others: tuple[tuple[Section, Paths], ...] = (
        ("state", sections.states),
        ("symlink", sections.links),
        ("directory", sections.directories),
    )
    for section, found in others:
        read = _reader(section, defaults)
        entries += [read(path, facts, None) for path, facts in found.items()]
    meta = [read_file(path, facts, None) for path, facts in sections.meta.items()]
    removed = [from_json(path) for path in sections.removed]
    if len({*map(_path_of, entries), *map(_path_of, meta), *removed}) != (
        len(entries) + len(meta) + len(removed)
    ):
        raise DamagedError("a path occurs twice in one line")
    return VersionPart(header, _sorted(entries), _sorted(meta), sort_paths(removed))


def is_surely_right(sections: Sections) -> bool:
    """Whether `read_sections` takes these, told in a tenth of its time: what is odd in any way is
    not said to be right, and is to be read.
    """
    tables = [sections.links, sections.directories, sections.states, sections.meta]
    for found in sections.components.values():
        if isinstance(found, list):
            return False
        tables.append(found)
    facts = [one for table in tables for one in table.values()]
    paths = [*chain.from_iterable(tables), *sections.removed]
    leaders = {one.same_as for one in facts} - {None}
    try:
        for mode in {one.mode for one in facts} - {UNSET}:
            _mode(str(mode))
        _mode((sections.defaults and sections.defaults.mode) or "0644")
        return (
            len({*paths}) == len(paths)
            and are_plain_paths(paths)
            and are_plain_paths([*map(str, leaders)])
            and all(one.sha256 is None for one in facts)
            and sections.components.keys() == sections.blobs.keys()
            and _are_digests(sections.blobs.keys(), 40)
            and _are_digests([one.sha256 for one in sections.blobs.values()], 64)
        )
    except (DamagedError, ValueError):
        return False


def _are_digests(texts: Collection[str], length: int) -> bool:
    """Whether all are so many hexadecimal digits. Raises ValueError if some are none."""
    joined = "".join(texts)
    return {*map(len, texts)} <= {length} and 2 * len(bytes.fromhex(joined)) == len(joined)


def _content(digest: Digest, facts: BlobFacts | None) -> BlobInfo:
    if facts is None:
        raise DamagedError(f"no size and SHA-256 of {digest.hex()}")
    return BlobInfo(digest, parse_sha256(facts.sha256), facts.size)


def _sorted(entries: list[Entry]) -> list[Entry]:
    by_path = {entry.path: entry for entry in entries}
    return [by_path[path] for path in sort_paths(by_path)]


def _reader(
    section: Section, defaults: Defaults
) -> Callable[[str, PathFacts, BlobInfo | None], Entry]:
    """Makes an entry of what a line says of a path of this section."""
    mode_text, mtime_ns, path_class = _built_in(section, defaults)
    mode = _mode(mode_text)
    uid, gid, user, group = defaults.uid, defaults.gid, defaults.user, defaults.group
    kind: Kind = "file" if section == "state" else section

    def read(key: str, facts: PathFacts, content: BlobInfo | None) -> Entry:
        return Entry(
            path=from_json(key),
            kind=kind,
            mode=mode if facts.mode is UNSET else _mode(facts.mode),
            uid=uid if facts.uid is UNSET else facts.uid,
            gid=gid if facts.gid is UNSET else facts.gid,
            user=user if facts.user is UNSET else facts.user,
            group=group if facts.group is UNSET else facts.group,
            mtime_ns=mtime_ns if facts.mtime_ns is UNSET else facts.mtime_ns,
            content=content,
            target=None if facts.target is None else text_from_json(facts.target),
            xattrs=_xattrs(facts.xattrs) if facts.xattrs else (),
            same_as=None if facts.same_as is None else from_json(facts.same_as),
            sparse=facts.sparse,
            path_class=facts.path_class or path_class,
        )

    return read


def _xattrs(found: dict[str, bytes]) -> Xattrs:
    return tuple((text_from_json(name), value) for name, value in found.items())


@cache
def _mode_text(mode: int) -> str:
    return f"{mode:04o}"


@lru_cache(maxsize=4096)
def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise DamagedError(f"{text!r} is not a mode")
    return mode
