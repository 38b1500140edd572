"""Refcats on the move: out as plain lines, and in again without trust.

Order of an import, and nothing is changed before all of it is right: the file is read once, within
limits; its signature is checked over these very bytes, then every line of it (checker.py), both by
a process of its own (catalogchild.py); then it is compared with what is here. What is here and in
the file must be the same; more is appended, a few releases at a time, each step a whole catalog. It
never goes back, and a fork is refused.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from epmstore import fsio, seal
from epmstore.catalog.format import (
    decode_line,
    open_line,
    position_behind,
    seal_line,
    without_entries,
)
from epmstore.catalog.history import Read
from epmstore.catalog.model import (
    NO_HEAD,
    START,
    AboutRecord,
    CatalogPosition,
    Decoded,
    Envelope,
    VersionPart,
)
from epmstore.clock import to_rfc3339
from epmstore.digest import BlobInfo, Digest
from epmstore.errors import (
    BadCatalogError,
    ChangedError,
    CollisionError,
    ConflictError,
    ForkError,
    OlderError,
    UntrustedError,
    VersionNotFoundError,
)
from epmstore.limited import MEMORY, SECONDS, LimitedReader, ReadLimits
from epmstore.progress import Progress
from epmstore.refcat.catalogchild import CatalogOrder, SoFar, Verdict, plain_lines
from epmstore.refcat.catalogs import all_refcats, needs_of_others
from epmstore.refcat.checker import CheckedCatalog, CheckedRelease
from epmstore.refcat.releases import Releases
from epmstore.refcat.signature import LIMIT, PublicKey
from epmstore.refcat.trust import Import, Trust, TrustRecord
from epmstore.relpath import to_json
from epmstore.store.replay import catch_up, enter_records
from epmstore.store.store import Store, refcat

MAX_FILE = 1 << 30
"""Bytes of a catalog as it comes."""
PIECE = 1 << 20
STEP = 4 << 20
"""Sealed bytes that are appended at a time: so long others wait."""
HELD = 1_000_000
"""Entries that are held in memory from the check on; what is beyond is read again."""
SUFFIX = ".asc"
Examine: TypeAlias = Callable[[bytes, CatalogOrder], Iterator[SoFar | Verdict]]
MODULE = "epmstore.refcat.catalogchild"
FOR_EACH_BYTE = 32
"""Bytes of memory that examining a catalog may take for each of its own."""
FOR_A_SECOND = 1 << 20
"""Bytes of a catalog for which examining one line may take a second longer."""


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A catalog from elsewhere that was checked. `lines` are sealed, each with the position behind
    it, and follow `after`; `new` is the index of the first that is not here. `signer` vouches for
    all of it.
    """

    about: AboutRecord
    releases: Sequence[CheckedRelease]
    head: str
    after: tuple[int, str] = (0, NO_HEAD)
    """How many lines did not come again, because they are here, and the head of the last."""
    lines: Sequence[tuple[bytes, CatalogPosition]]
    read: Sequence[tuple[Envelope, Decoded]] = ()
    """What is in the first of these lines: as many as may be held in memory."""
    new: int
    known: int
    """Releases that are here already."""
    signer: PublicKey | None = None

    @property
    def end(self) -> int:
        """How many lines the catalog has."""
        return self.after[0] + len(self.lines)


def export_lines(store: Store, releases: Releases) -> Iterator[bytes]:
    """The plain lines of a refcat: what is signed, imported and read by people. Raises
    DamagedError.
    """
    position = store.entries.position(releases.catalog)
    end = 0 if position is None else position[0]
    for line in store.catalog(releases.catalog).lines(end=end):
        yield line.plain


def known_here(store: Store, app: str, lines: int | None = None) -> CheckedCatalog:
    """The catalog of an application (UUID) that is here, for who checks what follows it: all of it,
    or the first `lines`, if a record ends there.

    Raises VersionNotFoundError if there is none, or not so much; DamagedError.
    """
    releases = Releases(store, app)
    about, heads = releases.about(), releases.heads()
    ends = {seq + 1: head for seq, head in heads}
    count = heads[-1][0] + 1 if lines is None and heads else lines
    if about is None or count not in ends:
        raise VersionNotFoundError(f"there is no catalog of {app} here", hint="import it first")
    behind = {head: count for count, head in ends.items()}
    numbers = [one for one in releases.all() if behind[one.digest] <= count]
    return CheckedCatalog(
        about=about,
        lines=count,
        head=ends[count],
        releases=[
            CheckedRelease(
                one.version, releases.record(one.version).label, one.digest, behind[one.digest]
            )
            for one in numbers
        ],
        tree=list(releases.tree(numbers[-1].version)) if numbers else [],
        contents=store.entries.contents(releases.catalog),
    )


