"""The kinds of trees there are: a recorded version, a vendor's release, the live root.

Each is a TreeSource (trees.py), and alone knows where its entries and contents come from.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from epmstore import fsio
from epmstore.catalog.appcat import App
from epmstore.catalog.fold import check_whole
from epmstore.catalog.model import VersionRecord
from epmstore.catalog.rootfacts import root_of
from epmstore.catalog.state import CatalogState
from epmstore.checkout.goal import Goal, ReleaseGoal, VersionGoal
from epmstore.errors import BlobNotFoundError, DamagedError, PathNotFoundError, UsageError
from epmstore.record.observed_changes import in_order
from epmstore.record.root import open_root
from epmstore.relpath import ROOT, RelPath, is_within, split
from epmstore.scan.folders import FolderCache
from epmstore.store.store import Store
from epmstore.tree import Entry

if TYPE_CHECKING:  # start-up
    from epmstore.record.recorder import Look
    from epmstore.refcat.releases import Release, Releases

REBUILD = "run `epmstore rebuild`"
PIECE = 1 << 20


class RecordedTree:
    """The tree of a version."""

    is_foreign = False

    def __init__(self, store: Store, app: App, state: CatalogState, version: int) -> None:
        self.version = version
        self._store = store
        self._app = app
        self._state = state

    def __str__(self) -> str:
        return f"version {self.version}"

    @property
    def goal(self) -> VersionGoal:
        return VersionGoal(self.version)

    @property
    def record(self) -> VersionRecord:
        """What the catalog says of the version. Raises DamagedError."""
        found = self._state.find(self.version)
        if found is None:
            raise DamagedError(f"version {self.version} is not in the index", hint=REBUILD)
        return found.record

    @property
    def is_kept(self) -> bool:
        """Whether its contents were not forgotten."""
        info = self._state.find(self.version)
        return info is not None and info.restorable

    def entries(self, below: RelPath | None = None) -> list[Entry]:
        if below is None:
            return in_order(self._checked())
        if below == ROOT:
            itself = root_of(self.record)
            return [*([] if itself is None else [itself]), *self.entries()]
        found = in_order(self._store.entries.below(self._app.uuid, self.version, below))
        if not found:
            raise self._absent(below)
        return found

    def entry(self, path: RelPath) -> Entry:
        found = self._store.entries.at(self._app.uuid, self.version, path)
        if found is None:
            raise self._absent(path)
        return found

    def missing(self, entries: Iterable[Entry]) -> list[Entry]:
        held = [(entry.content, entry) for entry in entries if entry.content is not None]
        gone = set(self._store.blobs.missing(content for content, _ in held))
        return [entry for content, entry in held if content in gone]

    def stream(self, entry: Entry) -> Iterator[bytes]:
        if entry.content is None:
            what = f"class {entry.path_class}" if entry.kind == "file" else f"a {entry.kind}"
            raise UsageError(f"no content is recorded of {entry.path!r} ({what})")
        if entry.content in self._store.contents.purged():
            raise BlobNotFoundError(
                f"the content of {entry.path!r} in {self} was purged",
                digest=entry.content.digest.hex(),
            )
        return self._pieces(entry)

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        """A content that is kept, and is not there, is damage."""
        try:
            yield from _stored_pieces(self._store, entry)
        except BlobNotFoundError as error:
            if not self.is_kept:
                raise
            raise DamagedError(
                f"the content of {entry.path!r} is lost: {error.message}",
                hint="`epmstore fsck --repair` takes it from a live root or a remote that has it,"
                " `epmstore store restore --from COPY` from a copy of the store",
                path=entry.path,
            ) from None

    def _checked(self) -> list[Entry]:
        """What the index has of it. Raises DamagedError unless the recorded sum agrees."""
        entries = list(self._store.entries.tree(self._app.uuid, self.version))
        tree = {entry.path: entry for entry in entries}
        check_whole(tree, self.record, is_behind_gap=bool(self._state.gaps))
        return entries

    def _absent(self, path: RelPath) -> PathNotFoundError:
        if not self._store.entries.history(self._app.uuid, path):
            return never_had(self._app, path)
        return PathNotFoundError(
            f"{path!r} is not in {self} of {self._app.key}",
            hint=f"`epmstore history {path}` shows the versions that have it",
            path=path,
            version=self.version,
        )


class ReleaseTree:
    """The tree of a release: its vendor's word."""

    is_foreign = True

    def __init__(self, store: Store, app: App, releases: "Releases", release: "Release") -> None:
        self.releases = releases
        self.release = release
        self._store = store
        self._app = app

    def __str__(self) -> str:
        return f"release {self.release.title}"

    @property
    def goal(self) -> ReleaseGoal:
        return ReleaseGoal(self.release.version)

    @cached_property
    def _tree(self) -> Sequence[Entry]:
        return list(self.releases.tree(self.release.version))

    def entries(self, below: RelPath | None = None) -> list[Entry]:
        if below is None or below == ROOT:
            return list(self._tree)
        found = [entry for entry in self._tree if is_within(entry.path, (below,))]
        if not found:
            raise PathNotFoundError(
                f"{below!r} is not in {self} of {self._app.key}",
                hint=f"`epmstore ls release:{self.release.version}` lists what is",
                path=below,
            )
        return found

    def entry(self, path: RelPath) -> Entry:
        """A folder that only its paths speak of is one."""
        first = self.entries(path)[0]
        return first if first.path == path else Entry(path=path, kind="directory", mode=0o755)

    def missing(self, entries: Iterable[Entry]) -> list[Entry]:
        return self.releases.missing(entries)

    def stream(self, entry: Entry) -> Iterator[bytes]:
        if entry.content is None:
            raise UsageError(f"no content is released of {entry.path!r} (a {entry.kind})")
        if self.missing([entry]):
            raise BlobNotFoundError(
                f"the content of {entry.path!r} in {self} is not stored here",
                hint="`epmstore catalog clone STORE KEY --contents RELEASE` brings it",
                digest=entry.content.digest.hex(),
            )
        return _stored_pieces(self._store, entry)


