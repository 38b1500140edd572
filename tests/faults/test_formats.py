"""Stores that earlier releases wrote open, are sound, and are worked with: one of each format, as
it was written then (tests/fixtures).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from epmstore import rescue
from epmstore.errors import NoStoreError
from epmstore.store import identity
from epmstore.workspace import Workspace
from tests.fixtures.make_store import HERE, manifest

STORES = sorted(path.name.partition(".")[0] for path in HERE.glob("store-format-*.tar.xz"))


@pytest.fixture(params=STORES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(name: str, tmp_path: Path) -> Path:
    archive = HERE / f"{name}.tar.xz"
    subprocess.run(["tar", "-C", tmp_path, "--no-same-owner", "-xJf", archive], check=True)
    return tmp_path / name


def manifests(name: str) -> dict[int, dict[str, str]]:
    found = json.loads((HERE / f"{name}.json").read_text())
    return {int(version): paths for version, paths in found.items()}


def test_every_version_is_what_it_was(name: str, store: Path, tmp_path: Path) -> None:
    Workspace.adopt(store, new_store=False)
    with Workspace.open(store) as workspace:
        handle = workspace.app("crm")
        assert workspace.care.fsck(1.0, seed=1).findings == ()
        assert [v.version for v in handle.versions() if not v.restorable] == [2]
        assert (handle.trees.version("first"), handle.versions()[1].pinned) == (0, True)
        for version, paths in manifests(name).items():
            if version != 2:
                handle.export(str(version), tmp_path / f"{version}")
                assert manifest(tmp_path / f"{version}") == paths


def test_work_goes_on(name: str, store: Path, tmp_path: Path) -> None:
    Workspace.adopt(store, new_store=False)
    root = tmp_path / "root"
    with Workspace.open(store) as workspace:
        workspace.app("crm").export("0", root)
        workspace.apps.move("crm", root)
        handle = workspace.app("crm")
        (root / "slow").write_bytes(b"something else")
        last = handle.snapshot("later").version
        handle.checkout("1", exact=True)
        workspace.care.gc()
        workspace.care.rebuild()
        assert workspace.care.fsck(1.0, seed=1).findings == ()
        handle.checkout(str(last), exact=True)
        assert (root / "slow").read_bytes() == b"something else"
    assert manifest(root).keys() == manifests(name)[0].keys()


def test_it_is_rescued(name: str, store: Path, tmp_path: Path) -> None:
    for version, paths in manifests(name).items():
        target = tmp_path / f"{version}"
        command = [sys.executable, "-I", rescue.__file__]
        args = ["extract", str(store), "crm", str(version), str(target)]
        assert subprocess.run([*command, *args], capture_output=True, check=False).returncode == 0
        assert manifest(target) == paths


def test_a_format_of_the_future_is_refused(name: str, store: Path) -> None:
    found = json.loads((store / "FORMAT").read_text())
    found["format"] += 1
    (store / "FORMAT").write_text(json.dumps({**found, "sum": identity._sum(found)}))
    before = sorted(store.rglob("*"))
    with pytest.raises(NoStoreError, match="format"):
        Workspace.open(store)
    assert sorted(store.rglob("*")) == before
