import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.blobs.pack import WrittenGroup
from epmstore.blobs.packlog import (
    GroupPosition,
    LogScan,
    PackLog,
    is_full,
    log_numbers,
    read_groups,
)
from epmstore.blobs.records import open_pack
from epmstore.digest import identify
from epmstore.errors import TornError
from tests.blobs.table import Shelf, group_of, noise, text


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def log(shelf: Shelf) -> PackLog:
    return PackLog(shelf.packs, shelf.quarantine)


def some(shelf: Shelf) -> list[WrittenGroup]:
    return [
        group_of(shelf.packs, text(20), noise(30)),
        group_of(shelf.packs, b""),
        group_of(shelf.packs, noise(200, 1), text(5), frame_size=100),
    ]


def scan(path: Path, start: int = 0) -> LogScan:
    fd = open_pack(path)
    try:
        return read_groups(fd, start)
    finally:
        os.close(fd)


def starts(groups: list[WrittenGroup], start: int = 0) -> list[int]:
    found = []
    for written in groups:
        found.append(start)
        start += written.group.length
    return found


def test_groups_follow_each_other(shelf: Shelf, log: PackLog) -> None:
    groups = some(shelf)
    assert log.file == "log/0"
    assert log.append(groups[:1]) == [GroupPosition("log/0", 0)]
    assert [at.start for at in log.append(groups[1:])] == starts(groups)[1:]
    found = scan(shelf.packs / "log/0")
    assert [(at.start, at.group) for at in found.groups] == [
        (start, written.group) for start, written in zip(starts(groups), groups, strict=True)
    ]
    assert (found.end, found.damage) == (found.size, ())
    assert all(at.is_whole for at in found.groups)


def test_another_process_goes_on_where_the_last_ended(shelf: Shelf, log: PackLog) -> None:
    groups = some(shelf)
    for written in groups:
        PackLog(shelf.packs, shelf.quarantine).append([written])
    assert [at.start for at in scan(shelf.packs / "log/0").groups] == starts(groups)
    end = sum(written.group.length for written in groups)
    assert log.append(groups, sound=starts(groups)[1]) == [
        GroupPosition("log/0", start) for start in starts(groups, end)
    ]


def test_one_write_and_one_sync(shelf: Shelf, log: PackLog) -> None:
    groups = some(shelf)
    log.append(groups)
    calls: list[str] = []
    fsio.install_fault(lambda call, _: calls.append(call))
    try:
        log.append(groups)
    finally:
        fsio.install_fault(None)
    assert calls == ["write", "fdatasync"]


def test_a_torn_tail_of_any_length_is_put_aside(shelf: Shelf) -> None:
    first, second, third = some(shelf)
    assert first.memory is not None and third.memory is not None
    for size in range(1, third.group.length):
        path = shelf.packs / "log/0"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(first.memory + third.memory[:size])
        found = scan(path)
        assert (found.end, found.damage) == (first.group.length, ())
        at = PackLog(shelf.packs, shelf.quarantine).append([second])
        assert at == [GroupPosition("log/0", first.group.length)]
        assert path.stat().st_size == first.group.length + second.group.length
        kept = shelf.quarantine / f"log-0-{first.group.length}-{first.group.length + size}"
        assert kept.read_bytes() == third.memory[:size]
    assert [at.is_whole for at in scan(path).groups] == [True, True]


def test_garbage_at_the_end_is_torn(shelf: Shelf, log: PackLog) -> None:
    groups = some(shelf)
    log.append(groups)
    path = shelf.packs / "log/0"
    end = path.stat().st_size
    path.write_bytes(path.read_bytes() + bytes(5000))
    found = scan(path)
    assert (found.end, found.size, found.damage) == (end, end + 5000, ())


