"""`release:41` wherever a version is meant: to list, read, compare, plan, and write out elsewhere.

The tree of a release is its vendor's word, and not this host's: owners and times of the two are not
compared, and what is written of a release is masked (refcat/hygiene.py).
"""

import shlex
from collections.abc import Collection, Sequence
from typing import Unpack

from epmstore import given
from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.request import Prepared
from epmstore.checkout.wanted import Found
from epmstore.digest import parse_digest
from epmstore.errors import (
    NeedsError,
)
from epmstore.given import AnyPath, AnyVersion
from epmstore.record.result import Result
from epmstore.refcat.host import StoreHost
from epmstore.refcat.releases import Release
from epmstore.refcat.requires import Unmet, unmet, unmet_by
from epmstore.store.store import is_refcat
from epmstore.workspace.live import TermsGiven
from epmstore.workspace.repairing import ALL, Repaired, Repairing, RepairOptions

OUTSIDE = "the link leads out of the tree"


class Releasing(Repairing):
    """One application, with the releases of its vendor."""

    def release(self, selector: AnyVersion) -> Release | None:
        """The release that a selector names; None if it names no release at all.

        Raises UsageError, VersionNotFoundError.
        """
        return self._context.trees.release(selector)

    def find_release(self, text: AnyVersion) -> Release:
        """The release that `text` names: a number, a label, `latest` ... (refcat/naming.py).

        Raises NotFoundError without a refcat, VersionNotFoundError, UsageError.
        """
        return self.releases.get(self._number(text))

    def plan(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
    ) -> Prepared:
        release = self.release(selector)
        if release is None:
            return super().plan(selector, paths, exact=exact, config=config)
        return self.plan_repair(_asked(release, paths, exact=exact, config=config)).prepared

    def checkout(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
        **terms: Unpack[TermsGiven],
    ) -> Result:
        release = self.release(selector)
        if release is None:
            return super().checkout(selector, paths, exact=exact, config=config, **terms)
        return self.repair(_asked(release, paths, exact=exact, config=config), **terms)

    def plan_repair(self, asked: RepairOptions = ALL) -> Repaired:
        self._check_needs(asked)
        return super().plan_repair(asked)

    def repair(self, asked: RepairOptions = ALL, **terms: Unpack[TermsGiven]) -> Result:
        self._check_needs(asked)
        return super().repair(asked, **terms)

    def unmet(self, release: AnyVersion) -> list[Unmet]:
        """What a release needs and this host, as it was recorded last, does not have."""
        number = self._number(release)
        requires = self.releases.get(number).requires
        if not requires:
            return []
        tree = {entry.path: entry for entry in self.releases.tree(number)}
        return unmet(requires, tree, StoreHost(self._store))

    def _check_needs(self, asked: RepairOptions) -> None:
        """Raises NeedsError if a checkout of a release needs what is not there."""
        if asked.release is None or asked.action != "checkout" or given.scope(asked.paths):
            return
        self._check_release(self._number(asked.release))

    def _check_release(self, release: int) -> None:
        found = [one for one in self.unmet(release) if not one.requirement.optional]
        if found:
            title = self.releases.get(release).title
            raise NeedsError(
                f"release {title} of {self.app.key} needs what is not there:"
                f" {'; '.join(one.why for one in found)}",
                hint=f"`epmstore repair --release {release}` goes there nevertheless",
                unmet=[one.why for one in found],
            )

    def _approve(self, prepared: Prepared, found: Found) -> None:
        """Needs decide about everything that writes components of one's choice: a release, and
        paths. What brings a whole state of this host back is not asked: it was there before.
        """
        request = prepared.request
        if not self.releases.exists() or request.within is not None:
            return
        release = request.goal.release if isinstance(request.goal, ReleaseGoal) else None
        is_asked = release is not None and request.action == "checkout"
        if request.paths is None:
            if release is not None and is_asked:
                self._check_release(release)
            return
        written = {info.digest.hex(): info for info in prepared.plan.contents()}
        asked = self.releases.numbers() if release is None else [release]
        needs = [
            one.requires if isinstance(one, Release) else self.releases.get(one).requires
            for one in asked
        ]
        lacking = unmet_by(written, needs, lambda digests: self._there(digests, prepared, found))
        if is_asked:
            apps = [one for one in needs[0] if one.app is not None and not one.optional]
            lacking += unmet(apps, {}, StoreHost(self._store))
        if lacking:
            raise self._needs_error(release, lacking)

    def _there(self, digests: Collection[str], prepared: Prepared, found: Found) -> set[str]:
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
                is_going = app == self.app.uuid and span.entry.path in changed
                if span.until is None and not is_refcat(app) and not is_going:
                    there.add(text)
        return there & set(digests)

    def _needs_error(self, release: int | None, lacking: Sequence[Unmet]) -> NeedsError:
        paths = [path for one in lacking for path in self._released_at(one, release)]
        hint = f"name what is needed as well: {' '.join(paths)}" if paths else None
        if release is not None:
            whole = f"`epmstore repair --release {release}`, without paths,"
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
                if app == self.releases.catalog
                and (release is None or span.since <= release < (span.until or release + 1))
            }
        )


def _asked(
    release: Release, paths: Sequence[AnyPath], *, exact: bool, config: ConfigPolicy
) -> RepairOptions:
    return RepairOptions(
        release.version, given.scope(paths), exact=exact, config=config, action="checkout"
    )
