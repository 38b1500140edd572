"""Reading candidates, here and in processes: the same outcome, and nothing left over."""

import errno
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore.blobs import pack
from epmstore.blobs.frames import PART_SIZE
from epmstore.blobs.pack import GroupWriter, WrittenGroup, publish_pack
from epmstore.child import Child
from epmstore.clock import FixedClock
from epmstore.digest import identify
from epmstore.errors import EpmError
from epmstore.record import file_reader
from epmstore.record import ingest as module
from epmstore.record.ingest import POOL_FROM_FILES, Ingested, Ingestion, ingest
from epmstore.record.observe import Candidate
from epmstore.relpath import RelPath
from epmstore.scan.problem import UnreadError
from epmstore.scan.steady import SteadyStream
from epmstore.scan.walk import walk
from epmstore.store.commit import store_groups
from epmstore.store.dedup import Dedup, OwnClaims, SharedClaims
from epmstore.store.store import Store
from epmstore.workspace.opening import make_store

MANY = POOL_FROM_FILES + 100


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path / "store", FixedClock()) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Enough files for two slices; ten share a content; one name is no text."""
    made = tmp_path / "root"
    for number in range(MANY):
        folder = made / f"d{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(b"content %d" % (number // 10))
    Path(os.fsdecode(os.fsencode(made) + b"/not \xff text")).write_bytes(b"content 0")
    (made / "link").symlink_to("d1")
    return made


def candidates(root: Path) -> list[Candidate]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return [
            Candidate(RelPath(f"{one.folder}/{name}".lstrip("/")), stats, "program", None)
            for one in walk(fd)
            for name, stats in zip(one.names, one.stats, strict=True)
        ]
    finally:
        os.close(fd)


def run(root: Path, store: Store | None, *, workers: int) -> Ingested:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        dedup = None if store is None else Dedup(store.packs, store.contents, store.blobs)
        return ingest(fd, candidates(root), dedup, workers=workers)
    finally:
        os.close(fd)


def outcome(ingested: Ingested) -> dict[str, object]:
    return {one.path: one.entry or one.problem for one in ingested.examined}


def leftovers(store: Store) -> list[str]:
    return [name for name in os.listdir(store.packs) if name != "log"]


@pytest.mark.parametrize("stored", [True, False])
def test_processes_see_what_one_reader_sees(root: Path, store: Store, stored: bool) -> None:
    here = run(root, store if stored else None, workers=1)
    there = run(root, store if stored else None, workers=2)
    assert outcome(there) == outcome(here)
    assert len(outcome(here)) == MANY + 7 + 2
    changed = {one.path: one.stat and one.stat.st_ctime_ns for one in there.examined}
    assert changed == {one.path: one.stat and one.stat.st_ctime_ns for one in here.examined}


@pytest.mark.parametrize("workers", [1, 2])
def test_contents_are_stored_once_and_can_be_read(root: Path, store: Store, workers: int) -> None:
    ingested = run(root, store, workers=workers)
    assert len(ingested.groups) == workers
    rows = [row.sha256 for group in ingested.groups for row in group.group.blobs]
    wanted = {hashlib.sha256(b"content %d" % n).digest() for n in range(-(-MANY // 10))}
    assert len(rows) == len(set(rows))
    assert set(rows) == wanted
    with store.lock_write(), store.database.write():
        for group in ingested.groups:
            table = group.group
            store.contents.add_group(publish_pack(store.packs, group), 0, table)
    assert store.blobs.read(identify(b"content 5")) == b"content 5"
    assert not any(group.group.blobs for group in run(root, store, workers=workers).groups)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_walk_does_not_run_ahead(
    root: Path, store: Store, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_FILES", 20)
    monkeypatch.setattr(module, "POOL_FROM_FILES", 30)
    monkeypatch.setattr(module, "AHEAD", 3)
    dedup = Dedup(store.packs, store.contents, store.blobs)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    waiting = []
    with Ingestion(fd, dedup, workers=workers) as ingestion:
        for one in candidates(root):
            ingestion.feed([one])
            waiting.append(ingestion._slices.qsize())
        found = ingestion.finish()
    os.close(fd)
    assert max(waiting) <= 3
    assert outcome(found) == outcome(run(root, None, workers=1))
    rows = [row.sha256 for group in found.groups for row in group.group.blobs]
    assert len(rows) == len(set(rows)) == -(-MANY // 10)
    found.discard()


def test_a_walk_that_waits_for_readers_hears_of_their_death(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_FILES", 20)
    monkeypatch.setattr(module, "POOL_FROM_FILES", 30)
    monkeypatch.setattr(module, "AHEAD", 1)

    def die(worker: Child) -> None:
        raise EpmError("a worker died")

    monkeypatch.setattr(Child, "_receive", die)
    with pytest.raises(EpmError, match="died"):
        run(root, store, workers=2)
    assert leftovers(store) == []


def test_a_full_group_ends_and_nothing_is_stored_twice(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the contents nor the parts of two large ones that are alike."""
    monkeypatch.setattr(pack, "FULL_BYTES", 20 << 20)
    monkeypatch.setattr(file_reader, "PART_THRESHOLD", 1 << 20)
    large = os.urandom(20 << 20)
    for name in ("large", "also large"):
        (root / name).write_bytes(large)
    ingested = run(root, store, workers=1)
    assert len(ingested.groups) == 2
    assert sum(group.length for group in ingested.groups) < 21 << 20
    with store.lock_write(), store.database.write():
        for group in ingested.groups:
            table = group.group
            store.contents.add_group(publish_pack(store.packs, group), 0, table)
    assert b"".join(store.blobs.stream(identify(large))) == large
    assert all(store.blobs.has(info) for info in map(identify, (b"content 0", b"content 9")))


