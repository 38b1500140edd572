"""The verbs of one application that need to know what is right: verify, accept, standing."""

from collections.abc import Callable, Sequence

from epmstore import given
from epmstore.catalog.classes import Class, Rules
from epmstore.catalog.model import AcceptRecord
from epmstore.catalog.state import CatalogState
from epmstore.clock import to_rfc3339
from epmstore.errors import NotFoundError, PathNotFoundError
from epmstore.given import AnyPath, AnyVersion
from epmstore.record.recorder import Look
from epmstore.record.root import open_root
from epmstore.refcat.baseline import Accepted, Right, deviates_since, is_same
from epmstore.refcat.blame import Blamed, blame
from epmstore.refcat.explain import Explanation
from epmstore.refcat.explaining import Explainer
from epmstore.refcat.knowledge import Knowledge
from epmstore.refcat.releases import Releases, key_of
from epmstore.refcat.verify import Verified, Verifier, merged_rules
from epmstore.relpath import ROOT, RelPath, is_within, sort_paths
from epmstore.store.commit import commit_fact
from epmstore.tree import Entry, PathClass, path_of
from epmstore.workspace.deviations import Deviation, Standing, of_changes, since_of, what_became
from epmstore.workspace.live import Live


class Verifying(Live):
    """Compares the root of one application with what it should be."""

    @property
    def releases(self) -> Releases:
        """Those that the application is compared with; none, if it has no refcat."""
        return self._context.releases

    @property
    def accepted(self) -> Accepted:
        """What somebody declared right."""
        return Accepted(self.state().accepts)

    def vendor_key(self, app: str) -> str:
        """What its vendor calls an application (UUID)."""
        return key_of(self._store, app)

    def verify(self, release: AnyVersion | None = None, paths: Sequence[AnyPath] = ()) -> Verified:
        """What every path of the live root is to the vendor; without `release`, as the release that
        best explains it; with `paths`, of these and what is below them. Writes nothing. Raises
        NotFoundError, VersionNotFoundError, PathNotFoundError, RootError.
        """
        with open_root(self.app) as root:
            look = self._recorder.status(root)
        return self._verify(look, release, given.scope(paths))

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
        commit_fact(self._store, self.app.uuid, record)
        return record

    def check_accept(self, selector: AnyVersion, paths: Sequence[AnyPath]) -> AcceptRecord:
        """What `accept` would write. Raises as it does."""
        return self._accept_record(selector, paths, None)

    def standing(self) -> Standing:
        """The root beside its baseline: the release, else the accepted version, else the newest
        version. Writes nothing. Raises RootError, DamagedError.
        """
        with open_root(self.app) as root:
            look = self._recorder.status(root)
        status = self._status(look)
        if self.releases.latest() is not None:
            return self._against_release(look, Standing(status=status, baseline="release"))
        accepted = self.accepted
        if look.head.number is None:
            return Standing(status=status, baseline=None)
        if accepted.baseline is None:
            found = (
                Deviation(path=path, what=what, path_class=self._class(path))
                for path, what in of_changes(status)
            )
            return Standing(status=status, baseline="version", deviations=tuple(found))
        return Standing(
            status=status,
            baseline="accepted",
            accepted=accepted.baseline.version,
            deviations=tuple(self._against_accepted(look, accepted)),
        )

    def explanations(self) -> dict[int, Explanation]:
        """What explains each version, by the refcat; empty without one. Raises DamagedError."""
        releases = self.releases
        vendors = releases.patterns()
        classify = self._merged
        rules = f"{self._recorder.rules.digest()} {vendors.digest()}"
        explainer = Explainer(self._store, self.app.uuid, releases, classify, rules)
        return explainer.explain(self.state())

    def blame(self, path: AnyPath) -> list[Blamed]:
        """Every change of a path that was recorded, newest first. Raises PathNotFoundError."""
        state, path = self.state(), given.a_path(path)
        first, entries = _first(state), self._store.entries

        def changed(version: int) -> Sequence[RelPath]:
            if version == first:
                return ()
            return sort_paths(map(path_of, entries.changed(self.app.uuid, version - 1, version)))

        return blame(
            self.history(path),
            Knowledge(self.releases).states(path),
            {info.version: info for info in state.versions},
            self.explanations(),
            changed,
        )

    def _against_release(self, look: Look, standing: Standing) -> Standing:
        verified = self._verifier().verify(look)
        state = self.state()
        labels = {one.version: one.label for one in self.releases.numbers()}
        deviations = tuple(
            Deviation(
                path=one.path,
                what=one.what,
                path_class=one.path_class,
                release=one.release,
                label=None if one.release is None else labels.get(one.release),
                since=since_of(state, self._since(look, one.path, verified.is_right(one))),
            )
            for one in verified.deviations
        )
        return Standing(
            status=standing.status,
            baseline="release",
            release=verified.release.version,
            label=verified.release.label,
            revoked=verified.release.revoked,
            withdrawn=verified.withdrawn,
            deviations=deviations,
            excused=tuple(one.path for one in verified.findings if one.path in verified.accepted),
        )

    def _against_accepted(self, look: Look, accepted: Accepted) -> list[Deviation]:
        state, found = self.state(), []
        for path, (wanted, entry) in self._accepted_pairs(look, accepted).items():
            by_name = accepted.by_path(path)
            if by_name is not None:
                wanted = self._store.entries.at(self.app.uuid, by_name.version, path)
            if is_same(wanted, entry) or _is_folder_of_others(wanted, entry):
                continue
            since = self._since(look, path, lambda then, right=wanted: is_same(then, right))  # type: ignore[misc]
            found.append(
                Deviation(
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
        entries, app = self._store.entries, self.app.uuid
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

    def _since(self, look: Look, path: RelPath, is_right: Right) -> int | None:
        """The version that first recorded a deviation that is still there."""
        if look.head.number is None:
            return None
        spans = self._store.entries.history(self.app.uuid, path)
        return deviates_since(spans, look.head.number, is_right, _first(self.state()))

    def _accept_record(
        self, selector: AnyVersion, paths: Sequence[AnyPath], reason: str | None
    ) -> AcceptRecord:
        version, scope = self.version(selector), given.scope(paths)
        if scope and self.releases.latest() is None and self.accepted.baseline is None:
            raise NotFoundError(
                f"{self.app.key} has no baseline that single paths could differ from",
                hint="accept a whole version first: epmstore accept VERSION",
            )
        for path in scope:
            if not self._store.entries.history(self.app.uuid, path) and not any(
                is_within(entry.path, [path])
                for entry in self._store.entries.live_below(self.app.uuid, path)
            ):
                raise PathNotFoundError(
                    f"{self.app.key} never had {path!r}",
                    hint="record it first: epmstore snapshot",
                    path=path,
                )
        time = to_rfc3339(self._store.clock.now())
        return AcceptRecord(
            time=time,
            actor=self._recorder.actor,
            version=version,
            paths=scope or None,
            reason=reason,
        )

    @property
    def _merged(self) -> Callable[[str, bool], Class]:
        """The class of a path by the host's rules and its vendor's."""
        return merged_rules(self._recorder.rules, Rules(self.releases.patterns()))

    def _number(self, release: AnyVersion) -> int:
        """Of the release that somebody named. Raises NotFoundError without a refcat,
        VersionNotFoundError, UsageError.
        """
        return self._context.trees.published().resolve(given.a_release(release))

    def _verify(
        self, look: Look, release: AnyVersion | None, scope: tuple[RelPath, ...] = ()
    ) -> Verified:
        number = None if release is None else self._number(release)
        return self._verifier().verify(look, number, scope)

    def _verifier(self) -> Verifier:
        return Verifier(self._recorder, self.releases, self.accepted)

    def _class(self, path: RelPath) -> PathClass:
        found = "program" if path == ROOT else self._recorder.rules.classify(path)
        return "program" if found == "ignore" else found


def _first(state: CatalogState) -> int:
    return state.versions[0].version if state.versions else 0


def _is_folder_of_others(one: Entry | None, two: Entry | None) -> bool:
    """A folder that came or went says nothing that what is in it does not say."""
    entry = one or two
    return (one is None or two is None) and entry is not None and entry.kind == "directory"
