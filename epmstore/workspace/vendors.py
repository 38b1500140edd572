"""`ws.vendors`: what a vendor does with reference catalogs. Thin: each verb names its use case.

A catalog is named by the key of an application of this host that has one, or by its own key or
UUID: a vendor's store needs no application. What is published does not say which of its vendor's
people did it: it goes to every host.
"""

import uuid as uuids
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from epmstore import given
from epmstore.catalog.appcat import check_key
from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.diff import Change
from epmstore.catalog.model import AboutRecord, Counts, RelabelRecord, RevokeRecord
from epmstore.clock import to_rfc3339
from epmstore.digest import Digest
from epmstore.errors import AppNotFoundError, ConflictError, UsageError, VersionNotFoundError
from epmstore.given import AnyPath, AnyVersion
from epmstore.package.parts import literal_pattern
from epmstore.package.publish import (
    PackageFile,
    pack_release,
    publish_candidate,
    sign_package,
)
from epmstore.progress import Progress
from epmstore.publish.numbering import number_candidate
from epmstore.refcat.append import (
    ReleaseDelta,
    ReleaseDraft,
    check_delta,
    make_delta,
    publish_delta,
    say,
)
from epmstore.refcat.archives import DebControl
from epmstore.refcat.catalogs import (
    KnownVendors,
    all_refcats,
    find_refcat,
    needs_of_others,
    registered,
)
from epmstore.refcat.converting import publish_founding
from epmstore.refcat.founding import FoundingVersion
from epmstore.refcat.gather import Gathered, Gatherer
from epmstore.refcat.naming import check_label
from epmstore.refcat.releases import Release, Releases
from epmstore.refcat.requires import check_one_way, parse_requirement
from epmstore.refcat.template import application_template, patch_template
from epmstore.refcat.unpacked import deb_control
from epmstore.relpath import ROOT, RelPath, from_bytes, is_relpath, to_bytes
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace.app.comparing import changes_of


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What adding a release came to. `release` is None for a dry run; `changed` is false if the
    newest release is the same tree, which is then `release`. `config` are patterns that the catalog
    says from now on, because packages named these files as configuration; `bases` are the releases
    that patches were asked for from.
    """

    about: AboutRecord
    release: Release | None
    label: str | None
    changed: bool
    counts: Counts
    files: int
    skipped: tuple[tuple[RelPath, str], ...] = ()
    config: tuple[str, ...] = ()
    bases: tuple[int, ...] = ()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a release comes from: folders and archives laid over each other, of each only what is
    `below` a folder of it; or a recorded `version` (selector) of the application `app`.
    """

    paths: Sequence[AnyPath] = ()
    below: AnyPath | None = None
    app: str | None = None
    version: int | None = None