class LiveTree:
    """What is in the root now. It is looked at once, when that is asked for."""

    is_foreign = False

    def __init__(
        self, app: App, look: Callable[[], "Look"], version: Callable[[int], RecordedTree]
    ) -> None:
        self._app = app
        self._find = look
        self._version = version

    def __str__(self) -> str:
        return "the live root"

    @property
    def goal(self) -> Goal:
        raise UsageError("`now` is the live root, and a recorded version is meant")

    @cached_property
    def look(self) -> "Look":
        """Raises RootError."""
        return self._find()

    def entries(self, below: RelPath | None = None) -> list[Entry]:
        changes, newest = self.look.changes, self.look.head.number
        if below == ROOT:
            return [*([] if changes.root is None else [changes.root]), *self.entries()]
        tree: dict[RelPath, Entry] = {}
        if newest is not None:
            with contextlib.suppress(PathNotFoundError):
                tree = {one.path: one for one in self._version(newest).entries(below)}
        for entry in changes.gone():
            tree.pop(entry.path, None)
        come = (one for one in changes.come() if below is None or is_within(one.path, (below,)))
        tree.update((entry.path, entry) for entry in come)
        if not tree and below is not None:
            raise self._absent(below)
        return in_order(tree.values())

    def entry(self, path: RelPath) -> Entry:
        first = self.entries(path)[0]
        if first.path != path:
            raise self._absent(path)
        return first

    def missing(self, entries: Iterable[Entry]) -> list[Entry]:
        return []

    def stream(self, entry: Entry) -> Iterator[bytes]:
        if entry.kind != "file":
            raise UsageError(f"{entry.path!r} has no content (a {entry.kind})")
        return self._pieces(entry)

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        """What the file holds right now."""
        folder, name = split(entry.path)
        with (
            open_root(self._app) as root,
            FolderCache(root.fd) as folders,
            open(fsio.open_file(name, folders.open(folder)), "rb") as file,
        ):
            while piece := file.read(PIECE):
                yield piece

    def _absent(self, path: RelPath) -> PathNotFoundError:
        return PathNotFoundError(f"{path!r} is not in the root of {self._app.key}", path=path)


def _stored_pieces(store: Store, entry: Entry) -> Iterator[bytes]:
    """A stored content; its pack stays as long as it is read."""
    assert entry.content is not None, "the caller checked"
    with store.keep_packs(reading=True):
        yield from store.blobs.stream(entry.content)


def never_had(app: App, path: RelPath) -> PathNotFoundError:
    """What is said of a path that no version ever had."""
    return PathNotFoundError(
        f"{app.key} never had {path!r}",
        hint="`epmstore find PATTERN` looks through all versions",
        path=path,
    )
