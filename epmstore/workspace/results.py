"""What a checkout came to, as the Result that callers get. Pure."""

from collections.abc import Iterator, Sequence

from epmstore.catalog.hooks import HookRun
from epmstore.catalog.model import Counts, Tally
from epmstore.checkout.apply import Applied
from epmstore.checkout.run import CheckoutAction, Done
from epmstore.record.result import Result
from epmstore.record.unseen import unseen


def done_result(
    key: str, action: CheckoutAction, done: Done, packages: Sequence[str] = (), *, held: bool
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
        of=plan.of,
        safety=done.safety,
        added=counts.added,
        modified=counts.modified,
        removed=counts.removed,
        folders=tally.folders,
        times=tally.times,
        kept=(*plan.kept, *(() if applied is None else applied.kept.items())),
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
    )


def recovered_result(key: str, applied: Applied, hooks: Sequence[HookRun] = ()) -> Result:
    """Of an interrupted checkout that was finished."""
    tally = _tally(applied)
    counts = tally.counts
    return Result(
        app=key,
        action="recover",
        changed=True,
        from_=applied.version.from_,
        version=applied.version.version,
        of=applied.version.of,
        added=counts.added,
        modified=counts.modified,
        removed=counts.removed,
        folders=tally.folders,
        times=tally.times,
        kept=tuple(applied.kept.items()),
        not_restored=tuple(_missed(applied)),
        verified=applied.verified,
        undo=f"epmstore undo --app {key}",
        hooks=tuple(hooks),
    )


def _tally(applied: Applied) -> Tally:
    version = applied.version
    return Tally(version.counts, version.folders or Counts(), version.times)


def _missed(applied: Applied | None) -> Iterator[str]:
    """What is not as it was to be, and what could not be had of the rest."""
    if applied is None:
        return
    for path, why in applied.missed.items():
        yield f"{path}: {why}"
    for one in applied.refused:
        yield f"{one.path}: {', '.join(one.what)}"
