"""A thousand pairs of contents with one SHA-1 each, through everything that handles contents.

The pairs begin with two blocks whose SHA-1 states collide (the folder that EPM_TEST_COLLISIONS
names), so whatever follows makes another pair.
"""

import shutil
from pathlib import Path

import pytest

from epmstore.digest import identify
from epmstore.errors import CollisionError
from epmstore.workspace import Workspace
from tests.acceptance.host import amount, picture
from tests.acceptance.test_rescue import KEY, Lone, make_store
from tests.blobs.test_store import COLLISIONS

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
        workspace.care.purge([info.digest])  # both
        assert workspace.care.fsck(1.0, seed=1).clean
        assert not any(path.read_bytes() in heads for path in (store / "packs").rglob("*/*"))
