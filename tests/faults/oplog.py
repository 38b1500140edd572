"""What a power cut may leave, worked out from the log of calls: a model of the weakest file system
that the rules of `fsio` allow.

`Recorder` sees the calls of one task and takes them apart into effects: a name that means another
inode now, bytes of a file, its size, its mode, owner, time, attributes. `Log.state` is what the
disk holds after a cut before the call `at`:

- what a sync covered is there: `fdatasync` the bytes and the size of a file, `fsync` all of it but
  its name, `fsync` of a folder the names in it, `syncfs` everything of the one tree (store and root
  lie on two file systems);
- of everything else any part is there. Effects come in no order, except those on one name. What was
  written may have arrived, not at all, in half, or as zeros. A rename is one step, or its new name
  comes before the old one goes; an exchange is one step; what is moved is never lost with the
  folder that it was moved to;
- SQLite's files are those of any moment since they were durable last, and the end of a WAL may be
  missing.

Files have their inode numbers from the log; whoever makes a state real (crashes.py) maps them.
"""

import hashlib
import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from epmstore import fsio

Name: TypeAlias = tuple[int, bytes]
"""The inode of a folder, and a name in it."""
Overlay: TypeAlias = dict[str, bytes]
"""SQLite's files, by their paths below the place."""
Taken: TypeAlias = Literal["all", "half", "zeros"]
META = ("mode", "owner", "mtime")


class Effect(NamedTuple):
    """One thing that persists or does not. `what` is "name" (`key` is a Name, `value` an inode or
    null), "bytes" (`value` an offset and bytes), "size", "grow", or the kind of metadata with
    `key` an inode. `tie` joins the two names of a rename or an exchange.
    """

    at: int
    what: str
    key: Any
    value: Any
    tie: int = 0
    is_exchange: bool = False


class Sync(NamedTuple):
    """A call after which something is durable: of one inode, or (null) of a whole tree."""

    at: int
    ino: int | None
    tree: int
    what: Literal["data", "file", "names", "tree"]


@dataclass
class Node:
    """An inode as it was when the log began, or when it was made."""

    kind: int
    tree: int
    mode: int
    owner: tuple[int, int]
    mtime: int | None = None
    data: bytes = b""
    target: str = ""
    xattrs: dict[str, bytes] = field(default_factory=dict)


@dataclass
class State:
    """What a disk holds: names, and the nodes that they mean."""

    names: dict[Name, int]
    nodes: dict[int, Node]
    overlay: Overlay

    @property
    def digest(self) -> str:
        found = hashlib.sha256()
        reached = {*self.names.values()}
        for name in sorted(self.names):
            found.update(repr((name, self.names[name])).encode())
        for ino in sorted(reached):
            found.update(repr((ino, self.nodes[ino])).encode())
        found.update(repr(sorted(self.overlay.items())).encode())
        return found.hexdigest()[:16]