def test_damage_in_the_middle_is_left_alone(shelf: Shelf) -> None:
    groups = some(shelf)
    log = PackLog(shelf.packs, shelf.quarantine)
    log.append(groups)
    path = shelf.packs / "log/0"
    good = path.read_bytes()
    last = starts(groups)[-1]
    for at in range(last):
        hurt = bytearray(good)
        hurt[at] ^= 0x10
        path.write_bytes(hurt)
        found = scan(path)
        assert found.end == len(good)
        assert found.damage and all(damage.start <= at < damage.end for damage in found.damage)
        assert [group.start for group in found.groups if group.is_whole] == [
            start
            for start, written in zip(starts(groups), groups, strict=True)
            if not start <= at < start + written.group.length
        ]


def test_a_damaged_log_with_records_after_its_last_group_is_not_cut(shelf: Shelf) -> None:
    """A footer that is damaged, behind it frames of a group that was never finished."""
    first, second, third = some(shelf)
    assert first.memory is not None and second.memory is not None and third.memory is not None
    path = shelf.packs / "log/0"
    path.parent.mkdir()
    hurt = bytearray(second.memory)
    hurt[-1] ^= 1
    whole = first.memory + hurt + third.memory[:-1]
    path.write_bytes(whole)
    log = PackLog(shelf.packs, shelf.quarantine)
    assert log.append([second]) == [GroupPosition("log/1", 0)]
    assert path.read_bytes() == whole
    assert log.file == "log/1"
    # the index knows how far it goes: what is beyond is torn all the same, and kept all the same
    assert not shelf.quarantine.exists()


def test_damage_within_the_known_length_does_not_end_a_log(shelf: Shelf, log: PackLog) -> None:
    groups = some(shelf)
    log.append(groups)
    path = shelf.packs / "log/0"
    hurt = bytearray(path.read_bytes())
    hurt[100] ^= 1
    path.write_bytes(hurt)
    at = PackLog(shelf.packs, shelf.quarantine).append(groups[:1], sound=len(hurt))
    assert at == [GroupPosition("log/0", len(hurt))]


def test_a_log_shorter_than_known_is_not_appended_to(shelf: Shelf, log: PackLog) -> None:
    groups = some(shelf)
    log.append(groups)
    at = PackLog(shelf.packs, shelf.quarantine).append(groups[:1], sound=1 << 20)
    assert at == [GroupPosition("log/1", 0)]


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_after_an_error_another_log_is_begun(shelf: Shelf, log: PackLog, call: str) -> None:
    groups = some(shelf)
    log.append(groups)
    before = (shelf.packs / "log/0").read_bytes()

    def fail(name: str, _: tuple[object, ...]) -> None:
        if name == call:
            raise OSError(5, "input/output error")

    fsio.install_fault(fail)
    try:
        with pytest.raises(OSError, match="input/output"):
            log.append(groups)
    finally:
        fsio.install_fault(None)
    assert (shelf.packs / "log/0").read_bytes() == before
    assert log.file == "log/1"
    assert PackLog(shelf.packs, shelf.quarantine).file == "log/1"
    assert log.append(groups[:1]) == [GroupPosition("log/1", 0)]


def test_the_next_log(shelf: Shelf, log: PackLog) -> None:
    groups = some(shelf)
    log.append(groups)
    assert log.begin_next() == "log/1"
    assert log_numbers(shelf.packs) == [0, 1]
    (shelf.packs / "log/0").unlink()
    # the number of a log that was sealed and removed does not come again
    assert PackLog(shelf.packs, shelf.quarantine).append(groups[:1]) == [GroupPosition("log/1", 0)]


def test_contents_of_a_log_are_read(shelf: Shelf, log: PackLog) -> None:
    groups = some(shelf)
    for at, written in zip(log.append(groups), groups, strict=True):
        shelf.table.add_group(at.file, at.start, written.group)
    assert shelf.store.read(identify(text(5))) == text(5)
    (shelf.packs / "log/0").write_bytes(b"")
    shelf.store.close()
    with pytest.raises(TornError):
        shelf.store.read(identify(text(5)))


def test_when_to_seal() -> None:
    assert not is_full(1 << 20, 4095)
    assert is_full(1 << 20, 4096)
    assert is_full(32 << 20, 1)
