"""Any order of recording, forgetting, collecting and rebuilding, against plain copies."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from epmstore.errors import ConflictError, NotRestorableError
from epmstore.workspace import Workspace
from tests.kit.worn import DAY, WornHost

NAMES = st.sampled_from([f"bin/f{n}" for n in range(6)])
PICK = st.integers(0, 1000)


class StoreCare(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="care-"))
        self.host = WornHost(self.place, files=6)
        self.forgotten: set[int] = set()
        self.collected: set[int] = set()
        self.pinned: set[int] = set()
        self.tags: dict[str, int] = {}
        self.host.snapshot()

    def teardown(self) -> None:
        shutil.rmtree(self.place)

    @property
    def versions(self) -> list[int]:
        return sorted(self.host.kept)

    def pick(self, number: int) -> int:
        return self.versions[number % len(self.versions)]

    @rule(name=NAMES)
    def edit(self, name: str) -> None:
        self.host.edit(name) if (self.host.root / name).exists() else self.replace(name, 9000)

    @rule(name=NAMES, size=st.sampled_from([0, 1, 600, 9000]))
    def replace(self, name: str, size: int) -> None:
        self.host.write(name, self.host.random.randbytes(size))

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        (self.host.root / name).unlink(missing_ok=True)

    @rule(number=PICK, name=NAMES)
    def restore_by_hand(self, number: int, name: str) -> None:
        """An old content comes back, perhaps one that was collected."""
        content = self.host.kept[self.pick(number)].get(name)
        if content is not None:
            self.host.write(name, content)

    @rule()
    def snapshot(self) -> None:
        version = self.host.snapshot()
        assert version == self.versions[-1]

    @rule(number=PICK)
    def forget(self, number: int) -> None:
        version = self.pick(number)
        self.host.clock.advance(DAY)
        kept = version == self.newest_kept() or version in {*self.pinned, *self.tags.values()}
        with self.host.open() as ws:
            try:
                found = ws.care.forget("crm", [version])
            except ConflictError:
                assert kept and version not in self.forgotten
                return
        assert not kept or version in self.forgotten
        assert set(found.versions) == {version} - self.forgotten
        self.forgotten.add(version)

    def newest_kept(self) -> int:
        return max(set(self.versions) - self.forgotten)

    @rule()
    def forget_by_policy(self) -> None:
        self.host.clock.advance(400 * DAY)
        with self.host.open() as ws:
            found = ws.care.forget("crm")
        assert not {self.newest_kept(), *self.pinned, *self.tags.values()} & set(found.versions)
        self.forgotten.update(found.versions)

    @precondition(lambda self: self.forgotten)
    @rule(number=PICK)
    def unforget(self, number: int) -> None:
        version = sorted(self.forgotten)[number % len(self.forgotten)]
        with self.host.open() as ws:
            try:
                assert ws.care.unforget("crm", [version]) == (version,)
            except NotRestorableError:
                assert version in self.collected, "nothing has been collected since"
                return
        self.forgotten.discard(version)

    @rule()
    def collect(self) -> None:
        with self.host.open() as ws:
            before = ws.care.stats().stored_bytes
            result = ws.care.gc()
            less = before - ws.care.stats().stored_bytes
            assert max(0, less) == result.freed  # a log that is sealed may grow by its table
        self.collected |= self.forgotten

    @rule()
    def end_log(self) -> None:
        """As if the log were full."""
        with self.host.open() as ws, ws._store.lock_write():
            ws._store.packlog.begin_next()

    @rule()
    def rebuild(self) -> None:
        assert Workspace.rebuild(self.host.path) == []

    @rule(number=PICK)
    def pin(self, number: int) -> None:
        version = self.pick(number)
        with self.host.open() as ws:
            ws.app("crm").pin(str(version))
        self.pinned.add(version)

    @precondition(lambda self: self.pinned)
    @rule()
    def unpin(self) -> None:
        version = self.pinned.pop()
        with self.host.open() as ws:
            ws.app("crm").unpin(str(version))

    @rule(number=PICK, name=st.sampled_from(["good", "better"]))
    def tag(self, number: int, name: str) -> None:
        version = self.pick(number)
        with self.host.open() as ws:
            ws.app("crm").tag(name, str(version))
        self.tags[name] = version

    @invariant()
    def everything_kept_is_there(self) -> None:
        self.host.check()
        with self.host.open() as ws:
            infos = {info.version: info for info in ws.app("crm").versions()}
            assert {v for v, i in infos.items() if not i.restorable} == self.forgotten
            assert {v for v, i in infos.items() if i.pinned} == self.pinned
            report = ws.care.fsck(1.0)
        assert report.findings == () and report.notes == ()


StoreCare.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestStoreCare = pytest.mark.slow(StoreCare.TestCase)
