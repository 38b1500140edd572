"""A depot: what says that a place is one, and how its objects are called (docs/formats/depot.md).

    {"format": 1, "features": [], "depot": "<uuid>", "sum": "<sha-256>"}

is the object EPMSTORE. `sum` is the SHA-256 over the compact JSON of the other keys in their order;
unknown keys are kept out of the way. An unknown format or feature is refused. A place without it is
no depot, whatever else is there: the empty folder that a mount left behind is not filled.
"""

import contextlib
import hashlib
import json
import re
import uuid
from typing import Any, Final

import msgspec

from epmstore.errors import (
    BadObjectError,
    NoStoreError,
    RemoteChangedError,
    RemoteNotFoundError,
    UsageError,
)
from epmstore.remotes.checked import read_small
from epmstore.remotes.remote import Remote

MARKER: Final = "EPMSTORE"
FORMAT: Final = 1
FEATURES: Final[frozenset[str]] = frozenset()
"""What a depot may need that this release knows: nothing so far."""
MARKER_MAX: Final = 1 << 16
NEWER: Final = "use the release of epmstore that wrote it, or a newer one"
_UUID: Final = re.compile(r"[0-9a-f]{32}")
_WRITER: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class DepotIdentity(msgspec.Struct, frozen=True):
    """Which depot this is."""

    depot: str


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def is_writer(text: str) -> bool:
    """Whether it is the id of a writer: the fingerprint of a key, in small letters."""
    return _WRITER.fullmatch(text) is not None


def host_folder(writer: str) -> str:
    return f"hosts/{writer}/"


def head_name(writer: str) -> str:
    return f"hosts/{writer}/head"


def key_name(writer: str) -> str:
    return f"hosts/{writer}/key"


def adopted_name(writer: str) -> str:
    """The object that says which writer has taken the place of this one."""
    return f"adopted/{writer}"


def probe_name(writer: str) -> str:
    """The object that a host tries a remote with."""
    return f"hosts/{writer}/probe"


def write_marker(depot: str) -> bytes:
    """The bytes of EPMSTORE."""
    document: dict[str, Any] = {"format": FORMAT, "features": [], "depot": depot}
    data = json.dumps({**document, "sum": _sum(document)}).encode() + b"\n"
    read_marker(data, MARKER)
    return data


def read_marker(data: bytes, where: str) -> DepotIdentity:
    """The inverse. Raises NoStoreError for a newer format or feature, BadObjectError; `where` is
    the remote, for messages.
    """
    bad = BadObjectError(
        f"{MARKER} of {where} is damaged: nobody can say what this depot is",
        hint=f"nothing else is affected: take {MARKER} from a copy of the depot",
    )
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise bad from None
    if not isinstance(document, dict) or document.get("sum") != _sum(document):
        raise bad
    check_readable(document.get("format"), document.get("features"), f"the depot of {where}")
    depot = document.get("depot")
    if not isinstance(depot, str) or not is_uuid(depot):
        raise bad
    return DepotIdentity(depot)


def check_readable(number: object, features: object, what: str) -> None:
    """Raises NoStoreError for what this release does not know, by its name."""
    if number != FORMAT:
        raise NoStoreError(
            f"{what} has format {number!r:.40}; this release reads format {FORMAT}", hint=NEWER
        )
    words = features if isinstance(features, list | tuple) else [features]
    unknown = sorted({str(word)[:40] for word in words} - FEATURES)
    if unknown:
        raise NoStoreError(
            f"{what} needs {', '.join(unknown)}, which this release does not know",
            hint=NEWER,
            features=unknown,
        )


def open_depot(remote: Remote, where: str, wanted: str | None = None) -> DepotIdentity:
    """Which depot is there. Raises NoStoreError if there is none, or one of a newer format;
    BadObjectError if it is not the one that is `wanted`; RemoteError.
    """
    try:
        data = read_small(remote, MARKER, MARKER_MAX)
    except RemoteNotFoundError:
        raise NoStoreError(
            f"there is no depot at {where}",
            hint="is what should be there mounted? a depot is made when a remote is added",
        ) from None
    found = read_marker(data, where)
    if wanted is not None and found.depot != wanted:
        raise BadObjectError(
            f"another depot is at {where} than was there: {found.depot}, and not {wanted}",
            hint="remove the remote and add it again, if that is meant",
        )
    return found


def make_depot(remote: Remote, where: str, depot: str | None = None) -> DepotIdentity:
    """Make a depot in an empty place, a mirror of a `depot` if one is named; if another was
    quicker, it is that one's. Raises UsageError if other things are there, RemoteError.
    """
    for found in remote.list(""):
        if found.name != MARKER:
            raise UsageError(
                f"{where} is no depot, and not empty: {found.name} is there",
                hint="name an empty place, or a folder in it that is to be made",
            )
    with contextlib.suppress(RemoteChangedError):  # another host made one meanwhile: as good
        remote.replace(MARKER, write_marker(depot or uuid.uuid4().hex), None)
    return open_depot(remote, where, depot)


def _sum(document: dict[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "sum"}
    return hashlib.sha256(json.dumps(rest, separators=(",", ":")).encode()).hexdigest()
