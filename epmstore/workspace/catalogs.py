"""`ws.catalogs`: reference catalogs on the move, and who is believed. Thin: each verb names its use
case.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from epmstore import given
from epmstore.catalog.model import AboutRecord
from epmstore.errors import ConflictError, NoStoreError
from epmstore.given import AnyPath
from epmstore.package.package_reader import is_package
from epmstore.package.taking import Consent, check_package, take_package
from epmstore.progress import Progress
from epmstore.refcat.catalogs import find_refcat
from epmstore.refcat.content_copy import copy_contents
from epmstore.refcat.interchange import (
    Incoming,
    check_catalog,
    export_lines,
    import_catalog,
    read_signature,
    read_source,
)
from epmstore.refcat.releases import Release, Releases, refcat_of
from epmstore.refcat.signature import PublicKey, make_signature
from epmstore.refcat.trust import Trust, TrustRecord
from epmstore.store.replay import is_behind
from epmstore.store.store import Store
from epmstore.workspace.apps import Apps
from epmstore.workspace.opening import believe


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import came to: `before` and `latest` are the newest releases before and after it,
    `bound` the applications of this host that are compared with it from now on. `revoked` and
    `withdrawn` are the releases and the components (SHA-1 and reason) that its vendor withdrew.
    Of a package, `contents` of `size` plain bytes were in it; None: it was a catalog alone.
    """

    about: AboutRecord
    before: int | None
    latest: Release | None
    lines: int
    signer: PublicKey | None
    bound: tuple[str, ...] = ()
    revoked: tuple[Release, ...] = ()
    withdrawn: tuple[tuple[str, str], ...] = ()
    contents: int | None = None
    size: int = 0


class Cloned(msgspec.Struct, frozen=True, kw_only=True):
    """A catalog that was cloned; contents that were copied, and that its store lacks as well."""

    imported: Imported
    contents: int
    size: int
    missing: int


