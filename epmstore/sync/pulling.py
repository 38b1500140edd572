"""Pulling facts: what other hosts recorded comes from a depot, checked, into `remotes/` of the
store.

    hosts/<writer>/key, head                    as they were there
    hosts/<writer>/<app>.<lines>.syscat.zst     a history of so many lines, as a catalog

Of each host: key, head, what is wrong with it, then the lines that are new, examined in a process
of its own. Histories are whole files that are replaced; the head comes last, and says which of them
counts. So what is known of a host is always one head, and a pull that was cut off is done by
pulling again. What is wrong with one host keeps none of the others.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from epmstore import fsio
from epmstore.atomic import (
    TEMPORARY,
    directory,
    discard,
    make_directories,
    open_regular,
    read_file,
    remove_file,
    replace_file,
    temporary_name,
)
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import START, CatalogPosition
from epmstore.errors import (
    BadObjectError,
    BadSignatureError,
    DamagedError,
    EpmError,
    LimitError,
    NoStoreError,
    RemoteDeniedError,
    RemoteNotFoundError,
    RemoteTransientError,
)
from epmstore.limited import LimitedReader
from epmstore.progress import SILENT, Progress
from epmstore.refcat.signature import PublicKey
from epmstore.remotes.checked import read_small, stream_checked
from epmstore.remotes.remote import PIECE, Remote
from epmstore.store.store import SYSCAT, Store
from epmstore.sync.connecting import RemoteLink
from epmstore.sync.depot import head_name, is_writer, key_name, open_depot
from epmstore.sync.headchild import HeadOrder, read_foreign_head
from epmstore.sync.heads import (
    HEAD_MAX,
    KEY_MAX,
    HeadApp,
    SegmentRef,
    SignedHead,
    read_head,
    read_writer_key,
)
from epmstore.sync.judging import HeadFinding, bad_head, forked_history, judge_other
from epmstore.sync.registry import RemoteRecord, RemoteSettings, remove_tree
from epmstore.sync.segmentchild import SegmentOrder, SegmentVerdict

_CHILD: Final = "epmstore.sync.segmentchild"
HISTORY_MAX: Final = 4 << 30
"""Bytes of all histories of another host that are taken."""


class PulledApp(msgspec.Struct, frozen=True):
    """A history: its newest version, and lines and bytes that came now."""

    app: str
    key: str
    version: int | None
    lines: int
    size: int


class PulledHost(msgspec.Struct, frozen=True):
    """One host: when it said so, and its applications. `is_new`: nothing was known of it."""

    writer: str
    number: int
    time: str
    is_new: bool
    apps: tuple[PulledApp, ...]


class PullResult(msgspec.Struct, frozen=True):
    """What came, and what is wrong with heads that did not."""

    hosts: tuple[PulledHost, ...]
    findings: tuple[HeadFinding, ...]


class _Known(NamedTuple):
    key: PublicKey
    head: SignedHead


class Pull:
    """One pull from one remote. `dry_run` only looks at heads."""

    def __init__(
        self,
        store: Store,
        record: RemoteRecord,
        link: RemoteLink,
        *,
        dry_run: bool = False,
        progress: Progress = SILENT,
    ) -> None:
        """Raises NoStoreError, BadObjectError (another depot), RemoteError."""
        self._record = record
        self._settings: RemoteSettings = record.settings()
        self._remote: Remote = link.remote
        self._dry_run = dry_run
        self._progress = progress
        self._now = store.clock.now()
        open_depot(link.remote, link.where, self._settings.depot)

    def run(self, only: Iterable[str] = ()) -> PullResult:
        """Of all hosts, or of these alone. Raises RemoteError for what concerns all of them,
        OSError.
        """
        hosts: list[PulledHost] = []
        findings: list[HeadFinding] = []
        self._progress.begin("pulling")
        for writer in only or self._writers():
            try:
                found = self._host(writer)
            except (RemoteTransientError, RemoteDeniedError, LimitError):
                raise
            except EpmError as error:
                found = bad_head(writer, error)
            if isinstance(found, HeadFinding):
                findings.append(found)
            elif found is not None:
                hosts.append(found)
        self._progress.end()
        return PullResult(tuple(hosts), tuple(findings))

    def _writers(self) -> list[str]:
        """All that are there, and those that were; never this host itself."""
        there = known_writers(self._record)
        if self._remote.abilities.lists:
            for found in self._remote.list("hosts/"):
                _, writer, *rest = found.name.split("/")
                if rest == ["head"] and is_writer(writer):
                    there.add(writer)
        return sorted(there - {self._settings.writer or ""})

    def _host(self, writer: str) -> PulledHost | HeadFinding | None:
        """None if nothing is new."""
        known = self._known(writer)
        key_data = read_file(self._place(writer) / "key", KEY_MAX) if known else b""
        try:
            data = read_small(self._remote, head_name(writer), HEAD_MAX)
            if known is None:
                key_data = read_small(self._remote, key_name(writer), KEY_MAX)
        except RemoteNotFoundError:
            return judge_other(known and known.head, None, writer)
        if known is not None and known.head.data == data:
            self._sweep(writer, known.head)
            return None
        order = HeadOrder(key_data, data, writer, self._settings.depot, self._now)
        _, found = read_foreign_head(order)
        finding = judge_other(known and known.head, found, writer)
        if finding is not None:
            return finding
        total = sum(segment.size for app in found.head.apps for segment in app.segments)
        if total > HISTORY_MAX:
            raise BadObjectError(f"{writer} says that it has histories beyond all measure")
        apps = []
        for app in found.head.apps:
            before = None if known is None else known.head.head.app(app.app)
            taken = self._app(writer, app, before)
            if isinstance(taken, HeadFinding):
                return taken
            apps.append(taken)
        if not self._dry_run:
            self._keep(writer, key_data, found)
        head = found.head
        return PulledHost(writer, head.number, head.time, known is None, tuple(apps))

    def _app(self, writer: str, app: HeadApp, before: HeadApp | None) -> PulledApp | HeadFinding:
        known = 0 if before is None else before.lines
        if app.lines < known or (before and app.lines == known and app.line != before.line):
            return forked_history(writer, app.key)
        new = [segment for segment in app.segments if segment.last >= known]
        size = sum(segment.size for segment in new)
        if not self._dry_run and app.lines > known:
            where = self._place(writer)
            make_directories(where)
            target = where / history_name(app)
            base = where / history_name(before) if before else None
            try:
                extend_history(self._remote, writer, app, new, base, target, before)
            except ForkedHistoryError:
                return forked_history(writer, app.key)
            self._progress.advance(size=size)
        return PulledApp(app.app, app.key, app.version, app.lines - known, size)

    def _known(self, writer: str) -> _Known | None:
        """What was taken last; what is damaged of that is taken again."""
        return known_head(self._record, self._settings, writer, self._now)

    def _place(self, writer: str) -> Path:
        return self._record.hosts / writer

    def _keep(self, writer: str, key: bytes, found: SignedHead) -> None:
        where = self._place(writer)
        make_directories(where)
        replace_file(where / "key", key)
        replace_file(where / "head", found.data)
        self._sweep(writer, found)

    def _sweep(self, writer: str, found: SignedHead) -> None:
        """Older histories, and what a pull left that was cut off, are taken away. Of an application
        that is not named any more, what is known stays.
        """
        if self._dry_run:
            return
        where = self._place(writer)
        for app in found.head.apps:
            for path in where.glob(f"{app.app}.*{SYSCAT}"):
                if path.name != history_name(app):
                    remove_file(path)
        for path in where.glob(f"{TEMPORARY}*"):
            remove_file(path)


class ForkedHistoryError(EpmError):
    """Lines do not continue those that are known."""


def history_name(app: HeadApp) -> str:
    """The file of a pulled history."""
    return f"{app.app}.{app.lines}{SYSCAT}"


def known_writers(record: RemoteRecord) -> set[str]:
    """Hosts of which something was pulled."""
    if not record.hosts.is_dir():
        return set()
    return {path.name for path in record.hosts.iterdir() if is_writer(path.name)}


def known_head(
    record: RemoteRecord, settings: RemoteSettings, writer: str, now: float
) -> _Known | None:
    """What was taken of a host last, if all of it is there."""
    where = record.hosts / writer
    try:
        key = read_writer_key(read_file(where / "key", KEY_MAX), writer)
        data = read_file(where / "head", HEAD_MAX)
        head = read_head(data, writer, settings.depot, key, now)
    except (FileNotFoundError, BadObjectError, BadSignatureError, NoStoreError, DamagedError):
        return None
    for app in head.head.apps:
        if app.lines and not (where / history_name(app)).is_file():
            return None
    return _Known(key, head)


def forget_host(record: RemoteRecord, writer: str) -> None:
    """What was pulled of a host is not known any more. Raises OSError."""
    if is_writer(writer) and (record.hosts / writer).is_dir():
        remove_tree(record.hosts / writer)


def extend_history(
    remote: Remote,
    writer: str,
    app: HeadApp,
    new: list[SegmentRef],
    base: Path | None,
    target: Path,
    before: HeadApp | None,
) -> None:
    """Make a history: what is known up to the first new segment, and the new ones. Raises
    ForkedHistoryError, BadObjectError, DamagedError, RemoteError, OSError.
    """
    start = _position(base, new[0].first)
    with directory(target.parent) as parent:
        name = temporary_name()
        fd = fsio.create(name, parent)
        try:
            for piece in _known_bytes(base, start.length):
                fsio.write(fd, piece)
            for segment in new:
                name_there = segment.name(writer, app.app)
                _check_size(remote, name_there, segment)
                for piece in stream_checked(remote, name_there, segment.size, segment.sha256):
                    fsio.write(fd, piece)
            _examine(fd, start, app, before)
            fsio.sync_file(fd)
            fsio.rename(name, parent, target.name, parent)
        except BaseException:
            discard(name, parent)
            raise
        finally:
            os.close(fd)
        fsio.sync_directory(parent)


def _check_size(remote: Remote, name: str, segment: SegmentRef) -> None:
    """An object that is too short will not be longer in a while: it is not waited for."""
    found = remote.stat(name)
    if found is None or found.size != segment.size:
        what = "not there" if found is None else f"{found.size} bytes, and not {segment.size}"
        raise BadObjectError(
            f"the remote has lost lines of a history: {name} is {what}", object=name
        )


def _position(base: Path | None, line: int) -> CatalogPosition:
    """Where a line begins in a history that is known."""
    if base is None or not line:
        return START
    for found in CatalogFile(base).lines():
        if found.before.seq == line:
            return found.before
        if found.after.seq == line:
            return found.after
    raise ForkedHistoryError("it has fewer lines")


def _known_bytes(base: Path | None, length: int) -> Iterator[bytes]:
    if base is None or not length:
        return
    fd = open_regular(base)
    try:
        at = 0
        while at < length and (piece := os.pread(fd, min(PIECE, length - at), at)):
            yield piece
            at += len(piece)
    finally:
        os.close(fd)


def _examine(fd: int, start: CatalogPosition, app: HeadApp, before: HeadApp | None) -> None:
    """Raises ForkedHistoryError if the lines do not go through what is known."""
    through = (before.lines, before.line) if before else (0, START.head)
    order = SegmentOrder(fd, start.length, start.seq, start.head, *through)
    with LimitedReader(_CHILD, order, (fd,), what=f"the history of {app.key}") as reader:
        *_, message = reader.messages()
    found = msgspec.msgpack.decode(message, type=SegmentVerdict)
    if not found.passed:
        raise ForkedHistoryError("it is another history")
    version = found.version if found.version is not None or before is None else before.version
    if (found.lines, found.line, version) != (app.lines, app.line, app.version):
        raise BadObjectError(f"the history of {app.key} is not the one that its host signed")
