"""What care remembers: when what was done last, what was proven, how far a rolling check has come.

    care.json  {"format":1, "tasks":{name:{"done":t,"tried":t}}, "proofs":{uuid:{"version","time"}},
                "data":{"seed","position","round"}, "damage":{"time","findings"} or null,
                "read_back":{uuid:share}, "quarantine":{name:t}, "sum":hex}

`sum` is the SHA-256 over the compact JSON of the other keys. A file that is lost or damaged costs
nothing but work that is done again; it says nothing about what is stored. Unknown keys are kept.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from epmstore import locks
from epmstore.atomic import read_file, replace_read
from epmstore.errors import DamagedError

FILE = "care.json"
FORMAT = 1
LIMIT = 16 << 20


class TaskTimes(msgspec.Struct, frozen=True):
    """When a task was done and tried last, in seconds since 1970; None: never."""

    done: float | None = None
    tried: float | None = None


class DrillProof(msgspec.Struct, frozen=True):
    """A version of an application that was restored and compared, and when (RFC 3339)."""

    version: int
    time: str


class Rolling(msgspec.Struct, frozen=True):
    """How far the contents were read in this round: the share from 0 to `position`."""

    seed: int = 0
    position: float = 0.0
    round: int = 0


class DamageNote(msgspec.Struct, frozen=True):
    """What the last check found; `files` below the store are those that it was in."""

    time: str
    findings: int
    files: tuple[str, ...] = ()


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it. `quarantine`: since when, in reckoned time, what is there was seen there."""

    format: int = FORMAT
    tasks: dict[str, TaskTimes] = {}
    proofs: dict[str, DrillProof] = {}
    data: Rolling = Rolling()
    damage: DamageNote | None = None
    read_back: dict[str, int] = {}
    """Of each application (UUID), the number of the share of its files that is read back next."""
    quarantine: dict[str, float] = {}


def load(store: Path) -> Ledger:
    """An empty one if there is none, or none that can be believed. Raises OSError."""
    return _parse(_read(store))


def change(store: Path, edit: Callable[[Ledger], Ledger]) -> Ledger:
    """Durable. Raises OSError, BusyError."""
    with locks.hold(store / "locks", "care"):
        document = _read(store)
        new = edit(_parse(document))
        document.update(msgspec.to_builtins(new))
        document["sum"] = _sum(document)
        replace_read(store / FILE, json.dumps(document).encode() + b"\n", _check_same(new))
    return new


def prove(store: Path, uuid: str, version: int, time: str) -> Ledger:
    """Remember that a version was proven restorable."""
    proof = DrillProof(version, time)
    return change(
        store, lambda old: msgspec.structs.replace(old, proofs={**old.proofs, uuid: proof})
    )


def note_share(store: Path, uuid: str, number: int) -> Ledger:
    """Remember which share of an application's files is read back next."""
    return change(
        store, lambda old: msgspec.structs.replace(old, read_back={**old.read_back, uuid: number})
    )


def _read(store: Path) -> dict[str, Any]:
    try:
        return _document(read_file(store / FILE, LIMIT))
    except (FileNotFoundError, DamagedError):
        return {}


def _check_same(new: Ledger) -> Callable[[bytes], None]:
    """What cannot be believed is read as nothing, so being read is not enough."""

    def check(data: bytes) -> None:
        if _parse(_document(data)) != new:
            raise ValueError("it says something else when it is read")

    return check


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict) or document.get("sum") != _sum(document):
        return {}
    return document if document.get("format") == FORMAT else {}


def _parse(document: dict[str, Any]) -> Ledger:
    try:
        return msgspec.convert(document, Ledger)
    except (ValueError, OverflowError):
        return Ledger()


def _sum(document: dict[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "sum"}
    return hashlib.sha256(json.dumps(rest, separators=(",", ":")).encode()).hexdigest()
