"""A store, one application and the installed command line, as somebody at a host has them.

Everything goes through `epmstore` in a process of its own; `Picture` is all of a tree that a
checkout has to bring back.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from epmstore.relpath import STAGE_PREFIX

PROGRAM = str(Path(sys.executable).with_name("epmstore"))
KILLER = str(Path(__file__).with_name("killer.py"))
Picture: TypeAlias = dict[bytes, tuple[object, ...]]


def amount(name: str, default: int) -> int:
    """How much is tried: a small number by default, a large one by an environment variable."""
    return int(os.environ.get(name, default))


def strike(signal: str, last: int, report: Path = Path(os.devnull)) -> tuple[str, ...]:
    """The program to start instead, so that a signal comes before its mutating call `last`."""
    return (sys.executable, KILLER, signal, str(last), str(report))


SEED = amount("EPM_TEST_SEED", 1)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def shapes(self) -> list[dict[str, Any]]:
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The JSON error on standard error."""
        found = json.loads(self.err.splitlines()[-1])
        assert isinstance(found, dict)
        return found


class ProgramHost:
    """`host("log", "-n", "5")`. The root is there and empty, the store is not there yet."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.store = place / "store"
        self.root = place / "root"
        self.root.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "EPMSTORE_STORE": str(self.store)}

    def start(self, *args: str, program: tuple[str, ...] = (PROGRAM,)) -> subprocess.Popen[str]:
        """A command that runs on its own."""
        return subprocess.Popen(
            [*program, *args],
            env=self.environment,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
        )

    def __call__(self, *args: str, program: tuple[str, ...] = (PROGRAM,)) -> Outcome:
        process = self.start(*args, program=program)
        out, err = process.communicate()
        assert "Traceback" not in err, err
        return Outcome(process.returncode, out, err)

    def ok(self, *args: str, code: int = 0) -> Outcome:
        """A command that must end with this exit code."""
        found = self(*args)
        assert found.code == code, (args, found)
        return found

    def count(self, *args: str) -> int:
        """Run a command; how many mutating calls it makes."""
        report = self.place / "calls"
        found = self("--quiet", *args, program=strike("SIGKILL", 0, report))
        assert found.code == 0, found
        return int(report.read_text())

    def json(self, *args: str, code: int = 0) -> list[dict[str, Any]]:
        return self.ok("--json", *args, code=code).shapes

    def fails(self, code: int, *args: str, hint: str = "", says: str = "") -> dict[str, Any]:
        """A command that must fail: one error, which says and advises this."""
        found = self("--json", *args)
        assert found.code == code, (args, found)
        error = found.error
        assert error["exit_code"] == code, error
        assert hint in (error["hint"] or ""), error
        assert says in error["message"], error
        return error

    def set_up(self, *options: str) -> None:
        """A store, and the root registered as `crm`."""
        self.ok("init")
        self.ok("app", "add", "crm", str(self.root), *options)

    def snapshot(self, *args: str) -> int:
        version = self.json("snapshot", *args)[-1]["version"]
        assert isinstance(version, int)
        return version

    def log(self) -> list[dict[str, Any]]:
        """All versions, oldest first."""
        return [line for line in self.json("log", "--all") if line["type"] == "version"][::-1]

    def is_clean(self) -> bool:
        found = self("--json", "status")
        assert found.code in (0, 1), found
        return bool(found.shapes[0]["clean"])

    def picture(self) -> Picture:
        return picture(self.root)

    def export(self, version: int | str) -> Picture:
        """What a version is, as `checkout --target` writes it."""
        target = self.place / "exported"
        self.ok("checkout", str(version), "--target", str(target))
        found = picture(target)
        subprocess.run(["rm", "-rf", str(target)], check=True)
        return found

    def leftovers(self) -> list[str]:
        """What a finished command may never leave behind."""
        staged = [name for name in os.listdir(self.root) if name.startswith(STAGE_PREFIX)]
        return [*staged, *os.listdir(self.store / "journals")]


def picture(root: Path) -> Picture:
    """All that a checkout has to bring back, of everything below a folder."""
    found: Picture = {}
    groups: dict[int, bytes] = {}
    for path, where in sorted(_below(os.fsencode(root), b"")):
        stats = os.lstat(where)
        found[path] = _describe(where, stats)
        if stat.S_ISREG(stats.st_mode):
            found[path] += (groups.setdefault(stats.st_ino, path),)
    return found


def _below(folder: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each path below a folder, and where it is."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            yield path, entry.path
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, path + b"/")


def _describe(where: bytes, stats: os.stat_result) -> tuple[object, ...]:
    facts = (stat.S_IFMT(stats.st_mode), stats.st_uid, stats.st_gid, _xattrs(where))
    if stat.S_ISDIR(stats.st_mode):
        return (*facts, stats.st_mode)
    if stat.S_ISLNK(stats.st_mode):
        return (*facts, stats.st_mtime_ns, os.readlink(where))
    if stat.S_ISREG(stats.st_mode):
        with open(where, "rb", buffering=0) as file:
            return (*facts, stats.st_mode, stats.st_mtime_ns, file.readall())
    return facts


def _xattrs(where: bytes) -> tuple[tuple[str, bytes], ...]:
    names = sorted(os.listxattr(where, follow_symlinks=False))
    return tuple((name, os.getxattr(where, name, follow_symlinks=False)) for name in names)


def differences(one: Mapping[bytes, object], two: Mapping[bytes, object]) -> list[bytes]:
    """Paths in which two pictures differ; shorter to read than the pictures."""
    return sorted(path for path in one.keys() | two.keys() if one.get(path) != two.get(path))
