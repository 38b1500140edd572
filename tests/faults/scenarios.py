"""What is tried at every point: tasks of a workspace, what they begin with, and what they promise.

`prepare` makes store and root once; `act` is the task, and returns what it acknowledged: the
version that it recorded, if it did.
"""

import contextlib
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from epmstore import sqlite
from epmstore.catalog.installed import InstalledSet
from epmstore.checkout.target import ExportedTree
from epmstore.digest import Digest, identify
from epmstore.record.result import Result
from epmstore.relpath import RelPath
from epmstore.store import commit
from epmstore.store.store import INDEX
from epmstore.workspace import AppHandle, Workspace
from epmstore.workspace.app.asked import RepairOptions
from epmstore.workspace.vendors import Source
from tests.acceptance.trees import make_new, make_old
from tests.kit.program import Picture, picture

KEY = "crm"
BESIDE = "lib"
"""A second application, of scenarios in which two go together."""
ROOTS = ("root", "beside")
"""Folders that stay the same ones: an application knows its root by the inode."""
FILES = 24
SECRET = random.Random(7).randbytes(2000).hex().encode()


@dataclass
class Stage:
    """A store and a root below `place`, and what is known of them before the task begins."""

    place: Path
    rng: random.Random
    versions: dict[int, Picture] = field(default_factory=dict)
    roots: list[Picture] = field(default_factory=list)
    """What the root may be afterwards."""
    purged: list[Digest] = field(default_factory=list)
    sets: list[InstalledSet] = field(default_factory=list)
    """What is installed, where the root is one of `roots`."""
    roots_beside: list[Picture] = field(default_factory=list)
    """What the second root is, where the root is one of `roots`."""

    @property
    def store(self) -> Path:
        return self.place / "store"

    @property
    def root(self) -> Path:
        return self.place / "root"

    @property
    def beside(self) -> Path:
        """The root of the second application."""
        return self.place / "beside"

    @property
    def up(self) -> Path:
        """What runs, a file for each."""
        return self.place / "up"

    def open(self) -> Workspace:
        return Workspace.open(self.store)

    def take(self, other: "Stage") -> None:
        """What a process learned that prepared it."""
        self.versions, self.roots, self.purged = other.versions, other.roots, other.purged
        self.sets, self.roots_beside = other.sets, other.roots_beside

    def record(self) -> int:
        with self.open() as workspace:
            version = workspace.app(KEY).snapshot("prepared").version
        assert version is not None
        self.versions[version] = picture(self.root)
        self.roots = [self.versions[version]]
        return version


class Ack(NamedTuple):
    """What a task promised: a version, but for the paths that it named, of which it said of the
    `missed` ones that they could not be brought back.
    """

    version: int | None = None
    named: frozenset[bytes] = frozenset()
    missed: frozenset[bytes] = frozenset()


class Scenario(NamedTuple):
    """`makes` says what an unacknowledged version that is there all the same must be: `old` (the
    root as it was), `new` (the last of the roots), or anything. `setting` is brought about first in
    each process that has to do with the store. `beside` says what is wrong with what goes together
    with the root, but for the paths that were named.
    """

    prepare: Callable[[Stage], None]
    act: Callable[[Stage], Ack]
    makes: str = "old"
    setting: Callable[[], None] = lambda: None
    beside: Callable[[Stage, Workspace, frozenset[bytes]], list[str]] | None = None


def two_versions(stage: Stage) -> None:
    """As delivered, and upgraded: every kind of difference."""
    Workspace.init(stage.store).close()
    make_old(stage.root, FILES, stage.rng)
    with stage.open() as workspace:
        workspace.apps.add(KEY, stage.root)
    stage.record()
    make_new(stage.root, FILES, stage.rng)
    stage.record()


def edited(stage: Stage) -> None:
    """Something changed since."""
    two_versions(stage)
    (stage.root / "d1/e1/f1").write_bytes(b"by hand")
    (stage.root / "fresh").mkdir()
    (stage.root / "fresh/file").write_bytes(b"fresh" * 100)
    stage.roots = [picture(stage.root)]


def in_packs(prepare: Callable[[Stage], None]) -> Callable[[Stage], None]:
    def prepared(stage: Stage) -> None:
        commit.LOG_LIMIT = 0
        prepare(stage)

    return prepared


def with_a_thread() -> None:
    """As versions of thousands of changes are recorded."""
    commit.MANY = 0


def going_back(stage: Stage) -> None:
    two_versions(stage)
    stage.roots.append(stage.versions[0])


