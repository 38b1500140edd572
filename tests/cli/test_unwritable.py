"""A store in which nothing can be written is read as ever: full to the last byte or inode,
mounted read-only, with a log that nobody folded, or with an index that has to be made anew.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore import sqlite
from epmstore.store import reserve
from tests.cli.conftest import Cli
from tests.kit.mounts import tmpfs
from tests.kit.program import Outcome

pytestmark = [pytest.mark.root, pytest.mark.slow]

DIGEST = hashlib.sha1(b"program 1\n").hexdigest()
READS = (
    "log", "log --all", "ls", "ls 0", "cat 0:bin/crmd", "diff 0..1", "diff 0..now", "status",
    "history bin/crmd", "blame bin/crmd", "app list", "app show crm",
    f"blob stat {DIGEST}", "stats", "fsck", "fsck --read-data", "release list", "config show",
)  # fmt: skip


def remount(where: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(where)], check=True)


@pytest.fixture
def place(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The store of the command line, on a file system of its own."""
    monkeypatch.setattr(reserve, "SIZE", 1 << 16)
    with tmpfs(tmp_path / "small", "size=32m,nr_inodes=300") as small:
        monkeypatch.setenv("EPMSTORE_STORE", str(small / "store"))
        yield small


@pytest.fixture
def root(cli: Cli, place: Path, crm: Path) -> Path:
    cli.ok("snapshot", "-m", "as delivered")
    (crm / "bin/crmd").write_bytes(b"program 2\n")
    (crm / "new").write_bytes(b"more")
    cli.ok("snapshot", "-m", "a patch")
    (crm / "crm.conf").write_text("port = 2\n")
    return crm


def forget_readers(place: Path) -> None:
    """What those who read before left beside the index would do for those who come now."""
    log = place / "store/index.sqlite-wal"
    assert not log.exists() or log.stat().st_size == 0
    log.unlink(missing_ok=True)
    log.with_name("index.sqlite-shm").unlink(missing_ok=True)


def fill(place: Path) -> None:
    forget_readers(place)
    reserve.give_up_reserve(place / "store")
    for number in range(200):  # until not even an empty block is left
        with (place / f"filler{number}").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                if not number:
                    continue
                break
    found = os.statvfs(place)
    assert found.f_bfree == 0


def use_up_inodes(place: Path) -> None:
    forget_readers(place)
    reserve.give_up_reserve(place / "store")
    with pytest.raises(OSError):
        for number in range(1000):
            (place / f"nothing{number}").touch()


def leave_a_log(place: Path) -> None:
    """As who is killed leaves it: all that was written is in the log."""
    path = place / "store/index.sqlite"
    writer = sqlite.open_writer(path)
    writer.execute("INSERT INTO store VALUES ('x', x'00')")
    log = path.with_name("index.sqlite-wal").read_bytes()
    assert log
    writer.close()
    path.with_name("index.sqlite-wal").write_bytes(log)
    remount(place, "ro")


def lose_the_index(place: Path) -> None:
    for path in (place / "store").glob("index.sqlite*"):
        path.unlink()
    remount(place, "ro")


WAYS = {
    "full": fill,
    "no inodes": use_up_inodes,
    "read-only": lambda place: remount(place, "ro"),
    "read-only, with a log": leave_a_log,
    "read-only, without an index": lose_the_index,
}


def said(cli: Cli, words: str) -> tuple[int, str]:
    """Sizes of the index and when it was looked at are another matter."""
    found = cli(*words.split(), "--json") if words == "status" else cli(
        *words.split()
    )  # fmt: skip
    assert "unexpected" not in found.err, (words, found)
    lines = [line for line in found.out.splitlines() if not line.startswith("index  ")]
    return found.code, re.sub(r'"time":"[^"]*"', "", "\n".join(lines))


@pytest.mark.parametrize("way", WAYS)
def test_everything_can_be_read(
    cli: Cli, root: Path, place: Path, tmp_path: Path, way: str
) -> None:
    before = {words: said(cli, words) for words in READS}
    assert {words for words, (code, _) in before.items() if code not in (0, 1)} == set()
    WAYS[way](place)
    try:
        after = {words: said(cli, words) for words in READS}
        assert after == before
        cli.ok("checkout", "0", "--target", str(tmp_path / "copy"))
        assert (tmp_path / "copy/bin/crmd").read_bytes() == b"program 1\n"
        refused = cli("snapshot", "-m", "no")
        assert refused.code == 4, refused
        assert "damage" not in refused.err
    finally:
        remount(place, "rw")


def test_a_root_elsewhere_goes_back_with_what_the_reserve_has(
    cli: Cli, root: Path, place: Path
) -> None:
    """The safety version of a small change, the journal and the new version fit into it."""
    reserve.give_up_reserve(place / "store")
    assert reserve.make_reserve(place / "store", 1 << 20)
    with (place / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    (root / "crm.conf").write_text("port = 1\n")
    cli.ok("checkout", "0", "--yes")
    assert (root / "bin/crmd").read_bytes() == b"program 1\n"


def test_without_room_for_a_journal_the_store_is_named_and_nothing_changes(
    cli: Cli, root: Path, place: Path
) -> None:
    (root / "crm.conf").write_text("port = 1\n")
    fill(place)
    refused: Outcome = cli("checkout", "0", "--yes")
    assert refused.code == 4
    assert str(place / "store") in refused.err
    assert (root / "bin/crmd").read_bytes() == b"program 2\n"
