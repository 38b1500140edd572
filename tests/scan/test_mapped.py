"""What of a look is in doubt because a process may have it mapped."""

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from epmstore.record.doubt import MappedDoubt, Share
from epmstore.record.observe import Candidate
from epmstore.relpath import RelPath
from epmstore.scan.compare import ANY_AGE_NS, RACY, Settled, pack_stats, settle_stats, unpack_stats
from epmstore.scan.fsclock import FilesystemClock
from epmstore.scan.mapped import PATIENCE, USUAL_NS, dirty_ns, outstanding, read_mapped
from tests.scan.test_compare import made

NOW = 10**18
YOUNG, OLD = NOW - 10**9, NOW - 10**12
SELF = os.getpid()


def clock(filesystem: str = "ext4") -> FilesystemClock:
    return FilesystemClock(NOW, 10**7, filesystem)


def candidate(root: Path, ctime: int, name: str = "file") -> Candidate:
    (root / name).write_bytes(b"")
    found = list(os.lstat(root / name))
    numbers = os.stat_result(found, {"st_ctime_ns": ctime})
    return Candidate(RelPath(name), numbers, "program", None)


def test_shared_mappings_of_files_are_found(root: Path) -> None:
    for name in ("shared", "private", "closed"):
        (root / name).write_bytes(bytes(4096))
    inodes = {name: os.lstat(root / name).st_ino for name in ("shared", "private", "closed")}
    with (root / "shared").open("r+b") as one, (root / "private").open("r+b") as two:
        shared = mmap.mmap(one.fileno(), 0)
        private = mmap.mmap(two.fileno(), 0, flags=mmap.MAP_PRIVATE)
    found = read_mapped()
    if os.geteuid() == 0 and found is not None:
        assert inodes["shared"] in found
        assert not {inodes["private"], inodes["closed"]} & found
    else:
        assert found is None, "somebody else may have anything mapped"
    shared.close()
    private.close()


@pytest.mark.parametrize("hidden", ["namespace", "capability", "table", "nothing"])
def test_where_a_process_is_hidden_nothing_is_known(root: Path, hidden: str) -> None:
    namespace = "pid:[1]" if hidden == "namespace" else "pid:[4026531836]"
    (root / "self/ns").mkdir(parents=True)
    (root / "self/ns/pid").symlink_to(namespace)
    capabilities = 0 if hidden == "capability" else 1 << 19
    (root / "self/status").write_text(f"Name:\tx\nCapEff:\t{capabilities:016x}\n")
    (root / "12").mkdir()
    (root / "13").mkdir()  # has ended
    (root / "12/maps").write_text(
        "7f0000000000-7f0000001000 r--s 00000000 fe:00 77      /a\n"
        "7f0000001000-7f0000002000 rw-p 00000000 fe:00 78      /b\n"
        "7f0000002000-7f0000003000 rw-s 00000000 00:01 18446744073709551615 /c (deleted)\n"
        "7f0000003000-7f0000004000 rw-s 00000000 00:00 0\n"
    )
    if hidden == "table":
        if os.geteuid() == 0:
            pytest.skip("root may read every table")
        (root / "12/maps").chmod(0)
    assert read_mapped(root) == (frozenset({77, (1 << 64) - 1}) if hidden == "nothing" else None)


