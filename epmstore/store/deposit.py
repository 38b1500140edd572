"""The one door by which new contents come into a store. What it has already is written anew by
epmstore/care, with the means of epmstore/blobs.

Order: packs are kept from before the first question whether something is stored; contents are
written into groups that have no name yet, here or by workers; under the write lock the groups get
their names and are entered into the index, alone or with the version that refers to them. What is
not committed when the block is left is taken away again.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Self

from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter, WrittenGroup, discard_written
from epmstore.catalog.model import VersionPart, VersionRecord
from epmstore.digest import BlobInfo, Digest, check_no_collision, identify
from epmstore.store.commit import HistoryHead, commit_version, store_groups
from epmstore.store.dedup import Dedup
from epmstore.store.replay import catch_up
from epmstore.store.store import Store


class Deposit:
    """Contents on their way into `store`. A context manager."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._held = ExitStack()
        self._groups: list[WrittenGroup] = []
        self._given: dict[Digest, BlobInfo] = {}

    def __enter__(self) -> Self:
        # Left in the other order: groups are taken away while packs are still kept.
        self._held.enter_context(self.store.keep_packs())
        self._held.callback(self._discard)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @cached_property
    def dedup(self) -> Dedup:
        """What is stored already, as readers of this deposit ask for it."""
        return Dedup(self.store.packs, self.store.contents, self.store.blobs)

    @cached_property
    def writer(self) -> GroupWriter:
        """For who knows that what it gives is right and lacks; it writes no address twice."""
        return self._held.enter_context(GroupWriter(self.store.packs))

    def roll(self) -> None:
        """What comes next goes into another group, if the one in hand is as large as they get."""
        if self.writer.is_full:
            self._finish()

    def add(self, info: BlobInfo, data: bytes) -> None:
        """Store `data`, of which `identify` said `info`, unless it is stored. Raises CollisionError
        if another content has its address, here or in the store; OSError.
        """
        self.check(info)
        if not self.store.blobs.has(info):
            self.writer.add(info, data)

    def add_stream(self, chunks: Iterable[bytes], size: int) -> BlobInfo:
        """Store a content of about `size` bytes, in bounded memory; what it turned out to be.
        Raises as `add`.
        """
        if size <= PART_THRESHOLD:
            data = b"".join(chunks)
            info = identify(data)
            self.add(info, data)
            return info
        info = self.writer.add_large(chunks, self.dedup.has_part)
        self.check(info)
        return info

    def take(self, groups: Iterable[WrittenGroup]) -> None:
        """Groups that another process wrote for this store: they are this deposit's to commit or to
        take away.
        """
        self._groups += groups

    def commit(self, *, anew: bool = False) -> None:
        """All of it is stored, and known to the index; no record names it yet. If it is stored
        `anew`, it is found in no other place from then on. Raises CollisionError, DamagedError,
        OSError; then nothing is.
        """
        groups = self._finish()
        with self.store.lock_write():
            # Since `add` asked, another process may have stored other contents of these addresses.
            if self._given:
                catch_up(self.store)
            self._check_stored(list(self._given.values()))
            store_groups(self.store, groups, anew=anew)
        self._groups = []

    def commit_version(
        self, app: str, make: Callable[[HistoryHead], VersionPart], *, txid: str
    ) -> VersionRecord:
        """The same with the version that refers to it. Raises as `commit_version`."""
        version = commit_version(self.store, app, make, self._finish(), txid=txid)
        self._groups = []
        return version

    def check(self, *infos: BlobInfo) -> None:
        """That no other content has the address of one of these, here or in the store. Raises
        CollisionError.
        """
        for info in infos:
            check_no_collision(self._given.setdefault(info.digest, info), info)
        self._check_stored(infos)

    def _check_stored(self, infos: Sequence[BlobInfo]) -> None:
        for info in self.store.contents.colliding(infos):
            self.store.blobs.check_no_collision(info)  # what is recorded alone has no other content

    def _finish(self) -> list[WrittenGroup]:
        if "writer" in self.__dict__:
            self._groups.append(self.writer.finish())
            del self.writer
        return self._groups

    def _discard(self) -> None:
        groups, self._groups = self._groups, []
        for group in groups:
            discard_written(group)