class Catalogs:
    """Of one open store."""

    def __init__(
        self,
        store: Store,
        apps: Apps,
        *,
        progress: Progress,
        safe_stores: Container[Path] = (),
    ) -> None:
        self._store = store
        self._safe = safe_stores
        self._apps = apps
        self._progress = progress
        self._trust = Trust(store.path)

    def export(self, key: str) -> Iterator[bytes]:
        """The plain lines of a catalog. Raises AppNotFoundError, DamagedError."""
        return export_lines(self._store, find_refcat(self._store, key))

    def check(
        self,
        file: AnyPath,
        *,
        signature: AnyPath | None = None,
        allow_unsigned: bool = False,
        signer: str | None = None,
    ) -> Incoming:
        """Everything that an import of a catalog or a package would check. Changes nothing.
        `signer` is (the end of) the fingerprint of who signs it from now on, if that is another
        than before. Raises BadCatalogError, BadPackageError, TrustError and its kin, ForkError,
        ConflictError, NoStoreError for a newer format, NotFoundError for what goes on from what is
        not here, UsageError for a candidate, OSError.
        """
        source, place = given.a_place(file), None if signature is None else given.a_place(signature)
        if is_package(source):
            consent = Consent(signature=place, allow_unsigned=allow_unsigned, signer=signer)
            return check_package(self._store, source, consent, self._progress).incoming
        data, signed = read_source(source), read_signature(source, place)
        return self._check(data, signed, allow_unsigned=allow_unsigned, signer=signer)

    def import_(
        self,
        file: AnyPath,
        *,
        signature: AnyPath | None = None,
        app: str | None = None,
        allow_unsigned: bool = False,
        signer: str | None = None,
    ) -> Imported:
        """Take over what is new of a catalog, or of a package and its contents; `app` is compared
        with it from now on, and so is an application of its key that has none. Raises as `check`,
        AppNotFoundError.
        """
        known = None if app is None else self._apps.get(app).key
        source, place = given.a_place(file), None if signature is None else given.a_place(signature)
        if is_package(source):
            consent = Consent(signature=place, allow_unsigned=allow_unsigned, signer=signer)
            arrived = take_package(self._store, source, consent, self._progress)
            said = self._imported(arrived.incoming, known)
            return msgspec.structs.replace(said, contents=arrived.contents, size=arrived.size)
        incoming = self.check(file, signature=place, allow_unsigned=allow_unsigned, signer=signer)
        return self._import(incoming, str(file), known)

    def clone(
        self,
        place: AnyPath,
        key: str,
        *,
        contents: Sequence[str] = (),
        allow_unsigned: bool = False,
    ) -> Cloned:
        """Take a catalog over from another store, and the contents of some of its releases (`all`:
        of every one). Raises NoStoreError, AppNotFoundError, VersionNotFoundError, as `check`.
        """
        chosen_texts = given.texts(contents, "releases")
        with open_other(given.a_place(place), self._store, self._safe) as source:
            theirs = find_refcat(source, key)
            chosen = _chosen(theirs, chosen_texts)
            data = b"".join(export_lines(source, theirs))
            incoming = self._check(data, None, allow_unsigned=allow_unsigned)
            imported = self._import(incoming, str(place), None)
            wanted = (
                entry.content
                for release in chosen
                for entry in theirs.tree(release)
                if entry.content is not None and entry.path_class != "secret"
            )
            copied, size, lost = copy_contents(source, self._store, wanted, self._progress)
        return Cloned(imported=imported, contents=copied, size=size, missing=lost)

    def sign(self, data: bytes, secret: bytes) -> bytes:
        """An armored detached signature. Raises UsageError."""
        return make_signature(data, secret)

    def trusted(self) -> list[PublicKey]:
        """The public keys that vouch for catalogs. Raises DamagedError."""
        return self._trust.keys()

    def trust(self, key: bytes, *, only: Sequence[str] = ()) -> PublicKey:
        """Let a public key vouch for catalogs: for all, or `only` those of some applications (keys
        or UUIDs). Raises UsageError, OSError.
        """
        return self._trust.add(key, given.texts(only, "applications"))

    def distrust(self, fingerprint: str) -> PublicKey:
        """It vouches for nothing any more. Raises NotFoundError."""
        return self._trust.remove(fingerprint)

    def trust_record(self, key: str) -> TrustRecord:
        """What is known of a catalog beside its lines: who signed it, when it was imported."""
        return self._trust.record(find_refcat(self._store, key).app)

    def _check(
        self,
        data: bytes,
        signed: bytes | None,
        *,
        allow_unsigned: bool,
        signer: str | None = None,
    ) -> Incoming:
        return check_catalog(
            self._store,
            data,
            signed,
            self._progress,
            allow_unsigned=allow_unsigned,
            signer=signer,
        )

    def _import(self, incoming: Incoming, source: str, app: str | None) -> Imported:
        import_catalog(self._store, incoming, source, self._progress)
        return self._imported(incoming, app)

    def _imported(self, incoming: Incoming, app: str | None) -> Imported:
        """What an import that is done came to, with the applications that it is for from now on."""
        releases = Releases(self._store, incoming.about.app)
        return Imported(
            about=incoming.about,
            before=incoming.releases[incoming.known - 1].version if incoming.known else None,
            latest=releases.latest(),
            lines=len(incoming.lines) - incoming.new,
            signer=incoming.signer,
            bound=tuple(self._bind(incoming.about, app)),
            revoked=tuple(r for r in releases.all() if r.revoked is not None),
            withdrawn=tuple(sorted(releases.revoked_contents().items())),
        )

    def _bind(self, about: AboutRecord, named: str | None) -> Iterable[str]:
        """Keys of the applications that this catalog is for from now on."""
        for app in self._apps.list():
            has_own = refcat_of(app) == about.app
            is_meant = app.key == named or (named is None and app.key == about.key)
            if is_meant and not has_own:
                if app.key != named and Releases.of(self._store, app).exists():
                    continue  # it is compared with another catalog, and a user wanted that
                self._apps.bind(app.key, about.app)
                yield app.key


def open_other(place: Path, own: Store, safe: Container[Path] = ()) -> Store:
    """Another store, to read: perhaps of another machine, never of another owner, because SQLite
    writes beside what it reads. Raises NoStoreError, ForeignError, ConflictError.
    """
    if place.resolve() == own.path.resolve():
        raise ConflictError("that is this store itself")
    store = Store(place.absolute(), believe(place.absolute(), safe), own.clock)
    if not is_behind(store):
        return store
    store.close()
    raise NoStoreError(
        f"the index of the store at {place} is not up to date",
        hint="run any command on it where it lives, `epmstore stats` for one",
    )


def _chosen(releases: Releases, names: Sequence[str]) -> list[int]:
    """The releases of which contents are wanted. Raises VersionNotFoundError."""
    if "all" in names:
        return [one.version for one in releases.all()]
    return [releases.resolve(name) for name in names]
