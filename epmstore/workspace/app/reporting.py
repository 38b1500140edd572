"""The report of an application: where each of its files is from, what deviates, and its history."""

import secrets
from collections.abc import Callable, Iterator
from functools import cached_property

from epmstore import __version__
from epmstore.catalog.classes import Class, Rules
from epmstore.digest import Sha256
from epmstore.entryform import Form
from epmstore.given import AnyVersion
from epmstore.record.recorder import Look
from epmstore.refcat.classify import same_state
from epmstore.refcat.knowledge import Knowledge
from epmstore.refcat.releases import Releases, key_of
from epmstore.refcat.report import Facts, ReportLine, make_report, redactor
from epmstore.refcat.verify import Verified, merged_rules
from epmstore.relpath import RelPath, sort_paths
from epmstore.tree import Entry
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.explaining import Explaining
from epmstore.workspace.app.verifying import since_in, verifier_of
from epmstore.workspace.deviations import since_of
from epmstore.workspace.shapes import explanation, text


class Reporter:
    """Makes reports on one application."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    def report(self, host: str, release: AnyVersion | None = None, *, redact: bool = False) -> Form:
        """The `report` of docs/json.md. Contents are never in it. Writes nothing. Raises as
        `verify`.
        """
        look, context = self._context.look(), self._context
        number = None if release is None else context.trees.release_number(release)
        verified = verifier_of(context).verify(look, number)
        state, releases = context.state(), context.releases
        deviations = []
        for one in verified.findings:
            since = since_of(state, since_in(context, look, one.path, verified.is_right(one)))
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
        store, app, releases = self._context.store, self._context.app, self._context.releases
        newest, position = look.head.version, store.entries.position(app.uuid)
        latest, head = releases.latest(), releases.head()
        assert latest is not None and head is not None, "a root was verified with it"
        return Facts(
            time=self._context.now(),
            host=host,
            program=f"epmstore {__version__}",
            key=app.key,
            uuid=app.uuid,
            root=text(app.root) or "",
            catalog=releases.app,
            vendor_key=key_of(store, releases.app),
            head=head,
            latest=latest,
            labels={one.version: one.label for one in releases.all()},
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

    def _report_lines(
        self, look: Look, verified: Verified, releases: Releases
    ) -> Iterator[ReportLine]:
        """Every file and link of the live root, in byte order."""
        found: dict[RelPath, Entry] = {}
        if look.head.number is not None:
            app = self._context.app.uuid
            tree = self._context.store.entries.tree(app, look.head.number)
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

    @cached_property
    def _classify(self) -> Callable[[str, bool], Class]:
        """The class of a path by the host's rules and its vendor's."""
        return merged_rules(self._context.recorder.rules, Rules(self._context.releases.patterns()))

    def _what_else(self, entry: Entry) -> str:
        """What a path is that has no finding: not known, if it was not compared."""
        if entry.path_class == "state":
            return "state"
        found = self._classify(entry.path, False)
        return found if found in ("state", "ignore") else "known"

    def _report_versions(self) -> list[Form]:
        """The history in short, newest first."""
        reasons = Explaining(self._context).explanations()
        found: list[Form] = []
        for info in reversed(self._context.state().versions):
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
