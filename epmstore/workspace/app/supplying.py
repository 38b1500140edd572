"""The contents that a plan needs and the store lacks, or cannot read: whether they can be got, and
from where.

They are sought in live files, in folders and archives that are named, and on remotes, in this
order. A plan only asks remotes what they have; carrying it out takes it.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from epmstore.care.recall import find, recall
from epmstore.checkout.goal import ReleaseGoal, version_of
from epmstore.checkout.lost import (
    NAMED,
    AbsentContentsError,
    UnreadableContentsError,
    known_unreadable,
)
from epmstore.checkout.request import INSTALLING, CheckoutAction, Prepared, Supply
from epmstore.digest import BlobInfo
from epmstore.errors import EpmError, NotRestorableError, RemoteError
from epmstore.progress import Progress
from epmstore.refcat.seekers import seeker_at
from epmstore.store.seeking import CameFrom
from epmstore.store.store import Store
from epmstore.sync.depotseeker import DepotContents
from epmstore.workspace.app.context import AppContext

LIVE = "the live roots"


class Supplying:
    """Of plans for one application."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    def look_for(self, plan: Prepared, sources: Sequence[Path] = ()) -> Supply | None:
        """Where what a plan needs and the store lacks is; None if it has all. Nothing is taken.
        Raises UsageError, EpmError, OSError for a source.
        """
        missing = self._missing(plan)
        return self._sought(plan, sources).look(missing) if missing else None

    def supply(
        self,
        plan: Prepared,
        sources: Sequence[Path] = (),
        missing: Collection[BlobInfo] | None = None,
    ) -> tuple[CameFrom, ...]:
        """Take what a plan needs and the store lacks (`missing`, if that is known); from where it
        came. Raises as `check`, UsageError, EpmError, OSError.
        """
        wanted = self._missing(plan) if missing is None else missing
        if not wanted:
            return ()
        done = self._sought(plan, sources).take(wanted)
        self.check(plan, done)
        return done.found

    def _sought(self, plan: Prepared, sources: Sequence[Path]) -> "Seeking":
        context, needed = self._context, len(plan.plan.contents())
        remotes = context.remotes()
        return Seeking(context.store, sources, remotes, needed, context.progress)

    def check(self, plan: Prepared, found: Supply) -> None:
        """Raises NotRestorableError, DamagedError (RemoteError, if a remote that may have them
        could not be asked) if contents are nowhere.
        """
        if not found.lacking:
            return
        goal = plan.request.goal
        if isinstance(goal, ReleaseGoal):
            raise _release_error(self._context, plan, found, goal.release)
        raise _version_error(self._context, plan, found)

    def _missing(self, plan: Prepared) -> set[BlobInfo]:
        """What is neither stored and readable, as far as that is known, nor about to be
        recorded.
        """
        store, wanted = self._context.store, plan.plan.contents()
        missing = {*store.blobs.missing(wanted)} | known_unreadable(store, wanted)
        return missing - plan.about


def fetch(
    store: Store,
    wanted: Collection[BlobInfo],
    remotes: Callable[[], Sequence[DepotContents]],
    progress: Progress,
    *,
    dry_run: bool,
) -> Supply:
    """Those of `wanted` that are not here come, or, with `dry_run`, would. Raises CollisionError,
    BusyError, DamagedError, OSError.
    """
    purged = store.contents.purged()
    needed = {info for info in wanted if info not in purged}
    missing = {*store.blobs.missing(needed)} | known_unreadable(store, needed)
    seeking = Seeking(store, (), remotes() if missing else (), len(needed), progress)
    return seeking.look(missing) if dry_run else seeking.take(missing)


def bring_back(
    store: Store,
    error: UnreadableContentsError,
    remotes: Sequence[DepotContents],
    progress: Progress,
) -> tuple[CameFrom, ...]:
    """What an error is about, from wherever it is. Raises the error, or RemoteError if a remote
    that may have it could not be asked.
    """
    came, left = recall(store, error.contents, remotes, progress)
    away = ", ".join(str(remote) for remote in remotes if remote.failure is not None)
    if left and away:
        raise RemoteError(
            error.message,
            hint=f"run it again when {away} can be asked: `epmstore remote check`",
            **{**error.data, "report": [note for one in remotes for note in one.notes()]},
        ) from None
    if left:
        raise error
    return tuple(came)


