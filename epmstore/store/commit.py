"""The one way by which anything becomes part of a store's history.

Order, each durable before the next: contents (packs, or the pack log if they are few), the catalog
lines, the index. Then, and only then, the caller may say that it is done. A crash in between leaves
contents that no record names (a collection takes them), or a catalog line that the index is caught
up with on the next opening. The index may be got ready before, in a transaction that no reader sees
until the lines are there.

A transaction id makes a commit repeatable: one that is already in the catalog is not written again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from epmstore.background import in_background
from epmstore.blobs.pack import WrittenGroup, publish_pack
from epmstore.blobs.records import load_group
from epmstore.catalog.format import decode_envelope, decode_line, encode_line, position_behind
from epmstore.catalog.model import (
    START,
    CatalogPosition,
    Fact,
    GapRecord,
    HoldRecord,
    RecordedActor,
    VersionPart,
    VersionRecord,
    Written,
)
from epmstore.clock import to_rfc3339
from epmstore.index.database import Interned
from epmstore.index.entries import IndexedRecord
from epmstore.reckon import Reckoning
from epmstore.store import newest
from epmstore.store.reckoned import keep
from epmstore.store.replay import begin_part, catch_up
from epmstore.store.reserve import with_reserve
from epmstore.store.soundness import check_appendable, check_recordable, see
from epmstore.store.store import Store, is_refcat

MANY = 2000
"""Changes of a version from which a thread pays."""
LOG_LIMIT = 8 << 20
"""Groups of together less than this many bytes go to the pack log."""


class HistoryHead(msgspec.Struct, frozen=True):
    """Where an app's history stands: the newest version's record, None before the first."""

    position: CatalogPosition
    version: VersionRecord | None

    @property
    def number(self) -> int | None:
        return None if self.version is None else self.version.version


def read_head(store: Store, app: str) -> HistoryHead:
    """As the index has it. Raises DamagedError."""
    found = store.entries.position(app)
    if found is None:
        return HistoryHead(START, None)
    record = store.entries.last_version(app)
    return HistoryHead(CatalogPosition(*found), None if record is None else read_version(record))


def head_to_follow(store: Store, app: str) -> HistoryHead:
    """The same, of a catalog that can be appended to: before what is to be recorded is done. Raises
    DamagedError, BusyError.
    """
    check_recordable(store, app)
    return read_head(store, app)


def read_version(record: IndexedRecord) -> VersionRecord:
    """The header that an index record keeps. Raises DamagedError."""
    _, decoded = decode_line(record.form)
    assert isinstance(decoded, VersionPart), "the index keeps versions under their type"
    return decoded.header


def store_groups(store: Store, groups: Sequence[WrittenGroup], *, anew: bool = False) -> None:
    """Make contents durable and known to the index; if they are stored `anew`, it has no other
    place of them any more. Under the `write` lock, within `keep_packs`.
    """
    placed = _place(store, [group for group in groups if not group.is_empty])
    with store.database.write():
        _enter_groups(store, placed, anew=anew)()


def commit_version(
    store: Store,
    app: str,
    make: Callable[[HistoryHead], VersionPart],
    groups: Sequence[WrittenGroup] = (),
    *,
    txid: str,
) -> VersionRecord:
    """Append one version; `make` gets the head that it follows. Within `keep_packs`.

    Raises DamagedError, OSError; then nothing is recorded, or the whole version is.
    """
    reckoning = keep(store)
    with store.lock_write():
        # The index may lack what a killed commit made durable: it would give a number again.
        catch_up(store, app=app)
        # A transaction that is carried out once more after a crash made its version before it.
        done = store.entries.version_of_txid(app, txid)
        if done is not None:
            return read_version(done)
        head = read_head(store, app)
        check_appendable(store, app, head.position)
        version, gap = _numbered(store, app, head, _reckoned(make(head), reckoning))
        records: list[Written] = [version] if gap is None else [gap, version]
        # Contents are durable before the line that names them: a crash in between leaves contents
        # that no record names, which a collection takes, and never a version without its contents.
        placed = _place(store, [group for group in groups if not group.is_empty])
        position: CatalogPosition | None = None

        def enter() -> None:
            nonlocal position
            with store.database.write():
                steps = [_enter_groups(store, placed), begin_part(store, app, version)]
                store.database.interned = Interned()  # nothing more is, and lines take memory
                with _in_background(steps, len(version.entries) + len(version.meta)):
                    # This is the commit. If the index then has no room, all of `enter` is done
                    # again with the reserve given up, but for the lines, which are there.
                    if position is None:
                        position = _append(store, app, records, head.position)
                _enter_records(store, app, records, head.position, position)
                store.notes.raise_top(app, version.header.version)

        with_reserve(store.path, enter)
        newest.note(store.path, app, version.header.version)
    return version.header


def _reckoned(version: VersionPart, reckoning: Reckoning) -> VersionPart:
    """A version recorded by a clock in doubt says what is relied upon, too."""
    if reckoning.doubt is None:
        return version
    time = to_rfc3339(reckoning.time)
    return msgspec.structs.replace(
        version, header=msgspec.structs.replace(version.header, reckoned=time)
    )


def _numbered(
    store: Store, app: str, head: HistoryHead, version: VersionPart
) -> tuple[VersionPart, GapRecord | None]:
    """The version, with a number that none ever had, and what to say first where the history is
    shorter than it was once.
    """
    due = 0 if head.version is None else head.version.version + 1
    if version.header.version != due:
        raise ValueError(f"version {version.header.version} where {due} is due")
    top = store.notes.top(app)
    if top < due or is_refcat(app):
        return version, None
    gap = GapRecord(
        time=version.header.time,
        first=due,
        last=top,
        why="the catalog ended before versions that were recorded once",
    )
    header = msgspec.structs.replace(version.header, version=top + 1)
    version = msgspec.structs.replace(version, header=header)
    return version, None if _is_said(store, app, top) else gap


def _is_said(store: Store, app: str, last: int) -> bool:
    """Whether a record names the gap up to a number already, because a loss was accepted."""
    gaps = [decode_line(r.form)[1] for r in store.entries.records(app) if r.type == "gap"]
    return any(isinstance(gap, GapRecord) and gap.last == last for gap in gaps)


@contextmanager
def _in_background(steps: Sequence[Callable[[], None]], changes: int) -> Iterator[None]:
    """Before the block is left, the index is ready. What is not small it gets ready meanwhile."""

    def work() -> None:
        for step in steps:
            step()

    if changes < MANY:
        work()
        yield
    else:
        with in_background(work):
            yield


def commit_fact(store: Store, app: str, fact: Fact) -> None:
    """Append a record that is no version (a pin, a tag, a forget ...). Raises DamagedError,
    OSError.
    """
    commit_judged(store, app, lambda: fact)


def commit_hold(
    store: Store,
    app: str,
    actor: RecordedActor | None,
    *,
    held: bool,
    reason: str | None = None,
    until: str | None = None,
    version: int | None = None,
) -> None:
    """The same for a HoldRecord of now."""
    now = to_rfc3339(store.clock.now())
    commit_fact(
        store,
        app,
        HoldRecord(time=now, actor=actor, held=held, reason=reason, until=until, version=version),
    )


def commit_judged(store: Store, app: str, make: Callable[[], Fact | None]) -> None:
    """The same with what `make` says under the lock, by what is committed by then; None: nothing.
    Raises as it does.
    """
    with store.lock_write():
        catch_up(store, app=app)
        fact = make()
        if fact is None:
            return
        head = read_head(store, app)
        check_appendable(store, app, head.position)
        # Durable before the index hears of it: a crash in between is caught up with.
        position = _append(store, app, [fact], head.position)

        def enter() -> None:
            with store.database.write():
                _enter_records(store, app, [fact], head.position, position)

        with_reserve(store.path, enter)


def _append(
    store: Store, app: str, records: Sequence[Written], after: CatalogPosition
) -> CatalogPosition:
    """Make records durable; on a full disk the reserve is there for it."""
    catalog = store.catalog(app)
    return with_reserve(store.path, lambda: catalog.append(records, after, store.quarantine))


def _enter_records(
    store: Store,
    app: str,
    records: Sequence[Written],
    before: CatalogPosition,
    behind: CatalogPosition,
) -> None:
    """The index has records that are durable between two positions, the last of them perhaps in
    several lines.
    """
    entered, after = [], before
    for record in records:
        number = None
        if isinstance(record, VersionPart):
            number, record = record.header.version, VersionPart(record.header)
        form = encode_line(record, after)
        entered.append(IndexedRecord(after.seq, decode_envelope(form).type, number, form))
        after = position_behind(after, form, 0)
    at = (behind.length, behind.head, behind.seq)
    store.entries.add_records(app, entered, at)
    see(store, app)


def _enter_groups(
    store: Store, placed: Sequence[tuple[str, int, WrittenGroup]], *, anew: bool = False
) -> Callable[[], None]:
    """What is left to do then, as of `Contents.begin`. One after the other: what is in a large one
    takes memory for as long as it is looked at.
    """
    finish = store.contents.begin()
    for file, start, written in placed:
        is_pack = written.memory is None
        group = load_group(store.packs / file) if is_pack else written.group
        for row in group.blobs if anew else ():
            store.contents.forget_place(row.sha256)
        store.contents.add_group(file, start, group)
    return finish


def _place(store: Store, groups: Sequence[WrittenGroup]) -> list[tuple[str, int, WrittenGroup]]:
    """(file, offset, group) of each, durable."""
    small = [group for group in groups if group.memory is not None]
    together = sum(group.length for group in small)
    to_log = small if together < LOG_LIMIT else []
    placed = [
        (publish_pack(store.packs, group), 0, group) for group in groups if group not in to_log
    ]
    if to_log:
        sound = store.contents.files().get(store.packlog.file, 0)
        positions = store.packlog.append(to_log, sound=sound)
        placed += [
            (position.file, position.start, group)
            for position, group in zip(positions, to_log, strict=True)
        ]
    return placed
