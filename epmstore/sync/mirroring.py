"""Mirroring: what hosts have in one depot comes to be in another place, which is the same depot.

Heads are signed for one depot, so a mirror has its id. Of each host: its head is examined, then
what it names is copied, packs before tables before segments, each checked against its digest and
read back; then the key, then the head. So a mirror is at each moment what some hosts had there
once, and one that is cut off is gone on with. Nothing is deleted, and no head is replaced by an
older one.
"""

import contextlib
from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from epmstore.errors import (
    BadObjectError,
    BadSignatureError,
    EpmError,
    LimitError,
    RemoteChangedError,
    RemoteDeniedError,
    RemoteFullError,
    RemoteNotFoundError,
    RemoteTransientError,
    UsageError,
)
from epmstore.progress import Progress
from epmstore.remotes.checked import read_small, stream_checked
from epmstore.remotes.remote import Remote
from epmstore.sync.depot import head_name, is_writer, key_name
from epmstore.sync.headchild import HeadOrder, read_foreign_head
from epmstore.sync.heads import HEAD_MAX, KEY_MAX, ObjectRef, PackRef, SegmentRef, SignedHead
from epmstore.sync.judging import HeadFinding, bad_head, judge_other
from epmstore.sync.pushing import NAMED_MAX, put_checked

ADOPTED: Final = "adopted/"
_STAYS: Final = (
    "what the mirror has of it stays; `epmstore push --anew` on that host writes what is newer"
)
Ref: TypeAlias = SegmentRef | ObjectRef | PackRef


class MirroredHost(msgspec.Struct, frozen=True):
    """A host whose head there is new: its number, and objects and bytes that were copied."""

    writer: str
    number: int
    objects: int
    size: int


class MirrorResult(msgspec.Struct, frozen=True):
    """What was copied, and what is wrong with hosts that were not."""

    hosts: tuple[MirroredHost, ...]
    findings: tuple[HeadFinding, ...]


class Mirroring:
    """From one place of a depot to another. `dry_run` looks at heads alone."""

    def __init__(
        self,
        source: Remote,
        target: Remote,
        depot: str,
        now: float,
        progress: Progress,
        *,
        dry_run: bool = False,
    ) -> None:
        self._source = source
        self._target = target
        self._depot = depot
        self._now = now
        self._progress = progress
        self._dry_run = dry_run

    def run(self) -> MirrorResult:
        """Raises UsageError for a source that lists nothing, RemoteError for what concerns all
        hosts, OSError.
        """
        if not self._source.abilities.lists:
            raise UsageError(
                "what a web server has cannot be listed",
                hint="mirror from the folder, server or bucket that it shows",
            )
        hosts: list[MirroredHost] = []
        findings: list[HeadFinding] = []
        self._progress.begin("mirroring")
        for writer in self._writers():
            try:
                found = self._host(writer)
            except (RemoteTransientError, RemoteDeniedError, RemoteFullError, LimitError):
                raise
            except EpmError as error:
                found = bad_head(writer, error)
            if isinstance(found, HeadFinding):
                findings.append(found)
            elif found is not None:
                hosts.append(found)
        if not self._dry_run:
            self._copy_adopted()
        self._progress.end()
        return MirrorResult(tuple(hosts), tuple(findings))

    def _writers(self) -> list[str]:
        names = (found.name.split("/") for found in self._source.list("hosts/"))
        return sorted(parts[1] for parts in names if parts[2:] == ["head"] and is_writer(parts[1]))

    def _host(self, writer: str) -> MirroredHost | HeadFinding | None:
        """None if all of it is there."""
        public = read_small(self._source, key_name(writer), KEY_MAX)
        data = read_small(self._source, head_name(writer), HEAD_MAX)
        there = self._there(writer)
        if there == data:
            return None
        found = self._examine(writer, public, data)
        known = None
        if there is not None:
            with contextlib.suppress(BadObjectError, BadSignatureError):  # garbage: written again
                known = self._examine(writer, public, there)
        finding = judge_other(known, found, writer)
        if finding is not None:
            return msgspec.structs.replace(finding, hint=_STAYS)
        if self._dry_run:
            return MirroredHost(writer, found.head.number, 0, 0)
        old = {} if known is None else dict(_named(known))
        objects = size = 0
        for name, ref in _named(found):
            if not (name in old and self._has_size(name, ref)):
                self._copy(name, ref)
                objects, size = objects + 1, size + ref.size
                self._progress.advance(size=ref.size)
        key = self._small(key_name(writer), KEY_MAX)
        if key != public:
            self._target.replace(key_name(writer), public, key)
        self._target.replace(head_name(writer), data, there)
        if self._there(writer) != data:
            raise BadObjectError(f"{head_name(writer)}: the remote loses what is written")
        return MirroredHost(writer, found.head.number, objects, size)

    def _examine(self, writer: str, public: bytes, data: bytes) -> SignedHead:
        return read_foreign_head(HeadOrder(public, data, writer, self._depot, self._now))[1]

    def _there(self, writer: str) -> bytes | None:
        return self._small(head_name(writer), HEAD_MAX)

    def _small(self, name: str, limit: int) -> bytes | None:
        try:
            return read_small(self._target, name, limit)
        except RemoteNotFoundError:
            return None

    def _has_size(self, name: str, ref: Ref) -> bool:
        """It was read back when the head that names it was written."""
        info = self._target.stat(name)
        return info is not None and info.size == ref.size

    def _copy(self, name: str, ref: Ref) -> None:
        info = self._source.stat(name)
        if info is None or info.size != ref.size:
            raise BadObjectError(f"{name} is lost or cut there", object=name)
        put_checked(self._target, name, _Pieces(self._source, name, ref), ref)

    def _copy_adopted(self) -> None:
        """Hints, which other hosts may have written: what is none is passed over."""
        for found in [*self._source.list(ADOPTED)]:
            writer = found.name.removeprefix(ADOPTED)
            if is_writer(writer) and self._target.stat(found.name) is None:
                with contextlib.suppress(BadObjectError, RemoteNotFoundError, RemoteChangedError):
                    data = read_small(self._source, found.name, NAMED_MAX)
                    self._target.replace(found.name, data, None)


class _Pieces:
    """The bytes of an object, as often as they are asked for: a failed write is tried again."""

    def __init__(self, remote: Remote, name: str, ref: Ref) -> None:
        self._remote = remote
        self._name = name
        self._ref = ref

    def __iter__(self) -> Iterator[bytes]:
        return stream_checked(self._remote, self._name, self._ref.size, self._ref.sha256)


def _named(found: SignedHead) -> Iterator[tuple[str, Ref]]:
    """All objects that a head names, in the order in which they are written."""
    head = found.head
    for app in head.apps:
        for pack in app.packs:
            yield pack.name(head.writer, app.app), pack
            yield pack.table_name(head.writer, app.app), pack.table
        for segment in app.segments:
            yield segment.name(head.writer, app.app), segment
