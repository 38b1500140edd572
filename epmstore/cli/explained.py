"""What explains a version, in a few words."""

from collections.abc import Sequence

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
        return f"{counted(found.rest, 'file')} unexplained"
    return f"{text}, {number(found.rest)} unexplained"


def words_of_many(found: Sequence[Explanation | None]) -> str:
    """Of versions that follow each other, newest first: what they come to together."""
    known = [one for one in found if one is not None]
    steps = [one for one in known if one.kind not in ("drift", "rollback", "repair")]
    rest = sum(one.rest for one in known)
    if len({(one.from_, one.to) for one in steps}) != 1:
        return f"{counted(rest, 'file')} unexplained" if rest else ""
    text = _step(steps[0], together=True)
    return f"{text}, {number(rest)} unexplained" if rest else text


def _step(found: Explanation, *, together: bool = False) -> str:
    if found.kind in ("rollback", "repair", "drift"):
        return ""
    if found.kind == "restored":
        return f"{counted(found.explained, 'file')} as in release {found.to}"
    install = found.kind == "install"
    text = f"release {found.to}" if install else f"{found.kind} {found.from_} -> {found.to}"
    if found.is_partial:
        return f"partial {text}: {number(found.done)} of {counted(found.total, 'file')}"
    return f"{text} completed" if found.before and not together else text
