"""What a request to install something comes to: which release of which product goes where, and how.
Reads the store and the application's roots, and changes nothing.
"""

import grp
import platform
import pwd
from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from epmstore import given
from epmstore.catalog.appcat import App
from epmstore.catalog.config_policy import policy_of
from epmstore.catalog.install_notes import UNMET
from epmstore.catalog.model import Installed, Note, ParameterSetting
from epmstore.catalog.parameters import SITE, parameters_at
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.request import CheckoutAction, Prepared
from epmstore.errors import AppNotFoundError, ConflictError, NotFoundError, UsageError
from epmstore.given import AnyPath
from epmstore.package.known import InstalledProduct, KnownProducts
from epmstore.package.named import parse_named, release_named
from epmstore.package.options import SAID, Hindrance, NotChosen, SlotOptions
from epmstore.package.solution import Solution, SolutionStep
from epmstore.package.solve import solve, uninstall
from epmstore.package.taking import Arrived
from epmstore.package.universe import ProductRelease, Slot, SolveRequest, Universe, Want
from epmstore.refcat.owners import Owner
from epmstore.refcat.releases import refcat_of
from epmstore.store.store import Store
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.installing import Move
from epmstore.workspace.app.verifying import verifier_of
from epmstore.workspace.apps import Apps
from epmstore.workspace.targets import InstallTarget, Targets, instance_of


class InstallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How something is installed: in the application `app`, or in a new one at `root`.
    `downgrade`: releases may become older. `revoked`: also what its vendor withdrew. `replace`:
    what is in its way goes. `config` (None: as the application has it) is what becomes of edited
    configuration. `upgrade_all`: what can be newer becomes newer. `owner` is the user
    whose all that is written is. The rest is about
    files, as in `catalogs.import_`.
    """

    app: str | None = None
    root: AnyPath | None = None
    downgrade: bool = False
    revoked: bool = False
    replace: bool = False
    config: ConfigPolicy | None = None
    upgrade_all: bool = False
    owner: str | None = None
    signature: AnyPath | None = None
    allow_unsigned: bool = False
    signer: str | None = None


PLAIN = InstallOptions()


class IntendedMove(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a solution, where it is done, and how. `prepared` is its plan, if it was made."""

    step: SolutionStep
    target: InstallTarget
    move: Move
    prepared: Prepared | None = None


class Intended(msgspec.Struct, frozen=True, kw_only=True):
    """What a request comes to: moves in the order of need."""

    solution: Solution
    moves: tuple[IntendedMove, ...] = ()


