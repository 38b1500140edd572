"""`ws.blobs`: contents in and out, by their SHA-1."""

import hashlib
import os
from pathlib import Path

import pytest

from epmstore.digest import Digest, parse_digest
from epmstore.errors import (
    BlobNotFoundError,
    CollisionError,
    ConflictError,
    DamagedError,
    UsageError,
)
from tests.kit.worn import WornHost, flip, pack_files

COLLISIONS = Path(__file__).resolve().parents[3] / "shared/fixtures/sha1-collisions"


@pytest.fixture
def host(tmp_path: Path) -> WornHost:
    host = WornHost(tmp_path)
    host.history(3)
    return host


@pytest.mark.parametrize("size", [0, 1, 5000, 3 << 20])
def test_put_and_get(host: WornHost, tmp_path: Path, size: int) -> None:
    data = host.random.randbytes(size)
    source = tmp_path / "source"
    source.write_bytes(data)
    with host.open() as ws:
        info = ws.blobs.put(source)
        assert info.digest == hashlib.sha1(data).digest()
        assert ws.blobs.put(source) == info
        ws.blobs.get(info.digest, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == data
        with pytest.raises(ConflictError):
            ws.blobs.get(info.digest, tmp_path / "out")
        assert ws.blobs.compare(info.digest, source)
        assert ws.blobs.stat(info.digest).versions == ()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".tmp")]


def test_a_large_content(host: WornHost, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(host.random.randbytes(1 << 20) * 65)
    with host.open() as ws:
        info = ws.blobs.put(source)
        found = ws.blobs.stat(info.digest)
        assert found.kind == "parts" and found.info.size == 65 << 20
        assert ws.blobs.compare(info.digest, source)
        flip(source, 60 << 20)
        assert not ws.blobs.compare(info.digest, source)


def test_compare_sees_every_difference(host: WornHost, tmp_path: Path) -> None:
    with host.open() as ws:
        info = ws.blobs.put(host.root / "bin/f0")
        data = (host.root / "bin/f0").read_bytes()
        other = tmp_path / "other"
        for content in (data[:-1], data + b"x", b"", data[:-1] + b"\0", b"\xff" + data[1:]):
            other.write_bytes(content)
            assert not ws.blobs.compare(info.digest, other)


def test_stat_names_the_versions(host: WornHost) -> None:
    with host.open() as ws:
        (entry,) = ws.app("crm").ls("0", None)[-1:]
        assert entry.content is not None
        digest, path = entry.content.digest, entry.path
        found = ws.blobs.stat(digest)
        wanted = [v for v, kept in host.kept.items() if kept.get(path) == host.kept[0][path]]
        assert found.versions == tuple(("crm", version) for version in wanted)
        ws.care.forget("crm", [0])
        assert ws.blobs.stat(digest).versions == found.versions[1:]
        kinds = {ws.blobs.stat(e.content.digest).kind for e in ws.app("crm").ls("2") if e.content}
        assert kinds == {"solid", "delta"}


def test_a_delta_names_its_base(host: WornHost) -> None:
    with host.open() as ws:
        stats = [ws.blobs.stat(e.content.digest) for e in ws.app("crm").ls("2") if e.content]
        deltas = [found for found in stats if found.kind == "delta"]
        assert deltas
        for found in deltas:
            assert found.base is not None and ws.blobs.stat(found.base).base is None
            assert found.stored_bytes < found.info.size // 2


def test_missing_contents_are_not_found_by_get_compare_and_put(
    host: WornHost, tmp_path: Path
) -> None:
    nowhere = Digest(bytes(20))
    with host.open() as ws:
        for call in (ws.blobs.get, ws.blobs.compare):
            with pytest.raises(BlobNotFoundError):
                call(nowhere, tmp_path / "out")
        with pytest.raises(BlobNotFoundError):
            ws.blobs.stat(nowhere)
        with pytest.raises(FileNotFoundError):
            ws.blobs.put(tmp_path / "nothing")
        with pytest.raises(UsageError):
            ws.blobs.put(tmp_path)
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(UsageError):
            ws.blobs.put(tmp_path / "fifo")


def test_damage_leaves_no_file(host: WornHost, tmp_path: Path) -> None:
    with host.open() as ws:
        info = ws.blobs.put(host.root / "bin/f9")
        place = ws._store.contents.places([info.sha256])[info.sha256]
        flip(host.path / "packs" / place.file, place.seal_offset + 80)
        with pytest.raises(DamagedError):
            ws.blobs.get(info.digest, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["root", "store"]
    assert pack_files(host.path)


@pytest.mark.skipif(not COLLISIONS.is_dir(), reason="no collision fixtures")
def test_a_collision_is_refused_and_the_first_stays(host: WornHost, tmp_path: Path) -> None:
    one, two = sorted(COLLISIONS.glob("*-1.bin"))[0], sorted(COLLISIONS.glob("*-2.bin"))[0]
    with host.open() as ws:
        info = ws.blobs.put(one)
        with pytest.raises(CollisionError):
            ws.blobs.put(two)
        assert ws.blobs.compare(info.digest, one) and not ws.blobs.compare(info.digest, two)
        assert parse_digest(info.digest.hex()) == info.digest
        assert ws.care.fsck(1.0).findings == ()


@pytest.mark.skipif(not COLLISIONS.is_dir(), reason="no collision fixtures")
def test_a_recorded_collision_is_found_and_named(host: WornHost) -> None:
    for path in COLLISIONS.glob("*.bin"):
        host.write(f"lib/{path.name}", path.read_bytes())
    version = host.snapshot()
    host.check()
    with host.open() as ws:
        (found,) = ws.care.fsck(1.0).findings
        assert found.kind == "collision" and ("crm", version) in found.versions
        assert found.digest is not None
        with pytest.raises(CollisionError):
            ws.blobs.get(parse_digest(found.digest), host.path.parent / "out")
