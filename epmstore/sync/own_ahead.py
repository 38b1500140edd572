"""The head of this host that is on a remote is ahead of what this host knows: its store came back
from a backup, and had recorded and pushed more before.

Lines that lack are appended to its histories, whose last line must be one of theirs; then contents
that they need come, as in adopting. Last, the head is what this host remembers as its own. Cut off
anywhere, it is done by the same command.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from epmstore.atomic import make_directories, open_regular, remove_file
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import START, CatalogPosition, RecordedActor
from epmstore.errors import ConflictError
from epmstore.progress import Progress
from epmstore.remotes.remote import Remote
from epmstore.store import newest
from epmstore.store.replay import catch_up
from epmstore.store.soundness import check_appendable, see
from epmstore.store.store import Store
from epmstore.sync.adopting import (
    AdoptedHost,
    bring_and_settle,
    is_here,
    said_of,
    take_history,
)
from epmstore.sync.connecting import RemoteLink
from epmstore.sync.depotseeker import DepotContents
from epmstore.sync.heads import HeadApp
from epmstore.sync.judging import diverged
from epmstore.sync.pulling import ForkedHistoryError, extend_history, history_name
from epmstore.sync.pushing import find_ahead
from epmstore.sync.registry import RemoteRecord, remove_tree

_FOLDER: Final = "own"


def take_own(
    store: Store,
    record: RemoteRecord,
    link: RemoteLink,
    contents: Sequence[DepotContents],
    *,
    actor: RecordedActor | None,
    progress: Progress,
    dry_run: bool = False,
) -> AdoptedHost:
    """Take up what this host itself had pushed. Raises NotFoundError (nothing is there),
    RemoteHeadError (it is older than what is known here), ForkError (this store has recorded
    something else since), ConflictError (a checkout was interrupted), RemoteError, DamagedError,
    BusyError, OSError.
    """
    found = find_ahead(store, record, link)
    head = found.head
    ahead = [app for app in head.apps if app.lines and _is_ahead(store, app)]
    if dry_run:
        apps = tuple(said_of(app, is_new=True) for app in ahead)
        return AdoptedHost(host=head.writer, time=head.time, apps=apps)
    for app in ahead:
        _take(store, record, link.remote, head.writer, app, head.time)
    new = {app.app for app in ahead}
    for app in head.apps:
        record.note_packs(app.app, app.packs)
    record.acknowledge(found.data)  # it says which packs there are
    done = bring_and_settle(store, head, new, contents, actor=actor, progress=progress)
    return replace(done, writer=head.writer)


def _is_ahead(store: Store, app: HeadApp) -> bool:
    """Whether the head has lines that are not here. Raises ForkError if this store has others."""
    position = store.entries.position(app.app)
    if position is None or position[2] < app.lines:
        return True
    try:
        return not is_here(store, app)
    except ConflictError:
        raise diverged(app.key) from None


def _take(
    store: Store, record: RemoteRecord, remote: Remote, writer: str, app: HeadApp, time: str
) -> None:
    """Its lines are here. Raises ForkError, ConflictError, RemoteError, DamagedError, OSError."""
    folder = record.folder / _FOLDER
    make_directories(folder)
    whole = folder / history_name(app)
    with store.lock_app(app.app):
        if store.journal(app.app).exists():
            raise ConflictError(
                f"a checkout of {app.key} was interrupted", hint="`epmstore recover`"
            )
        position = store.entries.position(app.app)
        here = START if position is None else CatalogPosition(*position)
        before, base = None, None
        if position is not None:
            last = store.entries.last_version(app.app)
            version = None if last is None else last.version
            before = replace(app, lines=here.seq, line=here.head, version=version)
            base = store.catalog(app.app).path
        new = [segment for segment in app.segments if segment.last >= here.seq]
        try:
            extend_history(remote, writer, app, new, base, whole, before)
        except ForkedHistoryError:
            raise diverged(app.key) from None
        if position is None:
            take_history(store, whole, app, time)
        else:
            _append(store, whole, app, here)
        remove_file(whole)
    remove_tree(folder)


def _append(store: Store, whole: Path, app: HeadApp, here: CatalogPosition) -> None:
    """What a whole history has more than the one that is here."""
    with store.lock_write():
        check_appendable(store, app.app, here)
        store.catalog(app.app).append_lines(_lines(whole, here), here, store.quarantine)
        catch_up(store, app=app.app)
        see(store, app.app)
        if app.version is not None:
            newest.note(store.path, app.app, app.version)
    store.drop_live(app.app)  # it was of another version


def _lines(whole: Path, here: CatalogPosition) -> Iterator[tuple[bytes, CatalogPosition]]:
    """Sealed lines from a position on, each with the position behind it."""
    fd = open_regular(whole)
    try:
        for line in CatalogFile(whole).lines(here):
            size = line.after.length - line.before.length
            yield os.pread(fd, size, line.before.length), line.after
    finally:
        os.close(fd)
