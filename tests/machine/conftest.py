"""Machines are for those who ask for them (`make machine`), and have what they need."""

import os
from collections.abc import Iterator

import pytest

from tests.machine import image, states
from tests.machine.states import State
from tests.machine.vm import Vm

ASKED = "EPM_TEST_MACHINE"


@pytest.fixture(scope="session")
def state() -> State:
    """Installed, with crm; off."""
    if ASKED not in os.environ:
        pytest.skip(f"boots virtual machines: make machine, or {ASKED}=1")
    if why := image.missing():
        pytest.skip(why)
    return states.installed("ext4")


@pytest.fixture(scope="module")
def vm(state: State) -> Iterator[Vm]:
    """Up, for the tests of one file."""
    with states.running(state.image, state.platter) as vm:
        vm.start()
        vm.run("systemctl", "is-system-running", "--wait", check=False)
        yield vm
