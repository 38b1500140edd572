"""What explains a recorded version: a step from one release to another, or nothing. Pure.

A version changed some paths. What they were before and became speaks for the releases that had just
that at that path; the step on which most of them agree is the best explanation, the shortest one
where several fit. It explains a path if the path became what the release has there. The rest is
unexplained. A step that explains the lesser part is none, unless everything in which the two
releases differ has arrived: an upgrade stays one however much was added to it by hand. The version
is drift then, and only what is not as the release has it is unexplained.

What the first release had and the second one lacks may still be there: unpacking removes nothing.
It is left over, known, and no reason to call the step partial.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from epmstore.refcat.classify import same_state
from epmstore.refcat.lines import Lines, ReleaseOrder
from epmstore.relpath import RelPath
from epmstore.tree import Entry, Pair, changed_fields

ExplanationKind: TypeAlias = Literal[
    "install", "upgrade", "downgrade", "switch", "restored", "rollback", "repair", "drift"
]
ReleaseSpan: TypeAlias = tuple[int, int | None]
"""Releases `since` until before `until` (None: still)."""
LISTED = 10_000
"""Unexplained paths that are named; all are counted."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`from_` and `to` are releases; of a rollback, `to` is the version whose content came back.

    Of the `total` paths in which the two releases differ, `done` are as in the second one now;
    `before` of these already were; `left_over` are as in the first one, and the second one has
    nothing there. `release` is the one that explains the root from here on. Of drift, `explained`
    paths became what release `to` has. `unexplained` are the first LISTED of `rest` paths.
    """

    kind: ExplanationKind
    from_: int | None = None
    to: int | None = None
    done: int = 0
    total: int = 0
    before: int = 0
    left_over: int = 0
    explained: int = 0
    rest: int = 0
    unexplained: tuple[RelPath, ...] = ()
    release: int | None = None

    @property
    def is_partial(self) -> bool:
        return self.done + self.left_over < self.total


class ReleaseStep(msgspec.Struct, frozen=True):
    """From one release to another; `one` is None if nothing was there before."""

    one: int | None
    two: int


def choose_step(
    old: Iterable[ReleaseSpan], new: Iterable[ReleaseSpan], lines: Lines, before: int | None
) -> ReleaseStep | None:
    """The step that most changed paths agree on. `before` is the release that explained the root
    until now; it stays the one where paths only went, and None is the answer if there is none.
    """
    targets = _most(new, lines.count - 1)
    if not targets:
        return None if before is None else ReleaseStep(before, before)
    origins = _most(old, lines.count - 1)
    if before is not None and (not origins or before in origins):
        origins = [before]
    if not origins:
        return ReleaseStep(None, targets[-1])
    pairs = ((one, two) for one in origins for two in (lines.nearest(targets, one),))

    def length(pair: tuple[int, int]) -> tuple[bool, bool, int]:
        one, two = pair
        return one == two, lines.order(one, two) == "other line", abs(one - two)

    return ReleaseStep(*min(pairs, key=length))


def is_touched_only(pair: Pair) -> bool:
    """Whether nothing but times and other names of a path changed, or a folder came or went: an
    installer that writes what was there already says nothing.
    """
    old, new = pair
    if old is None or new is None:
        entry = old or new
        return entry is not None and entry.kind == "directory"
    return not set(changed_fields(old, new)) - {"mtime", "link"}


def is_explained(pair: Pair, wanted: Entry | None, *, is_vendors: bool) -> bool:
    """Whether a path became what a release has there. One that the release lacks may only go if
    what went `is_vendors`: a release removes only files of its vendor.
    """
    old, new = pair
    if new is None or wanted is None:
        return new is wanted and is_vendors
    if not same_state(new, wanted):
        return False
    is_mode = new.kind == "symlink" or new.mode == wanted.mode or _keeps(old, new, "mode")
    return is_mode and (old is None or _keeps(old, new, "owner") or _owned_as(new, wanted))


def explain(
    pairs: Mapping[RelPath, Pair],
    step: ReleaseStep | None,
    delta: Mapping[RelPath, Pair],
    wanted: Callable[[RelPath], Entry | None],
    now: Callable[[RelPath], Entry | None],
    was_shipped: Callable[[Entry], bool],
    lines: Lines | None = None,
) -> Explanation:
    """`pairs` are the changed paths that count, `delta` those in which the releases of the step
    differ and that count; `wanted` gives what the second release has at a path, `now` what the
    version has there; `was_shipped` says whether any release had just that at its path. Without
    `lines`, every release follows the one with the number before.
    """
    if step is None:
        return _nothing(pairs)
    explained: list[RelPath] = []
    rest: list[RelPath] = []
    for path, pair in pairs.items():
        target = delta[path][1] if path in delta else wanted(path)
        gone = pair[0] if pair[1] is None else None
        is_vendors = gone is not None and target is None and was_shipped(gone)
        (explained if is_explained(pair, target, is_vendors=is_vendors) else rest).append(path)
    if not explained:
        return _nothing(pairs)
    kind = _kind(step, lines or Lines(()))
    found = _counted(kind, step, delta, set(explained), rest, now)
    is_whole = found.done > 0 and not found.is_partial
    return found if is_whole or len(explained) >= len(rest) else _drift(step, explained, rest)


def _counted(
    kind: ExplanationKind,
    step: ReleaseStep,
    delta: Mapping[RelPath, Pair],
    explained: set[RelPath],
    rest: Sequence[RelPath],
    now: Callable[[RelPath], Entry | None],
) -> Explanation:
    after = explained & delta.keys()
    others = {path: now(path) for path in delta if path not in after}
    before = sum(same_state(entry, delta[path][1]) for path, entry in others.items())
    left_over = sum(
        entry is not None and delta[path][1] is None and same_state(entry, delta[path][0])
        for path, entry in others.items()
    )
    total = len(delta)
    finished = len(after) + before + left_over >= total
    return Explanation(
        kind=kind,
        from_=step.one,
        to=step.two,
        done=len(after) + before,
        total=total,
        before=before,
        left_over=left_over,
        explained=len(explained),
        rest=len(rest),
        unexplained=tuple(rest[:LISTED]),
        release=step.two if finished or 2 * (len(after) + before) > total else step.one,
    )


def _nothing(pairs: Mapping[RelPath, Pair]) -> Explanation:
    rest = tuple(pairs)
    return Explanation(kind="drift", rest=len(rest), unexplained=rest[:LISTED])


def _drift(step: ReleaseStep, explained: Sequence[RelPath], rest: Sequence[RelPath]) -> Explanation:
    return Explanation(
        kind="drift",
        to=step.two,
        explained=len(explained),
        rest=len(rest),
        unexplained=tuple(rest[:LISTED]),
    )


def _kind(step: ReleaseStep, lines: Lines) -> ExplanationKind:
    """From one line to another is neither up nor down."""
    if step.one is None:
        return "install"
    kinds: dict[ReleaseOrder, ExplanationKind] = {
        "same": "restored",
        "older": "upgrade",
        "newer": "downgrade",
        "other line": "switch",
    }
    return kinds[lines.order(step.one, step.two)]


def _most(intervals: Iterable[ReleaseSpan], last: int) -> list[int]:
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


def _keeps(old: Entry | None, new: Entry, field: Literal["mode", "owner"]) -> bool:
    return old is not None and old.kind == new.kind and field not in changed_fields(old, new)


def _owned_as(new: Entry, wanted: Entry) -> bool:
    return (new.user or new.uid, new.group or new.gid) == (
        wanted.user or wanted.uid,
        wanted.group or wanted.gid,
    )
