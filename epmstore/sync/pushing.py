"""Pushing facts: what a host recorded goes to a depot, as segments of its histories and a head.

The plan reads what is there and decides; carrying it out writes segments, then the key, then the
head. What is there already is not sent again, if it was read back and is right. Before the head is
replaced it is written down here, so that a push which is cut off between the two knows its own
head. Cut off anywhere, it is done by pushing again.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from epmstore.atomic import open_regular
from epmstore.catalog import appcat
from epmstore.catalog.appcat import App
from epmstore.catalog.format import decode_envelope
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import START, CatalogPosition
from epmstore.clock import to_rfc3339
from epmstore.errors import (
    BadObjectError,
    BadSignatureError,
    DamagedError,
    EpmError,
    LimitError,
    NoStoreError,
    NotFoundError,
    RemoteChangedError,
    RemoteDeniedError,
    RemoteNotFoundError,
    RemoteTransientError,
)
from epmstore.progress import SILENT, Progress
from epmstore.refcat.signature import PublicKey
from epmstore.relpath import text_to_json
from epmstore.remotes.checked import holds, read_small
from epmstore.remotes.remote import PIECE, Remote
from epmstore.store.store import Store, refcat
from epmstore.sync.connecting import RemoteLink
from epmstore.sync.depot import adopted_name, head_name, is_writer, key_name, open_depot
from epmstore.sync.headchild import HeadOrder, read_foreign_head
from epmstore.sync.heads import (
    HEAD_MAX,
    KEY_MAX,
    ContentsRef,
    Head,
    HeadApp,
    ObjectRef,
    PackRef,
    RefcatRef,
    SegmentRef,
    SignedHead,
    read_head,
    sign_head,
)
from epmstore.sync.judging import diverged, follow_own, superseded, unreadable_own
from epmstore.sync.registry import RemoteRecord, RemoteSettings
from epmstore.sync.segments import LineSpan, SegmentRun, cut_runs, kept_segments

NAMED_MAX: Final = 100
"""Bytes of an object that names a writer."""
_NOT_READ: Final = "the remote says that it has it, and gives something else"


class PushedApp(msgspec.Struct, frozen=True):
    """What of an application goes: its newest version there `before` and after, lines and bytes
    that are new there.
    """

    app: str
    key: str
    before: int | None
    version: int | None
    lines: int
    size: int


class ContentsThere(msgspec.Struct, frozen=True):
    """The packs of an application on a remote, and what they were made for."""

    packs: tuple[PackRef, ...] = ()
    contents: ContentsRef | None = None


class PushPlan(msgspec.Struct, frozen=True):
    """What a push would write: segments with the file and the bytes that they are, and a head in
    the place of `there`. It comes after `follows`. `displaces`: what lies there is too large to be
    one, and is taken away first.
    """

    settings: RemoteSettings
    follows: SignedHead | None
    there: bytes | None
    head: Head
    apps: tuple[PushedApp, ...]
    uploads: tuple["Upload", ...]
    anew: bool = False
    displaces: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether the head there says all of it already."""
        follows = self.follows
        return follows is not None and not self.anew and _same(follows.head, self.head)

    @property
    def size(self) -> int:
        return sum(upload.segment.size for upload in self.uploads)


class Upload(msgspec.Struct, frozen=True):
    """One segment: bytes of a catalog from `start` on."""

    name: str
    file: Path
    start: int
    segment: SegmentRef

    def __iter__(self) -> Iterator[bytes]:
        """Its bytes, as they are in the file now. Raises DamagedError, OSError."""
        fd = open_regular(self.file)
        try:
            at, end = self.start, self.start + self.segment.size
            while at < end and (piece := os.pread(fd, min(PIECE, end - at), at)):
                yield piece
                at += len(piece)
        finally:
            os.close(fd)


