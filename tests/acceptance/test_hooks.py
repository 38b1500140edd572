"""A service that runs from its root: rolled back, found sick, killed in between. It serves again.

EPM_TEST_POINTS sets how many kills are tried, EPM_TEST_SEED which.
"""

import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.program import SEED, ProgramHost, amount, strike

POINTS = amount("EPM_TEST_POINTS", 3)
SERVER = f"""\
#!{sys.executable}
import os, signal, sys
VERSION = "%s"
if VERSION == "sick":
    sys.exit("cannot bind to port 8080")
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{{os.getpid()}} {{VERSION}}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
signal.sigwait([signal.SIGTERM])
os.unlink(sys.argv[1])
"""
CONTROL = f"""\
#!{sys.executable}
import os, signal, subprocess, sys, time
verb, server, mark = sys.argv[1:]
def running():
    try:
        pid, version = open(mark).read().split()
        os.kill(int(pid), 0)
        return int(pid)
    except (OSError, ValueError):
        return 0
if verb == "stop" and running():
    os.kill(running(), signal.SIGTERM)
    while running():
        time.sleep(0.01)
if verb == "start" and not running():
    null = subprocess.DEVNULL
    subprocess.Popen([server, mark], stdin=null, stdout=null, stderr=null, start_new_session=True)
if verb == "health" and not running():
    sys.exit("nobody answers")
"""

pytestmark = pytest.mark.slow


class Service(ProgramHost):
    """`bin/server` in versions 0 (one), 1 (two) and 2 (sick); two is live and runs."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.mark = place / "running"
        self.control = place / "control"
        self._write(self.control, CONTROL)
        self.set_up()
        for version in ("one", "two", "sick", "two"):
            self._write(self.root / "bin" / "server", SERVER % version)
            self.snapshot()
        hooks = [f"--{verb}={self.command(verb)}" for verb in ("stop", "start", "health")]
        self.ok("app", "set", "crm", *hooks, "--health-timeout", "10s")
        self.control_it("start")
        self.control_it("health", tries=500)

    def command(self, verb: str) -> str:
        return f"{self.control} {verb} {self.root}/bin/server {self.mark}"

    def control_it(self, verb: str, tries: int = 1) -> None:
        for _ in range(tries):
            if os.system(self.command(verb) + " 2>/dev/null") == 0:
                return
        raise AssertionError(verb)

    def serves(self) -> str:
        """The version that runs; it must be the one that is in the root."""
        self.control_it("health")
        version = self.mark.read_text().split()[1]
        assert f'VERSION = "{version}"' in (self.root / "bin" / "server").read_text()
        return version

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o755)
        new.rename(path)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.control_it("stop")


def test_a_service_is_rolled_back_and_serves(service: Service) -> None:
    found = service.ok("checkout", "0")
    assert "healthy" in found.out and "warning" not in found.err
    assert service.serves() == "one"
    service.ok("undo")
    assert service.serves() == "two"


def test_a_sick_version_is_undone_by_itself(service: Service) -> None:
    error = service.fails(4, "checkout", "2", says="undone: version 4 -> 5", hint="and runs")
    assert error["data"]["undone"] is True
    assert any("nobody answers" in line for line in error["data"]["report"])
    assert service.serves() == "two"
    assert service.is_clean()


def test_a_repair_to_a_release_stops_and_starts_the_service_too(service: Service) -> None:
    [app] = service.json("app", "show", "crm")
    service.ok("release", "init", "crm", "--uuid", app["uuid"])
    for version in ("0", "1", "2"):
        service.ok("release", "add", "crm", version)
    assert "healthy" in service.ok("checkout", "release:0").out
    assert service.serves() == "one"
    before = service.mark.read_text().split()[0]
    with (service.root / "bin/server").open("a") as file:
        file.write("# tampered\n")
    assert "healthy" in service.ok("repair", "--release", "0").out
    assert service.serves() == "one"
    assert service.mark.read_text().split()[0] != before
    error = service.fails(4, "checkout", "release:2", says="undone: ", hint="and runs")
    assert error["data"]["undone"] is True
    assert service.serves() == "one"
    assert service.is_clean()


def test_without_its_hooks_a_running_program_is_not_replaced(service: Service) -> None:
    """What an interpreter reads is not held; the server's own file is not, either: so it may."""
    service.ok("checkout", "0", "--no-hooks")
    assert service.mark.read_text().split()[1] == "two"


def test_whoever_is_killed_recover_brings_the_service_back(service: Service) -> None:
    rng = random.Random(SEED)
    calls = service.count("checkout", "0")
    service.ok("checkout", "3")
    ends: list[str] = []
    for _ in range(POINTS):
        last = rng.randint(1, calls)
        process = service.start("checkout", "0", program=strike("SIGKILL", last))
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
        service.ok("recover")
        ends.append(service.serves())
        assert not list((service.store / "journals").glob("*.owed"))
        if ends[-1] == "one":
            service.ok("checkout", "3")
    assert set(ends) == {"one", "two"} or POINTS < 20
