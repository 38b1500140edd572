"""The daemon, and units of applications, on a machine with systemd as its first process."""

import json
import re

import pytest

from tests.machine import crm, verdict
from tests.machine.vm import Vm

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(3600)]
EXPOSURE = 2.6
"""What `systemd-analyze security` says of it, from 0 to 10."""
BEGAN, ENDED = "ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic"
WATCHDOG = "[Service]\nWatchdogSec=30s\n"
ASKS = "runuser -u {} -- epmstore status --store /var/lib/epmstore"
ASK = """
import http.client, socket, sys
link = http.client.HTTPConnection("localhost")
link.sock = socket.socket(socket.AF_UNIX)
link.sock.connect("/run/epmstore/epmstored.sock")
head = {"Content-Type": "application/json", "Epmstore-Protocol": "1"}
link.request("POST", "/v1/jobs", sys.argv[1], head)
print(link.getresponse().read().decode())
"""


def test_all_is_up_in_its_order(vm: Vm) -> None:
    assert verdict.services(vm) == []
    recovered = int(vm.show("epmstore-boot@crm.service", ENDED)[ENDED])
    began = [int(vm.show(f"{name}.service", BEGAN)[BEGAN]) for name in crm.UNITS]
    assert 0 < recovered < began[0]
    assert began == sorted(began)
    before = int(vm.show("epmstore-recover.service", ENDED)[ENDED])
    assert 0 < before < int(vm.show("epmstored.service", BEGAN)[BEGAN])
    assert [found for _, found in crm.starts(vm.console())] == ["301 two"] * 3


def test_the_group_may_ask_and_others_may_not(vm: Vm) -> None:
    vm.sh("useradd -m -G epmstore ann; useradd -m bob")
    asked = vm.run(*ASKS.format("ann").split(), check=False)
    assert asked.code in (0, 1), asked
    assert "crm" in asked.out
    refused = vm.run(*ASKS.format("bob").split(), check=False)
    assert refused.code not in (0, 1), refused
    assert refused.err.startswith("epmstore: ")
    advised = vm.run("runuser", "-u", "ann", "--", "epmstore", "status", check=False)
    assert "--store /var/lib/epmstore" in advised.err


def test_the_unit_is_hardened(vm: Vm) -> None:
    said = vm.run("systemd-analyze", "security", "--no-pager", "epmstored.service").out
    level = re.search(r"exposure level for epmstored.service: ([\d.]+)", said)
    assert level and float(level[1]) <= EXPOSURE, said[-300:]
    main = vm.show("epmstored.service", "MainPID")["MainPID"]
    inside = ["nsenter", "-t", main, "-m"]
    refused = vm.run(*inside, "touch", "/opt/crm/bin/release", check=False)
    assert "Read-only file system" in refused.err
    vm.run(*inside, "test", "-w", "/var/lib/epmstore")


def test_the_journal_has_fields(vm: Vm) -> None:
    out = vm.sh("journalctl -b -u epmstored.service -o json _COMM=epmstored")
    found = [json.loads(line) for line in out.splitlines()]
    ready = next(one for one in found if "ready" in one["MESSAGE"])
    assert ready["SYSLOG_IDENTIFIER"] == "epmstored"
    assert ready["_SYSTEMD_UNIT"] == "epmstored.service"
    assert ready["PRIORITY"] == "6"


def test_a_reload_finds_a_new_declaration(vm: Vm) -> None:
    vm.sh("mkdir -p /opt/erp && echo one >/opt/erp/tool")
    vm.write("/etc/epmstore/apps.d/erp.toml", 'root = "/opt/erp"\n')
    vm.run("systemctl", "reload", "epmstored.service")
    vm.until("sh", "-c", "epmstore log --all --app erp --json | grep -q '\"version\":'")
    assert vm.show("epmstored.service", "Result", "ActiveState") == {
        "Result": "success", "ActiveState": "active",
    }  # fmt: skip


def test_a_job_is_carried_out_by_its_unit(vm: Vm) -> None:
    body = json.dumps({"kind": "checkout", "app": "crm", "version": "0"})
    vm.run("python3", "-c", ASK, body)
    vm.until("sh", "-c", 'epmstore daemon jobs --json | grep -q \'"state": *"done"\'')
    assert vm.sh("cat /opt/crm/bin/release") == "one\n"
    assert verdict.services(vm) == []
    assert crm.starts(vm.console())[-3:] == [(name, "301 one") for name in crm.UNITS]


def test_a_daemon_that_hangs_is_killed_and_started_anew(vm: Vm) -> None:
    vm.write("/etc/systemd/system/epmstored.service.d/trial.conf", WATCHDOG)
    vm.sh("systemctl daemon-reload; systemctl restart epmstored.service")
    main = vm.show("epmstored.service", "MainPID")["MainPID"]
    vm.run("kill", "-STOP", main)
    vm.until("sh", "-c", "systemctl show -p NRestarts epmstored | grep -qx NRestarts=1")
    vm.until("systemctl", "is-active", "epmstored.service")
    assert "watchdog" in vm.sh("journalctl -b -u epmstored.service -t systemd").lower()
    vm.sh("rm -r /etc/systemd/system/epmstored.service.d; systemctl daemon-reload")
