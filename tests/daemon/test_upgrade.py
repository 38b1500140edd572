"""The package of a running daemon is replaced, or taken away."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import epmstore
import epmstored
from epmstore.cli import daemon_client
from epmstore.workspace import Workspace
from tests.kit.daemon import Daemon

PACKAGES = [Path(package.__path__[0]) for package in (epmstore, epmstored)]
NAMED = "import sys; print(m.__file__, file=sys.stderr)"
CLI = PACKAGES[0] / "cli"


def imported_late() -> Iterator[tuple[Path, str]]:
    """(file, module) of every import in a function of what the daemon is made of."""
    for path in (path for package in PACKAGES for path in package.rglob("*.py")):
        if path.is_relative_to(CLI):
            continue
        functions = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        for node in (node for function in functions for node in ast.walk(function)):
            if isinstance(node, ast.Import):
                yield from ((path, one.name) for one in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                yield path, node.module


def test_whatever_is_imported_late_is_imported_at_the_start_of_the_daemon() -> None:
    script = "import sys, epmstored.main; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    late = list(imported_late())
    assert late, "nothing is looked at"
    assert [(path, name) for path, name in late if name not in done.stdout.split()] == []


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the packages."""
    for package in PACKAGES:
        shutil.copytree(package, tmp_path / "place" / package.name)
    return tmp_path / "place"


@pytest.mark.slow
def test_a_daemon_whose_package_is_gone_records_and_does_its_jobs(
    tmp_path: Path, place: Path
) -> None:
    root, store = tmp_path / "root", tmp_path / "store"
    root.mkdir()
    with Workspace.init(store) as workspace:
        workspace.apps.add("crm", root)
    daemon = Daemon(
        store,
        starts=[sys.executable, "-P", "-c", f"import epmstored.main as m; {NAMED}; m.main()"],
        EPMSTORE_DAEMON_SETTLE="50ms",
        PYTHONPATH=os.pathsep.join([str(place), *sys.path]),
    )
    try:
        daemon.wait_for("INFO: ready")
        assert str(place) in daemon.lines[0], "another package runs than the one that goes"
        place.rename(tmp_path / "gone")
        asked = daemon_client.Daemon(store)
        for number in range(1200):  # so many that processes would help
            (root / f"file{number}").write_text(f"{number}\n")
        daemon.wait_for("crm: version 1 ")
        for kind in ("fsck", "gc"):
            job = asked.post("/v1/jobs", {"kind": kind})
            ends = [shape for name, shape in asked.events(f"/v1/jobs/{job['id']}/events")]
            assert ends[-1]["state"] == "done", ends[-1]
        assert daemon.stop() == 0
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
    assert not any("ERROR" in line for line in daemon.lines), daemon.lines
    with Workspace.open(store) as workspace:
        assert workspace.app("crm").status().clean
