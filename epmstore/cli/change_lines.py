"""Printing what differs between two trees that are no trees of this host."""

from collections import Counter
from collections.abc import Collection

from epmstore.catalog.diff import Change
from epmstore.cli.history import LETTERS
from epmstore.cli.output import name
from epmstore.cli.session import Session
from epmstore.workspace import shapes


def print_changes(session: Session, key: str, changes: Collection[Change]) -> dict[str, int]:
    """A line or a shape for each change, of the application `key`; how many there are of each
    kind.
    """
    for change in changes:
        if session.json:
            session.out.shape(shapes.change(key, change))
            continue
        letter, colour = LETTERS[change.change]
        what = f"  ({', '.join(change.fields)})" if change.change == "modified" else ""
        session.out.line(f"{session.out.paint(letter, colour)} {name(change.path)}{what}")
    counts = Counter(str(change.change) for change in changes)
    return {kind: counts[kind] for kind in LETTERS}


def totals(counts: dict[str, int]) -> str:
    """For people: those that there are."""
    return ", ".join(f"{n:,} {kind}" for kind, n in counts.items() if n) or "no difference"
