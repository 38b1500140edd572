"""`app.verifying`: the root beside what it should be."""

from collections.abc import Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from epmstore import given
from epmstore.catalog.classes import Class
from epmstore.catalog.installed import (
    InstalledSet,
    find_product,
    installed_at,
    is_uninstalled,
    with_product,
)
from epmstore.catalog.model import AcceptRecord, Installed
from epmstore.errors import NotFoundError, PathNotFoundError
from epmstore.given import AnyPath, AnyVersion
from epmstore.record.recorder import Look
from epmstore.refcat.baseline import Accepted, IsRight, deviates_since, is_same
from epmstore.refcat.releases import Release, key_of
from epmstore.refcat.verify import Verified, Verifier
from epmstore.relpath import ROOT, RelPath, is_within, sort_paths
from epmstore.tree import Entry, PathClass, path_of
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.recording import status_of
from epmstore.workspace.app.written_files import rendered_now
from epmstore.workspace.deviations import (
    BaselineStatus,
    DatedDeviation,
    of_changes,
    since_of,
    what_became,
)


class Verifying:
    """Compares the root of one application with a release, an accepted version, or the newest."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._entries = context.store.entries
        self._app = context.app

    @property
    def accepted(self) -> Accepted:
        """What a user declared right."""
        return Accepted(self._context.state().accepts)

    def vendor_key(self, app: str) -> str:
        """What its vendor calls an application (UUID)."""
        return key_of(self._context.store, app)

    def verify(self, release: AnyVersion | None = None, paths: Sequence[AnyPath] = ()) -> Verified:
        """What every path of the live root is to the vendor; without `release`, as the release that
        best explains it, of which nothing is missed once it was uninstalled; with `paths`, of these
        and what is below them. Writes nothing. Raises NotFoundError, VersionNotFoundError,
        PathNotFoundError, RootError.
        """
        look, context = self._context.look(), self._context
        number = None if release is None else context.trees.release_number(release)
        verified = verifier_of(context).verify(look, number, given.scope(paths))
        if number is not None or not was_uninstalled(context):
            return verified
        left = tuple(one for one in verified.findings if one.what != "missing")
        accepted = verified.accepted & {one.path for one in left}
        return replace(verified, findings=left, accepted=accepted, is_uninstalled=True)

    def accept(
        self,
        selector: AnyVersion = "latest",
        paths: Sequence[AnyPath] = (),
        reason: str | None = None,
    ) -> AcceptRecord:
        """Declare a version right: all of it, or some paths of it and what is below them.

        Raises VersionNotFoundError; PathNotFoundError for a path that no version ever had;
        NotFoundError for paths alone where nothing else says what is right.
        """
        record = self._accept_record(selector, paths, reason)
        self._context.commit(record)
        return record

    def check_accept(self, selector: AnyVersion, paths: Sequence[AnyPath]) -> AcceptRecord:
        """What `accept` would write. Raises as it does."""
        return self._accept_record(selector, paths, None)

    def baseline_status(self) -> BaselineStatus:
        """The root beside its baseline: the release, unless its product was uninstalled; else the
        accepted version, else the newest version. Writes nothing. Raises RootError, DamagedError.
        """
        look = self._context.look()
        status = status_of(self._context, look)
        releases = self._context.releases
        if releases.latest() is not None and not was_uninstalled(self._context):
            return self._against_release(look, BaselineStatus(status=status, baseline="release"))
        accepted = self.accepted
        if look.head.number is None:
            return BaselineStatus(status=status, baseline=None)
        if accepted.baseline is None:
            found = (
                DatedDeviation(path=path, what=what, path_class=self._class(path))
                for path, what in of_changes(status)
            )
            return BaselineStatus(status=status, baseline="version", deviations=tuple(found))
        return BaselineStatus(
            status=status,
            baseline="accepted",
            accepted=accepted.baseline.version,
            deviations=tuple(self._against_accepted(look, accepted)),
        )

    def _against_release(self, look: Look, known: BaselineStatus) -> BaselineStatus:
        verified = verifier_of(self._context).verify(look)
        state = self._context.state()
        labels = {one.version: one.label for one in self._context.releases.all()}
        deviations = tuple(
            DatedDeviation(
                path=one.path,
                what=one.what,
                path_class=one.path_class,
                release=one.release,
                label=None if one.release is None else labels.get(one.release),
                since=since_of(
                    state, since_in(self._context, look, one.path, verified.is_right(one))
                ),
            )
            for one in verified.deviations
        )
        return BaselineStatus(
            status=known.status,
            baseline="release",
            release=verified.release.version,
            label=verified.release.label,
            revoked=verified.release.revoked,
            withdrawn=verified.withdrawn,
            deviations=deviations,
            excused=tuple(one.path for one in verified.findings if one.path in verified.accepted),
        )

    def _against_accepted(self, look: Look, accepted: Accepted) -> list[DatedDeviation]:
        state, found = self._context.state(), []
        for path, (wanted, entry) in self._accepted_pairs(look, accepted).items():
            by_name = accepted.by_path(path)
            if by_name is not None:
                wanted = self._entries.at(self._app.uuid, by_name.version, path)
            if is_same(wanted, entry) or _is_folder_of_others(wanted, entry):
                continue
            since = since_in(self._context, look, path, partial(is_same, wanted))
            found.append(
                DatedDeviation(
                    path=path,
                    what=what_became(wanted, entry),
                    path_class=self._class(path),
                    since=since_of(state, since),
                )
            )
        return [one for one in found if one.path_class != "state"]

    def _accepted_pairs(
        self, look: Look, accepted: Accepted
    ) -> dict[RelPath, tuple[Entry | None, Entry | None]]:
        """(entry in the accepted version, entry in the live root) of every path that may differ, in
        byte order.
        """
        newest, baseline = look.head.number, accepted.baseline
        assert newest is not None and baseline is not None, "the caller checked"
        entries, app = self._entries, self._app.uuid
        pairs = {path_of(pair): pair for pair in entries.changed(app, baseline.version, newest)}
        for path in map(RelPath, accepted.paths):
            for span in [*entries.history(app, path)][-1:]:
                now = span.entry if span.until is None else None
                pairs.setdefault(path, (now, now))
        changes = look.changes
        now_pairs: list[tuple[Entry | None, Entry | None]] = [*changes.modified]
        now_pairs += [(None, entry) for entry in changes.added]
        now_pairs += [(entry, None) for entry in changes.lost]
        for old, new in now_pairs:
            path = path_of((old, new))
            pairs[path] = (pairs[path][0] if path in pairs else old, new)
        return {path: pairs[path] for path in sort_paths(pairs)}

    def _accept_record(
        self, selector: AnyVersion, paths: Sequence[AnyPath], reason: str | None
    ) -> AcceptRecord:
        version, scope = self._context.trees.version(selector), given.scope(paths)
        if scope and self._context.releases.latest() is None and self.accepted.baseline is None:
            raise NotFoundError(
                f"{self._app.key} has no baseline that single paths could differ from",
                hint="accept a whole version first: epmstore accept VERSION",
            )
        for path in scope:
            if not self._entries.history(self._app.uuid, path) and not any(
                is_within(entry.path, [path])
                for entry in self._entries.live_below(self._app.uuid, path)
            ):
                raise PathNotFoundError(
                    f"{self._app.key} never had {path!r}",
                    hint="record it first: epmstore snapshot",
                    path=path,
                )
        time, actor = self._context.now(), self._context.actor
        return AcceptRecord(
            time=time, actor=actor, version=version, paths=scope or None, reason=reason
        )

    def _class(self, path: RelPath) -> PathClass:
        found: Class = "program"
        if path != ROOT:
            found = self._context.recorder.rules.classify(path)
        return "program" if found == "ignore" else found


def verifier_of(context: AppContext, rendered: Mapping[RelPath, Entry] | None = None) -> Verifier:
    """What compares the root with releases, less what was accepted; beside them are to be the files
    that parameters are written into (None: as they were written last).
    """
    accepted = Accepted(context.state().accepts)
    rendered = rendered_now(context) if rendered is None else rendered
    installed = installed_release(context)
    return Verifier(context.recorder, context.releases, accepted, installed, rendered)


def installed_release(context: AppContext) -> int | None:
    """The number of the release that is installed, of those that the root is compared with."""
    found = find_product(installed_at(context.state()), context.releases.app)
    return None if found is None else found.release


def was_uninstalled(context: AppContext) -> bool:
    """Whether the root is to be as no release of its vendor: what was installed was taken away."""
    return is_uninstalled(context.state(), context.releases.app)


def installed_with(context: AppContext, release: Release) -> InstalledSet | None:
    """What is installed once the root is at another release of what is installed now; None if
    nothing of it is.
    """
    now = installed_at(context.state())
    if find_product(now, context.releases.app) is None:
        return None
    product = context.releases.app
    said = Installed(product=product, release=release.version, digest=release.digest)
    return with_product(now, said)


def since_in(context: AppContext, look: Look, path: RelPath, is_right: IsRight) -> int | None:
    """The version that first recorded a deviation that is still there."""
    if look.head.number is None:
        return None
    spans = context.store.entries.history(context.app.uuid, path)
    first, _ = context.state().span() or (0, 0)
    return deviates_since(spans, look.head.number, is_right, first)


def _is_folder_of_others(one: Entry | None, two: Entry | None) -> bool:
    """A folder that came or went says nothing that what is in it does not say."""
    entry = one or two
    return (one is None or two is None) and entry is not None and entry.kind == "directory"