@dataclass
class Log:
    """A recorded task: the nodes and names that it began with, and what it did. `calls` are names
    of calls; an overlay belongs to each; `durable` are calls before which SQLite had synced.
    """

    place: int
    nodes: dict[int, Node]
    names: dict[Name, int]
    calls: list[str] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    syncs: list[Sync] = field(default_factory=list)
    overlays: list[Overlay] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)
    """Which overlay there was before each call, and at the end."""
    durable: list[int] = field(default_factory=list)

    def loose(self, at: int) -> list[Effect]:
        """What was done before the call `at` (from 0) and is covered by no sync before it."""
        syncs = [sync for sync in self.syncs if sync.at < at]
        done = [effect for effect in self.effects if effect.at < at]
        return [one for one in done if not any(self._covers(sync, one) for sync in syncs)]

    def _covers(self, sync: Sync, effect: Effect) -> bool:
        if effect.at >= sync.at:
            return False
        ino = effect.key[0] if effect.what == "name" else effect.key
        if sync.what == "tree":
            return self.nodes[ino].tree == sync.tree
        if ino != sync.ino:
            return False
        if sync.what == "data":
            return effect.what in ("bytes", "size", "grow")
        return effect.what != "name" or sync.what == "names"

    def state(
        self, at: int, kept: dict[Effect, Taken], overlay: Overlay, *, is_split: bool
    ) -> State:
        """What is there after a cut before the call `at`, if of what was loose `kept` persists."""
        loose = set(self.loose(at))
        chosen = {one: kept.get(one, "all") for one in self.effects if one.at < at}
        chosen = {one: how for one, how in chosen.items() if one not in loose or one in kept}
        self._close(chosen, is_split=is_split)
        names, nodes = dict(self.names), dict(self.nodes)
        for one in self.effects:
            if one in chosen:
                _apply(one, chosen[one], names, nodes)
        return State(names, nodes, overlay)

    def _close(self, chosen: dict[Effect, Taken], *, is_split: bool) -> None:
        """Add what must be there with what is chosen: what one name meant before it means
        something else, the other half of a rename, and what a folder lost before it went.
        """
        names = [one for one in self.effects if one.what == "name"]
        ties: dict[int, list[Effect]] = {}
        for one in names:
            if one.tie:
                ties.setdefault(one.tie, []).append(one)
        again = True
        while again:
            again = False
            for one in [one for one in names if one in chosen]:
                needed = self._needed(one, ties.get(one.tie, []), is_split=is_split)
                for other in needed:
                    if other not in chosen:
                        chosen[other] = "all"
                        again = True

    def _needed(self, one: Effect, tied: list[Effect], *, is_split: bool) -> list[Effect]:
        names = [other for other in self.effects if other.what == "name"]
        needed = [other for other in names if other.key == one.key and other.at < one.at]
        moved = next((other.value for other in tied if other.value is not None), None)
        is_split = is_split and (moved is None or not stat.S_ISDIR(self.nodes[moved].kind))
        if tied and (one.is_exchange or not is_split or one.value is None):
            needed += [*tied, *self._ways(tied)]
        if one.value is None:
            gone = self._meant(one)
            needed += [other for other in names if other.key[0] == gone and other.at < one.at]
        return needed

    def _ways(self, moved: list[Effect]) -> list[Effect]:
        """What gave the folders that something was moved between their names, up to the top."""
        found: list[Effect] = []
        folders = {one.key[0] for one in moved}
        while folders:
            made = [o for o in self.effects if o.what == "name" and o.value in folders]
            found += [one for one in made if one.at < moved[0].at]
            folders = {one.key[0] for one in made}
        return found

    def _meant(self, effect: Effect) -> int | None:
        """The folder that a name stood for until it went for good."""
        if effect.tie:
            return None
        before = [o for o in self.effects if o.key == effect.key and o.at < effect.at]
        ino = before[-1].value if before else self.names.get(effect.key)
        is_folder = ino is not None and stat.S_ISDIR(self.nodes[ino].kind)
        return ino if is_folder else None


