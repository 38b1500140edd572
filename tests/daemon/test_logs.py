"""One line for each thing, whatever stands in it."""

import json
import logging

import pytest

from epmstored.logs import JsonFormatter, TextFormatter, plain


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    found = logging.makeLogRecord(
        {"name": "epmstored.api", "levelname": "WARNING", "msg": message, "args": args, **extra}
    )
    return found


HOSTILE = "a\nepmstored: ERROR: forged\r\x1b[2J\x00\u202e\udcff"


def test_text() -> None:
    line = TextFormatter().format(record("%s: version %d", "crm", 7, status=200))
    assert line == "epmstored: WARNING: crm: version 7 status=200"


def test_json() -> None:
    shape = json.loads(JsonFormatter().format(record("%s", "crm", status=200)))
    assert (shape["message"], shape["level"], shape["status"]) == ("crm", "warning", 200)
    assert shape["time"].endswith("Z")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_name_cannot_write_lines_of_its_own(formatter: logging.Formatter) -> None:
    text = formatter.format(record("%s", HOSTILE))
    assert not [line for line in text.split("\n")[1:] if not line.startswith("    ")]
    assert "\x1b" not in text and "\x00" not in text and "\r" not in text
    text.encode()


def test_errors_are_told_whole() -> None:
    try:
        raise ZeroDivisionError("x")
    except ZeroDivisionError as error:
        info = (type(error), error, error.__traceback__)
    assert "ZeroDivisionError: x" in TextFormatter().format(record("failed", exc_info=info))
    assert "ZeroDivisionError" in JsonFormatter().format(record("failed", exc_info=info))


def test_plain() -> None:
    assert plain("ä b") == "ä b"
    assert plain("a\tb\n") == "a\\tb\\n"
