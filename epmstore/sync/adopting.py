"""Adopting a host: what another one recorded, and pushed, becomes this one's own.

For a host that is gone, by one that takes its place. Histories come as they were pulled, numbers of
versions, pins and tags with them, and are taken up as those of applications that were removed: no
root is looked at before a person says where it is. Then contents that kept versions need come, as
far as they were ever pushed; a version that lacks some is forgotten, with a record that says so.
Last, this host gets another id there, whose heads say which one it continues. Cut off anywhere, it
is done by adopting again.
"""

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from epmstore import fsio, locks
from epmstore.atomic import directory, discard, open_regular, temporary_name
from epmstore.care.recall import recall
from epmstore.care.references import APPCAT, CatalogNeeds, read_needs
from epmstore.catalog import appcat
from epmstore.catalog.appcat import App, AppCat
from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import (
    START,
    CatalogPosition,
    ForgetRecord,
    RecordedActor,
    VersionPart,
)
from epmstore.clock import from_rfc3339, to_rfc3339
from epmstore.digest import BlobInfo
from epmstore.errors import ConflictError, DamagedError, EpmError, UsageError
from epmstore.progress import Progress
from epmstore.relpath import text_from_json
from epmstore.remotes.remote import PIECE
from epmstore.store import newest
from epmstore.store.commit import commit_fact
from epmstore.store.replay import catch_up
from epmstore.store.seeking import CameFrom
from epmstore.store.soundness import see
from epmstore.store.store import Store
from epmstore.sync.depotseeker import DepotContents
from epmstore.sync.heads import Head, HeadApp
from epmstore.sync.pulling import history_name
from epmstore.sync.registry import RemoteRecord, RemoteSettings

FRESH: Final = 24 * 3600.0
"""Seconds after its last push for which a host is taken to be alive."""


class AdoptedApp(msgspec.Struct, frozen=True, kw_only=True):
    """One application: `version` is its newest. Of `needed` contents those `lacking` are on no
    remote that was asked, so that `forgotten` versions are not restorable; of `secrets` no content
    was ever pushed. `has_catalog`: the host had the catalog of its vendor. `is_new`: its history
    was not here before.
    """

    app: str
    key: str
    root: str
    version: int | None
    needed: int = 0
    lacking: int = 0
    secrets: int = 0
    forgotten: tuple[int, ...] = ()
    has_catalog: bool = False
    is_new: bool = True


