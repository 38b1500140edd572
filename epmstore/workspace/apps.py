"""`ws.apps`: the applications of this host."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from epmstore import given, locks
from epmstore.atomic import directory, retire
from epmstore.care.references import key_of
from epmstore.catalog import appcat
from epmstore.catalog.appcat import App, AppCat, RootIdentity, check_key
from epmstore.catalog.appowners import with_owners
from epmstore.catalog.classes import LISTS, Patterns
from epmstore.catalog.config_policy import with_policy
from epmstore.catalog.hooks import Hooks, unit_of, with_hooks, with_unit
from epmstore.catalog.model import AboutRecord
from epmstore.clock import to_rfc3339
from epmstore.errors import ConflictError, EpmError, RootError, UsageError
from epmstore.given import AnyPath
from epmstore.limits import limit_error
from epmstore.owned import follow
from epmstore.record import change
from epmstore.refcat.catalogs import all_refcats, find_refcat
from epmstore.refcat.releases import REFCAT_OPTION
from epmstore.scan.mounts import filesystem
from epmstore.store import newest
from epmstore.store.store import Store
from epmstore.workspace.declarations import Declarations, Units
from epmstore.workspace.declared import Declared

if TYPE_CHECKING:  # start-up
    from epmstore.scan.detect import Proposal

FILE = "appcat.json"


class AddedApp(msgspec.Struct, frozen=True):
    """A registered app; `proposals` are classes that its paths should probably have (never applied
    unasked), `notes` what an operator should know of its root.
    """

    app: App
    proposals: "Sequence[Proposal]"
    notes: Sequence[str]


class AppliedApp(msgspec.Struct, frozen=True):
    """What came of one file of `apps.d`."""

    key: str
    action: Literal["added", "changed", "unchanged", "failed"]
    error: EpmError | None = None


class Apps:
    """Every change is durable when it returns."""

    def __init__(self, store: Store, declarations: Declarations, units: Units) -> None:
        self._store = store
        self._declarations = declarations
        self._units = units

    def add(
        self,
        key: str,
        root: AnyPath,
        *,
        ignore: Sequence[str] = (),
        state: Sequence[str] = (),
        config: Sequence[str] = (),
        secret: Sequence[str] = (),
        follow: bool = False,
        cross_mounts: bool = False,
        product: str | None = None,
        dry_run: bool = False,
    ) -> AddedApp:
        """Register an application; nothing is recorded yet. With `dry_run` it only finds out
        whether that would be refused.

        A root that is a symlink is pinned to what it points to now, unless `follow` is set. It is
        compared with the catalog of `product` (key or UUID; None: of its own key). Raises
        UsageError, ConflictError, RootError, AppNotFoundError.
        """
        where = self._resolved(str(given.a_place(root)), follow=follow)
        check_key(given.a_name(key))
        about = self._refcat(key)
        if product is not None:
            about = find_refcat(self._store, given.a_name(product)).about()
        app = App(
            uuid=uuid.uuid4().hex,
            key=key,
            root=where,
            follow=follow,
            identity=None if follow else self._identity(where),
            patterns=Patterns(
                ignore=given.texts(ignore, "patterns"),
                state=given.texts(state, "patterns"),
                config=given.texts(config, "patterns"),
                secret=given.texts(secret, "patterns"),
            ),
            cross_mounts=cross_mounts,
            created=to_rfc3339(self._store.clock.now()),
        )
        self._declarations.check_free(key)
        self._check_root(app)
        self._load().add(app)  # before the file: who applies files must never find a bad one
        if dry_run:
            return self._added(app, about)
        self._declarations.write(app)
        app = self._register(app, about)
        return self._added(app, about)

    def proposed(self, key: str, root: str, *, refcat: str, patterns: Patterns) -> App:
        """The application that `register` would add, compared with a refcat (UUID); its root need
        not be there yet. Raises as `add`.
        """
        check_key(given.a_name(key))
        where = self._resolved(root, follow=False)
        app = App(
            uuid=uuid.uuid4().hex,
            key=key,
            root=where,
            identity=self._identity(where) if os.path.lexists(where) else None,
            patterns=patterns,
            created=to_rfc3339(self._store.clock.now()),
            options={REFCAT_OPTION: refcat},
        )
        self._declarations.check_free(key)
        self._check_root(app)
        self._load().add(app)
        return app

    def register(self, app: App) -> App:
        """Add one that was proposed, now that its root is there. Raises as `add`."""
        app = msgspec.structs.replace(app, identity=self._identity(app.root))
        self._declarations.check_free(app.key)
        self._check_root(app)
        self._load().add(app)
        self._declarations.write(app)
        self._change(lambda cat: cat.add(app))
        return app

    def list(self) -> Sequence[App]:
        """In order of keys. Raises DamagedError."""
        return self._load().apps

    def get(self, key: str) -> App:
        """Raises AppNotFoundError."""
        return self._load().find(key)

    def find(self, name: str) -> App:
        """By key or UUID, also one that was removed, of which only the history is here. Raises
        AppNotFoundError, ConflictError if several that were removed had that key.
        """
        return find_app(self._store, name)

    def removed(self) -> Sequence[App]:
        """Those of which only the history is here, in order of keys."""
        return removed_apps(self._store)

    def add_again(self, name: str, root: AnyPath | None = None) -> AddedApp:
        """Take up one that was removed, by key or UUID: its history goes on, with the rules that it
        had, where it was or in another root. Raises as `add`, and as `move`; AppNotFoundError.
        """
        old = self.find(name)
        if old.removed is None:
            raise ConflictError(f"{old.key} is registered", hint=f"`epmstore app show {old.key}`")
        if root is None and not old.root:
            raise UsageError(
                f"nobody knows where {old.key} was", hint=f"epmstore app add {name} ROOT --again"
            )
        base = msgspec.structs.replace(old, removed=None)
        where = old.root if root is None else str(given.a_place(root))
        app = self._at(base, where, follow=old.follow)
        self._declarations.check_free(app.key)
        self._check_root(app)
        self.check_resembles(app)
        self._load().add(app)
        self._declarations.write(app)
        self._change(lambda cat: cat.add(app))
        self._bind(app)
        return self._added(app, None)

    def at(self, path: AnyPath) -> App | None:
        """The innermost application whose root holds `path`."""
        catalog, text = self._load(), str(given.a_place(path))
        return catalog.find_containing(text) or catalog.find_containing(os.path.realpath(text))

    def set(
        self,
        key: str,
        *,
        add: Mapping[str, Sequence[str]] | None = None,
        remove: Mapping[str, Sequence[str]] | None = None,
        hooks: Hooks | None = None,
        unit: str | None = None,
        policy: str | None = None,
    ) -> App:
        """Add and remove patterns; both map a class (`ignore`, `secret`, `state`, `config`) to
        patterns. `hooks` and `unit` (empty: none) replace those it has; `policy`
        is what upgrades do with configuration that both sides changed.

        Takes effect with the next look at the root; what was found noisy until then is judged anew.
        Raises AppNotFoundError, UsageError.
        """
        old = self.get(key)
        self._declarations.check_ours(key)
        self._units.check(unit or "")
        for name in {**(add or {}), **(remove or {})}:
            if name not in LISTS:
                raise UsageError(f"no patterns are of the class {name!r}", hint=", ".join(LISTS))
        patterns = old.patterns
        for name in LISTS:
            chosen = list(getattr(patterns, name))
            for pattern in given.texts((remove or {}).get(name, ()), "patterns"):
                if pattern not in chosen:
                    raise UsageError(
                        f"{key} has no {name} pattern {pattern!r}",
                        hint=f"`epmstore app show {key}`",
                    )
                chosen.remove(pattern)
            more = given.texts((add or {}).get(name, ()), "patterns")
            chosen += [pattern for pattern in more if pattern not in chosen]
            patterns = msgspec.structs.replace(patterns, **{name: tuple(chosen)})
        noisy = old.noisy if patterns == old.patterns else ()
        new = msgspec.structs.replace(old, patterns=patterns, noisy=noisy)
        new = new if hooks is None else with_hooks(new, hooks)
        new = new if unit is None else with_unit(new, unit)
        new = new if policy is None else with_policy(new, policy)
        self._replace(old, new)
        self._declarations.write(new)
        return new

    def add_noisy(self, key: str, paths: Iterable[str]) -> None:
        """From now on the contents of these files are not recorded, unless a pattern gives them a
        class. For a program that sees them change all the time. Raises AppNotFoundError.
        """

        def add(cat: AppCat) -> AppCat:
            old = cat.find(key)
            noisy = tuple(sorted({*old.noisy, *paths}))
            return cat.change(msgspec.structs.replace(old, noisy=noisy))

        self._change(add)

    def bind(self, key: str, refcat: str) -> App:
        """Compare it with this refcat (UUID) from now on. Raises AppNotFoundError."""
        old = self.get(key)
        new = msgspec.structs.replace(old, options={**old.options, REFCAT_OPTION: refcat})
        self._change(lambda cat: cat.change(new))
        return new

    def move(self, key: str, root: AnyPath, *, dry_run: bool = False) -> App:
        """The application lives elsewhere now; its UUID, history and numbers stay. With `dry_run`
        nothing changes: it is what it would be.

        Raises RootError unless the new root resembles what was recorded.
        """
        old = self.get(key)
        self._declarations.check_ours(key)
        new = self._at(old, str(given.a_place(root)), follow=old.follow)
        self._check_root(new)
        self.check_resembles(new)
        self._load().change(new)
        if dry_run:
            return new
        self._declarations.write(new)
        self._replace(old, new)
        return new

    def check_resembles(self, app: App) -> None:
        """Raises RootError unless at least half of the recorded top-level names are at the root, if
        any are recorded.
        """
        if self._store.entries.position(app.uuid) is None:
            return
        recorded = set(self._store.entries.live_folder(app.uuid, ""))
        found = recorded.intersection(os.listdir(app.root))
        if recorded and len(found) * 2 < len(recorded):
            raise RootError(
                f"{app.root} does not look like {app.key}: {len(found)} of {len(recorded)} recorded"
                " names are there",
                hint="`epmstore app add` it as another application",
            )

    def remove(self, key: str, *, forget: bool = False) -> None:
        """Watch and record it no more. Its root is not touched, nor its history, unless `forget`:
        then its catalog goes to the quarantine, and `gc` frees what only it needed. One that was
        removed before is forgotten by key or UUID. Raises ConflictError for one that goes with
        others which have not come to their end.
        """
        app = self.find(key)
        if app.removed is not None:
            self._forget_removed(app, forget=forget)
            return
        self._declarations.check_ours(app.key)
        time = None if forget else to_rfc3339(self._store.clock.now())
        with self._store.lock_app(app.uuid):
            self._check_removable(app)
            self._declarations.remove(app.key)  # first, or it might be applied again
            if forget:  # before the appcat: interrupted, it is done again by the same command
                self._forget_history(app)
            self._change(lambda cat: cat.remove(app.uuid, time))
            self._release(app)
            self._store.drop_live(app.uuid)
            change.end(self._store, app.uuid)
            change.forget_run(self._store, app.uuid)

    def _check_removable(self, app: App) -> None:
        if any(self._store.journals.glob(f"{app.uuid}.*")):
            from epmstore.workspace.app.transacting import (  # noqa: PLC0415 - start-up
                check_removable,
            )

            check_removable(self._store, app)

    def _forget_removed(self, app: App, *, forget: bool) -> None:
        if not forget:
            raise ConflictError(
                f"{app.key} was removed already, and its history is here",
                hint=f"`epmstore app remove {app.uuid} --forget` lets go of that",
            )
        with self._store.lock_app(app.uuid):
            self._forget_history(app)
            self._change(lambda cat: cat.forget(app.uuid))

    def _forget_history(self, app: App) -> None:
        with self._store.lock_write():
            with self._store.database.write(durable=True):
                self._store.entries.forget_app(app.uuid)
            retire(self._store.catalog(app.uuid).path, self._store.quarantine)
            newest.drop(self._store.path, app.uuid)

    def apply_declared(self, *, dry_run: bool = False) -> Sequence[AppliedApp]:
        """Make the appcat what the files of `apps.d` say; what has no file stays as it is. Doing it
        again changes nothing. A file that is wrong does not keep the others from being applied.
        Raises OSError.
        """
        return [self._apply(key, dry_run=dry_run) for key in self._declarations.declared()]

    def _apply(self, key: str, *, dry_run: bool) -> AppliedApp:
        try:
            return self._applied(self._declarations.read(key), dry_run=dry_run)
        except EpmError as error:
            return AppliedApp(key, "failed", error)

    def _applied(self, wanted: Declared, *, dry_run: bool) -> AppliedApp:
        self._units.check(wanted.unit)
        old = next((app for app in self._load().apps if app.key == wanted.key), None)
        base = old or App(
            uuid=uuid.uuid4().hex,
            key=wanted.key,
            root="/",
            created=to_rfc3339(self._store.clock.now()),
        )
        new = msgspec.structs.replace(
            with_policy(
                with_owners(with_unit(with_hooks(base, wanted.hooks), wanted.unit), wanted.owners),
                wanted.config_policy,
            ),
            patterns=wanted.patterns,
            cross_mounts=wanted.cross_mounts,
        )
        where = self._resolved(wanted.root, follow=wanted.follow)
        if old is None or (where, wanted.follow) != (old.root, old.follow):
            new = self._at(new, wanted.root, follow=wanted.follow)
        if new == old:
            return AppliedApp(wanted.key, "unchanged")
        if not dry_run and old is None:
            self._register(new, self._refcat(new.key))
        elif not dry_run and old is not None:
            self._replace(old, new)
        return AppliedApp(wanted.key, "added" if old is None else "changed")

    def _register(self, app: App, about: AboutRecord | None) -> App:
        """With the refcat of its product, if there is one here."""
        if about is not None:
            app = msgspec.structs.replace(app, options={**app.options, REFCAT_OPTION: about.app})
        self._check_root(app)
        self._change(lambda cat: cat.add(app))
        self._bind(app)
        return app

    def _added(self, app: App, about: AboutRecord | None) -> AddedApp:
        from epmstore.workspace.advice import advise  # noqa: PLC0415 - start-up: seldom needed

        return AddedApp(app, *advise(self._store, app, about))

    def _refcat(self, key: str) -> AboutRecord | None:
        return next((one for one in all_refcats(self._store) if one.key == key), None)

    def _replace(self, old: App, new: App) -> None:
        """Raises RootError unless a new root resembles what was recorded."""
        if (old.root, old.follow) != (new.root, new.follow):
            self._check_root(new)
            self.check_resembles(new)
        self._change(lambda cat: cat.change(new))
        if (old.root, old.follow) != (new.root, new.follow):
            self._store.drop_live(new.uuid)
        if (unit_of(old), old.key) != (unit_of(new), new.key):
            self._release(old)
        self._bind(new)

    def _bind(self, app: App) -> None:
        unit = unit_of(app)
        if unit is not None:
            self._units.bind(app, unit)

    def _release(self, app: App) -> None:
        unit = unit_of(app)
        if unit is not None:
            self._units.release(app, unit)

    def _at(self, app: App, root: str, *, follow: bool) -> App:
        where = self._resolved(root, follow=follow)
        identity = None if follow else self._identity(where)
        return msgspec.structs.replace(app, root=where, follow=follow, identity=identity)

    @staticmethod
    def _resolved(root: str, *, follow: bool) -> str:
        return os.path.abspath(root) if follow else os.path.realpath(root)

    def _load(self) -> AppCat:
        return appcat.load(self._path)

    @property
    def _path(self) -> Path:
        return self._store.catalogs / FILE

    def _change(self, change: Callable[[AppCat], AppCat]) -> None:
        with locks.hold(self._store.path / "locks", "appcat"):
            appcat.save(self._path, change(self._load()))

    def _identity(self, root: str) -> RootIdentity:
        try:
            with directory(root) as fd:
                return RootIdentity(inode=os.fstat(fd).st_ino, fs_type=filesystem(fd).name)
        except OSError as error:
            what = f"{root} cannot be a root"
            if (limit := limit_error(error, what)) is not None:
                raise limit from None
            raise RootError(
                f"{what}: {os.strerror(error.errno or 0)}",
                hint="name a folder that is there and can be read",
            ) from None

    def _check_root(self, app: App) -> None:
        """Raises RootError."""
        if app.follow:  # whether it is there, is said when it is looked at
            with contextlib.suppress(OSError):
                os.close(follow(app.root, app.key))
        store = os.path.realpath(self._store.path)
        if os.path.realpath(app.root) == store or app.root.startswith(f"{store}/"):
            raise RootError(
                f"{app.root} lies in the store",
                hint="a store cannot record itself: name another root",
            )


def find_app(store: Store, name: str) -> App:
    """As `Apps.find`."""
    catalog = appcat.load(store.catalogs / FILE)
    known = [app for app in catalog.apps if name in (app.key, app.uuid)]
    if known:
        return known[0]
    gone = [app for app in removed_apps(store) if name in (app.key, app.uuid)]
    if len(gone) > 1:
        raise ConflictError(
            f"{len(gone)} applications that were removed had the key {name!r}",
            hint="name one by its UUID: " + ", ".join(app.uuid for app in gone),
            uuids=[app.uuid for app in gone],
        )
    return gone[0] if gone else catalog.find(name)


def removed_apps(store: Store) -> Sequence[App]:
    """As `Apps.removed`. Of one that an older program removed no more than its key is known."""
    catalog = appcat.load(store.catalogs / FILE)
    histories = store.recorded_apps()
    registered = {app.uuid for app in catalog.apps}
    found = {app.uuid: app for app in catalog.removed if app.uuid in histories}
    for app in histories:
        if app not in registered and app not in found:
            found[app] = App(uuid=app, key=key_of(store, app), root="", removed="")
    return sorted(found.values(), key=attrgetter("key", "uuid"))
