"""What the head of a writer is, held against what is remembered of it. Pure.

A remote can give less than there is, and never more than was signed: an older head, none, or, where
two hosts have one key, one of the other. Each has a name and a command that helps.
"""

from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.errors import EpmError, ForkError, NoStoreError, RemoteHeadError
from epmstore.sync.depot import NEWER
from epmstore.sync.heads import SignedHead

HeadFault: TypeAlias = Literal["withheld", "rolled_back", "forked", "bad", "newer"]
_ANEW: Final = "if the depot was lost or restored: `epmstore push --anew` writes all of it again"
_WRITER: Final = (
    "of a clone, or of a host that was restored: `epmstore remote set --new-writer` gives this one"
    " an id of its own; if this store came back from a backup and is to go on where it was:"
    " `epmstore pull NAME --own` takes what it had pushed"
)


def diverged(key: str) -> ForkError:
    """The history of an application there is no beginning of the one here."""
    return ForkError(
        f"the history of {key} that is there does not lead to the one that is here",
        hint=_WRITER,
        fault="forked",
    )


def superseded(own: str, writer: str) -> ForkError:
    """Another host has taken the place of this one, or says so."""
    return ForkError(
        f"{writer} has taken over what this host had recorded (`adopt-host`): nothing was sent",
        hint="take this one out of service; if it is to go on as another host: `epmstore remote set"
        f" NAME --new-writer`; if no host has: delete adopted/{own} there, and push again",
        fault="superseded",
    )


def unreadable_own(error: EpmError) -> EpmError:
    """The head of this host, as it lies there, is none; a newer one is a newer one."""
    if isinstance(error, NoStoreError):
        return error
    return RemoteHeadError(error.message, hint=_ANEW, fault="bad")


class HeadFinding(msgspec.Struct, frozen=True):
    """What is wrong with the head of another host, and what helps."""

    writer: str
    fault: HeadFault
    message: str
    hint: str


def follow_own(
    acknowledged: SignedHead | None, intended: SignedHead | None, found: SignedHead | None
) -> SignedHead | None:
    """The head that the next one of this host follows; None if it is the first. `acknowledged` and
    `intended` are what this host remembers, `found` is there. Raises RemoteHeadError, ForkError.
    """
    if found is not None and intended is not None and found.digest == intended.digest:
        return found  # it was put there, and this host was cut off before it could note that
    if found is None:
        if acknowledged is None:
            return None
        raise RemoteHeadError(
            "the remote has no head of this host, which was there", hint=_ANEW, fault="withheld"
        )
    if acknowledged is None:
        return found  # signed by the key of this host: what is remembered of it was lost
    if found.digest == acknowledged.digest:
        return found
    if found.head.number < acknowledged.head.number:
        raise RemoteHeadError(
            f"the remote has head {found.head.number} of this host, and had"
            f" {acknowledged.head.number}: it was rolled back",
            hint=_ANEW,
            fault="rolled_back",
        )
    raise ForkError(
        f"head {found.head.number} is signed by the key of this host, which did not write it",
        hint=_WRITER,
        fault="forked",
    )


def judge_other(
    known: SignedHead | None, found: SignedHead | None, writer: str
) -> HeadFinding | None:
    """What is wrong with the head of another host; None if it may be taken. What is known is what
    was taken last.
    """
    again = _again(writer)
    if found is None:
        if known is None:
            return HeadFinding(writer, "withheld", "it has no head there", "nothing is known of it")
        text = f"the remote has no head of {writer}, which was there"
        return HeadFinding(writer, "withheld", text, again)
    if known is None or found.digest == known.digest:
        return None
    if found.head.number < known.head.number:
        text = f"the remote has head {found.head.number} of {writer}, and had {known.head.number}"
        return HeadFinding(writer, "rolled_back", text, again)
    if found.head.number == known.head.number:
        text = f"two hosts have the key of {writer}: there are two heads {found.head.number}"
        return HeadFinding(writer, "forked", text, again)
    return None


def forked_history(writer: str, key: str) -> HeadFinding:
    """A newer head, whose history of an application does not continue the one that is known."""
    return HeadFinding(
        writer,
        "forked",
        f"the history of {key} of {writer} does not continue the one that is known",
        _again(writer),
    )


def _again(writer: str) -> str:
    return f"what is known of it stays; if that is right there: `epmstore pull --forget {writer}`"


def bad_head(writer: str, error: EpmError) -> HeadFinding:
    """What could not be read, or is not what its name says."""
    if isinstance(error, NoStoreError):
        return HeadFinding(writer, "newer", error.message, error.hint or NEWER)
    hint = "what is known of it stays; `epmstore push --anew` on that host writes it again"
    return HeadFinding(writer, "bad", error.message, hint)
