"""`app.reading`: what was recorded of an application, and its trees. Changes nothing."""

import os
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from epmstore import given
from epmstore.catalog.diff import Change
from epmstore.catalog.model import VersionRecord
from epmstore.catalog.rootfacts import root_of
from epmstore.catalog.state import CatalogState, VersionInfo
from epmstore.digest import Digest, Sha256
from epmstore.errors import DamagedError, UsageError
from epmstore.given import AnyPath, AnyVersion
from epmstore.index.entries import Span
from epmstore.record import change
from epmstore.record.unseen import Unseen, unseen
from epmstore.relpath import ROOT
from epmstore.store.soundness import fault_error, known_fault
from epmstore.tree import Entry, changed_fields
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.treesources import LiveTree, never_had


class Reading:
    """Versions are named by selectors (`117`, `latest~1`, a tag ...), and so are the releases of
    the vendor (`release:41`) where a tree is meant.
    """

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._store = context.store
        self._uuid = context.app.uuid

    def state(self) -> CatalogState:
        """Everything that the catalog says beside the entries."""
        return self._context.state()

    def damage(self) -> DamagedError | None:
        """Why the catalog cannot be read whole, as far as that is known. What can be read of it is
        here, and nothing is recorded behind it. Raises DamagedError (of the index).
        """
        fault = known_fault(self._store, self._uuid)
        return None if fault is None else fault_error(self._store, self._uuid, fault)

    def versions(self) -> list[VersionInfo]:
        """All of them, oldest first."""
        return self.state().versions

    def started_run(self) -> change.StartedRun | None:
        """A command that is being run just now, or whose `run` was killed before it was recorded:
        the next recording does that.
        """
        return change.find_run(self._store, self._uuid)

    def ls(self, selector: AnyVersion, path: AnyPath | None = None) -> list[Entry]:
        """The entries of a version or a release in byte order: all, or a path and what is below it.
        The root itself, which is an entry beside the tree, is there, and first, only if it is
        named.

        Raises VersionNotFoundError, PathNotFoundError.
        """
        source = self._context.trees.kept(selector)
        return source.entries(None if path is None else given.a_path(path))

    def cat(self, selector: AnyVersion, path: AnyPath) -> Iterator[bytes]:
        """The content of a file in a version or a release, in pieces. Raises before the first
        piece: VersionNotFoundError, PathNotFoundError, UsageError, BlobNotFoundError, DamagedError.
        """
        source, path = self._context.trees.kept(selector), given.a_path(path)
        if path == ROOT:
            raise UsageError("the root is a directory, and has no content")
        return source.stream(source.entry(path))

    def diff(self, one: AnyVersion, two: AnyVersion, paths: Sequence[AnyPath] = ()) -> list[Change]:
        """What leads from one version or release to another, in byte order of paths; either may be
        `now`, the live root. Owners, times and attributes are not compared between a release and
        what is of this host. Raises VersionNotFoundError, PathNotFoundError, RootError.
        """
        return self.diff_with_gaps(one, two, paths)[0]

    def diff_with_gaps(
        self, one: AnyVersion, two: AnyVersion, paths: Sequence[AnyPath] = ()
    ) -> tuple[list[Change], Unseen]:
        """As `diff`; also what of the live root was not seen, if one side is that."""
        from epmstore.workspace.app.comparing import Comparer  # noqa: PLC0415 - start-up

        trees = (self._context.trees.at(one), self._context.trees.at(two))
        changes = Comparer(self._store, self._uuid).changes(*trees, given.scope(paths))
        looks = [tree.look for tree in trees if isinstance(tree, LiveTree)]
        is_seen = len(looks) != 1 or any(tree.is_foreign for tree in trees)
        return changes, Unseen() if is_seen else unseen(looks[0])

    def between(self, one: VersionRecord, two: VersionRecord) -> list[Change]:
        """As `diff`, of two versions whose records the caller has: a history of thousands is not
        read for them. Raises DamagedError.
        """
        from epmstore.workspace.app.comparing import Comparer  # noqa: PLC0415 - start-up

        return Comparer(self._store, self._uuid).recorded(one, two)

    def history(self, path: AnyPath) -> list[Span]:
        """Every state that a path was in, oldest first. Raises PathNotFoundError."""
        path = given.a_path(path)
        found: list[Span] = []
        if path == ROOT:
            found = _of_root(info.record for info in self.versions())
        elif self._context.is_recorded:
            found = self._store.entries.history(self._uuid, path)
        if not found:
            raise never_had(self._context.app, path)
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
            if self._context.is_recorded:
                versions = self._store.entries.versions_of(self._uuid, path)
            if not versions:
                raise never_had(self._context.app, path)
            found |= versions
        return found

    def find(self, pattern: str) -> list[Span]:
        """The states of every path, past and present, that matches a shell pattern."""
        pattern = given.a_name(pattern)
        if not self._context.is_recorded:
            return []
        paths = self._store.entries.paths_like(self._uuid, pattern)
        spans = [s for path in paths for s in self._store.entries.history(self._uuid, path)]
        return sorted(spans, key=lambda span: (os.fsencode(span.entry.path), span.since))

    def find_content(self, address: Digest | Sha256) -> list[Span]:
        """The states of every path, past and present, that had a content."""
        meant = self._store.contents.meant(address)
        found = [s for digest in {i.digest for i in meant} for s in self._with_content(digest)]
        return [span for span in found if span.entry.content in meant]

    def _with_content(self, digest: Digest) -> list[Span]:
        found = self._store.entries.with_content(digest)
        return [span for app, span in found if app == self._uuid]


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
