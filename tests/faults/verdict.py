"""The verdict on a point: what was promised is there, nothing is half done, and work goes on.

Of the versions that were acknowledged one is written out each time, and they take turns; of the
others every entry is compared with what it was, and `fsck` reads every content of all of them.
"""

import os
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import epmstore.workspace.care  # noqa: F401 - once, and not in each process that judges
from epmstore import fsio
from epmstore.catalog.install_notes import INCOMPLETE
from epmstore.catalog.state import VersionInfo
from epmstore.digest import identify
from epmstore.errors import EpmError
from epmstore.workspace import AppHandle, Workspace
from tests.faults.scenarios import KEY, Ack, Scenario, Stage, acknowledged
from tests.kit.program import Picture, differences, picture

ENDINGS = (".journal", ".owed", ".transaction")
"""Of files in `journals` that say that something is under way."""


def judge(
    stage: Stage, scenario: Scenario, done: Ack, turn: int = 0, *, is_whole: bool = False
) -> list[str]:
    """What is wrong. `done` is what was acknowledged; what it names may be as it is, and so may
    what the recovery names: but where it `is_whole`, no call failed and nothing was lost, nothing
    can have been missed. `turn` says which version is written out.
    """
    problems = [*_judged(stage, scenario, done, turn, is_whole), *_beside(stage, done.named)]
    if is_whole and done.missed:
        problems.append(f"nothing failed, and it missed {sorted(done.missed)}")
    return problems


def unlike(found: Picture, allowed: Sequence[Picture], named: Collection[bytes]) -> list[bytes]:
    """In what a picture differs from the nearest of those that it may be, named paths apart."""
    tops = {path.split(b"/")[0] for path in named}
    wrong = [
        [
            path
            for path in differences(found, one)
            if path not in named
            and path not in tops
            and not _only_links(path, found, one, named)
            and not _has_no_folder(path, found, named)
        ]
        for one in allowed
    ]
    return min(wrong, key=len)[:5]


def _has_no_folder(path: bytes, found: Picture, named: Collection[bytes]) -> bool:
    """Whether it cannot be there, because a folder above it, that was named, is not."""
    parts = path.split(b"/")
    above = (b"/".join(parts[:n]) for n in range(1, len(parts)))
    return path not in found and any(top in named and top not in found for top in above)


def _only_links(path: bytes, one: Picture, two: Picture, named: Collection[bytes]) -> bool:
    """Whether the same file merely has a name less than it should, one that was named."""
    a, b = one.get(path, ()), two.get(path, ())
    return bool(a and b) and a[:-1] == b[:-1] and not {a[-1], b[-1]}.isdisjoint(named)


def _judged(
    stage: Stage, scenario: Scenario, done: Ack, turn: int, is_whole: bool
) -> Iterator[str]:
    with stage.open() as workspace:
        handle = workspace.app(KEY)
        for result in workspace.recovered:
            again = acknowledged(result)
            done = done._replace(named=done.named | again.named)
            if is_whole and again.missed:
                yield f"nothing failed, and the recovery missed {sorted(again.missed)}"
        if scenario.beside is not None and (ended := handle.obligations.recover()) is not None:
            named = [acknowledged(one).named for one in (ended, *ended.others)]
            done = done._replace(named=done.named.union(*named))
        if scenario.makes == "repairs":
            workspace.care.fsck(1.0, repair=True, seed=1)
        root = picture(stage.root)
        if wrong := unlike(root, stage.roots, done.named):
            yield f"the root is no state it may be in: {wrong}"
        yield from _installed(stage, handle, root, done.named)
        yield from _leftovers(stage)
        if scenario.makes == "purges" and handle.reading.state().purged:
            workspace.care.gc()
        # Before anything is written out: what lacks is sought in live files then.
        report = workspace.care.fsck(1.0, seed=1)
        if not report.clean:
            yield f"fsck: {report.findings}"
        yield from _versions(stage, scenario, handle, root, done)
        yield from _compared(stage, scenario, handle, turn)
        if scenario.beside is not None:
            yield from scenario.beside(stage, workspace, done.named)
    yield from _second_opening(stage)
    with stage.open() as workspace:
        handle = workspace.app(KEY)
        handle.snapshot("afterwards")
        if not handle.status().clean:
            yield "a snapshot left something unrecorded"


def _installed(
    stage: Stage, handle: AppHandle, root: Picture, named: Collection[bytes]
) -> Iterator[str]:
    """What is said to be installed goes with the root, but for what was named when it was done; and
    of that, there are notes.
    """
    if not stage.sets:
        return
    said = handle.installing.installed
    states = zip(stage.sets, stage.roots, strict=True)
    if said in [one for one, known in states if known == root]:
        return
    notes = [one.note for one in handle.installing.notes() if one.is_open]
    noted = {os.fsencode(note.path) for note in notes if note.path is not None}
    if any(note.what == INCOMPLETE and note.path is None for note in notes):
        noted.update(named)  # too many to have a note each
    states = zip(stage.sets, stage.roots, strict=True)
    if not any(
        one == said and not unlike(root, [known], noted & {*named}) for one, known in states
    ):
        yield f"the root does not go with what is installed: {said}"


