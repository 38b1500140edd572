"""`app.repairing`: bringing the root back to what its vendor released."""

from typing import Unpack

import msgspec

from epmstore import given
from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import Prepared, Request
from epmstore.errors import ConflictError
from epmstore.given import AnyVersion
from epmstore.record.recorder import Look
from epmstore.record.result import Result
from epmstore.record.root import open_root
from epmstore.refcat.releases import Release
from epmstore.refcat.requires import Unmet
from epmstore.relpath import RelPath
from epmstore.workspace.app.acting import Acting
from epmstore.workspace.app.asked import ALL, RepairOptions, TermsGiven
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.needs import Needs
from epmstore.workspace.app.verifying import verifier_of, was_uninstalled
from epmstore.workspace.app.whole_release import completed


class Repaired(msgspec.Struct, frozen=True):
    """What would be done: the paths that are left alone are in `left`, with why. `is_guess`: no
    release explains the root, and it would be brought to the latest.
    """

    prepared: Prepared
    left: tuple[tuple[RelPath, str], ...]
    is_guess: bool


class Repairing:
    """To the release that best explains the root, unless one is named."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._acting = Acting(context)

    def plan_repair(self, asked: RepairOptions = ALL) -> Repaired:
        """What `repair` would do now. Writes nothing. Raises as it does."""
        with open_root(self._context.app) as root:
            look = self._context.recorder.status(root)
            release, is_guess = self._release(asked.release, look)
            request = self._request(release, asked)
            self._acting.check_needs(request)
            prepared = self._acting.checkout(root).plan(request, look)
        prepared = self._acting.supplied(prepared, given.several_places(asked.sources))
        return Repaired(prepared, prepared.left, is_guess)

    def repair(self, asked: RepairOptions = ALL, **terms: Unpack[TermsGiven]) -> Result:
        """Bring the root (or some paths) to a release: the one that best explains it, unless one is
        named. What is found is recorded first; `undo` reverses it. Files that no release has at
        their path are kept, unless `exact`, and so is edited configuration, unless `config` is
        `restore`.

        Raises NotFoundError without a refcat; NotRestorableError if contents are neither stored nor
        in the sources; ConflictError and its kin; UsageError, EpmError, OSError for a source.
        """
        sources = given.several_places(asked.sources)
        with self._context.locked_root() as root:
            look = self._context.recorder.status(root)
            request = self._request(self._release(asked.release, look)[0], asked)
            self._acting.check_needs(request)
            return self._acting.run(root, request, Terms(**terms), look=look, sources=sources)

    def unmet(self, release: AnyVersion) -> list[Unmet]:
        """What a release needs and this host, as it was recorded last, does not have. Raises
        NotFoundError without a refcat, VersionNotFoundError, UsageError.
        """
        return Needs(self._context).unmet(self._context.trees.release_number(release))

    def _release(self, asked: AnyVersion | None, look: Look) -> tuple[Release, bool]:
        """(the release that is meant, whether it is a guess)."""
        if asked is not None:
            return self._context.releases.get(self._context.trees.release_number(asked)), False
        if was_uninstalled(self._context):
            key = self._context.app.key
            raise ConflictError(
                f"what {key} had of its vendor was uninstalled: no release is to be repaired",
                hint="`epmstore install NAME` installs it again; `epmstore repair --release N`"
                " brings a certain release back",
                app=key,
            )
        verified = verifier_of(self._context).verify(look)
        return verified.release, verified.is_guess

    def _request(self, release: Release, asked: RepairOptions) -> Request:
        """A checkout of a whole release is one of what is installed, too; a repair is not."""
        request = Request(
            action=asked.action,
            goal=ReleaseGoal(release.version),
            scope=given.scope(asked.paths) or None,
            exact=asked.exact,
            config=asked.config,
            label=f"release {release.title}",
        )
        return completed(self._context, request)