def drifted_and_back(stage: Stage) -> None:
    edited(stage)
    stage.roots.append(stage.versions[0])


def went_back(stage: Stage) -> None:
    """A checkout that can be undone."""
    two_versions(stage)
    before = picture(stage.root)
    with stage.open() as workspace:
        version = workspace.app(KEY).checkout("0", exact=True).version
    assert version is not None
    stage.versions[version] = picture(stage.root)
    stage.roots = [stage.versions[version], before]


def deviating(stage: Stage) -> None:
    """A release that was repaired once, and deviates again as it did then."""
    two_versions(stage)
    with stage.open() as workspace:
        app = workspace.apps.get(KEY).uuid
        workspace.vendors.init(KEY)
        for version in (0, 1):
            workspace.vendors.add(KEY, Source(app=app, version=version))
    _deviate(stage.root)
    with stage.open() as workspace:
        repaired = _repair(workspace, stage).version
    assert repaired is not None
    stage.versions[repaired] = right = picture(stage.root)
    _deviate(stage.root)
    stage.roots = [picture(stage.root), right]


def _deviate(root: Path) -> None:
    (root / "d1/e1/f1").write_bytes(b"by hand")
    (root / "d0/e0/f0").chmod(0o600)
    (root / "x0/first").unlink()
    (root / "x0/link-moves").unlink()
    (root / "fresh").mkdir()
    (root / "fresh/file").write_bytes(b"fresh" * 100)


def _repair(workspace: Workspace, stage: Stage) -> Result:
    return handle(workspace).repair(RepairOptions(release=1, exact=True))


def to_be_edited(stage: Stage) -> None:
    """What was edited once, and that undone."""
    two_versions(stage)
    with stage.open() as workspace:
        there = _edit(workspace, stage).version
        edited = picture(stage.root)
        back = handle(workspace).undo().version
    assert there is not None and back is not None
    stage.versions |= {there: edited, back: picture(stage.root)}
    stage.roots = [stage.versions[back], edited]


def _edit(workspace: Workspace, stage: Stage) -> Result:
    """One file anew, one with another mode, one in a folder that was not there, one that goes."""
    crm, loose = handle(workspace), stage.place / "loose"
    loose.write_bytes(b"as it is to be" * 300)
    info = workspace.blobs.put(loose)
    tree = {str(entry.path): entry for entry in crm.ls("latest")}
    one, two = tree["d1/e1/f1"], tree["d0/e0/f0"]
    folder = replace(tree["d1"], path=RelPath("settings"), mode=0o750)
    new = replace(one, path=RelPath("settings/crm"), content=info, mode=0o600)
    entries = [replace(one, content=info), replace(two, mode=0o600), folder, new]
    return crm.edit(entries, remove=["x0/first"], label="edited")


def with_dead_contents(stage: Stage) -> None:
    two_versions(stage)
    for number in range(3):
        for name in stage.rng.sample(range(FILES), 8):
            path = stage.root / f"d{name % 9}/e{name % 4}/f{name}"
            if path.exists():
                path.write_bytes(stage.rng.randbytes(3000) + b"%d" % number)
        stage.record()
    with stage.open() as workspace:
        workspace.care.forget(KEY, [0, 1, 2])
    for version in (0, 1, 2):
        del stage.versions[version]


def leaked(stage: Stage) -> None:
    two_versions(stage)
    (stage.root / "key").write_bytes(SECRET)
    stage.record()
    (stage.root / "key").write_bytes(SECRET + b"edited")
    stage.record()
    (stage.root / "key").unlink()
    version = stage.record()
    stage.purged = [identify(SECRET).digest]
    stage.versions = {v: p for v, p in stage.versions.items() if v != version - 2}


