"""A checkout that was cut off is no clean state, whoever asks."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epmstore import locks
from epmstore.api import AppHandle, ConflictError, Workspace
from epmstore.workspace import shapes
from tests.kit.faults import faults

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def cut_off(ws: Workspace, *, at: str = "exchange") -> AppHandle:
    """Ctrl-C in the middle of a checkout to version 0."""
    crm = ws.app("crm")

    def interrupt(name: str, arguments: tuple[object, ...]) -> None:
        if name == at and crm.obligations.is_interrupted:
            raise KeyboardInterrupt

    with faults(interrupt), pytest.raises(KeyboardInterrupt):
        crm.checkout(0)
    return crm


@pytest.fixture
def place(cli: "Cli", recorded: Path) -> Path:
    (recorded / "bin/crmd").write_bytes(b"program 2\n")
    cli.ok("snapshot")
    return recorded


def test_after_an_interrupt_nothing_is_clean(cli: "Cli", place: Path) -> None:
    with Workspace.open(cli.store) as ws:
        assert ws.app("crm").status().clean
        crm = cut_off(ws)
        for status in (crm.status(), crm.baseline_status().status):
            assert status.interrupted and not status.clean
        with pytest.raises(ConflictError, match="interrupted"):
            crm.snapshot()
        crm.recover()
        assert crm.status().clean and not crm.status().interrupted
    assert (place / "bin/crmd").read_bytes() == b"program 1\n"


def test_an_interrupt_while_it_is_staged_takes_it_back(cli: "Cli", place: Path) -> None:
    with Workspace.open(cli.store) as ws:
        crm = cut_off(ws, at="create")
        assert crm.status().clean and not crm.obligations.is_interrupted
    assert (place / "bin/crmd").read_bytes() == b"program 2\n"


def test_checkout_under_way_is_not_interrupted(cli: "Cli", place: Path) -> None:
    with Workspace.open(cli.store) as ws:
        crm = cut_off(ws)
        with locks.hold(cli.store / "locks", f"app-{crm.app.uuid}"):
            assert not crm.status().interrupted
        assert crm.status().interrupted


def test_who_reads_the_store_later_is_told(cli: "Cli", place: Path) -> None:
    """What cannot be finished when the store is opened is said by whatever looks."""
    with Workspace.open(cli.store) as ws:
        cut_off(ws)
    with Workspace.open(cli.store, recover=False) as ws:
        shape = shapes.status(ws.app("crm").status())
        assert (shape["interrupted"], shape["clean"]) == (True, False)
    [journal] = (cli.store / "journals").iterdir()
    whole = journal.read_bytes()
    journal.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    found = cli("status", "--scan")
    assert found.code == 1
    assert "a checkout was interrupted" in found.out and "epmstore recover --app crm" in found.out
    [shape] = cli("status", "--scan", "--json").shapes
    assert (shape["interrupted"], shape["clean"]) == (True, False)
    [shape] = cli("status", "--scan", "--json", "crm.conf").shapes
    assert (shape["interrupted"], shape["clean"]) == (True, False)
    journal.write_bytes(whole)
    [shape] = cli("status", "--scan", "--json").shapes
    assert (shape["interrupted"], shape["clean"]) == (False, True)
    assert (place / "bin/crmd").read_bytes() == b"program 1\n"
