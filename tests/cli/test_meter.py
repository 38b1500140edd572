"""Progress: nothing for short work, something for long work, and no trace of it afterwards."""

import io
from concurrent.futures import ThreadPoolExecutor

from epmstore.cli.meter import Meter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_short_work_is_not_shown() -> None:
    terminal = Terminal()
    meter = Meter(terminal, patience=1e9)
    meter.begin("reading", files=10)
    for _ in range(10):
        meter.advance(files=1)
    meter.end()
    assert terminal.getvalue() == ""


def test_long_work_is_shown_from_any_thread() -> None:
    terminal = Terminal()
    meter = Meter(terminal, patience=0)
    meter.begin("reading", files=100, size=1_000_000)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            pool.submit(meter.advance, files=1, size=10_000)
    meter.begin("writing")
    meter.advance(files=1)
    meter.end()
    assert "reading" in terminal.getvalue()
    assert "1.0/1.0 MB" in terminal.getvalue()
    assert "writing" in terminal.getvalue()


def test_an_end_without_a_beginning_is_harmless() -> None:
    meter = Meter(Terminal(), patience=0)
    meter.end()
    meter.advance(files=1)
    meter.end()
