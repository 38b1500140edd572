"""The head of a writer: the one small object of its own that it replaces, and signs.

    {"format":1,"depot":"...","writer":"...","number":7,...}
    -----BEGIN PGP SIGNATURE-----
    ...

One line of JSON, and an armored signature of that line, newline included. The id of a writer is the
fingerprint of its key, so that a key which lies beside a head can be no other one. Each head has
the number after, and the digest of, the one that it replaces: a reader that remembers one
sees whether another is newer, older, or of a clone that has the same key.

What is read is foreign: size, signature, then JSON, then everything that must hold.
"""

import hashlib
from typing import Final

import msgspec

from epmstore.catalog.appcat import check_key
from epmstore.clock import from_rfc3339
from epmstore.errors import (
    BadObjectError,
    BadSignatureError,
    EpmError,
    InvalidNameError,
    TrustError,
    UnreadableError,
    UsageError,
)
from epmstore.refcat.signature import PublicKey, check_signature, make_signature, read_key
from epmstore.relpath import text_from_json
from epmstore.sync.depot import FORMAT, check_readable, is_uuid, is_writer

HEAD_MAX: Final = 8 << 20
KEY_MAX: Final = 1 << 16
SEGMENT_MAX: Final = 64 << 20
APPS_MAX: Final = 10_000
SEGMENTS_MAX: Final = 100_000
PACKS_MAX: Final = 100_000
PACK_MAX: Final = 160 << 20
TABLE_MAX: Final = 16 << 20
NUMBER_MAX: Final = 1 << 53
"""Numbers that any reader of JSON keeps exactly."""
_DIGEST: Final = 64


class SegmentRef(msgspec.Struct, frozen=True):
    """One object with lines `first` to `last` of a catalog; `size` in bytes, `sha256` of all."""

    first: int
    last: int
    size: int
    sha256: str

    def name(self, writer: str, app: str) -> str:
        return f"hosts/{writer}/{app}/{self.first}-{self.last}-{self.sha256}"


class RefcatRef(msgspec.Struct, frozen=True):
    """How far the catalog of its vendor was known: `line` is the SHA-256 of the last of `lines`."""

    lines: int
    line: str


class ObjectRef(msgspec.Struct, frozen=True):
    """An object that is called by its digest: `sha256` of all of its bytes, `size` in bytes."""

    size: int
    sha256: str


class PackRef(msgspec.Struct, frozen=True):
    """A pack with contents of an application, and the object that its table is."""

    size: int
    sha256: str
    table: ObjectRef

    def name(self, writer: str, app: str) -> str:
        return f"hosts/{writer}/{app}/packs/{self.sha256}.pack"

    def table_name(self, writer: str, app: str) -> str:
        return f"hosts/{writer}/{app}/tables/{self.table.sha256}"


class ContentsRef(msgspec.Struct, frozen=True):
    """What the packs were last made for: all that the history needed when it had so many `lines`,
    the newest version being `version`.
    """

    lines: int
    version: int | None


class HeadApp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One application of a host: its history has `lines` lines, the last with the SHA-256 `line`,
    in segments that follow each other. `version` is the newest. `ended`: it was removed then.
    `packs` hold contents, each leaning on earlier ones alone; `contents` says how far they go.
    """

    app: str
    key: str
    root: str
    lines: int
    line: str
    segments: tuple[SegmentRef, ...]
    version: int | None = None
    refcat: RefcatRef | None = None
    ended: str | None = None
    packs: tuple[PackRef, ...] = ()
    contents: ContentsRef | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself. `prev` is the digest of the line that it replaces; `saw` names
    condemnations, `revoked` releases that it knows to be withdrawn, `addresses` are of depots of
    its own; `continues` is the writer whose history this one takes up.
    """

    format: int = FORMAT
    features: tuple[str, ...] = ()
    depot: str
    writer: str
    number: int
    prev: str | None = None
    time: str
    epmstore: str
    continues: str | None = None
    apps: tuple[HeadApp, ...] = ()
    saw: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()

    def app(self, uuid: str) -> HeadApp | None:
        return next((app for app in self.apps if app.app == uuid), None)


class SignedHead(msgspec.Struct, frozen=True):
    """A head as it lies there: `digest` is that of its line, `data` the whole object."""

    head: Head
    digest: str
    data: bytes


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Head)
_format_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def sign_head(head: Head, secret: bytes, key: PublicKey, now: float) -> SignedHead:
    """The object that a head becomes; it was read again. Raises UnreadableError, UsageError."""
    line = _encoder.encode(head) + b"\n"
    data = line + make_signature(line, secret)
    try:
        found = read_head(data, head.writer, head.depot, key, now)
    except (EpmError, ValueError) as error:
        raise UnreadableError("a head", str(error)) from None
    if found.head != head:
        raise UnreadableError("a head", "it would say something else")
    return found


