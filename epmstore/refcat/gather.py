"""From what a vendor has (a folder, archives, a recorded version) to the tree of a release.

Several sources are laid over each other, like the packages of one product; a path that two of them
have differently is an error. Rules for all of them:

- names as hygiene.py asks for; what is no file, folder or link is left out, and named;
- owners are names, and None where the source has none worth telling: those of a folder are the
  account that built it;
- the right of group and others to write is never released;
- classes are those of the vendor's patterns, and what they ignore is left out.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from epmstore import fsio
from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter
from epmstore.catalog.classes import Rules
from epmstore.digest import BlobInfo, identify, identify_stream
from epmstore.errors import CollisionError, ConflictError, EpmError, InvalidNameError, UsageError
from epmstore.progress import Progress
from epmstore.record.deltas import DeltaWriter, Fresh
from epmstore.record.ingest import Ingested, ingest
from epmstore.record.observe import Candidate, Observation, Observer
from epmstore.refcat.archives import ArchiveMember, Content
from epmstore.refcat.hygiene import check_folders, check_name
from epmstore.refcat.strict import is_owner
from epmstore.refcat.unpacked import read_archive
from epmstore.relpath import RelPath, parse_relpath, split
from epmstore.store.deposit import Deposit
from epmstore.tree import Entry, PathClass

CHUNK = 1 << 20
CAPABILITY = "security.capability"
SPECIAL = "neither file nor folder nor link"
UNSTORED = ("state", "secret")


class Gathered(msgspec.Struct, frozen=True):
    """A tree to release. `skipped` pairs paths that are left out with the reason."""

    entries: list[Entry]
    skipped: list[tuple[RelPath, str]]


class Gatherer:
    """Lays sources over each other. Their contents go into a deposit."""

    def __init__(
        self,
        deposit: Deposit,
        catalog: str,
        rules: Rules,
        latest: Mapping[RelPath, Entry],
        progress: Progress,
    ) -> None:
        """`latest` is the newest release of `catalog`: what is as it was need not be stored."""
        self._deposit = deposit
        self._store = store = deposit.store
        self._catalog = catalog
        self._rules = rules
        self._progress = progress
        self._latest = latest
        lost = store.blobs.missing(e.content for e in latest.values() if e.content is not None)
        self._lost = frozenset(lost)
        self._dedup = deposit.dedup
        self._entries: dict[RelPath, Entry] = {}
        self._contents: set[BlobInfo] = set()
        self._skipped: list[tuple[RelPath, str]] = []

    def finish(self) -> Gathered:
        """Everything that was added. Raises InvalidNameError, UsageError if that is nothing."""
        leaves = {path for path, entry in self._entries.items() if entry.kind != "directory"}
        if not leaves:
            raise UsageError("there is no file in it", hint="name the folder that has the files")
        check_folders(self._entries, leaves)
        order = sorted(self._entries.values(), key=lambda entry: os.fsencode(entry.path))
        return Gathered(_linked(order), self._skipped)

    @property
    def contents(self) -> Collection[BlobInfo]:
        """Every content that was met, whether or not it was new."""
        return self._contents

    def forget_paths(self) -> None:
        """What was added so far is there for its contents alone; the next source begins anew."""
        self._entries.clear()

    def add_tree(self, entries: Iterable[Entry]) -> None:
        """A recorded version, the contents of which are stored. Raises ConflictError."""
        for entry in entries:
            found = self._classify(entry.path, entry.kind == "directory")
            if found is not None:
                content = None if found == "state" else entry.content
                self._take(_released(replace(entry, path_class=found, content=content)))

    def add_folder(self, path: Path) -> None:
        """Raises EpmError for what cannot be read, OSError."""
        fd = fsio.open_root(str(path))
        try:
            found = self._observer(fd).observe(None, recorded=bool(self._latest))
            _check_whole(path, found)
            ingested = ingest(
                fd, [*map(self._candidate, found.candidates)], self._dedup, progress=self._progress
            )
        finally:
            os.close(fd)
        self._deposit.take(ingested.groups)
        self._skipped += [(problem.path, SPECIAL) for problem in found.skipped]
        self._take_folder(path, found, ingested)

    def _take_folder(self, path: Path, found: Observation, ingested: Ingested) -> None:
        for one in ingested.examined:
            if one.entry is None:
                if one.problem is not None:
                    raise EpmError(f"{path}/{one.problem.path}: {one.problem.why}")
                continue
            same_as = found.same_as.get(one.entry.path)
            self._take(_released(replace(one.entry, user=None, group=None, same_as=same_as)))
        if ingested.collided:
            raise _collision(ingested.collided[0])

    def add_archive(self, path: Path, below: RelPath | None = None) -> None:
        """What lies below one of its folders, or all. Raises UsageError, EpmError, ConflictError,
        OSError.
        """
        self._progress.begin(f"reading {path.name}")
        links: dict[RelPath, RelPath] = {}
        taken = 0
        with GroupWriter(self._store.packs) as writer:
            deltas = DeltaWriter(self._dedup, writer)
            for member, content in read_archive(path):
                where = _below(_path_of(member.name, path), below)
                if where is None:
                    continue
                taken += 1
                if member.kind == "link":
                    target = _below(_path_of(member.target or "", path), below)
                    if target is None:
                        raise ConflictError(f"{where!r} is a link to what is left out")
                    links[where] = target
                else:
                    self._add_member(deltas, where, member, content)
                self._progress.advance(files=1, size=member.size)
            deltas.flush()
            self._deposit.take([writer.finish()])
        self._progress.end()
        if not taken and below is not None:
            raise UsageError(f"{path} has nothing below {below!r}")
        for where, target in links.items():
            self._add_link(where, target)
        if self._dedup.collided:
            raise _collision(self._dedup.collided[0])

    def _add_member(
        self,
        deltas: DeltaWriter,
        path: RelPath,
        member: ArchiveMember,
        content: Content | None,
    ) -> None:
        found = self._classify(path, member.kind == "directory")
        if member.kind == "special":
            self._skipped.append((path, SPECIAL))
        if member.kind == "special" or found is None:
            return
        info = None
        if content is not None and found != "state":
            info = self._keep(deltas, path, found, member.size, content)
        assert member.kind != "link", "links wait for what they link to"
        entry = Entry(
            path=path,
            kind=member.kind,
            mode=member.mode,
            user=member.user,
            group=member.group,
            mtime_ns=member.mtime_ns,
            content=info,
            target=member.target,
            path_class=found,
        )
        self._take(_released(entry))

    def _keep(
        self,
        deltas: DeltaWriter,
        path: RelPath,
        found: PathClass,
        size: int,
        content: Content,
    ) -> BlobInfo:
        if size > PART_THRESHOLD:
            if found == "secret":
                return identify_stream(_chunks(content))
            return deltas.writer.add_large(_chunks(content), self._dedup.has_part)
        data = content.read()
        info = identify(data)
        before = self._before(path)
        if info != before and found != "secret":
            deltas.add(Fresh(path, info, data, before))
        return info

    def _before(self, path: RelPath) -> BlobInfo | None:
        """The content that a path has in the newest release, if it is stored."""
        known = self._latest.get(path)
        if known is None or known.content is None or known.content in self._lost:
            return None
        return known.content

    def _add_link(self, path: RelPath, target: RelPath) -> None:
        entry = self._entries.get(target)
        if entry is None or entry.kind != "file":
            raise ConflictError(f"{path!r} is a link to {target!r}, which is no file in it")
        found = self._classify(path, False)
        if found is None:
            return
        if entry.path_class in UNSTORED and found not in UNSTORED:
            raise ConflictError(
                f"{path!r} is a link to {target!r}, which is of class {entry.path_class}:"
                " its content is not stored"
            )
        content = None if found == "state" else entry.content
        same_as = entry.same_as or target
        self._take(replace(entry, path=path, path_class=found, content=content, same_as=same_as))

    def _take(self, entry: Entry) -> None:
        check_name(entry.path)
        if entry.content is not None:
            self._contents.add(entry.content)
        known = self._entries.get(entry.path)
        if known is None:
            self._entries[entry.path] = entry
        elif (known.kind, known.content, known.target) != (
            entry.kind,
            entry.content,
            entry.target,
        ):
            raise ConflictError(f"two sources have {entry.path!r}, and not the same")

    def _classify(self, path: RelPath, is_dir: bool) -> PathClass | None:
        """None for what is ignored, or lies in a folder of class `state`, which is one entry."""
        folder = split(path)[0]
        if folder and self._rules.classify(folder, True) == "state":
            return None
        found = self._rules.classify(path, is_dir)
        return None if found == "ignore" else found

    def _observer(self, fd: int) -> Observer:
        return Observer(
            fd,
            self._catalog,
            self._store.entries,
            classify=self._rules.classify,
            skip=self._store.identities(),
        )

    def _candidate(self, one: Candidate) -> Candidate:
        """A content that is not stored here is no reason for not storing it."""
        recorded = one.recorded
        if recorded is None or recorded.content not in self._lost:
            return one
        return replace(one, recorded=None)


def _linked(ordered: Iterable[Entry]) -> list[Entry]:
    """Each path of a file that has several says which is the first of those that are released with
    a content.
    """
    firsts: dict[tuple[RelPath, BlobInfo], RelPath] = {}
    linked = []
    for entry in ordered:
        first = None
        if entry.content is not None:
            first = firsts.setdefault((entry.same_as or entry.path, entry.content), entry.path)
        linked.append(replace(entry, same_as=None if first == entry.path else first))
    return linked


def _released(entry: Entry) -> Entry:
    """As it is published: ids mean nothing elsewhere."""
    mode = 0o777 if entry.kind == "symlink" else entry.mode & ~0o022
    xattrs = tuple((name, value) for name, value in entry.xattrs if name == CAPABILITY)
    has_mtime = entry.kind == "symlink" or (entry.kind == "file" and entry.path_class != "state")
    mtime_ns = entry.mtime_ns if has_mtime else None
    return replace(
        entry,
        mode=mode,
        uid=0,
        gid=0,
        user=entry.user if is_owner(entry.user) else None,
        group=entry.group if is_owner(entry.group) else None,
        xattrs=xattrs,
        sparse=False,
        mtime_ns=mtime_ns,
    )


def _path_of(name: str, archive: Path) -> RelPath | None:
    """The path that a member's name means; None for the root itself."""
    parts = [part for part in name.split("/") if part != "."] if name != "." else []
    text = "/".join(parts).rstrip("/")
    if not text and not name.startswith("/"):
        return None
    try:
        return parse_relpath(text if not name.startswith("/") else name)
    except InvalidNameError as error:
        raise InvalidNameError(f"{archive}: {error.message}", path=name) from None


def _below(path: RelPath | None, top: RelPath | None) -> RelPath | None:
    """The path as seen from `top`; None for what is not below it."""
    if path is None or top is None:
        return path
    return RelPath(path[len(top) + 1 :]) if path.startswith(f"{top}/") else None


def _check_whole(path: Path, found: Observation) -> None:
    """Raises EpmError if something was not seen: a release has all of it."""
    for problem in found.unobserved:
        if problem.kind != "ignored":
            raise EpmError(f"{path}/{problem.path}: {problem.why}", hint="a release is whole")


def _collision(path: RelPath) -> CollisionError:
    return CollisionError(
        f"{path!r} has the SHA-1 of another content",
        hint="this does not happen by accident: find out who made the file",
        path=path,
    )


def _chunks(content: Content) -> Iterator[bytes]:
    while data := content.read(CHUNK):
        yield data
