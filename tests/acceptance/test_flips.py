"""One flipped bit anywhere in a store: it is found, no wrong byte leaves, and the rest works on.

EPM_TEST_FLIPS sets how many places are tried, EPM_TEST_SEED which.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from epmstore.errors import ConflictError, DamagedError, NotFoundError
from epmstore.workspace import AppHandle, Workspace
from tests.acceptance.trees import make_new, make_old, write
from tests.kit.program import SEED, Picture, ProgramHost, amount, differences, picture

FLIPS = amount("EPM_TEST_FLIPS", 16)
KINDS = ("pack", "log", "syscat.zst", "appcat.json", "FORMAT")
Hits: TypeAlias = set[int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 6 * FLIPS)]


class Damaged:
    """A host with three versions, in packs and in the log, whose store is made anew for each flip.

    The root is as in version 2 before each.
    """

    def __init__(self, place: Path) -> None:
        self.host = ProgramHost(place)
        self.rng = random.Random(SEED)
        self.pictures: list[Picture] = []
        host, root, rng = self.host, self.host.root, self.rng
        make_old(root, 30, rng)
        write(root / "large", rng.randbytes(9 << 20), rng)
        host.set_up()
        self._record()
        make_new(root, 30, rng)
        self._record()
        for name in ("first", "setuid"):
            data = (root / "x0" / name).read_bytes()
            write(root / "x0" / name, data[:50] + b"edited" + data[50:], rng)
        shutil.rmtree(root / "x1")
        self._record()
        self.clean = place / "clean"
        host.store.rename(self.clean)
        self.newest = place / "newest"
        copy(root, self.newest)

    def _record(self) -> None:
        assert self.host.snapshot() == len(self.pictures)
        self.pictures.append(self.host.picture())

    def files(self, kind: str) -> list[Path]:
        """Of the store, as relative paths."""
        found = [p.relative_to(self.clean) for p in self.clean.rglob("*") if p.is_file()]
        return sorted(path for path in found if is_of_kind(path, kind))

    def renew(self) -> None:
        """A store without damage, and the root as it was recorded last."""
        shutil.rmtree(self.host.store, ignore_errors=True)
        copy(self.clean, self.host.store)
        if differences(self.host.picture(), self.pictures[-1]):
            for name in os.listdir(self.host.root):
                subprocess.run(["rm", "-rf", self.host.root / name], check=True)
            subprocess.run(["cp", "-a", f"{self.newest}/.", self.host.root], check=True)

    def flip(self, file: Path) -> str:
        """One bit of a file; what was done."""
        path = self.host.store / file
        at, bit = self.rng.randrange(path.stat().st_size), 1 << self.rng.randrange(8)
        with path.open("r+b") as stream:
            stream.seek(at)
            byte = stream.read(1)[0]
            stream.seek(at)
            stream.write(bytes([byte ^ bit]))
        return f"seed {SEED}: {file}, byte {at}, bit {bit}"


def is_of_kind(path: Path, kind: str) -> bool:
    if kind == "log":
        return path.parts[:2] == ("packs", "log")
    return path.suffix == ".pack" if kind == "pack" else path.name.endswith(kind)


def copy(one: Path, two: Path) -> None:
    subprocess.run(["cp", "-a", "--sparse=never", one, two], check=True)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    return Damaged(tmp_path_factory.mktemp("flips"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flip_is_found_and_does_no_harm(damaged: Damaged, kind: str) -> None:
    shares = {"pack": 3, "log": 3, "syscat.zst": 3, "appcat.json": 1, "FORMAT": 1}
    files = damaged.files(kind)
    assert files
    for number in range(max(2, FLIPS * shares[kind] // 11)):
        damaged.renew()
        what = damaged.flip(files[number % len(files)])
        hits = find(damaged.host, what, kind)
        check_harmless(damaged, hits, what)


def find(host: ProgramHost, what: str, kind: str) -> Hits:
    """The versions that a check says are hit."""
    found = host("--json", "fsck", "--read-data")
    assert found.code == 6, (what, found)
    if not found.out:
        assert kind == "FORMAT", (what, found)
        assert found.error["error"] == "damaged"
        return {0, 1, 2}
    findings = [line for line in found.shapes if line["type"] == "finding"]
    assert findings, what
    hits = {hit["version"] for finding in findings for hit in finding["versions"]}
    return {0, 1, 2} if kind == "appcat.json" else hits


def check_harmless(damaged: Damaged, hits: Hits, what: str) -> None:
    """What is hit may fail; what is given out is right."""
    host = damaged.host
    try:
        workspace = Workspace.open(host.store)
    except DamagedError as error:
        assert error.hint, what
        assert hits == {0, 1, 2}, what
        return
    with workspace:
        try:
            handle = workspace.app("crm")
        except DamagedError as error:
            assert error.hint, what
            assert hits == {0, 1, 2}, what
            return
        for version, expected in enumerate(damaged.pictures):
            check_export(host, handle, version, expected, version in hits, what)
            if version in hits:
                check_contents(handle, version, expected, what)
        # behind damage in a catalog nothing is recorded, so nothing is changed that would be
        check_checkout(damaged, handle, 0 in hits or "syscat" in what, what)


def check_export(
    host: ProgramHost, handle: AppHandle, version: int, expected: Picture, is_hit: bool, what: str
) -> None:
    target = host.place / "exported"
    shutil.rmtree(target, ignore_errors=True)
    try:
        handle.export(str(version), target)
    except (DamagedError, NotFoundError):
        assert is_hit, f"{what}: version {version} is not hit"
        assert not target.exists()
    else:
        assert differences(picture(target), expected) == [], f"{what}: version {version}"


def check_contents(handle: AppHandle, version: int, expected: Picture, what: str) -> None:
    """`cat` gives the right bytes, or the beginning of them and an error."""
    files = [entry for entry in handle.ls(str(version)) if entry.kind == "file"]
    for entry in files[:: max(1, len(files) // 12)]:
        data = b""
        try:
            for chunk in handle.cat(str(version), entry.path):
                data += chunk
        except (DamagedError, NotFoundError):
            assert contents(expected, entry.path).startswith(data), what
        else:
            assert contents(expected, entry.path) == data, what


def contents(expected: Picture, path: str) -> bytes:
    """Of a file, as in a picture."""
    data = expected[os.fsencode(path)][-2]
    assert isinstance(data, bytes)
    return data


def check_checkout(damaged: Damaged, handle: AppHandle, is_hit: bool, what: str) -> None:
    """The live root is the old version or as it was. What the check found damaged is no longer
    stored: the live file that still has it stays and is named, or is in the way.
    """
    try:
        done = handle.checkout("0", exact=True)
    except (DamagedError, NotFoundError, ConflictError) as error:
        assert is_hit or isinstance(error, ConflictError), what
        assert differences(damaged.host.picture(), damaged.pictures[-1]) == [], what
    else:
        left = {os.fsencode(line.partition(": ")[0]) for line in done.not_restored}
        wrong = differences(damaged.host.picture(), damaged.pictures[0])
        assert [path for path in wrong if path not in left] == [], what
    assert damaged.host.leftovers() == [], what


def spots(damaged: Damaged, pattern: str, count: int) -> Iterator[str]:
    """Flips of the caches, each of a store without other damage."""
    for _ in range(count):
        damaged.renew()
        (path,) = damaged.host.store.glob(pattern)
        yield damaged.flip(path.relative_to(damaged.host.store))


CHECKED = (("log", "--all"), ("ls", "1"), ("diff", "0..2"))
"""Commands whose answers the sums of the catalogs vouch for. Of single paths none does: what the
index has of them is checked by fsck.
"""


def answers(host: ProgramHost) -> list[tuple[int, str]]:
    return [(found.code, found.out) for words in CHECKED for found in [host("--json", *words)]]


def test_a_flip_in_the_index_costs_a_rebuild_at_most(damaged: Damaged) -> None:
    damaged.renew()
    host, right = damaged.host, answers(damaged.host)
    assert [code for code, _ in right] == [0] * len(CHECKED)
    for what in spots(damaged, "index.sqlite", max(4, FLIPS // 8)):
        for given, expected in zip(answers(host), right, strict=True):
            assert given == expected or given[0] == 6, (what, given)
        found = host("--json", "checkout", "0", "--exact")
        now = differences(host.picture(), damaged.pictures[0]) == []
        assert now or differences(host.picture(), damaged.pictures[-1]) == [], what
        assert (found.code == 0) == now, (what, found)
        if not now:
            assert found.code in (5, 6), (what, found)
            assert "rebuild" in found.error["hint"], (what, found)
        host.ok("rebuild")
        host.ok("fsck", "--read-data")
        if not now:
            assert answers(host) == right, what
            host.ok("checkout", "0", "--exact")
            assert differences(host.picture(), damaged.pictures[0]) == [], what


def test_a_flip_in_the_live_cache_costs_a_look(damaged: Damaged) -> None:
    host = damaged.host
    for what in spots(damaged, "live/*.sqlite", max(4, FLIPS // 8)):
        assert host.is_clean(), what
        (host.root / "new").write_bytes(b"seen")
        with Workspace.open(host.store) as workspace:
            handle = workspace.app("crm")
            assert [str(path) for path in handle.status().added] == ["new"], what
            (host.root / "new").unlink()
            handle.checkout("0", exact=True)
        assert differences(host.picture(), damaged.pictures[0]) == [], what
