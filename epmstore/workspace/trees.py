"""The trees that a selector may mean.

    trees.at("release:41").entries()

Code that lists, reads, compares, plans to or writes out a tree asks a TreeSource, and need not know
of which kind it is (treesources.py has them). A new kind of tree is one more there, and one more
answer of `Trees.at`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from epmstore import given
from epmstore.catalog.appcat import App
from epmstore.catalog.selector import Resolved, Selector, parse_selector, resolve
from epmstore.catalog.state import CatalogState
from epmstore.checkout.goal import Goal
from epmstore.errors import (
    DamagedError,
    NotFoundError,
    NotRestorableError,
    UsageError,
    VersionNotFoundError,
)
from epmstore.given import AnyVersion
from epmstore.relpath import RelPath
from epmstore.store.soundness import fault_error, known_fault
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace.treesources import LiveTree, RecordedTree, ReleaseTree

if TYPE_CHECKING:  # start-up
    from epmstore.record.recorder import Look
    from epmstore.refcat.releases import Release, Releases


class TreeSource(Protocol):
    """One tree, and the contents of its files. As a text it is what messages call it."""

    @property
    def is_foreign(self) -> bool:
        """Whether it comes from a vendor: owners and times in it are not those of this host."""

    @property
    def goal(self) -> Goal:
        """Where a checkout goes that is to bring it. Raises UsageError for the live root."""

    def entries(self, below: RelPath | None = None) -> list[Entry]:
        """Entries in byte order: all, or those of a path and of what is below it. The root itself,
        which is an entry beside the tree, is there, and first, only if it is named, and known.

        Raises PathNotFoundError, DamagedError.
        """

    def entry(self, path: RelPath) -> Entry:
        """What is at a path other than the root. Raises PathNotFoundError."""

    def missing(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those of its entries whose contents it cannot give."""

    def stream(self, entry: Entry) -> Iterator[bytes]:
        """The content of one of its entries, in pieces. Raises before the first piece: UsageError
        for what has none, BlobNotFoundError, DamagedError, OSError.
        """


class Trees:
    """What the selectors of one application mean."""

    def __init__(
        self,
        store: Store,
        app: App,
        *,
        state: Callable[[], CatalogState],
        look: Callable[[], "Look"],
        releases: Callable[[], "Releases"],
    ) -> None:
        self._store = store
        self._app = app
        self._state = state
        self._look = look
        self._releases = releases

    def at(self, selector: AnyVersion) -> TreeSource:
        """Raises UsageError, NotFoundError without a refcat, VersionNotFoundError; DamagedError for
        a version that may be lost.
        """
        release = self.release(selector)
        if release is not None:
            return ReleaseTree(self._store, self._app, self._releases(), release)
        found = self.resolve(selector)
        if found == "now":
            return LiveTree(self._app, self._look, self._recorded)
        return self._recorded(found)

    def kept(self, selector: AnyVersion) -> TreeSource:
        """As `at`, where the live root is no answer. Raises UsageError for that."""
        found = self.at(selector)
        if isinstance(found, LiveTree):
            raise _is_live()
        return found

    def restorable(self, selector: AnyVersion) -> TreeSource:
        """As `kept`. Raises NotRestorableError for a version whose contents were forgotten."""
        found = self.kept(selector)
        return self._unforgotten(found) if isinstance(found, RecordedTree) else found

    def _recorded(self, version: int) -> RecordedTree:
        """That of a version that is there."""
        return RecordedTree(self._store, self._app, self._state(), version)

    def resolve(self, selector: AnyVersion) -> Resolved:
        """The recorded version that is meant, or the live root. Raises UsageError,
        VersionNotFoundError; DamagedError for one that may be lost.
        """
        try:
            return resolve(parse_selector(given.a_version(selector)), self._state())
        except VersionNotFoundError as error:
            fault = known_fault(self._store, self._app.uuid)
            if fault is None:
                raise
            damage = fault_error(self._store, self._app.uuid, fault)
            raise DamagedError(
                f"{error.message}; {damage.message}", hint=damage.hint, **damage.data
            ) from None

    def version(self, selector: AnyVersion) -> int:
        """As `resolve`, where the live root is no answer. Raises UsageError for that."""
        found = self.resolve(selector)
        if found == "now":
            raise _is_live()
        return found

    def restorable_version(self, selector: AnyVersion) -> int:
        """As `version`. Raises NotRestorableError for one whose contents were forgotten."""
        return self._unforgotten(self._recorded(self.version(selector))).version

    def release(self, selector: AnyVersion) -> "Release | None":
        """The release that a selector names; None if it names no release at all. Raises UsageError,
        NotFoundError without a refcat, VersionNotFoundError.
        """
        found = parse_selector(given.a_version(selector))
        if found.base != "release":
            return None
        releases = self._published()
        return releases.get(_back(releases, found))

    def find_release(self, text: AnyVersion) -> "Release":
        """The release that `text` names where only releases are meant: a number, a label, `latest`
        ... (refcat/naming.py). Raises as `release_number`.
        """
        return self._releases().get(self.release_number(text))

    def release_number(self, release: AnyVersion) -> int:
        """The number of such a release. Raises NotFoundError without a refcat,
        VersionNotFoundError, UsageError.
        """
        return self._published().resolve(given.a_release(release))

    def _published(self) -> "Releases":
        """Raises NotFoundError without a refcat."""
        releases = self._releases()
        if not releases.exists():
            raise NotFoundError(
                f"{self._app.key} has no reference catalog",
                hint="its vendor publishes it: `epmstore catalog import FILE`",
            )
        return releases

    def _unforgotten(self, tree: RecordedTree) -> RecordedTree:
        if tree.is_kept:
            return tree
        raise NotRestorableError(
            f"the contents of {tree} were forgotten",
            hint=f"`epmstore unforget {tree.version} --app {self._app.key}` brings it back until"
            " `epmstore gc` has run; `epmstore log` shows which versions can be restored",
            app=self._app.key,
            version=tree.version,
        )


def _is_live() -> UsageError:
    return UsageError("`now` is the live root, and a recorded version is meant")


def _back(releases: "Releases", selector: Selector) -> int:
    """`release:latest~1` is by number, as `release list` shows them; `~1` of another one is the
    release that it follows. Raises VersionNotFoundError.
    """
    number = releases.resolve(selector.value)
    if selector.value == "latest":
        return releases.get(number - selector.back).version
    found = releases.lines().back(number, selector.back)
    if found is None:
        raise VersionNotFoundError(
            f"{selector.back} releases before release {releases.get(number).title} there is none",
            hint="`epmstore release list` shows which release follows which",
            selector=selector.text,
        )
    return found