def _leftovers(stage: Stage) -> Iterator[str]:
    roots = [root for root in (stage.root, stage.beside) if root.is_dir()]
    left = [n for root in roots for n in os.listdir(root) if n.startswith(".epm-")]
    left += [name for name in os.listdir(stage.store / "journals") if name.endswith(ENDINGS)]
    if left:
        yield f"left over: {left}"


def _versions(
    stage: Stage, scenario: Scenario, handle: AppHandle, root: Picture, done: Ack
) -> Iterator[str]:
    infos = handle.versions()
    numbers = [info.version for info in infos]
    if numbers != list(range(len(numbers))):
        yield f"versions {numbers}"
    lost = ({*stage.versions} | ({done.version} - {None})) - {*numbers}
    if lost:
        yield f"lost acknowledged versions {lost}"
    if scenario.makes == "any" and root == stage.roots[-1]:
        safe = [info for info in infos if export(stage, handle, info.version) == stage.roots[0]]
        if not safe:
            yield "what was there before the checkout is in no version"
    newest = max(stage.versions)
    for info in infos:
        if info.version > newest:
            yield from _unacknowledged(stage, handle, info, root, done.named)


def _compared(stage: Stage, scenario: Scenario, handle: AppHandle, turn: int) -> Iterator[str]:
    """Versions that were acknowledged before the task began are what they were."""
    known = [info for info in handle.versions() if info.version in stage.versions]
    for info in known:
        if not info.restorable:
            if scenario.makes != "forgets":
                yield f"version {info.version} cannot be restored"
            continue
        expected = stage.versions[info.version]
        if info == known[turn % len(known)]:
            wrong = differences(export(stage, handle, info.version), expected)
        else:
            wrong = differences(recorded(handle, info.version), as_recorded(expected))
        if wrong:
            yield f"version {info.version} is wrong in {wrong[:5]}"


def recorded(handle: AppHandle, version: int) -> Picture:
    """What the entries of a version say that has contents of its own, without reading one."""
    found: Picture = {}
    for entry in handle.ls(str(version)):
        if entry.path_class in ("state", "secret"):
            continue
        facts: tuple[object, ...] = (entry.uid, entry.gid, entry.mtime_ns)
        facts += (tuple((name, data) for name, data in entry.xattrs),)
        if entry.kind == "symlink":
            facts += (os.fsencode(entry.target or ""),)
        else:
            facts += (entry.mode,)
        path = os.fsencode(entry.path)
        if entry.kind == "file":
            facts += (entry.content, os.fsencode(entry.same_as or entry.path))
        found[path] = (entry.kind, *facts)
    return found


def as_recorded(seen: Picture) -> Picture:
    """The same of a picture."""
    facts: tuple[Any, ...]
    found: Picture = {}
    for path, facts in seen.items():
        kind, uid, gid, xattrs = facts[:4]
        rest: Any = facts[4:]
        if kind == stat.S_IFDIR:
            found[path] = ("directory", uid, gid, None, xattrs, stat.S_IMODE(rest[0]))
        elif kind == stat.S_IFLNK:
            found[path] = ("symlink", uid, gid, rest[0], xattrs, rest[1])
        elif kind == stat.S_IFREG:
            mode, mtime, data, first = rest
            described = (stat.S_IMODE(mode), identify(data), first)
            found[path] = ("file", uid, gid, mtime, xattrs, *described)
    return found


def _unacknowledged(
    stage: Stage, handle: AppHandle, info: VersionInfo, root: Picture, named: Collection[bytes]
) -> Iterator[str]:
    """A version of the task itself, whether or not anybody was told of it."""
    found = export(stage, handle, info.version)
    if wrong := unlike(found, stage.roots, named):
        yield f"version {info.version} ({info.record.reason}) is no state of the root: {wrong}"
    if info.record.reason in ("checkout", "undo") and unlike(found, [root], named):
        yield "the history says that the checkout is done, the root says that it is not"


def export(stage: Stage, handle: AppHandle, version: int) -> Picture:
    target = stage.place / "judged"
    handle.export(str(version), target)
    found = picture(target)
    shutil.rmtree(target)
    return found


def _second_opening(stage: Stage) -> Iterator[str]:
    calls: list[str] = []
    fsio.install_fault(lambda call, arguments: calls.append(call))
    with stage.open() as workspace:
        if workspace.recovered:
            yield "recovered twice"
    fsio.install_fault(None)
    if calls:
        yield f"opening once more did {calls}"


def _beside(stage: Stage, named: Collection[bytes]) -> Iterator[str]:
    """What the task made elsewhere is whole or not there."""
    exported, copy, second = (stage.place / name for name in ("exported", "copy", "second"))
    if exported.exists() and (wrong := unlike(picture(exported), [stage.versions[0]], named)):
        yield f"an export is there and not whole: {wrong}"
    if (copy / "FORMAT").exists():
        yield from _copied(stage, copy)
    if (second / "FORMAT").exists():
        Workspace.open(second).close()


def _copied(stage: Stage, copy: Path) -> Iterator[str]:
    """An older copy stays one at any moment."""
    try:
        with Workspace.open(copy) as workspace:
            report = workspace.care.fsck(1.0, seed=1)
            known = {info.version for info in workspace.app(KEY).versions()}
    except EpmError as error:
        yield f"the copy cannot be opened: {error}"
        return
    if not report.clean or not known >= {0, 1}:
        yield f"the copy is damaged: {report.findings}, {known}"
