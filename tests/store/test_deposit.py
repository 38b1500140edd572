"""The one door: what is committed is stored, what is not leaves nothing, and packs are kept."""

import os
from pathlib import Path

import pytest

from epmstore.blobs.pack import GroupWriter
from epmstore.digest import BlobInfo, Digest, identify
from epmstore.errors import BusyError, CollisionError
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.workspace import Workspace

LARGE = os.urandom(9 << 20)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Workspace.init(tmp_path / "store")._store


def chunks(data: bytes) -> list[bytes]:
    return [data[at : at + 100_000] for at in range(0, len(data), 100_000)]


def files(store: Store) -> list[str]:
    return sorted(str(path) for path in store.packs.rglob("*"))


def test_committed_deposits_are_stored(store: Store) -> None:
    small = identify(b"small")
    with Deposit(store) as deposit:
        deposit.add(small, b"small")
        streamed = deposit.add_stream(chunks(LARGE), len(LARGE))
        short = deposit.add_stream([b"sh", b"ort"], 5)
        with GroupWriter(store.packs) as writer:
            writer.add(identify(b"by a worker"), b"by a worker")
            deposit.take([writer.finish()])
        deposit.commit()
    assert (streamed, short) == (identify(LARGE), identify(b"short"))
    assert store.blobs.read(small) == b"small"
    assert store.blobs.read(identify(b"by a worker")) == b"by a worker"
    assert b"".join(store.blobs.stream(streamed)) == LARGE


def test_uncommitted_deposits_leave_nothing(store: Store) -> None:
    before = files(store)
    with pytest.raises(RuntimeError), Deposit(store) as deposit:
        deposit.add_stream(chunks(LARGE), len(LARGE))
        with GroupWriter(store.packs, spill=0) as writer:
            writer.add(identify(b"by a worker"), b"by a worker")
            deposit.take([writer.finish()])
        assert files(store) != before
        raise RuntimeError
    assert files(store) == before
    assert store.contents.is_empty()


def test_known_contents_are_not_deposited_again(store: Store) -> None:
    for _ in range(2):
        with Deposit(store) as deposit:
            deposit.add(identify(b"known"), b"known")
            deposit.commit()
            length = sum(path.stat().st_size for path in store.packs.rglob("*") if path.is_file())
    with Deposit(store) as deposit:
        deposit.add(identify(b"known"), b"known")
        deposit.commit()
    after = sum(path.stat().st_size for path in store.packs.rglob("*") if path.is_file())
    assert after == length


def test_two_contents_of_one_address_are_refused(store: Store) -> None:
    """In one deposit, in the store, and where somebody else was faster."""
    one = identify(b"one")
    two = BlobInfo(one.digest, identify(b"two").sha256, 3)
    with Deposit(store) as deposit:
        deposit.add(one, b"one")
        with pytest.raises(CollisionError):
            deposit.add(two, b"two")
    with Deposit(store) as first, Deposit(store) as second:
        first.add(one, b"one")
        second.add(two, b"two")
        first.commit()
        with pytest.raises(CollisionError):
            second.commit()
    with Deposit(store) as late, pytest.raises(CollisionError):
        late.add(two, b"two")
    assert store.contents.with_digest(Digest(one.digest)) == [one]


def test_no_pack_goes_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epmstore.locks.WAIT_SECONDS", 0.0)
    with Deposit(store), pytest.raises(BusyError), store.lock_packs():
        pass
    with store.lock_packs():
        pass


def test_packs_are_kept_no_longer_whatever_cannot_be_taken_away(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(written: object) -> None:
        raise OSError("it cannot be removed")

    monkeypatch.setattr("epmstore.locks.WAIT_SECONDS", 0.0)
    monkeypatch.setattr("epmstore.store.deposit.discard_written", fail)
    with GroupWriter(store.packs) as writer:
        writer.add(identify(b"by a worker"), b"by a worker")
        written = writer.finish()
    with pytest.raises(OSError, match="removed"), Deposit(store) as deposit:
        deposit.take([written])
    with store.lock_packs():
        pass
