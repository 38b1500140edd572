"""What explains a recorded version: a step from one release to another, or nothing. Pure.

A version changed some paths. What they were before and became speaks for the releases that had just
that at that path; the step on which most of them agree is the best explanation, the shortest one
where several fit. It explains a path if the path became what the release has there. The rest is
unexplained. An explanation that covers the lesser part is none, unless everything in which the two
releases differ has arrived: an upgrade stays one however much somebody added to it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from epmstore.relpath import RelPath
from epmstore.tree import Entry, changed_fields
from epmstore.vendor.classify import Pair, same_state

Kind: TypeAlias = Literal[
    "install", "upgrade", "downgrade", "restored", "rollback", "repair", "drift"
]
Interval: TypeAlias = tuple[int, int | None]
"""Releases `since` until before `until` (null: still)."""
LISTED = 10_000
"""Unexplained paths that are named; all are counted."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`from_` and `to` are releases; of a rollback, `to` is the version whose content came back.

    Of the `total` paths in which the two releases differ, `done` are as in the second one now;
    `before` of these already were. `release` is the one that explains the root from here on.
    `unexplained` are the first LISTED of `rest` paths.
    """

    kind: Kind
    from_: int | None = None
    to: int | None = None
    done: int = 0
    total: int = 0
    before: int = 0
    explained: int = 0
    rest: int = 0
    unexplained: tuple[RelPath, ...] = ()
    release: int | None = None

    @property
    def is_partial(self) -> bool:
        return self.done < self.total


class Step(msgspec.Struct, frozen=True):
    """From one release to another; `one` is null if nothing was there before."""

    one: int | None
    two: int


def choose_step(
    old: Iterable[Interval], new: Iterable[Interval], last: int, before: int | None
) -> Step | None:
    """The step that most changed paths agree on. `before` is the release that explained the root
    until now. Null if no release has what any path became.
    """
    targets = _most(new, last)
    if not targets:
        return None
    origins = _most(old, last)
    if before is not None and (not origins or before in origins):
        origins = [before]
    if not origins:
        return Step(None, targets[-1])
    pairs = ((one, two) for one in origins for two in (_nearest(targets, one),))
    return Step(*min(pairs, key=lambda pair: (pair[0] == pair[1], abs(pair[0] - pair[1]))))


def is_touched_only(pair: Pair) -> bool:
    """Whether nothing but times and other names of a path changed, or a folder came or went: an
    installer that writes what was there already says nothing.
    """
    old, new = pair
    if old is None or new is None:
        entry = old or new
        return entry is not None and entry.kind == "directory"
    return not set(changed_fields(old, new)) - {"mtime", "link"}


def is_explained(pair: Pair, wanted: Entry | None, origin: Entry | None) -> bool:
    """Whether a path became what a release has there. `origin` is what the release before has."""
    old, new = pair
    if new is None or wanted is None:
        return new is wanted and origin is not None
    if not same_state(new, wanted):
        return False
    is_mode = new.kind == "symlink" or new.mode == wanted.mode or _keeps(old, new, "mode")
    return is_mode and (old is None or _keeps(old, new, "owner") or _owned_as(new, wanted))


def explain(
    pairs: Mapping[RelPath, Pair],
    step: Step | None,
    delta: Mapping[RelPath, Pair],
    wanted: Callable[[RelPath], Entry | None],
    now: Callable[[RelPath], Entry | None],
) -> Explanation:
    """`pairs` are the changed paths that count, `delta` those in which the releases of the step
    differ and that count; `wanted` gives what the second release has at a path, `now` what the
    version has there.
    """
    if step is None:
        return _nothing(pairs)
    explained: list[RelPath] = []
    rest: list[RelPath] = []
    for path, pair in pairs.items():
        origin, target = delta[path] if path in delta else (None, wanted(path))
        (explained if is_explained(pair, target, origin) else rest).append(path)
    if not explained:
        return _nothing(pairs)
    found = _counted(step, delta, set(explained), rest, now)
    is_whole = found.total > 0 and not found.is_partial
    return found if is_whole or len(explained) >= len(rest) else _nothing(pairs)


def _counted(
    step: Step,
    delta: Mapping[RelPath, Pair],
    explained: set[RelPath],
    rest: Sequence[RelPath],
    now: Callable[[RelPath], Entry | None],
) -> Explanation:
    after = explained & delta.keys()
    others = [path for path in delta if path not in after]
    before = sum(same_state(now(path), delta[path][1]) for path in others)
    total = len(delta)
    finished = len(after) + before >= total
    return Explanation(
        kind=_kind(step),
        from_=step.one,
        to=step.two,
        done=len(after) + before,
        total=total,
        before=before,
        explained=len(explained),
        rest=len(rest),
        unexplained=tuple(rest[:LISTED]),
        release=step.two if finished or 2 * (len(after) + before) > total else step.one,
    )


def _nothing(pairs: Mapping[RelPath, Pair]) -> Explanation:
    rest = tuple(pairs)
    return Explanation(kind="drift", rest=len(rest), unexplained=rest[:LISTED])


def _kind(step: Step) -> Kind:
    if step.one is None:
        return "install"
    if step.one == step.two:
        return "restored"
    return "upgrade" if step.one < step.two else "downgrade"


def _most(intervals: Iterable[Interval], last: int) -> list[int]:
    """The releases that are in the most intervals, in order; none if there is no interval."""
    steps: Counter[int] = Counter()
    for since, until in intervals:
        steps[since] += 1
        steps[last + 1 if until is None else until] -= 1
    best, total = 0, 0
    found: list[int] = []
    marks = [*sorted(mark for mark in steps if mark <= last), last + 1]
    for mark, following in pairwise(marks):
        total += steps[mark]
        if total > best:
            best, found = total, []
        if total == best and best:
            found += range(mark, following)
    return found


def _nearest(releases: Sequence[int], to: int) -> int:
    return min(releases, key=lambda one: abs(one - to))


def _keeps(old: Entry | None, new: Entry, field: Literal["mode", "owner"]) -> bool:
    return old is not None and old.kind == new.kind and field not in changed_fields(old, new)


def _owned_as(new: Entry, wanted: Entry) -> bool:
    return (new.user or new.uid, new.group or new.gid) == (
        wanted.user or wanted.uid,
        wanted.group or wanted.gid,
    )
