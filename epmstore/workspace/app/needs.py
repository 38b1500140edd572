"""What releases need, and what of that is not there: asked before the root is brought to one."""

import shlex
from collections.abc import Collection, Sequence

from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.request import Prepared
from epmstore.checkout.wanted import FoundRoot
from epmstore.digest import parse_digest
from epmstore.errors import NeedsError
from epmstore.refcat.host import StoreHost
from epmstore.refcat.requires import Unmet, unmet, unmet_by
from epmstore.store.store import is_refcat
from epmstore.workspace.app.context import AppContext


class Needs:
    """What the releases of an application need, and what of that is not on this host."""

    def __init__(self, context: AppContext) -> None:
        self._app = context.app
        self._store = context.store
        self._releases = context.releases

    def unmet(self, release: int) -> list[Unmet]:
        """What a release needs and this host, as it was recorded last, does not have."""
        requires = self._releases.get(release).requires
        if not requires:
            return []
        tree = {entry.path: entry for entry in self._releases.tree(release)}
        return unmet(requires, tree, StoreHost(self._store))

    def check(self, release: int) -> None:
        """Raises NeedsError if a whole release needs what is not there."""
        found = [one for one in self.unmet(release) if not one.requirement.optional]
        if found:
            title = self._releases.get(release).title
            raise NeedsError(
                f"release {title} of {self._app.key} needs what is not there:"
                f" {'; '.join(one.why for one in found)}",
                hint=f"`epmstore repair --release {release}` goes there nevertheless",
                unmet=[one.why for one in found],
            )

    def approve(self, prepared: Prepared, found: FoundRoot) -> None:
        """Raises NeedsError. Needs decide about everything that writes components of one's choice:
        a release, and paths. A plan that brings a whole state of this host back is not asked: it
        was there before.
        """
        goal = prepared.request.goal
        release = goal.release if isinstance(goal, ReleaseGoal) else None
        is_asked = release is not None and prepared.request.action == "checkout"
        if prepared.request.paths is None:
            if release is not None and is_asked:
                self.check(release)
            return
        written = {info.digest.hex(): info for info in prepared.plan.contents()}
        asked = self._releases.all() if release is None else [self._releases.get(release)]
        needs = [one.requires for one in asked]
        lacking = unmet_by(written, needs, lambda digests: self._there(digests, prepared, found))
        if is_asked:
            apps = [one for one in needs[0] if one.app is not None and not one.optional]
            lacking += unmet(apps, {}, StoreHost(self._store))
        if lacking:
            raise self._error(release, lacking)

    def _there(self, digests: Collection[str], prepared: Prepared, found: FoundRoot) -> set[str]:
        """Those of these SHA-1 that a file of this host has once a plan is carried out."""
        changes = found.look.changes
        changed = {step.path for step in prepared.plan.steps}
        come = [] if found.is_recorded else [e for e in changes.come() if e.path not in changed]
        come += [step.new for step in prepared.plan.steps if step.new is not None]
        there = {entry.content.digest.hex() for entry in come if entry.content is not None}
        if not found.is_recorded:
            changed.update(entry.path for entry in (*changes.come(), *changes.gone()))
        for text in set(digests) - there:
            for app, span in self._store.entries.with_content(parse_digest(text)):
                is_going = app == self._app.uuid and span.entry.path in changed
                if span.until is None and not is_refcat(app) and not is_going:
                    there.add(text)
        return there & set(digests)

    def _error(self, release: int | None, lacking: Sequence[Unmet]) -> NeedsError:
        paths = [path for one in lacking for path in self._released_at(one, release)]
        hint = f"name what is needed as well: {' '.join(paths)}" if paths else None
        if release is not None:
            whole = f"`epmstore repair --release number:{release}`, without paths,"
            hint = f"{hint}; or {whole} goes there" if hint else f"{whole} goes there nevertheless"
        return NeedsError(
            f"what is asked for needs what is not there: {'; '.join(one.why for one in lacking)}",
            hint=hint or "bring what is needed first",
            unmet=[one.why for one in lacking],
        )

    def _released_at(self, one: Unmet, release: int | None) -> list[str]:
        """Where a release (None: any) has what is needed."""
        if one.requirement.digest is None:
            return []
        spans = self._store.entries.with_content(parse_digest(one.requirement.digest))
        return sorted(
            {
                shlex.quote(span.entry.path)
                for app, span in spans
                if app == self._releases.catalog
                and (release is None or span.since <= release < (span.until or release + 1))
            }
        )
