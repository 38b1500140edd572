"""What is under way when the machine is started again, in peace and without."""

import random

import pytest

from tests.machine import crm, verdict
from tests.machine.states import State
from tests.machine.vm import Vm

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(3600)]

UNFLUSHED = "while :; do dd if=/dev/urandom of=/var/tmp/direct bs=64k count=64 oflag=direct; done"
"""Somebody writes past the kernel's cache, and so into that of the disk."""


def settled(vm: Vm) -> None:
    vm.run("systemctl", "is-system-running", "--wait", check=False)


def test_an_unconfirmed_checkout_is_undone_across_a_reboot(vm: Vm, state: State) -> None:
    vm.epmstore("checkout", "0", "--app", "crm", "--confirm", "5m")
    assert crm.total(vm) == state.sums["one"]
    vm.reboot()
    settled(vm)
    assert crm.starts(vm.console())[-3:] == [(name, "301 one") for name in crm.UNITS]
    vm.until("sh", "-c", "grep -qx two /opt/crm/bin/release && systemctl is-active crm-web")
    vm.until("sh", "-c", "! ls /var/lib/epmstore/journals/*.owed")
    assert crm.total(vm) == state.sums["two"]
    assert verdict.services(vm) == []
    vm.epmstore("unhold", "crm")


@pytest.mark.parametrize("way", ["polite", "cut"])
def test_a_reboot_in_the_middle_of_a_checkout(vm: Vm, state: State, way: str) -> None:
    known = verdict.Known(state.sums, {*crm.RELEASES}, verdict.versions(vm))
    goal = "0" if crm.total(vm) == state.sums["two"] else "1"
    vm.ask("epmstore", "checkout", goal, "--app", "crm")
    vm.until("sh", "-c", "ls -d /opt/crm/.epm-*")
    if way == "polite":
        vm.reboot()
    else:
        vm.ask("sh", "-c", UNFLUSHED)
        vm.until("test", "-s", "/var/tmp/direct")
        assert vm.cut(random.Random(4)).cached
        vm.start()
    settled(vm)
    assert verdict.judge(vm, known).problems == []
    assert vm.sh("ls -A /opt/crm | grep -c '^[.]epm-' || true") == "0\n"


def test_an_application_that_cannot_be_recovered_does_not_start(vm: Vm) -> None:
    [app] = vm.epmstore("app", "list")
    journal = f"/var/lib/epmstore/journals/{app['uuid']}.journal"
    vm.run("systemctl", "disable", "epmstored.service")
    vm.run("systemctl", "stop", "epmstored.service")
    vm.write(journal, "torn")
    vm.sh("mv /opt/crm /opt/not-there")
    vm.reboot()
    settled(vm)
    assert vm.show("crm.service", "ActiveState")["ActiveState"] == "inactive"
    assert vm.show("epmstore-boot@crm.service", "Result")["Result"] == "exit-code"
    vm.sh("mv /opt/not-there /opt/crm; systemctl enable --now epmstored.service")
    vm.epmstore("recover", "--app", "crm")
    vm.sh("systemctl start crm crm-worker crm-web; systemctl reset-failed")
    assert verdict.services(vm) == []
