"""The daemon, and an application whose catalog is damaged: it says so, and records the others."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from epmstore.cli.daemon_client import Daemon
from epmstore.workspace import Workspace
from tests.kit.daemon import Daemon as Process
from tests.kit.daemon import running

pytestmark = pytest.mark.slow
KEYS = ("crm", "erp")


class Place:
    """A store with two applications, of each of which three versions are recorded."""

    def __init__(self, base: Path) -> None:
        self.store, self.base = base / "store", base
        with Workspace.init(self.store) as workspace:
            for key in KEYS:
                self.write(key, "0")
                workspace.apps.add(key, base / key)
                for text in "012":
                    self.write(key, text)
                    workspace.app(key).snapshot()
            uuid = workspace.apps.get("crm").uuid
        self.catalog = self.store / f"catalogs/{uuid}.syscat.zst"

    def write(self, key: str, text: str) -> None:
        (self.base / key).mkdir(exist_ok=True)
        (self.base / key / "file").write_text(text)

    def damage(self, at: int) -> None:
        data = bytearray(self.catalog.read_bytes())
        data[at] ^= 1
        self.catalog.write_bytes(data)

    def mend(self) -> None:
        command = [sys.executable, "-m", "epmstore", "rebuild", "--store", str(self.store)]
        subprocess.run(command, check=True, capture_output=True)

    def check_trouble(self, daemon: Process) -> None:
        """All that the daemon says to whoever asks."""
        health = Daemon(self.store).get("/v1/health")
        assert not health["ok"]
        [reason] = health["reasons"]
        assert reason.startswith("crm: ") and self.catalog.name in reason
        assert "epmstore rebuild" in reason
        assert [(one["app"], one["ok"]) for one in health["applications"]] == [
            ("crm", False),
            ("erp", True),
        ]
        metrics = self.metrics()
        assert {"epmstored_healthy 0", 'epmstored_app_healthy{app="crm"} 0'} <= metrics
        assert {
            'epmstored_app_healthy{app="erp"} 1',
            'epmstored_app_version{app="erp"} 3',
        } <= metrics
        assert any(re.search("ERROR: crm: .*damaged|cannot be read", line) for line in daemon.lines)
        assert not [line for line in daemon.lines if "Traceback" in line or "ERROR: erp" in line]

    def metrics(self) -> set[str]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(self.store / "epmstored.sock"))
            client.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return {*b"".join(iter(lambda: client.recv(1 << 16), b"")).decode().splitlines()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_says_so_and_records_the_others(place: Place) -> None:
    """Nothing but the catalog knows of its versions."""
    place.damage(-20)
    for path in place.store.glob("index.sqlite*"):
        path.unlink()
    with running(place.store, EPMSTORE_DAEMON_SETTLE="50ms") as daemon:
        for key in KEYS:
            place.write(key, "changed")
        daemon.wait_for(r"erp: version 3 \(event\)")
        place.check_trouble(daemon)
        before = place.catalog.read_bytes()
        assert daemon.stop() == 0
    assert place.catalog.read_bytes() == before, "nothing is written behind the damage"


def test_daemon_notices_damage_and_goes_on_once_mended(place: Place) -> None:
    with running(place.store, EPMSTORE_DAEMON_SETTLE="50ms") as daemon:
        assert Daemon(place.store).get("/v1/health")["ok"]
        place.damage(-20)
        for key in KEYS:
            place.write(key, "changed")
        daemon.wait_for(r"erp: version 3 \(event\)")
        at = daemon.wait_for("ERROR: crm: ")
        place.check_trouble(daemon)
        place.mend()
        daemon.wait_for(r"crm: version \d+ \(", after=at)
        assert Daemon(place.store).get("/v1/health")["ok"]
        assert "epmstored_healthy 1" in place.metrics()
        assert daemon.stop() == 0
    with Workspace.open(place.store) as workspace:
        assert b"".join(workspace.app("crm").cat("latest", "file")) == b"changed"
