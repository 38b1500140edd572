"""A deleted index, or one made anew, answers as the old one did."""

from pathlib import Path

import pytest

from epmstore.workspace import AppHandle, Workspace
from tests.kit.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """With a history of everything that a catalog can say."""
    found = Place(tmp_path, state=("/data/",))
    for number in range(12):
        found.write(f"bin/f{number}", b"%d" % number * 500)
    found.write("data/rows", b"1")
    (found.root / "link").symlink_to("bin")
    found.snapshot("delivered")
    for number in range(1, 7):
        found.write(f"bin/f{number}", b"edited %d" % number * 300)
        found.write(f"lib/n{number}", b"new %d" % number)
        (found.root / f"bin/f{number + 5}").chmod(0o700)
        found.snapshot(f"change {number}")
    with found.crm() as crm:
        crm.tag("golden", "1")
        crm.tag("moved", "1")
        crm.tag("moved", "2")
        crm.pin("3")
        crm.pin("2")
        crm.unpin("2")
        crm.checkout("1")
        crm.undo()
        crm.checkout("2", [next(e.path for e in crm.ls("2") if e.path == "bin/f1")])
    with Workspace.open(found.path, clock=found.clock) as workspace:
        workspace.care.forget("crm", [5])
        workspace.care.forget("crm", [0])
        workspace.care.unforget("crm", [0])
    return found


def everything(crm: AppHandle) -> dict[str, object]:
    """All that can be asked of a history."""
    versions = crm.versions()
    kept = [info.version for info in versions if info.restorable]
    paths = sorted({entry.path for info in versions for entry in crm.ls(str(info.version))})
    return {
        "versions": versions,
        "trees": [crm.ls(str(info.version)) for info in versions],
        "contents": [contents(crm, version) for version in kept],
        "differences": [
            crm.diff(str(one.version), str(two.version)) for one in versions for two in versions
        ],
        "histories": [crm.history(path) for path in paths],
        "tags": [crm.trees.resolve(name) for name in ("golden", "moved", "latest", "latest~2")],
        "status": crm.status(),
        "found": crm.find("*f1*"),
    }


def contents(crm: AppHandle, version: int) -> object:
    return {
        entry.path: b"".join(crm.cat(str(version), entry.path))
        for entry in crm.ls(str(version))
        if entry.content is not None
    }


@pytest.mark.parametrize("how", ["deleted", "rebuilt", "both"])
def test_nothing_is_lost_with_the_index(place: Place, how: str) -> None:
    with place.crm() as crm:
        before = everything(crm)
    if how != "rebuilt":
        place.drop_index()
    if how != "deleted":
        assert Workspace.rebuild(place.path, clock=place.clock) == []
    with place.crm() as crm:
        after = everything(crm)
        for name, value in before.items():
            assert after[name] == value, name
    with Workspace.open(place.path, clock=place.clock) as workspace:
        assert workspace.care.fsck(1.0).clean
        assert workspace.care.unforget("crm", [5]) == (5,)


def test_every_checkout_is_what_it_was(place: Place, tmp_path: Path) -> None:
    with place.crm() as crm:
        kept = [info.version for info in crm.versions() if info.restorable]
        for version in kept:
            crm.export(str(version), tmp_path / f"before{version}")
    place.drop_index()
    with place.crm() as crm:
        for version in kept:
            crm.export(str(version), tmp_path / f"after{version}")
            assert tree(tmp_path / f"before{version}") == tree(tmp_path / f"after{version}")
        newest = recorded_programs(crm, crm.versions()[-1].version)
        crm.checkout("0", exact=True)
        assert crm.status().clean
        crm.undo()
        assert recorded_programs(crm, crm.versions()[-1].version) == newest


def recorded_programs(crm: AppHandle, version: int) -> dict[str, object]:
    kept = {e.path for e in crm.ls(str(version)) if e.path_class != "state"}
    return {e.path: (e.mode, e.content, e.target) for e in crm.ls(str(version)) if e.path in kept}


def tree(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns)
        if path.is_symlink() or path.is_file()
        else path.lstat().st_mode
        for path in folder.rglob("*")
    }