def test_a_part_of_a_file_that_changed_meanwhile_is_there_for_the_next(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes a part upon itself stores it, even if the file that it is of does not count."""
    monkeypatch.setattr(file_reader, "PART_THRESHOLD", 1 << 20)
    part = os.urandom(PART_SIZE)
    for name in ("a", "b"):
        (root / name).write_bytes(os.urandom(PART_SIZE) + part + name.encode())
    content = (root / "b").read_bytes()
    chunks = SteadyStream.chunks

    def touched(stream: SteadyStream, size: int) -> Iterator[bytes]:
        yield from chunks(stream, size)
        if stream.stat.st_ino == (root / "a").stat().st_ino:
            raise UnreadError("a", "unstable", "changed while it was read")

    monkeypatch.setattr(SteadyStream, "chunks", touched)
    ingested = run(root, store, workers=1)
    assert [one.path for one in ingested.examined if one.problem] == ["a"]
    with store.lock_write():
        store_groups(store, ingested.groups)
    assert b"".join(store.blobs.stream(identify(content))) == content


def test_groups_that_ended_go_with_a_reader_that_fails(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "FULL_BYTES", 1)
    for n in range(30):
        (root / f"large{n}").write_bytes(os.urandom(1 << 20))
    finish = GroupWriter.finish
    finished: list[WrittenGroup] = []

    def fail_at_last(writer: GroupWriter) -> WrittenGroup:
        if len(finished) == 3:
            raise OSError(errno.EIO, "cannot")
        finished.append(finish(writer))
        return finished[-1]

    monkeypatch.setattr(GroupWriter, "finish", fail_at_last)
    with pytest.raises(OSError, match="cannot"):
        run(root, store, workers=1)
    assert len(finished) == 3
    assert leftovers(store) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_ingest_names_unreadable_files(root: Path, store: Store, workers: int) -> None:
    found = candidates(root)
    (root / "d1" / "f1").unlink()
    (root / "d2" / "f2").unlink()
    (root / "d2" / "f2").mkdir()
    (root / "d3" / "f3").write_bytes(b"grown since it was listed")
    dedup = Dedup(store.packs, store.contents, store.blobs)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    ingested = ingest(fd, found, dedup, workers=workers)
    os.close(fd)
    problems = {one.path: one.problem for one in ingested.examined if one.problem}
    assert {path: problem.kind for path, problem in problems.items()} == {
        "d1/f1": "vanished",
        "d2/f2": "unstable",
    }
    (changed,) = [one for one in ingested.examined if one.path == "d3/f3"]
    assert changed.entry is not None
    assert changed.entry.content == identify(b"grown since it was listed")
    assert changed.stat is not None and changed.stat.st_size == 25
    ingested.discard()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_store_is_an_error_and_no_problem_of_a_path(
    root: Path, store: Store, workers: int
) -> None:
    """The folder of the packs goes away: nothing of it may be taken for an unreadable file."""
    for n in range(40):  # more than a worker keeps in memory
        (root / f"large{n}").write_bytes(os.urandom(1 << 20))
    store.packs.rename(store.path / "elsewhere")
    with pytest.raises(OSError) as caught:
        run(root, store, workers=workers)
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_dies_ends_the_work(
    root: Path, store: Store, end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(worker: Child, message: object) -> None:
        send(worker, message)
        if isinstance(message, list):
            os.kill(worker._process.pid, end)

    send = Child._send
    monkeypatch.setattr(Child, "_send", kill)
    with pytest.raises(EpmError, match="died"):
        run(root, store, workers=2)
    assert leftovers(store) == []


def test_an_interruption_leaves_no_process_and_no_file(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        (root / f"large{n}").write_bytes(os.urandom(1 << 20))
    processes: list[Child] = []

    class Interrupted:
        def begin(self, what: str, *, files: int | None = None, size: int | None = None) -> None:
            pass

        def advance(self, *, files: int = 0, size: int = 0) -> None:
            signal.raise_signal(signal.SIGINT)
            threading.Event().wait(0)

        def end(self) -> None:
            pass

    start: Callable[..., None] = Child.__init__

    def noted(worker: Child, *arguments: object) -> None:
        start(worker, *arguments)
        processes.append(worker)

    monkeypatch.setattr(Child, "__init__", noted)
    dedup = Dedup(store.packs, store.contents, store.blobs)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(KeyboardInterrupt):
        ingest(fd, candidates(root), dedup, progress=Interrupted(), workers=2)
    os.close(fd)
    assert len(processes) == 2
    assert all(worker._process.returncode is not None for worker in processes)
    assert leftovers(store) == []


def test_claims_that_are_shared_are_taken_once() -> None:
    claims, own = SharedClaims.create(), OwnClaims()
    other = SharedClaims(os.dup(claims.fd))
    for number in range(1000):
        # many of one slot, so that tables overflow: the first bytes are where the search begins
        sha256 = identify(b"%d" % (number % 150)).sha256
        crowded = type(sha256)(bytes(8) + sha256[8:])
        expected = own.take(crowded)
        assert (claims if number % 2 else other).take(crowded) == expected
        assert not claims.take(crowded)
    other.close()
    claims.close()