def read_source(path: Path) -> bytes:
    """A catalog file as it is. Raises OSError, BadCatalogError for one beyond all limits."""
    data = bytearray()
    too_large = BadCatalogError(f"{path} is larger than {MAX_FILE:,} bytes", line=0)
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE:
            raise too_large  # before memory is taken for it
        while piece := file.read(PIECE):
            data += piece
            if len(data) > MAX_FILE:
                raise too_large
    return bytes(data)


def read_signature(path: Path, given: Path | None) -> bytes | None:
    """The signature that lies beside a catalog, or the one that was named; None if there is none.

    Raises OSError, BadCatalogError.
    """
    where = given or path.with_name(path.name + SUFFIX)
    if given is None and not where.exists():
        return None
    with where.open("rb") as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise BadCatalogError(f"{where} is larger than {LIMIT:,} bytes", line=0)
    return data


def check_catalog(
    store: Store,
    data: bytes,
    signature: bytes | None,
    progress: Progress,
    *,
    allow_unsigned: bool = False,
    signer: str | None = None,
    examine: Examine | None = None,
    after: CheckedCatalog | None = None,
) -> Incoming:
    """Everything that can be said of a catalog from elsewhere, and of it beside what is here. It is
    first examined by a process with limits (or by `examine`). `signer` is (the end of) the
    fingerprint of the key that signs it from now on, if that is another one than before. `after`:
    the catalog that is here up to where the lines go on.

    Changes nothing. Raises BadCatalogError, TrustError and its kin, ForkError, ConflictError.
    """
    trust = Trust(store.path)
    order = CatalogOrder(
        fd=-1,
        size=len(data),
        signature=signature,
        keys=trust.keys() if signature is not None else [],
        now=store.clock.now(),
        needs=needs_of_others(store, ""),
    )
    verdict = _verdict((examine or _elsewhere)(data, order), progress, len(data))
    start = (0, NO_HEAD) if after is None else (after.lines, after.head)
    known = None if after is None else after.about
    lines, read, about, contents = _take_lines(data, _behind(start), known)
    end = lines[-1][1]
    if (end.seq, end.head) != (verdict.lines, verdict.head) or about is None:
        raise BadCatalogError("it was read otherwise a second time", line=0)
    key = next((key for key in order.keys if key.fingerprint == verdict.signer), None)
    _check_signer(about, key, trust.record(about.app), signer, allow_unsigned=allow_unsigned)
    _check_key(store, about)
    _check_collisions(store, contents)
    incoming = Incoming(
        about=about,
        releases=verdict.releases,
        head=verdict.head,
        after=start,
        lines=lines,
        read=read,
        new=len(lines),
        known=0,
        signer=key,
    )
    return _beside(store, incoming)


def _check_signer(
    about: AboutRecord,
    key: PublicKey | None,
    record: TrustRecord,
    wanted: str | None,
    *,
    allow_unsigned: bool,
) -> None:
    """Whether the one who signed a catalog is the one who may. Raises UntrustedError."""
    asked = None if wanted is None else wanted.replace(" ", "").lower()
    if key is None:
        if asked is not None or (record.signed and not allow_unsigned):
            raise UntrustedError(
                f"the catalog of {about.key} came signed before, and now has no signature"
                if asked is None
                else f"the catalog of {about.key} is not signed, by {wanted} or anybody",
                hint="get the .asc file that belongs to it; --allow-unsigned if you know better",
            )
        return
    who = f"{key.fingerprint}{f' ({key.names[0]})' if key.names else ''}"
    if not key.may_sign(about.app, about.key):
        raise UntrustedError(
            f"the catalog of {about.key} is signed by {who}, who is trusted for"
            f" {', '.join(key.only)} alone",
            hint="if that is its vendor's key, too: `epmstore catalog trust FILE --for"
            f" {about.key}`",
            fingerprint=key.fingerprint,
        )
    if asked is not None and not (asked and key.fingerprint.endswith(asked)):
        raise UntrustedError(
            f"the catalog of {about.key} is signed by {who}, not by {wanted}",
            hint="get the catalog that its vendor signed",
            fingerprint=key.fingerprint,
        )
    if asked is None and record.signer not in (None, key.fingerprint):
        raise UntrustedError(
            f"the catalog of {about.key} came signed by {record.signer} before, and now by {who}:"
            " trusted, and another one",
            hint=f"if its vendor says that this is right: --signer {key.fingerprint[-16:].upper()}",
            fingerprint=key.fingerprint,
            before=record.signer,
        )