class Deciding:
    """By one store, which may be as it would be once files are taken in."""

    def __init__(
        self, store: Store, apps: Apps, context: Callable[[Store, App], AppContext]
    ) -> None:
        self._store = store
        self._apps = apps
        self._context = context
        self.known = KnownProducts(store, apps.list())

    def universe(self) -> Universe:
        """What needs are solved by."""
        return self.known.universe(platform.machine())

    def to_install(
        self,
        names: Sequence[str],
        arrived: Sequence[Arrived | None],
        asked: InstallOptions,
    ) -> Intended:
        known = self.known
        wants = [
            self._want(known, name, one, asked) for name, one in zip(names, arrived, strict=True)
        ]
        as_new = [want.instance for want in wants if want.instance is not None]
        return self._solved(known, wants, asked, as_new)

    def _want(
        self, known: KnownProducts, name: str, arrived: Arrived | None, asked: InstallOptions
    ) -> Want:
        product, key, release = self._meant(known, name, arrived)
        root = None if asked.root is None else str(given.a_place(asked.root))
        if asked.app is not None:
            self._apps.get(asked.app)
        return Want(
            product=product,
            release=release,
            instance=instance_of(known, product, key, app=asked.app, root=root),
            revoked=asked.revoked,
        )

    def _meant(
        self, known: KnownProducts, name: str, arrived: Arrived | None
    ) -> tuple[str, str, ProductRelease | None]:
        """(UUID and key of the product, the release that is named). Raises AppNotFoundError,
        VersionNotFoundError, UsageError.
        """
        if arrived is not None:
            product = arrived.incoming.about.app
            releases = known.releases(product)
            found = next((r for r in releases if r.number == arrived.release.version), None)
            if found is None:
                raise UsageError(f"{name}: its packaging has a form that nobody here reads")
            return product, found.product, found
        named = parse_named(name)
        product = _product_named(known, named.product)
        releases = known.releases(product)
        chosen = None if named.release is None else release_named(releases, named.release)
        return product, releases[0].product, chosen

    def to_upgrade(
        self,
        names: Sequence[str],
        arrived: Sequence[Arrived | None],
        asked: InstallOptions,
    ) -> Intended:
        known = self.known
        wants = []
        for name, one in zip(names, arrived, strict=True):
            product, key, release = self._meant(known, name, one)
            there = [i for i in known.installed() if i.said.product == product]
            if not any(asked.app in (None, i.app.key) for i in there):
                where = f" in {asked.app}" if asked.app else ""
                raise AppNotFoundError(
                    f"{key} is not installed{where}",
                    hint=f"`epmstore install {name}`; `epmstore installed` lists what is",
                    product=key,
                )
            wants.append(
                Want(
                    product=product,
                    action="upgrade",
                    release=release,
                    instance=asked.app,
                    revoked=asked.revoked,
                )
            )
        return self._solved(known, wants, asked)

    def _solved(
        self,
        known: KnownProducts,
        wants: Sequence[Want],
        asked: InstallOptions,
        as_new: Sequence[str] = (),
    ) -> Intended:
        universe = known.universe(platform.machine(), as_new=as_new)
        request = SolveRequest(
            tuple(wants), upgrade_all=asked.upgrade_all, downgrade=asked.downgrade
        )
        _check_named(universe, request)
        return self._with_targets(known, solve(universe, request), asked)

    def _with_targets(
        self, known: KnownProducts, solution: Solution, asked: InstallOptions
    ) -> Intended:
        targets = Targets(self._store, self._apps, known)
        root = None if asked.root is None else str(given.a_place(asked.root))
        wanted = {step.instance for step in solution.steps if step.change == "install"}
        if root is not None and len(wanted) > 1:
            raise UsageError(
                f"{len(wanted)} applications would be new: {', '.join(sorted(wanted))}",
                hint="--root is of one: `epmstore app add KEY FOLDER` for each, and then the"
                " command without it",
            )
        moves = []
        for step in solution.steps:
            release = step.after or step.before
            assert release is not None and release.number is not None, "candidates are not taken"
            at = root if step.change == "install" else None
            target = targets.find(release, step.instance, at)
            move = _move(step, solution, asked, target.app)
            if step.change == "install":
                move = msgspec.structs.replace(move, site=_site_settings(known, release.app))
            moves.append(IntendedMove(step=step, target=target, move=move))
        return Intended(solution=solution, moves=tuple(moves))

    def to_uninstall(self, names: Sequence[str], asked: InstallOptions) -> Intended:
        known = self.known
        wants = []
        for name in names:
            one = self.one_installed(name, asked.app)
            if one.release is None:
                raise NotFoundError(
                    f"what was installed as {one.title} is not known: its catalog is not here",
                    hint="`epmstore catalog import FILE` brings it",
                )
            wants.append(Want(one.said.product, "remove", instance=one.app.key))
        universe = self.universe()
        return self._with_targets(known, uninstall(universe, wants), asked)

    def one_installed(self, name: str, app: str | None) -> InstalledProduct:
        """What is installed by a name: of a product, its UUID, or its application. Raises
        AppNotFoundError, UsageError.
        """
        there = self.known.installed()
        names = [
            one
            for one in there
            if name in (one.said.product, one.release.product if one.release else None)
            or (app is None and name == one.app.key)
        ]
        found = [one for one in names if app in (None, one.app.key)]
        if not found:
            where = f" in {app}" if app else ""
            raise AppNotFoundError(
                f"{name} is not installed{where}",
                hint="`epmstore installed` lists what is",
                product=name,
            )
        if len(found) > 1:
            keys = [one.app.key for one in found]
            raise UsageError(
                f"{name} is installed in {', '.join(keys)}",
                hint="name the application with --app",
                instances=keys,
            )
        return found[0]

    def to_adopt(self, name: str, asked: InstallOptions) -> Intended:
        known = self.known
        product, key, release = self._meant(known, name, None)
        root = None if asked.root is None else str(given.a_place(asked.root))
        instance = instance_of(known, product, key, app=asked.app, root=root)
        newest = known.releases(product)[-1]
        if root is None and all(app.key != instance for app in known.apps):
            raise AppNotFoundError(
                f"there is no application {instance!r}, so nobody knows where {key} is",
                hint=f"`epmstore install --adopt {name} --root DIR`",
            )
        target = Targets(self._store, self._apps, known).find(release or newest, instance, root)
        if target.makes_root:
            raise NotFoundError(f"{target.app.root} is not there")
        release = release or self._explaining(known, target, key)
        assert release.number is not None and release.digest is not None, "it was published"
        return Intended(
            solution=Solution(()),
            moves=self._adoption(known, target, release),
        )

    def _adoption(
        self, known: KnownProducts, target: InstallTarget, release: ProductRelease
    ) -> tuple[IntendedMove, ...]:
        here = known.installed_in(target.app) if not target.is_new else []
        if here and here[0].said.release == release.number:
            return ()
        if here:
            raise ConflictError(
                f"{here[0].title} is installed in {target.app.key}",
                hint=f"`epmstore upgrade {release.product}` goes to another release, `epmstore"
                f" uninstall {release.product}` ends that",
            )
        step = SolutionStep(
            target.app.key, release.product, "install", None, release, None, ("it is there",)
        )
        move = Move(
            action="adopt",
            product=_installed(release, adopted=True),
            label=f"adopt {release.title}",
        )
        return (IntendedMove(step=step, target=target, move=move),)

    def _explaining(self, known: KnownProducts, target: InstallTarget, key: str) -> ProductRelease:
        """The release that explains a root best. Raises ConflictError if none does."""
        context = self._context(self._store, target.app)
        fit = verifier_of(context).fit(context.look())
        if fit is None:
            raise ConflictError(
                f"no release of {key} explains what is in {target.app.root}",
                hint=f"say which it is: `epmstore install --adopt {key}=VERSION --app"
                f" {target.app.key}`",
            )
        return next(
            one for one in known.releases(refcat_of(target.app)) if one.number == fit.release
        )


