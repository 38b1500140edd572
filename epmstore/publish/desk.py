"""What people do with the builds of a spool: added, looked at, prepared, held, withdrawn."""

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from epmstore.clock import Clock
from epmstore.errorform import plain_text
from epmstore.errors import ConflictError, EpmError, NotFoundError, UsageError
from epmstore.progress import SILENT, Progress
from epmstore.publish.build import (
    KINDS,
    PAYLOADS,
    Author,
    BuildDraft,
    BuildRecord,
    Transaction,
)
from epmstore.publish.candidates import OpenNumbering
from epmstore.publish.lifecycle import (
    ERROR,
    IN_PROCESS,
    NEW,
    STATES,
    WITHDRAWN,
    is_due,
    moved,
    printable,
)
from epmstore.publish.prepare import Preparer
from epmstore.publish.spoolfolder import (
    SETTINGS,
    SpoolFolder,
    SpoolSettings,
    make_spool,
    open_spool,
)
from epmstore.publish.sqliterecords import SqliteRecords
from epmstore.publish.sqlrecords import SqlRecords
from epmstore.publish.transfer import StallLimits
from epmstore.publish.upload import Uploader, payloads_waiting
from epmstore.publish.watchedfolders import WatchedFolder, unwatch, watch, watched_folders
from epmstore.relpath import is_utf8
from epmstore.remotes.names import is_component
from epmstore.remotes.place import check_place, with_environment
from epmstore.sync.connecting import NOTHING, connect

_ASKED_FOR: Final = "epmstore"
"""A name that a remote is asked for, to find out whether it answers."""


def begin_spool(
    path: Path,
    settings: SpoolSettings,
    environ: Mapping[str, str] = NOTHING,
    *,
    dry_run: bool = False,
) -> SpoolFolder:
    """A new spool. The remote is asked for something, so that it is known to be there and to let us
    in. Raises UsageError, ConflictError, ForeignError, EpmError, RemoteError, OSError.
    """
    made = _absolute(settings, environ)
    check_place(made.place)
    with connect(made.place, environ) as link:
        if not link.remote.abilities.writes:
            raise UsageError(
                f"nothing can be written to {made.remote}",
                hint="name a folder, sftp://user@host/folder or s3://bucket/prefix",
            )
        link.remote.stat(_ASKED_FOR)
    if made.sign is not None and not Path(made.sign).is_file():
        raise UsageError(f"there is no key {made.sign}", hint="name a file with a secret key")
    if dry_run:
        return SpoolFolder(path.absolute(), made)
    if made.database is not None and not (path / SETTINGS).exists():
        _check_database(SpoolFolder(path.absolute(), made))
    spool = make_spool(path.absolute(), made)
    open_records(spool).close()
    return spool


def _check_database(spool: SpoolFolder) -> None:
    """That it is reached, and is no other spool's. Raises ConflictError, EpmError."""
    with contextlib.closing(open_records(spool)) as records:
        if records.find(STATES):
            raise ConflictError(
                "the database has the records of another spool",
                hint="name another one, or a schema of its own; of a spool that was lost put"
                f" {SETTINGS} back, by hand",
            )


def open_records(spool: SpoolFolder) -> SqlRecords:
    """Where the settings of a spool have its records. Raises UsageError, BusyError, DamagedError,
    EpmError.
    """
    url = spool.settings.database
    if url is None:
        return SqliteRecords(spool.database, spool.locks)
    if not url.startswith(("postgresql://", "postgres://")):
        raise UsageError("that is no URL of a database", hint="write it as postgresql://host/name")
    try:
        module = importlib.import_module("epmstore.publish.postgresrecords")
    except ImportError as error:
        if (error.name or "").startswith("epmstore"):
            raise
        raise EpmError(
            "this installation has no psycopg, by which PostgreSQL is reached",
            hint="pip install 'epmstore[postgresql]', into where epmstore is installed",
        ) from None
    found: SqlRecords = module.PostgresRecords(url)
    return found


def _absolute(settings: SpoolSettings, environ: Mapping[str, str]) -> SpoolSettings:
    """The same from wherever it is read, and whatever variables are then."""
    place = with_environment(settings.place, environ)
    files = {
        name: None if value is None else str(Path(value).absolute())
        for name in ("sign", "authorities", "credentials")
        for value in [getattr(settings, name)]
    }
    url = place.url if place.scheme else str(Path(place.url).absolute())
    return msgspec.structs.replace(
        settings, remote=url, endpoint=place.endpoint, region=place.region, **files
    )


def _checked(path: Path, product: str, kind: str, payload: str) -> str:
    """The absolute path. Raises UsageError."""
    if not is_utf8(str(path.absolute())):
        raise UsageError("the name of a build has to be text", hint="name it in UTF-8")
    if not is_component(product):
        raise UsageError(
            f"{product!r} is no product: it names a folder on the remote",
            hint="use letters, digits and ._-+~=",
        )
    for value, known in ((kind, KINDS), (payload, PAYLOADS)):
        if value not in known:
            raise UsageError(f"{value!r} is none of {', '.join(known)}")
    return str(path.absolute())


