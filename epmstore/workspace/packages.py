"""`ws.packages`: what is installed, and what changes that: install, upgrade, uninstall, adopt.

Decided first (an Intended), and then done: what a file brings is taken in, needs are solved, each
product has an application to go to, and each application is moved by a checkout. Two of these at
once are not possible: what one of them decided would not hold any more.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from msgspec.structs import replace

from epmstore import given, locks
from epmstore.catalog import appcat
from epmstore.catalog.appcat import App
from epmstore.catalog.install_notes import NumberedNote
from epmstore.catalog.model import Installed, RecordedActor
from epmstore.checkout.preflight import Terms, check_place_for, check_space_for_all
from epmstore.checkout.request import Prepared
from epmstore.digest import BlobInfo
from epmstore.errors import (
    BusyError,
    NotFoundError,
)
from epmstore.given import AnyPath
from epmstore.package.known import InstalledProduct, KnownProducts
from epmstore.package.package_reader import is_package
from epmstore.package.patch_base import PatchBase
from epmstore.package.queries import Offering, ProductHit, Why, owner, search, why
from epmstore.package.taking import Arrived, Consent, check_package, take_package
from epmstore.progress import Progress
from epmstore.record.result import Result
from epmstore.refcat.releases import Releases
from epmstore.refcat.trial import trial_store
from epmstore.relpath import RelPath, parse_relpath
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.installing import Installing, Move, asked_by
from epmstore.workspace.app.transacting import carry_out_together
from epmstore.workspace.apps import Apps
from epmstore.workspace.intended import PLAIN, Deciding, InstallOptions, Intended, IntendedMove
from epmstore.workspace.targets import Targets, empty_folder, give_to, missing_folders, take_back

if TYPE_CHECKING:  # start-up
    from epmstore.sync.depotseeker import DepotContents

LOCK = "packages"


class Packages:
    """Of one open store."""

    def __init__(
        self,
        store: Store,
        apps: Apps,
        *,
        progress: Progress,
        actor: RecordedActor | None,
        remotes: "Callable[[], Sequence[DepotContents]]" = tuple,
    ) -> None:
        self._remotes = remotes
        self._store = store
        self._apps = apps
        self._progress = progress
        self._actor = actor

    # What there is.

    def installed(self, app: str | None = None) -> list[InstalledProduct]:
        """What is installed in all applications, or in one. Raises AppNotFoundError."""
        apps = self._apps.list() if app is None else [self._apps.get(app)]
        return KnownProducts(self._store, apps).installed()

    def why(self, name: str) -> tuple[Why, ...]:
        """Who needs something that is installed. Raises AppNotFoundError."""
        return why(self._deciding().universe(), given.a_name(name))

    def search(self, text: str) -> tuple[ProductHit, ...]:
        """Products whose catalogs are here, installed or not, that have every word of a text in
        what they say.
        """
        return search(self._deciding().universe(), given.a_name(text))

    def owner(self, name: str) -> tuple[Offering, ...]:
        """Who of what is installed offers a library or a capability."""
        return owner(self._deciding().universe(), given.a_name(name))

    def packaging(self, app: str) -> tuple[str, bytes]:
        """The key of the product that is installed in an application, and what its release says of
        itself as a package, as JSON; the key of the application, and nothing, where nothing is.
        Raises AppNotFoundError.
        """
        for one in self.installed(app):
            releases = Releases(self._store, one.said.product)
            about = releases.about()
            said = None if one.release is None else releases.package(one.said.release)
            if about is not None:
                return about.key, bytes(said or b"")
        return app, b""

    def files(self, one: InstalledProduct) -> list[Entry]:
        """What the release of an installed product has. Raises VersionNotFoundError."""
        return list(Releases(self._store, one.said.product).tree(one.said.release))

    def path_owner(self, place: str) -> tuple[InstalledProduct, RelPath]:
        """The product that has an absolute path, and the path below its root. Raises
        NotFoundError.
        """
        app = self._apps.at(place)
        below = None if app is None else appcat.relative(place, app.root)
        for one in [] if app is None or not below else self.installed(app.key):
            path = parse_relpath(below or "")
            releases = Releases(self._store, one.said.product)
            found = self._store.entries.below(releases.catalog, one.said.release, path)
            if found:
                return one, path
        raise NotFoundError(f"nothing that is installed has {place}", file=place)

    def notes(self, app: str) -> list[NumberedNote]:
        """All of an application, oldest first. Raises AppNotFoundError."""
        return Installing(self._context(self._store, self._apps.get(app))).notes()

    def one_installed(self, name: str, app: str | None) -> tuple[App, str]:
        """(application, UUID of the product) of what is installed by a name. Raises
        AppNotFoundError, UsageError.
        """
        one = self._deciding().one_installed(name, app)
        return one.app, one.said.product

    def beside(self, path: AnyPath) -> PatchBase:
        """What the patch package in a file goes on from, as far as it is here."""
        return PatchBase(self._store, given.a_place(path))

    # What would come of a request.

    def plan_install(
        self, names: Sequence[str], asked: InstallOptions = PLAIN, **terms: Unpack[TermsGiven]
    ) -> Intended:
        """What `install` would do, with the plan of each application. Writes nothing, not even what
        a file brings. Raises as it does.
        """
        with self._as_if_taken(names, asked) as (store, arrived):
            intended = self._deciding(store).to_install(names, arrived, asked)
            return self._planned(store, intended, arrived, terms)

    def plan_upgrade(
        self, names: Sequence[str], asked: InstallOptions = PLAIN, **terms: Unpack[TermsGiven]
    ) -> Intended:
        """What `upgrade` would do, as `plan_install`."""
        with self._as_if_taken(names, asked) as (store, arrived):
            intended = self._deciding(store).to_upgrade(names, arrived, asked)
            return self._planned(store, intended, arrived, terms)

    def plan_uninstall(
        self, names: Sequence[str], asked: InstallOptions = PLAIN, **terms: Unpack[TermsGiven]
    ) -> Intended:
        """What `uninstall` would do, as `plan_install`."""
        intended = self._deciding().to_uninstall(names, asked)
        return self._planned(self._store, intended, (), terms)

    def plan_adopt(self, name: str, asked: InstallOptions = PLAIN) -> Intended:
        """What `adopt` would say. Raises as it does."""
        return self._deciding().to_adopt(name, asked)

    # What does it.

    def install(
        self, names: Sequence[str], asked: InstallOptions = PLAIN, **terms: Unpack[TermsGiven]
    ) -> tuple[Intended, list[Result]]:
        """Install products, or files of packages, with what they need. What a file brings stays in
        the store. Raises NoSolutionError, NotFoundError, what `catalogs.import_` raises, and
        ConflictError and its kin: then all roots are as they were, however many of them are to be
        moved: that is one transaction.
        """
        with self._alone():
            arrived = self._take(names, asked)
            intended = self._deciding().to_install(names, arrived, asked)
            return self._carry_out(intended, terms)

    def upgrade(
        self, names: Sequence[str], asked: InstallOptions = PLAIN, **terms: Unpack[TermsGiven]
    ) -> tuple[Intended, list[Result]]:
        """As `install`, of what is installed: the newest release, or a certain one."""
        with self._alone():
            arrived = self._take(names, asked)
            intended = self._deciding().to_upgrade(names, arrived, asked)
            return self._carry_out(intended, terms)

    def uninstall(
        self, names: Sequence[str], asked: InstallOptions = PLAIN, **terms: Unpack[TermsGiven]
    ) -> tuple[Intended, list[Result]]:
        """Take away what was installed. What was changed or added here stays, as does state, and
        the application with its history. Raises NeedsError if others need it, otherwise as
        `install`.
        """
        with self._alone():
            intended = self._deciding().to_uninstall(names, asked)
            return self._carry_out(intended, terms)

    def adopt(
        self, name: str, asked: InstallOptions = PLAIN, **terms: Unpack[TermsGiven]
    ) -> tuple[Intended, list[Result]]:
        """Say that what is in a root is a product, installed by hand: the release that explains it
        best, or a certain one. Nothing is written there. Raises ConflictError if no release does,
        or another product is installed; otherwise as `install`.
        """
        with self._alone():
            intended = self._deciding().to_adopt(name, asked)
            return self._carry_out(intended, terms)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other command installs anything. Raises BusyError."""
        try:
            with (
                locks.hold(self._store.path / "locks", LOCK, wait=locks.WAIT_SECONDS),
                self._store.keep_packs(),  # nor is what a file brought collected before it is used
            ):
                yield
        except BusyError as error:
            if error.data.get("lock", LOCK) != LOCK or "app" in error.data:
                raise
            holder = error.data.get("holder") or "another process"
            raise BusyError(
                f"{holder} is installing something", hint=error.hint, **error.data
            ) from None

    # Files.

    def _consent(self, asked: InstallOptions) -> Consent:
        signature = None if asked.signature is None else given.a_place(asked.signature)
        return Consent(
            signature=signature, allow_unsigned=asked.allow_unsigned, signer=asked.signer
        )

    @contextmanager
    def _as_if_taken(
        self, names: Sequence[str], asked: InstallOptions
    ) -> Iterator[tuple[Store, list[Arrived | None]]]:
        """A store as it would be if the files among `names` were taken in, and what is in them."""
        arrived: list[Arrived | None] = []
        for name in names:
            path = package_file(name)
            found = None
            if path is not None:
                found = check_package(self._store, path, self._consent(asked), self._progress)
            arrived.append(found)
        incoming = [one.incoming for one in arrived if one is not None]
        if not incoming:
            yield self._store, arrived
            return
        with trial_store(self._store, incoming) as trial:
            yield trial, arrived

    def _take(self, names: Sequence[str], asked: InstallOptions) -> list[Arrived | None]:
        if asked.app is not None:
            self._apps.get(asked.app)
        arrived: list[Arrived | None] = []
        for name in names:
            path = package_file(name)
            found = None
            if path is not None:
                found = take_package(self._store, path, self._consent(asked), self._progress)
            arrived.append(found)
        return arrived

    # Plans, and doing it.

    def _deciding(self, store: Store | None = None) -> Deciding:
        return Deciding(store or self._store, self._apps, self._context)

    def _context(self, store: Store, app: App) -> AppContext:
        return AppContext(
            store, app, actor=self._actor, progress=self._progress, remotes=self._remotes
        )

    def _planned(
        self,
        store: Store,
        intended: Intended,
        arrived: Sequence[Arrived | None],
        terms: TermsGiven,
    ) -> Intended:
        """With the plan of each move. Raises what would keep it from being carried out."""
        moves = [
            replace(one, prepared=self._plan(store, one, arrived, terms)) for one in intended.moves
        ]
        check_space_for_all([(_nearest(one), one.prepared.plan) for one in moves if one.prepared])
        return replace(intended, moves=tuple(moves))

    def _plan(
        self,
        store: Store,
        one: IntendedMove,
        arrived: Sequence[Arrived | None],
        terms: TermsGiven,
    ) -> Prepared:
        with ExitStack() as stack:
            app = one.target.app
            if one.target.makes_root:
                empty = stack.enter_context(empty_folder(_scratch(store)))
                app = replace(app, root=str(empty), identity=None)
            installing = Installing(context := self._context(store, app))
            product, coming = one.move.product, frozenset[BlobInfo]()
            if _comes_with(arrived, product):
                tree = context.releases.tree(product.release)
                coming = frozenset(entry.content for entry in tree if entry.content is not None)
            prepared = installing.plan(one.move, coming)
            installing.check(prepared, **terms)
            if one.target.makes_root:
                check_place_for(_nearest(one), prepared.plan, Terms(**terms))
        return prepared

    def _carry_out(self, intended: Intended, terms: TermsGiven) -> tuple[Intended, list[Result]]:
        if len(intended.moves) == 1:
            return intended, [self._move(intended.moves[0], terms)]
        self._planned(self._store, intended, (), terms)
        with ExitStack() as registered:
            asked = [(self._installing(one, registered), one.move) for one in intended.moves]
            if not asked:
                return intended, []
            results = carry_out_together(
                [(context, asked_by(context, move)) for context, move in asked], Terms(**terms)
            )
        return intended, [
            _labelled(one, move) for one, (_, move) in zip(results, asked, strict=True)
        ]

    def _move(self, one: IntendedMove, terms: TermsGiven) -> Result:
        is_bound = not one.target.is_new and self._apps.get(one.target.app.key) == one.target.app
        if not is_bound and one.move.action != "adopt":
            self._plan(self._store, one, (), terms)
        with ExitStack() as registered:
            installing = Installing(self._installing(one, registered))
            if one.move.action == "adopt":
                return installing.adopt(one.move, **terms)
            return installing.carry_out(one.move, **terms)

    def _installing(self, one: IntendedMove, registered: ExitStack) -> AppContext:
        """The application that something is installed in. One that was registered for that is taken
        back when the stack closes, if nothing came of it.
        """
        known = KnownProducts(self._store, self._apps.list())
        made = Targets(self._store, self._apps, known).register(one.target)
        if one.target.is_new:
            registered.callback(self._take_back, one.target.app, made)
        app = self._apps.get(one.target.app.key)
        if made and one.move.owner is not None:
            give_to(Path(app.root), one.move.owner)
        return self._context(self._store, app)

    def _take_back(self, app: App, made: Sequence[Path]) -> None:
        """An application that was registered for nothing: nothing was installed, nor will be."""
        is_done = KnownProducts(self._store, [app]).installed_in(app)
        if not is_done and not any(self._store.journals.glob(f"{app.uuid}.*")):
            self._apps.remove(app.key, forget=True)
            take_back(made)


def package_file(name: str) -> Path | None:
    """The file that a name means where a product may be named as well; None for a product. Raises
    NotFoundError.
    """
    is_place = "/" in name or name.endswith(".epkg")
    path = Path(os.path.abspath(name))
    if is_place and not path.exists():
        raise NotFoundError(f"{name} is not there", file=name)
    if is_place or (path.is_file() and is_package(path)):
        return path
    return None


def _comes_with(arrived: Sequence[Arrived | None], product: Installed) -> bool:
    """Whether a file brings the contents of a release."""
    return any(
        one is not None
        and (one.incoming.about.app, one.release.version) == (product.product, product.release)
        for one in arrived
    )


def _nearest(one: IntendedMove) -> Path:
    """The root, or of one that is to be made, the folder above it that is there."""
    root = Path(one.target.app.root)
    return missing_folders(root)[0].parent if one.target.makes_root else root


def _scratch(store: Store) -> Path:
    folder = store.path / "scratch"
    return folder if folder.is_dir() else store.path


def _labelled(result: Result, move: Move) -> Result:
    return replace(result, label=move.label if result.changed else None)
