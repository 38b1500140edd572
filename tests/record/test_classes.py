"""Paths of class state, secret, config and ignore, and rules that change."""

import os
from pathlib import Path

import pytest

from epmstore.errors import EpmError
from epmstore.relpath import RelPath
from epmstore.workspace import Workspace
from tests.kit.place import Place

SECRET = b"-----BEGIN PRIVATE KEY-----"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(
        tmp_path,
        ignore=("*.tmp", "/cache/"),
        state=("/data/", "*.log"),
        secret=("*.key",),
        config=("/etc/",),
    )
    for name in ("bin/crmd", "data/base/1", "app.log", "etc/crm.conf", "x.tmp", "cache/y"):
        found.write(name, name.encode())
    found.write("tls.key", SECRET)
    found.snapshot()
    return found


def set_rules(place: Place, **patterns: list[str]) -> None:
    with Workspace.open(place.path, clock=place.clock) as workspace:
        workspace.apps.set("crm", add=patterns)


def test_each_class_is_recorded_as_it_should(place: Place) -> None:
    with place.crm() as crm:
        entries = {str(entry.path): entry for entry in crm.ls("0")}
        assert {p: e.path_class for p, e in entries.items() if e.kind == "file"} == {
            "bin/crmd": "program",
            "app.log": "state",
            "etc/crm.conf": "config",
            "tls.key": "secret",
        }
        assert (entries["data"].path_class, entries["app.log"].content) == ("state", None)
        assert "data/base" not in entries, "what is in a folder of state is its own affair"
        assert entries["tls.key"].content is not None
        for name in ("app.log", "tls.key"):
            with pytest.raises(EpmError):
                b"".join(crm.cat("0", entries[name].path))
    stored = b"".join(p.read_bytes() for p in place.path.rglob("*") if p.is_file())
    assert SECRET not in stored


def test_state_may_change_and_a_secret_may_not(place: Place) -> None:
    place.write("data/base/1", b"other")
    place.write("app.log", b"longer than before")
    place.write("x.tmp", b"other")
    with place.crm() as crm:
        assert crm.status().clean
    place.write("tls.key", b"-----A N O T H E R KEY-----")
    with place.crm() as crm:
        assert crm.status().modified == ["tls.key"]
    assert place.snapshot() == 1


def test_newly_ignored_paths_leave_without_having_been_removed(place: Place) -> None:
    set_rules(place, ignore=["/bin/"])
    assert place.snapshot() == 1
    with place.crm() as crm:
        counts = crm.versions()[1].record.counts
        assert (counts.added, counts.modified, counts.removed) == (0, 0, 0)
        crm.checkout("0", exact=True)
        assert crm.status().clean
    assert "bin/crmd" not in place.names(1)
    assert (place.root / "bin/crmd").read_bytes() == b"bin/crmd"


def test_new_rules_are_followed_without_a_change_of_files(place: Place) -> None:
    set_rules(place, state=["/bin/"])
    place.snapshot()
    place.write("bin/crmd", b"is state now")
    with place.crm() as crm:
        assert crm.status().clean
        entries = {str(entry.path): entry for entry in crm.ls("latest")}
        counts = crm.versions()[-1].record.counts
    assert "bin/crmd" not in entries
    assert counts.removed == 0


def test_a_checkout_leaves_state_and_names_secrets(place: Place) -> None:
    place.write("data/base/1", b"rows")
    place.write("data/base/2", b"more rows")
    place.write("bin/crmd", b"patched")
    (place.root / "tls.key").unlink()
    place.snapshot("patch")
    with place.crm() as crm:
        result = crm.checkout("0")
    assert (place.root / "data/base/1").read_bytes() == b"rows"
    assert (place.root / "data/base/2").read_bytes() == b"more rows"
    assert (place.root / "bin/crmd").read_bytes() == b"bin/crmd"
    assert not (place.root / "tls.key").exists()
    assert any("tls.key" in one for one in result.not_restored)


def test_drift_of_state_alone_does_not_hold_a_rollback_back(place: Place) -> None:
    place.write("bin/crmd", b"a bad patch")
    place.snapshot("patch")
    place.write("new.log", b"a log that is new")
    (place.root / "app.log").unlink()
    with place.crm() as crm:
        assert not crm.status().clean
        assert (crm.rollback().of, (place.root / "bin/crmd").read_bytes()) == (0, b"bin/crmd")
        place.write("bin/crmd", b"drift")
        newest = crm.versions()[-1].version
        assert crm.rollback().changed
        assert (place.root / "bin/crmd").read_bytes() == b"bin/crmd"
        assert crm.versions()[-1].version == newest + 2
    assert (place.root / "new.log").read_bytes() == b"a log that is new"
    assert not (place.root / "app.log").exists()


@pytest.mark.parametrize("is_touched", [False, True])
def test_former_secrets_are_stored(place: Place, is_touched: bool) -> None:
    """Its digest was known all the time; its content was not."""
    with Workspace.open(place.path, clock=place.clock) as workspace:
        workspace.apps.set("crm", remove={"secret": ["*.key"]})
    if is_touched:
        os.utime(place.root / "tls.key")
    assert place.snapshot() == 1
    place.write("tls.key", b"other")
    with place.crm() as crm:
        assert b"".join(crm.cat("1", RelPath("tls.key"))) == SECRET
        [change] = crm.diff("0", "1")
        assert (change.path, change.fields) == (
            "tls.key",
            ("mtime",) if is_touched else ("content",),
        )
        crm.checkout("1")
    assert (place.root / "tls.key").read_bytes() == SECRET
