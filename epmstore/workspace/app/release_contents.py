"""The contents of a release that a checkout needs: whether they can be got, and from where."""

from collections.abc import Sequence
from pathlib import Path

from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.request import INSTALLING, CheckoutAction, Prepared
from epmstore.errors import NotRestorableError, RemoteError
from epmstore.refcat.seekers import seeker_at
from epmstore.store.seeking import Seeker, fetch_contents, find_contents
from epmstore.workspace.app.context import AppContext


def check_contents(
    context: AppContext, plan: Prepared, sources: Sequence[Path], *, take: bool
) -> None:
    """Raises NotRestorableError (RemoteError, if a remote that may have them could not be asked) if
    contents that a plan needs are neither stored, nor about to be recorded, nor in the sources
    (folders and archives), nor on a remote, of which they are stored if we `take` them; UsageError,
    EpmError, OSError for a source.
    """
    goal, wanted = plan.request.goal, plan.plan.contents()
    assert isinstance(goal, ReleaseGoal), "those of a version are the store's own"
    missing = set(context.store.blobs.missing(wanted)) - plan.about
    seekers: list[Seeker] = [*map(seeker_at, sources)] if missing else []
    for seeker in seekers:
        if take:
            missing -= fetch_contents(context.store, missing, seeker, context.progress)
        else:
            missing -= find_contents(missing, seeker, context.progress)
    remotes = context.remotes() if missing else ()
    for remote in remotes:
        if take:
            missing -= fetch_contents(context.store, missing, remote, context.progress)
        elif missing:
            missing -= remote.locate(missing).contents
    if missing:
        title = context.releases.get(goal.release).title
        where = ["the store (what was released with contents, and every version)", "the root"]
        where += map(str, (*sources, *remotes))
        notes = [note for remote in remotes for note in remote.notes()]
        away = ", ".join(str(remote) for remote in remotes if remote.failure is not None)
        error = RemoteError if away else NotRestorableError
        again = f"run it again when {away} can be asked; or " if away else ""
        raise error(
            f"{len(missing)} of {len(wanted)} contents of release {title} are not to"
            f" be had; they were sought in {', '.join(where)}",
            hint=f"{again}{_from_where(plan.request.action, goal.release)}, or bring them from the"
            f" store of the vendor: epmstore catalog clone STORE KEY --contents {goal.release}",
            app=context.app.key,
            missing=len(missing),
            sought=where,
            **({"report": notes} if notes else {}),
            digests=sorted(info.digest.hex() for info in missing)[:100],
        )


def _from_where(action: CheckoutAction, release: int) -> str:
    """The command that takes contents from elsewhere, for a command that does not."""
    if action in INSTALLING:
        return "name the file of its package: `epmstore install FILE`"
    if action == "repair":
        return "name a folder or an archive that has them with --from"
    return f"`epmstore repair --release {release} --from PLACE` takes them from there"
