"""A thousand pairs of contents with one SHA-1 each, through everything that handles contents.

The pairs begin with two blocks whose SHA-1 states collide (the folder that EPM_TEST_COLLISIONS
names), so whatever follows makes another pair.
"""

import shutil
from pathlib import Path

import pytest

from epmstore.catalog.model import PurgeRecord
from epmstore.digest import Digest, identify
from epmstore.errors import BlobNotFoundError, CollisionError
from epmstore.relpath import RelPath
from epmstore.store.commit import commit_fact
from epmstore.workspace import AppHandle, Workspace
from tests.acceptance.test_rescue import KEY, Lone, make_store
from tests.blobs.test_blob_store import COLLISIONS
from tests.kit.program import amount, picture

PAIRS = amount("EPM_TEST_PAIRS", 1000)


@pytest.fixture
def heads() -> tuple[bytes, bytes]:
    if not (COLLISIONS / "sha-mbles-1.bin").exists():
        pytest.skip("EPM_TEST_COLLISIONS names no folder with SHA-1 collisions")
    one, two = (COLLISIONS / f"sha-mbles-{number}.bin" for number in (1, 2))
    return one.read_bytes(), two.read_bytes()


@pytest.mark.slow
def test_no_content_is_taken_for_its_twin(tmp_path: Path, heads: tuple[bytes, bytes]) -> None:
    root = tmp_path / "root"
    (root / "one").mkdir(parents=True)
    (root / "two").mkdir()
    for number in range(PAIRS):
        tail = b"pair %d" % number
        assert identify(heads[0] + tail).digest == identify(heads[1] + tail).digest
        (root / f"one/{number}").write_bytes(heads[0] + tail)
        (root / f"two/{number}").write_bytes(heads[1] + tail)
    store = make_store(tmp_path, root)
    with Workspace.open(store) as workspace:
        handle = workspace.app(KEY)
        result = handle.snapshot("pairs")
        assert len(result.collisions) == PAIRS
        before = picture(root)
        for number in range(PAIRS):  # each becomes its twin
            tail = b"pair %d" % number
            (root / f"one/{number}").write_bytes(heads[1] + tail)
            (root / f"two/{number}").write_bytes(heads[0] + tail)
        handle.snapshot("twins")
        handle.checkout("0", exact=True)
        assert picture(root) == before
        workspace.care.gc()
        findings = workspace.care.fsck(1.0, seed=1).findings
        assert {found.kind for found in findings} <= {"collision"}
        workspace.care.rebuild()
        handle.export("0", tmp_path / "out")
        assert picture(tmp_path / "out") == before
        workspace.care.copy(tmp_path / "copy")
    lone = Lone(tmp_path, tmp_path / "copy")
    assert lone.extract(0) == before