class Vendors:
    """Of one open store."""

    def __init__(self, store: Store, *, progress: Progress) -> None:
        self._store = store
        self._progress = progress

    def init(
        self,
        key: str,
        *,
        name: str | None = None,
        uuid: str | None = None,
        patterns: Patterns = Patterns(),  # noqa: B008 - a frozen value
    ) -> AboutRecord:
        """Begin the catalog of an application: of the one that is registered here by that key, if
        there is one and no `uuid` is given. Raises UsageError, ConflictError.
        """
        check_key(given.a_name(key))
        Rules(patterns)
        app = _parse_uuid(uuid) if uuid else registered(self._store, key) or uuids.uuid4().hex
        for known in all_refcats(self._store):
            if key == known.key or app == known.app:
                raise ConflictError(
                    f"there is a catalog of {known.key} ({known.app}) already",
                    hint=f"`epmstore release list {known.key}`",
                )
        about = AboutRecord(time=self._now(), app=app, key=key, name=name, patterns=patterns)
        say(self._store, app, about)
        return about

    def describe(self, key: str, change: Callable[[AboutRecord], AboutRecord]) -> AboutRecord:
        """Say anew what a catalog is about; releases that are published keep their classes.

        Raises AppNotFoundError, UsageError.
        """
        releases = find_refcat(self._store, key)
        about = change(_about(releases))
        Rules(about.patterns)
        about = replace(about, time=self._now())
        say(self._store, releases.app, about)
        return about

    def catalogs(self) -> list[AboutRecord]:
        """All that this store has, in order of keys."""
        return all_refcats(self._store)

    def contents(self, entry: Entry) -> Iterator[bytes]:
        """The content of an entry of a release, in pieces. Raises BlobNotFoundError, DamagedError,
        UsageError for what has none.
        """
        if entry.content is None:
            raise UsageError(f"no content is released of {entry.path!r} (a {entry.kind})")
        return self._store.blobs.stream(entry.content)

    def releases(self, key: str) -> Releases:
        """What was released of an application. Raises AppNotFoundError."""
        return find_refcat(self._store, key)

    def add(
        self,
        key: str,
        source: Source,
        *,
        label: str | None = None,
        after: AnyVersion | None = None,
        requires: Sequence[str] = (),
        dry_run: bool = False,
    ) -> Published:
        """Publish one more release. `after` names the one that it follows in its line, if that
        is not the newest one. Raises AppNotFoundError, UsageError, ConflictError,
        InvalidNameError, EpmError, OSError, DamagedError; then nothing is published.
        """
        found = find_refcat(self._store, key)
        paths, below = given.several_places(source.paths), _below(source)
        controls = [c for path in paths if (c := _control_of(path)) is not None]
        with self._store.lock_app(found.app), Deposit(self._store) as deposit:
            about, config = _with_conffiles(_about(found), controls, below)
            latest = found.latest()
            line = _line_of(found, latest, after)
            old = {} if latest is None else {e.path: e for e in found.tree(latest.version)}
            gatherer = self._gatherer(deposit, found, about, old)
            self._gather(gatherer, source, paths, below)
            gathered = gatherer.finish()
            draft = self._draft(found.app, gathered, label or _label_of(controls), line, requires)
            delta = make_delta(old, gathered.entries)
            is_new = latest is None or not delta.is_empty
            if is_new and dry_run:
                check_delta(self._store, about, delta, draft)
            elif is_new:
                self._publish(deposit, replace(about, time=self._now()), config, delta, draft)
        return Published(
            about=about,
            release=None if dry_run and is_new else found.latest(),
            label=draft.label,
            changed=is_new,
            counts=delta.counts,
            files=sum(entry.kind == "file" for entry in gathered.entries),
            skipped=tuple(gathered.skipped),
            config=config if is_new else (),
        )

    def publish(
        self,
        candidate: AnyPath,
        *,
        after: AnyVersion | None = None,
        patch_from: Sequence[AnyVersion] = (),
        dry_run: bool = False,
    ) -> Published:
        """Publish what was built as a candidate of a package, in the catalog of its product.
        `after` as for `add`; `patch_from` are releases that patches are wanted from: which they
        are, `bases` says. Raises UsageError for what is no candidate, AppNotFoundError,
        VersionNotFoundError, BadPackageError, ConflictError, OSError; then nothing is published.
        """
        follows = None if after is None else given.a_release(after)
        done = publish_candidate(
            self._store,
            given.a_place(candidate),
            self._progress,
            after=None if follows is None else str(follows),
            patch_from=[str(given.a_release(one)) for one in patch_from],
            dry_run=dry_run,
        )
        return Published(
            about=done.about,
            release=done.release,
            label=done.label,
            changed=done.changed,
            counts=done.delta.counts,
            files=done.files,
            bases=done.bases,
        )

    def number(self, candidate: AnyPath, *, product: str) -> int:
        """The number of the release that a candidate is; published first if it was not yet. Raises
        as `publish`, NotFoundError, UsageError if it is one of another product.
        """
        return number_candidate(self._store, given.a_place(candidate), product, self._progress)

    def pack(
        self,
        key: str,
        release: AnyVersion,
        folder: AnyPath,
        *,
        since: AnyVersion | None = None,
        secret: bytes | None = None,
    ) -> PackageFile:
        """The package of a release, in a folder, signed with a `secret` key; or the patch package
        that leads to it from an older one (`since`). One that is there is left as it is. Raises
        AppNotFoundError, VersionNotFoundError, ConflictError if the file of its name is another,
        UsageError, OSError.
        """
        found = find_refcat(self._store, key)
        number, place = _number(found, release), given.a_place(folder)
        before = None if since is None else _number(found, since)
        made = pack_release(self._store, found, number, place, self._progress, before)
        if secret is None:
            return made
        sign_package(made.path, secret)
        return replace(made, signed=True)

    def convert(
        self, key: str, versions: Sequence[FoundingVersion], sources: Sequence[AnyPath]
    ) -> list[int]:
        """Publish the versions of a founding catalog; the contents are stored here already, or are
        in the folders and archives `sources`. Raises NotFoundError if one is not; then nothing is
        published.
        """
        found = find_refcat(self._store, key)
        places = given.several_places(sources)
        return publish_founding(self._store, _about(found), versions, places, self._progress)

    def tree(self, key: str, release: AnyVersion) -> list[Entry]:
        """A whole release in byte order of paths. Raises AppNotFoundError, VersionNotFoundError."""
        found = find_refcat(self._store, key)
        return list(found.tree(_number(found, release)))

    def diff(
        self, key: str, one: AnyVersion | None, two: AnyVersion, paths: Sequence[AnyPath] = ()
    ) -> list[Change]:
        """What leads from one release (None: from nothing) to another. Raises
        VersionNotFoundError.
        """
        found, scope = find_refcat(self._store, key), given.scope(paths)
        last = _number(found, two)
        if one is None:
            return changes_of(((None, entry) for entry in found.tree(last)), scope)
        return changes_of(found.changed(_number(found, one), last), scope)

    def template(self, key: str, release: AnyVersion) -> dict[str, object]:
        """The application template of a release. Raises VersionNotFoundError."""
        found = find_refcat(self._store, key)
        number = _number(found, release)
        return application_template(_about(found), found.get(number), found.tree(number))

    def patch(
        self, key: str, release: AnyVersion, start: AnyVersion | None = None
    ) -> dict[str, object]:
        """The patch template that leads to a release; from the one that it follows, unless `start`
        says another. Raises VersionNotFoundError.
        """
        found = find_refcat(self._store, key)
        last = found.get(_number(found, release))
        number = found.lines().before(last.version) if start is None else _number(found, start)
        first = None if number is None else found.get(number)
        changes = self.diff(key, number, last.version)
        return patch_template(_about(found), first, last, changes)

    def revoke(
        self,
        key: str,
        *,
        release: AnyVersion | None = None,
        digest: Digest | None = None,
        reason: str = "",
        revoked: bool = True,
    ) -> None:
        """Withdraw a release, or a component wherever it is; or take that back. Raises
        VersionNotFoundError, UsageError.
        """
        found = find_refcat(self._store, key)
        if (release is None) == (digest is None):
            raise UsageError("either a release or a component is withdrawn")
        number = None if release is None else _number(found, release)
        if number is None and digest is not None and not found.has_component(digest):
            raise VersionNotFoundError(
                f"no release of {key} has the component {digest.hex()}", digest=digest.hex()
            )
        record = RevokeRecord(
            time=self._now(),
            version=number,
            digest=None if digest is None else digest.hex(),
            revoked=revoked,
            reason=reason,
        )
        say(self._store, found.app, record)

    def relabel(
        self, key: str, release: AnyVersion, label: str | None, *, dry_run: bool = False
    ) -> Release:
        """Put the label of a release right (None: it has none); the release as it was. What is
        published stays: a record is appended. Raises VersionNotFoundError, UsageError.
        """
        found = find_refcat(self._store, key)
        before = found.get(_number(found, release))
        if label is not None:
            check_label(found.all(), label, of=before.version)
        if label != before.label and not dry_run:
            record = RelabelRecord(time=self._now(), version=before.version, label=label)
            say(self._store, found.app, record)
        return before

    def _gatherer(
        self, deposit: Deposit, found: Releases, about: AboutRecord, old: Mapping[RelPath, Entry]
    ) -> Gatherer:
        rules = Rules(about.patterns)
        return Gatherer(deposit, found.catalog, rules, old, self._progress)

    def _gather(
        self, gatherer: Gatherer, source: Source, paths: Sequence[Path], below: RelPath | None
    ) -> None:
        if source.version is not None:
            assert source.app is not None, "a version is one of an application"
            tree = self._store.entries.tree(source.app, source.version)
            gatherer.add_tree(tree)
        for path in paths:
            if path.is_dir():
                gatherer.add_folder(path / below if below else path)
            else:
                gatherer.add_archive(path, below)

    def _publish(
        self,
        deposit: Deposit,
        about: AboutRecord,
        config: Sequence[str],
        delta: ReleaseDelta,
        draft: ReleaseDraft,
    ) -> None:
        if config:  # first: the entries are of the classes that this says
            say(self._store, about.app, about)
        publish_delta(deposit, about, delta, draft)

    def _draft(
        self,
        app: str,
        gathered: Gathered,
        label: str | None,
        after: int | None,
        requires: Sequence[str],
    ) -> ReleaseDraft:
        tree = {entry.path: entry for entry in gathered.entries}
        vendors = KnownVendors(self._store)
        needs = tuple(
            parse_requirement(text, tree, vendors) for text in given.texts(requires, "needs")
        )
        keys = {one.app: one.key for one in all_refcats(self._store)}
        check_one_way(app, needs, needs_of_others(self._store, app), keys)
        return ReleaseDraft(label=label, requires=needs, after=after)

    def _now(self) -> str:
        return to_rfc3339(self._store.clock.now())


