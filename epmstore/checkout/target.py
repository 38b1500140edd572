"""`checkout --target DIR`: a version as a folder of its own. Never looks at the live root.

The tree is built in a folder beside DIR and gets its name when it is whole and durable, so that DIR
is complete or not there. That folder is known by its descriptor: what another process puts in its
place is neither given the name nor removed. Owners are restored where the privilege allows it; what
was not is named.
"""

import contextlib
import os
import secrets
from collections.abc import Collection, Container, Iterable, Sequence
from pathlib import Path

import msgspec

from epmstore import fsio
from epmstore.atomic import about, directory
from epmstore.checkout.files import FileMaker, NewFile, make_files
from epmstore.checkout.lost import damaged, unreadable
from epmstore.checkout.plan import PURGED
from epmstore.checkout.stage import Refused
from epmstore.digest import BlobInfo, Purges
from epmstore.errors import (
    BlobNotFoundError,
    ChangedError,
    ConflictError,
    DamagedError,
    UsageError,
)
from epmstore.progress import Progress
from epmstore.relpath import STAGE_PREFIX, RelPath, parents, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.privilege import Privilege
from epmstore.scan.set_metadata import apply_link_metadata, apply_metadata
from epmstore.store.store import Store
from epmstore.tree import Entry

PRIVATE = 0o700


class ExportedTree(msgspec.Struct, frozen=True):
    """`kept` are entries that have no stored content (classes state and secret), with why; of those
    in `refused` something could not be restored, or their content was purged.
    """

    files: int
    kept: list[tuple[RelPath, str]]
    refused: list[Refused]


def export(
    target: Path,
    entries: Iterable[Entry],
    store: Store,
    progress: Progress,
    purged: Container[BlobInfo] = Purges(),
    *,
    dry_run: bool = False,
    coming: Collection[BlobInfo] = frozenset(),
) -> ExportedTree:
    """`purged` are contents that were destroyed: named, not written. A `dry_run` writes nothing,
    and takes contents that are `coming` from elsewhere for there.

    Raises ConflictError if `target` is there and not an empty folder, OSError, DamagedError, which
    names the paths whose contents cannot be read.
    """
    entries = list(entries)
    _check_target(target)
    if dry_run:
        wanted = _held(entries, purged)
        missing = set(store.blobs.missing({info for _, info in wanted})) - {*coming}
        if missing:
            raise damaged(wanted, missing)
        return _Exporter(-1, entries, store, progress, purged).outlook()
    name = f"{STAGE_PREFIX}{secrets.token_hex(8)}"
    with directory(target.parent) as parent:
        with about(target):
            fsio.make_directory(name, parent, PRIVATE)
        fd = fsio.open_directory(name, parent)
        try:
            exporter = _Exporter(fd, entries, store, progress, purged)
            exported = exporter.run()
            fsio.sync_filesystem(fd)
            _give_name(fd, name, parent, target)
        except (DamagedError, BlobNotFoundError) as error:
            with contextlib.suppress(ChangedError, FileNotFoundError):
                remove_tree(name, parent, fd)
            raise unreadable(_held(entries, purged), store.blobs, error) from None
        except BaseException:
            with contextlib.suppress(ChangedError, FileNotFoundError):
                remove_tree(name, parent, fd)
            raise
        finally:
            os.close(fd)
        fsio.sync_directory(parent)
    return exported


def _held(entries: Iterable[Entry], purged: Container[BlobInfo]) -> list[tuple[RelPath, BlobInfo]]:
    """The contents that are to be written, with their paths."""
    return [
        (entry.path, entry.content)
        for entry in entries
        if entry.content is not None
        and entry.path_class != "secret"
        and entry.content not in purged
    ]


def _give_name(fd: int, name: str, parent: int, target: Path) -> None:
    """Raises ChangedError if what has the name is not the open folder."""
    _check_same(fd, name, parent)
    fsio.rename(name, parent, target.name, parent)
    _check_same(fd, target.name, parent)


def _check_same(fd: int, name: str, parent: int) -> None:
    if not os.path.samestat(os.fstat(fd), fsio.lstat(name, parent)):
        raise ChangedError(
            f"something else took the name {name!r} meanwhile: it is left as it is",
            hint="copy to a folder in which nobody else may rename",
            path=name,
        )