def _apply(effect: Effect, how: Taken, names: dict[Name, int], nodes: dict[int, Node]) -> None:
    what, key, value = effect.what, effect.key, effect.value
    if what == "name":
        if value is None:
            names.pop(key, None)
        else:
            names[key] = value
        return
    node = Node(**vars(nodes[key]))
    nodes[key] = node
    if what == "bytes":
        offset, data = value
        data = bytes(len(data)) if how == "zeros" else data
        data = data[: len(data) // 2] if how == "half" else data
        found = node.data.ljust(offset, b"\0")
        node.data = found[:offset] + data + found[offset + len(data) :]
    elif what == "size":
        node.data = node.data[:value].ljust(value, b"\0")
    elif what == "grow":
        node.data = node.data.ljust(value, b"\0")
    elif what in META:
        setattr(node, what, value)
    else:
        attributes = {**node.xattrs, what: value}
        node.xattrs = {name: data for name, data in attributes.items() if data is not None}


def choices(
    log: Log, at: int, rng: random.Random, count: int
) -> Iterator[tuple[dict[Effect, Taken], Overlay, bool]]:
    """Ways in which a cut before the call `at` may go: nothing loose persists; all of it; and
    `count` others: all but one thing, one thing alone, or any share of them.
    """
    loose = log.loose(at)
    newest = log.overlays[log.moments[at]]
    yield {}, _oldest(log, at), False
    yield dict.fromkeys(loose, "all"), newest, False
    for _ in range(count):
        kept: dict[Effect, Taken] = {}
        kind = rng.randrange(4)
        odd = rng.randrange(len(loose)) if loose else 0
        share = rng.random()
        for number, one in enumerate(loose):
            is_kept = (number != odd, number == odd, rng.random() < share, rng.random() < share)
            if is_kept[kind]:
                is_whole = one.what != "bytes" or kind < 3
                kept[one] = "all" if is_whole else rng.choice(("all", "half", "zeros"))
        yield kept, _overlay(log, at, rng), rng.random() < 0.5


def _window(log: Log, at: int) -> range:
    """The overlays that SQLite's files may be as they were in."""
    since = max((log.moments[moment] for moment in log.durable if moment <= at), default=0)
    return range(since, log.moments[at] + 1)


def _oldest(log: Log, at: int) -> Overlay:
    return log.overlays[_window(log, at)[0]]


def _overlay(log: Log, at: int, rng: random.Random) -> Overlay:
    window = _window(log, at)
    if rng.random() < 0.5:
        return log.overlays[window[-1]]
    found = dict(log.overlays[rng.choice(window)])
    for path, data in found.items():
        is_loose = path.endswith("-wal") and len(window) > 1
        if is_loose and rng.random() < 0.5:  # its end was never written
            found[path] = data[: rng.randrange(len(data) + 1)]
    return found


class Recorder:
    """Records the task that runs while the block does, of everything below `place`."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._pending: dict[int, Callable[[], None]] = {}
        self._ties = 0
        self.log = Log(place.stat().st_ino, {}, {})
        self._learn(place, 0)
        for tree, top in enumerate(sorted(place.iterdir()), 1):  # each a file system of its own
            self._learn(top, tree)
        self._names = dict(self.log.names)
        store = self._names.get((self.log.place, b"store"), 0)
        self._locks = self._names.get((store, b"locks"))
        self._look()

    def __enter__(self) -> "Recorder":
        fsio.install_fault(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        fsio.install_fault(None)
        with self._lock:
            for settle in self._pending.values():
                settle()
            self._moment()

    def _learn(self, path: Path, tree: int) -> None:
        ino = path.lstat().st_ino
        self.log.nodes[ino] = describe(path, tree)
        if not path.is_dir() or path.is_symlink():
            return
        for name in os.listdir(os.fsencode(path)):
            below = path / os.fsdecode(name)
            if not is_sqlite(below.name):
                self.log.names[ino, name] = below.lstat().st_ino
                self._learn(below, tree)

    def _look(self) -> None:
        """SQLite writes by itself."""
        found = {
            str(path.relative_to(self._place)): path.read_bytes()
            for path in (*self._place.glob("*/*"), *self._place.glob("*/live/*"))
            if is_sqlite(path.name) and not path.name.endswith("-shm") and path.stat().st_size
        }
        if not self.log.overlays or found != self.log.overlays[-1]:
            self.log.overlays.append(found)

    def _moment(self) -> None:
        before = len(self.log.overlays)
        self._look()
        newest = self.log.overlays[-1]
        if len(self.log.overlays) > before and not any(path.endswith("-wal") for path in newest):
            self.log.durable.append(len(self.log.calls))  # folded, synced, and the WAL removed
        self.log.moments.append(len(self.log.overlays) - 1)

    def _see(self, call: str, arguments: tuple[Any, ...]) -> None:
        with self._lock:
            settle = self._pending.pop(threading.get_ident(), None)
            if settle is not None:
                settle()
            self._moment()
            at = len(self.log.calls)
            self.log.calls.append(call)
            self._take(at, call, arguments)

    def _take(self, at: int, call: str, arguments: tuple[Any, ...]) -> None:
        if call in ("fsync", "fdatasync", "fsyncdir", "syncfs"):
            self._sync(at, call, arguments[0])
        elif call == "write":
            fd, data, offset = arguments
            offset = os.lseek(fd, 0, os.SEEK_CUR) if offset is None else offset
            self._set(at, "bytes", fd, (offset, bytes(data)))
        elif call in ("truncate", "allocate"):
            self._set(at, "size" if call == "truncate" else "grow", *arguments)
        elif call in ("chmod", "chown", "utime", "setxattr", "removexattr"):
            self._metadata(at, call, arguments)
        else:
            names = [name for name in arguments if isinstance(name, str | bytes)]
            folders = [fd for fd in arguments if isinstance(fd, int)][:2]
            names = names[:2] if len(folders) == 2 else names[:1]
            self._rename(at, call, list(zip(names, folders, strict=True)))

    def _sync(self, at: int, call: str, fd: int) -> None:
        ino, node = os.fstat(fd).st_ino, self._known(fd)
        if node is None:
            return
        tree = node.tree
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        if call == "syncfs":
            self.log.syncs.append(Sync(at, None, tree, "tree"))
        elif call == "fdatasync":
            self.log.syncs.append(Sync(at, ino, tree, "data"))
        else:
            self.log.syncs.append(Sync(at, ino, tree, "names" if is_folder else "file"))

    def _metadata(self, at: int, call: str, arguments: tuple[Any, ...]) -> None:
        first, *rest = arguments
        where: int | str = first
        if isinstance(first, bytes) or (isinstance(first, str) and not first.startswith("/proc/")):
            folder, *rest = rest
            where = f"/proc/self/fd/{folder}/{os.fsdecode(first)}"
        if call == "chmod":
            self._set(at, "mode", where, rest[0])
        elif call == "chown":
            old = _owner(where)
            self._set(
                at,
                "owner",
                where,
                tuple(b if a == -1 else a for a, b in zip(rest, old, strict=True)),
            )
        elif call == "utime":
            self._set(at, "mtime", where, rest[0])
        else:
            self._set(at, rest[0], where, rest[1] if call == "setxattr" else None)

    def _set(self, at: int, what: str, where: int | str, value: object) -> None:
        ino = _stat(where).st_ino
        if self._known(where) is not None and not self._is_lock(ino):
            self.log.effects.append(Effect(at, what, ino, value))

    def _is_lock(self, ino: int) -> bool:
        """Who holds a lock is written into it, for people to read."""
        return any(
            value == ino and folder == self._locks for (folder, _), value in self._names.items()
        )

    def _known(self, where: int | str) -> Node | None:
        """Null for a file of SQLite."""
        found = self.log.nodes.get(_stat(where).st_ino)
        if found is None:
            path = os.readlink(f"/proc/self/fd/{where}") if isinstance(where, int) else where
            assert is_sqlite(path), path
        return found

    def _rename(self, at: int, call: str, places: list[tuple[str | bytes, int]]) -> None:
        """Names are looked at again before the next call of this thread: a call may fail."""
        held = [
            (os.fsencode(name), os.dup(folder), os.fstat(folder).st_ino)
            for name, folder in places
            if not is_sqlite(os.fsdecode(name))
        ]

        def settle() -> None:
            changed: list[tuple[Name, int | None]] = []
            for name, fd, folder in held:
                ino = self._arrived(name, fd, folder)
                if ino != self._names.get((folder, name)):
                    changed.append(((folder, name), ino))
                os.close(fd)
            self._ties += 1
            tie = self._ties if len(changed) == 2 else 0
            for key, ino in changed:
                self.log.effects.append(Effect(at, "name", key, ino, tie, call == "exchange"))
                if ino is None:
                    self._names.pop(key, None)
                else:
                    self._names[key] = ino

        self._pending[threading.get_ident()] = settle

    def _arrived(self, name: bytes, fd: int, folder: int) -> int | None:
        """The inode of a name; one that is new is described as it was made."""
        try:
            ino = os.stat(name, dir_fd=fd, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return None
        if ino not in self.log.nodes:
            path = Path(f"/proc/self/fd/{fd}") / os.fsdecode(name)
            node = describe(path, self.log.nodes[folder].tree)
            node.mtime, node.data = None if not node.target else node.mtime, b""
            self.log.nodes[ino] = node
        return ino


def is_sqlite(name: str) -> bool:
    return ".sqlite" in name


def describe(path: Path, tree: int) -> Node:
    found = path.lstat()
    node = Node(
        stat.S_IFMT(found.st_mode),
        tree,
        stat.S_IMODE(found.st_mode),
        (found.st_uid, found.st_gid),
        found.st_mtime_ns,
        xattrs={
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
        },
    )
    if stat.S_ISLNK(found.st_mode):
        node.target = os.readlink(path)
    elif stat.S_ISREG(found.st_mode):
        node.data = path.read_bytes()
    return node


def _stat(where: int | str) -> os.stat_result:
    return os.fstat(where) if isinstance(where, int) else os.lstat(where)


def _owner(where: int | str) -> tuple[int, int]:
    return _stat(where).st_uid, _stat(where).st_gid
