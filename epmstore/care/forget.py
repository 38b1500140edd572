"""Forgetting: the contents of versions may go, the facts stay. And taking it back while they last.

What may not be forgotten: the latest version, pinned and tagged ones, what `undo` would bring back
(recorded in the last 30 days), and everything of an application that is on hold or whose checkout
has not ended. A policy passes over these, an explicit request is refused. A policy goes by reckoned
time (epmstore/reckon.py): a clock that leaps makes no version old.
"""

from collections.abc import Sequence

import msgspec

from epmstore.care.gc import freed_by
from epmstore.care.references import (
    CatalogNeeds,
    committed,
    has_between,
    index_state,
    open_journals,
    read_needs,
)
from epmstore.catalog.model import ForgetRecord, RecordedActor, UnforgetRecord
from epmstore.catalog.retention import DEFAULT, Policy, forgettable, points, reasons
from epmstore.catalog.state import CatalogState
from epmstore.checkout.obligations import owed_file
from epmstore.clock import from_rfc3339, to_rfc3339
from epmstore.digest import Sha256
from epmstore.errors import ConflictError, NotRestorableError, VersionNotFoundError
from epmstore.progress import SILENT, Progress
from epmstore.store.commit import commit_fact, commit_judged
from epmstore.store.reckoned import keep, reckon
from epmstore.store.replay import catch_up
from epmstore.store.soundness import check_sound
from epmstore.store.store import Store

ONLY_EXEMPT = Policy(
    keep_last=0,
    keep_change_days=0,
    keep_drift_days=0,
    keep_hourly=0,
    keep_daily=0,
    keep_weekly=0,
    keep_monthly=0,
    keep_yearly=0,
)
"""Keeps nothing but what may not be forgotten at all."""


class Forgotten(msgspec.Struct, frozen=True):
    """`versions` in order; `freed`: how many bytes collections free because of it, None if it was
    not measured, which costs as much as a collection. With `dry_run` nothing was recorded. `named`:
    these versions were asked for.
    """

    versions: tuple[int, ...]
    freed: int | None
    dry_run: bool = False
    named: bool = False


def forget(
    store: Store,
    app: str,
    chosen: Policy | Sequence[int] = DEFAULT,
    *,
    dry_run: bool = False,
    measure: bool = False,
    actor: RecordedActor | None = None,
    progress: Progress = SILENT,
) -> Forgotten:
    """Forget the versions of an app (UUID) that a policy does not keep, or exactly these; those
    that are forgotten already are passed over. `measure` says what that frees.

    Raises VersionNotFoundError, ConflictError (an explicit version that may not be forgotten),
    DamagedError, OSError.
    """
    with store.lock_write():
        catch_up(store)
    reckoning = reckon(store) if dry_run else keep(store)
    named = not isinstance(chosen, Policy)
    versions = _chosen(store, app, chosen)
    freed = None if versions else 0
    if versions and measure:
        freed = freed_by(store, app, versions, progress)

    def make() -> ForgetRecord | None:
        """Chosen once more: counting took a while, and one may have been pinned or tagged."""
        nonlocal versions
        versions = _chosen(store, app, chosen)
        if not versions:
            return None
        return ForgetRecord(
            time=to_rfc3339(store.clock.now()),
            actor=actor,
            versions=versions,
            named=named,
            reckoned=None if reckoning.doubt is None else to_rfc3339(reckoning.sure),
        )

    if versions and not dry_run:
        commit_judged(store, app, make)
    return Forgotten(versions, freed, dry_run, named)


