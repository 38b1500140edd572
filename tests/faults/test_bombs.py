"""Compressed data that lies: refused before memory is taken for it, by both implementations.

Each case is tried in a process whose address space is bounded, and whose peak is looked at.
"""

import json
import resource
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from epmstore import codec, rescue, seal
from epmstore.blobs import footer, frames
from epmstore.catalog.format import open_line
from epmstore.errors import DamagedError
from epmstore.seal import RecordKind, Seal

TOP = Path(__file__).parents[2]
ROOM = 400 << 20
"""Address space beyond what an idle process has."""
PEAK = 64 << 20
MIB = 1 << 20
TOO_LARGE = frames.LARGEST + 1
TIB = 1 << 40


def compressed(data: bytes, **options: int) -> bytes:
    level = options.pop("level", 3)
    if options:
        parameters = zstandard.ZstdCompressionParameters.from_level(level, **options)
        return zstandard.ZstdCompressor(compression_params=parameters).compress(data)
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(data)


def header(size: int, window_log: int = 0) -> bytes:
    """A frame's header that states a size of eight bytes, and nothing behind it."""
    if window_log:
        return b"\x28\xb5\x2f\xfd\xc0" + bytes([(window_log - 10) << 3]) + struct.pack("<Q", size)
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", size)


def unknown_size(data: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, write_content_size=0)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def streamed(size: int) -> bytes:
    """A frame of so many zeros that does not say so."""
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    pieces = [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join(pieces) + packer.flush()


def lying(real: int, stated: int) -> bytes:
    """A frame of `real` zeros whose header states another size."""
    frame = bytearray(compressed(bytes(real)))
    found = zstandard.get_frame_parameters(bytes(frame))
    assert found.content_size == real
    body = bytes(frame[zstandard.frame_header_size(bytes(frame)) :])
    return header(stated, 20) + body


SOUND = compressed(b"sound content" * 20)
SIZE = 13 * 20
CASES: dict[str, tuple[bytes, int]] = {
    "more than was said": (compressed(bytes(50_000_000)), 1000),
    "less than was said": (compressed(bytes(1000)), 50_000_000),
    "a terabyte, truly": (header(TIB), TIB),
    "a terabyte, falsely": (header(TIB), 1000),
    "a terabyte of window": (header(1000, 40), 1000),
    "a gigabyte of window": (header(1000, 30), 1000),
    "states less than it has": (lying(50_000_000, 1000), 1000),
    "states more than it has": (lying(1000, 50_000_000), 50_000_000),
    "no size": (unknown_size(b"x" * 1000), 1000),
    "no size, and large": (streamed(256 * MIB), 1000),
    "no size, and zero wanted": (unknown_size(b"x" * 1000), 0),
    "two frames": (SOUND + SOUND, SIZE),
    "two frames, said so": (SOUND + SOUND, 2 * SIZE),
    "something behind it": (SOUND + b"\0", SIZE),
    "skippable": (struct.pack("<II", 0x184D2A50, 4) + b"skip", 4),
    "skippable before it": (struct.pack("<II", 0x184D2A50, 0) + SOUND, SIZE),
    "a dictionary": (
        zstandard.ZstdCompressor(
            dict_data=zstandard.ZstdCompressionDict(b"sound content" * 9)
        ).compress(b"sound content" * 20)[:4]
        + b"\x23\x07"
        + SOUND[6:],
        SIZE,
    ),
    "a reserved bit": (SOUND[:4] + bytes([SOUND[4] | 8]) + SOUND[5:], SIZE),
    "nothing": (b"", 0),
    "another magic": (b"\x1f\x8b\x08\x00" + SOUND[4:], SIZE),
    "a wrong checksum": (SOUND[:-1] + bytes([SOUND[-1] ^ 1]), SIZE),
}
CASES |= {f"cut at {at}": (SOUND[:at], SIZE) for at in range(len(SOUND))}


def attempts() -> Iterator[tuple[str, Callable[[bytes, int], object]]]:
    """Everybody who decodes."""
    yield "codec", codec.decompress
    yield "delta", lambda frame, size: codec.decompress_delta(frame, b"base" * 10, size)
    yield "rescue", lambda frame, size: rescue.unzip(frame, size)
    yield "rescue, delta", lambda frame, size: rescue.unzip(frame, size, b"base" * 10)
    yield (
        "frame",
        lambda frame, size: frames.plain_bytes(sealed(RecordKind.SOLID, frame, size), frame),
    )
    yield "line", lambda frame, size: open_line(sealed(RecordKind.LINE, frame, size), frame)
    yield "table", lambda frame, size: footer.decode(sealed(RecordKind.FOOTER, frame, size), frame)


def sealed(kind: RecordKind, body: bytes, number: int) -> Seal:
    return seal.parse(seal.seal(kind, body, number=number) + body)


def refused() -> list[str]:
    """What is accepted that should not be, and what takes too much memory."""
    wrong = []
    for name, attempt in attempts():
        for case, (frame, size) in CASES.items():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
            try:
                attempt(frame, size)
            except (DamagedError, rescue.Damage):
                pass
            except MemoryError:
                wrong.append(f"{name}: {case} takes all memory")
            else:
                wrong.append(f"{name}: {case} is accepted")
            peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before
            if peak > PEAK:
                wrong.append(f"{name}: {case} takes {peak >> 20} MiB")
    return wrong


def test_lies_are_refused_before_memory_is_taken() -> None:
    script = (
        "import json, resource\n"
        "from tests.faults import test_bombs\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * 4096 + test_bombs.ROOM\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
        "print(json.dumps(test_bombs.refused()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
    assert len(CASES) >= 30


def test_sound_frames_are_accepted() -> None:
    """Or the test above proves nothing."""
    assert codec.decompress(SOUND, SIZE) == b"sound content" * 20
    delta = codec.compress_delta(b"base" * 9 + b"!", b"base" * 10)
    assert codec.decompress_delta(delta, b"base" * 10, 37) == b"base" * 9 + b"!"
    assert rescue.unzip(delta, 37, b"base" * 10) == b"base" * 9 + b"!"


@pytest.mark.parametrize("kind", [RecordKind.SOLID, RecordKind.PART, RecordKind.STORED])
def test_frames_have_a_largest_size(kind: RecordKind) -> None:
    """A frame that says the truth, and would fill the memory all the same."""
    size = TOO_LARGE
    body = bytes(size) if kind is RecordKind.STORED else compressed(bytes(size))
    with pytest.raises(DamagedError):
        frames.plain_bytes(sealed(kind, body, size), body)
    with pytest.raises(DamagedError):
        codec.decompress_delta(compressed(bytes(size)), b"base" * 10, codec.LARGEST_DELTA + 1)
