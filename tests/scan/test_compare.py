import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.filestat import FileStat
from epmstore.scan.compare import (
    RACY,
    FolderDifference,
    Settled,
    compare_stats,
    pack_stats,
    repack_stats,
    settle_stats,
    unpack_stats,
)
from epmstore.scan.walk import Listing, walk

NOTHING = FolderDifference(own=False, come=(), changed=(), gone=())


def made(mode: int = 0o100644, **numbers: int) -> FileStat:
    """A stat made of numbers."""
    known = {"ino": 7, "size": 3, "mtime_ns": 100, "ctime_ns": 200} | numbers
    return FileStat(st_mode=mode, **{f"st_{name}": value for name, value in known.items()})


def numbers(number: int) -> FileStat:
    """Every third is a folder; bigger numbers are later."""
    mode = 0o40755 if number % 3 == 0 else 0o100644
    return made(mode, ino=number, size=number, ctime_ns=number)


@given(
    before=st.dictionaries(st.text("ab\udc80\U0001f600", min_size=1), st.integers(1, 50)),
    changed=st.dictionaries(
        st.text("ab\udc80\U0001f600", min_size=1), st.none() | st.integers(1, 50)
    ),
)
def test_some_entries_set_anew(before: dict[str, int], changed: dict[str, int | None]) -> None:
    def pack(rows: dict[str, int]) -> bytes:
        names = sorted(rows, key=os.fsencode)
        found = [numbers(rows[name]) for name in names]
        return pack_stats(names, found, numbers(3), settled_ns=25)

    after = {name: n for name, n in {**before, **changed}.items() if n is not None}
    stats = {name: None if n is None else numbers(n) for name, n in changed.items()}
    assert repack_stats(pack(before), numbers(3), stats, settled_ns=25) == pack(after)


def find(root_fd: int, folder: str = "") -> Listing:
    (listing,) = walk(root_fd, only=[folder])
    return listing


def pack(root_fd: int, folder: str = "") -> bytes:
    """Without the folder's own row, of which every change of a name is one."""
    listing = find(root_fd, folder)
    return pack_stats(listing.names, listing.stats)


def test_layout_is_readable_again(root: Path, root_fd: int) -> None:
    (root / "file").write_text("hello")
    (root / "sub").mkdir()
    listing = find(root_fd)
    rows = unpack_stats(pack_stats(listing.names, listing.stats, listing.own))
    assert list(rows) == ["", "file", "sub"]
    file, sub, own = (os.lstat(root / name) for name in ("file", "sub", ""))
    assert rows["file"] == (file.st_ino, 5, file.st_mtime_ns, file.st_ctime_ns)
    assert rows["sub"] == (sub.st_ino, -1 - sub.st_mode, sub.st_uid << 32 | sub.st_gid, 0)
    assert rows[""] == (own.st_ino, own.st_mode, 0, own.st_ctime_ns)


NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: not {0, 47} & set(name))
SIGNED = st.integers(-(1 << 63), (1 << 63) - 1)


@given(st.dictionaries(NAMES.map(os.fsdecode), st.tuples(SIGNED, SIGNED, SIGNED, SIGNED)))
def test_round_trip(rows: dict[str, tuple[int, int, int, int]]) -> None:
    stats = [made(ino=i, size=s, mtime_ns=m, ctime_ns=c) for i, s, m, c in rows.values()]
    packed = pack_stats(list(rows), stats)
    assert unpack_stats(packed) == {"": (0, 0, 0, 0), **rows}


@pytest.mark.parametrize(
    "numbers",
    [{"ino": (1 << 64) - 1}, {"mtime_ns": 1 << 70}, {"mtime_ns": -(1 << 70)}],
)
def test_numbers_beyond_64_bits_still_differ(numbers: dict[str, int]) -> None:
    odd = pack_stats(["a"], [made(**numbers)])
    assert odd == pack_stats(["a"], [made(**numbers)])
    key, value = next(iter(numbers.items()))
    assert odd != pack_stats(["a"], [made(**{key: value - 1})])
    assert list(unpack_stats(odd)) == ["", "a"]


@pytest.mark.parametrize("ctime", [1 << 63, (1 << 64) + 7, 1 << 80])
def test_a_change_ages_ahead_is_racy(ctime: int) -> None:
    shown = pack_stats(["a"], [made(ctime_ns=ctime)])
    packed = pack_stats(["a"], [made(ctime_ns=ctime)], settled_ns=1 << 62)
    for stored in (packed, settle_stats(shown, {}, Settled(1 << 62))[0]):
        assert compare_stats(stored, shown).changed == ("a",)


def test_owners_of_all_32_bits() -> None:
    top = (1 << 32) - 2
    one = pack_stats(["d"], [made(0o040755, uid=top, gid=top)])
    two = pack_stats(["d"], [made(0o040755, uid=top, gid=top - 1)])
    assert one != two
    assert compare_stats(one, two).changed == ("d",)