def unforget(
    store: Store,
    app: str,
    versions: Sequence[int],
    *,
    actor: RecordedActor | None = None,
    progress: Progress = SILENT,
) -> tuple[int, ...]:
    """Take a forget back; the versions that were forgotten. Raises NotRestorableError if contents
    are gone: then none of them is restorable again. Raises VersionNotFoundError, OSError.
    """
    with store.keep_packs():
        with store.lock_write():
            catch_up(store)
        check_sound(store, app)
        length = committed(store, app).length
        progress.begin("reading the history", size=length)
        need = read_needs(store, app, length)
        progress.end()
        if need.fault is not None:
            raise need.fault
        _check_known(need.state, versions)
        forgotten = {v.version for v in need.state.versions if not v.restorable}
        found = tuple(sorted(forgotten.intersection(versions)))
        _check_stored(store, need, found)
        if found:
            now = to_rfc3339(store.clock.now())
            commit_fact(store, app, UnforgetRecord(time=now, actor=actor, versions=found))
    return found


def _chosen(store: Store, app: str, chosen: Policy | Sequence[int]) -> tuple[int, ...]:
    now, state = reckon(store).sure, index_state(store, app)
    barrier = _barrier(store, app, state, now)
    if isinstance(chosen, Policy):
        return () if barrier else tuple(forgettable(points(state, now), chosen, now))
    _check_known(state, chosen)
    kept = reasons(points(state, now), ONLY_EXEMPT, now)
    wanted = tuple(sorted(set(chosen).intersection(kept)))
    for version in wanted:
        why = [barrier] if barrier else kept[version]
        if why:
            raise ConflictError(
                f"version {version} may not be forgotten: "
                + ", ".join(EXEMPT.get(reason, reason) for reason in why),
                hint=ENDS if barrier else LETS_GO.get(why[0], LETS_GO["pinned"]),
                version=version,
            )
    return wanted


EXEMPT = {"latest": "it is the newest one", "undo": "`epmstore undo` may need it"}
"""What those reasons of `retention.reasons` are called that do not speak for themselves."""
LETS_GO = {
    "latest": "it can be forgotten once there is a newer one",
    "undo": f"it can be forgotten {ONLY_EXEMPT.keep_undo_days} days after the operation",
    "pinned": "`epmstore unpin` and `epmstore tag --delete` let go of a version",
}
ENDS = "`epmstore unhold` ends a hold, `epmstore confirm` or `epmstore recover` a checkout"


def _barrier(store: Store, app: str, state: CatalogState, now: float) -> str | None:
    """What keeps every version of an app."""
    if any(path.name == store.journal(app).name for path in open_journals(store)):
        return "a checkout has not ended"
    if owed_file(store, app).path.exists():
        return "a checkout waits to be confirmed, or has not come to its end"
    hold = state.hold
    if hold is None or hold.version is not None:  # one that was not asked for
        return None
    if hold.until is None or from_rfc3339(hold.until) > now:
        return "the application is on hold"
    return None


def _check_known(state: CatalogState, versions: Sequence[int]) -> None:
    for version in versions:
        if state.find(version) is None:
            raise VersionNotFoundError(
                f"no version {version}", hint="see `epmstore log --all`", version=version
            )


def _check_stored(store: Store, need: CatalogNeeds, versions: Sequence[int]) -> None:
    """Raises NotRestorableError for the first of these that lacks a content; each content is asked
    for once, however many have it.
    """
    purged = store.contents.purged()
    wanted = {
        info.sha256: spans
        for info, spans in need.spans.items()
        if info not in purged and any(has_between(versions, low, high) for low, high in spans)
    }
    gone = _not_stored(store, list(wanted))
    for version in versions if gone else ():
        lacks = [s for s in gone if any(low <= version < high for low, high in wanted[s])]
        if lacks:
            raise NotRestorableError(
                f"{len(lacks)} of the contents of version {version} are gone",
                hint="`epmstore gc` has taken them; `epmstore log` shows what can be restored",
                app=need.key,
                version=version,
                gone=len(lacks),
            )


def _not_stored(store: Store, wanted: Sequence[Sha256]) -> list[Sha256]:
    """Those of these contents that cannot be read for want of themselves, a base or a part."""
    places = store.contents.places(wanted)
    others = {s: {*place.parts, *filter(None, (place.base,))} for s, place in places.items()}
    there = store.contents.places(list(set().union(*others.values())))
    return [s for s in wanted if s not in places or not others[s] <= there.keys()]