@pytest.mark.parametrize(
    ("filesystem", "mapped", "ctime", "racy"),
    [
        ("ext4", {7}, YOUNG, True),
        ("ext4", {7}, OLD, False),
        ("ext4", {8}, YOUNG, False),
        ("ext4", None, YOUNG, True),
        ("ext4", None, OLD, False),
        ("tmpfs", {7}, OLD, True),
        ("tmpfs", {8}, OLD, False),
        ("tmpfs", None, OLD, False),
        ("overlay", {7}, OLD, True),
        ("fuse.sshfs", {7}, OLD, False),
    ],
)
def test_a_row_of_what_may_be_mapped_is_not_believed(
    filesystem: str, mapped: set[int] | None, ctime: int, racy: bool
) -> None:
    inodes = None if mapped is None else frozenset(mapped)
    settled = outstanding(clock(filesystem)).settled(inodes)
    folder = made(0o40755, ino=7, ctime_ns=0)
    packed = pack_stats(["d", "f"], [folder, made(ino=7, ctime_ns=ctime)], folder)
    stored, is_late = settle_stats(packed, {}, settled)
    rows = unpack_stats(stored)
    assert (rows["f"][3] == RACY, is_late) == (racy, racy)
    assert rows["d"][3] == rows[""][3] == 0, "folders are not mapped"


def test_inodes_of_64_bits() -> None:
    top = (1 << 64) - 2
    packed = pack_stats(["f"], [made(ino=top, ctime_ns=YOUNG)])
    settled = Settled(NOW, ANY_AGE_NS, frozenset({top}))
    assert settle_stats(packed, {}, settled)[1]


@pytest.mark.parametrize(
    ("expire", "every", "expected"),
    [
        ("3000", "500", USUAL_NS),
        ("100", "0", None),
        ("6000", "1000", 70 * 10**9),
        ("", "", USUAL_NS),
    ],
)
def test_how_long_pages_stay_dirty(
    root: Path, expire: str, every: str, expected: int | None
) -> None:
    (root / "dirty_expire_centisecs").write_text(expire)
    (root / "dirty_writeback_centisecs").write_text(every)
    assert dirty_ns(root) == expected
    assert dirty_ns(root / "nowhere") == USUAL_NS


class Order:
    """Notes what is done in which order."""

    def __init__(self, *mapped: frozenset[int] | None) -> None:
        self.done: list[str] = []
        self._mapped = [*mapped]

    def feed(self, candidates: Iterable[Candidate]) -> None:
        self.done += [one.path for one in candidates]

    def read(self) -> frozenset[int] | None:
        self.done.append("asked")
        return self._mapped.pop(0)


def test_who_maps_what_is_asked_before_it_is_read(root: Path) -> None:
    """What a mapping that ends between reading and asking had stored would not be seen."""
    order = Order(frozenset({7}))
    doubt = MappedDoubt(outstanding(clock()), order.read)
    feed = doubt.watching(order.feed)
    feed(iter([candidate(root, NOW - 3 * PATIENCE * USUAL_NS, "old")]))
    assert order.done == ["old"], "nobody is asked for what is old"
    feed([candidate(root, YOUNG, "young")])
    feed([candidate(root, YOUNG, "another")])
    assert order.done == ["old", "asked", "young", "another"]
    assert doubt.settled().mapped == frozenset({7})


def test_in_memory_it_is_asked_afterwards_too(root: Path) -> None:
    order = Order(frozenset({7}), frozenset({8}))
    doubt = MappedDoubt(outstanding(clock("tmpfs")), order.read)
    doubt.watching(order.feed)([candidate(root, OLD, "old")])
    assert doubt.settled().mapped == frozenset({7, 8})
    order = Order(frozenset({7}), None)
    doubt = MappedDoubt(outstanding(clock("ext4"), one_filesystem=False), order.read)
    doubt.watching(order.feed)([candidate(root, OLD, "old")])
    assert doubt.settled().mapped is None


def test_each_file_is_in_one_share() -> None:
    names = [str(number) for number in range(1000)]
    packed = pack_stats(names, [made(ino=number) for number in range(1000)], made(0o40755))
    before = unpack_stats(packed)
    seen: list[str] = []
    for number in range(7):
        rows = unpack_stats(Share(number, 7).doubt({b"": packed})[b""])
        doubted = [name for name, row in rows.items() if row != before[name]]
        assert 90 < len(doubted) < 200
        seen += doubted
    assert sorted(seen) == sorted(names)
