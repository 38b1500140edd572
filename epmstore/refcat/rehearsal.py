"""Documents from elsewhere that are read as a whole (reports, founding catalogs, keys): a process
with limits (epmstore/limited.py) reads them first, and what it gets through is read here.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore import fsio
from epmstore.errors import UsageError
from epmstore.limited import MEMORY, SECONDS, LimitedReader, ReadLimits, serve
from epmstore.refcat.founding import read_founding
from epmstore.refcat.signature import read_key

MODULE: Final = "epmstore.refcat.rehearsal"
FOR_EACH_BYTE: Final = 8
"""Bytes of memory that a document may take for each of its own, beside what anything may."""
FOR_A_SECOND: Final = 1 << 20
"""Bytes of a document for which reading it may take a second longer."""
DocumentKind: TypeAlias = Literal["report", "founding", "key"]


class DocumentOrder(msgspec.Struct, frozen=True):
    """The descriptor of a document, its length, and what it should be."""

    fd: int
    size: int
    kind: DocumentKind


def rehearse(kind: DocumentKind, data: bytes, what: str) -> None:
    """Raises EpmError, naming `what`, if reading a document takes more than one of its size may;
    UsageError if it cannot be read.
    """
    fd = os.memfd_create(kind, os.MFD_CLOEXEC)
    try:
        fsio.write(fd, data)
        limits = ReadLimits(
            memory=MEMORY + FOR_EACH_BYTE * len(data), seconds=SECONDS + len(data) // FOR_A_SECOND
        )
        with LimitedReader(
            MODULE, DocumentOrder(fd, len(data), kind), (fd,), limits, what=what
        ) as reader:
            for _ in reader.messages():
                pass
    finally:
        os.close(fd)


def _report(data: bytes) -> object:
    try:
        return msgspec.json.decode(_text(data))
    except ValueError as error:
        raise UsageError(f"it is not JSON: {error}") from None


def _founding(data: bytes) -> object:
    return read_founding(_text(data))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError("it is not UTF-8") from None


_KINDS: Final[dict[DocumentKind, Callable[[bytes], object]]] = {
    "report": _report,
    "founding": _founding,
    "key": read_key,
}


def _read(setting: bytes) -> Iterator[object]:
    order = msgspec.msgpack.decode(setting, type=DocumentOrder)
    with open(order.fd, "rb") as file:
        file.seek(0)
        data = file.read(order.size)
    _KINDS[order.kind](data)
    yield len(data)


def main() -> None:
    serve(_read)
