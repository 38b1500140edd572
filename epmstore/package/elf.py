"""What ELF files of a package say of themselves: looked at when it is made, by a process of its own
(elfchild.py). Needs and offers of libraries follow from it (sonames.py), and tables for people.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from epmstore import fsio
from epmstore.digest import BlobInfo, Sha256
from epmstore.limited import LimitedReader
from epmstore.package.elfchild import ElfOrder, ElfSaid
from epmstore.package.tables import PackageRow, PartsOf
from epmstore.relpath import to_json
from epmstore.tree import Entry

MODULE: Final = "epmstore.package.elfchild"
MAGIC: Final = b"\x7fELF"
LARGEST: Final = 512 << 20
"""Bytes of a file that is looked at."""
BATCH: Final = 64 << 20
"""Bytes that are given to one process, or one file."""
UNSTORED: Final = ("state", "secret")
_NAMED: Final = re.compile(r"\.so(?:\.|$)|\.ko$")
_SONAME: Final = re.compile(r"[!-.0-~]{1,255}")
_INTERPRETER: Final = re.compile(r"/[!-~]{1,4095}")
ElfFiles: TypeAlias = Mapping[Sha256, ElfSaid]
Stream: TypeAlias = Callable[[BlobInfo], Iterator[bytes]]


def elf_files(entries: Iterable[Entry], stream: Stream) -> ElfFiles:
    """Those among the files of a tree, by their contents: asked of what may be run, and of what is
    called as libraries and modules are. `stream` gives contents. Raises EpmError if one comes to
    more than reading one may, OSError, and what `stream` raises.
    """
    found: dict[Sha256, ElfSaid] = {}
    batch: list[tuple[Sha256, bytes]] = []
    held = 0
    for info in _asked(entries):
        data = _whole(info, stream)
        if data is None:
            continue
        batch.append((info.sha256, data))
        held += len(data)
        if held >= BATCH:
            found |= _read(batch)
            batch, held = [], 0
    return found | _read(batch)


def elf_rows(
    entries: Sequence[Entry], known: ElfFiles, key: str, parts: PartsOf
) -> dict[str, Sequence[PackageRow]]:
    """The tables of ELF files for people. Pure."""
    libraries: list[PackageRow] = []
    needed: list[PackageRow] = []
    contents: dict[Sha256, ElfSaid] = {}
    for entry in entries:
        said = None if entry.content is None else known.get(entry.content.sha256)
        if said is None or entry.content is None:
            continue
        contents[entry.content.sha256] = said
        path, part = to_json(entry.path), parts.of(entry.path)
        if said.soname is not None:
            libraries.append((path, key, part, said.soname))
        needed += [(path, soname, key, part) for soname in said.needed]
    return {
        "libraries": libraries,
        "librarydeps": sorted(needed, key=lambda row: (str(row[0]).encode(), str(row[1]))),
        "elf": [
            (sha256, one.type, one.machine, one.soname, one.interpreter, one.build_id)
            for sha256, one in sorted(contents.items())
        ],
    }


def _asked(entries: Iterable[Entry]) -> Iterable[BlobInfo]:
    """Contents of files that may be ELF, each once."""
    return dict.fromkeys(
        entry.content
        for entry in entries
        if entry.content is not None
        and entry.path_class not in UNSTORED
        and len(MAGIC) < entry.content.size <= LARGEST
        and (entry.mode & 0o111 or _NAMED.search(entry.path))
    )


def _whole(info: BlobInfo, stream: Stream) -> bytes | None:
    """The content, if it is ELF."""
    data = bytearray()
    for piece in stream(info):
        data += piece
        if len(data) >= len(MAGIC) and not data.startswith(MAGIC):
            return None
    return bytes(data)


def _read(batch: Sequence[tuple[Sha256, bytes]]) -> dict[Sha256, ElfSaid]:
    if not batch:
        return {}
    fd = os.memfd_create("elf", os.MFD_CLOEXEC)
    try:
        places = []
        at = 0
        for _, data in batch:
            fsio.write(fd, data)
            places.append((at, len(data)))
            at += len(data)
        with LimitedReader(MODULE, ElfOrder(fd, places), (fd,), what="an ELF file") as reader:
            said = [msgspec.msgpack.decode(m, type=ElfSaid | None) for m in reader.messages()]
    finally:
        os.close(fd)
    pairs = zip((sha256 for sha256, _ in batch), said, strict=True)
    return {sha256: _sound(one) for sha256, one in pairs if one is not None}


def _sound(said: ElfSaid) -> ElfSaid:
    """Without names that are none."""
    interpreter = said.interpreter
    return msgspec.structs.replace(
        said,
        machine=said.machine[:32],
        soname=said.soname if _SONAME.fullmatch(said.soname or "") else None,
        needed=tuple(one for one in said.needed if _SONAME.fullmatch(one)),
        interpreter=interpreter if _INTERPRETER.fullmatch(interpreter or "") else None,
        build_id=None if said.build_id is None else said.build_id[:64],
    )