def _elsewhere(data: bytes, order: CatalogOrder) -> Iterator[SoFar | Verdict]:
    fd = os.memfd_create("catalog", os.MFD_CLOEXEC)
    try:
        fsio.write(fd, data)
        whole = msgspec.structs.replace(order, fd=fd)
        limits = ReadLimits(
            memory=MEMORY + len(data) * FOR_EACH_BYTE, seconds=SECONDS + len(data) // FOR_A_SECOND
        )
        with LimitedReader(MODULE, whole, (fd,), limits, what="the catalog") as reader:
            for message in reader.messages():
                yield msgspec.msgpack.decode(message, type=SoFar | Verdict)
    finally:
        os.close(fd)


def _verdict(said: Iterator[SoFar | Verdict], progress: Progress, size: int) -> Verdict:
    progress.begin("checking the catalog", size=size)
    for word in said:
        if isinstance(word, Verdict):
            progress.end()
            return word
        progress.advance(size=word.size)
    raise BadCatalogError("nobody could say what it is", line=0)


def _behind(after: tuple[int, str]) -> CatalogPosition:
    """A place in the catalog that is here; how many bytes lie before it, an import finds out."""
    return CatalogPosition(0, after[1], after[0])


def _take_lines(
    data: bytes, position: CatalogPosition, about: AboutRecord | None
) -> tuple[
    list[tuple[bytes, CatalogPosition]],
    list[tuple[Envelope, Decoded]],
    AboutRecord | None,
    Sequence[BlobInfo],
]:
    """Every line that was examined and follows a position, sealed; what is in the first of them;
    what the catalog is about, if they say nothing else; and every content that they name.
    """
    lines: list[tuple[bytes, CatalogPosition]] = []
    read: list[tuple[Envelope, Decoded]] = []
    contents: dict[Digest, BlobInfo] = {}
    held = 0
    for plain in plain_lines(data):
        envelope, record = decode_line(plain)
        if isinstance(record, VersionPart):
            held += len(record.entries)
            contents.update((e.content.digest, e.content) for e in record.entries if e.content)
        elif isinstance(record, AboutRecord):
            about = record
        if held < HELD:
            read.append((envelope, record))
        stored = seal_line(plain)
        position = position_behind(position, plain, len(stored))
        lines.append((stored, position))
    return lines, read, about, list(contents.values())


def import_catalog(store: Store, incoming: Incoming, source: str, progress: Progress) -> None:
    """Append what is new of a catalog that was checked. Raises ChangedError, DamagedError, OSError;
    then it is here up to some release.
    """
    name, trust = refcat(incoming.about.app), Trust(store.path)
    record = trust.record(incoming.about.app)
    if incoming.signer is not None and not record.signed:  # whatever interrupts it from here on
        trust.remember(incoming.about.app, msgspec.structs.replace(record, signed=True))
    with store.lock_app(incoming.about.app), store.keep_packs():
        progress.begin("importing", files=len(incoming.lines) - incoming.new)
        start = incoming.new
        for end in _steps(incoming):
            _append(store, name, incoming, start, end)
            progress.advance(files=end - start)
            start = end
        progress.end()
    release = incoming.releases[-1].version if incoming.releases else None
    signer = None if incoming.signer is None else incoming.signer.fingerprint
    time = to_rfc3339(store.clock.now())
    note = Import(time, to_json(source), release, incoming.head, signer)
    trust.remember(incoming.about.app, trust.record(incoming.about.app).after(note))


