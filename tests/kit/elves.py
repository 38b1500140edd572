"""ELF files of a few hundred bytes, which say of themselves what a test wants."""

import struct
from collections.abc import Sequence

PROGRAM, LIBRARY = 2, 3
X86_64, AARCH64 = 62, 183
_HEADER, _ENTRY = 64, 56


def elf(
    *,
    kind: int = LIBRARY,
    machine: int = X86_64,
    soname: str | None = None,
    needed: Sequence[str] = (),
    interpreter: str | None = None,
    build_id: bytes = b"",
) -> bytes:
    texts = bytearray(b"\0")
    tags: list[tuple[int, int]] = []
    for tag, text in [*((1, one) for one in needed), *([(14, soname)] if soname else [])]:
        tags.append((tag, len(texts)))
        texts += text.encode() + b"\0"
    interp = b"" if interpreter is None else interpreter.encode() + b"\0"
    note = struct.pack("<III4s", 4, len(build_id), 3, b"GNU") + build_id if build_id else b""
    count = 2 + bool(interp) + bool(note)
    at_texts = _HEADER + count * _ENTRY
    at_interp = at_texts + len(texts)
    at_note = at_interp + len(interp) + -(at_interp + len(interp)) % 4
    at_tags = at_note + len(note) + -(at_note + len(note)) % 8
    dynamic = b"".join(
        struct.pack("<QQ", *tag) for tag in [*tags, (5, at_texts), (10, len(texts)), (0, 0)]
    )
    size = at_tags + len(dynamic)
    segments = [_segment(1, 0, size), _segment(2, at_tags, len(dynamic))]
    segments += [_segment(3, at_interp, len(interp))] if interp else []
    segments += [_segment(4, at_note, len(note))] if note else []
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", kind, machine, 1, 0, _HEADER, 0, 0, 64, _ENTRY, count, 64, 0, 0
    )
    data = bytearray(size)
    for at, part in [
        (0, head + b"".join(segments)),
        (at_texts, bytes(texts)),
        (at_interp, interp),
        (at_note, note),
        (at_tags, dynamic),
    ]:
        data[at : at + len(part)] = part
    return bytes(data)


def _segment(kind: int, at: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, 4, at, at, at, size, size, 1)
