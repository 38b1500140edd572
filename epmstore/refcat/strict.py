"""One line of a catalog that came from elsewhere: read without trust. Pure.

The bytes are a line only if writing what was read gives the very same bytes: then no key is there
twice, no number is beyond what it may be, and nothing is in it that was not looked at. A line that
is written otherwise (other spaces, unknown keys of a newer release, the list form of components) is
looked at once more, slowly, for what a decoder passes over: repeated keys, depth, huge numbers.

Then every value is held against its limits. Raises BadCatalogError with the reason; the caller
knows which line it is.
"""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from epmstore.catalog.appcat import check_key
from epmstore.catalog.classes import LISTS, Rules
from epmstore.catalog.format import decode_line, encode_line
from epmstore.catalog.model import (
    NO_PACKAGE,
    AboutRecord,
    CatalogPosition,
    Decoded,
    Envelope,
    Record,
    RelabelRecord,
    Requirement,
    RevokeRecord,
    UnknownRecord,
    VersionPart,
    VersionRecord,
)
from epmstore.errors import BadCatalogError, EpmError
from epmstore.refcat import packaging_form
from epmstore.refcat.hygiene import check_name
from epmstore.relpath import to_json
from epmstore.tree import Entry

MAX_LINE = 64 << 20
MAX_LISTS = 1_000_000
MAX_VALUES = 4_000_000
MAX_DEPTH = 16
MAX_NUMBER: Final = 1 << 53
LAST_NS: Final = 10**9 << 63
"""No file system has seconds beyond 64 bits."""
_DIGITS: Final = len(str(-LAST_NS))
MAX_TEXT = 4096
MAX_PATTERNS = 1000
MAX_TOGETHER = 1 << 16
MAX_NEEDS = 10_000
MAX_PARTS = 1000
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TXID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_OWNER = re.compile(r"[^\s:/\x00-\x1f\x7f]{1,64}")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]')
_HOSTS_OWN = "a reference catalog has no such record"
_ABSENT = ("window", "of", "scope", "safety", "from_", "exit_status", "ignored", "rules", "root")


def read_line(plain: bytes) -> tuple[Envelope, Decoded]:
    """The record in one plain line. Raises BadCatalogError; NoStoreError for a newer format."""
    if len(plain) > MAX_LINE:
        raise BadCatalogError(f"it is longer than {MAX_LINE:,} bytes")
    if plain.count(b"[") + plain.count(b"{") > MAX_LISTS or plain.count(b",") > MAX_VALUES:
        raise BadCatalogError(f"it has more than {MAX_LISTS:,} lists or {MAX_VALUES:,} values")
    envelope, record = _decode(plain)
    if not _is_as_written(envelope, record, plain):
        _check_json(plain)
    try:
        check_record(record)
    except BadCatalogError:
        raise
    except EpmError as error:
        raise BadCatalogError(error.message) from None
    return envelope, record


def is_owner(name: str | None) -> bool:
    """Whether a catalog may say that a file is this user's or group's; None says nothing."""
    return name is None or _OWNER.fullmatch(name) is not None


def check_record(record: Decoded) -> None:
    """What a record says, without what stands before it. Raises EpmError."""
    if isinstance(record, UnknownRecord):
        return
    if isinstance(record, VersionPart):
        _check_common(record.header)
        _check_header(record.header)
        _check_package(record.header)
        _check_entries(record.entries)
        _check_entries(record.meta)
        for path in record.removed:
            check_name(path)
        return
    if not isinstance(record, AboutRecord | RevokeRecord | RelabelRecord):
        raise BadCatalogError(f"{_HOSTS_OWN}: it is a host's own")
    _check_common(record)
    if isinstance(record, AboutRecord):
        _check_about(record)
    elif isinstance(record, RevokeRecord):
        _check_revoke(record)
    else:
        _number(record.version, "the release")
        _text(record.label, "the label")


def _decode(plain: bytes) -> tuple[Envelope, Decoded]:
    try:
        return decode_line(plain)
    except EpmError as error:
        if error.exit_code != BadCatalogError.exit_code:
            raise
        raise BadCatalogError(error.message.removeprefix("not a catalog line: ")) from None
    except (UnicodeDecodeError, ValueError) as error:
        raise BadCatalogError(f"it is not JSON: {error}") from None


def _is_as_written(envelope: Envelope, record: Decoded, plain: bytes) -> bool:
    if isinstance(record, UnknownRecord):
        return False
    try:
        if encode_line(record, CatalogPosition(0, envelope.prev, envelope.seq)) != plain:
            return False
        said = record.header.package if isinstance(record, VersionPart) else NO_PACKAGE
        return not said or packaging_form.write(packaging_form.read(said)) == said
    except (EpmError, ValueError):
        return False


def _check_json(plain: bytes) -> None:
    depth = 0
    for token in _TOKENS.finditer(plain):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise BadCatalogError(f"it is nested more than {MAX_DEPTH} deep")
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        raise BadCatalogError("it is not UTF-8") from None
    try:
        json.loads(text, object_pairs_hook=_pairs, parse_int=_integer, parse_constant=_constant)
    except ValueError as error:
        raise BadCatalogError(f"it is not JSON: {error}") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadCatalogError(f"the key {twice!r} is there twice")
    return found


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise BadCatalogError(f"a number of {len(text)} digits")
    return int(text)


def _constant(text: str) -> None:
    raise BadCatalogError(f"{text} is no number of JSON")


def _check_common(record: Record) -> None:
    try:
        datetime.fromisoformat(record.time)
    except ValueError:
        raise BadCatalogError(f"{record.time!r} is not a time") from None
    if record.actor is not None and len(json.dumps(record.actor, default=str)) > MAX_TEXT:
        raise BadCatalogError("the actor is too long")