def _append(store: Store, name: str, incoming: Incoming, start: int, end: int) -> None:
    """Append some lines, and enter what they say."""
    lines, read = incoming.lines[start:end], incoming.read[start:end]
    before = incoming.lines[start - 1][1] if start else _behind(incoming.after)
    with store.lock_write():
        catch_up(store)
        found = store.entries.position(name)
        here = START if found is None else CatalogPosition(*found)
        if (here.seq, here.head) != (before.seq, before.head):
            raise ChangedError("the catalog changed meanwhile", hint="import it again")
        # it may have been compressed otherwise here: the same lines, of another length
        shift = here.length - before.length
        moved = [
            (stored, msgspec.structs.replace(p, length=p.length + shift)) for stored, p in lines
        ]
        catalog = store.catalog(name)
        behind = catalog.append_lines(moved, here, store.quarantine)
        if len(read) == len(moved):
            enter_records(store, name, _reads(here, moved, read))
        else:
            enter_records(store, name, catalog.read(here, behind.length))


def _reads(
    before: CatalogPosition,
    lines: Sequence[tuple[bytes, CatalogPosition]],
    read: Sequence[tuple[Envelope, Decoded]],
) -> Iterator[Read]:
    """What the catalog would be read as."""
    for (stored, after), (envelope, record) in zip(lines, read, strict=True):
        plain = open_line(*seal.read(stored))
        yield Read(before, after, envelope, record, without_entries(plain, record, before))
        before = after


def _steps(incoming: Incoming) -> Iterator[int]:
    """Where to stop for a moment: at ends of records, every few megabytes."""
    ends = {checked.lines for checked in incoming.releases}
    size = 0
    for number in range(incoming.new, len(incoming.lines)):
        size += len(incoming.lines[number][0])
        is_end = incoming.after[0] + number + 1 in ends
        if (size >= STEP and is_end) or number + 1 == len(incoming.lines):
            yield number + 1
            size = 0


def _beside(store: Store, incoming: Incoming) -> Incoming:
    """Where the catalog goes on from what is here. Raises ForkError, OlderError."""
    releases = Releases(store, incoming.about.app)
    here = releases.heads()
    first = incoming.after[0]
    for seq, head in here:
        if first <= seq < incoming.end and incoming.lines[seq - first][1].head != head:
            raise _fork(releases, incoming, seq)
    count = here[-1][0] + 1 if here else 0
    if count > incoming.end:
        latest = releases.latest()
        theirs = f"release {incoming.releases[-1].version}" if incoming.releases else "no release"
        ours = f"release {latest.version}" if latest is not None else "no release"
        raise OlderError(
            f"the catalog of {incoming.about.key} in the file ends with {theirs} and line"
            f" {incoming.end}; here are {ours} and {count} lines",
            hint="nothing ever goes back; get the newer catalog",
        )
    return msgspec.structs.replace(incoming, new=count - first, known=len(releases.all()))


def _fork(releases: Releases, incoming: Incoming, seq: int) -> ForkError:
    """Names the first release that is another one here."""
    mine = {one.version: one for one in releases.all()}
    for theirs in incoming.releases:
        one = mine.get(theirs.version)
        if one is not None and one.digest != theirs.digest:
            return ForkError(
                f"line {seq + 1}: release {theirs.version} of {incoming.about.key} is another one"
                f" here: {_named(one.label)}{one.digest[:16]} here, {_named(theirs.label)}"
                f"{theirs.digest[:16]} in the file",
                hint="one of the two is not its vendor's: a published release never changes",
                line=seq + 1,
                release=theirs.version,
                here=one.digest,
                there=theirs.digest,
            )
    return ForkError(
        f"line {seq + 1} of the catalog of {incoming.about.key} is another one here",
        hint="one of the two is not its vendor's: a catalog only grows",
        line=seq + 1,
    )


def _named(label: str | None) -> str:
    return f"{label}, " if label else ""


def _check_key(store: Store, about: AboutRecord) -> None:
    for known in all_refcats(store):
        if known.key == about.key and known.app != about.app:
            raise ConflictError(
                f"there is a catalog of another application {about.key!r} here: {known.app}",
                hint="two vendors have one name for different things",
            )


def _check_collisions(store: Store, contents: Sequence[BlobInfo]) -> None:
    """Raises CollisionError if a SHA-1 stands for another content here."""
    for info in store.contents.colliding(contents):
        raise CollisionError(
            f"the SHA-1 {info.digest.hex()} stands for another content here",
            hint="this does not happen by accident: find out who made the file",
            digest=info.digest.hex(),
        )
