"""What was purged is gone: no frame of any file below the store holds it, and all else is there."""

import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from epmstore import fsio
from epmstore.blobs.erase import Sought, look
from epmstore.blobs.frames import PLAIN, DeltaHead, blob_sizes, delta_heads, plain_bytes
from epmstore.blobs.merge import merge_packs
from epmstore.blobs.pack import GroupWriter, publish_pack
from epmstore.blobs.records import SealedRecord, load_group, walk
from epmstore.codec import decompress_delta
from epmstore.digest import Digest, identify
from epmstore.errors import BlobNotFoundError, ConflictError, PathNotFoundError
from epmstore.relpath import RelPath
from epmstore.seal import RecordKind
from epmstore.store import commit
from epmstore.store.reverse_deltas import ReverseDeltas
from epmstore.workspace import Workspace
from epmstore.workspace.vendors import Source
from tests.kit.faults import Killed
from tests.kit.program import SEED, amount
from tests.kit.worn import WornHost

POINTS = amount("EPM_TEST_POINTS", 20)
SECRET = b"-----BEGIN PRIVATE KEY-----\n" + random.Random(7).randbytes(2000).hex().encode()
NEEDLE = SECRET[100:164]
NAME = "etc/secret.pem"


def digest_of(data: bytes) -> Digest:
    return identify(data).digest


def traces(store: Path, needle: bytes = NEEDLE) -> list[str]:
    """Files below a store in which, raw or decoded, some bytes are; deltas by every base there."""
    files = [p for p in store.rglob("*") if p.is_file() and p.name != "reserve"]
    held = {path: [*contents(path)] for path in files}
    bases = {hashlib.sha256(c).digest()[:8]: c for found in held.values() for c in found}
    found = {path for path in files if needle in path.read_bytes()}
    found |= {path for path in files if any(needle in content for content in held[path])}
    known = dict(bases)
    for path in files:
        for head, frame in deltas(path):
            made = decompress_delta(frame, bases[head.base_prefix], head.size)
            known[hashlib.sha256(made).digest()[:8]] = made
            if needle in made:
                found.add(path)
    for path in files:
        for one in ReverseDeltas(path).load() if path.suffix == ".reverse" else ():
            if needle in decompress_delta(one.frame, known[one.base[:8]], one.size):
                found.add(path)
    return sorted(str(path.relative_to(store)) for path in found)


def records(path: Path) -> list[SealedRecord]:
    with path.open("rb") as file:
        return [one for one in walk(file.fileno()) if isinstance(one, SealedRecord)]


def contents(path: Path) -> Iterator[bytes]:
    """Everything in the frames of a file, listed or not."""
    for record in records(path):
        if record.seal.kind in PLAIN:
            plain = plain_bytes(record.seal, record.body)
            yield from pieces(plain, blob_sizes(record.seal) or [len(plain)])


def deltas(path: Path) -> Iterator[tuple[DeltaHead, bytes]]:
    for record in records(path):
        if record.seal.kind is RecordKind.DELTA:
            for head in delta_heads(record.seal):
                yield head, record.body[head.offset : head.offset + head.length]


