"""The umask of a caller takes nothing from the owner of what is made, and adds nothing for others;
what is not ours is started with it as it was.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore import limits

MASKS = (0o000, 0o022, 0o077, 0o777)
LIKE_OTHERS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
"""Else root may open what it has no right to, and nobody sees what was taken away."""


class Program:
    """`program("log")` under an umask, in a process of its own."""

    def __init__(self, base: Path, mask: int) -> None:
        self.root, self.store, self.mask, self._base = base / "r", base / "s", mask, base

    def run(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        prefix = [] if os.geteuid() else LIKE_OTHERS
        return subprocess.run(
            [*prefix, sys.executable, "-m", "epmstore", *args],
            umask=self.mask,
            env={"EPMSTORE_STORE": str(self.store), "PATH": os.environ["PATH"]},
            cwd=self._base,
            capture_output=True,
            check=False,
        )

    def __call__(self, *args: str) -> None:
        done = self.run(*args)
        assert done.returncode == 0, (args, done)


@pytest.fixture(params=MASKS, ids=oct)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    made = Program(tmp_path, request.param)
    (made.root / "d").mkdir(parents=True)
    (made.root / "a").write_bytes(b"1")
    (made.root / "d" / "x").write_bytes(b"1")
    return made


def what_is_there(root: Path) -> dict[str, tuple[int, bytes | None]]:
    found = {str(path.relative_to(root)): path for path in root.rglob("*")}
    return {
        name: (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
        for name, path in found.items()
    }


@pytest.mark.slow
def test_everything_can_be_done_under_every_umask(program: Program) -> None:
    before = what_is_there(program.root)
    program("init")
    program("app", "add", "crm", str(program.root))
    program("snapshot")
    for acts in (["rollback", "--yes"], ["checkout", "0", "--exact", "--yes"]):
        (program.root / "a").write_bytes(b"2")
        for name in ("x", ""):
            path = program.root / "d" / name
            path.unlink() if path.is_file() else path.rmdir()
        program("snapshot", "-m", "changed")
        program(*acts)
        assert what_is_there(program.root) == before, "and no staging folder"
    program("checkout", "0", "--target", str(program.root.parent / "out"))
    assert what_is_there(program.root.parent / "out") == before
    for path in program.store.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert not mode & 0o077, path
        assert mode & 0o400 or not path.is_file(), path


@pytest.mark.slow
@pytest.mark.parametrize("program", [0o777], ids=oct, indirect=True)
def test_a_command_that_is_run_has_the_umask_of_the_caller(program: Program) -> None:
    program("init")
    program("app", "add", "crm", str(program.root))
    program("snapshot")
    out = program.run("run", "--", "sh", "-c", "umask")
    assert int(out.stdout.split()[0], 8) == program.mask, out
    hook = "sh -c 'test $(umask) = " + f"{program.mask:04o}" + "'"
    program("app", "set", "crm", "--stop", hook, "--start", hook)
    (program.root / "a").write_bytes(b"2")
    program("checkout", "0", "--yes")


@pytest.fixture
def as_now() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)
    limits.keep_own_rights()


@pytest.mark.usefixtures("as_now")
@pytest.mark.parametrize(
    ("given", "kept", "told"),
    [(0, 0, -1), (0o022, 0o022, -1), (0o777, 0o077, 0o777), (0o327, 0o027, 0o327)],
)
def test_only_the_owner_keeps_what_is_his(given: int, kept: int, told: int) -> None:
    os.umask(given)
    for _ in range(2):
        limits.keep_own_rights()
        assert (os.umask(kept), limits.umask_as_before()) == (kept, told)
