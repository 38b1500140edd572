"""What is set for a while is taken back: by whatever command comes, or by the daemon."""

from pathlib import Path

import pytest

from epmstore.catalog.hooks import Hooks
from epmstore.catalog.packaging import Parameter, ParameterFile
from epmstore.clock import FixedClock
from epmstore.workspace import Workspace
from epmstore.workspace.app.parametering import SetParameter
from epmstored.aftermath import AftermathTasks
from epmstored.bridge import Bridge
from tests.daemon.test_aftermath import NoSystemd
from tests.kit.clock import FakeDaemonClock
from tests.kit.products import V1, Products

pytestmark = pytest.mark.slow

PORT = Parameter(name="port", type="integer", default=8080, restart=True)
LEVEL = Parameter(name="level", type="string", default="info")
ENV = ParameterFile(path="etc/crm.env", format="env")


class Host:
    """A host with crm installed."""

    def __init__(self, place: Path) -> None:
        self.clock, self.store = FixedClock(), place / "store"
        self.root, self.trace = place / "opt", place / "trace"
        vendor = Products(place / "vendor")
        file = vendor.pack(
            V1, "4.0.0", root=str(self.root), parameters=(PORT, LEVEL), parameter_files=(ENV,)
        )
        Workspace.init(self.store, clock=self.clock).close()
        with self.open() as ws:
            ws.packages.install([str(file)])

    def open(self) -> Workspace:
        return Workspace.open(self.store, clock=self.clock)

    @property
    def env(self) -> str:
        return (self.root / ENV.path).read_text()

    @property
    def marks(self) -> list[Path]:
        return list((self.store / "journals").glob("*.lasting"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_next_command_takes_back_what_needs_no_restart(host: Host) -> None:
    with host.open() as ws:
        crm = ws.app("crm").parameters
        crm.set(SetParameter(name="level", words=("error",)))
        crm.set(SetParameter(name="level", words=("debug",), seconds=3600.0))
        assert crm.get("level").seconds == 3600.0
    host.clock.advance(3599)
    with host.open() as ws:
        assert not ws.taken_back and "LEVEL=debug" in host.env
    host.clock.advance(2)
    with host.open() as ws:
        [result] = ws.taken_back
        assert result.changed and result.undo is not None
        assert ws.app("crm").parameters.get("level").layer == "instance"
    assert "LEVEL=error" in host.env and not host.marks
    with host.open() as ws:
        assert not ws.taken_back
        ws.app("crm").undo()
        assert "LEVEL=debug" in host.env and host.marks, "an undo of that does not last either"
    with host.open():
        assert "LEVEL=error" in host.env


def test_the_daemon_takes_back_what_needs_a_restart(host: Host) -> None:
    with host.open() as ws:
        ws.app("crm").parameters.set(SetParameter(name="port", words=("9090",), seconds=60.0))
        say = ("/bin/sh", "-c", f"echo $EPMSTORE_HOOK >> {host.trace}")
        ws.apps.set("crm", hooks=Hooks(stop=say, start=say))
    host.clock.advance(61)
    host.trace.unlink(missing_ok=True)
    with host.open() as ws:
        assert "PORT=9090" in host.env and not ws.taken_back
        clock = FakeDaemonClock()
        tasks = AftermathTasks(host.store, Bridge("unused", host.open), clock, NoSystemd())
        assert tasks.is_anything_owed()
        tasks.settle(ws)
    assert "PORT=8080" in host.env and host.trace.read_text().split() == ["stop", "start"]
    assert not tasks.is_anything_owed()


def test_an_edited_file_stays_when_the_time_is_over(host: Host) -> None:
    with host.open() as ws:
        ws.app("crm").parameters.set(SetParameter(name="level", words=("debug",), seconds=60.0))
    (host.root / ENV.path).write_text("LEVEL=mine\n")
    host.clock.advance(61)
    with host.open() as ws:
        assert len(ws.taken_back) == 1
        assert ws.app("crm").parameters.get("level").layer == "default"
    assert host.env == "LEVEL=mine\n"
