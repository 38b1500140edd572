"""Which application a product is installed in: one that is there, or one that is registered for it.

In this order: the application that was named; where the product is installed already; the one of
the product's key; a new one, at the root that was named or that the package proposes. What is
proposed is believed only as far as nothing is there yet.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from epmstore import fsio
from epmstore.atomic import directory, make_directories, temporary_name
from epmstore.catalog.appcat import App
from epmstore.catalog.model import AboutRecord
from epmstore.errors import ConflictError, RootError, UsageError
from epmstore.package.known import KnownProducts
from epmstore.package.universe import ProductRelease
from epmstore.refcat.owners import Owner
from epmstore.refcat.releases import REFCAT_OPTION, Releases, refcat_of
from epmstore.store.store import Store
from epmstore.workspace.apps import Apps


class InstallTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a product goes. `is_new`: the application is not registered yet; `makes_root`: its root
    is not there yet.
    """

    app: App
    is_new: bool = False
    makes_root: bool = False


def instance_of(
    known: KnownProducts, product: str, key: str, *, app: str | None, root: str | None
) -> str:
    """The key of the application that a product (UUID and key) is to be installed in. Raises
    UsageError, ConflictError for a root that is not that of its application.
    """
    there = [one.app for one in known.installed() if one.said.product == product]
    if app is not None:
        return app
    if root is not None:
        at = os.path.realpath(root)
        found = next((one.key for one in known.apps if one.root == at), key)
        for one in known.apps:
            if one.key == found and one.root != at:
                raise ConflictError(
                    f"the root of {one.key} is {one.root}",
                    hint=f"for another instance: `epmstore app add KEY {root} --product {key}`,"
                    " and --app KEY",
                )
        return found
    if len(there) > 1:
        keys = [one.key for one in there]
        raise UsageError(
            f"{key} is installed in {', '.join(keys)}",
            hint="name the application with --app",
            instances=keys,
        )
    if there:
        return there[0].key
    bound = [one.key for one in known.apps if refcat_of(one) == product]
    return bound[0] if len(bound) == 1 else key


class Targets:
    """Applications of a store, for products."""

    def __init__(self, store: Store, apps: Apps, known: KnownProducts) -> None:
        self._store = store
        self._apps = apps
        self._known = known

    def find(self, release: ProductRelease, instance: str, root: str | None) -> InstallTarget:
        """Raises ConflictError for an application of another product, or a root that is another's;
        UsageError without any root; RootError.
        """
        app = next((one for one in self._known.apps if one.key == instance), None)
        if app is None:
            return self._new(release, instance, root)
        self._check_products(app, release)
        if refcat_of(app) == release.app:
            return InstallTarget(app=app)
        options = {**app.options, REFCAT_OPTION: release.app}
        return InstallTarget(app=msgspec.structs.replace(app, options=options))

    def _check_products(self, app: App, release: ProductRelease) -> None:
        """One application has one product."""
        others = [one for one in self._known.installed_in(app) if one.said.product != release.app]
        if others:
            raise ConflictError(
                f"{app.key} has {others[0].title}, and would have {release.title} as well: two"
                f" products in {app.root} are not possible yet",
                hint=f"another root: `epmstore app add KEY ROOT --product {release.product}`, and"
                " --app KEY",
                products=[others[0].said.product, release.app],
            )
        if refcat_of(app) not in (app.uuid, release.app) and Releases.of(self._store, app).exists():
            raise ConflictError(
                f"{app.key} is compared with the catalog of another product than {release.product}",
                hint=f"another root: `epmstore app add KEY ROOT --product {release.product}`, and"
                " --app KEY",
            )

    def _new(self, release: ProductRelease, instance: str, root: str | None) -> InstallTarget:
        proposed = release.package.root if release.package is not None else None
        where = root if root is not None else proposed
        if where is None:
            raise UsageError(
                f"{release.product} proposes no root",
                hint=f"say where it goes: `epmstore install {release.product} --root DIR`",
            )
        if root is None:
            _check_proposed(release, where)
        if os.path.realpath(where) == "/":
            raise UsageError(
                "a product is not installed over the whole system",
                hint=f"name a folder for it: `epmstore install {release.product} --root DIR`",
            )
        if os.path.islink(where) and not os.path.exists(where):
            raise RootError(
                f"{where} is a link to what is not there",
                hint="mount or make that, or name another root with --root",
            )
        there = os.path.lexists(where)
        patterns = self._about(release.app).patterns
        app = self._apps.proposed(instance, where, refcat=release.app, patterns=patterns)
        return InstallTarget(app=app, is_new=True, makes_root=not there)

    def _about(self, product: str) -> AboutRecord:
        found = Releases(self._store, product).about()
        assert found is not None, "it has releases"
        return found

    def register(self, target: InstallTarget) -> list[Path]:
        """Make it so that the application is there; the folders that were made for it, the
        outermost first. Raises as `find`, OSError.
        """
        if not target.is_new:
            if self._apps.get(target.app.key) != target.app:
                self._apps.bind(target.app.key, refcat_of(target.app))
            return []
        made = _make_root(Path(target.app.root))
        try:
            self._apps.register(target.app)
        except BaseException:
            take_back(made)
            raise
        return made


def _check_proposed(release: ProductRelease, where: str) -> None:
    """Raises ConflictError if something is where a package proposes to live."""
    try:
        is_free = not os.path.islink(where) and not os.listdir(where)
    except FileNotFoundError:
        is_free = not os.path.lexists(where)
    except OSError:
        is_free = False
    if where == "/" or not is_free:
        raise ConflictError(
            f"{release.title} proposes to live in {where}, and something is there",
            hint=f"`--root {where}` if it is to be there nevertheless, or another folder",
            root=where,
        )


def missing_folders(root: Path) -> list[Path]:
    """What of a root is not there yet, the outermost first."""
    missing = [folder for folder in (root, *root.parents) if not os.path.lexists(folder)]
    return missing[::-1]


@contextmanager
def empty_folder(place: Path) -> Iterator[Path]:
    """A folder that nothing is in, for as long as the block lasts. Raises OSError."""
    name = temporary_name()
    with directory(place) as parent:
        fsio.make_directory(name, parent)
        try:
            yield place / name
        finally:
            fsio.remove_directory(name, parent)


def _make_root(root: Path) -> list[Path]:
    missing = missing_folders(root)
    make_directories(root, 0o755)
    return missing


def give_to(root: Path, owner: Owner) -> None:
    """A root that was made is its owner's. Raises OSError."""
    with directory(root) as fd:
        fsio.set_owner(fd, owner[0], owner[1])


def take_back(made: Sequence[Path]) -> None:
    """Folders that were made, as far as they are empty."""
    for folder in reversed(made):
        with contextlib.suppress(OSError), directory(folder.parent) as parent:
            fsio.remove_directory(folder.name, parent)
