import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from epmstore import codec, seal
from epmstore.blobs import footer, frames
from epmstore.digest import Sha256, identify
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow
from epmstore.seal import SIZE, RecordKind, Seal
from tests.blobs.table import noise, text


def opened(frame: frames.Frame) -> tuple[Seal, bytes]:
    return seal.read(frame.sealed())


@given(st.lists(st.binary(max_size=300), min_size=1))
def test_solid_frames_come_apart_without_a_table(blobs: list[bytes]) -> None:
    found, body = opened(frames.solid(blobs))
    plain = frames.plain_bytes(found, body)
    assert plain == b"".join(blobs)
    assert frames.blob_sizes(found) == [len(data) for data in blobs]


def test_incompressible_contents_are_stored_plain() -> None:
    assert frames.solid([noise(4000)]).kind is RecordKind.STORED
    assert frames.solid([text(100), text(100)]).kind is RecordKind.SOLID
    assert frames.part(noise(4000)).kind is RecordKind.STORED
    assert frames.part(text(100)).kind is RecordKind.PART


def test_a_stored_part_differs_from_a_stored_blob() -> None:
    found, body = opened(frames.part(noise(100)))
    assert frames.blob_sizes(found) == []
    assert frames.plain_bytes(found, body) == noise(100)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=50), st.integers(0, 1 << 40))))
def test_delta_heads(made: list[tuple[bytes, int]]) -> None:
    bases = [identify(frame).sha256 for frame, _ in made]
    deltas = [
        frames.Delta(base, frame, size) for base, (frame, size) in zip(bases, made, strict=True)
    ]
    found, body = opened(frames.deltas(deltas))
    heads = frames.delta_heads(found)
    assert [body[head.offset : head.offset + head.length] for head in heads] == [
        frame for frame, _ in made
    ]
    assert [head.size for head in heads] == [size for _, size in made]
    assert [head.base_prefix for head in heads] == [base[:8] for base in bases]


@given(st.lists(st.integers(0, (1 << 63) - 1)))
def test_varints(numbers: list[int]) -> None:
    head = frames.encode_varints(numbers)
    found, _ = seal.read(seal.seal(RecordKind.SOLID, b"", number=0, head=head))
    assert frames.decode_varints(found) == numbers


@pytest.mark.parametrize("head", [b"\x80", b"\xff" * 12, b"\x05\x80"])
def test_heads_that_end_early_are_refused(head: bytes) -> None:
    found, _ = seal.read(seal.seal(RecordKind.SOLID, b"", number=0, head=head))
    with pytest.raises(DamagedError):
        frames.blob_sizes(found)
    with pytest.raises(DamagedError):
        frames.delta_heads(found)


def test_sizes_that_do_not_add_up_are_refused() -> None:
    head = frames.encode_varints([1, 2])
    found, body = seal.read(seal.seal(RecordKind.STORED, b"four", number=4, head=head) + b"four")
    assert frames.plain_bytes(found, body) == b"four"
    with pytest.raises(DamagedError):
        frames.blob_sizes(found)


digests = st.binary(min_size=32, max_size=32).map(Sha256)


def table() -> tuple[list[FrameRow], list[BlobRow]]:
    """One solid frame with two blobs, one delta, one part of a large blob."""
    shas = [identify(bytes([n])).sha256 for n in range(6)]
    digest = identify(b"").digest
    second = SIZE + 2 + 50
    third = second + SIZE + 10 + 20
    return [
        FrameRow(RecordKind.SOLID, 0, 2, 50, 100),
        FrameRow(RecordKind.DELTA, second, 10, 20, 99),
        FrameRow(RecordKind.PART, third, 0, 30, 77),
    ], [
        BlobRow(digest, shas[0], 60, 0, 0, 60),
        BlobRow(digest, shas[1], 40, 0, 60, 40),
        BlobRow(digest, shas[2], 99, 1, 0, 20, shas[0]),
        BlobRow(None, shas[3], 77, 2, 0, 77),
        BlobRow(digest, shas[4], 77 * 2, NO_FRAME, 0, 0, None, (shas[3], shas[3])),
        BlobRow(digest, shas[5], 0, NO_FRAME, 0, 0, None, ()),
    ]


