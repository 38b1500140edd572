"""Nothing goes round `fsio`: every system call by which a command changes a store or a root was
announced, SQLite's own files apart.
"""

import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.trees import make_new, make_old
from tests.faults.syscalls import ANNOUNCED, MARKED, Change, changes, missing, trace
from tests.kit.program import SEED, ProgramHost

SQLITE = re.compile(r"\.sqlite(\.new|\.rebuilt)*(-wal|-shm|-journal)?[\">]")
"""What SQLite writes by itself: the index and the live caches, which may be lost."""
SQLITE_FOLDER = re.compile(r"/store(/live)?>\) = 0$")
"""It syncs the folders that they are in as well."""
NOT_MADE = {"allocate", "exchange"}
"""May not be there on every file system."""


@pytest.fixture
def host(tmp_path: Path) -> ProgramHost:
    why = missing()
    if why is not None:
        pytest.skip(f"system calls: {why}")
    return ProgramHost(tmp_path / "place")


def is_sqlite(change: Change) -> bool:
    if change.call == "fdatasync" and SQLITE_FOLDER.search(change.text):
        return True
    return SQLITE.search(change.text) is not None


class Traced:
    """Runs commands of a host and keeps what they changed."""

    def __init__(self, host: ProgramHost) -> None:
        self.host = host
        self.announced: Counter[str] = Counter()
        self.wrong: list[tuple[str, Change]] = []

    def __call__(self, *args: str, code: int = 0) -> None:
        ended, found = trace(self.host.place, self.host.environment, str(MARKED), *args)
        assert ended == code, args
        for change in found:
            if is_sqlite(change):
                continue
            self.announced.update([change.announced] if change.announced else [])
            if not change.is_known:
                self.wrong.append((" ".join(args), change))


@pytest.mark.slow
def test_nothing_goes_round_fsio(host: ProgramHost) -> None:
    rng, run, root = random.Random(SEED), Traced(host), host.root
    make_old(root, 30, rng)
    run("init")
    run("app", "add", "crm", str(root))
    run("snapshot", "-m", "old")
    make_new(root, 30, rng)
    (root / "owned").write_bytes(b"somebody's")
    if os.geteuid() == 0:
        os.chown(root / "owned", 1, 1)
    run("run", "-m", "patch", "--", "true")
    run("checkout", "0", "--exact")
    run("undo")
    run("checkout", "0", "--target", str(host.place / "exported"))
    (host.place / "loose").write_bytes(os.urandom(3000))
    run("blob", "put", str(host.place / "loose"))
    run("tag", "first", "0")
    run("forget", "--keep-last", "1", "--yes")
    run("gc")
    run("store", "copy", str(host.place / "copy"))
    run("fsck", "--read-data")
    os.unlink(host.store / "index.sqlite")
    run("rebuild")
    assert run.wrong == []
    seen = set(run.announced) | NOT_MADE | ({"chown"} if os.geteuid() else set())
    assert seen >= set(ANNOUNCED), "and there was something to see"


def test_trace_sees_calls_that_bypass_fsio(host: ProgramHost) -> None:
    """Or the test above proves nothing."""
    script = "import os, sys; os.mkdir(sys.argv[1])"
    _, found = trace(host.place, host.environment, "-c", script, str(host.place / "made"))
    assert [(change.call, change.is_known) for change in found] == [("mkdir", False)]


def test_an_announced_call_is_one_of_its_kind() -> None:
    text = (
        '7 newfstatat(AT_FDCWD, "/epm-call/unlink", 0x1, 0) = -1 ENOENT\n'
        '7 unlinkat(3</p/store>, "a", 0) = 0\n'
        "8 fchmod(4</p/store/b>, 0600 <unfinished ...>\n"
        '7 renameat(3</p/store>, "a", 3</p/store>, "b") = 0\n'
        "8 <... fchmod resumed>) = 0\n"
        '7 unlinkat(3</elsewhere>, "a", 0) = 0\n'
    )
    found = [(one.call, one.is_known) for one in changes(text, "/p")]
    assert found == [("unlinkat", True), ("renameat", False), ("fchmod", False)]


def test_the_spoiled_call_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    script = (
        "import errno, os, sys\n"
        "from epmstore import atomic\n"
        "from pathlib import Path\n"
        "from tests.faults.shim import Fault, Shim\n"
        "with Shim(Fault('tear', at=1, only=frozenset({'write'}))):\n"
        "    atomic.replace_file(Path(sys.argv[1]), b'0123456789')\n"
    )
    top = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path / "file")]
    done = subprocess.run(command, cwd=top, check=False)
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"01234"
