"""One look that did not see everything, and a steady one after it: whatever happened before either
of them is told and recorded then.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from epmstore.relpath import join
from epmstore.scan import walk
from epmstore.scan.problem import Problem
from epmstore.workspace import AppHandle
from tests.kit.place import Node, Nodes, Place

BASE: Nodes = {
    "f": b"f",
    "d": None,
    "d/x": b"x",
    "d/y": b"y",
    "d/e": None,
    "d/e/z": b"z",
    "d/e/n": None,
    "d/e/n/q": b"q",
}
Blur: TypeAlias = tuple[str, str]
"""What happens to a look, and at which folder, or entry of one; * is any world."""
BLURS: list[Blur] = [
    *(("unsteady", folder) for folder in ("", "*", "*/d", "*/d/e")),
    *((how, folder) for how in ("unreadable", "vanished") for folder in ("*", "*/d", "*/d/e")),
    *(("hidden", path) for path in ("*", "*/f", "*/d", "*/d/x", "*/d/e")),
]
ERRORS = {"unreadable": errno.EIO, "vanished": errno.ESTALE}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()


def _put(node: bytes | None, *paths: Path) -> None:
    _remove(*paths)
    for path in paths:
        if node is None:
            path.mkdir()
        else:
            path.write_bytes(node)


ACTS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda root: None,
    "remove all": lambda root: _remove(root),
    "add": lambda root: _put(None, root / "a", root / "d/a", root / "d/e/a"),
    "modify": lambda root: _put(b"2", root / "f", root / "d/x", root / "d/e/z"),
    "remove files": lambda root: _remove(root / "f", root / "d/x", root / "d/e/z"),
    "remove d": lambda root: _remove(root / "d"),
    "remove d/e": lambda root: _remove(root / "d/e"),
    "remove d/e/n": lambda root: _remove(root / "d/e/n"),
    "rename f": lambda root: (root / "f").rename(root / "f2"),
    "rename d/x": lambda root: (root / "d/x").rename(root / "d/x2"),
    "rename d": lambda root: (root / "d").rename(root / "d2"),
    "rename d/e": lambda root: (root / "d/e").rename(root / "d/e2"),
    "rename d/e/n": lambda root: (root / "d/e/n").rename(root / "d/e/n2"),
    "f is a folder": lambda root: _put(None, root / "f"),
    "d is a file": lambda root: _put(b"d", root / "d"),
    "d/e is a file": lambda root: _put(b"e", root / "d/e"),
    "d is another": lambda root: _put(None, root / "d"),
    "d/e is another": lambda root: _put(None, root / "d/e"),
}
BACK = "all as it was"
THEN = ("nothing", BACK, "remove d", "remove d/e", "remove all", "remove files")
WORLDS = {
    f"{n:02}": both for n, both in enumerate((first, then) for first in ACTS for then in THEN)
}
"""What happens before the look that is blurred, and before the steady one, in folders of the root
that are otherwise alike.
"""


@contextmanager
def blurred(how: str, places: Collection[str]) -> Iterator[None]:
    """Folders change under every listing, or cannot be listed; or entries cannot be looked at."""
    listed = walk._list

    def listing(fd: int, path: str) -> tuple[list[str], list[os.stat_result], list[Problem]]:
        if path in places and how in ERRORS:
            raise OSError(ERRORS[how], "for a test")
        names, stats, lost = listed(fd, path)
        if path in places and how == "unsteady":
            now = os.fstat(fd)
            os.utime(fd, ns=(now.st_atime_ns, now.st_mtime_ns + 1000))
        hidden = {join(path, name) for name in names} & {*places} if how == "hidden" else set()
        kept = [n for n, name in enumerate(names) if join(path, name) not in hidden]
        lost += [Problem(one, "unreadable", "for a test") for one in hidden]
        return [names[n] for n in kept], [stats[n] for n in kept], lost

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "_list", listing)
        yield


def on_disk(root: Path) -> dict[str, Node]:
    found = sorted(root.rglob("*"))
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in found
    }


def newest(crm: AppHandle) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for entry in crm.ls("latest"):
        is_file = entry.kind == "file"
        found[entry.path] = b"".join(crm.cat("latest", entry.path)) if is_file else None
    return found


def check_steady(crm: AppHandle, root: Path) -> None:
    """All that differs is told, and recorded; nothing else is."""
    before, now = newest(crm), on_disk(root)
    above = {os.path.dirname(path) for path in before} - {""}
    assert [path for path in above if before.get(path, b"") is not None] == [], "it is a tree"
    status = crm.status()
    assert _named(status.removed) == _named(before.keys() - now.keys())
    assert _named(status.added) == _named(now.keys() - before.keys())
    changed = {path for path in now.keys() & before.keys() if now[path] != before[path]}
    assert _named(changed - {*status.modified}) == []
    crm.snapshot()
    assert newest(crm) == now
    assert crm.status().clean


def _named(paths: Collection[str]) -> list[str]:
    """With what happened there."""
    return sorted(f"{path}: {' - '.join(WORLDS[path[:2]])}" for path in paths)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how, where, is_cold",
    [*((*blur, False) for blur in BLURS), *((*blur, True) for blur in BLURS if blur[1] == "*/d")],
)
def test_steady_look_finds_what_a_blurred_one_missed(
    place: Place, how: str, where: str, is_cold: bool
) -> None:
    base: dict[str, Node] = dict.fromkeys(WORLDS)
    base.update((f"{world}/{path}", node) for world in WORLDS for path, node in BASE.items())
    place.put(base)
    with place.crm() as crm:
        crm.snapshot()
        for path in place.path.glob("live/*") if is_cold else ():
            path.unlink()
        for world, (first, _) in WORLDS.items():
            ACTS[first](place.root / world)
        with blurred(how, {where.replace("*", world) for world in WORLDS}):
            assert crm.snapshot().incomplete
        again = [world for world, (_, then) in WORLDS.items() if then == BACK]
        now = {path: node for path, node in on_disk(place.root).items() if path[:2] not in again}
        place.put({**now, **{path: node for path, node in base.items() if path[:2] in again}})
        for world, (_, then) in WORLDS.items():
            ACTS.get(then, ACTS["nothing"])(place.root / world)
        check_steady(crm, place.root)


def test_a_removal_is_recorded_after_a_look_at_a_root_that_never_held_still(place: Place) -> None:
    place.write("d/x")
    place.snapshot()
    shutil.rmtree(place.root / "d")
    with place.crm() as crm:
        with blurred("unsteady", {""}):
            found = crm.snapshot()
        assert (found.version, found.unstable) == (0, (".",))
        assert crm.status().removed == ["d", "d/x"]
        assert crm.snapshot().removed == 2
        assert crm.status().clean


@pytest.mark.parametrize("how, where", [("unreadable", "d"), ("vanished", "d"), ("hidden", "d/a")])
def test_a_link_whose_first_name_is_not_seen_stays_one(place: Place, how: str, where: str) -> None:
    place.write("d/a")
    os.link(place.root / "d/a", place.root / "e")
    os.utime(place.root / "e", ns=(0, 0))
    time.sleep(0.02)  # the row of a link is believed when the file system's clock has moved on
    place.snapshot()
    place.write("f")
    with place.crm() as crm:
        with blurred(how, {where}):
            found = crm.snapshot()
        assert (found.added, found.modified, found.incomplete) == (1, 0, True)
        assert {entry.path: entry.same_as for entry in crm.ls("latest") if entry.same_as} == {
            "e": "d/a"
        }
        assert crm.status().clean
