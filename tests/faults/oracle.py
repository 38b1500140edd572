"""What must hold when the power is back: everything promised is there, and nothing is half done.

Runs in a process of its own, after the mount; its verdict is what it could not find right.
"""

import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from epmstore import fsio
from epmstore.catalog.state import VersionInfo
from epmstore.workspace import AppHandle, Workspace
from tests.faults.disk import Machine
from tests.faults.workload import KEY, leftovers
from tests.kit.program import Picture, differences, picture

NEWEST = 2
OTHERS = 1
"""Versions that are exported each time; the rest takes its turn."""


@dataclass
class Ledger:
    """What was promised, and what one task may have done beside it."""

    versions: dict[int, Picture] = field(default_factory=dict)
    patterns: set[str] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)
    may_be_forgotten: set[int] = field(default_factory=set)
    purged: set[int] = field(default_factory=set)
    """Versions of which a content was, or may be, destroyed."""
    copied: set[int] | None = None
    """What a copy of the store is known to have; null if there need be none."""
    is_imported: bool = False
    """Whether the vendor's catalog is."""
    roots: list[Picture] | None = None
    """What the root may be; null if a command was changing it."""
    kind: str = ""
    old: Picture = field(default_factory=dict)
    new: Picture | None = None
    """What a checkout goes to."""


@dataclass
class Verdict:
    problems: list[str] = field(default_factory=list)
    root: Picture = field(default_factory=dict)
    learned: dict[int, Picture] = field(default_factory=dict)
    """Versions that nobody was told of."""
    is_forward: bool = False
    """Whether the interrupted checkout is in the history."""
    forgotten: set[int] = field(default_factory=set)
    added: int | None = None
    """The version that was recorded last, to see that this still works."""
    recovered: int = 0


class Oracle:
    def __init__(
        self, machine: Machine, ledger: Ledger, rng: random.Random, *, everything: bool
    ) -> None:
        self._store = machine.store
        self._copy = machine.copy
        self._outside = machine.outside
        self._ledger = ledger
        self._rng = rng
        self._everything = everything
        self.verdict = Verdict()

    def judge(self, root: Path) -> Verdict:
        verdict, ledger = self.verdict, self._ledger
        with Workspace.open(self._store) as workspace:
            handle = workspace.app(KEY)
            verdict.recovered = len(workspace.recovered)
            verdict.root = picture(root)
            self._judge_root(handle)
            missing = ledger.patterns - set(handle.app.patterns.ignore)
            self._expect(not missing, f"lost patterns {missing}")
            self._judge_versions(handle)
            if ledger.is_imported:
                released = handle.releases.latest()
                self._expect(released is not None, "lost an acknowledged catalog")
            if ledger.kind == "purge" and handle.reading.state().purged:
                workspace.care.gc()
            report = workspace.care.fsck(1.0)
            self._expect(report.clean, f"fsck: {report.findings}")
            result = handle.snapshot("after")
            verdict.added = result.version
            assert result.version is not None
            self._compare(handle, result.version, verdict.root, "a further snapshot")
            self._expect(handle.status().clean, "not clean after a snapshot")
        self._judge_second_opening()
        if self._everything or ledger.kind == "copy":
            self._judge_copy()
        return verdict

    def _expect(self, holds: bool, text: str) -> None:
        if not holds:
            self.verdict.problems.append(text)

    def _judge_root(self, handle: AppHandle) -> None:
        found = leftovers(handle)
        self._expect(not found, f"left over: {found}")
        journals = [n for n in os.listdir(self._store / "journals") if n.endswith(".journal")]
        self._expect(not journals, f"left over: {journals}")
        roots, root = self._ledger.roots, self.verdict.root
        if roots is not None:
            wrong = [differences(root, one)[:5] for one in roots]
            self._expect(root in roots, f"the root is neither old nor new: {wrong}")

    def _judge_versions(self, handle: AppHandle) -> None:
        ledger, infos = self._ledger, handle.versions() if self._ledger.versions else []
        numbers = [info.version for info in infos]
        self._expect(numbers == list(range(len(numbers))), f"versions {numbers}")
        lost = ledger.versions.keys() - set(numbers)
        self._expect(not lost, f"lost acknowledged versions {sorted(lost)}")
        known = [info for info in infos if info.version in ledger.versions]
        for info in self._chosen(known):
            self._compare(handle, info.version, ledger.versions[info.version], "acknowledged")
        for info in known:
            may = info.version in ledger.forgotten | ledger.may_be_forgotten
            self._expect(may or info.restorable, f"version {info.version} cannot be restored")
            if not info.restorable:
                self.verdict.forgotten.add(info.version)
        for info in infos:
            if info.version not in ledger.versions:
                self._judge_unknown(handle, info)
        if ledger.roots == [ledger.old, ledger.new] and ledger.new != ledger.old:
            is_new = self.verdict.root == ledger.new
            self._expect(is_new == self.verdict.is_forward, "the history says something else")

    def _judge_unknown(self, handle: AppHandle, info: VersionInfo) -> None:
        """A version that was recorded, but the power was gone before anybody was told."""
        reason, ledger = info.record.reason, self._ledger
        expected: Picture | None = None if reason == "run" else ledger.old
        if reason in ("checkout", "undo"):
            self.verdict.is_forward = True
            expected = ledger.new
        found = self._export(handle, info.version)
        self.verdict.learned[info.version] = found
        if expected is not None:
            wrong = differences(found, expected)[:5]
            self._expect(not wrong, f"version {info.version} ({reason}) is wrong in {wrong}")

    def _chosen(self, known: list[VersionInfo]) -> list[VersionInfo]:
        whole = [i for i in known if i.restorable and i.version not in self._ledger.purged]
        if self._everything:
            return whole
        others = whole[:-NEWEST]
        return [*whole[-NEWEST:], *self._rng.sample(others, min(OTHERS, len(others)))]

    def _compare(self, handle: AppHandle, version: int, expected: Picture, what: str) -> None:
        wrong = differences(self._export(handle, version), expected)[:5]
        self._expect(not wrong, f"version {version} ({what}) is wrong in {wrong}")

    def _export(self, handle: AppHandle, version: int) -> Picture:
        """What a version is. Each content is compared with both digests on the way."""
        target = self._outside / "exported"
        handle.export(str(version), target)
        found = picture(target)
        shutil.rmtree(target)
        return found

    def _judge_copy(self) -> None:
        """An older copy stays one at any moment."""
        if not (self._copy / "FORMAT").exists():
            self._expect(self._ledger.copied is None, "lost an acknowledged copy of the store")
            return
        with Workspace.open(self._copy) as workspace:
            report = workspace.care.fsck(1.0)
            self._expect(report.clean, f"fsck of the copy: {report.findings}")
            known = {info.version for info in workspace.app(KEY).versions()}
        lost = (self._ledger.copied or set()) - known
        self._expect(not lost, f"the copy lost versions {sorted(lost)}")

    def _judge_second_opening(self) -> None:
        calls: list[str] = []
        fsio.install_fault(lambda call, arguments: calls.append(call))
        with Workspace.open(self._store) as workspace:
            self._expect(not workspace.recovered, "recovered twice")
        fsio.install_fault(None)
        self._expect(not calls, f"opening once more did {calls}")