def test_changes_below_leave_the_listing_above_alone(root: Path, root_fd: int) -> None:
    (root / "sub/inner").mkdir(parents=True)
    before = pack(root_fd)
    listing = find(root_fd)
    before_own = pack_stats(listing.names, listing.stats, listing.own)
    (root / "sub/new").write_text("")
    (root / "sub/inner").rmdir()
    assert pack(root_fd) == before
    listing = find(root_fd)
    assert pack_stats(listing.names, listing.stats, listing.own) == before_own


@pytest.mark.parametrize("mode", [0o700, 0o1755])
def test_chmod_of_a_folder_shows(root: Path, root_fd: int, mode: int) -> None:
    (root / "sub").mkdir()
    before = pack(root_fd)
    (root / "sub").chmod(mode)
    assert compare_stats(before, pack(root_fd)).changed == ("sub",)


@pytest.mark.root
def test_chown_of_a_folder_shows(root: Path, root_fd: int) -> None:
    (root / "sub").mkdir()
    before = pack(root_fd)
    os.chown(root / "sub", 0, 12)
    assert compare_stats(before, pack(root_fd)).changed == ("sub",)


def test_rename_and_replacement_of_a_folder_show(root: Path, root_fd: int) -> None:
    (root / "sub").mkdir()
    (root / "other").mkdir()
    before = pack(root_fd)
    (root / "other").rename(root / "new")
    difference = compare_stats(before, pack(root_fd))
    assert (difference.come, difference.changed, difference.gone) == (("new",), (), ("other",))
    (root / "sub").rmdir()
    (root / "new").rename(root / "sub")
    assert compare_stats(before, pack(root_fd)).changed == ("sub",)


def test_a_file_in_the_place_of_a_folder_shows() -> None:
    folder = pack_stats(["a"], [made(0o040755)])
    assert compare_stats(folder, pack_stats(["a"], [made()])).changed == ("a",)


def test_folder_ctime_shows_in_its_own_row(root: Path, root_fd: int) -> None:
    (root / "sub").mkdir()
    listing = find(root_fd, "sub")
    before = pack_stats(listing.names, listing.stats, listing.own)
    os.utime(root / "sub", ns=(1, 1))
    listing = find(root_fd, "sub")
    after = pack_stats(listing.names, listing.stats, listing.own)
    assert compare_stats(before, after) == FolderDifference(own=True, come=(), changed=(), gone=())


def test_differences() -> None:
    old = pack_stats(["a", "b", "c"], [made(), made(), made()])
    new = pack_stats(["b", "c", "d"], [made(), made(size=4), made()])
    assert compare_stats(old, old) == NOTHING
    assert compare_stats(old, new) == FolderDifference(
        own=False, come=("d",), changed=("c",), gone=("a",)
    )
    assert compare_stats(None, old) == FolderDifference(
        own=True, come=("a", "b", "c"), changed=(), gone=()
    )
    assert compare_stats(None, pack_stats([], [])).own


@pytest.mark.parametrize(
    ("ctime", "is_racy"), [(0, False), (990, False), (991, True), (1000, True), (5000, True)]
)
def test_racy_means_within_a_tick_of_now_or_later(ctime: int, is_racy: bool) -> None:
    stored = pack_stats(["a"], [made(ctime_ns=ctime)], settled_ns=1000 - 10)
    assert (unpack_stats(stored)["a"][3] == RACY) == is_racy
    # It is looked at again as long as it is racy, and never because it once was.
    found = pack_stats(["a"], [made(ctime_ns=ctime)])
    assert compare_stats(stored, found).changed == (("a",) if is_racy else ())


def test_a_racy_file_is_looked_at_again_even_in_the_future() -> None:
    file = made(ctime_ns=1 << 62)
    stored = pack_stats(["a"], [file], settled_ns=1000)
    assert compare_stats(stored, pack_stats(["a"], [file])).changed == ("a",)


def test_a_change_within_the_tick_is_caught(root: Path, root_fd: int) -> None:
    """The case the rule is for: same size, same times, other bytes."""
    (root / "file").write_text("one")
    listing = find(root_fd)
    stored = pack_stats(
        listing.names, listing.stats, settled_ns=listing.stats[0].st_ctime_ns - 10_000_000
    )
    assert compare_stats(stored, pack(root_fd)).changed == ("file",)


def test_folders_are_never_racy_and_their_own_row_is() -> None:
    folder = made(0o040755, ctime_ns=2000)
    stored = pack_stats(["d"], [folder], folder, settled_ns=1000)
    found = pack_stats(["d"], [folder], folder)
    assert compare_stats(stored, found) == FolderDifference(own=True, come=(), changed=(), gone=())