def plan_push(
    store: Store,
    record: RemoteRecord,
    link: RemoteLink,
    release: str,
    *,
    anew: bool = False,
    there: Mapping[str, ContentsThere] | None = None,
) -> PushPlan:
    """What of the store is not there. `release` is that of epmstore; `anew` takes nothing that is
    there for right. `there` are the contents of applications that are there now, where that is not
    what the head says. Raises RemoteError, RemoteHeadError, ForkError, DamagedError, OSError.
    """
    settings = record.settings()
    open_depot(link.remote, link.where, settings.depot)
    _, key = record.public(settings)
    now = store.clock.now()
    _check_place(link.remote, settings, now)
    replaced, found, displaces = _found_head(link.remote, record, now, lenient=anew)
    kept = [_kept(record.kept_head(name), settings, key, now) for name in ("head", "next")]
    if anew:
        follows = max(filter(None, (found, *kept)), key=lambda h: h.head.number, default=None)
    else:
        follows = follow_own(kept[0], kept[1], found)
    apps, pushed, uploads = [], [], []
    for app in _all_apps(store):
        before = None if follows is None else follows.head.app(app.uuid)
        planned = _plan_app(store, app, None if anew else before, key.fingerprint)
        if planned is not None:
            said, files = planned
            apps.append(_with_contents(said, before, (there or {}).get(app.uuid)))
            uploads += files
            known = 0 if before is None or anew else before.lines
            pushed.append(_pushed(said, before, known, sum(f.segment.size for f in files)))
    head = _head(settings, follows, apps, release, to_rfc3339(now))
    planned_uploads = tuple(uploads)
    return PushPlan(
        settings, follows, replaced, head, tuple(pushed), planned_uploads, anew, displaces
    )


def _check_place(remote: Remote, settings: RemoteSettings, now: float) -> None:
    """Raises ForkError if another host has taken the place of this one: a hint says which, and its
    signed head that it continues this one. Where the hint may not be read, or is none, nothing is
    known of such a host.
    """
    own = settings.writer
    assert own is not None, "nothing is pushed to where nothing can be written"
    try:
        other = read_small(remote, adopted_name(own), NAMED_MAX).decode("ascii").strip()
        if not is_writer(other):
            return
        public = read_small(remote, key_name(other), KEY_MAX)
        data = read_small(remote, head_name(other), HEAD_MAX)
        _, found = read_foreign_head(HeadOrder(public, data, other, settings.depot, now))
    except (RemoteTransientError, LimitError):
        raise
    except (EpmError, ValueError):
        return
    if found.head.continues == own:
        raise superseded(own, other)


def tell_adopted(remote: Remote, settings: RemoteSettings) -> None:
    """The host whose place this one has taken is to see that, if it ever comes back. Where this
    host may write below its own folder alone, it is not told. Raises RemoteError.
    """
    if not settings.adopted or settings.continues is None or settings.writer is None:
        return
    name, data = adopted_name(settings.continues), f"{settings.writer}\n".encode()
    with contextlib.suppress(RemoteDeniedError, RemoteChangedError):
        if remote.stat(name) is None:
            remote.replace(name, data, None)


def _with_contents(said: HeadApp, before: HeadApp | None, there: ContentsThere | None) -> HeadApp:
    if there is None:
        there = ContentsThere() if before is None else ContentsThere(before.packs, before.contents)
    return replace(said, packs=there.packs, contents=there.contents)


def find_own(store: Store, record: RemoteRecord, link: RemoteLink) -> SignedHead | None:
    """The head of this host that is there; None if nothing was pushed. Raises RemoteError,
    RemoteHeadError, ForkError (it is not what is remembered of it), DamagedError.
    """
    settings = record.settings()
    _, key = record.public(settings)
    now = store.clock.now()
    _, found, _ = _found_head(link.remote, record, now, lenient=False)
    kept = [_kept(record.kept_head(name), settings, key, now) for name in ("head", "next")]
    return follow_own(kept[0], kept[1], found)


def find_ahead(store: Store, record: RemoteRecord, link: RemoteLink) -> SignedHead:
    """The head that is there under the key of this host, whether or not this host remembers it.
    Raises NotFoundError if there is none, RemoteHeadError if it is older than what is remembered,
    RemoteError, DamagedError.
    """
    settings = record.settings()
    open_depot(link.remote, link.where, settings.depot)
    _, key = record.public(settings)
    now = store.clock.now()
    _, found, _ = _found_head(link.remote, record, now, lenient=False)
    known = _kept(record.kept_head("head"), settings, key, now)
    if found is None:
        raise NotFoundError(
            f"{record.name} has no head of this host", hint=f"`epmstore push {record.name}`"
        )
    if known is not None and found.head.number < known.head.number:
        follow_own(known, None, found)
    return found