def pieces(plain: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield plain[at : at + size]
        at += size


class Leak(NamedTuple):
    host: WornHost
    digest: Digest


def leak(place: Path) -> Leak:
    """A secret in versions 1 and 2; in 3 it was edited a little, which is stored as a difference to
    it, and a copy of it has another name; 4 has neither.
    """
    host = WornHost(place)
    host.snapshot("0")
    host.write(NAME, SECRET)
    host.snapshot("1")
    host.edit("bin/f1")
    host.snapshot("2")
    host.write(NAME, SECRET[:40] + b"edited" + SECRET[1200:])
    host.write("backup/old.pem", SECRET)
    host.snapshot("3")
    (host.root / NAME).unlink()
    (host.root / "backup/old.pem").unlink()
    host.edit("bin/f2")
    host.snapshot("4")
    return Leak(host, digest_of(SECRET))


@pytest.fixture(params=["log", "packs"])
def leaked(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leak:
    if request.param == "packs":
        monkeypatch.setattr(commit, "LOG_LIMIT", 0)
    return leak(tmp_path)


def judge(host: WornHost) -> None:
    """Nothing of it is left, the rest of every version is there, and the store is sound."""
    assert traces(host.path) == []
    with host.open() as ws:
        report = ws.care.fsck(1.0, seed=1)
        assert (report.findings, report.notes) == ((), ())
        for version, kept in host.kept.items():
            target = host.path.parent / f"out-{version}"
            found = ws.app("crm").export(str(version), target)
            there = {
                str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()
            }
            assert there == {name: data for name, data in kept.items() if data != SECRET}
            gone = {name for name, data in kept.items() if data == SECRET}
            assert {str(one.path) for one in found.refused} == gone
            shutil.rmtree(target)


def test_it_is_gone_and_the_rest_is_there(leaked: Leak) -> None:
    host = leaked.host
    assert traces(host.path) != []
    with host.open() as ws:
        planned = ws.care.purge([leaked.digest], dry_run=True)
        assert traces(host.path) != [] and planned.rewritten
        found = ws.care.purge([leaked.digest], reason="leaked")
    assert set(found.paths) == {("crm", NAME), ("crm", "backup/old.pem")}
    assert found.versions == (("crm", 1), ("crm", 2), ("crm", 3))
    assert found.live == ()
    judge(host)
    with host.open() as ws:
        (record,) = ws.app("crm").reading.state().purged
        assert (record.digest, record.reason) == (leaked.digest.hex(), "leaked")
        with pytest.raises(BlobNotFoundError, match="purged"):
            list(ws.app("crm").cat("1", RelPath(NAME)))
        with pytest.raises(BlobNotFoundError, match="purged"):
            ws.blobs.get(leaked.digest, host.path.parent / "got")
        again = ws.care.purge([leaked.digest])
        assert again.rewritten == ()
        assert len(ws.app("crm").reading.state().purged) == 1


def test_a_path_that_was_empty_takes_no_other_empty_file_with_it(tmp_path: Path) -> None:
    host = WornHost(tmp_path)
    host.write(NAME, b"")
    host.write("bin/__init__.py", b"")
    host.snapshot("0")
    host.write(NAME, SECRET)
    host.snapshot("1")
    with host.open() as ws:
        contents = ws.care.contents_of("crm", NAME)
        assert contents == (identify(SECRET),)
        ws.care.purge(contents)
        with pytest.raises(PathNotFoundError, match="empty"):
            ws.care.contents_of("crm", "bin/__init__.py")
        with pytest.raises(ConflictError, match="empty"):
            ws.care.purge([identify(b"").digest])
        assert b"".join(ws.app("crm").cat("1", RelPath("bin/__init__.py"))) == b""
    judge(host)


def test_purge_stores_deltas_of_the_content_in_full(leaked: Leak) -> None:
    host = leaked.host
    edited = host.kept[3][NAME]
    with host.open() as ws:
        assert ws.blobs.stat(digest_of(edited)).base == leaked.digest
        ws.care.purge([leaked.digest])
        assert ws.blobs.stat(digest_of(edited)).base is None
    judge(host)


def test_by_path_all_that_it_held_goes(leaked: Leak) -> None:
    host = leaked.host
    edited = host.kept[3][NAME]
    with host.open() as ws:
        contents = ws.care.contents_of("crm", RelPath(NAME))
        assert [info.digest for info in contents] == [leaked.digest, digest_of(edited)]
        ws.care.purge(contents, path=RelPath(NAME))
        with pytest.raises(PathNotFoundError):
            ws.care.contents_of("crm", RelPath("bin/never"))
        assert {record.path for record in ws.app("crm").reading.state().purged} == {NAME}
        assert ws.care.fsck(1.0, seed=1).clean
    assert traces(host.path) == []
    assert traces(host.path, edited[:40]) == []


def test_it_is_not_stored_again(leaked: Leak) -> None:
    host = leaked.host
    with host.open() as ws:
        ws.care.purge([leaked.digest])
    host.write("another/place", SECRET)
    version = host.snapshot("5")
    with host.open() as ws:
        assert ws.app("crm").status().clean
        with pytest.raises(ConflictError, match="purged"):
            ws.blobs.put(host.root / "another/place")
        found = ws.care.purge([leaked.digest], dry_run=True)
        assert found.live == (("crm", "another/place"),)
    judge(host)
    with host.open() as ws:
        result = ws.app("crm").checkout("0", exact=True)
        assert [path for path, _ in result.kept] == ["another", "another/place"]
        assert (host.root / "another/place").read_bytes() == SECRET
        (host.root / "another/place").unlink()
        result = ws.app("crm").checkout(str(version), exact=True)
        assert "another/place" in result.not_restored[0]
        assert not (host.root / "another/place").exists()
    judge(host)


def test_all_that_knows_of_contents_knows_it(leaked: Leak) -> None:
    """Rebuild, gc, forget and unforget, a copy made before and brought up to date."""
    host = leaked.host
    copied = host.path.parent / "copy"
    with host.open() as ws:
        ws.care.copy(copied)
        assert traces(copied) != []
        ws.care.purge([leaked.digest])
        ws.care.copy(copied)
        assert traces(copied) == []
        ws.care.rebuild()
        ws.care.forget("crm", [1])
        assert ws.care.unforget("crm", [1]) == (1,)
        ws.care.gc()
    judge(host)
    os.unlink(host.path / "index.sqlite")
    judge(host)
    with Workspace.open(copied, clock=host.clock) as ws:
        assert ws.care.fsck(1.0, seed=1).clean


def test_the_quarantine_is_cleared_of_what_holds_it_or_cannot_be_read(leaked: Leak) -> None:
    host = leaked.host
    quarantine = host.path / "quarantine"
    for number, path in enumerate(p for p in (host.path / "packs").rglob("*") if p.is_file()):
        shutil.copy(path, quarantine / f"{number}.pack.0001")
        (quarantine / f"{number}.torn").write_bytes(path.read_bytes()[:200])
    (quarantine / "x.syscat.zst.0001").write_bytes(b"a torn line")
    with host.open() as ws:
        found = ws.care.purge([leaked.digest])
    assert found.cleared
    assert "x.syscat.zst.0001" in os.listdir(quarantine)
    judge(host)


def test_copies_that_no_table_lists_are_found(leaked: Leak) -> None:
    """Merging two packs that hold it copies both frames, and lists it once."""
    host, packs, files = leaked.host, leaked.host.path / "packs", []
    for other in (b"x" * 5000, b"y" * 5000):
        with GroupWriter(packs) as writer:
            for data in (SECRET, other):
                writer.add(identify(data), data)
            files.append(publish_pack(packs, writer.finish()))
    merged = publish_pack(packs, merge_packs(packs, files))
    for file in files:
        (packs / file).unlink()
    assert [*contents(packs / merged)].count(SECRET) == 2
    listed = [row.sha256 for row in load_group(packs / merged).blobs]
    assert listed.count(identify(SECRET).sha256) == 1
    with host.open() as ws:
        ws.care.rebuild()
        ws.care.purge([leaked.digest])
        ws.blobs.get(digest_of(b"y" * 5000), host.path.parent / "y")
    judge(host)


def test_part_of_something_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epmstore.record.file_reader.PART_THRESHOLD", 1 << 20)
    monkeypatch.setattr("epmstore.record.ingest.POOL_FROM", 1 << 40)
    monkeypatch.setattr("epmstore.checkout.files.PART_THRESHOLD", 1 << 20)
    host = WornHost(tmp_path, files=2)
    rng = random.Random(SEED)
    first, second = rng.randbytes(4 << 20), rng.randbytes(1000)
    host.write("part", first)
    host.write("large", first + second)
    host.write("other", first + second + b"!")
    host.snapshot("0")
    with host.open() as ws:
        with pytest.raises(ConflictError, match="part of a larger one"):
            ws.care.purge([digest_of(first)])
        assert ws.app("crm").reading.state().purged == []
        ws.care.purge([digest_of(first + second)])
        assert ws.care.fsck(1.0, seed=1).clean
        assert b"".join(ws.app("crm").cat("0", RelPath("part"))) == first
        ws.care.purge([digest_of(first), digest_of(first + second + b"!")])
        assert ws.care.fsck(1.0, seed=1).clean
    assert traces(host.path, first[:64]) == []
    assert traces(host.path, second[:64]) == []


def test_purge_of_a_released_content_names_no_live_root(tmp_path: Path) -> None:
    host = WornHost(tmp_path)
    build = tmp_path / "build"
    build.mkdir()
    (build / "key").write_bytes(SECRET)
    with host.open() as ws:
        ws.vendors.init("tool")
        ws.vendors.add("tool", Source(paths=(build,)))
        purged = ws.care.purge([digest_of(SECRET)])
    assert purged.paths == (("tool/refcat", RelPath("key")),)
    assert purged.live == ()
    assert not traces(host.path)


def test_purge_refuses_unknown_contents_and_open_journals(leaked: Leak) -> None:
    host = leaked.host
    with host.open() as ws:
        with pytest.raises(BlobNotFoundError):
            ws.care.purge([digest_of(b"never recorded")])
        uuid = ws.apps.get("crm").uuid
        (host.path / f"journals/{uuid}.journal").write_bytes(b"x")
        with pytest.raises(ConflictError, match="has not ended"):
            ws.care.purge([leaked.digest])
        assert traces(host.path) != []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("finish", ["purge", "gc"])
def test_it_may_be_interrupted_anywhere(tmp_path: Path, finish: str) -> None:
    """Before each mutating call in turn: until the record is there nothing has happened, from then
    on purging again, or a collection, ends it.
    """
    found = leak(tmp_path / "base")
    calls = count(tmp_path, found)
    step = max(1, calls // POINTS)
    states = set()
    for last in range(1, calls + 1, step):
        place = tmp_path / f"{last}"
        host = copy(found.host, place)
        with pytest.raises(Killed), host.open() as ws:
            fsio.install_fault(killer(last))
            try:
                ws.care.purge([found.digest])
            finally:
                fsio.install_fault(None)
        with host.open() as ws:
            is_said = bool(ws.app("crm").reading.state().purged)
            report = ws.care.fsck(1.0, seed=1)
            assert report.findings == ()
            if not is_said:
                assert b"".join(ws.app("crm").cat("1", RelPath(NAME))) == SECRET
            if is_said and finish == "gc":
                ws.care.gc()
            else:
                ws.care.purge([found.digest])
        states.add(is_said)
        judge(host)
        shutil.rmtree(place)
    assert states == {False, True}


def count(tmp_path: Path, found: Leak) -> int:
    calls: list[str] = []
    host = copy(found.host, tmp_path / "count")
    with host.open() as ws:
        fsio.install_fault(lambda call, _: calls.append(call))
        try:
            ws.care.purge([found.digest])
        finally:
            fsio.install_fault(None)
    return len(calls)


def killer(last: int) -> fsio.FaultHook:
    made = 0

    def fault(call: str, arguments: tuple[object, ...]) -> None:
        nonlocal made
        made += 1
        if made >= last:  # and from then on: a dead process cleans nothing up
            raise Killed

    return fault


def copy(host: WornHost, place: Path) -> WornHost:
    """The same store and root elsewhere."""
    shutil.copytree(host.path.parent, place)
    twin = object.__new__(WornHost)
    twin.__dict__.update(host.__dict__, path=place / "store", root=place / "root")
    return twin


def test_the_needle_is_looked_for_in_what_deltas_become(tmp_path: Path) -> None:
    """Or the tests above prove nothing."""
    found = leak(tmp_path)
    assert traces(found.host.path)
    sought = Sought(frozenset([identify(SECRET).sha256]), frozenset([len(SECRET)]))
    (log,) = (found.host.path / "packs/log").iterdir()
    assert look(log, sought).frames
    assert not look(log, Sought(frozenset(), frozenset([len(SECRET)]))).frames
