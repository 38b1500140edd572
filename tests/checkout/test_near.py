"""Contents are made of what lies in the root, where a difference is known: nothing is believed."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore.blobs.reader import FrameReader
from epmstore.checkout import near
from epmstore.pack_table import Place
from epmstore.seal import RecordKind
from tests.kit.bench import APP, Bench, File, Nodes

SOURCE = random.Random(1)
BASE = SOURCE.randbytes(60_000)
FIRST: Nodes = {name: File(BASE + name.encode()) for name in ("a", "folder/b")}
SECOND: Nodes = {name: File(BASE + b"edited" + name.encode()) for name in ("a", "folder/b")}
THIRD: Nodes = {name: File(b"again" + BASE + name.encode()) for name in ("a", "folder/b")}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        for nodes in (FIRST, SECOND, THIRD):
            bench.recorded(nodes)
        yield bench


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Place]:
    """Frames of whole contents that were read."""
    found: list[Place] = []
    frame = FrameReader.frame

    def noted(self: FrameReader, place: Place, *rest: object, **more: object) -> bytes:
        if place.kind is not RecordKind.DELTA:
            found.append(place)
        return frame(self, place, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(FrameReader, "frame", noted)
    return found


@pytest.mark.parametrize(("version", "nodes"), [(1, SECOND), (0, FIRST)])
def test_the_way_back_reads_no_whole_content(
    bench: Bench, decoded: list[Place], version: int, nodes: Nodes
) -> None:
    """By one version, and by two."""
    bench.live.checkout(version)
    assert {name: (bench.root / name).read_bytes() for name in nodes} == {
        name: file.data for name, file in nodes.items() if isinstance(file, File)
    }
    assert decoded == []


def test_the_way_forth_applies_what_is_stored_to_what_is_there(
    bench: Bench, decoded: list[Place]
) -> None:
    bench.live.checkout(0)
    bench.live.undo()
    assert (bench.root / "folder/b").read_bytes() == b"again" + BASE + b"folder/b"
    assert decoded == []
    assert bench.is_clean()


def lost(bench: Bench) -> None:
    bench.store.reverse(APP).drop()


def spoiled(bench: Bench) -> None:
    path = bench.store.path / "live" / f"{APP}.reverse"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def junk(bench: Bench) -> None:
    (bench.store.path / "live" / f"{APP}.reverse").write_bytes(os.urandom(5000))


@pytest.mark.parametrize("spoil", [lost, spoiled, junk])
def test_whatever_becomes_of_the_cache_the_store_has_it(
    bench: Bench, spoil: Callable[[Bench], None]
) -> None:
    spoil(bench)
    bench.live.checkout(0)
    assert (bench.root / "a").read_bytes() == BASE + b"a"
    assert bench.is_clean()


@pytest.mark.parametrize("what", ["other", "shorter", "gone", "link", "fifo", "folder"])
def test_a_file_that_is_written_meanwhile_is_not_believed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """In the moment before it is read: what is staged is what was wanted, all the same."""
    seen: list[bytes | None] = []
    read = near.NearFiles._read

    def changed(self: near.NearFiles, one: near.Near) -> bytes | None:
        path = bench.root / one.path
        data = path.read_bytes()
        path.unlink()
        match what:
            case "other":
                path.write_bytes(bytes(len(data)))
            case "shorter":
                path.write_bytes(data[:-1])
            case "link":
                path.symlink_to("/etc/passwd")
            case "fifo":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
        found = read(self, one)
        seen.append(found)
        if what == "folder":
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        path.write_bytes(data)
        return found

    monkeypatch.setattr(near.NearFiles, "_read", changed)
    bench.live.checkout(1)
    assert len(seen) == 2
    assert all(data is None or what == "other" for data in seen)
    for path, node in SECOND.items():
        assert isinstance(node, File)
        assert (bench.root / path).read_bytes() == node.data