def _about(releases: Releases) -> AboutRecord:
    about = releases.about()
    if about is None:
        raise AppNotFoundError(f"the catalog of {releases.app} does not say what it is about")
    return about


def _number(releases: Releases, release: AnyVersion) -> int:
    """Of a release that a user named. Raises VersionNotFoundError, UsageError."""
    return releases.resolve(given.a_release(release))


def _line_of(releases: Releases, latest: Release | None, after: AnyVersion | None) -> int | None:
    """The release that the next one follows; None: the newest one."""
    found = None if after is None else _number(releases, after)
    return None if latest is not None and found == latest.version else found


def _below(source: Source) -> RelPath | None:
    below = None if source.below is None else given.a_path(source.below)
    return None if below == ROOT else below


def _control_of(path: Path) -> DebControl | None:
    return None if path.is_dir() else deb_control(path)


def _label_of(controls: Sequence[DebControl]) -> str | None:
    """What a package says of itself: the version of the first deb."""
    return controls[0].version or None if controls else None


def _with_conffiles(
    about: AboutRecord, controls: Sequence[DebControl], below: RelPath | None
) -> tuple[AboutRecord, tuple[str, ...]]:
    """What a catalog says once the files that packages name as configuration are that, and the
    patterns that it takes.
    """
    top = b"" if below is None else to_bytes(below) + b"/"
    paths = [raw[len(top) :] for one in controls for raw in one.conffiles if raw.startswith(top)]
    rules = Rules(about.patterns)
    named = (from_bytes(raw) for raw in dict.fromkeys(paths) if raw)
    config = tuple(
        literal_pattern(path)
        for path in named
        if is_relpath(path) and rules.classify(path, False) == "program"
    )
    patterns = replace(about.patterns, config=(*about.patterns.config, *config))
    return replace(about, patterns=patterns), config


def _parse_uuid(text: str) -> str:
    try:
        return uuids.UUID(text).hex
    except ValueError:
        raise UsageError(f"{text!r} is not a UUID") from None
