"""The verbs that bring a root to a release: repair, and checkout of a release."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, Unpack

import msgspec

from epmstore import given
from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import CheckoutAction, Prepared, Request
from epmstore.checkout.run import Checkout
from epmstore.checkout.wanted import Found
from epmstore.errors import NotRestorableError
from epmstore.given import AnyPath, AnyVersion
from epmstore.record.result import Result
from epmstore.record.root import Root, open_root
from epmstore.refcat.places import seeker_at
from epmstore.refcat.verify import Verified
from epmstore.refcat.wanted import ReleaseWishes
from epmstore.relpath import RelPath
from epmstore.store.seeking import fetch_contents, find_contents
from epmstore.workspace.live import TermsGiven
from epmstore.workspace.verifying import Verifying

RepairAction: TypeAlias = Literal["repair", "checkout"]


class RepairOptions(msgspec.Struct, frozen=True):
    """What is asked for: a release (None: the one that best explains the root), and for which paths
    (empty: all). `exact`: what no release has at its path goes, too. `config`: what becomes of
    configuration that was edited here. `sources` are folders and archives in which contents that
    are not stored are sought.
    """

    release: AnyVersion | None = None
    paths: Sequence[AnyPath] = ()
    exact: bool = False
    config: ConfigPolicy = "keep"
    action: RepairAction = "repair"
    sources: Sequence[AnyPath] = ()


class Repaired(msgspec.Struct, frozen=True):
    """What would be done: the paths that are left alone are in `left`, with why. `is_guess`: no
    release explains the root, and it would be brought to the latest.
    """

    prepared: Prepared
    left: tuple[tuple[RelPath, str], ...]
    is_guess: bool


ALL = RepairOptions()


class Repairing(Verifying):
    """Brings one application back to what its vendor released."""

    def plan_repair(self, asked: RepairOptions = ALL) -> Repaired:
        """What `repair` would do now. Writes nothing. Raises as it does."""
        with open_root(self.app) as root:
            look = self._recorder.status(root)
            verified = self._verify(look, asked.release)
            request = _repair_request(verified, asked)
            prepared = self._checkout(root).plan(request, look)
            return Repaired(prepared, prepared.left, verified.is_guess)

    def repair(self, asked: RepairOptions = ALL, **terms: Unpack[TermsGiven]) -> Result:
        """Bring the root (or some paths) to a release: the one that best explains it, unless one is
        named. What is found is recorded first; `undo` reverses it. Files that no release has at
        their path are kept, unless `exact`, and so is edited configuration, unless `config` is
        `restore`.

        Raises NotFoundError without a refcat; NotRestorableError if contents are neither stored nor
        in the sources; ConflictError and its kin; UsageError, EpmError, OSError for a source.
        """
        with self._context.locked_root() as root, self._store.keep_packs():
            look = self._recorder.status(root)
            verified = self._verify(look, asked.release)
            request = _repair_request(verified, asked)
            prepared = self._checkout(root).plan(request, look)
            self._check_contents(prepared, asked.sources, take=True)
            result = self._run(root, request, Terms(**terms))
        label = request.label if result.changed else None
        return msgspec.structs.replace(result, label=label)

    def check(
        self, plan: Prepared, *, sources: Sequence[AnyPath] = (), **terms: Unpack[TermsGiven]
    ) -> None:
        """`sources` are those of the repair that the plan is of."""
        if isinstance(plan.request.goal, ReleaseGoal):
            self._check_contents(plan, sources)
            self._check_now(plan, Terms(**terms), contents=False)
        else:
            super().check(plan, **terms)

    def check_later(self, plan: Prepared) -> None:
        if isinstance(plan.request.goal, ReleaseGoal):
            self._check_contents(plan)
        super().check_later(plan)

    def apply(self, plan: Prepared, **terms: Unpack[TermsGiven]) -> Result:
        if isinstance(plan.request.goal, ReleaseGoal):
            self._check_contents(self.plan_apply(plan))
        return super().apply(plan, **terms)

    def _checkout(self, root: Root) -> Checkout:
        released = ReleaseWishes(self._recorder, self.releases, self._verifier)
        return Checkout(self._recorder, root, self.state(), self._progress, released, self._approve)

    def _approve(self, prepared: Prepared, found: Found) -> None:
        """Raises NeedsError."""

    def _check_contents(
        self, plan: Prepared, sources: Sequence[AnyPath] = (), *, take: bool = False
    ) -> None:
        """Raises NotRestorableError if contents that a plan needs are neither stored, nor about to
        be recorded, nor in the sources, of which they are stored if we `take` them.
        """
        goal, wanted = plan.request.goal, plan.plan.contents()
        assert isinstance(goal, ReleaseGoal), "a repair is to a release"
        places = given.several_places(sources)
        missing = set(self._store.blobs.missing(wanted)) - plan.about
        for seeker in map(seeker_at, places) if missing else ():
            if take:
                missing -= fetch_contents(self._store, missing, seeker, self._progress)
            else:
                missing -= find_contents(missing, seeker, self._progress)
        if missing:
            title = self.releases.get(goal.release).title
            where = ["the store (what was released with contents, and every version)", "the root"]
            where += map(str, places)
            raise NotRestorableError(
                f"{len(missing)} of {len(wanted)} contents of release {title} are not to"
                f" be had; they were sought in {', '.join(where)}",
                hint=f"{_from_where(plan.request.action, goal.release)}, or bring them from the"
                f" store of the vendor: epmstore catalog clone STORE KEY --contents {goal.release}",
                app=self.app.key,
                missing=len(missing),
                sought=where,
                digests=sorted(info.digest.hex() for info in missing)[:100],
            )


def _from_where(action: CheckoutAction, release: int) -> str:
    """The command that takes contents from elsewhere, for whoever did not give it."""
    if action == "repair":
        return "name a folder or an archive that has them with --from"
    return f"`epmstore repair --release {release} --from PLACE` takes them from there"


def _repair_request(verified: Verified, asked: RepairOptions) -> Request:
    chosen = verified.release
    return Request(
        action=asked.action,
        goal=ReleaseGoal(chosen.version),
        scope=given.scope(asked.paths) or None,
        exact=asked.exact,
        config=asked.config,
        label=f"release {chosen.title}",
    )