def apply_push(
    store: Store,
    record: RemoteRecord,
    link: RemoteLink,
    plan: PushPlan,
    *,
    progress: Progress = SILENT,
) -> SignedHead:
    """Carry out a plan; what is there when it returns is what the head says. Raises RemoteError,
    RemoteChangedError (another host has this key, and was quicker), EpmError, OSError.
    """
    remote, settings = link.remote, plan.settings
    public, key = record.public(settings)
    if plan.is_nothing:
        assert plan.follows is not None
        record.acknowledge(plan.follows.data)
        return plan.follows
    made = sign_head(plan.head, record.secret(), key, store.clock.now())
    progress.begin("pushing", size=plan.size)
    for upload in plan.uploads:
        put_checked(remote, upload.name, upload, upload.segment)
        progress.advance(size=upload.segment.size)
    progress.end()
    writer = key.fingerprint
    whole = ObjectRef(len(public), hashlib.sha256(public).hexdigest())
    put_checked(remote, key_name(writer), [public], whole)
    record.keep_head("next", made.data)
    if plan.displaces:
        remote.delete(head_name(writer))
    remote.replace(head_name(writer), made.data, plan.there)
    if read_small(remote, head_name(writer), HEAD_MAX) != made.data:
        raise BadObjectError(f"{head_name(writer)}: {_NOT_READ}")
    record.acknowledge(made.data)
    return made


def put_checked(
    remote: Remote,
    name: str,
    pieces: Iterable[bytes],
    wanted: SegmentRef | ObjectRef | PackRef,
) -> None:
    """An object is there, and was read back; it is sent only if it was not. Raises RemoteError,
    BadObjectError.
    """
    if holds(remote, name, wanted.size, wanted.sha256):
        return
    remote.write(name, pieces, wanted.size, wanted.sha256)
    if not holds(remote, name, wanted.size, wanted.sha256):
        raise BadObjectError(
            f"{name}: {_NOT_READ}",
            hint="the remote loses what is written: use another",
            object=name,
        )


def _found_head(
    remote: Remote, record: RemoteRecord, now: float, *, lenient: bool
) -> tuple[bytes | None, SignedHead | None, bool]:
    """The bytes, the head that they are, and whether something larger than any head is there.
    `lenient`: what is no head is one that is not there. Raises RemoteError, NoStoreError.
    """
    settings = record.settings()
    public, key = record.public(settings)
    data = None
    try:
        data = read_small(remote, head_name(key.fingerprint), HEAD_MAX)
        if data in (record.kept_head("head"), record.kept_head("next")):
            return data, read_head(data, key.fingerprint, settings.depot, key, now), False
        order = HeadOrder(public, data, key.fingerprint, settings.depot, now)
        return data, read_foreign_head(order)[1], False
    except RemoteNotFoundError:
        return None, None, False
    except (BadObjectError, BadSignatureError, NoStoreError) as error:
        if lenient and not isinstance(error, NoStoreError):
            return data, None, data is None
        raise unreadable_own(error) from None


def _kept(
    data: bytes | None, settings: RemoteSettings, key: PublicKey, now: float
) -> SignedHead | None:
    """What this host remembers; what is damaged of that is forgotten: the remote has it."""
    if data is not None:
        with contextlib.suppress(BadObjectError, BadSignatureError):
            return read_head(data, key.fingerprint, settings.depot, key, now)
    return None


def _all_apps(store: Store) -> list[App]:
    """Those of this host, and those that were removed and have a history."""
    found = appcat.load(store.catalogs / "appcat.json")
    return [*found.apps, *found.removed]


def _plan_app(
    store: Store, app: App, before: HeadApp | None, writer: str
) -> tuple[HeadApp, list[Upload]] | None:
    """What the head says of an application, and what of its history is to be sent; None if nothing
    was recorded. Raises DamagedError.
    """
    committed = store.entries.position(app.uuid)
    if committed is None or not committed[2]:
        return None
    end = CatalogPosition(*committed)
    catalog = store.catalog(app.uuid)
    kept, runs = _cut(app.key, catalog, before, end)
    uploads = [_upload(catalog.path, run, writer, app.uuid) for run in runs]
    last = store.entries.last_version(app.uuid)
    vendor = store.entries.position(refcat(app.uuid))
    said = HeadApp(
        app=app.uuid,
        key=app.key,
        root=text_to_json(app.root),
        lines=end.seq,
        line=end.head,
        segments=(*kept, *(upload.segment for upload in uploads)),
        version=None if last is None else last.version,
        refcat=None if not vendor else RefcatRef(vendor[2], vendor[1]),
        ended=app.removed,
    )
    return said, uploads


