"""Facts of a file system that hardly anybody has met: times before 1677 and after 2262, numbers of
64 bits, holes of exabytes, names and attributes without end, symlinks that lead nowhere at all.

Each is recorded and comes back, or it is named and everything else is recorded. What a real file
system does not show here, a kernel of ours shows.
"""

import os
import random
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from epmstore.relpath import text_from_json
from epmstore.workspace import Workspace
from tests.cli.test_verify import RELEASES, publish_all, text, write

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

SECOND = 10**9
LAST = 2**63 - 1
TIMES = (
    (2**62) * SECOND, -(2**62) * SECOND, LAST, LAST + 1, -LAST - 1, -LAST - 2, 2**64, 2**64 - 1,
    13_569_465_600 * SECOND, 253_402_300_800 * SECOND, -62_135_596_801 * SECOND, -1, 0,
)  # fmt: skip
LONG_NAME = "\u00e9" * 200
"""Other kernels count letters."""


class OddKernel:
    """Shows other facts of some files than the file system does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts: dict[tuple[int, int], dict[str, int]] = {}
        self.names: dict[int, str] = {}
        self.untargeted: set[str] = set()
        self.attributes: dict[int, dict[str, bytes]] = {}
        self._stat, self._lstat, self._fstat = os.stat, os.lstat, os.fstat
        self._listdir, self._readlink = os.listdir, os.readlink
        self._listxattr, self._getxattr = os.listxattr, os.getxattr
        for call in ("stat", "lstat", "fstat", "listdir", "readlink", "listxattr", "getxattr"):
            monkeypatch.setattr(os, call, getattr(self, call))
        # other processes have another kernel
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})

    def lstat(self, path: Any, **kwargs: Any) -> os.stat_result:
        if path == LONG_NAME:
            path = "plain"
        return self._as_shown(self._lstat(path, **kwargs))

    def stat(self, path: Any, **kwargs: Any) -> os.stat_result:
        return self._as_shown(self._stat(path, **kwargs))

    def fstat(self, fd: int) -> os.stat_result:
        return self._as_shown(self._fstat(fd))

    def listdir(self, path: Any = ".") -> list[str]:
        found = self._listdir(path)
        more = self.names.get(self._fstat(path).st_ino) if isinstance(path, int) else None
        return found if more is None else [*found, more]

    def readlink(self, path: Any, **kwargs: Any) -> Any:
        return "" if path in self.untargeted else self._readlink(path, **kwargs)

    def listxattr(self, path: Any = None, **kwargs: Any) -> list[str]:
        return [*self._listxattr(path, **kwargs), *self._attributes(path)]

    def getxattr(self, path: Any, name: Any, **kwargs: Any) -> bytes:
        found = self._attributes(path).get(name)
        return self._getxattr(path, name, **kwargs) if found is None else found

    def _attributes(self, path: Any) -> dict[str, bytes]:
        found = self._fstat(path) if isinstance(path, int) else self._lstat(path)
        return self.attributes.get(found.st_ino, {})

    def _as_shown(self, found: os.stat_result) -> os.stat_result:
        odd = self.facts.get((found.st_dev, found.st_ino))
        if odd is None:
            return found
        ns = {f"st_{x}time_ns": getattr(found, f"st_{x}time_ns") for x in "amc"}
        times = {f"st_{x}time": getattr(found, f"st_{x}time") for x in "amc"}
        more = {name: getattr(found, name) for name in ("st_blocks", "st_blksize", "st_rdev")}
        numbers = dict(zip(("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid",
                            "st_size"), tuple(found)[:7], strict=True))  # fmt: skip
        plain = {**numbers, **{k: v for k, v in odd.items() if k in numbers}}
        rest = {**ns, **times, **more, **{k: v for k, v in odd.items() if k not in numbers}}
        return os.stat_result((*plain.values(), *tuple(found)[7:10]), rest)


class World:
    """One odd fact or a few for each path; `lost` are those that nobody could record."""

    def __init__(self, root: Path, kernel: OddKernel, seed: int) -> None:
        self.root = root
        self.kernel = kernel
        self.random = random.Random(seed)
        self.lost: set[str] = set()
        self._number = 0

    def build(self, *, without_form: bool) -> None:
        write(self.root, RELEASES[2])
        write(self.root, {"plain": text("plain"), "sub/plain": text("sub")})
        odds = [self._times, self._numbers, self._owners]
        if without_form:
            odds += [self._huge, self._nameless, self._untargeted, self._attributes]
        for odd in odds:
            for _ in range(self.random.randrange(3) or 1):
                odd()

    def _path(self) -> Path:
        self._number += 1
        folder = self.random.choice(("", "sub", "lib"))
        return (
            self.root / folder / self.random.choice((f"f{self._number}", f"\udcff{self._number}"))
        )

    def _make(self) -> Path:
        path = self._path()
        kind = self.random.choice(("file", "file", "symlink", "folder"))
        if kind == "symlink":
            path.symlink_to(self.random.choice(("plain", "\udcfe", "l" * 4000, "//x")))
        elif kind == "folder":
            path.mkdir()
        else:
            path.write_bytes(text(path.name.encode(errors="replace").decode()))
        return path

    def _times(self) -> None:
        time = self.random.choice((*TIMES, self.random.randrange(-(2**90), 2**90)))
        os.utime(self._make(), ns=(time, time), follow_symlinks=False)

    def _numbers(self) -> None:
        found = os.lstat(self._make())
        odd = {
            "st_ino": self.random.choice((2**64 - 1, 2**63, 2**63 - 1)) - self._number,
            "st_blocks": self.random.choice((0, 2**63 - 1)),
            "st_nlink": self.random.choice((1, 2**32)),
        }
        if stat.S_ISREG(found.st_mode):
            odd["st_dev"] = self.random.choice((2**64 - 1, 2**63))
        if not stat.S_ISDIR(found.st_mode):
            self.kernel.facts[found.st_dev, found.st_ino] = odd

    def _huge(self) -> None:
        path = self._path()
        path.touch()
        os.truncate(path, self.random.choice((LAST, 2**50 + 1)))
        self._lose(path)

    def _nameless(self) -> None:
        folder = self.random.choice((self.root, self.root / "sub"))
        self.kernel.names[os.lstat(folder).st_ino] = LONG_NAME
        self._lose(folder / LONG_NAME)

    def _untargeted(self) -> None:
        path = self._path()
        path.symlink_to("somewhere")
        self.kernel.untargeted.add(path.name)
        self._lose(path)

    def _attributes(self) -> None:
        path = self._make()
        size = self.random.choice((0, 1, 65536, 131_000, 131_073, 10**7))
        name = self.random.choice(("user.a", "user.\udcff\n", "user.//", "trusted." + "x" * 247))
        self.kernel.attributes[os.lstat(path).st_ino] = {name: b"\xff" * size}
        if len(name) + size > 131_072:
            self._lose(path)

    def _owners(self) -> None:
        if os.geteuid() == 0:
            os.chown(self._make(), self.random.choice((2**31, 2**32 - 2)), 2**32 - 2,
                     follow_symlinks=False)  # fmt: skip

    def _lose(self, path: Path) -> None:
        self.lost.add(str(path.relative_to(self.root)))

    def recorded(self) -> set[str]:
        every = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        return every - self.lost


@pytest.fixture
def root(cli: "Cli") -> Iterator[Path]:
    """On a file system that knows all times."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("no /dev/shm here")
    base = Path(tempfile.mkdtemp(dir="/dev/shm"))
    (base / "crm").mkdir()
    cli.ok("init")
    cli.ok("app", "add", "crm", str(base / "crm"))
    with Workspace.open(cli.store) as ws:
        publish_all(ws._store, ws.apps.get("crm").uuid, RELEASES)
    yield base / "crm"
    shutil.rmtree(base)