def test_the_table_comes_back() -> None:
    rows, blobs = table()
    group = footer.decode(*opened(footer.encode(rows, blobs)))
    assert list(group.frames) == rows
    assert list(group.blobs) == blobs
    end = footer.frame_end(rows[-1])
    assert group.length == end + len(footer.encode(rows, blobs).sealed())


def test_the_table_is_json() -> None:
    _, body = opened(footer.encode(*table()))
    document = json.loads(zstandard.ZstdDecompressor().decompress(body))
    assert document["format"] == 1
    assert document["frames"]["kind"] == "SDP"
    assert document["blobs"]["sha256"][64:128] == identify(b"\x01").sha256.hex()
    assert document["base"] == {"2": identify(b"\x00").sha256.hex()}
    assert document["parts"]["4"] == identify(b"\x03").sha256.hex() * 2


def test_a_large_table_costs_little_more_than_its_digests() -> None:
    infos = [identify(b"%d" % n) for n in range(5000)]
    blobs = [BlobRow(info.digest, info.sha256, 1, 0, n, 1) for n, info in enumerate(infos)]
    frame = footer.encode([FrameRow(RecordKind.SOLID, 0, 5000, 5000, 5000)], blobs)
    assert len(frame.body) < 5000 * 57


def refuse(change: tuple[str, str, object]) -> None:
    _, body = opened(footer.encode(*table()))
    document = json.loads(zstandard.ZstdDecompressor().decompress(body))
    section, column, value = change
    if column:
        document[section][column] = value
    else:
        document[section] = value
    plain = json.dumps(document).encode()
    body = codec.compress(plain)
    record = seal.seal(RecordKind.FOOTER, body, number=len(plain)) + body
    with pytest.raises(DamagedError):
        footer.decode(*seal.read(record))


@pytest.mark.parametrize(
    "change",
    [
        ("format", "", 2),
        ("frames", "kind", "SD?"),
        ("frames", "kind", "SD"),
        ("frames", "kind", "SDF"),
        ("frames", "kind", "SDé"),
        ("frames", "offset", [0, 1, 2]),
        ("frames", "plain", [100, 99, -1]),
        ("blobs", "frame", [0, 0, 1, 3, -1, -1]),
        ("blobs", "frame", [0, 0, 1, -2, -1, -1]),
        ("blobs", "offset", [0, 61, 0, 0, 0, 0]),
        ("blobs", "offset", [-1, 60, 0, 0, 0, 0]),
        ("blobs", "length", [60, 39, 20, 77, 0, 0]),
        ("blobs", "size", [60, 40, 99, 77, 154]),
        ("blobs", "size", [60, 40, -1, 77, 154, 0]),
        ("blobs", "sha256", "00"),
        ("blobs", "digest", "no digits"),
        ("base", "", {}),
        ("base", "", {"2": "00"}),
        ("base", "", {"0": "00" * 32, "2": "00" * 32}),
        ("parts", "", {"4": "00" * 31}),
        ("blobs", "", None),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change: tuple[str, str, object]) -> None:
    refuse(change)


def test_unknown_keys_of_a_table_are_left_alone() -> None:
    rows, blobs = table()
    _, body = opened(footer.encode(rows, blobs))
    document = json.loads(zstandard.ZstdDecompressor().decompress(body))
    document["blobs"]["colour"] = ["red"]
    plain = json.dumps(document).encode()
    body = codec.compress(plain)
    record = seal.seal(RecordKind.FOOTER, body, number=len(plain)) + body
    assert list(footer.decode(*seal.read(record)).blobs) == blobs