class AdoptedHost(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a host: `host` was it, and pushed last at `time`; `writer` is who this one is
    there now (None: nothing is written there, or it is only planned).
    """

    host: str
    time: str
    apps: tuple[AdoptedApp, ...]
    came: tuple[CameFrom, ...] = ()
    writer: str | None = None


def check_adoptable(store: Store, head: Head, now: float, *, dead: bool) -> None:
    """Raises ConflictError if a host may be alive, or a history of it is another one here, or would
    be that of an application which is registered here and has none.
    """
    ago = now - from_rfc3339(head.time)
    if ago < FRESH and not dead:
        raise ConflictError(
            f"{head.writer} pushed at {head.time}: it may be alive, and two hosts would go on with"
            " one history",
            hint="if it is gone for good: --dead",
            host=head.writer,
            time=head.time,
        )
    registered = {app.uuid: app.key for app in appcat.load(store.catalogs / APPCAT).apps}
    for app in head.apps:
        if not is_here(store, app) and app.app in registered:
            key = registered[app.app]
            raise ConflictError(
                f"{key} is registered here without a history, and would get that of {app.key}",
                hint=f"nothing was changed; `epmstore app remove {key}` leaves its root as it is,"
                " then the same command again",
                app=key,
            )


def is_here(store: Store, app: HeadApp) -> bool:
    """Whether the history of an application is in the store, perhaps with more lines. Raises
    ConflictError if it is another one, DamagedError.
    """
    position = store.entries.position(app.app)
    if position is None:
        return False
    for line in store.catalog(app.app).lines():
        if line.after.seq == app.lines and line.after.head == app.line:
            return True
    raise ConflictError(
        f"this store has another history of {app.key} than that host pushed",
        hint="`epmstore init` makes an empty store for it: --store PATH",
        app=app.key,
    )


def planned(store: Store, head: Head) -> AdoptedHost:
    """What would come. Raises as `is_here`."""
    apps = [said_of(app, is_new=not is_here(store, app)) for app in head.apps]
    return AdoptedHost(host=head.writer, time=head.time, apps=tuple(apps))


def adopt(
    store: Store,
    record: RemoteRecord,
    head: Head,
    contents: Sequence[DepotContents],
    *,
    actor: RecordedActor | None,
    progress: Progress,
) -> AdoptedHost:
    """Take up all applications of a head whose histories were pulled. Raises ConflictError,
    DamagedError, RemoteError (contents could not be asked for; the same command goes on), OSError.
    """
    where = record.hosts / head.writer
    new = []
    for app in head.apps:
        if app.lines and not is_here(store, app):
            take_history(store, where / history_name(app), app, head.time)
            new.append(app.app)
    done = bring_and_settle(store, head, new, contents, actor=actor, progress=progress)
    return replace(done, writer=_take_place(record, head.writer).writer)


def bring_and_settle(
    store: Store,
    head: Head,
    new: Collection[str],
    contents: Sequence[DepotContents],
    *,
    actor: RecordedActor | None,
    progress: Progress,
) -> AdoptedHost:
    """What the histories of a head, which are here, need comes; versions that lack something are
    forgotten. `new` are those that have just come. Raises as `adopt`.
    """
    apps = [app for app in head.apps if app.lines]
    needs = {app.app: read_needs(store, app.app) for app in apps}
    came, lacking = _bring(store, needs, contents, progress)
    settled = tuple(
        _settle(store, app, needs[app.app], lacking, actor, is_new=app.app in new) for app in apps
    )
    return AdoptedHost(host=head.writer, time=head.time, apps=settled, came=tuple(came))


def take_history(store: Store, source: Path, app: HeadApp, time: str) -> None:
    """A history of which nothing is here, as it was pulled, is one of this store, of an application
    that was removed at that time. Raises DamagedError, OSError.
    """
    end = CatalogPosition(os.stat(source).st_size, app.line, app.lines)
    CatalogFile(source).check_chain(end)  # it may have rotted since it was pulled
    _remember(store, app, time, _rules(source, end))  # before its history
    with store.lock_write():
        with directory(store.catalogs) as parent:
            name = temporary_name()
            fd = fsio.create(name, parent)
            try:
                for piece in _pieces(source):
                    fsio.write(fd, piece)
                fsio.sync_file(fd)
                fsio.rename(name, parent, store.catalog(app.app).path.name, parent)
            except BaseException:
                discard(name, parent)
                raise
            finally:
                os.close(fd)
            fsio.sync_directory(parent)
        catch_up(store, app=app.app)
        found = store.entries.position(app.app)
        if found is None or (found[1], found[2]) != (app.line, app.lines):
            raise DamagedError(f"the history of {app.key} is not the one that was pulled")
        see(store, app.app)
        if app.version is not None:
            newest.note(store.path, app.app, app.version)


def _pieces(path: Path) -> Iterator[bytes]:
    fd = open_regular(path)
    try:
        while piece := os.read(fd, PIECE):
            yield piece
    finally:
        os.close(fd)


def _remember(store: Store, said: HeadApp, time: str, patterns: Patterns) -> None:
    """The application is one that was removed, and can be taken up again, with its rules."""
    file = store.catalogs / APPCAT
    with locks.hold(store.path / "locks", "appcat"):
        known = appcat.load(file)
        if any(app.uuid == said.app for app in (*known.apps, *known.removed)):
            return
        app = App(
            uuid=said.app,
            key=said.key,
            root=text_from_json(said.root),
            patterns=patterns,
            removed=said.ended or time,
        )
        appcat.save(file, AppCat(known.apps, known.other, (*known.removed, app)))


def _rules(history: Path, end: CatalogPosition) -> Patterns:
    """The last that a history says, if they are ones."""
    found = Patterns()
    for read in CatalogFile(history).read(START, end.length):
        record = read.record
        if isinstance(record, VersionPart) and record.header.rules is not None:
            with contextlib.suppress(UsageError):
                Rules(record.header.rules)
                found = record.header.rules
    return found


def _bring(
    store: Store,
    needs: dict[str, CatalogNeeds],
    contents: Sequence[DepotContents],
    progress: Progress,
) -> tuple[list[CameFrom], set[BlobInfo]]:
    """Contents come; those that are nowhere. Raises the error of a remote that failed."""
    purged = store.contents.purged()
    wanted = {info for need in needs.values() for info in need.needed() if info not in purged}
    missing = store.blobs.missing(wanted)
    came, left = recall(store, missing, contents, progress) if missing else ([], set())
    for one in contents:
        if left and one.failure is not None:
            if isinstance(one.failure, EpmError):
                one.failure.hint = f"what came stays; the same command goes on: {one.failure.hint}"
            raise one.failure
    return came, left


def _settle(
    store: Store,
    app: HeadApp,
    need: CatalogNeeds,
    lacking: set[BlobInfo],
    actor: RecordedActor | None,
    *,
    is_new: bool,
) -> AdoptedApp:
    """Versions that lack contents are forgotten."""
    needed = need.needed()
    lost = sorted({number for info in needed & lacking for number in need.versions(info)})
    if lost:
        now = to_rfc3339(store.clock.now())
        commit_fact(
            store, app.app, ForgetRecord(time=now, actor=actor, versions=tuple(lost), named=True)
        )
    tree = () if app.version is None else store.entries.tree(app.app, app.version)
    said = said_of(app, is_new=is_new)
    return replace(
        said,
        needed=len(needed),
        lacking=len(needed & lacking),
        secrets=sum(entry.path_class == "secret" for entry in tree),
        forgotten=tuple(lost),
    )


def said_of(app: HeadApp, *, is_new: bool) -> AdoptedApp:
    """What a head says of an application."""
    return AdoptedApp(
        app=app.app,
        key=app.key,
        root=text_from_json(app.root),
        version=app.version,
        has_catalog=app.refcat is not None,
        is_new=is_new,
    )


def _take_place(record: RemoteRecord, host: str) -> RemoteSettings:
    """Another id for this host, which continues that one."""
    settings = record.settings()
    if settings.writer is None or (settings.adopted and settings.continues == host):
        return settings
    return record.make_writer(replace(settings, writer=host, adopted=True))
