"""The disk of the virtual machine loses what was not flushed, and nothing else."""

import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.drive import BLOCK, EXPORT, GO, OPTION, READ, REPLY, REQUEST, WRITE, Drive

BLOCKS = 64
OLD, NEW, NEWER = (bytes([n]) * BLOCK for n in (1, 2, 3))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(OLD * BLOCKS)
    return path


@pytest.fixture
def drive(image: Path, tmp_path: Path) -> Iterator[Drive]:
    drive = Drive(image, tmp_path / "s")
    yield drive
    drive.close()


def blocks(drive: Drive) -> list[bytes]:
    data = drive.read(0, BLOCKS * BLOCK)
    return [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]


@pytest.mark.parametrize("seed", range(8))
def test_flushed_blocks_survive_every_cut(drive: Drive, seed: int) -> None:
    drive.write(0, NEW * BLOCKS)
    drive.flush()
    drive.write(0, NEWER * (BLOCKS // 2))
    drive.cut(random.Random(seed))
    assert set(blocks(drive)[: BLOCKS // 2]) <= {NEW, NEWER}
    assert blocks(drive)[BLOCKS // 2 :] == [NEW] * (BLOCKS // 2)


def test_cuts_lose_nothing_all_and_a_part(drive: Drive) -> None:
    ends = set()
    for seed in range(20):
        drive.write(0, OLD * BLOCKS)
        drive.flush()
        drive.write(0, NEW * BLOCKS)
        lost = drive.cut(random.Random(seed))
        found = blocks(drive)
        assert lost == (BLOCKS, found.count(OLD))
        assert set(found) <= {OLD, NEW}
        ends.add((lost.lost > 0) + (lost.lost == BLOCKS))
    assert ends == {0, 1, 2}


def test_a_block_written_twice_may_be_as_it_was_between(drive: Drive) -> None:
    found = set()
    for seed in range(20):
        drive.write(0, OLD * BLOCKS)
        drive.flush()
        drive.write(0, NEW * BLOCKS)
        drive.write(0, NEWER * BLOCKS)
        drive.cut(random.Random(seed))
        found |= set(blocks(drive))
    assert found == {OLD, NEW, NEWER}


def test_a_cut_follows_from_its_seed(image: Path, tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        drive = Drive(image, tmp_path / name)
        drive.write(0, NEW * BLOCKS)
        drive.cut(random.Random(5))
        found.append(blocks(drive))
        drive.close()
    assert found[0] == found[1]


def test_a_platter_is_a_state_to_start_from(drive: Drive, image: Path, tmp_path: Path) -> None:
    drive.write(BLOCK, NEW)
    drive.flush()
    kept = drive.platter
    drive.write(BLOCK, NEWER)
    drive.flush()
    other = Drive(image, tmp_path / "other", kept)
    assert other.read(BLOCK, BLOCK) == NEW
    other.close()
    assert image.read_bytes() == OLD * BLOCKS


def test_parts_of_blocks_are_read_and_not_written(drive: Drive) -> None:
    drive.write(BLOCK, NEW)
    assert drive.read(BLOCK - 2, 4) == b"\1\1\2\2"
    with pytest.raises(ValueError, match="not whole blocks"):
        drive.write(512, b"x" * 512)


def test_it_speaks_nbd(drive: Drive) -> None:
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as answers:
        client.connect(str(drive.path))
        assert answers.read(18)[:8] == b"NBDMAGIC"
        client.sendall(struct.pack(">I", 3))
        client.sendall(struct.pack(">QII", OPTION, GO, 6) + bytes(6))
        *_, kind, length = struct.unpack(">QIII", answers.read(20))
        assert kind == EXPORT
        assert struct.unpack(">HQH", answers.read(length))[1] == BLOCKS * BLOCK
        answers.read(20)
        client.sendall(struct.pack(">IHHQQI", REQUEST, 0, WRITE, 7, BLOCK, BLOCK) + NEW)
        assert struct.unpack(">IIQ", answers.read(16)) == (REPLY, 0, 7)
        client.sendall(struct.pack(">IHHQQI", REQUEST, 0, READ, 8, 0, 2 * BLOCK))
        assert struct.unpack(">IIQ", answers.read(16)) == (REPLY, 0, 8)
        assert answers.read(2 * BLOCK) == OLD + NEW
