"""What explains a version, in a few words."""

from collections.abc import Sequence

import msgspec

from epmstore.cli.output import counted, number
from epmstore.vendor.explain import Explanation


def words(found: Explanation | None) -> str:
    """`upgrade 40 -> 41, 1 unexplained`; empty where there is nothing to say."""
    if found is None:
        return ""
    text = _step(found)
    if not found.rest:
        return text
    if found.kind == "drift":
        known = f", {number(found.explained)} as in release {found.to}" if found.explained else ""
        return f"{counted(found.rest, 'file')} unexplained{known}"
    return f"{text}, {number(found.rest)} unexplained"


def words_of_many(found: Sequence[Explanation | None]) -> str:
    """Of versions that follow each other, newest first: what they come to together."""
    known = [one for one in found if one is not None]
    steps = [one for one in known if one.kind not in ("drift", "rollback", "repair", "restored")]
    restored = [one for one in known if one.kind == "restored"]
    rest = sum(one.rest for one in known)
    ends = {(one.from_, one.to) for one in steps}
    if len(ends) != 1 or any(one.to != steps[0].to for one in restored):
        return f"{counted(rest, 'file')} unexplained" if rest else ""
    # what came back after the greater part of a step was made is the rest of that step
    newer = sum(one.explained for one in known[: known.index(steps[0])] if one in restored)
    done = min(steps[0].total, steps[0].done + newer)
    left_over = min(steps[0].left_over, steps[0].total - done)
    newest = msgspec.structs.replace(steps[0], done=done, before=0, left_over=left_over)
    text = _step(newest)
    return f"{text}, {number(rest)} unexplained" if rest else text


def _step(found: Explanation) -> str:
    if found.kind in ("rollback", "repair", "drift"):
        return ""
    if found.kind == "restored":
        return f"{counted(found.explained, 'file')} as in release {found.to}"
    install = found.kind == "install"
    text = f"release {found.to}" if install else f"{found.kind} {found.from_} -> {found.to}"
    if found.is_partial:
        return f"partial {text}: {number(found.done)} of {counted(found.total, 'file')}"
    text = f"{text} completed" if found.before else text
    return f"{text}, {number(found.left_over)} left over" if found.left_over else text
