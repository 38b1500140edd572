"""Documents from elsewhere that are read as a whole (reports, founding catalogs): a process with
limits (epmstore/limited.py) reads them first, and what it gets through is read here.
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

from epmstore import fsio
from epmstore.errors import UsageError
from epmstore.limited import MEMORY, SECONDS, Limits, Reader, serve
from epmstore.vendor.founding import read_founding

MODULE: Final = "epmstore.vendor.rehearsal"
FOR_EACH_BYTE: Final = 8
"""Bytes of memory that a document may take for each of its own, beside what anything may."""
FOR_A_SECOND: Final = 1 << 20
"""Bytes of a document for which reading it may take a second longer."""


class Order(msgspec.Struct, frozen=True):
    """The descriptor of a document, its length, and what it should be."""

    fd: int
    size: int
    kind: Literal["report", "founding"]


def rehearse(kind: Literal["report", "founding"], data: bytes, what: str) -> None:
    """Raises EpmError, naming `what`, if reading a document takes more than one of its size may;
    UsageError if it cannot be read.
    """
    fd = os.memfd_create(kind, os.MFD_CLOEXEC)
    try:
        fsio.write(fd, data)
        limits = Limits(
            memory=MEMORY + FOR_EACH_BYTE * len(data), seconds=SECONDS + len(data) // FOR_A_SECOND
        )
        with Reader(MODULE, Order(fd, len(data), kind), (fd,), limits, what=what) as reader:
            for _ in reader.messages():
                pass
    finally:
        os.close(fd)


def _report(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"it is not JSON: {error}") from None


_KINDS: Final[dict[str, Callable[[str], object]]] = {"report": _report, "founding": read_founding}


def _read(setting: bytes) -> Iterator[object]:
    order = msgspec.msgpack.decode(setting, type=Order)
    with open(order.fd, "rb") as file:
        file.seek(0)
        data = file.read(order.size)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError("it is not UTF-8") from None
    _KINDS[order.kind](text)
    yield len(text)


def main() -> None:
    serve(_read)
