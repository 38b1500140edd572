"""A large file that changes a little: its parts become deltas, and all of store care knows that."""

from pathlib import Path

import pytest

from tests.kit.worn import WornHost, pack_files, tree

PART = 4 << 20


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WornHost:
    monkeypatch.setattr("epmstore.record.file_reader.PART_THRESHOLD", 1 << 20)
    monkeypatch.setattr("epmstore.record.ingest.POOL_FROM", 1 << 40)
    monkeypatch.setattr("epmstore.checkout.files.PART_THRESHOLD", 1 << 20)
    return WornHost(tmp_path, files=2)


def stored(host: WornHost) -> int:
    return sum(path.stat().st_size for path in pack_files(host.path))


def record(host: WornHost, *versions: bytes) -> list[int]:
    """Snapshots of a file; by how much each let the store grow."""
    grown, before = [], stored(host)
    for data in versions:
        host.write("large", data)
        host.snapshot()
        grown.append(stored(host) - before)
        before += grown[-1]
    return grown


def test_each_edit_costs_what_is_new_in_it(host: WornHost) -> None:
    old = host.random.randbytes(3 * PART)
    inserted = b"0123456789" + old
    moved = host.random.randbytes(PART) + inserted[: 2 * PART] + b"!" + inserted[2 * PART + 1 :]
    appended = moved + host.random.randbytes(1 << 20)
    first, small, head, tail = record(host, old, inserted, moved, appended)
    assert first > len(old) * 0.99
    assert small < 20_000
    assert head < PART * 1.05
    assert tail < (1 << 20) * 1.05
    host.check()


def test_store_care_knows_parts_that_are_deltas(host: WornHost, tmp_path: Path) -> None:
    old = host.random.randbytes(3 * PART)
    record(host, old, b"0123456789" + old, old[: PART + 5] + b"!" + old[PART + 5 :])
    with host.open() as ws:
        assert ws.care.fsck(1.0, seed=1).clean
        crm = ws.app("crm")
        ws.care.rebuild()
        assert ws.care.fsck(1.0, seed=1).clean
        ws.care.forget("crm", [0])
        ws.care.gc()
        assert ws.care.fsck(1.0, seed=1).clean
        for version in (1, 2):
            assert tree(crm, version)["large"] == host.kept[version]["large"]
        ws.care.copy(tmp_path / "copy")
    host.path.rename(tmp_path / "gone")
    (tmp_path / "copy").rename(host.path)
    with host.open() as ws:
        assert ws.care.fsck(1.0, seed=1).clean
        assert tree(ws.app("crm"), 2)["large"] == host.kept[2]["large"]
