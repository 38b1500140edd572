"""Snapshot, checkout, rollback, undo, redo, forget, gc and rebuild in any order, against plain
copies.

The model keeps a picture of the root for every version. Whatever is done, the root is the picture
that it should be, every restorable version can be brought out, and what is recorded of history
never changes.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from epmstore.errors import ConflictError, NotFoundError
from epmstore.workspace import Workspace
from tests.kit.bench import Picture, picture

FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Nothing here depends on the disk, and hundreds of syncs a second do."""

NAMES = st.sampled_from(["a", "b", "b/c", "b/d", "b/d/e", "z"])
DATA = st.sampled_from([b"", b"one", b"two" * 700, b"three" * 9000])


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.base = Path(tempfile.mkdtemp(dir=FAST))
        self.root = self.base / "root"
        self.root.mkdir()
        self.workspace = Workspace.init(self.base / "store")
        self.workspace.apps.add("crm", self.root)
        self.app = self.workspace.app("crm")
        self.pictures: list[Picture] = []
        self.forgotten: set[int] = set()
        self.clock = 0
        self.snapshot()

    def teardown(self) -> None:
        if hasattr(self, "base"):
            self.workspace.close()
            shutil.rmtree(self.base)

    # What happens to the root by other hands.

    @rule(path=NAMES, data=DATA)
    def write(self, path: str, data: bytes) -> None:
        where = self.root / path
        if where.is_dir() or any(above.is_file() for above in where.parents):
            return
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(data)
        self.clock += 1
        os.utime(where, ns=(10**18 + self.clock, 10**18 + self.clock))

    @rule(path=NAMES)
    def remove(self, path: str) -> None:
        where = self.root / path
        if where.is_dir():
            shutil.rmtree(where)
        elif where.exists():
            where.unlink()

    @rule(path=NAMES, mode=st.sampled_from([0o644, 0o755, 0o4711]))
    def change_mode(self, path: str, mode: int) -> None:
        if (self.root / path).exists():
            (self.root / path).chmod(mode)

    # What epmstore does.

    @rule()
    def snapshot(self) -> None:
        result = self.app.snapshot()
        if result.version == len(self.pictures):
            self.pictures.append(picture(self.root))
        assert self.pictures[-1] == picture(self.root)

    @rule(back=st.integers(0, 6))
    def checkout(self, back: int) -> None:
        version = max(0, len(self.pictures) - 1 - back)
        if version in self.forgotten:
            return
        before = picture(self.root)
        self.app.checkout(str(version), exact=True)
        self.catch_up(before)
        assert picture(self.root) == self.pictures[version]

    @rule()
    def rollback(self) -> None:
        before = picture(self.root)
        try:
            result = self.app.rollback()
        except NotFoundError:
            assert picture(self.root) == before
            return
        self.catch_up(before)
        assert result.of is not None
        kept = {path for path, _ in result.kept}
        there = {path: facts for path, facts in picture(self.root).items() if path not in kept}
        assert there.items() <= self.pictures[result.of].items()

    @rule()
    def undo(self) -> None:
        self.reverse("undo")

    @rule()
    def redo(self) -> None:
        self.reverse("redo")

    def reverse(self, verb: str) -> None:
        before = picture(self.root)
        try:
            result = getattr(self.app, verb)()
        except (NotFoundError, ConflictError):
            assert picture(self.root) == before
            self.catch_up(before)
            return
        self.catch_up(before)
        assert result.of is not None

    def catch_up(self, before: Picture) -> None:
        """Pictures of the versions that the last verb made: a safety version, then what is now."""
        versions = len(self.app.versions())
        if len(self.pictures) < versions and self.pictures[-1] != before:
            self.pictures.append(before)
        if len(self.pictures) < versions:
            self.pictures.append(picture(self.root))
        assert len(self.pictures) == versions

    @precondition(lambda self: len(self.pictures) > 1)
    @rule(back=st.integers(1, 6))
    def forget(self, back: int) -> None:
        version = max(0, len(self.pictures) - 1 - back)
        try:
            done = self.workspace.care.forget("crm", [version])
        except ConflictError:
            return  # the latest one, or what an undo would bring back
        self.forgotten.update(done.versions)

    @rule()
    def collect(self) -> None:
        self.workspace.care.gc()

    @rule()
    def rebuild(self) -> None:
        log = self.app.versions()
        self.workspace.close()
        assert Workspace.rebuild(self.base / "store") == []
        self.workspace = Workspace.open(self.base / "store")
        self.app = self.workspace.app("crm")
        for old, new in zip(log, self.app.versions(), strict=True):
            assert (old.kind, old.label, old.restorable) == (new.kind, new.label, new.restorable)
            assert old.record.tree == new.record.tree

    @invariant()
    def versions_are_what_they_were(self) -> None:
        if not hasattr(self, "pictures"):
            return
        restorable = {one.version for one in self.app.versions() if one.restorable}
        assert restorable == set(range(len(self.pictures))) - self.forgotten
        for version in sorted(restorable)[-3:]:
            target = self.base / "out"
            self.app.export(str(version), target)
            assert picture(target) == self.pictures[version]
            shutil.rmtree(target)


TestStore = pytest.mark.timeout(600)(StoreMachine.TestCase)
TestStore.settings = settings(
    max_examples=int(os.environ.get("EPM_TEST_MACHINES", "12")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
