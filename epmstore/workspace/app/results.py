"""What a checkout came to, as the Result that callers get. Pure."""

from collections.abc import Container, Iterator, Sequence

from epmstore.catalog.hooks import HookRun
from epmstore.catalog.model import Counts, Tally
from epmstore.checkout.apply import Applied
from epmstore.checkout.found import ABSENT, CHANGED
from epmstore.checkout.goal import goal_of, version_of
from epmstore.checkout.plan import EDITED, NamedPath
from epmstore.checkout.request import CheckoutAction
from epmstore.checkout.run import CompletedCheckout
from epmstore.record.recorder import Look
from epmstore.record.result import Result
from epmstore.record.unseen import unseen
from epmstore.relpath import RelPath, is_within, sort_paths

CAME = "it came while the checkout was interrupted"


def done_result(
    key: str,
    action: CheckoutAction,
    done: CompletedCheckout,
    packages: Sequence[str] = (),
    *,
    held: bool,
    transaction: Sequence[str] = (),
) -> Result:
    """Of a request that was carried out."""
    plan, applied, gaps = done.prepared.plan, done.applied, unseen(done.look)
    tally = plan.tally if applied is None else _tally(applied)
    counts = tally.counts
    return Result(
        app=key,
        action=action,
        changed=applied is not None,
        from_=plan.from_,
        version=plan.from_ if applied is None else applied.version.version,
        of=version_of(plan.goal),
        safety=done.safety,
        meanwhile=() if applied is None else applied.meanwhile,
        added=counts.added,
        modified=counts.modified,
        removed=counts.removed,
        folders=tally.folders,
        times=tally.times,
        kept=(
            *plan.kept,
            *(() if applied is None else applied.kept.items()),
            *done.prepared.left,
        ),
        skipped=gaps.skipped,
        unstable=gaps.unstable,
        unobserved=gaps.unobserved,
        not_restored=(
            *(f"{path}: {why}" for path, why in (*plan.refused, *plan.not_restored)),
            *_missed(applied),
        ),
        verified=None if applied is None else applied.verified,
        undo=None if applied is None else f"epmstore undo --app {key}",
        hooks=done.hooks,
        confirm_by=done.confirm_by,
        packages=tuple(packages),
        held=held,
        transaction=tuple(transaction),
    )


def recovered_result(
    key: str, applied: Applied, look: Look, hooks: Sequence[HookRun] = ()
) -> Result:
    """Of an interrupted checkout that was finished. The `look` is at the root as that has left it:
    the plan is as old as the interruption, and knows nothing of what was done since outside it.
    """
    tally, gaps, left = _tally(applied), unseen(look), applied.left_out
    counts = tally.counts
    gone = {entry.path for entry in look.changes.lost}
    stays = [one for one in left.kept if one[0] not in gone]
    told = {*applied.kept, *applied.missed, *dict(stays), *dict(left.not_restored)}
    kept, changed = _since(applied, look, told)
    return Result(
        app=key,
        action="recover",
        changed=True,
        from_=applied.version.from_,
        version=applied.version.version,
        of=version_of(goal_of(applied.version)),
        meanwhile=applied.meanwhile,
        added=counts.added,
        modified=counts.modified,
        removed=counts.removed,
        folders=tally.folders,
        times=tally.times,
        kept=(*stays, *applied.kept.items(), *kept),
        skipped=gaps.skipped,
        unstable=gaps.unstable,
        unobserved=gaps.unobserved,
        not_restored=(
            *(f"{path}: {why}" for path, why in left.not_restored),
            *_missed(applied),
            *(f"{path}: {why}" for path, why in changed),
        ),
        verified=applied.verified and not changed,
        undo=f"epmstore undo --app {key}",
        hooks=tuple(hooks),
    )


def _since(
    applied: Applied, look: Look, told: Container[RelPath]
) -> tuple[list[NamedPath], list[NamedPath]]:
    """(what came, or was edited as configuration is; what is not any more as it was recorded), of
    what the version of a checkout says nothing of, though a content is said to be brought back;
    without what is told already.
    """
    changes, scope = look.changes, applied.version.scope
    pairs = [*changes.modified, *([] if changes.root_change is None else [changes.root_change])]
    edited = {old.path for old, _ in pairs if old.path_class == "config"}
    kept = [(entry.path, CAME) for entry in changes.added]
    kept += [(path, EDITED) for path in sort_paths(edited)]
    changed = [(old.path, CHANGED) for old, _ in pairs if old.path not in edited]
    changed += [(entry.path, ABSENT) for entry in changes.removed]

    def news(named: list[NamedPath]) -> list[NamedPath]:
        asked = [one for one in named if scope is None or is_within(one[0], scope)]
        return [one for one in asked if one[0] not in told]

    return news(kept), news(changed)


def _tally(applied: Applied) -> Tally:
    version = applied.version
    return Tally(version.counts, version.folders or Counts(), version.times)


def _missed(applied: Applied | None) -> Iterator[str]:
    """What is not as it was to be, and what could not be set of the rest."""
    if applied is None:
        return
    for path, why in applied.missed.items():
        yield f"{path}: {why}"
    for one in applied.refused:
        yield f"{one.path}: {', '.join(one.what)}"
