"""Every release of a real package as a catalog, and a host of it: taken apart, upgraded, cut short.

PostgreSQL 15 as the archive has it: `benchmarks/series.py` does the same with the kernel.
"""

import functools
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.series import Host, Program, Release, examine, fetch, publish
from benchmarks.trees import SOURCES, MissingTreeError
from tests.kit.daemon import running
from tests.kit.program import amount

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not amount("EPM_TEST_PACKAGES", 0), reason="EPM_TEST_PACKAGES=1 tries it"),
]


@functools.cache
def packages() -> list[Release]:
    try:
        return fetch(SOURCES["postgresql"])
    except MissingTreeError as error:
        pytest.skip(f"needs two versions of postgresql-15 from the archive: {error}")


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the catalog and everything that was ever released."""
    program = Program(tmp_path_factory.mktemp("vendor") / "store")
    publish(program, "postgresql", packages())
    return program.store


@pytest.fixture
def host(vendor: Path, tmp_path: Path) -> Host:
    return Host(tmp_path, "postgresql", packages(), vendor)


def newest(host: Host) -> dict[str, Any]:
    [version] = host.program("log", "--limit", "1")
    found: dict[str, Any] = version["explanation"]
    return found


def test_findings_repair_upgrade_and_downgrade(host: Host, vendor: Path) -> None:
    examine(host, vendor)


def test_an_upgrade_that_the_daemon_saw_is_one_folded_change(host: Host) -> None:
    with running(host.program.store) as daemon:
        subprocess.run(host.releases[1].unpacking(host.root), check=True)
        daemon.wait_for("postgresql: version 1")
        assert daemon.stop() == 0
    log = host.program.text("log").splitlines()
    one, two = (f"{release.version} ({n})" for n, release in enumerate(host.releases[:2]))
    assert log[0].endswith(f"(upgrade {one} -> {two})"), log
    assert log[1].endswith(f"as delivered (release {one})")
    assert all(one["explanation"]["rest"] == 0 for one in host.program("log", "--all"))
    assert host.program("verify")[-1]["release"] == 1


def test_an_upgrade_that_is_interrupted_is_partial(host: Host) -> None:
    changed = host.changed(1)
    deb = host.releases[1].archive
    script = f"dpkg-deb --fsys-tarfile {deb} | head -c 9000000 | tar -xf - -C {host.root}"
    host.program("run", "-m", "upgrade", "--", "sh", "-c", script, code=4)
    found = newest(host)
    assert (found["kind"], found["from"], found["to"], found["partial"]) == ("upgrade", 0, 1, True)
    assert 0 < found["done"] < len(changed) <= found["total"]
    assert found["rest"] == len(found["unexplained"]) == 1  # the file that was being written
    subprocess.run(host.releases[1].unpacking(host.root), check=True)
    host.program("snapshot", "-m", "again")
    found = newest(host)
    assert (found["kind"], found["partial"], found["rest"]) == ("upgrade", False, 0)
