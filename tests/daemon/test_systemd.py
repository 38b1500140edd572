"""The units, started by a real systemd."""

import os
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.daemon.machine import Machine, booted, hides, is_possible

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(300)]
APP = "[Service]\nType=oneshot\nExecStart=cat /srv/{key}/tool\nRemainAfterExit=yes\n"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With two applications, crm and erp, whose units are bound to their recovery."""
    if not is_possible():
        pytest.skip("needs root and systemd")
    if hidden := hides():
        pytest.skip(f"the program lies below {hidden}, which the trial has its own of")
    base = tmp_path_factory.mktemp("machine")
    try:
        with booted(base) as machine:
            machine.epmstore("init")
            for key in ("crm", "erp"):
                machine.write(f"/srv/{key}/tool", "one")
                machine.write(f"/etc/systemd/system/{key}.service", APP.format(key=key))
                machine.epmstore("app", "add", key, f"/srv/{key}")
                machine.epmstore("app", "set", key, "--unit", f"{key}.service")
                machine.epmstore("snapshot", "--app", key)
            machine.run("systemctl", "daemon-reload")
            yield machine
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture
def daemon(machine: Machine) -> Iterator[Machine]:
    """Started: systemd was told that it is ready."""
    machine.run("systemctl", "start", "epmstored.service")
    yield machine
    machine.run("systemctl", "stop", "epmstored.service")
    assert machine.show("epmstored.service", "Result") == "success"


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def newest(machine: Machine, key: str) -> int:
    found = machine.epmstore("log", "--all", "--app", key)
    return max(int(one["version"]) for one in found if one["type"] == "version")


def test_the_recorder_tells_and_records(daemon: Machine) -> None:
    assert daemon.show("epmstored.service", "ActiveState") == "active"
    assert daemon.show("epmstored.service", "StatusText") == "2 applications are watched"
    assert daemon.show("epmstore-recover.service", "Result") == "success"
    before = newest(daemon, "crm")
    daemon.write("/srv/crm/tool", "by hand")
    until(lambda: newest(daemon, "crm") == before + 1)
    daemon.run("systemctl", "reload", "epmstored.service")
    until(lambda: daemon.show("epmstored.service", "ActiveState") == "active")
    assert daemon.show("epmstored.service", "Result") == "success"


def test_the_recorder_cannot_write_to_roots(daemon: Machine) -> None:
    main = daemon.show("epmstored.service", "MainPID")
    inside = ["nsenter", "-t", main, "-m"]
    refused = daemon.run(*inside, "touch", "/srv/crm/tool", check=False)
    assert "Read-only file system" in refused.stderr
    daemon.run(*inside, "test", "-w", "/var/lib/epmstore")
    capabilities = daemon.run("grep", "CapEff", f"/proc/{main}/status").stdout.split()[1]
    assert int(capabilities, 16) & 1 << 1 == 0, "CAP_DAC_OVERRIDE"


def test_a_checkout_that_the_recorder_is_asked_for_is_done_by_its_unit(daemon: Machine) -> None:
    daemon.epmstore("snapshot", "--app", "erp")
    daemon.write("/srv/erp/tool", "two")
    daemon.epmstore("snapshot", "--app", "erp")
    body = '{"kind":"checkout","app":"erp","version":"0"}'
    ask = (
        "import http.client, socket, sys, time\n"
        "def ask(method, path, body=None):\n"
        "    link = http.client.HTTPConnection('localhost')\n"
        "    link.sock = socket.socket(socket.AF_UNIX)\n"
        "    link.sock.connect('/run/epmstore/epmstored.sock')\n"
        "    link.request(method, path, body, {'Content-Type': 'application/json',"
        " 'Epmstore-Protocol': '1'})\n"
        "    print(link.getresponse().read().decode())\n"
        "ask('POST', '/v1/jobs', sys.argv[1])\n"
    )
    daemon.run(sys.executable, "-c", ask, body)
    until(lambda: daemon.run("cat", "/srv/erp/tool").stdout == "one")
    until(lambda: daemon.epmstore("daemon", "jobs")[0]["state"] == "done")


def test_a_recorder_that_hangs_is_started_anew(daemon: Machine) -> None:
    drop_in = "/etc/systemd/system/epmstored.service.d/trial.conf"
    daemon.write(drop_in, "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n")
    daemon.run("systemctl", "daemon-reload")
    daemon.run("systemctl", "restart", "epmstored.service")
    time.sleep(5)
    assert daemon.show("epmstored.service", "NRestarts") == "0", "while it lives it says so"
    main = daemon.show("epmstored.service", "MainPID")
    daemon.run("kill", "-STOP", main)
    until(lambda: daemon.show("epmstored.service", "NRestarts") == "1")
    until(lambda: daemon.show("epmstored.service", "ActiveState") == "active")
    assert daemon.show("epmstored.service", "MainPID") != main
    daemon.run("rm", "-r", os.path.dirname(drop_in))
    daemon.run("systemctl", "daemon-reload")


def test_an_application_waits_for_its_own_recovery_alone(machine: Machine) -> None:
    [crm] = [one for one in machine.epmstore("app", "list") if one["app"] == "crm"]
    machine.run("mv", "/srv/crm", "/srv/not-there")
    journal = f"/var/lib/epmstore/journals/{crm['uuid']}.journal"
    machine.write(journal, "torn")
    assert machine.run("systemctl", "start", "crm.service", check=False).returncode != 0
    assert machine.show("crm.service", "ActiveState") == "inactive"
    assert machine.show("epmstore-boot@crm.service", "Result") == "exit-code"
    machine.run("systemctl", "start", "erp.service")
    assert machine.show("epmstore-boot@erp.service", "ActiveState") == "active"
    machine.run("mv", "/srv/not-there", "/srv/crm")
    machine.run("systemctl", "start", "crm.service")
    assert machine.run("ls", os.path.dirname(journal)).stdout.strip() == ""
