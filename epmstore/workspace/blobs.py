"""`ws.blobs`: single contents, in and out. What no version needs, the next collection takes."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from epmstore import atomic, fsio
from epmstore.blobs.blob_store import stored_share
from epmstore.care.references import index_state, key_of
from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.errors import BlobNotFoundError, CollisionError, ConflictError, UsageError
from epmstore.given import AnyPath, a_place
from epmstore.pack_table import Place
from epmstore.progress import SILENT, Progress
from epmstore.scan.steady import SteadyStream, stream_steady
from epmstore.seal import RecordKind
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store

if TYPE_CHECKING:  # start-up
    from epmstore.checkout.request import Supply
    from epmstore.sync.depotseeker import DepotContents

LIMIT = 1 << 50
KINDS = {
    RecordKind.SOLID: "solid",
    RecordKind.STORED: "stored",
    RecordKind.PART: "part",
    RecordKind.DELTA: "delta",
}


class BlobStat(msgspec.Struct, frozen=True):
    """How a content is stored. `stored_bytes` is about its share of the frame it lies in; `kind`
    that frame's (`parts` for a large content); `base` what it is a delta against. `versions` are
    (key, version) of all that have it and are not forgotten.
    """

    info: BlobInfo
    stored_bytes: int
    kind: str
    base: Digest | None
    versions: tuple[tuple[str, int], ...]


class Blobs:
    """Contents by address, which is a SHA-1, or a SHA-256 where that is not enough. Every method
    reads bytes checked, and writes them durable.
    """

    def __init__(
        self,
        store: Store,
        *,
        remotes: "Callable[[], Sequence[DepotContents]]" = tuple,
        progress: Progress = SILENT,
    ) -> None:
        """`remotes` says where contents are sought that are not here."""
        self._store = store
        self._remotes = remotes
        self._progress = progress

    def fetch(self, address: Digest | Sha256, *, dry_run: bool = False) -> "Supply":
        """A content that was recorded, and is not here, is brought; what is nowhere is `lacking`.
        Raises BlobNotFoundError for what was never recorded, CollisionError, BusyError, OSError.
        """
        from epmstore.workspace.app.supplying import fetch  # noqa: PLC0415 - start-up

        wanted = self._store.contents.meant(address)
        if not wanted:
            raise BlobNotFoundError(
                f"no content {address.hex()} was ever recorded here",
                hint="`epmstore pull` and `epmstore catalog import` bring what others know",
            )
        return fetch(self._store, wanted, self._remotes, self._progress, dry_run=dry_run)

    def put(self, path: AnyPath) -> BlobInfo:
        """Store the content of a file that holds still, unless it is stored.

        Raises CollisionError if another content has its SHA-1, ConflictError if it was purged,
        UnreadError, OSError.
        """
        store = self._store
        with Deposit(store) as deposit:
            with _open(a_place(path)) as stream:
                info = deposit.add_stream(stream.chunks(), stream.stat.st_size)
            if info in store.contents.purged():
                raise ConflictError(
                    f"the content {info.digest.hex()} was purged, and is not stored again",
                    digest=info.digest.hex(),
                )
            if not store.blobs.has(info):
                deposit.commit()
        return info

    def get(self, digest: Digest | Sha256, path: AnyPath) -> None:
        """Write a stored content to a new file, which is complete or not there.

        Raises BlobNotFoundError, CollisionError (two contents have this address), ConflictError
        (there is such a file), DamagedError, OSError.
        """
        info, path = self._find(digest), a_place(path)
        with self._store.keep_packs(reading=True), atomic.directory(path.parent) as parent:
            name = atomic.temporary_name()
            fd = fsio.create(name, parent, 0o644)
            try:
                for piece in self._store.blobs.stream(info):
                    fsio.write(fd, piece)
                fsio.sync_file(fd)
                fsio.rename_new(name, parent, path.name, parent)
            except FileExistsError:
                atomic.discard(name, parent)
                raise ConflictError(
                    f"{path} is there already", hint="name a new file", file=str(path)
                ) from None
            except BaseException:
                atomic.discard(name, parent)
                raise
            finally:
                os.close(fd)
            fsio.sync_directory(parent)

    def compare(self, digest: Digest | Sha256, path: AnyPath) -> bool:
        """Whether a file has exactly this content, byte by byte. Raises as `get`, UnreadError."""
        info = self._find(digest)
        with self._store.keep_packs(reading=True), _open(a_place(path)) as stream:
            if stream.stat.st_size != info.size:
                return False
            pieces = stream.chunks()
            held = b""
            for stored in self._store.blobs.stream(info):
                while len(held) < len(stored):
                    piece = next(pieces, b"")
                    if not piece:
                        return False
                    held += piece
                if held[: len(stored)] != stored:
                    return False
                held = held[len(stored) :]
            return not held and next(pieces, b"") == b""

    def stat(self, digest: Digest | Sha256) -> BlobStat:
        """Raises BlobNotFoundError, CollisionError."""
        info = self._find(digest)
        place = self._store.contents.places([info.sha256])[info.sha256]
        if place.kind is RecordKind.DELTA:
            size, kind = place.length, "delta"
        elif place.kind is None:
            parts = self._store.contents.places(place.parts)
            size, kind = sum(map(stored_share, parts.values())), "parts"
        else:
            size, kind = stored_share(place), KINDS[place.kind]
        return BlobStat(info, size, kind, self._base(place), self._versions(info))

    def _find(self, digest: Digest | Sha256) -> BlobInfo:
        contents = self._store.contents
        meant = contents.meant(digest)
        found = [info for info in meant if info.sha256 in contents.places([info.sha256])]
        if not found:
            if any(info in contents.purged() for info in meant):
                raise BlobNotFoundError(
                    f"the content {digest.hex()} was purged", digest=digest.hex()
                )
            raise BlobNotFoundError(
                f"no content {digest.hex()} is stored",
                hint="`epmstore gc` takes what no version needs",
                digest=digest.hex(),
            )
        if len(found) > 1:
            raise CollisionError(
                f"{len(found)} contents have the SHA-1 {digest.hex()}",
                hint="name the one that is meant by its SHA-256: "
                + ", ".join(info.sha256.hex() for info in found),
                digest=digest.hex(),
                sha256=[info.sha256.hex() for info in found],
            )
        return found[0]

    def _base(self, place: Place) -> Digest | None:
        if place.base is None:
            return None
        return self._store.contents.address(place.base)

    def _versions(self, info: BlobInfo) -> tuple[tuple[str, int], ...]:
        versions: set[tuple[str, int]] = set()
        spans = self._store.entries.with_content(info.digest)
        states = {app: index_state(self._store, app) for app in {app for app, _ in spans}}
        for app, span in spans:
            if span.entry.content != info:
                continue
            end = len(states[app].versions) if span.until is None else span.until
            versions.update(
                (key_of(self._store, app), found.version)
                for found in states[app].versions
                if span.since <= found.version < end and found.restorable
            )
        return tuple(sorted(versions))


@contextlib.contextmanager
def _open(path: Path) -> Iterator[SteadyStream]:
    """A regular file that a user named, perhaps by a symlink."""
    real = Path(os.path.realpath(path, strict=True))
    with atomic.directory(real.parent) as parent:
        found = fsio.lstat(real.name, parent)
        if not os.path.isfile(real):
            raise UsageError(f"{path} is no regular file")
        with stream_steady(parent, real.name, found, LIMIT) as stream:
            yield stream
