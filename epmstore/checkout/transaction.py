"""Transactions: several checkouts that all go forward, or none of them.

Each of them has a journal of its own, of the same transaction id, which says PLANNED until all of
them are staged. Then one file decides: `journals/<txid>.transaction`, a sequence of sealed lines as
a journal is.

    format, transaction    the id, when, and the applications in the order of need
    member, staged         of each application what its journal is to say with STAGED

It is there whole, durably, or not at all. As long as it is not, a recovery takes each journal
back; from then on a journal of this id that says PLANNED is one that was to say STAGED, and does so
before anything else is done with it. When none of them says PLANNED, the file goes: what is left
are journals like any other.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from epmstore import fsio
from epmstore.atomic import directory, read_file, remove_file, replace_read
from epmstore.checkout.journal import (
    Header,
    Journal,
    inodes_from_form,
    read_forms,
    refused_from_form,
    seal_form,
    staged_to_form,
)
from epmstore.checkout.stage import Refused
from epmstore.errors import DamagedError
from epmstore.store.staging import NO_SENSE
from epmstore.store.store import Store

FORMAT: Final = 1
ENDING: Final = ".transaction"
WITHOUT: Final = (
    "nothing was changed; if you move that file away, `epmstore recover` takes back what was not"
    " switched yet; `epmstore log` shows what was, and `epmstore undo` takes that back"
)


class StagedMember(msgspec.Struct, frozen=True):
    """What is staged of one application (UUID), and for which directory."""

    app: str
    root_inode: int
    inodes: dict[int, int]
    refused: list[Refused]


class Decision(msgspec.Struct, frozen=True):
    """What was decided: all of these go forward. Who is needed comes first."""

    txid: str
    time: str
    members: tuple[StagedMember, ...]


class TransactionFile:
    """The file of one transaction. Who holds the locks of all its applications writes it."""

    def __init__(self, store: Store, txid: str) -> None:
        self.path = store.journals / f"{txid}{ENDING}"

    def save(self, transaction: Decision) -> None:
        """It is decided, durably, when this returns. Raises UnreadableError, OSError; then `drop`
        makes sure that it is not.
        """
        apps = [one.app for one in transaction.members]
        said = {"txid": transaction.txid, "time": transaction.time, "apps": apps}
        lines: list[dict[str, Any]] = [{"format": FORMAT, "transaction": said}]
        for one in transaction.members:
            staged = staged_to_form(one.inodes, one.refused)
            lines.append({"member": one.app, "root_inode": one.root_inode, "staged": staged})
        replace_read(self.path, b"".join(map(seal_form, lines)), _parse)

    def load(self) -> Decision | None:
        """None if nothing is decided. Raises DamagedError, also for what a later release wrote."""
        try:
            return _parse(read_file(self.path))
        except FileNotFoundError:
            return None
        except DamagedError as error:
            raise DamagedError(
                f"{self.path}: {error.message}",
                hint=error.hint or WITHOUT,
                file=str(self.path),
                **error.data,
            ) from None

    def drop(self) -> None:
        """Every journal says by itself what was decided; or nothing is decided. Durable."""
        remove_file(self.path)


def decision(store: Store, header: Header) -> StagedMember | None:
    """What was decided about a journal that says PLANNED; None if it is to be taken back. Raises
    DamagedError, OSError.
    """
    file = TransactionFile(store, header.txid)
    found = file.load()
    if found is None:
        # That there is none has to last: what is taken back now must not go forward one day.
        with directory(store.journals) as parent:
            fsio.sync_directory(parent)
        return None
    for one in found.members:
        if one.app == header.app and one.root_inode == header.root_inode:
            return one
    raise DamagedError(
        f"{file.path} does not name {header.key}, which is part of it",
        hint="nothing was changed",
        file=str(file.path),
    )


def settle(store: Store) -> None:
    """Drop the files of transactions whose journals say all that was decided. What cannot be read
    stays. Raises OSError.
    """
    for file in transaction_files(store):
        with contextlib.suppress(DamagedError):
            found = file.load()
            if found is not None and not any(_waiting(store, found)):
                file.drop()


def transaction_files(store: Store) -> list[TransactionFile]:
    """Of all transactions that were decided, and are not known to have ended."""
    found = sorted(store.journals.glob(f"*{ENDING}"))
    return [TransactionFile(store, path.name.removesuffix(ENDING)) for path in found]


def _waiting(store: Store, transaction: Decision) -> Iterator[bool]:
    """Of each journal, whether it is still to be told. It never is again once it was, so that
    no lock has to keep others from writing it meanwhile.
    """
    for one in transaction.members:
        loaded = Journal(store.journal(one.app)).load()
        yield (
            loaded is not None
            and loaded.header.txid == transaction.txid
            and loaded.state == "PLANNED"
        )


def _parse(data: bytes) -> Decision:
    try:
        first, *others = (line for line, _ in read_forms(data))
        if first["format"] != FORMAT:
            raise _newer(first["format"])
        said = first["transaction"]
        members = tuple(map(_member, others))
        if [one.app for one in members] != said["apps"] or not members:
            raise DamagedError("the file of a transaction is not whole")
        return Decision(str(said["txid"]), str(said["time"]), members)
    except NO_SENSE as error:
        raise DamagedError(f"the file of a transaction does not make sense: {error}") from None


def _member(form: dict[str, Any]) -> StagedMember:
    staged = form["staged"]
    return StagedMember(
        str(form["member"]),
        int(form["root_inode"]),
        inodes_from_form(staged),
        refused_from_form(staged),
    )


def _newer(number: object) -> DamagedError:
    return DamagedError(
        f"the file of a transaction is of format {number}, this release reads {FORMAT}",
        hint="nothing was changed; let the release that wrote it finish it: `epmstore recover`",
        format=number,
    )
