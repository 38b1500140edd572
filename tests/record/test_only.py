"""A look at some folders records what a look at everything would: of whatever was done to a root,
as long as the folders are named in which it was done.
"""

import os
import random
import shutil
from pathlib import Path

import pytest

from epmstore.errors import ConflictError
from epmstore.workspace import AppHandle, Workspace

pytestmark = pytest.mark.slow
STEPS = int(os.environ.get("EPM_TEST_ONLY_STEPS", "20"))


class Hands:
    """Does things to a root and knows the folders in which it did them, as events would tell."""

    def __init__(self, root: Path, outside: Path, seed: int, *, links: bool) -> None:
        self.root = root
        self.outside = outside
        self.dirty: set[str] = set()
        self._random = random.Random(seed)
        self._count = 0
        self._links = links

    def act(self) -> None:
        names = ["write", "write", "make", "remove", "move", "swap", "mode", "mode", "out", "back"]
        getattr(self, self._random.choice([*names, "link"] if self._links else names))()

    def write(self) -> None:
        path = self._any("f") if self._random.random() < 0.5 else None
        path = path or self._folder() / self._name()
        path.write_text(str(self._random.random()))
        self._touch(path)

    def make(self) -> None:
        path = self._folder() / self._name()
        (path / "sub/deep").mkdir(parents=True)
        (path / "sub/file").write_text(path.name)
        self._touch(path, below=True)

    def remove(self) -> None:
        path = self._any("fd")
        if path is not None:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            self._touch(path)

    def move(self) -> None:
        path, target = self._any("fd"), self._folder() / self._name()
        if path is None or path in target.parents:
            return
        path.rename(target)
        self._touch(path)
        self._touch(target, below=True)

    def swap(self) -> None:
        """A folder where a file was, or a file where a folder was."""
        path = self._any("fd")
        if path is None:
            return
        if path.is_dir():
            shutil.rmtree(path)
            path.write_text("was a folder")
        else:
            path.unlink()
            (path / "inner").mkdir(parents=True)
            (path / "inner/x").write_text("was a file")
        self._touch(path, below=True)

    def mode(self) -> None:
        path = self._any("fd")
        if path is not None:
            path.chmod(self._random.choice([0o700, 0o750, 0o755]))
            self._touch(path)

    def out(self) -> None:
        path = self._any("d")
        if path is not None:
            path.rename(self.outside / self._name())
            self._touch(path)

    def back(self) -> None:
        away = sorted(self.outside.iterdir())
        if away:
            target = self._folder() / self._name()
            self._random.choice(away).rename(target)
            self._touch(target, below=True)

    def link(self) -> None:
        path, target = self._any("f"), self._folder() / self._name()
        if path is not None:
            target.hardlink_to(path)
            self._touch(target)

    def take(self) -> set[str]:
        dirty, self.dirty = self.dirty, set()
        return dirty

    def _touch(self, path: Path, *, below: bool = False) -> None:
        inside = path.relative_to(self.root)
        self.dirty.add("" if inside.parent == Path() else str(inside.parent))
        if path.is_dir():
            self.dirty.add(str(inside))
            found = [p for p in path.rglob("*") if p.is_dir()] if below else []
            self.dirty.update(str(p.relative_to(self.root)) for p in found)

    def _name(self) -> str:
        self._count += 1
        return f"n{self._count}"

    def _folder(self) -> Path:
        return self._random.choice(
            [self.root, *sorted(p for p in self.root.rglob("*") if p.is_dir())]
        )

    def _any(self, kinds: str) -> Path | None:
        found = sorted(p for p in self.root.rglob("*") if ("d" if p.is_dir() else "f") in kinds)
        return self._random.choice(found) if found else None


@pytest.mark.parametrize("links", [False, True], ids=["plain", "links"])
@pytest.mark.parametrize("seed", range(4))
def test_only_what_changed_is_everything_that_changed(
    tmp_path: Path, seed: int, links: bool
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", root)
        app = workspace.app("crm")
        hands = Hands(root, outside, seed, links=links)
        for _ in range(20):
            hands.act()
        hands.take()
        app.snapshot()
        for _ in range(STEPS):
            for _ in range(hands._random.choice([1, 1, 2, 5])):
                hands.act()
            app.recording.record_drift("event", only=hands.take())
            check(workspace, app)


def check(workspace: Workspace, app: AppHandle) -> None:
    """The newest version is the root: as the stat cache has it, and as it is."""
    looks = [app.status()]
    live = next((workspace.path / "live").glob("*.sqlite"))
    kept = live.read_bytes()
    live.unlink()
    looks.append(app.status())
    live.write_bytes(kept)
    for look in looks:
        assert (look.added, look.modified, look.removed) == ([], [], [])


def test_a_folder_that_is_gone_is_looked_for_above(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/b/c/file").write_text("x")
    (root / "other").write_text("y")
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", root)
        app = workspace.app("crm")
        app.snapshot()
        shutil.rmtree(root / "a")
        (root / "other").write_text("not looked at: nobody named the root")
        recorded = app.recording.record_drift("event", only={"a/b/c"})
        gone = recorded.look.changes.removed
        assert [entry.path for entry in gone] == ["a", "a/b", "a/b/c", "a/b/c/file"]


def test_a_change_that_is_open_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", root)
        app = workspace.app("crm")
        app.change_begin("patch")
        (root / "new").write_text("x")
        with pytest.raises(ConflictError, match="a change is open since"):
            app.recording.record_drift("event", only={""})
        assert app.change_end().version == 1
        assert not app.recording.record_drift("event", only={""}).is_new