def test_whoever_comes_second_is_refused(tmp_path: Path, heads: tuple[bytes, bytes]) -> None:
    (tmp_path / "root").mkdir()
    store = make_store(tmp_path, tmp_path / "root")
    for number, head in enumerate(heads):
        (tmp_path / f"{number}").write_bytes(head)
    with Workspace.open(store) as workspace:
        info = workspace.blobs.put(tmp_path / "0")
        with pytest.raises(CollisionError):
            workspace.blobs.put(tmp_path / "1")
        assert not workspace.blobs.compare(info.digest, tmp_path / "1")
        workspace.blobs.get(info.digest, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == heads[0]
        shutil.copy(tmp_path / "1", tmp_path / "root/found")
        assert workspace.app(KEY).snapshot("found").collisions == ("found",)
        with pytest.raises(CollisionError):  # which of them?
            workspace.blobs.get(info.digest, tmp_path / "again")
        workspace.blobs.get(info.sha256, tmp_path / "again")
        with pytest.raises(CollisionError):
            workspace.care.purge([info.digest])
        workspace.care.purge([identify(head).sha256 for head in heads])
        assert workspace.care.fsck(1.0, seed=1).clean
        assert not any(path.read_bytes() in heads for path in (store / "packs").rglob("*/*"))


class Twins:
    """An application with two versions: in the first are both contents, in the second neither."""

    def __init__(self, place: Path, heads: tuple[bytes, bytes], tail: bytes = b"") -> None:
        self.place = place
        self.good, self.bad = (head + tail for head in heads)
        self.root = place / "root"
        self.root.mkdir()
        self.store = make_store(place, self.root)
        self.write("good", self.good)
        self.write("bad", self.bad)
        self.write("kept", b"kept")
        with self.open() as workspace:
            workspace.app(KEY).snapshot("both")
            for name in ("good", "bad"):
                (self.root / name).unlink()
            workspace.app(KEY).snapshot("neither")

    def write(self, name: str, data: bytes) -> None:
        (self.root / name).write_bytes(data)

    def open(self) -> Workspace:
        return Workspace.open(self.store)

    def stored(self) -> set[str]:
        with self.open() as workspace:
            return {
                name
                for name, data in (("good", self.good), ("bad", self.bad))
                if workspace._store.contents.places([identify(data).sha256])
            }

    def check_the_good(self, workspace: Workspace, handle: AppHandle) -> None:
        """It can be had by every way there is, and the bad one by none."""
        assert b"".join(handle.cat("0", RelPath("good"))) == self.good
        with pytest.raises(BlobNotFoundError):
            list(handle.cat("0", RelPath("bad")))
        out = self.place / f"out-{len(list(self.place.iterdir()))}"
        done = handle.export("0", out)
        assert (out / "good").read_bytes() == self.good and not (out / "bad").exists()
        assert [one.path for one in done.refused] == ["bad"]
        workspace.care.gc(now=True)
        assert self.stored() == {"good"}
        assert {one.kind for one in workspace.care.fsck(1.0, seed=1).findings} <= {"collision"}
        assert workspace.care.drill(KEY, 0)[1].is_proven


@pytest.mark.parametrize("tail", [b"", b"x" * 300_000])
def test_purging_one_of_two_leaves_the_other(
    tmp_path: Path, heads: tuple[bytes, bytes], tail: bytes
) -> None:
    twins = Twins(tmp_path, heads, tail)
    with twins.open() as workspace:
        handle = workspace.app(KEY)
        contents = workspace.care.contents_of(KEY, RelPath("bad"))
        would = workspace.care.purge(contents, dry_run=True)
        assert [path for _, path in would.paths] == ["bad"]
        assert workspace.care.purge(contents).paths == would.paths
        twins.check_the_good(workspace, handle)
        result = handle.checkout("0")
        assert (twins.root / "good").read_bytes() == twins.good
        assert [text.partition(":")[0] for text in result.not_restored] == ["bad"]
        # the good one is recorded again wherever it comes, and the bad one is not
        twins.write("good again", twins.good)
        twins.write("bad again", twins.bad)
        handle.snapshot("again")
        assert b"".join(handle.cat("latest", RelPath("good again"))) == twins.good
        assert twins.stored() == {"good"}
        handle.pin("0")
        workspace.care.copy(tmp_path / "copy")
        assert workspace.care.rebuild() == []
        twins.check_the_good(workspace, handle)
    lone = Lone(tmp_path, tmp_path / "copy")
    assert set(lone.extract(0, code=3)) == {b"good", b"kept"}
    with Workspace.open(tmp_path / "copy") as copied:
        assert b"".join(copied.app(KEY).cat("0", RelPath("good"))) == twins.good


def test_a_purged_content_is_told_from_its_twin_that_comes_later(
    tmp_path: Path, heads: tuple[bytes, bytes]
) -> None:
    (tmp_path / "root").mkdir()
    store = make_store(tmp_path, tmp_path / "root")
    good, bad = heads
    (tmp_path / "root/bad").write_bytes(bad)
    with Workspace.open(store) as workspace:
        handle = workspace.app(KEY)
        handle.snapshot("bad")
        workspace.care.purge([identify(bad).digest])
        (tmp_path / "root/good").write_bytes(good)
        handle.snapshot("good")
        assert b"".join(handle.cat("1", RelPath("good"))) == good
        (tmp_path / "root/good").write_bytes(b"other")
        handle.checkout("1", [RelPath("good")])
        assert (tmp_path / "root/good").read_bytes() == good


def test_contents_purged_by_sha1_stay_purged(tmp_path: Path, heads: tuple[bytes, bytes]) -> None:
    twins = Twins(tmp_path, heads)
    digest: Digest = identify(twins.good).digest
    with twins.open() as workspace:
        handle = workspace.app(KEY)
        fact = PurgeRecord(time="2026-01-01T00:00:00Z", digest=digest.hex())
        commit_fact(workspace._store, handle.app.uuid, fact)
        for name in ("good", "bad"):
            with pytest.raises(BlobNotFoundError):
                list(handle.cat("0", RelPath(name)))
        workspace.care.gc()
        assert twins.stored() == set()
        twins.write("again", twins.good)
        handle.snapshot()
        assert twins.stored() == set()
        assert workspace.care.fsck(1.0, seed=1).clean is False  # the collision
