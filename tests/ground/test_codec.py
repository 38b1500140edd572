import os
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from epmstore import codec
from epmstore.errors import DamagedError

DICTIONARY_MAGIC = bytes.fromhex("37a430ec")


@given(st.binary())
@pytest.mark.parametrize("level", [1, 3, 9])
def test_frames_come_back(level: int, data: bytes) -> None:
    frame = codec.compress(data, level)
    assert codec.decompress(frame, len(data)) == data
    assert codec.decompress(memoryview(frame), len(data)) == data


@given(st.binary(), st.binary())
@example(b"", b"")
@example(b"seven b", b"seven b")
@example(b"eight by", b"eight by")
@example(b"a" * 99, DICTIONARY_MAGIC + b"a" * 99)
def test_deltas_come_back(data: bytes, base: bytes) -> None:
    frame = codec.compress_delta(data, base)
    assert codec.decompress_delta(frame, base, len(data)) == data


@pytest.mark.parametrize("wanted", [0, 1, 999, 150_000, 250_000, 300_000])
def test_the_head_of_a_frame(wanted: int) -> None:
    data = b"".join(b"%d\n" % number for number in range(60_000))[:300_000]
    head = codec.decompress_head(codec.compress(data), len(data), wanted)
    assert len(head) >= wanted
    assert data.startswith(head)


def test_the_head_of_a_frame_that_is_cut_is_damaged() -> None:
    frame = codec.compress(os.urandom(300_000))
    with pytest.raises(DamagedError):
        codec.decompress_head(frame[:1000], 300_000, 150_000)
    with pytest.raises(DamagedError):
        codec.decompress_head(frame, 300_001, 5)


def test_a_delta_of_large_contents_is_small() -> None:
    base = bytes(n * n >> 7 & 0xFF for n in range(3 << 20))
    data = base[:1000] + b"inserted" + base[1000:]
    frame = codec.compress_delta(data, base)
    assert len(frame) < 3000
    assert codec.decompress_delta(frame, base, len(data)) == data


def test_a_delta_needs_its_base() -> None:
    base = b"0123456789" * 100
    frame = codec.compress_delta(base + b"!", base)
    with pytest.raises(DamagedError):
        codec.decompress_delta(frame, base[::-1], 1001)


@pytest.mark.parametrize("size", [0, 4, 6, 1 << 40])
def test_a_size_that_was_not_recorded_is_refused(size: int) -> None:
    with pytest.raises(DamagedError):
        codec.decompress(codec.compress(b"five!"), size)
    with pytest.raises(DamagedError):
        codec.decompress_delta(codec.compress_delta(b"five!", b"base" * 9), b"base" * 9, size)


def test_decompress_refuses_bytes_behind_a_frame() -> None:
    frame = codec.compress(b"data")
    for more in (b"\0", frame):
        with pytest.raises(DamagedError):
            codec.decompress(frame + more, 4)


@pytest.mark.parametrize("frame", [b"", b"garbage", DICTIONARY_MAGIC * 4])
def test_decompress_refuses_bytes_that_are_no_frame(frame: bytes) -> None:
    with pytest.raises(DamagedError):
        codec.decompress(frame, 4)
    with pytest.raises(DamagedError):
        codec.decompress_delta(frame, b"some base", 4)


def test_a_frame_cut_short_is_refused() -> None:
    data = b"some text and more text" * 9
    frame = codec.compress(data)
    for size in range(len(frame)):
        with pytest.raises(DamagedError):
            codec.decompress(frame[:size], len(data))


def test_flipped_bits_never_give_other_bytes() -> None:
    """Nor do they need to raise: the seal finds them first. What comes out is right or nothing."""
    data = b"some text and more text, " * 9
    frame = codec.compress(data)
    for at in range(len(frame) * 8):
        hurt = bytearray(frame)
        hurt[at // 8] ^= 1 << at % 8
        try:
            assert codec.decompress(bytes(hurt), len(data)) == data
        except DamagedError:
            continue


def test_a_bomb_is_refused_before_memory_is_taken() -> None:
    frame = codec.compress(bytes(1 << 24))
    assert len(frame) < 2000
    with pytest.raises(DamagedError):
        codec.decompress(frame, 1000)


def test_threads_have_their_own_contexts() -> None:
    data = [bytes([n]) * 200_000 for n in range(8)]
    wrong: list[int] = []

    def work(n: int) -> None:
        if any(codec.decompress(codec.compress(d), len(d)) != d for d in [data[n]] * 20):
            wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
