"""Files that processes have mapped: what is stored to them shows late, or never, and is seen."""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from epmstore.record import doubt
from epmstore.scan.fsclock import probe_clock
from epmstore.scan.mounts import filesystem
from tests.kit.place import Place

SIZE = 3 * 4096
STORING = """
import mmap, sys
maps = {}
for line in sys.stdin:
    what, path, at, text = line.rstrip("\\n").split("\\t")
    if what == "map":
        with open(path, "r+b") as file:
            maps[path] = mmap.mmap(file.fileno(), 0)
    elif what == "store":
        maps[path][int(at) : int(at) + len(text)] = text.encode()
    elif what == "sync":
        maps[path].flush()
    else:
        maps.pop(path).close()
    print("done", flush=True)
"""


class Holder:
    """A process that has files mapped, and does as it is told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", STORING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, what: str, path: Path, at: int = 0, text: str = "") -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{what}\t{path}\t{at}\t{text}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> None:
        self._process.communicate()


@contextmanager
def holder() -> Iterator[Holder]:
    found = Holder()
    try:
        yield found
    finally:
        found.end()


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """On a file system that writes pages out, and on one that never does."""
    wanted = {"memory": ("tmpfs",), "disk": ("ext4", "xfs", "btrfs")}[request.param]
    for base in (tmp_path, Path("/var/tmp"), Path("/dev/shm")):
        if base.is_dir() and filesystem(base).name in wanted:
            with tempfile.TemporaryDirectory(dir=base) as folder:
                yield Place(Path(folder))
            return
    pytest.skip(f"no file system of {wanted} here")


def is_clean(place: Place) -> bool:
    with place.crm() as crm:
        return crm.status().clean


def is_as_recorded(place: Place) -> bool:
    return all(place.cat(path.name) == path.read_bytes() for path in place.root.iterdir())


@pytest.mark.slow
def test_a_second_store_to_a_page_is_seen(place: Place) -> None:
    data = place.root / "data"
    data.write_bytes(bytes(SIZE))
    with holder() as tell:
        tell("map", data)
        tell("store", data, text="AAAA")
        assert place.snapshot() == 0 and is_clean(place)
        before = data.stat()
        tell("store", data, text="BBBB")
        assert data.stat().st_ctime_ns == before.st_ctime_ns, "or this shows nothing"
        assert not is_clean(place)
        assert place.snapshot() == 1
        assert place.cat("data")[:4] == b"BBBB"
        tell("store", data, text="CCCC")
        tell("unmap", data)
        assert not is_clean(place), "nobody has it mapped any more"
        assert place.snapshot() == 2
    assert is_clean(place)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 6])
def test_status_tells_whether_the_newest_version_is_what_is_there(place: Place, seed: int) -> None:
    """Two processes map, store, sync and unmap at random, with looks in between."""
    choose = random.Random(seed)
    files = [place.root / name for name in ("a", "b")]
    for path in files:
        path.write_bytes(bytes(SIZE))
    in_memory = filesystem(place.root).name == "tmpfs"
    place.snapshot()
    with holder() as one, holder() as two:
        mapped: set[tuple[Holder, Path]] = set()
        for number in range(25):
            tell, path = choose.choice((one, two)), choose.choice(files)
            if (tell, path) not in mapped:
                tell("map", path)
                mapped.add((tell, path))
                if in_memory:  # or a mapping may come and go without a trace
                    place.snapshot()
            else:
                what = choose.choice(("store", "store", "store", "sync", "unmap"))
                tell(what, path, choose.randrange(3) * 4096, f"{number:04}")
                if what == "unmap":
                    mapped.remove((tell, path))
            if choose.random() < 0.3:
                place.snapshot()
                assert is_as_recorded(place)
            elif choose.random() < 0.6:
                assert is_clean(place) == is_as_recorded(place)


@pytest.mark.slow
def test_a_checkout_does_not_believe_it_either(place: Place) -> None:
    data = place.root / "data"
    data.write_bytes(bytes(SIZE))
    data.chmod(0o644)
    with holder() as tell:
        tell("map", data)
        tell("store", data, text="AAAA")
        place.snapshot()
        data.chmod(0o600)
        place.snapshot()
        tell("store", data, text="BBBB")
        tell("unmap", data)
        with place.crm() as crm:
            assert crm.checkout("0").safety == 2
    assert place.cat("data", 2)[:4] == b"BBBB"
    assert data.read_bytes()[:4] == b"AAAA" and is_clean(place)


def wait_for_clock(root: Path) -> None:
    """Until that of the file system is past what was written, and cannot blur it."""
    fd = os.open(root, os.O_RDONLY)
    while probe_clock(fd).settled_ns() <= max(one.stat().st_ctime_ns for one in root.iterdir()):
        pass
    os.close(fd)


@pytest.mark.slow
def test_much_that_was_in_doubt_is_not_read_by_every_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubt, "MANY_FILES", 3)
    place = Place(tmp_path)
    for number in range(5):
        place.write(f"f{number}")
    place.snapshot()
    (live,) = (place.path / "live").glob("*.sqlite")
    live.unlink()
    wait_for_clock(place.root)
    assert is_clean(place)
    assert live.exists()
    before = live.read_bytes()
    assert is_clean(place)
    assert live.read_bytes() == before, "and what is known needs no more notes"
