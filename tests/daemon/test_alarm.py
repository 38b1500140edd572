"""Who is told of changes that no release explains, and of which ones."""

import json
from pathlib import Path

import pytest

from epmstore.errors import UsageError
from epmstore.workspace import Workspace
from epmstore.workspace.vendors import Source
from epmstored.alarm import WAITING, Alarm
from epmstored.bridge import Bridge
from epmstored.health import LASTS, News, Patience, Trouble, TroubleKind
from tests.kit.daemon import running


class Place:
    """An application of two releases, the first of which is installed and recorded."""

    def __init__(self, base: Path) -> None:
        self.root, self.store, self.told = base / "crm", base / "store", base / "told"
        self.root.mkdir()
        with self.open(first=True) as workspace:
            workspace.apps.add("crm", self.root)
            workspace.vendors.init("crm")
            for release in ("one", "two"):
                self.write(release)
                workspace.vendors.add("crm", Source(paths=(self.root,)))
            self.write("one")
            workspace.app("crm").snapshot()

    def open(self, *, first: bool = False) -> Workspace:
        return Workspace.init(self.store) if first else Workspace.open(self.store, recover=False)

    def write(self, text: str) -> None:
        for name in "abcd":
            (self.root / name).write_text(f"{name} {text}")

    def record(self) -> int:
        with self.open() as workspace:
            return workspace.app("crm").recording.record_drift("event").version.version

    def command(self, end: str = "") -> str:
        said = '"$EPMSTORE_HOOK $EPMSTORE_APP $EPMSTORE_VERSION $EPMSTORE_FILES"'
        return f"sh -c 'echo {said} >> {self.told}; {end}'"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def tell(place: Place, alarm: Alarm, version: int) -> str:
    bridge = Bridge("alarm", place.open)
    alarm.recorded("crm", version)
    await alarm.step(bridge)
    await bridge.close(wait=10)
    return place.told.read_text() if place.told.exists() else ""


async def test_only_what_no_release_explains_is_told(place: Place) -> None:
    alarm = Alarm(place.command(), place.open)
    place.write("two")
    assert await tell(place, alarm, place.record()) == ""  # a complete upgrade
    (place.root / "a").write_text("tampered with")
    assert await tell(place, alarm, place.record()) == "unexplained crm 2 1\n"


async def test_a_command_that_fails_is_said(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    (place.root / "a").write_text("tampered with")
    await tell(place, Alarm(place.command("echo no network; exit 7"), place.open), place.record())
    assert "daemon.alert failed (exit status 7): no network" in caplog.text
    await tell(place, Alarm("/not/there", place.open), 1)
    assert "nobody was told of version 1" in caplog.text


async def test_an_alarm_is_no_reason_to_stop_recording(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(workspace: Workspace, key: str) -> None:
        raise KeyError(key)

    monkeypatch.setattr(Workspace, "app", broken)
    await tell(place, Alarm("true", place.open), 1)
    assert "nobody was told of version 1" in caplog.text


async def test_nothing_waits_where_there_is_nobody_to_tell(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    silent = Alarm(None, place.open)
    silent.recorded("crm", 1)
    await silent.run()  # has nothing to do, and returns
    busy = Alarm("true", place.open)
    for version in range(WAITING + 1):
        busy.recorded("crm", version)
    assert f"what explains {WAITING}" in caplog.text


def test_the_daemon_tells(place: Place) -> None:
    (place.store / "config.toml").write_text(f"[daemon]\nalert = {json.dumps(place.command())}\n")
    with running(place.store) as daemon:
        daemon.wait_for("INFO: ready")
        (place.root / "a").write_text("tampered with")
        daemon.wait_for("no release explains 1 changed files")
        assert daemon.stop() == 0
    assert place.told.read_text() == "unexplained crm 1 1\n"


def test_settings_that_come_to_nothing_are_said_at_the_start(place: Place) -> None:
    (place.store / "config.toml").write_text(
        '[daemon]\nalert = "/no/such -x"\ngroup = "no-such-group"\n'
    )
    with running(place.store) as daemon:
        daemon.wait_for("daemon.group: there is no group 'no-such-group'")
        daemon.wait_for("daemon.alert: there is no program '/no/such'")
        assert daemon.stop() == 0


@pytest.mark.parametrize("command", ["a | b", "'"])
def test_alarm_refuses_commands_that_are_none(place: Place, command: str) -> None:
    with pytest.raises(UsageError):
        Alarm(command, place.open)


def trouble(app: str | None = "crm", kind: TroubleKind = "gone", why: str = "no root") -> Trouble:
    return Trouble(app, kind, why)


def test_trouble_is_told_once_when_it_has_lasted_and_when_it_is_over() -> None:
    patience = Patience()
    assert patience.note([trouble()], 0.0) == []
    assert patience.note([], 10.0) == []  # it was over by itself
    assert patience.note([trouble()], 20.0) == []
    assert patience.note([trouble(why="now of another kind")], 20.0 + LASTS) == [
        News(trouble(why="now of another kind"))
    ]
    assert patience.note([trouble()], 500.0) == []
    both = [trouble(), trouble(None, "full", "no room")]
    assert patience.note(both, 600.0) == []
    assert patience.note(both, 600.0 + LASTS) == [News(both[1])]
    assert patience.note([both[1]], 700.0) == [News(trouble(why="now of another kind"), True)]
    assert patience.note([trouble(kind="starting")], 800.0) == [News(both[1], True)]
    assert patience.note([trouble(kind="starting")], 9000.0) == []


async def test_the_daemons_own_troubles_are_told(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    said = '"$EPMSTORE_HOOK $EPMSTORE_APP $EPMSTORE_TROUBLE $EPMSTORE_STATE $EPMSTORE_WHY"'

    def broken() -> Workspace:
        raise OSError("the store cannot be opened")

    alarm = Alarm(f"sh -c 'echo {said} >> {place.told}'", broken)
    bridge = Bridge("alarm", broken)
    for news in (News(trouble()), News(trouble(None, "full", "no room")), News(trouble(), True)):
        alarm.trouble(news)
        await alarm.step(bridge)
    await bridge.close(wait=10)
    assert place.told.read_text().splitlines() == [
        "trouble crm gone begun no root",
        "trouble  full begun no room",
        "trouble crm gone over no root",
    ]
    assert "the store: in trouble: no room" in caplog.text
    assert "crm: is well again" in caplog.text
