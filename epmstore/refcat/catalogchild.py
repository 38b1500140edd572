"""What examines a catalog from elsewhere, and its signature: in a process of its own, within the
limits of epmstore/limited.py. What it says is sound may be read by the caller.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import msgspec

from epmstore import codec
from epmstore.catalog.format import decode_line
from epmstore.catalog.model import AboutRecord, Requirement
from epmstore.errors import BadCatalogError, DamagedError, EpmError
from epmstore.limited import serve
from epmstore.refcat.checker import CheckedRelease, Checker
from epmstore.refcat.signature import Fingerprint, PublicKey, check_signature
from epmstore.refcat.strict import MAX_LINE

FREE = 128 << 20
"""Plain bytes that any catalog may come to; beyond, RATIO for each of its own."""
RATIO = 200
OFTEN = 1 << 20
"""Plain bytes between two words about how far it is."""
_FRAME, _SKIPPABLE = b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
"""How zstd's frames begin, and those that it skips (after a first byte): seals are such."""


class CatalogOrder(msgspec.Struct, frozen=True):
    """The descriptor of the catalog and its length; its signature, with the keys that count and the
    time; and what the newest releases of all applications need (for circles).
    """

    fd: int
    size: int
    signature: bytes | None
    keys: Sequence[PublicKey]
    now: float
    needs: Mapping[str, Sequence[Requirement]]


class Verdict(msgspec.Struct, frozen=True, tag="verdict"):
    """A sound catalog: its lines and releases, and who signed it."""

    lines: int
    head: str
    releases: Sequence[CheckedRelease]
    signer: Fingerprint | None


class SoFar(msgspec.Struct, frozen=True, tag="sofar"):
    """Plain bytes that were examined since the last word."""

    size: int


def examine(data: bytes, order: CatalogOrder) -> Iterator[SoFar | Verdict]:
    """What is to be said of a catalog, the verdict last. Raises BadCatalogError, TrustError and its
    kin, NoStoreError for a newer format.
    """
    signer = None
    if order.signature is not None:
        signer = check_signature(data, order.signature, order.keys, order.now).fingerprint
    checker: Checker | None = None
    done = 0
    for plain in plain_lines(data):
        if checker is None:
            checker = Checker(_others(plain, order.needs))
        checker.add(plain)
        done += len(plain)
        if done >= OFTEN:
            yield SoFar(done)
            done = 0
    checker = checker or Checker()
    checker.finish()
    yield Verdict(checker.lines, checker.head, checker.releases, signer)


def plain_lines(data: bytes) -> Iterator[bytes]:
    """The lines of a catalog as it comes: plain, compressed, or sealed like a store's own. Raises
    BadCatalogError.
    """
    file: IO[bytes] = io.BytesIO(data)
    if data[:4] == _FRAME or data[1:4] == _SKIPPABLE:
        file = codec.open_stream(file)
    most = FREE + RATIO * len(data)
    total = 0
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(min(MAX_LINE, most - total) + 2)
        except DamagedError as error:
            raise BadCatalogError(f"line {number}: {error.message}", line=number) from None
        if not line:
            return
        total += len(line)
        if total > most:
            raise BadCatalogError(
                f"it comes to more than {most:,} bytes, from {len(data):,}", line=number
            )
        yield line


def _others(
    first: bytes, needs: Mapping[str, Sequence[Requirement]]
) -> dict[str, Sequence[Requirement]]:
    try:
        _, record = decode_line(first)
    except EpmError:  # the checker will say
        return {}
    if not isinstance(record, AboutRecord):
        return {}
    return {app: needed for app, needed in needs.items() if app != record.app}


def _read(setting: bytes) -> Iterator[object]:
    order = msgspec.msgpack.decode(setting, type=CatalogOrder)
    with open(order.fd, "rb") as file:
        file.seek(0)
        data = file.read(order.size)
    yield from examine(data, order)


def main() -> None:
    serve(_read)
