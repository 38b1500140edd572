"""What the daemon says to its log: one line for each thing, as text or as JSON.

What stands in a message may be a file name that any user chose: no line end and no control
character gets through, so that no user writes lines of his own or turns a terminal upside down.
"""

import json
import logging

from epmstore.clock import to_rfc3339

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """`epmstored: INFO: crm: version 7 (event), 3 paths`; the journal knows the time."""

    def __init__(self) -> None:
        super().__init__("epmstored: %(levelname)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        more = " ".join(f"{key}={value}" for key, value in _extras(record).items())
        return "\n    ".join(map(plain, [f"{lines[0]} {more}".rstrip(), *lines[1:]]))


class JsonFormatter(logging.Formatter):
    """`{"time":..., "level":"info", "logger":..., "message":...}` and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        shape: dict[str, object] = {
            "time": to_rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": plain(record.getMessage()),
            **_extras(record),
        }
        if record.exc_info:
            shape["trace"] = self.formatException(record.exc_info)
        return json.dumps(shape, ensure_ascii=True, default=str, separators=(",", ":"))


def plain(text: str) -> str:
    """Every character that is not printable as an escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
