"""What versions say of what was done, and what follows from it. Pure.

A version has a `reason`, of a list that is closed: another one is damage to a program that does not
know it. Where that does not say what was asked for, an `operation` does, of a list that is open: a
later release has more of these words, and to a reader that does not know one a version is what its
reason says. So what follows from a version follows from its reason alone.
"""

from typing import Final

from epmstore.catalog.model import Reason, VersionRecord

_MOVES: Final[frozenset[Reason]] = frozenset({"checkout", "repair"})


def what_was_done(record: VersionRecord) -> str:
    """The word for it: of the operation, or the reason."""
    return record.operation or record.reason


def can_be_undone(record: VersionRecord) -> bool:
    """Whether it is what `undo` reverses: it has brought the root somewhere on purpose."""
    return record.reason in _MOVES and record.from_ is not None


def is_reversal(record: VersionRecord) -> bool:
    """Whether it is an undo, or the undo of one."""
    return record.reason == "undo"
