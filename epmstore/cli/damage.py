"""What a check of the store found, for people: a line for each file that is hit, not for each of
the thousands of contents that may lie in it.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from epmstore.care.damage import Damage
from epmstore.cli.output import Output, name, number, safe_text

FEW = 3
"""So many findings of one kind in one file are shown one by one."""


def print_damage(out: Output, findings: Sequence[Damage]) -> None:
    """All of it if everything is to be printed."""
    groups: dict[tuple[str, str], list[Damage]] = {}
    for one in findings:
        groups.setdefault((_state(one), one.file), []).append(one)
    for group in groups.values():
        if out.limit is None or len(group) <= FEW:
            for one in group:
                _print_one(out, one)
        else:
            _print_many(out, group)


def _state(one: Damage) -> str:
    return "repaired" if one.repaired else one.kind


def _print_one(out: Output, one: Damage) -> None:
    what = f", content {one.digest}" if one.digest else ""
    out.line(f"{_state(one)}: {name(one.file)}{what}: {safe_text(one.detail)}")
    _print_hits(out, one.versions)


def _print_many(out: Output, group: Sequence[Damage]) -> None:
    first = group[0]
    what = "contents" if all(one.digest for one in group) else "findings"
    out.line(
        f"{_state(first)}: {name(first.file)}: {number(len(group))} {what}, the first"
        f"{' ' + first.digest if first.digest else ''}: {safe_text(first.detail)}"
        " (all of them: -v or --json)"
    )
    _print_hits(out, {hit for one in group for hit in one.versions})


def _print_hits(out: Output, hits: Iterable[tuple[str, int]]) -> None:
    """`needed by crm 0 to 117, 119`"""
    for app, found in groupby(sorted(hits), key=lambda hit: hit[0]):
        out.line(f"    needed by {app} {ranges([version for _, version in found])}")


def ranges(versions: Sequence[int]) -> str:
    """Numbers in order: `0 to 117, 119`."""
    runs: list[list[int]] = []
    for version in versions:
        if runs and version == runs[-1][1] + 1:
            runs[-1][1] = version
        else:
            runs.append([version, version])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)
