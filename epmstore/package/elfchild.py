"""What reads ELF files, in a process of its own within the limits of epmstore/limited.py: files of
a package may be of strangers. One that cannot be read is said to be none.
"""

import io
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal, TypeAlias

import msgspec
from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment, NoteSegment

from epmstore.limited import serve
from epmstore.refcat.archives import FilePart

MOST: Final = 1000
"""Segments, tags and notes that are looked at in one file."""
ElfType: TypeAlias = Literal["program", "library", "object", "other"]
_BROKEN: Final = (
    *(ELFError, ConstructError, struct.error, EOFError, OSError, ValueError, TypeError),
    *(ArithmeticError, LookupError, AttributeError, AssertionError, NotImplementedError),
)


class ElfOrder(msgspec.Struct, frozen=True):
    """The descriptor of a file in which ELF files stand, with the place and length of each."""

    fd: int
    places: list[tuple[int, int]]


class ElfSaid(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What an ELF file says of itself: what it is, and for which machine; its soname, those that
    it needs, the program that starts it, and the id of its build.
    """

    type: ElfType
    machine: str
    soname: str | None = None
    needed: tuple[str, ...] = ()
    interpreter: str | None = None
    build_id: bytes | None = None


def read(setting: bytes) -> Iterator[ElfSaid | None]:
    order = msgspec.msgpack.decode(setting, type=ElfOrder)
    with open(order.fd, "rb") as file:
        for start, size in order.places:
            yield read_elf(io.BufferedReader(FilePart(file, start, size)))


def read_elf(file: io.BufferedReader) -> ElfSaid | None:
    """What one says; None for what is none, or is damaged."""
    try:
        elf = ELFFile(file)
        return _said(elf)
    except _BROKEN:
        return None


def _said(elf: ELFFile) -> ElfSaid:
    soname: str | None = None
    interpreter = build_id = None
    needed: dict[str, None] = {}
    for segment in islice(elf.iter_segments(), MOST):
        if isinstance(segment, InterpSegment):
            interpreter = segment.get_interp_name()
        elif isinstance(segment, DynamicSegment):
            for tag in islice(segment.iter_tags(), MOST):
                if tag.entry.d_tag == "DT_NEEDED":
                    needed[str(vars(tag)["needed"])] = None
                elif tag.entry.d_tag == "DT_SONAME":
                    soname = str(vars(tag)["soname"])
        elif isinstance(segment, NoteSegment):
            for note in islice(segment.iter_notes(), MOST):
                if note["n_type"] == "NT_GNU_BUILD_ID":
                    build_id = bytes.fromhex(note["n_desc"])
    return ElfSaid(
        type=_type(elf.header["e_type"], interpreter, soname),
        machine=str(elf.header["e_machine"]).removeprefix("EM_").lower(),
        soname=soname,
        needed=tuple(needed),
        interpreter=interpreter,
        build_id=build_id,
    )


def _type(said: object, interpreter: str | None, soname: str | None) -> ElfType:
    """Programs may be laid out as libraries are, and some libraries can be started."""
    if said == "ET_EXEC" or (said == "ET_DYN" and interpreter is not None and soname is None):
        return "program"
    return "library" if said == "ET_DYN" else "object" if said == "ET_REL" else "other"


def main() -> None:
    serve(read)
