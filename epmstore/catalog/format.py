"""Catalog lines: records as JSON, sealed; drawn in docs/formats/catalog.md. Pure.

- A line is plain JSON with a newline, compressed on its own and sealed (Kind.LINE, `number` is its
  plain length), so that `zstdcat` prints a catalog and each line can be read alone.
- The chain is over plain lines: `prev` is the SHA-256 of the line before it, newline included.
- A version is a run of lines of at most PART_ENTRIES paths each, in byte order of paths. What such
  a line says of its paths is in sections.py.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from epmstore import codec
from epmstore.catalog.model import (
    FORMAT,
    NO_PACKAGE,
    AboutRecord,
    AcceptRecord,
    AcknowledgeRecord,
    CatalogPosition,
    Decoded,
    Envelope,
    Fact,
    ForgetRecord,
    FreezeRecord,
    GapRecord,
    HoldRecord,
    LabelRecord,
    MergeRecord,
    Note,
    Parameters,
    PinRecord,
    PurgeRecord,
    Record,
    RelabelRecord,
    RevokeRecord,
    SettingsRecord,
    SquashRecord,
    TagRecord,
    UnforgetRecord,
    UnknownRecord,
    VersionPart,
    VersionRecord,
    Written,
    next_part,
)
from epmstore.catalog.sections import Sections, is_surely_right, read_sections, write_sections
from epmstore.compact import in_order
from epmstore.errors import (
    DamagedError,
    EpmError,
    InvalidNameError,
    NoStoreError,
    UnreadableError,
    UsageError,
)
from epmstore.relpath import (
    ROOT,
    RelPath,
    from_json,
    sort_paths,
    text_from_json,
    text_to_json,
    to_bytes,
    to_json,
)
from epmstore.seal import RecordKind as SealKind
from epmstore.seal import Seal, seal

PART_ENTRIES = 4096
MAX_LINE = 1 << 30
"""What says of itself that it is longer, plain, is not decoded."""
_SMALL = 1 << 14
"""Bytes of a plain line that is decoded whole before it is written; of a longer one the entries are
looked at as `sections.is_surely_right` does, which takes a tenth of the time."""

TYPES: Final[dict[str, type[Fact]]] = {
    "forget": ForgetRecord,
    "unforget": UnforgetRecord,
    "pin": PinRecord,
    "tag": TagRecord,
    "label": LabelRecord,
    "hold": HoldRecord,
    "freeze": FreezeRecord,
    "acknowledge": AcknowledgeRecord,
    "merge": MergeRecord,
    "settings": SettingsRecord,
    "accept": AcceptRecord,
    "purge": PurgeRecord,
    "squash": SquashRecord,
    "about": AboutRecord,
    "revoke": RevokeRecord,
    "relabel": RelabelRecord,
    "gap": GapRecord,
}
_NAMES = {record: name for name, record in TYPES.items()}
VERSION = "version"

_encoder = msgspec.json.Encoder()
_envelope_decoder = msgspec.json.Decoder(Envelope)
_version_decoder = msgspec.json.Decoder(VersionRecord)
_sections_decoder = msgspec.json.Decoder(Sections)
_keys_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN: Final = {
    key for struct in (Envelope, VersionRecord, Sections) for key in struct.__struct_encode_fields__
}
"""Keys of the lines of a version."""
_fact_decoders = {name: msgspec.json.Decoder(record) for name, record in TYPES.items()}

RecordT = TypeVar("RecordT", bound=Record)
_Said: TypeAlias = tuple[bytes, str, Any]
"""A path, the section of a version that speaks of it, and what that says."""

# Writing.


def encode(
    records: Iterable[Written], after: CatalogPosition
) -> Iterator[tuple[bytes, CatalogPosition]]:
    """Each line as it is stored, and the position behind it, for records that follow `after`.

    A version may be given whole: it becomes as many lines as it takes. Raises as `encode_line`.
    """
    position = after
    for record in records:
        for plain in plain_lines(record, position):
            stored = seal_line(plain)
            position = position_behind(position, plain, len(stored))
            yield stored, position


def plain_lines(record: Written, after: CatalogPosition) -> Iterator[bytes]:
    """The plain lines of one record: of a version given whole as many as it takes. Raises as
    `encode_line`.
    """
    position = after
    for part in _split(record):
        plain = encode_line(part, position)
        position = position_behind(position, plain, 0)
        yield plain


def moved_line(plain: bytes, after: CatalogPosition) -> bytes:
    """A sound line as it is written at another place of a chain; whatever else it says stays, known
    or not.
    """
    said = msgspec.json.decode(plain, type=dict[str, msgspec.Raw])
    said["seq"] = msgspec.Raw(_encoder.encode(after.seq))
    said["prev"] = msgspec.Raw(_encoder.encode(after.head))
    return _encoder.encode(said) + b"\n"


def seal_line(plain: bytes) -> bytes:
    """A plain line as it is stored."""
    body = codec.compress(plain)
    return seal(SealKind.LINE, body, number=len(plain)) + body


def position_behind(before: CatalogPosition, plain: bytes, stored_length: int) -> CatalogPosition:
    """The position behind a line that stands at `before`."""
    head = hashlib.sha256(plain).hexdigest()
    return CatalogPosition(before.length + stored_length, head, before.seq + 1)


def encode_line(record: Written, after: CatalogPosition) -> bytes:
    """One plain line. A version is written as the part that its header says it is.

    Whatever it is for, it was decoded once more when it comes out: a line that `decode_line` would
    refuse is not made. Raises UnreadableError then, and UsageError for text that is not UTF-8
    (names and link targets apart: those may be any bytes).
    """
    if isinstance(record, VersionPart):
        envelope = Envelope(seq=after.seq, prev=after.head, type=VERSION)
        plain = _object(envelope, _with_paths(record.header, to_json), _said(record))
    else:
        envelope = Envelope(seq=after.seq, prev=after.head, type=_NAMES[type(record)])
        plain = _object(envelope, _with_paths(record, to_json))
    _check_readable(plain, envelope.type)
    return plain


def _said(version: VersionPart) -> Sections:
    try:
        return write_sections(version)
    except (DamagedError, ValueError, TypeError, AttributeError) as error:
        raise UnreadableError(f"version {version.header.version}", str(error)) from None


def _check_readable(plain: bytes, record_type: str) -> None:
    """Raises UnreadableError unless `decode_line` takes a line."""
    try:
        if len(plain) > _SMALL and record_type == VERSION:
            header = _with_paths(_version_decoder.decode(plain), from_json)
            sections = _sections_decoder.decode(plain)
            if len(plain) > MAX_LINE:
                raise DamagedError("it is too long")
            if not is_surely_right(sections):
                read_sections(header, sections)
        else:
            decode_line(plain)
    except (EpmError, ValueError, RecursionError) as error:
        raise UnreadableError(f"a line of type {record_type!r}", str(error)) from None


def without_entries(plain: bytes, record: Decoded, before: CatalogPosition) -> bytes:
    """A line as the index keeps it: whole, but for what a version says of its paths. What is not
    known in it stays, for a later release that knows it. Raises DamagedError: no earlier release
    read a key that is not known here.
    """
    if not isinstance(record, VersionPart):
        return plain
    known = encode_line(VersionPart(record.header), before)
    try:
        said = _keys_decoder.decode(plain)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"not a catalog line: {error}") from None
    more = {key: raw for key, raw in said.items() if key not in _KNOWN}
    return known[:-2] + b"," + _encoder.encode(more)[1:] + b"\n" if more else known


def _object(*structs: msgspec.Struct) -> bytes:
    """One JSON object with the keys of all, in order."""
    try:
        bodies = [_encoder.encode(struct)[1:-1] for struct in structs]
    except UnicodeEncodeError as error:
        raise UsageError(f"{error.object!r} is not UTF-8") from None
    except (OverflowError, RecursionError, TypeError) as error:
        raise UnreadableError("a line", str(error)) from None
    return b"{" + b",".join(filter(None, bodies)) + b"}\n"


def _split(record: Written) -> Iterator[Written]:
    """The lines that a record becomes: one, or the parts of a version."""
    if not isinstance(record, VersionPart):
        yield record
        return
    count = len(record.entries) + len(record.meta) + len(record.removed)
    parts = max(1, -(-count // PART_ENTRIES))
    header = msgspec.structs.replace(record.header, part=1, parts=parts)
    said = _in_order(record)
    for _ in range(parts):
        chunk = list(islice(said, PART_ENTRIES))
        yield VersionPart(
            header,
            [what for _, section, what in chunk if section == "entries"],
            [what for _, section, what in chunk if section == "meta"],
            [what for _, section, what in chunk if section == "removed"],
        )
        header = next_part(header)


def _in_order(version: VersionPart) -> Iterator[_Said]:
    """What a version says of each path, in byte order of these. Complete entries stand for metadata
    of what is no file: only files gain by that. Raises ValueError for a path that occurs twice.
    """
    meta = [entry for entry in version.meta if entry.kind == "file"]
    complete = [entry for entry in version.meta if entry.kind != "file"]
    last: bytes | None = None
    for said in heapq.merge(
        ((path, "entries", entry) for path, entry in in_order(version.entries)),
        ((path, "entries", entry) for path, entry in in_order(complete)),
        ((path, "meta", entry) for path, entry in in_order(meta)),
        ((to_bytes(path), "removed", path) for path in sort_paths(version.removed)),
        key=itemgetter(0),
    ):
        if said[0] == last:
            raise ValueError("a path occurs twice in one version")
        last = said[0]
        yield said


# Reading.


def open_line(found: Seal, body: bytes) -> bytes:
    """The plain line in a sealed record. Raises DamagedError."""
    if found.kind is not SealKind.LINE or found.head or found.number > MAX_LINE:
        raise DamagedError(f"record at byte {found.offset} is not a catalog line")
    plain = codec.decompress(body, found.number)
    if plain.find(b"\n") != len(plain) - 1:
        raise DamagedError(f"record at byte {found.offset} is not one line")
    return plain


def decode_envelope(plain: bytes) -> Envelope:
    """Where a line stands. Raises DamagedError, NoStoreError for an unknown format."""
    try:
        envelope = _envelope_decoder.decode(plain)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"not a catalog line: {error}") from None
    if envelope.format != FORMAT:
        raise NoStoreError(
            f"the catalog has a line of format {envelope.format}, this release reads {FORMAT}",
            hint="use a newer release of epmstore",
        )
    return envelope


def decode_line(plain: bytes) -> tuple[Envelope, Decoded]:
    """The inverse of `encode_line`. Raises DamagedError, NoStoreError for an unknown format."""
    envelope = decode_envelope(plain)
    try:
        return envelope, _decode(envelope.type, plain)
    except (ValueError, InvalidNameError, UsageError, RecursionError) as error:
        raise DamagedError(f"not a catalog line: {error}") from None


def _decode(record_type: str, plain: bytes) -> Decoded:
    if record_type == VERSION:
        header = _with_paths(_version_decoder.decode(plain), from_json)
        return read_sections(header, _sections_decoder.decode(plain))
    decoder = _fact_decoders.get(record_type)
    if decoder is None:
        return UnknownRecord(record_type)
    return _with_paths(decoder.decode(plain), from_json)


# Both.


def named(unobserved: Iterable[tuple[str, str]]) -> Iterator[tuple[RelPath, str]]:
    """The root among paths that were not observed is called `ROOT`; it was once written as no name
    at all.
    """
    return ((RelPath(path) if path else ROOT, why) for path, why in unobserved)


def _with_paths(record: RecordT, convert: Callable[[str], str]) -> RecordT:
    """The same record with every path in it as JSON shows it, or back."""
    changed: dict[str, object] = {}
    if isinstance(record, VersionRecord):
        changed = _paths_of_version(record, convert)
    elif isinstance(record, AcceptRecord) and record.paths is not None:
        changed["paths"] = tuple(map(convert, record.paths))
    elif isinstance(record, PurgeRecord | MergeRecord) and record.path is not None:
        changed["path"] = convert(record.path)
    return msgspec.structs.replace(record, **changed) if changed else record


def _paths_of_version(record: VersionRecord, convert: Callable[[str], str]) -> dict[str, object]:
    """What of it has other paths then."""
    changed: dict[str, object] = {}
    if record.scope is not None:
        changed["scope"] = tuple(map(convert, record.scope))
    if record.unobserved:
        changed["unobserved"] = tuple(
            (path if path == ROOT else convert(path), why) for path, why in named(record.unobserved)
        )
    if record.writing:
        changed["writing"] = tuple(map(convert, record.writing))
    if record.notes:
        changed["notes"] = tuple(_with_path(note, convert) for note in record.notes)
    if record.parameters is not None:
        changed["parameters"] = with_converted_paths(record.parameters, convert)
    if record.command is not None:
        text = text_to_json if convert is to_json else text_from_json
        changed["command"] = tuple(map(text, record.command))
    if record.package is not NO_PACKAGE and convert is from_json:
        changed["package"] = _own(record.package)
    return changed


def with_converted_paths(said: Parameters, convert: Callable[[str], str]) -> Parameters:
    """The same, with the paths of files as JSON shows them, or back."""
    files = (msgspec.structs.replace(one, path=RelPath(convert(one.path))) for one in said.files)
    return msgspec.structs.replace(said, files=tuple(files))


def _with_path(note: Note, convert: Callable[[str], str]) -> Note:
    if note.path is None:
        return note
    return msgspec.structs.replace(note, path=RelPath(convert(note.path)))


def _own(said: msgspec.Raw) -> msgspec.Raw:
    """Without the line that it was read from."""
    return NO_PACKAGE if bytes(said) == b"null" else said.copy()