def _cut(
    key: str, catalog: CatalogFile, before: HeadApp | None, end: CatalogPosition
) -> tuple[tuple[SegmentRef, ...], list[SegmentRun]]:
    """Segments that stay, and the runs that follow them: all of the history is in both. Raises
    ForkError if what is there does not lead to what is here.
    """
    segments = () if before is None else before.segments
    if before is not None and (before.lines, before.line) == (end.seq, end.head):
        return segments, []
    if before is not None and before.lines >= end.seq:
        raise diverged(key)
    length = sum(segment.size for segment in segments)
    if before is not None and length < end.length:
        kept = segments[: kept_segments(segments, end.length - length)]
        start = sum(segment.size for segment in kept)
        begin = CatalogPosition(start, "", kept[-1].last + 1) if kept else START
        with contextlib.suppress(DamagedError):  # the bytes there are others: all is cut anew
            spans = _spans(catalog, begin, end, before)
            if spans is not None:
                return kept, cut_runs(spans)
    spans = _spans(catalog, START, end, before)
    if spans is None:
        raise diverged(key)
    return (), cut_runs(spans)


def _spans(
    catalog: CatalogFile, begin: CatalogPosition, end: CatalogPosition, before: HeadApp | None
) -> list[LineSpan] | None:
    """Records from a line on; None if their chain does not go through `before`. Raises DamagedError
    if they are not what was committed up to `end`.
    """
    spans: list[LineSpan] = []
    passed = before is None or before.lines < begin.seq
    first: CatalogPosition | None = None
    last = begin
    for line in catalog.lines(begin, end.length):
        envelope = decode_envelope(line.plain)
        if envelope.seq != last.seq or (last.head and envelope.prev != last.head):
            raise _not_committed(catalog)
        if before is not None and envelope.seq == before.lines:
            passed = envelope.prev == before.line
        first, last = first or line.before, line.after
        part = _part_decoder.decode(line.plain)
        if part.part >= part.parts:
            spans.append(LineSpan(first.seq, last.seq - 1, first.length, last.length))
            first = None
    if last != end or first is not None:
        raise _not_committed(catalog)
    return spans if passed else None


def _not_committed(catalog: CatalogFile) -> DamagedError:
    return DamagedError(
        f"{catalog.path} is not the history that was committed",
        hint="run `epmstore fsck`",
        file=str(catalog.path),
    )


class _Part(msgspec.Struct):
    part: int = 1
    parts: int = 1


_part_decoder = msgspec.json.Decoder(_Part)


def _upload(file: Path, run: SegmentRun, writer: str, app: str) -> Upload:
    hasher = hashlib.sha256()
    size = run.end - run.start
    plain = Upload("", file, run.start, SegmentRef(run.first, run.last, size, ""))
    for piece in plain:
        hasher.update(piece)
    segment = SegmentRef(run.first, run.last, size, hasher.hexdigest())
    return Upload(segment.name(writer, app), file, run.start, segment)


def _pushed(said: HeadApp, before: HeadApp | None, known: int, size: int) -> PushedApp:
    version = None if before is None else before.version
    return PushedApp(said.app, said.key, version, said.version, said.lines - known, size)


def _head(
    settings: RemoteSettings,
    follows: SignedHead | None,
    apps: Sequence[HeadApp],
    release: str,
    time: str,
) -> Head:
    assert settings.writer is not None
    return Head(
        depot=settings.depot,
        writer=settings.writer,
        number=1 if follows is None else follows.head.number + 1,
        prev=None if follows is None else follows.digest,
        time=time,
        epmstore=release,
        continues=settings.continues,
        apps=tuple(sorted(apps, key=lambda app: app.app)),
    )


def _same(one: Head, two: Head) -> bool:
    """Whether two heads say the same but for when."""
    return replace(one, number=0, prev=None, time="") == replace(two, number=0, prev=None, time="")