def with_a_bad_frame(stage: Stage) -> None:
    """Damage that live files can mend."""
    going_back(stage)
    stage.roots = stage.roots[:1]
    (log,) = (stage.store / "packs/log").iterdir()
    data = bytearray(log.read_bytes())
    data[-len(data) // 8] ^= 1
    log.write_bytes(data)
    stage.versions.pop(0)


def with_a_copy(stage: Stage) -> None:
    two_versions(stage)
    with stage.open() as workspace:
        workspace.care.copy(stage.place / "copy")
    (stage.root / "more").write_bytes(b"more" * 50)
    stage.record()


def handle(workspace: Workspace) -> AppHandle:
    return workspace.app(KEY)


def with_workspace(work: Callable[[Workspace, Stage], object]) -> Callable[[Stage], Ack]:
    def act(stage: Stage) -> Ack:
        with stage.open() as workspace:
            return acknowledged(work(workspace, stage))

    return act


def acknowledged(found: object) -> Ack:
    """What a verb returned, as a promise."""
    if isinstance(found, Result):
        kept = [path for path, _ in found.kept]
        missed = [text.rsplit(": ", 1)[0] for text in found.not_restored]
        named = frozenset(map(os.fsencode, [*kept, *missed]))
        return Ack(found.version, named, frozenset(map(os.fsencode, missed)))
    if isinstance(found, ExportedTree):
        return Ack(None, frozenset(os.fsencode(one.path) for one in found.refused))
    return Ack()


def _run(workspace: Workspace, stage: Stage) -> Result:
    return handle(workspace).run(["true"], "nothing")


def _gc(workspace: Workspace, stage: Stage) -> None:
    workspace.care.gc()


def _reindex(stage: Stage) -> Ack:
    for path in stage.store.glob("index.sqlite*"):
        path.unlink()
    stage.open().close()
    return Ack()


def of_an_earlier_release(stage: Stage) -> None:
    """An index that the next command has to make anew: the one migration that there is."""
    two_versions(stage)
    with contextlib.closing(sqlite.open_writer(stage.store / INDEX)) as db:
        db.execute("PRAGMA user_version=1")


def _open(stage: Stage) -> Ack:
    with stage.open() as workspace:
        handle(workspace).versions()
    return Ack()


def _export(workspace: Workspace, stage: Stage) -> ExportedTree:
    return handle(workspace).export("0", stage.place / "exported")


def _put(workspace: Workspace, stage: Stage) -> None:
    loose = stage.place / "loose"
    loose.write_bytes(b"loose" * 500)
    info = workspace.blobs.put(loose)
    workspace.blobs.get(info.digest, stage.place / "got")
    shutil.rmtree(stage.place / "none", ignore_errors=True)


def _copy(workspace: Workspace, stage: Stage) -> None:
    workspace.care.copy(stage.place / "copy")


def _init(stage: Stage) -> Ack:
    Workspace.init(stage.place / "second").close()
    return Ack()


SCENARIOS: dict[str, Scenario] = {
    "snapshot": Scenario(edited, with_workspace(lambda w, s: handle(w).snapshot("acted"))),
    "snapshot, packs": Scenario(
        in_packs(edited), with_workspace(lambda w, s: handle(w).snapshot("acted"))
    ),
    "snapshot, thread": Scenario(
        in_packs(edited),
        with_workspace(lambda w, s: handle(w).snapshot("acted")),
        setting=with_a_thread,
    ),
    "run": Scenario(edited, with_workspace(_run)),
    "checkout": Scenario(
        going_back, with_workspace(lambda w, s: handle(w).checkout("0", exact=True)), "new"
    ),
    "checkout over drift": Scenario(
        drifted_and_back,
        with_workspace(lambda w, s: handle(w).checkout("0", exact=True)),
        "any",
    ),
    "repair to a release": Scenario(deviating, with_workspace(_repair), "any"),
    "undo": Scenario(went_back, with_workspace(lambda w, s: handle(w).undo()), "new"),
    "edit": Scenario(to_be_edited, with_workspace(_edit), "new"),
    "export": Scenario(two_versions, with_workspace(_export)),
    "forget": Scenario(
        two_versions, with_workspace(lambda w, s: w.care.forget(KEY, [0])), "forgets"
    ),
    "gc": Scenario(with_dead_contents, with_workspace(_gc)),
    "gc, packs": Scenario(in_packs(with_dead_contents), with_workspace(_gc)),
    "purge": Scenario(leaked, with_workspace(lambda w, s: w.care.purge(s.purged)), "purges"),
    "repair": Scenario(
        with_a_bad_frame,
        with_workspace(lambda w, s: w.care.fsck(1.0, repair=True, seed=1)),
        "repairs",
    ),
    "rebuild": Scenario(two_versions, with_workspace(lambda w, s: w.care.rebuild())),
    "lost index": Scenario(two_versions, _reindex),
    "old index": Scenario(of_an_earlier_release, _open),
    "patterns": Scenario(
        two_versions,
        with_workspace(lambda w, s: w.apps.set(KEY, add={"ignore": ["/none"]})),
    ),
    "tag": Scenario(two_versions, with_workspace(lambda w, s: handle(w).tag("x", "0"))),
    "blob": Scenario(two_versions, with_workspace(_put)),
    "copy": Scenario(with_a_copy, with_workspace(_copy)),
    "init": Scenario(two_versions, _init),
}