def _site_settings(known: KnownProducts, product: str) -> tuple[ParameterSetting, ...]:
    """What is set for all instances of a product (UUID), as those that there are say it."""
    return tuple(
        setting
        for one in known.installed()
        if one.said.product == product
        for setting in parameters_at(known.state(one.app)).settings
        if (setting.product, setting.layer) == (product, SITE)
    )


def _product_named(known: KnownProducts, name: str) -> str:
    """UUID of the product of a key or UUID. Raises AppNotFoundError."""
    found = [
        product
        for product in known.products()
        if (releases := known.releases(product)) and name in (product, releases[0].product)
    ]
    if not found:
        raise AppNotFoundError(
            f"nothing is known of a product {name!r}",
            hint="name the file of its package, or import that first: `epmstore catalog import"
            " FILE`",
            product=name,
        )
    return found[0]


def _installed(release: ProductRelease, *, adopted: bool = False) -> Installed:
    assert release.number is not None and release.digest is not None, "it was published"
    return Installed(
        product=release.app, release=release.number, digest=release.digest, adopted=adopted
    )


def _owner(name: str) -> Owner:
    """Raises ConflictError."""
    try:
        found = pwd.getpwnam(name)
        return found.pw_uid, found.pw_gid, found.pw_name, grp.getgrgid(found.pw_gid).gr_name
    except (KeyError, ValueError):
        raise ConflictError(
            f"there is no user {name!r} with a group here", hint="make one, or name another"
        ) from None


_ACTIONS: dict[str, CheckoutAction] = {
    "install": "install",
    "upgrade": "upgrade",
    "downgrade": "downgrade",
    "remove": "uninstall",
}


def _move(step: SolutionStep, solution: Solution, asked: InstallOptions, app: App) -> Move:
    release = step.after or step.before
    assert release is not None, "nothing does not become nothing"
    mine = f"{release.title} would like "
    unmet = [text for text in solution.unmet if text.startswith(mine)]
    action = _ACTIONS[step.change]
    label = step.text if action != "uninstall" else f"uninstall {release.title}"
    return Move(
        action=action,
        product=_installed(release),
        label=label,
        config=asked.config or cast(ConfigPolicy, policy_of(app)),
        replace=asked.replace,
        owner=None if asked.owner is None else _owner(asked.owner),
        notes=tuple(Note(what=UNMET, text=f"{text}: not here") for text in unmet),
    )


_REMEDIES: Final[dict[Hindrance, str]] = {
    "older": "--downgrade goes there; `epmstore undo` goes back by one step",
    "revoked": "--revoked takes it nevertheless",
}


def _check_named(universe: Universe, request: SolveRequest) -> None:
    """Raises ConflictError for what was named and cannot be chosen by itself: no need to search."""
    options = SlotOptions(universe, request)
    for slot, wants in options.wanted.items():
        options.of(slot)
        now = options.installed.get(slot)
        for want in wants:
            if now is not None and now.frozen and _would_change(want, now.release):
                raise ConflictError(
                    f"{now.release.title} is frozen in {slot.instance}",
                    hint=f"`epmstore unfreeze {now.release.product} --app {slot.instance}`",
                    app=slot.instance,
                )
            found = next(
                (
                    one
                    for one in options.left_out[slot]
                    if want.release is not None and one.release.identity == want.release.identity
                ),
                None,
            )
            if found is not None:
                raise _not_chosen(slot, found, None if now is None else now.release)


def _would_change(want: Want, now: ProductRelease) -> bool:
    if want.release is None:
        return want.action == "upgrade"
    return want.release.identity != now.identity


def _not_chosen(slot: Slot, found: NotChosen, now: ProductRelease | None) -> ConflictError:
    release = found.release
    why = SAID[found.why]
    if found.why == "older" and now is not None:
        why = f"it is older than {now.title}, which is installed in {slot.instance}"
    if found.why == "revoked":
        why = f"{why}: {release.revoked}"
    return ConflictError(
        f"{release.title} is not installed: {why}",
        hint=_REMEDIES.get(found.why),
        app=slot.instance,
        why=found.why,
    )
