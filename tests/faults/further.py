"""Further scenarios: large contents (sizes lowered), many files, catalogs of a vendor, and a store
that an earlier release wrote.
"""

import shutil
import subprocess

from epmstore.catalog.packaging import Package
from epmstore.digest import identify
from epmstore.workspace import Workspace
from tests.acceptance.trees import make_new, make_old
from tests.faults import sizes
from tests.faults.scenarios import (
    KEY,
    Scenario,
    Stage,
    handle,
    two_versions,
    went_back,
    with_workspace,
)
from tests.fixtures.make_store import HERE
from tests.kit.program import picture
from tests.kit.vendors import Vendor
from tests.package.makers import pack, release

MANY = 200
LARGE = 300_000
RELEASES = (
    {"bin/a": b"a0\n" * 90, "etc/c": b"c\n", "lib/old": b"old\n" * 9},
    {"bin/a": b"a1\n" * 90, "etc/c": b"c\n", "lib/new": b"new\n" * 9},
)


def many_files(stage: Stage) -> None:
    """So many that one syncfs is cheaper than a sync of each."""
    Workspace.init(stage.store).close()
    make_old(stage.root, MANY, stage.rng)
    with stage.open() as workspace:
        workspace.apps.add(KEY, stage.root)
    stage.record()
    make_new(stage.root, MANY, stage.rng)
    stage.record()
    stage.roots.append(stage.versions[0])


def large(stage: Stage) -> None:
    """A content in parts, another one, and one that differs from the first in two of its parts."""
    two_versions(stage)
    first, other = stage.rng.randbytes(LARGE), stage.rng.randbytes(LARGE // 2)
    (stage.root / "large").write_bytes(first)
    (stage.root / "d1/e1/other").write_bytes(other)
    stage.record()
    (stage.root / "large").write_bytes(changed(first))
    (stage.root / "d1/e1/other").unlink()
    stage.purged = [identify(other).digest]


def changed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:1000] + b"changed" + data[1007:middle] + b"changed" + data[middle + 7 :]


def large_drifted(stage: Stage) -> None:
    large(stage)
    stage.roots = [picture(stage.root)]


def large_recorded(stage: Stage) -> None:
    large(stage)
    stage.record()


def large_back(stage: Stage) -> None:
    large_recorded(stage)
    stage.roots.append(stage.versions[2])


def large_leaked(stage: Stage) -> None:
    large_recorded(stage)
    del stage.versions[2]


def large_dead(stage: Stage) -> None:
    large_recorded(stage)
    with stage.open() as workspace:
        workspace.care.forget(KEY, [0, 1, 2])
    for version in (0, 1, 2):
        del stage.versions[version]


def large_copied(stage: Stage) -> None:
    large(stage)
    with stage.open() as workspace:
        workspace.care.copy(stage.place / "copy")
    stage.record()


# Catalogs of a vendor.


def with_a_catalog(stage: Stage) -> None:
    """Of somebody else, as a file."""
    two_versions(stage)
    vendor = Vendor(stage.place, key=KEY)
    for number, files in enumerate(RELEASES):
        vendor.release(files, f"1.{number}")
    with vendor.open() as workspace:
        lines = b"".join(workspace.catalogs.export(KEY))
    (stage.place / "crm.refcat").write_bytes(lines)
    shutil.rmtree(vendor.path)


def _import(workspace: Workspace, stage: Stage) -> None:
    workspace.catalogs.import_(stage.place / "crm.refcat", app=KEY, allow_unsigned=True)


def with_a_package(stage: Stage) -> None:
    """Of somebody else, with contents that are here and others."""
    two_versions(stage)
    vendor = Vendor(stage.place, key=KEY)
    known = (stage.root / "d1/e1/f1").read_bytes()
    release(vendor, {"bin/crm": b"program" * 999, "known": known}, Package(version="1", build=1))
    pack(vendor, stage.place / "crm.epkg")
    shutil.rmtree(vendor.path)


def _import_package(workspace: Workspace, stage: Stage) -> None:
    workspace.catalogs.import_(stage.place / "crm.epkg", app=KEY, allow_unsigned=True)


# An earlier release.


def of_format_1(stage: Stage) -> None:
    """From another machine, with its root elsewhere, and without an index."""
    archive, name = HERE / "store-format-1.tar.xz", "store-format-1"
    unpack = ["tar", "-C", str(stage.place), "--no-same-owner", "-xJf", str(archive)]
    subprocess.run(unpack, check=True)
    (stage.place / name).rename(stage.store)
    Workspace.adopt(stage.store, new_store=False)
    with stage.open() as workspace:
        for info in handle(workspace).versions():
            if info.restorable:
                handle(workspace).export(str(info.version), stage.place / "known")
                stage.versions[info.version] = picture(stage.place / "known")
                shutil.rmtree(stage.place / "known")
        handle(workspace).export("0", stage.place / "known")
        for path in (stage.place / "known").iterdir():
            path.rename(stage.root / path.name)
        workspace.apps.move(KEY, stage.root)
    (stage.root / "slow").write_bytes(b"edited")
    stage.roots = [picture(stage.root)]
    for path in (*stage.store.glob("index.sqlite*"), *stage.store.glob("live/*")):
        path.unlink()


FURTHER: dict[str, Scenario] = {
    "checkout up": Scenario(
        went_back, with_workspace(lambda w, s: handle(w).checkout("1", exact=True)), "new"
    ),
    "import": Scenario(with_a_catalog, with_workspace(_import)),
    "import, package": Scenario(with_a_package, with_workspace(_import_package)),
    "format 1": Scenario(of_format_1, with_workspace(lambda w, s: handle(w).snapshot("acted"))),
    "snapshot, parts": Scenario(
        large_drifted, with_workspace(lambda w, s: handle(w).snapshot("acted")), setting=sizes.lower
    ),
    "checkout, parts": Scenario(
        large_back,
        with_workspace(lambda w, s: handle(w).checkout("2", exact=True)),
        "new",
        sizes.lower,
    ),
    "purge, parts": Scenario(
        large_leaked,
        with_workspace(lambda w, s: w.care.purge(s.purged)),
        "purges",
        sizes.lower,
    ),
    "gc, parts": Scenario(
        large_dead, with_workspace(lambda w, s: w.care.gc()), setting=sizes.lower
    ),
    "copy, parts": Scenario(
        large_copied,
        with_workspace(lambda w, s: w.care.copy(s.place / "copy")),
        setting=sizes.lower,
    ),
}
BIG: dict[str, Scenario] = {
    "checkout, 200 files": Scenario(
        many_files, with_workspace(lambda w, s: handle(w).checkout("0", exact=True)), "new"
    ),
}
"""Of thousands of calls; only where they are asked for."""
