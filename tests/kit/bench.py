"""A store with one application, small trees to put under its root, and pictures to compare them by.

Everything goes through the real store and the real file system.
"""

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.classes import Patterns
from epmstore.catalog.model import VersionRecord
from epmstore.clock import FixedClock
from epmstore.progress import SILENT
from epmstore.record.recorder import Intent, Recorder
from epmstore.record.root import open_root
from epmstore.relpath import STAGE_PREFIX
from epmstore.scan.fsclock import probe_clock
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.handle import AppHandle
from epmstore.workspace.opening import make_store, open_store

APP = "0" * 32
MTIME = 1_600_000_000_000_000_000
CHANGE = Intent(kind="change", reason="snapshot")
DRIFT = Intent(kind="drift", reason="scan")


class File(msgspec.Struct, frozen=True):
    data: bytes = b""
    mode: int = 0o644
    mtime_ns: int = MTIME


class Dir(msgspec.Struct, frozen=True):
    mode: int = 0o755


class Link(msgspec.Struct, frozen=True):
    target: str


class Same(msgspec.Struct, frozen=True):
    """Another name of a file that is named before."""

    path: str


Node: TypeAlias = File | Dir | Link | Same
Nodes: TypeAlias = Mapping[str, Node]
Picture: TypeAlias = dict[str, tuple[object, ...]]


def build(root: Path, nodes: Nodes) -> None:
    """Folders above a node are made as they are needed; modes of folders come last."""
    for path, node in nodes.items():
        where = root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        match node:
            case Dir():
                where.mkdir(exist_ok=True)
            case Link():
                where.symlink_to(node.target)
            case Same():
                where.hardlink_to(root / node.path)
            case File():
                where.write_bytes(node.data)
                where.chmod(node.mode)
                os.utime(where, ns=(node.mtime_ns, node.mtime_ns))
    for path, node in reversed(list(nodes.items())):
        if isinstance(node, Dir):
            (root / path).chmod(node.mode)


def clear(root: Path) -> None:
    for child in root.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def picture(root: Path) -> Picture:
    """All that a checkout has to bring back, of everything below a folder."""
    found: Picture = {}
    first: dict[int, str] = {}
    for folder, folders, files in os.walk(root):
        for name in sorted([*folders, *files]):
            where = Path(folder, name)
            path = str(where.relative_to(root))
            stats = where.lstat()
            owner = (stats.st_uid, stats.st_gid)
            if where.is_symlink():
                found[path] = ("symlink", os.readlink(where), stats.st_mtime_ns, owner)
            elif where.is_dir():
                found[path] = ("directory", stats.st_mode, owner)
            else:
                found[path] = ("file", stats.st_mode, stats.st_mtime_ns, owner, stats.st_ino)
    for path in sorted(found, key=os.fsencode):
        if found[path][0] == "file":
            *facts, inode = found[path]
            assert isinstance(inode, int)
            same_as = first.setdefault(inode, path)
            found[path] = (*facts, (root / path).read_bytes(), same_as)
    return found


class Bench:
    """One application in one store, under `base`."""

    def __init__(self, base: Path, **patterns: tuple[str, ...]) -> None:
        self.base = base
        self.root = base / "root"
        self.path = base / "store"
        self.app = App(uuid=APP, key="crm", root=str(self.root), patterns=Patterns(**patterns))
        if self.path.exists():
            self.store = open_store(self.path, FixedClock(), SILENT)
        else:
            self.store = make_store(self.path, FixedClock())
            self.root.mkdir(exist_ok=True)
        self.recorder = Recorder(self.store, self.app)
        self.live = AppHandle(AppContext(self.store, self.app))

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, nodes: Nodes) -> Picture:
        """The root is these nodes and nothing else."""
        clear(self.root)
        build(self.root, nodes)
        return picture(self.root)

    def record(
        self, intent: Intent = CHANGE, *, only: Collection[str] | None = None
    ) -> VersionRecord:
        with self.store.lock_app(APP), open_root(self.app) as root:
            return self.recorder.snapshot(root, intent, only=only).version

    def recorded(self, nodes: Nodes, intent: Intent = CHANGE) -> Picture:
        """The root is these nodes, and they are a version."""
        found = self.put(nodes)
        self.record(intent)
        return found

    def settle(self, path: str) -> None:
        """Until the file system's clock has moved on, so that a look at the path can be trusted."""
        ctime = (self.root / path).lstat().st_ctime_ns
        with open_root(self.app) as root:
            while probe_clock(root.fd).settled_ns() <= ctime:
                pass

    def is_clean(self) -> bool:
        with open_root(self.app) as root:
            return self.recorder.status(root).changes.is_empty

    def picture(self) -> Picture:
        return picture(self.root)

    def newest(self) -> int:
        return self.live.versions()[-1].version

    def leftovers(self) -> list[str]:
        """What a checkout may never leave behind."""
        staged = [name for name in os.listdir(self.root) if name.startswith(STAGE_PREFIX)]
        return [*staged, *os.listdir(self.store.journals)]


def copy_bench(base: Path, target: Path) -> None:
    """Everything, hard links and times included."""
    subprocess.run(["cp", "-a", str(base), str(target)], check=True)
