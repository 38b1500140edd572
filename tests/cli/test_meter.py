"""Progress: nothing for short work, something for long work, and no trace of it afterwards."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import click
import pytest

from epmstore.cli.meter import ProgressBar
from epmstore.cli.session import Session


class Terminal(io.StringIO):
    """Says when something is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.is_used = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        self.is_used.set()
        return written


def test_short_work_is_not_shown() -> None:
    terminal = Terminal()
    meter = ProgressBar(terminal, patience=1e9)
    meter.begin("reading", files=10)
    for _ in range(10):
        meter.advance(files=1)
    meter.end()
    assert terminal.getvalue() == ""


def test_long_work_is_shown_from_any_thread() -> None:
    terminal = Terminal()
    meter = ProgressBar(terminal, patience=0)
    meter.begin("reading", files=100, size=1_000_000)
    assert terminal.is_used.wait(60)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            pool.submit(meter.advance, files=1, size=10_000)
    meter.end()
    assert "reading" in terminal.getvalue()
    assert "1.0/1.0 MB" in terminal.getvalue()


def test_meter_shows_commands_that_say_nothing() -> None:
    """Somebody else's command, which may take a minute."""
    terminal = Terminal()
    meter = ProgressBar(terminal, patience=0)
    meter.begin("waiting for health")
    assert terminal.is_used.wait(60)
    meter.end()
    assert "waiting for health" in terminal.getvalue()
    assert "0:00:0" in terminal.getvalue()


def test_a_phase_that_is_over_is_not_shown_late() -> None:
    terminal = Terminal()
    meter = ProgressBar(terminal, patience=1e6)
    before = {*threading.enumerate()}
    meter.begin("switching")
    [timer] = {*threading.enumerate()} - before
    meter.end()
    timer.join(10)
    assert not timer.is_alive() and terminal.getvalue() == ""


def test_it_is_gone_before_an_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends a command in the middle of a phase."""
    ended: list[ProgressBar] = []
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr(ProgressBar, "end", lambda meter: ended.append(meter))
    with pytest.raises(KeyboardInterrupt), click.Context(click.Command("snapshot")):
        meter = Session().progress()
        raise KeyboardInterrupt
    assert ended == [meter]


def test_an_end_without_a_beginning_is_harmless() -> None:
    meter = ProgressBar(Terminal(), patience=0)
    meter.end()
    meter.advance(files=1)
    meter.end()
