"""The file FORMAT: what says that a folder is a store, of which format, and whose.

    {"format": 1, "uuid": "<hex>", "machine": "<hash>", "sum": "<sha-256>"}

`machine` is a hash of the machine's id: a cloned image has the same store under another machine,
and must not go on as if it were the original. `sum` is the SHA-256 over the compact JSON of the
other keys in their order. An unknown format is refused; unknown keys are kept. `features` may be
there, too: words for what a program has to know to work with this store. A program that does not
know one of them refuses the store.
"""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any, Final

import msgspec

from epmstore.atomic import read_file, replace_read
from epmstore.errors import ConflictError, DamagedError, NoStoreError

FILE = "FORMAT"
FORMAT = 1
LIMIT = 1 << 16
FEATURES: Final[frozenset[str]] = frozenset()
"""What a store may need that this release knows: nothing so far."""
_NEWER: Final = "use the release of epmstore that wrote it, or a newer one"


class Identity(msgspec.Struct, frozen=True):
    """Which store this is."""

    uuid: str
    machine: str


def hash_machine(machine_id: str) -> str:
    """What stands for a machine in FORMAT; the id itself is not to be told."""
    return hashlib.sha256(b"epmstore machine " + machine_id.strip().encode()).hexdigest()[:32]


def create(path: Path, machine: str) -> Identity:
    """Write FORMAT into a prepared folder: the last step of making a store. Raises OSError."""
    identity = Identity(uuid.uuid4().hex, machine)
    _write(path, {"format": FORMAT, "uuid": identity.uuid, "machine": machine})
    return identity


def read(path: Path) -> Identity:
    """Raises NoStoreError (none there, of a newer format, or one that needs what is not known),
    DamagedError.
    """
    document = _read(path)
    number = document["format"]
    if number != FORMAT:
        raise NoStoreError(
            f"the store at {path} has format {number}; this release reads format {FORMAT}",
            hint=_NEWER,
            format=number,
        )
    _check_features(document.get("features"), path)
    try:
        found = msgspec.convert(document, Identity)
    except ValueError:
        raise _damaged(path) from None
    if not (found.uuid.isascii() and found.uuid.isalnum()):
        raise _damaged(path)
    return found


def _check_features(features: object, path: Path) -> None:
    try:
        needed = msgspec.convert(features, list[str] | None) or []
    except msgspec.ValidationError:
        raise _damaged(path) from None
    unknown = sorted(set(needed) - FEATURES)
    if unknown:
        raise NoStoreError(
            f"the store at {path} needs {', '.join(unknown)}, which this release does not know",
            hint=_NEWER,
            features=unknown,
        )


def check_machine(path: Path, identity: Identity, machine: str) -> None:
    """Raises ConflictError if the store was made, or last adopted, on another machine."""
    if identity.machine != machine:
        raise ConflictError(
            f"the store at {path} belongs to another machine (a cloned image, or a moved disk)",
            hint="`epmstore store adopt --moved` if the disk moved here,"
            " `epmstore store adopt --new-host` if this is a copy",
        )


def adopt(path: Path, machine: str, *, new_store: bool) -> Identity:
    """Make the store this machine's, with a UUID of its own if it is a copy of a living one."""
    document = _read(path)
    document["machine"] = machine
    if new_store:
        document["uuid"] = uuid.uuid4().hex
    _write(path, document)
    return read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_file(path / FILE, LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_store(path) from None
    return _parse(data, path)


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise _damaged(path)
    if document.get("sum") != _sum(document):
        raise _damaged(path)
    return document


def _no_store(path: Path) -> NoStoreError:
    """There is none, or there was one: who dies while it is made leaves no catalog."""
    if any((path / "catalogs").glob("*")):
        text, hint = f"{FILE} of the store at {path} is missing", "take it from a copy of the store"
    else:
        text = f"there is no store at {path}"
        hint = "make one with `epmstore init`, or name another with --store"
    return NoStoreError(text, hint=hint, path=str(path))


def _write(path: Path, document: dict[str, Any]) -> None:
    full = {**document, "sum": _sum(document)}
    replace_read(path / FILE, json.dumps(full).encode() + b"\n", lambda data: _parse(data, path))


def _sum(document: dict[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "sum"}
    return hashlib.sha256(json.dumps(rest, separators=(",", ":")).encode()).hexdigest()


def _damaged(path: Path) -> DamagedError:
    return DamagedError(
        f"the file {FILE} of the store at {path} is damaged",
        hint=f"restore {FILE} from a copy of the store; nothing else is affected",
        file=FILE,
    )
