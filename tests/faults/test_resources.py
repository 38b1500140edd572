"""With few descriptors everything works; who is killed for want of memory loses nothing.

EPM_TEST_ENTRIES says how large the tree is that is recorded with little memory.
"""

import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.trees import make_new, make_old
from tests.kit.program import PROGRAM, SEED, Outcome, ProgramHost, amount, differences

ENTRIES = amount("EPM_TEST_ENTRIES", 3000)
CGROUPS = Path("/sys/fs/cgroup/memory")
LIMITS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 256)
"""MiB: the first are too little for any of our processes, the last is enough."""


@pytest.fixture
def host(tmp_path: Path) -> ProgramHost:
    """Two versions; the root is the newer one."""
    made, rng = ProgramHost(tmp_path), random.Random(SEED)
    make_old(made.root, 60, rng)
    made.set_up()
    assert made.snapshot() == 0
    make_new(made.root, 60, rng)
    assert made.snapshot() == 1
    return made


class Memory:
    """A cgroup whose processes have so much memory together."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def limit(self, mib: int) -> None:
        (self._path / "memory.limit_in_bytes").write_text(str(mib << 20))

    @property
    def peak(self) -> int:
        """MiB, page cache included."""
        return int((self._path / "memory.max_usage_in_bytes").read_text()) >> 20

    def run(self, host: ProgramHost, *args: str) -> Outcome:
        (self._path / "memory.force_empty").write_text("0")
        script = 'echo $$ > "$0/tasks" && exec "$@"'
        return host(*args, program=("sh", "-c", script, str(self._path), PROGRAM))


@pytest.fixture
def memory() -> Iterator[Memory]:
    if os.geteuid() != 0 or not (CGROUPS / "memory.limit_in_bytes").exists():
        pytest.skip("needs root and memory cgroups of version 1")
    path = CGROUPS / f"epm-test-{os.getpid()}"
    path.mkdir()
    yield Memory(path)
    path.rmdir()


@pytest.mark.slow
def test_few_descriptors_are_enough(host: ProgramHost) -> None:
    new, few = host.picture(), ("prlimit", "--nofile=64", PROGRAM)
    (host.root / "one/more/file").parent.mkdir(parents=True)
    (host.root / "one/more/file").write_bytes(b"more")
    commands = [
        ("snapshot",), ("checkout", "0", "--exact"), ("undo",), ("checkout", "1", "--exact"),
        ("status",), ("forget", "0"), ("gc",), ("fsck", "--read-data"), ("rebuild",),
        ("store", "copy", str(host.place / "copy")), ("checkout", "1", "--exact"),
    ]  # fmt: skip
    for command in commands:
        found = host(*command, program=few)
        assert found.code in (0, 7), (command, found)  # 7: what an undo may need
    assert differences(host.picture(), new) == []
    assert host.leftovers() == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_for_want_of_memory(host: ProgramHost, memory: Memory) -> None:
    """A checkout with more and more memory, until there is enough; what each leaves is finished."""
    old, new = host.export(0), host.picture()
    killed = 0
    for mib in LIMITS:
        memory.limit(mib)
        found = memory.run(host, "checkout", "0", "--exact")
        host.ok("recover")
        now = host.picture()
        assert host.leftovers() == []
        assert {line["version"] for line in host.log()} >= {0, 1}
        if found.code == 0:
            assert differences(now, old) == []
            break
        assert found.code in (-signal.SIGKILL, 128 + signal.SIGKILL, 4, 137), found
        killed += 1
        assert differences(now, new) == [] or differences(now, old) == []
        host.ok("checkout", "1", "--exact")
    else:
        pytest.fail("256 MiB were not enough")
    assert killed > 0
    assert differences(host.export(1), new) == []
    host.ok("fsck", "--read-data")


@pytest.mark.slow
@pytest.mark.timeout(120 + ENTRIES // 50)
def test_a_large_root_with_little_memory(tmp_path: Path, memory: Memory) -> None:
    """256 MiB for recording, going back and checking, page cache and workers included."""
    host = ProgramHost(tmp_path)
    for number in range(ENTRIES):
        path = host.root / f"d{number % 97}/e{number % 31}/file-{number}"
        if number < 97 * 31:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number if number % 10 == 0 else b"")
    host.set_up()
    memory.limit(256)
    assert memory.run(host, "snapshot").code == 0
    for number in range(0, ENTRIES, 7):
        (host.root / f"d{number % 97}/e{number % 31}/file-{number}").unlink()
    shutil.rmtree(host.root / "d3")
    assert memory.run(host, "snapshot").code == 0
    assert memory.run(host, "checkout", "0", "--exact").code == 0
    assert memory.run(host, "fsck", "--read-data").code == 0
    assert sum(path.is_file() for path in host.root.rglob("file-*")) == ENTRIES
