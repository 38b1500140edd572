"""`release:N` wherever a version is meant."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from epmstore.catalog.classes import Patterns
from epmstore.catalog.model import Requirement
from epmstore.checkout.goal import ReleaseGoal
from epmstore.digest import identify
from epmstore.errors import (
    BlobNotFoundError,
    DamagedError,
    NeedsError,
    NotFoundError,
    NotRestorableError,
    PathNotFoundError,
    UsageError,
    VersionNotFoundError,
)
from epmstore.refcat.append import ReleaseDraft, publish
from epmstore.relpath import RelPath
from epmstore.store.deposit import Deposit
from epmstore.tree import Entry
from epmstore.workspace import AppHandle, Workspace
from epmstore.workspace.app.asked import RepairOptions
from epmstore.workspace.vendors import Source
from tests.kit.vendors import CRM, SERVER, Vendor, file

R0 = {"bin/a": b"a0\n", "etc/c": b"c\n"}
R1 = {"bin/a": b"a1\n", "etc/c": b"c\n", "lib/new": b"new\n"}


class Host:
    """The vendor's store is the host's, too: `crm` is at release 0."""

    def __init__(self, place: Path) -> None:
        self.vendor = Vendor(place)
        self.vendor.release(R0, "1.0")
        self.vendor.release(R1, "1.1")
        self.root = place / "root"
        self.write(R0)
        with self.open() as ws:
            ws.apps.add("crm", self.root, config=["etc/"])
            ws.app("crm").snapshot()

    def open(self) -> Workspace:
        return self.vendor.open()

    def write(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(data)

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    os.umask(0o022)
    return Host(tmp_path)


def paths(entries: list[Entry]) -> list[str]:
    return [entry.path for entry in entries]


def app(ws: Workspace) -> AppHandle:
    return ws.app("crm")


def test_to_list_and_to_read(host: Host) -> None:
    with host.open() as ws:
        assert paths(app(ws).ls("release:1")) == ["bin/a", "etc/c", "lib/new"]
        assert paths(app(ws).ls("release:latest~1", RelPath("bin"))) == ["bin/a"]
        assert b"".join(app(ws).cat("release:0", RelPath("bin/a"))) == b"a0\n"
        with pytest.raises(PathNotFoundError, match=r"not in release 1.0 \(0\)"):
            app(ws).ls("release:0", RelPath("lib"))
        with pytest.raises(VersionNotFoundError, match="no release 7"):
            app(ws).ls("release:7")
        with pytest.raises(UsageError, match="no content is released"):
            app(ws).cat("release:0", RelPath("bin"))


def test_to_compare(host: Host) -> None:
    def found(ws: Workspace, one: str, two: str) -> list[tuple[str, str]]:
        return [(change.path, change.change) for change in app(ws).diff(one, two)]

    with host.open() as ws:
        assert found(ws, "release:0", "release:1") == [("bin/a", "modified"), ("lib/new", "added")]
        folders = [("bin", "added"), ("etc", "added")]
        assert found(ws, "release:0", "0") == folders
        assert found(ws, "release:0", "now") == folders
        host.write({"bin/a": b"edited"})
        (host.root / "etc/c").unlink()
        assert found(ws, "now", "release:0") == [
            ("bin", "removed"),
            ("bin/a", "modified"),
            ("etc", "removed"),
            ("etc/c", "added"),
        ]
        [change] = app(ws).diff("now", "release:0", [RelPath("bin/a")])
        assert change.fields == ("content",), "owners and times are the host's"


def test_to_plan_and_to_go_there_and_back(host: Host) -> None:
    with host.open() as ws:
        plan = app(ws).plan("release:1")
        assert plan.request.goal == ReleaseGoal(1) and plan.plan.counts.added == 2
        assert host.files() == R0
        result = app(ws).checkout("release:1")
        assert result.changed and host.files() == R1
        assert app(ws).apply(app(ws).plan("release:0")).changed and host.files() == R0
        app(ws).undo()
        assert host.files() == R1


def test_edited_configuration_is_kept(host: Host) -> None:
    host.write({"etc/c": b"mine"})
    with host.open() as ws:
        assert [path for path, _ in app(ws).checkout("release:1").kept] == ["etc/c"]
    assert host.files() == {**R1, "etc/c": b"mine"}


def test_to_write_out_elsewhere(host: Host, tmp_path: Path) -> None:
    with host.open() as ws:
        found = app(ws).export("release:1", tmp_path / "out")
    assert found.files == 3 and not found.refused
    assert (tmp_path / "out/lib/new").read_bytes() == b"new\n"
    assert (tmp_path / "out/bin/a").stat().st_uid == os.geteuid()


HOSTILE = [
    Entry(path=RelPath("away"), kind="symlink", mode=0o777, target="/etc/passwd"),
    Entry(path=RelPath("deep/up"), kind="symlink", mode=0o777, target="../../x"),
    Entry(path=RelPath("fine"), kind="symlink", mode=0o777, target="deep/../suid"),
    file("suid", b"suid", 0o6777),
    # a name that is a link may be any folder of the root: what is above it, nobody can say
    Entry(path=RelPath("self"), kind="symlink", mode=0o777, target="."),
    Entry(path=RelPath("over"), kind="symlink", mode=0o777, target="self/../elsewhere"),
    Entry(path=RelPath("deep/over"), kind="symlink", mode=0o777, target="../self/deep/../../x"),
    Entry(path=RelPath("through"), kind="symlink", mode=0o777, target="self/suid"),
]
OUTSIDE = {"away", "deep/up", "over", "deep/over"}


def release(host: Host, tree: list[Entry], *, requires: tuple[Requirement, ...] = ()) -> None:
    """One more release, as an honest vendor would not publish it."""
    with host.open() as ws, Deposit(ws._store) as deposit:
        deposit.add(identify(b"suid"), b"suid")
        publish(deposit, host.vendor.about, tree, ReleaseDraft(requires=requires))


def test_release_checkout_writes_no_owners_or_privileges(host: Host, tmp_path: Path) -> None:
    release(host, [file("bin/a", b"a0\n"), *HOSTILE])
    with host.open() as ws:
        found = app(ws).export("release:2", tmp_path / "out")
        assert {path for path, _ in found.kept} == OUTSIDE
        result = app(ws).checkout("release:2")
        assert {path for path, why in result.kept if "leads out" in why} == OUTSIDE
    for top in (tmp_path / "out", host.root):
        assert (top / "suid").stat().st_mode & 0o7777 == 0o755
        assert (top / "fine").is_symlink() and (top / "through").is_symlink()
        assert not any((top / path).is_symlink() for path in OUTSIDE)


def test_contents_that_are_not_here_are_counted(host: Host, tmp_path: Path) -> None:
    host.vendor.release({"bin/a": b"far away", "bin/b": b"far"}, stored=False)
    with host.open() as ws:
        with pytest.raises(NotRestorableError, match="2 contents of release 2 are not stored"):
            app(ws).export("release:2", tmp_path / "out")
        with pytest.raises(BlobNotFoundError, match="not stored here"):
            app(ws).cat("release:2", RelPath("bin/a"))
        with pytest.raises(NotRestorableError):
            app(ws).checkout("release:2")
    assert host.files() == R0 and not (tmp_path / "out").exists()


def test_needs_are_looked_at_before_anything_changes(host: Host, tmp_path: Path) -> None:
    pdb = identify(b"c\n").digest.hex()
    needs = (
        Requirement(app=SERVER, key="server", min=1),
        Requirement(digest="0" * 40, of=pdb, optional=True),
    )
    release(host, [file("bin/a", b"suid"), file("etc/c", b"c\n")], requires=needs)
    with host.open() as ws:
        assert [one.why for one in app(ws).repairing.unmet(2)] == [
            "server is not installed",
            f"the component {'0' * 40} is not there",
        ]
        for act in (app(ws).plan, app(ws).checkout):
            with pytest.raises(NeedsError, match="server is not installed"):
                act("release:2")
    assert host.files() == R0
    (tmp_path / "server").mkdir()
    (tmp_path / "server/f").write_bytes(b"s0")
    other = Vendor(tmp_path, app=SERVER, key="server")
    other.release({"f": b"s0"})
    other.release({"f": b"s1"})
    with host.open() as ws:
        ws.apps.add("server", tmp_path / "server")
        ws.app("server").snapshot()
        with pytest.raises(NeedsError, match="server is at release 0, 1 or newer is needed"):
            app(ws).checkout("release:2")
        (tmp_path / "server/f").write_bytes(b"s1")
        ws.app("server").snapshot()
        assert app(ws).checkout("release:2").changed


def test_without_a_catalog_there_is_no_release(host: Host, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with host.open() as ws:
        ws.apps.add("other", tmp_path / "other")
        ws.app("other").snapshot()
        with pytest.raises(NotFoundError, match="no reference catalog"):
            ws.app("other").ls("release:0")
        assert ws.apps.get("crm").uuid != CRM


def test_a_catalog_that_is_begun_where_its_application_is_registered_is_its_own(
    tmp_path: Path,
) -> None:
    root = tmp_path / "erp"
    root.mkdir()
    (root / "f").write_bytes(b"one")
    with Workspace.init(tmp_path / "vendor") as ws:
        uuid = ws.apps.add("erp", root).app.uuid
        ws.app("erp").snapshot()
        assert ws.vendors.init("erp").app == uuid
        ws.vendors.add("erp", Source(paths=(root,)), label="1.0")
        assert [entry.path for entry in ws.app("erp").ls("release:0")] == ["f"]


def test_a_repair_does_without_what_is_never_stored(tmp_path: Path) -> None:
    build, root = tmp_path / "build", tmp_path / "root"
    build.mkdir()
    for name in ("program", "host.key", "leaked"):
        (build / name).write_bytes(name.encode() * 100)
    with Workspace.init(tmp_path / "vendor") as ws:
        ws.vendors.init("crm", patterns=Patterns(secret=("*.key",)))
        ws.vendors.add("crm", Source(paths=(build,)))
    leaked, key = (identify((build / name).read_bytes()) for name in ("leaked", "host.key"))
    root.mkdir()
    (root / "leaked").write_bytes(b"leaked" * 100)
    with Workspace.init(tmp_path / "host") as ws:
        ws.apps.add("crm", root, secret=["*.key"])
        ws.app("crm").snapshot()
        ws.care.purge([leaked.digest])
        ws.catalogs.clone(tmp_path / "vendor", "crm", contents=("all",))
        assert ws._store.blobs.missing([leaked, key]) == [leaked, key]
        (root / "leaked").unlink()
        (root / "program").write_bytes(b"damaged")
        done = ws.app("crm").repair(RepairOptions(sources=(build,)))
        assert (root / "program").read_bytes() == b"program" * 100
        assert {text.partition(":")[0] for text in done.not_restored} == {"host.key", "leaked"}
        assert ws._store.blobs.missing([leaked, key]) == [leaked, key]


def test_damaged_refcat_does_not_hinder_rollback(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.write({"bin/a": b"edited\n"})
    with host.open() as ws:
        app(ws).snapshot()
    with closing(sqlite3.connect(host.vendor.path / "index.sqlite")) as db:
        db.execute(
            "UPDATE records SET form = CAST(replace(form, 'about', 'aboot') AS BLOB)"
            " WHERE type = 'about'"
        )
        db.commit()
    with host.open() as ws:
        assert app(ws).plan("0").plan.counts.modified == 1
        assert app(ws).rollback().of == 0
        with pytest.raises(DamagedError):
            app(ws).checkout("release:1")
    assert host.files() == R0
