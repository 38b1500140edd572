import hashlib
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from epmstore import codec, seal
from epmstore.errors import DamagedError, TornError
from epmstore.seal import SIZE, RecordKind

kinds = st.sampled_from(list(RecordKind))
numbers = st.integers(0, (1 << 64) - 1)


@given(kinds, st.binary(), st.binary(max_size=300), numbers, st.binary(max_size=20))
def test_records_come_back(
    kind: RecordKind, body: bytes, head: bytes, number: int, lead: bytes
) -> None:
    data = lead + seal.seal(kind, body, number=number, head=head) + body + b"more"
    found, read = seal.read(data, len(lead), base=0)
    assert (found.kind, found.head, found.number, read) == (kind, head, number, body)
    assert found.offset == len(lead)
    assert found.end == len(data) - 4
    assert data[found.body_offset : found.end] == body


def test_as_drawn() -> None:
    header = seal.seal(RecordKind.LINE, b"body", number=7, head=b"xyz")
    fixed = struct.pack("<II4scxxxQQ", 0x184D2A5E, 59, b"EPM1", b"L", 4, 7)
    assert header == fixed + hashlib.sha256(fixed + b"xyzbody").digest() + b"xyz"
    assert len(header) == SIZE + 3


def test_a_window_of_a_file() -> None:
    record = seal.seal(RecordKind.SOLID, b"body", number=4) + b"body"
    found, body = seal.read(memoryview(record), base=1000)
    assert (found.offset, found.end, body) == (1000, 1000 + len(record), b"body")
    assert isinstance(body, bytes)


def test_every_flipped_bit_is_found() -> None:
    record = seal.seal(RecordKind.SOLID, b"the body", number=8, head=b"head") + b"the body"
    for at in range(len(record) * 8):
        hurt = bytearray(record)
        hurt[at // 8] ^= 1 << at % 8
        with pytest.raises(DamagedError):
            seal.read(bytes(hurt))


def test_every_cut_is_torn() -> None:
    record = seal.seal(RecordKind.SOLID, b"the body", number=8, head=b"head") + b"the body"
    for size in range(len(record)):
        with pytest.raises(TornError) as caught:
            seal.read(record[:size], base=50)
        assert caught.value.data["offset"] == 50


def test_damage_is_not_torn() -> None:
    record = bytearray(seal.seal(RecordKind.SOLID, b"body", number=4) + b"body")
    record[-1] ^= 1
    with pytest.raises(DamagedError) as caught:
        seal.read(bytes(record))
    assert not isinstance(caught.value, TornError)


def test_an_unknown_kind_is_refused() -> None:
    fixed = struct.pack("<II4scxxxQQ", 0x184D2A5E, 56, b"EPM1", b"?", 0, 0)
    with pytest.raises(DamagedError, match="unknown kind"):
        seal.read(fixed + hashlib.sha256(fixed).digest())


def test_a_head_beyond_bounds_is_refused() -> None:
    for follow in (0, 55, seal.MAX_HEAD + 1, (1 << 32) - 1):
        fixed = struct.pack("<II4scxxxQQ", 0x184D2A5E, follow, b"EPM1", b"S", 0, 0)
        with pytest.raises(DamagedError):
            seal.parse(fixed + hashlib.sha256(fixed).digest())


def test_zstd_skips_seals() -> None:
    """So that `zstdcat` shows what stands between them."""
    data = b""
    for line in (b"one\n", b"two\n"):
        body = codec.compress(line)
        data += seal.seal(RecordKind.LINE, body, number=len(line), head=b"head") + body
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        assert reader.read() == b"one\ntwo\n"
