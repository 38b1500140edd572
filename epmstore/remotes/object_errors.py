"""What an object store says, as the errors of remotes.

The library hands on what a server answered as text: its status, and the code in its XML. Codes and
messages are those of others, and only short pieces of them are repeated.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from obstore.exceptions import BaseError

from epmstore.errors import (
    BadObjectError,
    RemoteBusyError,
    RemoteDeniedError,
    RemoteError,
    RemoteFullError,
    RemoteNotFoundError,
    RemoteTransientError,
)

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9.]{1,80})</Code>")
_SAID: Final = re.compile(r"<Message>([^<]{1,300})")
_SLOW: Final = ("SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "TooManyRequests")
_CLOCK: Final = ("RequestTimeTooSkewed", "RequestExpired")
_FULL: Final = ("QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull", "EntityTooLarge")
_CREDENTIAL: Final = (
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "TokenRefreshRequired",
)  # fmt: skip
_REGION: Final = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraint")
_PASSING: Final = (408, 409, 500, 502, 504)


class ObjectAnswer(NamedTuple):
    """What a server said: its status, its code and its message; 0 and "" where it said none."""

    status: int
    code: str
    said: str


def answer_of(error: BaseException) -> ObjectAnswer:
    text = str(error)
    status, code, said = (pattern.search(text) for pattern in (_STATUS, _CODE, _SAID))
    return ObjectAnswer(
        int(status[1]) if status else 0, code[1] if code else "", said[1].strip() if said else ""
    )


@contextlib.contextmanager
def translated(name: str, where: str) -> Iterator[None]:
    """What goes wrong in the block, with `name` at `where`, is an error of a remote."""
    try:
        yield
    except (BaseError, OSError) as error:  # "not found" is an OSError there
        raise remote_error(error, name, where) from None


def remote_error(error: BaseException, name: str, where: str) -> RemoteError:
    answer = answer_of(error)
    status, code, said = answer
    text = f"{name or where}: the server says {status} {code} {said}"[:300].rstrip()
    if code == "NoSuchBucket":
        return RemoteError(
            f"there is no bucket at {where}", hint="make it there; or say --endpoint"
        )
    if status == 404:
        return RemoteNotFoundError(f"no object {name} is there", object=name)
    if code in _SLOW or status in (429, 503):
        return RemoteBusyError(text, object=name, after=None)
    if code in _FULL or status == 507:
        return RemoteFullError(
            text, hint="nothing is lost: make room on the remote, and run the command again"
        )
    if status == 416:
        return RemoteTransientError(f"{name} is shorter than it should be", object=name)
    if status in (401, 403) or code in _REGION or code in _CREDENTIAL:
        return _denied(answer, text, name)
    if status in _PASSING:
        return RemoteTransientError(text, object=name)
    if status:
        return RemoteError(text, object=name)
    return _without_answer(str(error), name, where)


def _denied(answer: ObjectAnswer, text: str, name: str) -> RemoteError:
    if answer.code in _CLOCK:
        return RemoteDeniedError(
            f"{text}: the clock of this host and that of the server are too far apart",
            hint="set the clock of this host (timedatectl), or have that of the server set",
            object=name,
        )
    hint = "let the owner of this access key list, read and write below the prefix"
    if answer.code in _CREDENTIAL:
        hint = "is it the access key of this server, with its secret, and not expired?"
    if answer.code in _REGION or answer.status in (301, 307):
        hint = "the bucket is in another region: say --region"
    return RemoteDeniedError(text, hint=hint, object=name, status=answer.status)


def _without_answer(text: str, name: str, where: str) -> RemoteError:
    """The server said nothing that is an answer."""
    lower = text.lower()
    if "certificate" in lower:
        return RemoteDeniedError(
            f"the certificate of {where} is not accepted",
            hint="its owner has to renew it; or its authority is one that this host does not know:"
            " --authorities FILE",
            object=name,
        )
    if "invalid path" in lower:
        return BadObjectError(
            f"{where} has objects with names that none can have",
            hint="find out who put them there, and take them away",
        )
    if "without location" in lower:
        return RemoteDeniedError(
            f"{where} redirects", hint="the bucket is in another region: say --region"
        )
    if "timed out" in lower or "timeout" in lower:
        return RemoteTransientError(f"{where} does not answer", object=name)
    first = text.partition("\n")[0]
    return RemoteTransientError(f"{where}: {first}"[:300], object=name)