class Seeking:
    """Contents that are sought for one purpose, for which so many are `needed` in all."""

    def __init__(
        self,
        store: Store,
        sources: Sequence[Path],
        remotes: Sequence[DepotContents],
        needed: int,
        progress: Progress,
    ) -> None:
        self._store = store
        self._sources = sources
        self._remotes = remotes
        self._needed = needed
        self._progress = progress

    def look(self, missing: Collection[BlobInfo]) -> Supply:
        """Where they are. Nothing is taken. Raises UsageError, EpmError, OSError for a source."""
        places = [*map(seeker_at, self._sources)]
        there, left = find(self._store, missing, places, self._progress)
        for remote in self._remotes:
            if not left:
                break
            self._progress.begin(f"asking {remote}")
            holding = remote.locate(left)
            self._progress.end()
            if holding.contents:
                there.append(CameFrom(str(remote), len(holding.contents), holding.size))
                left -= holding.contents
        return self._supply(there, left)

    def take(self, missing: Collection[BlobInfo]) -> Supply:
        """They are stored, as far as they are anywhere. Raises as `look`, and as `recall`."""
        seekers = [*map(seeker_at, self._sources), *self._remotes]
        came, left = recall(self._store, missing, seekers, self._progress)
        return self._supply(came, left)

    def _supply(self, found: Sequence[CameFrom], lacking: Collection[BlobInfo]) -> Supply:
        remotes = self._remotes
        return Supply(
            needed=self._needed,
            found=tuple(found),
            lacking=frozenset(lacking),
            sought=(LIVE, *map(str, (*self._sources, *remotes))),
            away=tuple(str(remote) for remote in remotes if remote.failure is not None),
            notes=tuple(note for remote in remotes for note in remote.notes()),
        )


def _version_error(context: AppContext, plan: Prepared, found: Supply) -> EpmError:
    steps = plan.plan.steps
    paths = [one.path for one in steps if one.content in found.lacking]
    named = ", ".join(map(repr, paths[:NAMED])) + (" ..." if len(paths) > NAMED else "")
    number = version_of(plan.request.goal)
    of = "what is to be written" if number is None else f"version {number}"
    text = (
        f"{len(found.lacking)} of {found.needed} contents of {of} are nowhere: those of {named};"
        f" they were sought in the store, in {', '.join(found.sought)}"
    )
    data = _facts(context, found)
    if found.away:
        hint = f"run it again when {', '.join(found.away)} can be asked: `epmstore remote check`"
        return RemoteError(text, hint=hint, paths=paths, **data)
    hint = "`epmstore store restore --from COPY` takes them from a copy of the store"
    if any(context.store.blobs.has(info) for info in found.lacking):
        return UnreadableContentsError(text, hint=hint, contents=found.lacking, paths=paths, **data)
    return AbsentContentsError(text, hint=hint, contents=found.lacking, paths=paths, **data)


def _release_error(context: AppContext, plan: Prepared, found: Supply, release: int) -> EpmError:
    title = context.releases.get(release).title
    where = ["the store (what was released with contents, and every version)", *found.sought]
    error = RemoteError if found.away else NotRestorableError
    again = f"run it again when {', '.join(found.away)} can be asked; or " if found.away else ""
    return error(
        f"{len(found.lacking)} of {found.needed} contents of release {title} are not to"
        f" be had; they were sought in {', '.join(where)}",
        hint=f"{again}{_from_where(plan.request.action, release)}, or bring them from the"
        f" store of the vendor: epmstore catalog clone STORE KEY --contents {release}",
        **{**_facts(context, found), "sought": where},
    )


def _facts(context: AppContext, found: Supply) -> dict[str, object]:
    return {
        "app": context.app.key,
        "missing": len(found.lacking),
        "sought": [*found.sought],
        "digests": sorted(info.digest.hex() for info in found.lacking)[:100],
        **({"report": [*found.notes]} if found.notes else {}),
    }


def _from_where(action: CheckoutAction, release: int) -> str:
    """The command that takes contents from elsewhere, for a command that does not."""
    if action in INSTALLING:
        return "name the file of its package: `epmstore install FILE`"
    if action == "repair":
        return "name a folder or an archive that has them with --from"
    return f"`epmstore repair --release {release} --from PLACE` takes them from there"
