"""Contents made of what lies in the root: a file that is about to be replaced is often nearly what
replaces it, and both directions of a difference may be known.

Nothing is believed of such a file. It is opened below the root, never through a link, and what is
made of it counts only if it has the digest that is wanted; else the store is asked, as ever.
"""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import msgspec

from epmstore import fsio
from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.checkout.plan import Step
from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import EpmError
from epmstore.pack_table import DeltaFrame
from epmstore.relpath import RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.problem import UnreadError
from epmstore.store.reverse_deltas import WayBack, applied, chains


class Near(msgspec.Struct, frozen=True, gc=False):
    """The file that is at a path of the root, with the content that was seen in it. Without a
    chain, what is stored may be a difference to it.
    """

    path: RelPath
    content: BlobInfo
    chain: WayBack


def near_files(steps: Mapping[int, Step], known: Iterable[DeltaFrame]) -> Mapping[int, Near]:
    """For numbered steps that write a content over another one."""
    found = {number: step.old for number, step in steps.items() if step.old is not None}
    olds = {
        number: (old.path, old.content)
        for number, old in found.items()
        if old.content is not None and old.content.size <= PART_THRESHOLD
    }
    wanted = {number: content.sha256 for number in olds if (content := steps[number].content)}
    back = chains(known, {sha256: olds[number][1].sha256 for number, sha256 in wanted.items()})
    return {
        number: Near(*olds[number], _from(olds[number][1], back.get(sha256, ())))
        for number, sha256 in wanted.items()
    }


def _from(content: BlobInfo, chain: WayBack) -> WayBack:
    """Two files that are to be alike may be different now: a chain is one of them alone."""
    return chain if chain and chain[0].base == content.sha256 else ()


class NearFiles:
    """Makes contents of files of one root; a context manager. For one thread."""

    def __init__(self, root_fd: int, blobs: PackStore) -> None:
        self._folders = FolderCache(root_fd)
        self._blobs = blobs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folders.close()

    def contents(self, wanted: Sequence[tuple[BlobInfo, Near]]) -> Iterable[bytes | None]:
        """Of each content that is wanted, its bytes; None if nothing right comes of it."""
        asked = {info.sha256: near.content.sha256 for info, near in wanted if not near.chain}
        stored = self._blobs.differences(asked)
        for info, near in wanted:
            chain = near.chain or _stored(stored, info.sha256, near.content)
            live = self._read(near) if chain else None
            yield None if live is None else applied(chain, live, info)

    def _read(self, near: Near) -> bytes | None:
        """What the file holds, as far as it is as long as it was."""
        folder, name = split(near.path)
        try:
            fd = fsio.open_file(name, self._folders.open(folder))
        except (OSError, EpmError, UnreadError):
            return None
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size != near.content.size:
                return None
            return os.pread(fd, found.st_size, 0)
        except OSError:
            return None
        finally:
            os.close(fd)


def _stored(stored: Mapping[Sha256, DeltaFrame], wanted: Sha256, content: BlobInfo) -> WayBack:
    found = stored.get(wanted)
    return (found,) if found is not None and found.base == content.sha256 else ()
