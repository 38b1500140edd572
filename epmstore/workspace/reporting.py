"""Making and reading the report of an application."""

import secrets
from collections.abc import Iterator

from epmstore import __version__
from epmstore.clock import to_rfc3339
from epmstore.digest import Sha256, parse_digest
from epmstore.errors import UsageError
from epmstore.given import AnyVersion
from epmstore.record.recorder import Look
from epmstore.record.root import open_root
from epmstore.refcat.classify import same_state
from epmstore.refcat.identify import Identifier, Origin
from epmstore.refcat.knowledge import Knowledge
from epmstore.refcat.releases import Releases
from epmstore.refcat.report import (
    Facts,
    Form,
    Line,
    check_catalog,
    check_report,
    make_report,
    redactor,
)
from epmstore.refcat.verify import Verified
from epmstore.relpath import RelPath, sort_paths
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace.deviations import since_of
from epmstore.workspace.repairing import Repairing
from epmstore.workspace.shapes import explanation, text


class Reporting(Repairing):
    """Reports on one application."""

    def report(self, host: str, release: AnyVersion | None = None, *, redact: bool = False) -> Form:
        """The `report` of docs/json.md. Contents are never in it. Writes nothing. Raises as
        `verify`.
        """
        with open_root(self.app) as root:
            look = self._recorder.status(root)
        verified = self._verify(look, release)
        state, releases = self.state(), self.releases
        deviations = []
        for one in verified.findings:
            since = since_of(state, self._since(look, one.path, verified.is_right(one)))
            more = {
                "since": None if since is None else since.version,
                "time": None if since is None else since.time,
                "window": None if since is None else since.window,
                "accepted": one.path in verified.accepted,
            }
            deviations.append((one, more))
        return make_report(
            self._facts(look, verified, host),
            self._report_lines(look, verified, releases),
            deviations,
            self._report_versions(),
            redact=redactor(secrets.token_bytes(16)) if redact else None,
        )

    def _facts(self, look: Look, verified: Verified, host: str) -> Facts:
        newest, position = look.head.version, self._store.entries.position(self.app.uuid)
        releases = self.releases
        latest, head = releases.latest(), releases.head()
        assert latest is not None and head is not None, "a root was verified with it"
        return Facts(
            time=to_rfc3339(self._store.clock.now()),
            host=host,
            program=f"epmstore {__version__}",
            key=self.app.key,
            uuid=self.app.uuid,
            root=text(self.app.root) or "",
            catalog=releases.app,
            vendor_key=self.vendor_key(releases.app),
            head=head,
            latest=latest,
            labels={one.version: one.label for one in releases.numbers()},
            release=verified.release,
            syscat=(
                None if newest is None else newest.version,
                None if newest is None else newest.time,
                None if position is None else position[1],
            ),
            counts=verified.counts,
            files=verified.files,
            withdrawn=verified.withdrawn,
        )

    def _report_lines(self, look: Look, verified: Verified, releases: Releases) -> Iterator[Line]:
        """Every file and link of the live root, in byte order."""
        found: dict[RelPath, Entry] = {}
        if look.head.number is not None:
            tree = self._store.entries.tree(self.app.uuid, look.head.number)
            found = {entry.path: entry for entry in tree}
        for entry in look.changes.gone():
            found.pop(entry.path, None)
        found.update({entry.path: entry for entry in look.changes.come()})
        contents = {entry.content.sha256 for entry in found.values() if entry.content is not None}
        firsts: dict[tuple[RelPath, Sha256], int] = {}
        for sha256, spans in releases.spans(contents).items():
            for span in spans:
                if span.app == releases.app:
                    key = (span.path, sha256)
                    firsts[key] = min(span.since, firsts.get(key, span.since))
        knowledge = Knowledge(releases)
        whats = {one.path: one.what for one in verified.findings}
        for path in sort_paths(found):
            entry = found[path]
            if entry.kind != "directory":
                what = self._what_else(entry)
                content = entry.content
                if entry.kind == "symlink":
                    states = [s for s in knowledge.states(path) if same_state(s.entry, entry)]
                    first = min((span.since for span in states), default=None)
                else:
                    first = None if content is None else firsts.get((path, content.sha256))
                yield entry, whats.get(path, what), first

    def _what_else(self, entry: Entry) -> str:
        """What a path is that has no finding: not known, if nobody compared it."""
        if entry.path_class == "state":
            return "state"
        found = self._merged(entry.path, False)
        return found if found in ("state", "ignore") else "known"

    def _report_versions(self) -> list[Form]:
        """The history in short, newest first."""
        reasons = self.explanations()
        found: list[Form] = []
        for info in reversed(self.versions()):
            explained = explanation(reasons.get(info.version))
            if explained is not None:
                explained["unexplained"] = []  # names, which a report says once, or not at all
            record = info.record
            found.append(
                {
                    "version": info.version,
                    "time": record.time,
                    "kind": info.kind,
                    "reason": record.reason,
                    "added": record.counts.added,
                    "modified": record.counts.modified,
                    "removed": record.counts.removed,
                    "explanation": explained,
                }
            )
        return found


class ReadReport:
    """A report that somebody sent, beside the catalog here."""

    def __init__(self, store: Store, form: object) -> None:
        """Raises UsageError, VersionNotFoundError, ConflictError."""
        self.form = check_report(form)
        claimed = self.form["catalog"]
        releases = Releases(store, str(claimed["app"]))
        if releases.latest() is None:
            raise UsageError(
                f"there is no catalog of {claimed['key']} ({claimed['app']}) in this store",
                hint="a report is read beside the catalog that it was made with",
            )
        self.release = check_catalog(self.form, releases)
        self.latest = releases.latest()
        self._identifier = Identifier(store)

    def known_here(self) -> dict[str, list[Origin]]:
        """Path to where its bytes were shipped, for deviations that the host did not know, and that
        some catalog here does.
        """
        found: dict[str, list[Origin]] = {}
        for one in self.form["deviations"]:
            if one["digest"] is None or one["what"] not in ("local", "unknown"):
                continue
            infos = self._identifier.with_digest(parse_digest(one["digest"]))
            origins = [o for many in self._identifier.origins(infos).values() for o in many]
            if origins:
                found[one["path"]] = origins
        return found
