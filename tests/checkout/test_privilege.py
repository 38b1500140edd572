"""Nothing that gives privilege is set on an inode that somebody else may reach.

A table of what can change of a file's metadata, with a process of another user that holds each file
in each way there is: mapped, open for writing, under another name outside of the root. After the
checkout it writes through everything that it holds.
"""

import json
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from epmstore.checkout.rewrites import Caller, gives_privilege, may_write
from epmstore.errors import InUseError
from epmstore.record.result import Result
from epmstore.relpath import RelPath
from epmstore.scan.holders import Credentials
from epmstore.tree import Entry
from tests.kit.bench import Bench, Dir, File, Link, Nodes, Same
from tests.kit.faults import faults

NOBODY = 65534
CONTENT = b"#!/bin/sh\nexec /usr/bin/id\n" * 200
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 21, 0, 0, 0)
MASK, OTHER = 0x10, 0x20
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, who)
    for tag, rights, who in [(1, 6, ~0), (2, 6, 33), (4, 4, ~0), (MASK, 6, ~0), (OTHER, 4, ~0)]
    for who in [who & 0xFFFFFFFF]
)
pytestmark = [pytest.mark.root, pytest.mark.slow]


class Rights(msgspec.Struct, frozen=True):
    uid: int = 0
    gid: int = 0
    mode: int = 0o644
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def give(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)
        for name, value in self.xattrs:
            os.setxattr(path, name, value)
        os.chmod(path, self.mode)

    @staticmethod
    def of(path: Path) -> "Rights":
        found = path.stat()
        names = [name for name in os.listxattr(path) if not name.startswith("user.")]
        xattrs = tuple((name, os.getxattr(path, name)) for name in sorted(names))
        return Rights(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), xattrs)


CAPABLE = (("security.capability", CAPABILITY),)
SHARED = (("system.posix_acl_access", ACL),)
FOUND = {
    "theirs": Rights(NOBODY, NOBODY, 0o755),
    "theirs and open to all": Rights(NOBODY, NOBODY, 0o777),
    "ours and open to all": Rights(0, 0, 0o666),
    "open to their group": Rights(0, NOBODY, 0o664),
    "ours, once theirs": Rights(0, 0, 0o644),
    "secret": Rights(0, 0, 0o600),
    "shared by an ACL": Rights(0, 0, 0o664, SHARED),
}
WANTED = {
    "plain": Rights(0, 0, 0o644),
    "executable": Rights(0, 0, 0o755),
    "setuid": Rights(0, 0, 0o4755),
    "setgid": Rights(0, 8, 0o2755),
    "of another group": Rights(0, 8, 0o664),
    "of another user": Rights(8, 8, 0o644),
    "capable": Rights(0, 0, 0o755, CAPABLE),
    "shared by an ACL": Rights(0, 0, 0o664, SHARED),
    "closed": Rights(0, 0, 0o600),
    "sticky": Rights(0, 0, 0o1644),
}
HOLDS = ("mapped", "open", "linked")
ATTACKER = """
import json, mmap, os, sys
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
files = json.loads(sys.stdin.readline())
held, size = [], 0
for path, how, outside in files:
    data = open(path, 'rb').read()
    time = os.stat(path).st_mtime_ns
    fd = os.open(path + '.tmp', os.O_RDWR | os.O_CREAT, 0o755)
    os.write(fd, data)
    os.utime(fd, ns=(time, time))
    os.rename(path + '.tmp', path)
    if how == 'mapped':
        held.append(mmap.mmap(fd, len(data)))
    elif how == 'open':
        held.append(fd)
        continue
    else:
        os.link(path, outside)
    os.close(fd)
print('ready', flush=True)
sys.stdin.readline()
for one in held:
    if isinstance(one, int):
        os.pwrite(one, b'EVIL', 0)
    else:
        one[:4] = b'EVIL'
        one.flush()
print('done', flush=True)
sys.stdin.readline()
"""


