"""The transaction log as JSON Lines: what the table has and the file lacks is appended, so that a
line that a crash kept from the file comes with the next run.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from epmstore import fsio
from epmstore.atomic import directory
from epmstore.clock import to_rfc3339
from epmstore.errors import DamagedError
from epmstore.publish.build import Transaction
from epmstore.publish.buildrecords import BuildRecords

_TAIL = 1 << 16


def line_shape(line: Transaction) -> dict[str, Any]:
    """A line of the log, for other programs."""
    return {
        "type": "transaction",
        "app": None,
        "number": line.number,
        "build": line.build,
        "product": line.product,
        "from": line.before,
        "to": line.after,
        "association": line.association,
        "time": to_rfc3339(line.time),
        "host": line.host,
        "actor": line.actor,
        "why": line.why,
    }


def append_log(path: Path, records: BuildRecords) -> int:
    """Bring the file up to date; how many lines that took. For the preparer alone. Raises OSError,
    DamagedError.
    """
    with directory(path.parent) as parent:
        try:
            fd = fsio.open_append(path.name, parent)
        except FileNotFoundError:
            fd = fsio.create(path.name, parent)
            fsio.sync_directory(parent)
    try:
        end, last = _end(fd, path)
        lines = records.log(last)
        if lines:
            data = b"".join(msgspec.json.encode(line_shape(line)) + b"\n" for line in lines)
            fsio.truncate(fd, end)  # a torn line is written again, whole
            fsio.write_at(fd, data, end)
            fsio.sync_data(fd)
        return len(lines)
    finally:
        os.close(fd)


def _end(fd: int, path: Path) -> tuple[int, int]:
    """Where the last whole line ends, and its number."""
    size = os.fstat(fd).st_size
    start = max(0, size - _TAIL)
    tail = os.pread(fd, size - start, start)
    whole = tail[: tail.rfind(b"\n") + 1]
    if not whole:
        return 0, 0
    try:
        number = msgspec.json.decode(whole.splitlines()[-1])["number"]
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
        number = None
    if not isinstance(number, int):
        raise DamagedError(
            f"{path} ends with a line that is none of the log",
            hint="move it away: the next run writes it anew from the records",
        )
    return start + len(whole), number
