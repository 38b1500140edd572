"""The life of the .deb on a machine: upgraded while its daemon runs, kept, removed and purged."""

import random

import pytest

from tests.machine import verdict
from tests.machine.states import State
from tests.machine.vm import Vm

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(3600)]
VERSION = "dpkg-query -W -f '${Status} ${Version}' epmstore"


def install(vm: Vm, name: str) -> str:
    vm.sh("mountpoint -q /mnt || mount -o ro /dev/vdb /mnt")
    return vm.sh("cp /mnt/$1.deb /root/epmstore.deb; apt install -y /root/epmstore.deb "
                 "--allow-downgrades 2>&1", name)  # fmt: skip


def test_an_upgrade_leaves_the_daemon_running_the_new_one(vm: Vm) -> None:
    install(vm, "earlier")
    assert vm.sh(VERSION) == "install ok installed 0.0.1"
    vm.until("systemctl", "is-active", "epmstored.service")
    before = vm.show("epmstored.service", "MainPID")["MainPID"]
    known = verdict.versions(vm)
    install(vm, "newer")
    vm.until("systemctl", "is-active", "epmstored.service")
    assert vm.show("epmstored.service", "MainPID")["MainPID"] != before
    vm.run("dpkg", "--verify", "epmstore")
    assert verdict.versions(vm) == known
    assert verdict.services(vm) == []


def test_an_upgrade_that_is_cut_off_leaves_a_release_that_is_whole(vm: Vm, state: State) -> None:
    """Files are replaced one by one: `newest` is one of the first."""
    known = verdict.Known(state.sums, {"two"}, verdict.versions(vm))
    before = vm.sh("cat /opt/epmstore/newest")
    vm.sh("mountpoint -q /mnt || mount -o ro /dev/vdb /mnt")
    vm.ask("dpkg", "-i", "/mnt/earlier.deb")
    vm.until("sh", "-c", 'test "$(cat /opt/epmstore/newest)" != "$1"', "sh", before.strip())
    vm.cut(random.Random(1))
    vm.start()
    vm.run("systemctl", "is-system-running", "--wait", check=False)
    assert verdict.judge(vm, known).problems == []
    install(vm, "newer")
    assert vm.sh(VERSION) == f"install ok installed {vm.sh('epmstore --version').split()[1]}"
    assert verdict.services(vm) == []


def test_it_is_removed_when_nothing_waits_for_it_and_comes_back(vm: Vm) -> None:
    refused = vm.run("apt", "remove", "-y", "epmstore", check=False)
    assert refused.code != 0
    assert "epmstore-crm.conf" in refused.out + refused.err
    assert verdict.services(vm) == []
    vm.epmstore("app", "set", "crm", "--unit", "")
    vm.run("apt", "remove", "-y", "epmstore")
    assert vm.show("epmstored.service", "ActiveState")["ActiveState"] == "inactive"
    vm.run("systemctl", "restart", "crm.service")
    purged = vm.run("apt", "purge", "-y", "epmstore")
    assert "the store /var/lib/epmstore" in purged.out + purged.err
    vm.run("test", "-e", "/var/lib/epmstore/FORMAT")
    assert vm.sh("systemctl list-units --failed --plain --no-legend") == ""
    install(vm, "newer")
    vm.sh("systemctl enable --now epmstored.service")
    vm.run("epmstore", "fsck", "--read-data")
    vm.reboot()
    vm.run("systemctl", "is-system-running", "--wait", check=False)
    vm.run("systemctl", "is-active", "epmstored.service")