def _check_about(record: AboutRecord) -> None:
    _match(_UUID, record.app, "a UUID")
    check_key(record.key)
    _text(record.name, "the name")
    patterns = [p for kind in LISTS for p in getattr(record.patterns, kind)]
    if len(patterns) > MAX_PATTERNS:
        raise BadCatalogError(f"more than {MAX_PATTERNS:,} patterns")
    if sum(map(len, patterns)) > MAX_TOGETHER:
        raise BadCatalogError(f"patterns of more than {MAX_TOGETHER:,} letters")
    for pattern in patterns:
        _text(pattern, "a pattern")
    Rules(record.patterns)


def _check_revoke(record: RevokeRecord) -> None:
    if (record.version is None) == (record.digest is None):
        raise BadCatalogError("either a release or a component is withdrawn")
    if record.digest is not None:
        _match(_SHA1, record.digest, "a SHA-1")
    _text(record.reason, "the reason")


def _check_header(header: VersionRecord) -> None:
    _number(header.version, "the release")
    _match(_UUID, header.app, "a UUID")
    check_key(header.key)
    _match(_TXID, header.txid, "a transaction id")
    _match(_SHA256, header.tree, "a tree sum")
    _text(header.label, "the label")
    if header.after is not None:
        _number(header.after, "the release before")
        if header.after >= header.version:
            raise BadCatalogError(f"release {header.version} follows {header.after}, a later one")
    if header.kind != "change" or header.reason != "release":
        raise BadCatalogError(f"{header.reason!r} is no reason for a release")
    said = [name for name in _ABSENT if getattr(header, name) is not None]
    if said or header.unobserved:
        raise BadCatalogError(f"a release has no {(said or ['unobserved'])[0].rstrip('_')!r}")
    for count in (header.counts.added, header.counts.modified, header.counts.removed):
        _number(count, "a count")
    if not 1 <= header.part <= header.parts <= MAX_PARTS:
        raise BadCatalogError(f"part {header.part} of {header.parts}")
    if len(header.requires) > MAX_NEEDS:
        raise BadCatalogError(f"more than {MAX_NEEDS:,} needs")
    for need in header.requires:
        _check_need(need)


def _check_package(header: VersionRecord) -> None:
    if not header.package:
        return
    if header.part > 1:
        raise BadCatalogError("only the first part of a release says 'package'")
    packaging_form.check(packaging_form.read(header.package), header.app)


def _check_need(need: Requirement) -> None:
    if (need.app is None) == (need.digest is None):
        raise BadCatalogError("a need is of an application, or of a component")
    if need.app is not None:
        _match(_UUID, need.app, "a UUID")
        if need.of is not None:
            raise BadCatalogError("only a component is needed by a component")
    for digest in (need.digest, need.of):
        if digest is not None:
            _match(_SHA1, digest, "a SHA-1")
    if need.key is not None:
        check_key(need.key)
    for bound in (need.min, need.max):
        if bound is not None:
            _number(bound, "a release")
    if need.min is not None and need.max is not None and need.min > need.max:
        raise BadCatalogError(f"no release is {need.min} or newer and {need.max} or older")


def _check_entries(entries: Iterable[Entry]) -> None:
    owners: set[tuple[int, int, str | None, str | None]] = set()
    for entry in entries:
        check_name(entry.path)
        owner = (entry.uid, entry.gid, entry.user, entry.group)
        if owner not in owners:
            _check_owner(*owner)
            owners.add(owner)
        if entry.mtime_ns is not None and not -LAST_NS < entry.mtime_ns < LAST_NS:
            raise BadCatalogError(f"{to_json(entry.path)!r} has a time beyond all times")
        info = entry.content
        if info is not None:
            if not 0 <= info.size < MAX_NUMBER:
                raise BadCatalogError(f"{info.size} is no size")
            if entry.path_class == "state":
                raise BadCatalogError(f"{to_json(entry.path)!r} is state, and has a content")
        if entry.target is not None or entry.xattrs or entry.kind == "symlink":
            _check_rare(entry)


def _check_owner(uid: int, gid: int, user: str | None, group: str | None) -> None:
    for number in (uid, gid):
        if not 0 <= number < 1 << 32:
            raise BadCatalogError(f"{number} is no owner")
    for name in (user, group):
        if not is_owner(name):
            raise BadCatalogError(f"{name!r} is no name of an owner")


def _check_rare(entry: Entry) -> None:
    path = to_json(entry.path)
    if (entry.kind == "symlink") != (entry.target is not None):
        raise BadCatalogError(f"{path!r}: links have a target, and nothing else has")
    if entry.target is not None:
        raw = entry.target.encode(errors="surrogateescape")
        if not raw or b"\0" in raw or len(raw) > MAX_TEXT:
            raise BadCatalogError(f"{path!r} links to what is no path")
    for name, value in entry.xattrs:
        if not name.startswith("security.") or len(name) > 255 or len(value) > MAX_TEXT:
            raise BadCatalogError(f"{path!r} has an attribute that is not released: {name!r}")


def _match(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise BadCatalogError(f"{text[:80]!r} is not {what}")


def _text(text: str | None, what: str) -> None:
    if text is not None and (len(text) > MAX_TEXT or _UNPRINTABLE.search(text)):
        raise BadCatalogError(f"{what} is too long, or has control characters")


def _number(number: int, what: str) -> None:
    if not 0 <= number < MAX_NUMBER:
        raise BadCatalogError(f"{what} is {number}")
