"""Which applications are paused: `paused.json` in the store, so that a pause outlives the
daemon.

    {"format":1, "paused":{uuid:{"time":RFC 3339,"by":name}}}

Losing it costs nothing: what was paused is recorded again.
"""

import logging
from pathlib import Path
from typing import Final

import msgspec

from epmstore.atomic import read_file, remove_file, replace_read
from epmstore.errors import DamagedError
from epmstored.app_state import Pause

log = logging.getLogger("epmstored")

FILE: Final = "paused.json"
FORMAT: Final = 1
LIMIT: Final = 1 << 20


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    paused: dict[str, Pause]


def load(store: Path) -> dict[str, Pause]:
    """By UUID. What cannot be read is said, and nothing is paused."""
    try:
        document = _parse(read_file(store / FILE, LIMIT))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, DamagedError) as error:
        log.error("%s cannot be read, nothing is paused: %s", FILE, error)
        return {}
    if document.format != FORMAT:
        log.error("%s has the format %d, nothing is paused", FILE, document.format)
        return {}
    return document.paused


def save(store: Path, paused: dict[str, Pause]) -> None:
    """Durable. Raises OSError."""
    if paused:
        document = _Document(format=FORMAT, paused=paused)
        replace_read(store / FILE, msgspec.json.encode(document) + b"\n", _parse)
    else:
        remove_file(store / FILE)


def _parse(data: bytes) -> _Document:
    return msgspec.json.decode(data, type=_Document)