@contextmanager
def attacker(files: list[tuple[str, str, str]]) -> Iterator[Callable[[], None]]:
    """Replaces files by own ones that it holds; what is yielded has it write to them."""
    with subprocess.Popen(
        [sys.executable, "-c", ATTACKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def tell(what: str) -> str:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(what + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        assert tell(json.dumps(files)) == "ready"

        def write() -> None:
            assert tell("") == "done"

        yield write
        process.stdin.close()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of everybody's, on the file system of the root."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    place = tmp_path / "outside"
    place.mkdir()
    place.chmod(0o1777)
    return place


def test_whatever_changes_reaches_no_inode_that_somebody_holds(
    tmp_path: Path, outside: Path
) -> None:
    cases = {
        f"{n}-{m}-{how}": (how, FOUND[found], WANTED[wanted])
        for n, found in enumerate(FOUND)
        for m, wanted in enumerate(WANTED)
        for how in HOLDS
        if FOUND[found] != WANTED[wanted]
    }
    (tmp_path / "base").mkdir()
    with Bench(tmp_path / "base") as bench:
        bench.root.chmod(0o777)
        for name in cases:
            (bench.root / name).write_bytes(CONTENT)
            (bench.root / name).chmod(0o644)
        readable = [(str(bench.root / n), how, str(outside / n)) for n, (how, *_) in cases.items()]
        for name, (_, _, wanted) in cases.items():
            wanted.give(bench.root / name)
        bench.record()
        for name in cases:  # the attacker has to read what it copies
            (bench.root / name).chmod(0o644)
        with attacker(readable) as write:
            for name, (_, found, _) in cases.items():
                found.give(bench.root / name)
            bench.record()
            result = bench.live.checkout("0")
            write()
        assert result.not_restored == ()
        for name, (how, found, wanted) in cases.items():
            where = (name, found, wanted)
            assert Rights.of(bench.root / name) == wanted, where
            assert (bench.root / name).read_bytes() == CONTENT, where
            if how == "linked":
                assert Rights.of(outside / name) == found, where


def test_who_may_go_on_writing_is_asked_to_stop(tmp_path: Path, outside: Path) -> None:
    """A log whose owner somebody changed: its program would write to the old file for ever."""
    wanted = Rights(NOBODY, NOBODY, 0o644)
    (tmp_path / "base").mkdir()
    with Bench(tmp_path / "base") as bench:
        bench.root.chmod(0o777)
        (bench.root / "log").write_bytes(CONTENT)
        wanted.give(bench.root / "log")
        bench.record()
        with attacker([(str(bench.root / "log"), "open", "")]) as write:
            Rights(0, 0, 0o644).give(bench.root / "log")
            before = (bench.root / "log").stat()
            with pytest.raises(InUseError):
                bench.live.checkout("0")
            assert os.path.samestat(before, (bench.root / "log").stat())
            write()


def test_secret_and_state_files_get_their_owner_back(tmp_path: Path) -> None:
    """With the bytes that it has: they are copied."""
    with Bench(tmp_path, secret=("key",), state=("data",)) as bench:
        bench.recorded({"key": File(b"secret", 0o600), "data": File(b"rows", 0o600)})
        inodes = {name: (bench.root / name).stat().st_ino for name in ("key", "data")}
        (bench.root / "data").write_bytes(b"more rows")
        for name in inodes:
            os.chown(bench.root / name, NOBODY, NOBODY)
        times = (bench.root / "data").stat().st_mtime_ns
        bench.record()
        bench.live.checkout("0", [RelPath("key"), RelPath("data")])
        for name, data in (("key", b"secret"), ("data", b"more rows")):
            found = (bench.root / name).stat()
            assert (found.st_uid, (bench.root / name).read_bytes()) == (0, data)
            assert found.st_ino != inodes[name]
        assert (bench.root / "data").stat().st_mtime_ns == times


def test_names_of_one_file_stay_names_of_one_file(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        back = bench.recorded({"a": File(b"1"), "b": Same("a"), "d/c": Same("a")})
        os.chown(bench.root / "a", NOBODY, NOBODY)
        bench.record()
        bench.live.checkout("0")
        assert bench.picture() == back
        assert bench.is_clean()


def at_the_switch(act: Callable[[], object]) -> Callable[[str, tuple[object, ...]], None]:
    """Somebody acts in the last moment before anything is switched."""
    done: list[bool] = []

    def fault(name: str, arguments: tuple[object, ...]) -> None:
        if name == "mkdir" and arguments[0] == "switching" and not done:
            done.append(True)
            act()

    return fault


class TestMeanwhile:
    """What is set in place is set of the very file that the plan knows, while it has one name."""

    @pytest.fixture
    def bench(self, tmp_path: Path, outside: Path) -> Iterator[Bench]:
        (tmp_path / "base").mkdir()
        with Bench(tmp_path / "base") as bench:
            nodes: Nodes = {
                "a": File(b"1", 0o755),
                "d": Dir(0o755),
                "l": Link("x"),
                "other": File(b"2"),
            }
            bench.recorded(nodes)
            (bench.root / "a").chmod(0o644)
            (bench.root / "d").chmod(0o700)
            bench.record()
            yield bench

    def checkout(self, bench: Bench, act: Callable[[], object]) -> Result:
        with faults(at_the_switch(act)):
            return bench.live.checkout("0")

    def test_nobody_comes(self, bench: Bench) -> None:
        inode = (bench.root / "a").stat().st_ino
        assert self.checkout(bench, lambda: None).not_restored == ()
        found = (bench.root / "a").stat()
        assert (found.st_ino, stat.S_IMODE(found.st_mode)) == (inode, 0o755)

    def test_a_hard_link(self, bench: Bench, outside: Path) -> None:
        result = self.checkout(bench, lambda: os.link(bench.root / "a", outside / "a"))
        assert stat.S_IMODE((outside / "a").stat().st_mode) == 0o644
        assert [text.partition(":")[0] for text in result.not_restored] == ["a"]

    @pytest.mark.parametrize("name", ["a", "d"])
    def test_a_file_of_another_place(self, bench: Bench, outside: Path, name: str) -> None:
        (outside / "victim").write_bytes(b"1")
        (outside / "victim").chmod(0o600)

        def swap() -> None:
            (bench.root / name).rename(outside / "gone")
            os.link(outside / "victim", bench.root / name)

        result = self.checkout(bench, swap)
        assert stat.S_IMODE((outside / "victim").stat().st_mode) == 0o600
        assert name in [text.partition(":")[0] for text in result.not_restored]

    def test_a_folder_of_another_place(self, bench: Bench, outside: Path) -> None:
        (outside / "victim").mkdir(0o700)

        def swap() -> None:
            (bench.root / "d").rename(outside / "gone")
            (outside / "victim").rename(bench.root / "d")

        result = self.checkout(bench, swap)
        assert stat.S_IMODE((bench.root / "d").stat().st_mode) == 0o700
        assert "d" in [text.partition(":")[0] for text in result.not_restored]

    @pytest.mark.parametrize("name", ["a", "d"])
    def test_a_symlink(self, bench: Bench, outside: Path, name: str) -> None:
        (outside / "victim").write_bytes(b"1")
        (outside / "victim").chmod(0o600)

        def swap() -> None:
            (bench.root / name).rename(outside / "gone")
            (bench.root / name).symlink_to(outside / "victim")

        self.checkout(bench, swap)
        assert stat.S_IMODE((outside / "victim").stat().st_mode) == 0o600

    def test_another_owner(self, bench: Bench) -> None:
        """Root gives the file away in the same moment: rights for its new owner are not given."""
        self.checkout(bench, lambda: os.chown(bench.root / "a", NOBODY, NOBODY))
        found = (bench.root / "a").stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (NOBODY, 0o644)

    def test_another_owner_of_a_symlink(self, bench: Bench, outside: Path) -> None:
        os.chown(bench.root / "l", NOBODY, NOBODY, follow_symlinks=False)
        bench.record()
        (outside / "victim").write_bytes(b"1")

        def swap() -> None:
            (bench.root / "l").unlink()
            os.link(outside / "victim", bench.root / "l")

        os.chown(outside / "victim", NOBODY, NOBODY)
        self.checkout(bench, swap)
        assert (outside / "victim").stat().st_uid == NOBODY


ROOT = Caller(0, frozenset({0}))


def entry(mode: int, uid: int = 0, gid: int = 0, **more: Any) -> Entry:
    return Entry(path=RelPath("a"), kind="file", mode=mode, uid=uid, gid=gid, **more)


@pytest.mark.parametrize(
    ("old", "new", "caller", "gives"),
    [
        (entry(0o644), entry(0o755), ROOT, False),
        (entry(0o644), entry(0o600), ROOT, False),
        (entry(0o644), entry(0o664), ROOT, True),
        (entry(0o666), entry(0o644), ROOT, True),
        (entry(0o4755), entry(0o755), ROOT, False),
        (entry(0o755), entry(0o4755), ROOT, True),
        (entry(0o4711), entry(0o4755), ROOT, True),
        (entry(0o4755), entry(0o4755, mtime_ns=1), ROOT, False),
        (entry(0o644, 5), entry(0o644), ROOT, True),
        (entry(0o644, 0, 5), entry(0o644), ROOT, True),
        (entry(0o755), entry(0o755, xattrs=CAPABLE), ROOT, True),
        (entry(0o755, xattrs=CAPABLE), entry(0o755), ROOT, True),
        (entry(0o644), entry(0o644, xattrs=SHARED), ROOT, True),
        (entry(0o644), entry(0o644, xattrs=(("user.x", b""),)), ROOT, False),
        (entry(0o644, 5), entry(0o644, 6), Caller(7, frozenset({7})), False),
        (entry(0o644, 7), entry(0o644, 6), Caller(7, frozenset({7})), False),
        (entry(0o644, 5), entry(0o644, 7), Caller(7, frozenset({7})), True),
        (entry(0o644, 7, 7), entry(0o644, 7, 8), Caller(7, frozenset({7, 8})), True),
        (entry(0o644, 7, 7), entry(0o4755, 7, 7), Caller(7, frozenset({7})), True),
    ],
)
def test_changes_that_give_privilege_are_told_apart(
    old: Entry, new: Entry, caller: Caller, gives: bool
) -> None:
    assert gives_privilege(old, new, caller) is gives


@pytest.mark.parametrize(
    ("who", "wanted", "may"),
    [
        (Credentials(0, frozenset()), entry(0o400, 5), True),
        (Credentials(5, frozenset()), entry(0o400, 5), True),
        (Credentials(6, frozenset({6})), entry(0o644, 5, 5), False),
        (Credentials(6, frozenset({5})), entry(0o664, 5, 5), True),
        (Credentials(6, frozenset({6})), entry(0o666, 5, 5), True),
        (Credentials(6, frozenset({5})), entry(0o646, 5, 5), False),
        (Credentials(33, frozenset()), entry(0o666, xattrs=SHARED), False),
    ],
)
def test_who_may_write(who: Credentials, wanted: Entry, may: bool) -> None:
    assert may_write(who, wanted) is may
