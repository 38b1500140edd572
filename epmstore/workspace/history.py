"""What was recorded of one application: versions, trees, differences, single paths. Changes
nothing.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from epmstore import given
from epmstore.catalog.appcat import App
from epmstore.catalog.diff import Change, change
from epmstore.catalog.fold import check_whole
from epmstore.catalog.format import decode_line
from epmstore.catalog.model import VersionRecord
from epmstore.catalog.rootfacts import root_change, root_of
from epmstore.catalog.selector import Resolved, parse_selector, resolve
from epmstore.catalog.state import CatalogState, VersionInfo, reduce
from epmstore.checkout.differences import recorded_pairs
from epmstore.digest import Digest, Sha256
from epmstore.errors import (
    BlobNotFoundError,
    DamagedError,
    NotRestorableError,
    PathNotFoundError,
    UsageError,
    VersionNotFoundError,
)
from epmstore.given import AnyPath, AnyVersion
from epmstore.index.entries import Position, Span
from epmstore.record.changes import in_order
from epmstore.relpath import ROOT, RelPath, is_within
from epmstore.store.soundness import fault_error, known_fault
from epmstore.store.store import Store
from epmstore.tree import Entry, changed_fields, path_of

REBUILD = "run `epmstore rebuild`"


class History:
    """The recorded side of an application. Versions are named by selectors (`117`, `latest~1`, a
    tag ...).
    """

    def __init__(self, store: Store, app: App) -> None:
        self._store = store
        self.app = app
        self._known: tuple[Position, CatalogState] | None = None

    def state(self) -> CatalogState:
        """Everything that the catalog says beside the entries. Kept until the catalog grows."""
        position = self._store.entries.position(self.app.uuid)
        if position is None:
            return CatalogState()
        if self._known is None or self._known[0] != position:
            records = self._store.entries.records(self.app.uuid)
            decoded = (decode_line(record.form)[1] for record in records if record.form)
            self._known = (position, reduce(decoded))
        return self._known[1]

    def damage(self) -> DamagedError | None:
        """Why the catalog cannot be read whole, as far as that is known. What can be read of it is
        here, and nothing is recorded behind it. Raises DamagedError (of the index).
        """
        fault = known_fault(self._store, self.app.uuid)
        return None if fault is None else fault_error(self._store, self.app.uuid, fault)

    def versions(self) -> list[VersionInfo]:
        """All of them, oldest first."""
        return self.state().versions

    def resolve(self, selector: AnyVersion) -> Resolved:
        """Raises UsageError, VersionNotFoundError; DamagedError for one that may be lost."""
        try:
            return resolve(parse_selector(given.a_version(selector)), self.state())
        except VersionNotFoundError as error:
            damage = self.damage()
            if damage is None:
                raise
            raise DamagedError(
                f"{error.message}; {damage.message}", hint=damage.hint, **damage.data
            ) from None

    def version(self, selector: AnyVersion) -> int:
        """Like `resolve`, where the live root is no answer. Raises UsageError,
        VersionNotFoundError.
        """
        found = self.resolve(selector)
        if found == "now":
            raise UsageError("`now` is the live root, and a recorded version is meant")
        return found

    def restorable(self, selector: AnyVersion) -> int:
        """Like `version`. Raises NotRestorableError for one whose contents were forgotten."""
        version = self.version(selector)
        info = self.state().find(version)
        if info is None or not info.restorable:
            raise NotRestorableError(
                f"the contents of version {version} were forgotten",
                hint=f"`epmstore unforget {version} --app {self.app.key}` brings it back until"
                " `epmstore gc` has run; `epmstore log` shows which versions can be restored",
                app=self.app.key,
                version=version,
            )
        return version

    def ls(self, selector: AnyVersion, path: AnyPath | None = None) -> list[Entry]:
        """The entries of a version in byte order: all, or a path and what is below it. The root
        itself, which is an entry beside the tree, is there, and first, only if it is named.

        Raises VersionNotFoundError, PathNotFoundError.
        """
        version = self.version(selector)
        if path is None:
            return in_order(self._checked_tree(version))
        top = given.a_path(path)
        if top == ROOT:
            itself = root_of(self._record(version))
            return [*([] if itself is None else [itself]), *self.ls(version)]
        found = in_order(self._store.entries.below(self.app.uuid, version, top))
        if not found:
            raise self._no_path(top, version)
        return found

    def cat(self, selector: AnyVersion, path: AnyPath) -> Iterator[bytes]:
        """The content of a file in a version, in pieces. Raises before the first piece:
        VersionNotFoundError, PathNotFoundError, UsageError, BlobNotFoundError, DamagedError.
        """
        version, path = self.version(selector), given.a_path(path)
        if path == ROOT:
            raise UsageError("the root is a directory, and has no content")
        entry = self._store.entries.at(self.app.uuid, version, path)
        if entry is None:
            raise self._no_path(path, version)
        if entry.content is None:
            raise UsageError(f"no content is recorded of {path!r} ({_what(entry)})")
        if entry.content in self._store.contents.purged():
            raise BlobNotFoundError(
                f"the content of {path!r} in version {version} was purged",
                digest=entry.content.digest.hex(),
            )
        info = self.state().find(version)
        return self._stream(entry, is_kept=info is not None and info.restorable)

    def _checked_tree(self, version: int) -> list[Entry]:
        """What the index has of a version. Raises DamagedError unless the sum that was recorded
        agrees.
        """
        entries = list(self._store.entries.tree(self.app.uuid, version))
        tree = {entry.path: entry for entry in entries}
        check_whole(tree, self._record(version), is_behind_gap=bool(self.state().gaps))
        return entries

    def _record(self, version: int) -> VersionRecord:
        found = self.state().find(version)
        if found is None:
            raise DamagedError(f"version {version} is not in the index", hint=REBUILD)
        return found.record

    def diff(self, one: AnyVersion, two: AnyVersion, paths: Sequence[AnyPath] = ()) -> list[Change]:
        """What leads from one recorded version to another, in byte order of paths."""
        scope = given.scope(paths)
        if not self._is_recorded():
            self.version(one)
        old, new = self._record(self.version(one)), self._record(self.version(two))
        self._check_scope(scope, [old.version, new.version])
        pairs = [*recorded_pairs(self._store, self.app.uuid, old, new).values()]
        itself = root_change(root_of(old), root_of(new))
        return changes_of(pairs if itself is None else [itself, *pairs], scope)

    def history(self, path: AnyPath) -> list[Span]:
        """Every state that a path was in, oldest first. Raises PathNotFoundError."""
        path = given.a_path(path)
        if path == ROOT:
            found = _of_root(info.record for info in self.versions())
        else:
            found = self._store.entries.history(self.app.uuid, path) if self._is_recorded() else []
        if not found:
            raise self._never_had(path)
        return found

    def versions_of(self, paths: Sequence[AnyPath]) -> set[int]:
        """The versions that changed one of these paths, or something below one.

        Raises PathNotFoundError for a path that no version ever had.
        """
        found: set[int] = set()
        scope = given.scope(paths)
        if paths and not scope:
            return {info.version for info in self.versions()}
        for path in scope:
            versions = set()
            if self._is_recorded():
                versions = self._store.entries.versions_of(self.app.uuid, path)
            if not versions:
                raise self._never_had(path)
            found |= versions
        return found

    def find(self, pattern: str) -> list[Span]:
        """The states of every path, past and present, that matches a shell pattern."""
        pattern = given.a_name(pattern)
        if not self._is_recorded():
            return []
        paths = self._store.entries.paths_like(self.app.uuid, pattern)
        spans = [s for path in paths for s in self._store.entries.history(self.app.uuid, path)]
        return sorted(spans, key=lambda span: (os.fsencode(span.entry.path), span.since))

    def find_content(self, address: Digest | Sha256) -> list[Span]:
        """The states of every path, past and present, that had a content."""
        meant = self._store.contents.meant(address)
        found = [s for digest in {i.digest for i in meant} for s in self._with_content(digest)]
        return [span for span in found if span.entry.content in meant]

    def _with_content(self, digest: Digest) -> list[Span]:
        found = self._store.entries.with_content(digest)
        return [span for app, span in found if app == self.app.uuid]

    def _check_scope(
        self, paths: Sequence[RelPath], versions: Iterable[int], found: Iterable[RelPath] = ()
    ) -> None:
        """Raises PathNotFoundError for a path that none of these versions has, nor what was
        `found`, and that has nothing below it either.
        """
        entries, uuid = self._store.entries, self.app.uuid
        ends = list(versions)
        lacking = [p for p in paths if not any(entries.below(uuid, v, p) for v in ends)]
        if lacking:
            found = list(found)
        for path in lacking:
            if not any(is_within(one, [path]) for one in found):
                raise PathNotFoundError(
                    f"{path!r} is on neither side",
                    hint=f"`epmstore history {path}` shows the versions that have it,"
                    " `epmstore find PATTERN` looks for others",
                    path=path,
                )

    def _is_recorded(self) -> bool:
        return self._store.entries.position(self.app.uuid) is not None

    def _stream(self, entry: Entry, *, is_kept: bool = False) -> Iterator[bytes]:
        """A content that is kept, and is not there, is damage."""
        assert entry.content is not None, "the caller checked"
        try:
            with self._store.keep_packs(reading=True):
                yield from self._store.blobs.stream(entry.content)
        except BlobNotFoundError as error:
            if not is_kept:
                raise
            raise DamagedError(
                f"the content of {entry.path!r} is lost: {error.message}",
                hint="`epmstore fsck --repair` takes it from a live root where it still is,"
                " `epmstore store restore --from COPY` from a copy of the store",
                path=entry.path,
            ) from None

    def _never_had(self, path: RelPath) -> PathNotFoundError:
        return PathNotFoundError(
            f"{self.app.key} never had {path!r}",
            hint="`epmstore find PATTERN` looks through all versions",
            path=path,
        )

    def _no_path(self, path: RelPath, version: int) -> PathNotFoundError:
        if not self._store.entries.history(self.app.uuid, path):
            return self._never_had(path)
        return PathNotFoundError(
            f"{path!r} is not in version {version} of {self.app.key}",
            hint=f"`epmstore history {path}` shows the versions that have it",
            path=path,
            version=version,
        )


def _of_root(versions: Iterable[VersionRecord]) -> list[Span]:
    """The states of the root itself. A version that says nothing of it did not look."""
    found: list[Span] = []
    for version in versions:
        entry = root_of(version)
        if entry is None or (found and not changed_fields(found[-1].entry, entry)):
            continue
        found[-1:] = [replace(one, until=version.version) for one in found[-1:]]
        found.append(Span(entry, version.version, None))
    return found


def changes_of(
    pairs: Iterable[tuple[Entry | None, Entry | None]], scope: Sequence[RelPath] = ()
) -> list[Change]:
    """What became of each path in `scope`, in byte order, given (old, new) entries."""
    found = [change(path_of(pair), *pair) for pair in pairs]
    inside = [one for one in found if one is not None and (not scope or is_within(one.path, scope))]
    return sorted(inside, key=lambda one: os.fsencode(one.path))


def _what(entry: Entry) -> str:
    return f"class {entry.path_class}" if entry.kind == "file" else f"a {entry.kind}"