READING = (
    ("status",), ("status", "-v"), ("log",), ("ls", "latest"), ("diff", "latest..now"),
    ("verify",), ("report",), ("report", "-o", "r.html"), ("checkout", "0", "--dry-run"),
    ("checkout", "0", "--exact", "--dry-run"), ("fsck", "--read-data"), ("doctor",),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_snapshot_names_paths_without_form_and_records_the_rest(
    cli: "Cli", root: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    kernel = OddKernel(monkeypatch)
    world = World(root, kernel, seed)
    world.build(without_form=True)
    found = cli("--json", "snapshot")
    assert found.code == 3, found
    named = {text_from_json(one["path"]) for one in found.shapes[-1]["unobserved"]}
    assert found.shapes[-1]["unstable"] == []
    assert named == world.lost, found.out
    shown = {text_from_json(one["path"]): one for one in cli.ok("--json", "ls", "latest").shapes}
    assert set(shown) == world.recorded()
    for path, one in shown.items():
        if one["mtime_ns"] is not None:
            assert one["mtime_ns"] == os.lstat(root / path).st_mtime_ns
    for words in READING:
        for options in ((), ("--json",)):
            found = cli(*options, *words)
            assert found.code in (0, 1, 3) and "unexpected" not in found.err, (words, found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 9))
def test_recorded_odd_facts_come_back(
    cli: "Cli", root: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    world = World(root, OddKernel(monkeypatch), seed)
    world.build(without_form=False)
    cli.ok("snapshot")
    facts = {path: _facts(root / path) for path in world.recorded()}
    cli.ok("rebuild")
    for path in sorted(facts, reverse=True):
        where = root / path
        shutil.rmtree(where) if stat.S_ISDIR(os.lstat(where).st_mode) else where.unlink()
    result = cli("checkout", "0", "--json")
    assert result.code == 0, result
    assert {path: _facts(root / path) for path in world.recorded()} == facts
    assert cli("status", "--json").shapes[0]["clean"]
    cli.ok("undo")
    cli.ok("redo")
    cli.ok("checkout", "0", "--target", str(root.parent / "copy"))
    assert {path: _facts(root.parent / "copy" / path) for path in facts} == facts


def test_a_time_that_a_file_system_cannot_have_is_named(
    cli: "Cli", root: Path, tmp_path: Path
) -> None:
    (root / "late").write_bytes(b"late")
    os.utime(root / "late", ns=(2**62 * SECOND, 2**62 * SECOND))
    cli.ok("snapshot")
    found = cli("checkout", "0", "--target", str(tmp_path / "copy"), "--json")
    came = (tmp_path / "copy/late").stat().st_mtime_ns
    named = [] if came == 2**62 * SECOND else ["late: mtime"]
    assert found.shapes[-1]["not_restored"] == named


def test_an_export_names_paths_that_are_no_text_as_results_do(
    cli: "Cli", root: Path, tmp_path: Path
) -> None:
    (root / os.fsdecode(b"\xff")).write_bytes(b"secret")
    cli.ok("snapshot")
    cli.ok("purge", "--yes", os.fsdecode(b"\xff"))
    found = cli("checkout", "0", "--target", str(tmp_path / "copy"), "--json")
    (named,) = found.shapes[-1]["not_restored"]
    assert text_from_json(named) == os.fsdecode(b"\xff") + ": its content was purged"
    assert found.code == 3


def _facts(path: Path) -> tuple[object, ...]:
    found = os.lstat(path)
    is_folder = stat.S_ISDIR(found.st_mode)
    content = None if is_folder else os.readlink(path) if path.is_symlink() else path.read_bytes()
    time = None if is_folder else found.st_mtime_ns
    return found.st_mode, found.st_uid, found.st_gid, time, content
