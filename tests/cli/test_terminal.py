"""On a terminal: questions before files are removed, colours, and none of it elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

PROGRAM = [sys.executable, "-m", "epmstore"]


def on_terminal(*args: str, typed: str = "", **variables: str) -> tuple[int, str]:
    """Exit code and everything on the screen of a command that has a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **variables}
    process = subprocess.Popen(
        [*PROGRAM, *args], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    os.write(master, typed.encode())
    screen = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # Linux: the other side is closed
            break
        screen += piece
    os.close(master)
    return process.wait(), screen.decode()


@pytest.fixture
def grown(cli: "Cli", recorded: Path) -> Path:
    """Version 1 has a file more than version 0."""
    (recorded / "extra").write_bytes(b"")
    cli.ok("snapshot")
    return recorded


def test_a_terminal_is_asked_before_files_are_removed(grown: Path) -> None:
    code, screen = on_terminal("checkout", "0", typed="n\n")
    assert code == 4
    assert "extra" in screen and "[y/N]" in screen
    assert "nothing was changed" in screen
    assert (grown / "extra").exists()


def test_yes_goes_on(grown: Path) -> None:
    code, _ = on_terminal("checkout", "0", typed="y\n")
    assert code == 0
    assert not (grown / "extra").exists()


def test_nobody_is_asked_who_said_yes_already(grown: Path) -> None:
    code, screen = on_terminal("checkout", "0", "--yes")
    assert code == 0
    assert "[y/N]" not in screen


def test_nobody_is_asked_when_nothing_is_removed(cli: "Cli", grown: Path) -> None:
    (grown / "extra").unlink()
    code, screen = on_terminal("checkout", "1")
    assert code == 0
    assert "[y/N]" not in screen


def test_colour_is_for_terminals_that_want_it(recorded: Path) -> None:
    (recorded / "new").write_bytes(b"")
    assert "\x1b[32mA" in on_terminal("status")[1]
    assert "\x1b" not in on_terminal("status", NO_COLOR="1")[1]
    assert "\x1b" not in on_terminal("status", TERM="dumb")[1]