def read_head(data: bytes, writer: str, depot: str, key: PublicKey, now: float) -> SignedHead:
    """The inverse, of the head that a writer is said to have in a depot. Raises BadObjectError,
    BadSignatureError, NoStoreError for one that needs a newer release.
    """
    if len(data) > HEAD_MAX:
        raise BadObjectError(f"the head of {writer} is larger than {HEAD_MAX} bytes")
    line, newline, signature = data.partition(b"\n")
    if not newline or not signature:
        raise BadObjectError(f"the head of {writer} is cut off")
    line += newline
    try:
        check_signature(line, signature, [key], now)
    except TrustError as error:
        raise BadSignatureError(
            f"the head of {writer} is not signed by its key: {error.message}",
            hint="the remote gave something else, or half of it; what is known stays as it is",
        ) from None
    head = _decode(line, writer)
    if (head.writer, head.depot) != (writer, depot):
        raise BadObjectError(
            f"the head of {writer} is one of {head.writer} in the depot {head.depot}",
            hint="somebody put it there: it is not believed",
        )
    for app in head.apps:
        _check_app(app, writer)
    if len({app.app for app in head.apps}) != len(head.apps):
        raise BadObjectError(f"the head of {writer} names an application twice")
    return SignedHead(head, hashlib.sha256(line).hexdigest(), data)


def read_writer_key(data: bytes, writer: str) -> PublicKey:
    """The key that lies beside a head. Raises BadObjectError if it is another one than the id says,
    or none.
    """
    try:
        found = read_key(data) if len(data) <= KEY_MAX else None
    except UsageError:
        found = None
    if found is None or found.fingerprint != writer:
        raise BadObjectError(f"the key of {writer} is none, or another one")
    return found


def _decode(line: bytes, writer: str) -> Head:
    try:
        said = _format_decoder.decode(line)
        number, features = (
            msgspec.json.decode(said.get(key, msgspec.Raw(b"null")))
            for key in ("format", "features")
        )
        check_readable(number, features, f"the head of {writer}")
        head = _decoder.decode(line)
    except (ValueError, RecursionError) as error:
        raise BadObjectError(f"the head of {writer} says nothing: {error}") from None
    if not 0 < head.number < NUMBER_MAX or len(head.apps) > APPS_MAX:
        raise BadObjectError(f"the head of {writer} has a number that is none")
    if head.prev is not None and not _is_digest(head.prev):
        raise BadObjectError(f"the head of {writer} follows nothing that is one")
    if not (_is_time(head.time) and all(a.ended is None or _is_time(a.ended) for a in head.apps)):
        raise BadObjectError(f"the head of {writer} has a time that is none")
    if not is_writer(head.writer) or not (head.continues is None or is_writer(head.continues)):
        raise BadObjectError(f"the head of {writer} names a writer who is none")
    return head


def _check_app(app: HeadApp, writer: str) -> None:
    where = f"the head of {writer} says of {app.app!r:.40}"
    if not is_uuid(app.app) or not _is_key(app.key) or not _is_digest(app.line):
        raise BadObjectError(f"{where} what no application is called")
    if not _is_root(app.root) or not (app.version is None or 0 <= app.version < NUMBER_MAX):
        raise BadObjectError(f"{where} where no application is, or a version that is none")
    if len(app.segments) > SEGMENTS_MAX:
        raise BadObjectError(f"{where} too many segments")
    due = 0
    for segment in app.segments:
        is_next = segment.first == due and due <= segment.last < NUMBER_MAX
        if not is_next or not 0 < segment.size <= SEGMENT_MAX or not _is_digest(segment.sha256):
            raise BadObjectError(f"{where} that lines {segment.first} follow line {due - 1}")
        due = segment.last + 1
    if due != app.lines:
        raise BadObjectError(f"{where} that it has {app.lines} lines, and segments of {due}")
    if len(app.packs) > PACKS_MAX or not all(map(_is_pack, app.packs)):
        raise BadObjectError(f"{where} that it has packs that are none")
    if app.contents is not None and not 0 <= app.contents.lines < NUMBER_MAX:
        raise BadObjectError(f"{where} contents of lines that are none")


def _is_pack(pack: PackRef) -> bool:
    right = 0 < pack.size <= PACK_MAX and 0 < pack.table.size <= min(TABLE_MAX, pack.size)
    return right and _is_digest(pack.sha256) and _is_digest(pack.table.sha256)


def _is_time(text: str) -> bool:
    try:
        from_rfc3339(text)
    except (UsageError, ValueError, OverflowError):
        return False
    return True


def _is_root(text: str) -> bool:
    try:
        return text_from_json(text).startswith("/")
    except (InvalidNameError, UsageError, ValueError):
        return False


def _is_key(text: str) -> bool:
    try:
        check_key(text)
    except UsageError:
        return False
    return True


def _is_digest(text: str) -> bool:
    return len(text) == _DIGEST and set(text) <= set("0123456789abcdef")