class ReleaseDesk:
    """An open spool, for one user of it."""

    def __init__(
        self,
        path: Path,
        author: Author,
        clock: Clock,
        progress: Progress = SILENT,
        environ: Mapping[str, str] = NOTHING,
    ) -> None:
        """`environ` are variables that may say what is shown to a remote. Raises NotFoundError,
        ForeignError, DamagedError, OSError.
        """
        self.spool = open_spool(path.absolute())
        self._records = open_records(self.spool)
        self._author = author
        self._clock = clock
        self._progress = progress
        self._environ = environ

    def close(self) -> None:
        self._records.close()

    def now(self) -> float:
        return self._clock.now()

    def add(
        self, path: Path, *, product: str, kind: str, payload: str, dry_run: bool = False
    ) -> BuildRecord:
        """A record for a build, which need not be there yet. Raises UsageError."""
        place = _checked(path, product, kind, payload)
        draft = BuildDraft(product=product, kind=kind, payload=payload, path=place)
        now = self._clock.now()
        if not dry_run:
            return self._records.add(draft, self._author, now)
        return BuildRecord(
            number=0, product=product, kind=kind, payload=payload, path=place,
            owner=self._author.actor, since=now,
        )  # fmt: skip

    def watch(
        self, path: Path, *, product: str, kind: str, payload: str, settle: float, dry_run: bool
    ) -> WatchedFolder:
        """Runs of the preparer add what appears in a folder. Raises UsageError, BusyError."""
        place = _checked(path, product, kind, payload)
        if not path.is_dir():
            raise NotFoundError(f"there is no folder {path}")
        one = WatchedFolder(
            folder=place, product=product, kind=kind, payload=payload, settle=settle
        )
        if not dry_run:
            watch(self.spool, one)
        return one

    def unwatch(self, path: Path, *, dry_run: bool) -> WatchedFolder:
        """Not any more. Raises ConflictError if it is not watched, BusyError."""
        place = str(path.absolute())
        found = [one for one in watched_folders(self.spool) if one.folder == place]
        if not found:
            raise ConflictError(f"{place} is not watched")
        if not dry_run:
            unwatch(self.spool, place)
        return found[0]

    def watched(self) -> Sequence[WatchedFolder]:
        return watched_folders(self.spool)

    def get(self, number: int) -> BuildRecord:
        """Raises NotFoundError."""
        return self._records.get(number)

    def list(self, states: Sequence[str] = STATES) -> Sequence[BuildRecord]:
        return self._records.find(states)

    def log(self, after: int = 0) -> Sequence[Transaction]:
        return self._records.log(after)

    def act(self, number: int, event: str, why: str, *, dry_run: bool = False) -> BuildRecord:
        """What a person decides: `hold`, `unhold`, `retry` or `withdraw`. Raises NotFoundError,
        ConflictError, ChangedError.
        """
        now = self._clock.now()
        found = moved(self._records.get(number), event, now)
        return (
            found
            if dry_run
            else self._records.change(found, self._author, now, printable(plain_text(why)))
        )

    def due(self, *, at_once: bool) -> Sequence[BuildRecord]:
        """What a run of the preparer would look at."""
        now = self._clock.now()
        found = self._records.find([IN_PROCESS, NEW, ERROR, WITHDRAWN])
        return [
            build
            for build in found
            if self.spool.settings.ready.has(build)
            and is_due(build, now, at_once=at_once)
            and (build.state != WITHDRAWN or build.remote_path is not None)
        ]

    def waiting(self, *, at_once: bool) -> Sequence[BuildRecord]:
        """What a run of an uploader would send."""
        now = self._clock.now()
        return [
            build
            for build in payloads_waiting(self.spool, self._records)
            if is_due(build, now, at_once=at_once)
        ]

    def upload(self, *, at_once: bool, patience: StallLimits) -> Iterator[BuildRecord]:
        """One run of an uploader: see there. Raises RemoteError, too."""
        with connect(self.spool.settings.place, self._environ) as link:
            uploader = Uploader(
                self.spool,
                self._records,
                link.remote,
                self._author,
                self._clock,
                self._progress,
                link.place,
                patience,
            )
            yield from uploader.run(at_once=at_once)

    def prepare(
        self, *, at_once: bool, catalogs: OpenNumbering | None = None
    ) -> Iterator[BuildRecord]:
        """One run of the preparer: see there. Raises RemoteError, BusyError, too."""
        with contextlib.ExitStack() as stack:
            link = stack.enter_context(connect(self.spool.settings.place, self._environ))
            preparer = Preparer(
                self.spool,
                self._records,
                link.remote,
                self._author,
                self._clock,
                self._progress,
                catalogs,
            )
            yield from preparer.run(at_once=at_once)
