"""What explains a version, in a few words. Pure."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from epmstore.refcat.explanation import Explanation
from epmstore.refcat.releases import Releases
from epmstore.wording import counted, name, number

Titles: TypeAlias = Callable[[int | None], str]
"""How a release is shown, given its number."""


def titles_of(releases: Releases) -> Titles:
    """Those of the releases that an application is compared with."""
    titles = {one.version: name(one.title) for one in releases.all()}
    return lambda number: titles.get(number, str(number))  # type: ignore[arg-type]


def words(found: Explanation | None, titles: Titles = str) -> str:
    """`upgrade 10.1 (40) -> 10.2 (41), 1 unexplained`; empty where there is nothing to say."""
    if found is None:
        return ""
    text = _step(found, titles)
    if not found.rest:
        return text
    if found.kind == "drift":
        known = (
            f", {number(found.explained)} as in release {titles(found.to)}"
            if found.explained
            else ""
        )
        return f"{counted(found.rest, 'file')} unexplained{known}"
    return f"{text}, {number(found.rest)} unexplained"


def words_of_many(found: Sequence[Explanation | None], titles: Titles = str) -> str:
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
    text = _step(newest, titles)
    return f"{text}, {number(rest)} unexplained" if rest else text


def _step(found: Explanation, titles: Titles) -> str:
    if found.kind in ("rollback", "repair", "drift"):
        return ""
    if found.kind == "restored":
        return f"{counted(found.explained, 'file')} as in release {titles(found.to)}"
    install = found.kind == "install"
    ends = titles(found.to) if install else f"{titles(found.from_)} -> {titles(found.to)}"
    text = f"{'release' if install else found.kind} {ends}"
    if found.is_partial:
        return f"partial {text}: {number(found.done)} of {counted(found.total, 'file')}"
    text = f"{text} completed" if found.before else text
    return f"{text}, {number(found.left_over)} left over" if found.left_over else text