def _check_target(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ConflictError(f"{target} is not a folder", hint="name a folder that is not there yet")
    if target.is_dir() and any(target.iterdir()):
        raise ConflictError(
            f"{target} is not empty", hint="name a folder that is empty or not there yet"
        )
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", hint="make it first")


class _Exporter:
    def __init__(
        self,
        fd: int,
        entries: list[Entry],
        store: Store,
        progress: Progress,
        purged: Container[BlobInfo],
    ) -> None:
        self._fd = fd
        self._store = store
        self._progress = progress
        self._privileged = os.geteuid() == 0
        self._purged = purged
        self.kept: list[tuple[RelPath, str]] = []
        self.refused: list[Refused] = []
        self._entries = [entry for entry in entries if self._has_content(entry)]

    def _has_content(self, entry: Entry) -> bool:
        if entry.kind == "file" and (entry.content is None or entry.path_class == "secret"):
            self.kept.append((entry.path, f"{entry.path_class}: no content is stored"))
            return False
        if entry.content is not None and entry.content in self._purged:
            self.refused.append(Refused(entry.path, (PURGED,)))
            return False
        return True

    def outlook(self) -> ExportedTree:
        """What a run would come to. Writes nothing."""
        files = [entry for entry in self._entries if entry.kind == "file" and entry.same_as is None]
        ours = Privilege.ours()
        for entry in self._entries:
            self._note(entry, list(ours.forbids(entry, None)) if entry.same_as is None else [])
        return ExportedTree(len(files), self.kept, self.refused)

    def run(self) -> ExportedTree:
        files = [entry for entry in self._entries if entry.kind == "file" and entry.same_as is None]
        sizes = (entry.content.size for entry in files if entry.content is not None)
        self._progress.begin("writing files", files=len(files), size=sum(sizes))
        self._folders()
        self._write_files(files)
        leaders = {entry.path: entry.path for entry in files}
        with FolderCache(self._fd) as folders:
            for entry in self._entries:
                if entry.kind == "symlink":
                    self._symlink(folders, entry)
                elif entry.same_as is not None:
                    self._link(folders, entry, entry.same_as, leaders)
            self._finish_folders(folders)
        self._progress.end()
        return ExportedTree(len(files), self.kept, self.refused)

    def _folders(self) -> None:
        """Every folder, private until its content is there; also those above the entries of a
        scope.
        """
        needed = {above for entry in self._entries for above in parents(entry.path)}
        needed.update(entry.path for entry in self._entries if entry.kind == "directory")
        with FolderCache(self._fd) as folders:
            for path in sorted(needed, key=os.fsencode):
                folder, name = split(path)
                fsio.make_directory(name, folders.open(folder), PRIVATE)

    def _write_files(self, files: Sequence[Entry]) -> None:
        done = make_files(
            self._fd,
            [NewFile(entry.path, entry) for entry in files],
            self._store,
            privileged=self._privileged,
            progress=self._progress,
        )
        for file, made in done:
            self._note(file.entry, made.refused)

    def _symlink(self, folders: FolderCache, entry: Entry) -> None:
        folder, name = split(entry.path)
        parent = folders.open(folder)
        assert entry.target is not None, "a symlink has a target"
        fsio.make_symlink(entry.target, name, parent)
        self._note(entry, apply_link_metadata(parent, name, entry, self._privileged))

    def _link(
        self,
        folders: FolderCache,
        entry: Entry,
        first: RelPath,
        leaders: dict[RelPath, RelPath],
    ) -> None:
        """To the first path of the group; if that is not in the scope, to the first one that is."""
        if first not in leaders:
            assert entry.content is not None, "files without content were left out"
            with FileMaker(self._fd, privileged=self._privileged, syncs=False) as maker:
                made = maker.make(
                    NewFile(entry.path, entry), self._store.blobs.stream(entry.content)
                )
            self._note(entry, made.refused)
            leaders[first] = entry.path
            return
        source = fsio.open_directory(".", self._fd)
        try:
            leader_folder, leader = split(leaders[first])
            with FolderCache(source) as others:
                folder, name = split(entry.path)
                fsio.make_link(leader, others.open(leader_folder), name, folders.open(folder))
        finally:
            os.close(source)

    def _finish_folders(self, folders: FolderCache) -> None:
        for entry in sorted(self._entries, key=lambda e: os.fsencode(e.path), reverse=True):
            if entry.kind == "directory":
                self._note(entry, apply_metadata(folders.open(entry.path), entry, self._privileged))

    def _note(self, entry: Entry, what: list[str]) -> None:
        if what:
            self.refused.append(Refused(entry.path, tuple(what)))


def remove_tree(name: str, parent: int, fd: int | None = None) -> None:
    """Take away a folder of ours and everything in it, whatever owners and modes that was given;
    `fd` is that folder, open, where others may rename it. Raises OSError, ChangedError if the name
    is another's.
    """
    if fd is None:
        _make_ours(name, parent)
    opened = fsio.open_directory(name, parent) if fd is None else fsio.open_directory(".", fd)
    try:
        for entry in os.scandir(opened):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(entry.name, opened)
            else:
                fsio.unlink(entry.name, opened)
        _check_same(opened, name, parent)
        fsio.remove_directory(name, parent)
    finally:
        os.close(opened)


def _make_ours(name: str, parent: int) -> None:
    """Or nothing could be removed from it: a daemon may not override who may write where."""
    found = fsio.lstat(name, parent)
    if found.st_uid != os.geteuid():
        fsio.set_link_owner(name, parent, os.geteuid(), -1)
    if found.st_mode & PRIVATE != PRIVATE:
        fsio.set_named_mode(name, parent, PRIVATE)
