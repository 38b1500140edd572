"""What `rollback`, `undo` and `redo` mean for a history. Pure.

History is never rewritten: each of them makes a new version. Going back twice goes back further,
and does not flip between two states, because what counts is whose content is live (`of`), not which
number is the newest.
"""

from collections.abc import Sequence

import msgspec

from epmstore.catalog.installed import find_product, installed_by
from epmstore.catalog.operations import can_be_undone, is_reversal
from epmstore.catalog.parameters import parameters_by
from epmstore.catalog.state import VersionInfo
from epmstore.checkout.goal import VersionGoal, goal_of, version_of
from epmstore.errors import NotFoundError, VersionNotFoundError


class Reversal(msgspec.Struct, frozen=True):
    """Bring back the content of `to`, for the paths that differ between `one` and `two`; in the
    newest version they must be as in `two`.
    """

    to: int
    one: int
    two: int


def rollback_target(versions: Sequence[VersionInfo], *, drifted: bool) -> int:
    """The version that a rollback goes to. `drifted`: going back to the last change would bring
    something back.

    Then it is that change; else the change before the one whose content is live. Raises
    VersionNotFoundError if there is nothing to go back to.
    """
    last = last_change(versions)
    if last is None:
        raise VersionNotFoundError(
            "there is nothing to roll back to", hint="nothing is recorded so far: epmstore snapshot"
        )
    live = content_of(versions, last)
    if drifted:
        return live
    earlier = [one for one in versions if _is_change(one) and one.version < live]
    if not earlier:
        raise VersionNotFoundError(
            f"version {live}, whose content is live, is the first change: nothing is before it",
            hint="`epmstore log --all` shows all versions, and `epmstore checkout VERSION` goes to"
            " any of them; `epmstore undo` reverses a rollback",
        )
    return content_of(versions, earlier[-1])


def product_target(versions: Sequence[VersionInfo], product: str) -> int:
    """The version that taking back the last step of a product (UUID) goes to: the one before it was
    installed as it is in the content that is live. Raises VersionNotFoundError if nothing of the
    product was there before.
    """
    last = last_change(versions)
    live = -1 if last is None else content_of(versions, last)
    for info in reversed([one for one in versions if one.version <= live]):
        before = find_product(installed_by(versions, info.version - 1), product)
        if info.record.installed is None or find_product(info.record.installed, product) == before:
            continue
        if before is None:
            break
        numbers = {one.version: one for one in versions}
        return content_of(versions, numbers[info.version - 1])
    raise VersionNotFoundError(
        "the release that is installed is the first one: nothing of it was there before",
        hint="`epmstore undo` reverses the last operation, `epmstore uninstall` takes it away",
    )


def last_change(versions: Sequence[VersionInfo]) -> VersionInfo | None:
    """The newest version that is no drift; where everything is, the first: the root as it was
    found, which was not declared to be good, but which everything else came after. A command that
    changed nothing is a version, and nothing to go back to.
    """
    changes = filter(_is_change, reversed(versions))
    return next(changes, versions[0] if versions else None)


def _is_change(info: VersionInfo) -> bool:
    return info.kind == "change" and not info.changes_nothing


def content_of(versions: Sequence[VersionInfo], info: VersionInfo) -> int:
    """The first version that had the content which a version brought back whole, or which it left
    as it was; else itself.
    """
    numbers = {one.version: one for one in versions}
    seen: set[int] = set()
    while info.version not in seen:
        seen.add(info.version)
        before = numbers.get(_same_as(versions, info))
        if before is None:
            break
        info = before
    return info.version


def _same_as(versions: Sequence[VersionInfo], info: VersionInfo) -> int:
    """The version of the same content that a version came from; -1 if it has one of its own."""
    record = info.record
    match goal_of(record):
        case VersionGoal(version) if record.scope is None and (
            record.installed in (None, installed_by(versions, version))
            and record.parameters in (None, parameters_by(versions, version))
        ):
            return version
    return record.version - 1 if info.changes_nothing else -1


def undo_target(versions: Sequence[VersionInfo]) -> Reversal:
    """Reverses the last operation that is in force. Raises NotFoundError if there is none."""
    done, _ = _stacks(versions)
    if not done:
        raise NotFoundError(
            "there is nothing to undo",
            hint="it reverses a checkout, rollback or repair; `epmstore log` shows them",
        )
    last = done[-1].record
    assert last.from_ is not None, "an operation follows a version"
    return Reversal(last.from_, last.from_, last.version)


def redo_target(versions: Sequence[VersionInfo]) -> Reversal:
    """Does again what was undone last. Raises NotFoundError if there is nothing, or changes came
    since.
    """
    _, undone = _stacks(versions)
    if not undone:
        raise NotFoundError("there is nothing to redo", hint="`epmstore redo` reverses an undo")
    last = undone[-1].record
    assert last.from_ is not None, "an operation follows a version"
    return Reversal(last.version, last.version, last.from_)


def taken_back(versions: Sequence[VersionInfo]) -> frozenset[int]:
    """Versions of operations that were undone, and not done again."""
    found: set[int] = set()
    done: list[VersionInfo] = []
    for info in versions:
        if can_be_undone(info.record):
            done.append(info)
            continue
        goal = goal_of(info.record)
        if not is_reversal(info.record):
            continue
        if done and version_of(goal) == done[-1].record.from_:
            found.add(done.pop().version)
        elif version_of(goal) in found:
            found.discard(version_of(goal) or 0)
            done += [one for one in versions if one.version == version_of(goal)]
    return frozenset(found)


def _stacks(versions: Sequence[VersionInfo]) -> tuple[list[VersionInfo], list[VersionInfo]]:
    """(operations that are in force, operations that were undone), the last one on top."""
    done: list[VersionInfo] = []
    undone: list[VersionInfo] = []
    for info in versions:
        record, goal = info.record, goal_of(info.record)
        if can_be_undone(record):
            done.append(info)
            undone.clear()
        elif not is_reversal(record):
            continue
        elif done and version_of(goal) == done[-1].record.from_:
            undone.append(done.pop())
        elif undone and goal == VersionGoal(undone[-1].version):
            done.append(undone.pop())
    return done, undone
