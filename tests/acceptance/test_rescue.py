"""Two implementations agree: `rescue.py`, which shares nothing with the rest and reads no index,
writes the same bytes as `checkout --target`, from stores with every kind of frame; from damaged
ones it writes nothing wrong, and out of the target it writes nothing at all.
"""

import errno
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import epmstore.rescue as rescue
from epmstore.digest import identify
from epmstore.relpath import RelPath, sort_paths
from epmstore.store import commit
from epmstore.tree import Entry, entry_sum
from epmstore.workspace import Workspace
from tests.acceptance.trees import make_new, make_old, text
from tests.blobs.test_blob_store import COLLISIONS
from tests.kit.program import SEED, Picture, amount, differences, picture

FLIPS = amount("EPM_TEST_FLIPS", 30)
KEY = "crm"


class Lone:
    """A copy of `rescue.py` and of a store, and nothing else of epmstore."""

    def __init__(self, place: Path, store: Path) -> None:
        self.place = place
        self.store = place / "rescued-store"
        shutil.copytree(store, self.store)
        for path in (*self.store.glob("index.sqlite*"), self.store / "reserve"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.store / "live")
        self.script = place / "rescue.py"
        shutil.copy(rescue.__file__, self.script)

    def __call__(self, *args: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-I", str(self.script), *args]
        done = subprocess.run(command, cwd=self.place, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def extract(self, version: int | str, *paths: str, code: int = 0) -> Picture:
        target = self.place / "rescued"
        shutil.rmtree(target, ignore_errors=True)
        done = self("extract", str(self.store), KEY, str(version), str(target), *paths)
        assert done.returncode == code, done
        return picture(target)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def make_store(place: Path, root: Path) -> Path:
    with Workspace.init(place / "store") as workspace:
        workspace.apps.add(KEY, root)
        workspace.apps.set(KEY, add={"state": ["*.log"], "secret": ["*.key"]})
    return place / "store"


def snapshot(store: Path) -> int:
    with Workspace.open(store) as workspace:
        version = workspace.app(KEY).snapshot("now").version
    assert version is not None
    return version


def exported(store: Path, version: int, place: Path) -> Picture:
    with Workspace.open(store) as workspace:
        workspace.app(KEY).export(str(version), place / "exported")
    found = picture(place / "exported")
    shutil.rmtree(place / "exported")
    return found


def kinds(store: Path) -> set[str]:
    """Of the frames in all packs."""
    found = set()
    packs = store / "packs"
    for name in rescue.pack_files(str(packs)):
        fd = os.open(packs / name, os.O_RDONLY)
        found |= {r.kind.decode() for r in rescue.walk(fd, os.fstat(fd).st_size)}
        os.close(fd)
    return found - {"F", "T"}


@pytest.mark.parametrize("layout", ["log", "packs", "merged"])
def test_every_version_is_the_same(
    tmp_path: Path, root: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epmstore.record.ingest.POOL_FROM", 1 << 40)  # all in this process
    for module in ("record.file_reader", "checkout.files"):
        monkeypatch.setattr(f"epmstore.{module}.PART_THRESHOLD", 2_000_000)
    if layout != "log":
        monkeypatch.setattr(commit, "LOG_LIMIT", 0)
    rng = random.Random(SEED)
    make_old(root, 60, rng)
    (root / "noise").write_bytes(rng.randbytes(1_500_000))
    (root / "large").write_bytes(rng.randbytes(5_000_000) + b"the same again\n" * 400_000)
    (root / os.fsdecode(b"caf\xe9 \n")).write_bytes(b"latin")
    (root / "app.log").write_bytes(b"state")
    (root / "private.key").write_bytes(b"secret")
    (root / "sparse").write_bytes(b"begin")
    os.truncate(root / "sparse", 1 << 20)
    slow = text(rng) * 20
    (root / "slow").write_bytes(slow)
    store = make_store(tmp_path, root)
    versions = [snapshot(store)]
    make_new(root, 60, rng)
    for edit in (b"x", b"yy"):
        (root / "slow").write_bytes(slow[:500] + edit + slow[500:])
        (root / "large").write_bytes(edit + (root / "large").read_bytes())
        versions.append(snapshot(store))
    if layout == "merged":
        with Workspace.open(store) as workspace:
            workspace.care.gc()
    assert kinds(store) >= {"S", "R", "D", "P"}
    lone = Lone(tmp_path, store)
    for version in versions:
        found, expected = lone.extract(version), exported(store, version, tmp_path)
        assert differences(found, expected) == []
    assert lone("log", str(lone.store), KEY).stdout.count("\n") == len(versions)
    some = lone.extract("latest", "d1", "slow")
    assert {path.split(b"/")[0] for path in some} == {b"d1", b"slow"}
    sparse = (tmp_path / "rescued/slow").stat()
    assert sparse.st_size == len(slow) + 2


def test_rescue_names_missing_apps_versions_and_paths(tmp_path: Path, root: Path) -> None:
    (root / "a").write_bytes(b"1")
    (root / "b.key").write_bytes(b"2")
    store = make_store(tmp_path, root)
    snapshot(store)
    lone = Lone(tmp_path, store)
    done = lone("extract", str(lone.store), KEY, "0", str(tmp_path / "out"))
    assert (done.returncode, "b.key: secret" in done.stderr) == (0, True)
    assert lone("extract", str(lone.store), KEY, "0", str(tmp_path / "out")).returncode == 2
    assert lone("extract", str(lone.store), KEY, "7", str(tmp_path / "new")).returncode == 5
    assert lone("extract", str(lone.store), "erp", "0", str(tmp_path / "new")).returncode == 5
    assert lone("apps", str(tmp_path / "nowhere")).returncode == 5


def test_two_contents_with_one_address(tmp_path: Path, root: Path) -> None:
    if not (COLLISIONS / "sha-mbles-1.bin").exists():
        pytest.skip("EPM_TEST_COLLISIONS names no folder with SHA-1 collisions")
    for number in (1, 2):
        shutil.copy(COLLISIONS / f"sha-mbles-{number}.bin", root / f"{number}")
    store = make_store(tmp_path, root)
    snapshot(store)
    found = Lone(tmp_path, store).extract(0)
    for number in (1, 2):
        data = (COLLISIONS / f"sha-mbles-{number}.bin").read_bytes()
        assert (tmp_path / f"rescued/{number}").read_bytes() == data
    assert len(found) == 2


@pytest.mark.slow
def test_a_damaged_store_gives_nothing_wrong(tmp_path: Path, root: Path) -> None:
    """One bit, anywhere in packs: what comes out is right, what does not is named."""
    rng = random.Random(SEED)
    make_old(root, 20, rng)
    store = make_store(tmp_path, root)
    snapshot(store)
    make_new(root, 20, rng)
    snapshot(store)
    expected = exported(store, 1, tmp_path)
    lone = Lone(tmp_path, store)
    (log,) = (lone.store / "packs/log").iterdir()
    sound = log.read_bytes()
    wholes = 0
    for _ in range(FLIPS):
        at = rng.randrange(len(sound))
        log.write_bytes(flipped(sound, at, rng))
        target = tmp_path / "rescued"
        shutil.rmtree(target, ignore_errors=True)
        done = lone("extract", str(lone.store), KEY, "1", str(target))
        assert done.returncode in (0, 3), done
        found = picture(target)
        assert found.keys() <= expected.keys()
        lost = expected.keys() - found.keys()
        assert [path for path in lost if path.decode() not in done.stderr] == []
        content = -1 if os.geteuid() else -2
        assert not [p for p in found if found[p][:content] != expected[p][:content]]
        assert bool(lost) == (done.returncode == 3)
        wholes += not lost
    assert wholes < FLIPS, "some of it hit"


def test_a_log_that_lost_one_of_its_tables(tmp_path: Path, root: Path) -> None:
    store = make_store(tmp_path, root)
    for number in range(3):
        (root / f"f{number}").write_bytes(b"%d" % number * 100)
        snapshot(store)
    wanted = exported(store, 2, tmp_path)
    lone = Lone(tmp_path, store)
    log = lone.store / "packs/log/0"
    data = bytearray(log.read_bytes())
    with log.open("rb") as file:
        tables = [r.at for r in rescue.walk(file.fileno(), len(data)) if r.kind == b"F"]
    assert len(tables) == 3
    for at in tables[:2]:
        data[at + rescue.SEAL.size] ^= 1
    log.write_bytes(data)
    assert not differences(wanted, lone.extract(2))


def test_a_pack_that_cannot_be_opened_is_stepped_over(tmp_path: Path, root: Path) -> None:
    (root / "a").write_bytes(b"1")
    store = make_store(tmp_path, root)
    snapshot(store)
    lone = Lone(tmp_path, store)
    (lone.store / "packs/00/00.pack").mkdir(parents=True)
    assert set(lone.extract(0)) == {b"a"}


@pytest.mark.timeout(30)
def test_nobody_waits_for_who_writes_to_a_fifo(tmp_path: Path, root: Path) -> None:
    (root / "a").write_bytes(b"1")
    store = make_store(tmp_path, root)
    snapshot(store)
    lone = Lone(tmp_path, store)
    for file in ("catalogs/appcat.json", "packs/log/0"):
        (lone.store / file).unlink()
        os.mkfifo(lone.store / file)
    assert "named by UUID" in lone("apps", str(lone.store)).stderr
    (catalog,) = (lone.store / "catalogs").glob("*.syscat.zst")
    app = catalog.name.partition(".")[0]
    done = lone("extract", str(lone.store), app, "0", str(lone.place / "out"))
    assert done.returncode == 3
    assert "not restored: a: not stored" in done.stderr


def test_sectors_that_cannot_be_read_are_damage(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sector of a pack is gone: the rest of it comes out."""
    for name, size in ("a", 5000), ("b", 2_000_000), ("c", 5000):
        (root / name).write_bytes(random.Random(name).randbytes(size))
        store = make_store(tmp_path, root) if name == "a" else tmp_path / "store"
        snapshot(store)
    real = os.pread
    bad = 1_000_000

    def dying(fd: int, length: int, at: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("log/0") and at <= bad < at + length:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, length, at)

    monkeypatch.setattr(os, "pread", dying)
    assert rescue.main(["extract", str(store), KEY, "latest", str(tmp_path / "out")]) == 3
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "c"]
    assert "not restored: b: " in capsys.readouterr().err


def test_extract_names_unwritable_files_and_writes_the_rest(tmp_path: Path, root: Path) -> None:
    (root / "a").write_bytes(b"small")
    (root / "b").write_bytes(random.Random(SEED).randbytes(200_000))
    (root / "c").write_bytes(b"small, too")
    store = make_store(tmp_path, root)
    snapshot(store)
    target = tmp_path / "out"
    command = [sys.executable, rescue.__file__, "extract", str(store), KEY, "0", str(target)]
    limited = ["prlimit", "--fsize=100000", *command]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "version 0: 2 files, 1 not restored\n"), done
    assert done.stderr == "not restored: b: cannot be written: File too large\n"
    assert sorted(os.listdir(target)) == ["a", "c"]


def test_a_target_without_links(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A USB stick has FAT: hard links become files, symlinks are named."""
    (root / "a").write_bytes(b"1")
    os.link(root / "a", root / "b")
    (root / "l").symlink_to("a")
    (root / "z").write_bytes(b"2")
    store = make_store(tmp_path, root)
    snapshot(store)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "symlink", refuse)
    target = tmp_path / "out"
    assert rescue.main(["extract", str(store), KEY, "0", str(target)]) == 3
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        "a": b"1", "b": b"1", "z": b"2",
    }  # fmt: skip
    assert "not restored: l: cannot be written: Operation not perm" in capsys.readouterr().err


def flipped(data: bytes, at: int, rng: random.Random) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def test_a_version_is_one_line_whatever_its_label_and_tag_say(tmp_path: Path, root: Path) -> None:
    store = make_store(tmp_path, root)
    with Workspace.open(store) as workspace:
        workspace.app(KEY).snapshot("two\nlines, \x1b]0;and a title\x07")
        workspace.app(KEY).tag("\x1b]0;x\x07", "latest")
    lone = Lone(tmp_path, store)
    (line,) = lone("log", str(lone.store), KEY).stdout.splitlines()
    assert line.split("\t")[3] == r"two\nlines, \x1b]0;and a title\x07 [\x1b]0;x\x07]"


# Damaged catalogs.


@pytest.fixture
def seven(tmp_path: Path, root: Path) -> Lone:
    """Versions 0 to 6; odd ones come with a tag; `data.log` is state."""
    store = make_store(tmp_path, root)
    (root / "data.log").write_bytes(b"rows")
    for number in range(7):
        (root / f"f{number}").write_bytes(b"%d" % number)
        (root / "all").write_bytes(b"version %d" % number)
        snapshot(store)
        if number % 2:
            with Workspace.open(store) as workspace:
                workspace.app(KEY).tag(f"t{number}", "latest")
    return Lone(tmp_path, store)


def catalog_lines(catalog: Path) -> list["rescue.Record"]:
    with catalog.open("rb") as file:
        return list(rescue.walk(file.fileno(), catalog.stat().st_size))


@pytest.mark.parametrize(
    ("lost", "how"),
    [([0], "seal"), ([3], "body"), ([1, 4], "body"), ([2], "seal"), ([*range(10)], "body")],
)
@pytest.mark.slow
def test_rescue_reads_sound_records_behind_damage(seven: Lone, lost: list[int], how: str) -> None:
    (catalog,) = (seven.store / "catalogs").glob("*.syscat.zst")
    records = catalog_lines(catalog)
    versions = [
        json.loads(rescue.unzip(one.body, one.number)).get("version")
        if b'"type":"version"' in rescue.unzip(one.body, one.number)
        else None
        for one in records
    ]
    data = bytearray(catalog.read_bytes())
    for number in lost:
        at = records[number].at + (0 if how == "seal" else rescue.SEAL.size + 4)
        data[at : at + 8] = bytes(8)
    catalog.write_bytes(data)
    done = seven("log", str(seven.store), KEY)
    assert done.returncode == 3
    assert "damaged" in done.stderr
    there = [n for at, n in enumerate(versions) if n is not None and at not in lost]
    assert [int(text.split("\t")[0]) for text in done.stdout.splitlines()] == there
    for version in (0, 2, 6):
        target = seven.place / f"out{version}"
        args = ("extract", str(seven.store), KEY, str(version), str(target))
        code = seven(*args).returncode
        if version not in there:
            assert code == 6
        elif all(number is None or number > version for number in map(versions.__getitem__, lost)):
            assert code == 3  # the catalog is damaged, and this version is whole
            assert (target / "all").read_bytes() == b"version %d" % version
            assert len(list(target.iterdir())) == version + 2
        else:
            assert code == 6
            assert not target.exists()
            assert seven(*args, "--anyway").returncode == 3
            assert (target / "all").read_bytes() == b"version %d" % version


def test_an_empty_catalog_is_not_all_right(seven: Lone) -> None:
    (catalog,) = (seven.store / "catalogs").glob("*.syscat.zst")
    catalog.write_bytes(b"")
    done = seven("log", str(seven.store), KEY)
    assert (done.returncode, "it is empty" in done.stderr) == (3, True)
    done = seven("extract", str(seven.store), KEY, "0", str(seven.place / "out"))
    assert (done.returncode, "`contents`" in done.stderr) == (6, True)


def test_every_content_comes_out_by_its_address(seven: Lone, root: Path) -> None:
    """The remedy that is named where no catalog can be read, followed to its end."""
    for catalog in (seven.store / "catalogs").iterdir():
        catalog.unlink()
    done = seven("log", str(seven.store), KEY)
    assert (done.returncode, "`contents`" in done.stderr) == (5, True)
    (root / "large").write_bytes(random.Random(3).randbytes(9 << 20))
    target = seven.place / "contents"
    done = seven("contents", str(seven.store), str(target))
    assert done.returncode == 0, done
    found = {path.name: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert all(hashlib.sha1(data).hexdigest() == name for name, data in found.items())
    wanted = {*(b"%d" % n for n in range(7)), *(b"version %d" % n for n in range(7))}
    assert wanted == {*found.values()}
    assert {path.parent.name for path in target.rglob("*") if path.is_file()} == {
        name[:2] for name in found
    }
    assert seven("contents", str(seven.store), str(target)).returncode == 2
    (log,) = (seven.store / "packs/log").iterdir()
    data = bytearray(log.read_bytes())
    data[70] ^= 1
    log.write_bytes(data)
    done = seven("contents", str(seven.store), str(seven.place / "again"))
    assert done.returncode == 3
    assert "cannot be written" in done.stderr
    assert list((seven.place / "again").rglob("unfinished")) == []


def test_extract_names_state_and_secret_files_without_counting_them(seven: Lone) -> None:
    done = seven("extract", str(seven.store), KEY, "6", str(seven.place / "out"))
    assert done.returncode == 0
    assert done.stdout == "version 6: 8 files, 0 not restored\n"
    assert "left out: data.log: state" in done.stderr


def test_a_history_that_went_on_behind_a_gap(seven: Lone, root: Path) -> None:
    (catalog,) = (seven.store / "catalogs").glob("*.syscat.zst")
    at = catalog_lines(catalog)[3].at
    data = bytearray(catalog.read_bytes())
    data[at : at + 8] = bytes(8)
    catalog.write_bytes(data)
    Workspace.mend(seven.store, accept_loss=True)
    (root / "all").write_bytes(b"after")
    version = snapshot(seven.store)
    done = seven("log", str(seven.store), KEY)
    assert (done.returncode, "lost once" in done.stderr) == (0, True)
    found = seven.extract(version)
    assert (seven.place / "rescued/all").read_bytes() == b"after"
    assert len(found) == 8
    assert seven("extract", str(seven.store), KEY, "4", str(seven.place / "out")).returncode == 6


# Catalogs made by hand.


def line(seq: int, before: bytes | None, **keys: Any) -> bytes:
    prev = "0" * 64 if before is None else hashlib.sha256(before).hexdigest()
    said = {
        "seq": seq,
        "prev": prev,
        "type": "version",
        "format": 1,
        "time": "2026-01-01T00:00:00Z",
    }
    return json.dumps({**said, **keys}).encode() + b"\n"


def sealed(plain: bytes) -> bytes:
    body = zstandard.ZstdCompressor(write_checksum=True).compress(plain)
    fixed = struct.pack(
        "<II4sc3sQQ", 0x184D2A5E, 56, b"EPM1", b"L", bytes(3), len(body), len(plain)
    )
    return fixed + hashlib.sha256(fixed + body).digest() + body


HOSTILE: dict[str, dict[str, Any]] = {
    "up": {"links": {"../out": {"target": "x"}}},
    "absolute": {"links": {"/tmp/out": {"target": "x"}}},
    "dot": {"links": {"a/./b": {"target": "x"}}},
    "empty": {"links": {"": {"target": "x"}}},
    "double": {"links": {"a//b": {"target": "x"}}},
    "nul": {"links": {"a\0b": {"target": "x"}}},
    "escaped": {"links": {"//%2e%2e/out": {"target": "x"}}},
    "escaped slash": {"links": {"//..%2Fout": {"target": "x"}}},
    "long": {"links": {"n" * 256: {"target": "x"}}},
    "through a link": {"links": {"a": {"target": "/tmp"}}, "directories": {"a/b": {}}},
    "below a file": {
        "components": {"da39a3ee5e6b4b0d3255bfef95601890afd80709": {"a": {}}},
        "blobs": {
            "da39a3ee5e6b4b0d3255bfef95601890afd80709": {
                "size": 0,
                "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            }
        },
        "directories": {"a/b": {}},
    },
    "no mode": {"directories": {"a": {"mode": "rwx"}}},
    "no facts": {"directories": {"a": 7}},
    "no sections": {"links": [1, 2]},
    "meta of nothing": {"meta": {"a": {}}},
    "removed": {"removed": ["a"]},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_catalogs_are_refused(tmp_path: Path, case: str) -> None:
    """Even if the sum is ignored, nothing is written."""
    (tmp_path / "store/catalogs").mkdir(parents=True)
    (tmp_path / "store/packs").mkdir()
    said = {"version": 0, "kind": "change", "tree": "0" * 64, **HOSTILE[case]}
    (tmp_path / "store/catalogs/u.syscat.zst").write_bytes(sealed(line(0, None, **said)))
    before = sorted(tmp_path.rglob("*"))
    args = ["extract", str(tmp_path / "store"), "u", "0", str(tmp_path / "out"), "--anyway"]
    done = subprocess.run(
        [sys.executable, "-I", rescue.__file__, *args], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (3, 6), done
    written = set(tmp_path.rglob("*")) - {*before, tmp_path / "out"}
    assert written == set()


def test_a_catalog_that_was_edited_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store/catalogs").mkdir(parents=True)
    said = {"kind": "change", "tree": "0" * 64}
    first = line(0, None, version=0, label="one", **said)
    second = line(1, b"another line", version=1, **said)
    (tmp_path / "store/catalogs/u.syscat.zst").write_bytes(sealed(first) + sealed(second))
    args = ["log", str(tmp_path / "store"), "u"]
    done = subprocess.run(
        [sys.executable, "-I", rescue.__file__, *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3 and "does not follow" in done.stderr
    assert done.stdout.startswith("0\t")


def test_bombs_are_refused_before_memory_is_taken() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(50_000_000))
    with pytest.raises(rescue.Damage):
        rescue.unzip(bomb, 1000)
    huge = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 40)
    for size in (1 << 40, 1000):
        with pytest.raises(rescue.Damage):
            rescue.unzip(huge, size)


names = st.text(min_size=1, max_size=8).map(lambda s: s.replace("/", "_").replace("\0", "_"))


@given(
    st.binary(min_size=1, max_size=9).map(lambda b: b.replace(b"/", b"_").replace(b"\0", b"_")),
    names,
    st.none() | names,
    st.dictionaries(names, st.binary(max_size=9), max_size=2),
    st.none() | st.integers(-(1 << 60), 1 << 60),
)
def test_sums_are_the_same(
    raw: bytes, target: str, user: str | None, xattrs: dict[str, bytes], mtime_ns: int | None
) -> None:
    path = RelPath("x" + os.fsdecode(raw))
    try:
        (user or "").encode()
        (target + "".join(xattrs)).encode()
    except UnicodeEncodeError:
        return
    info = identify(raw)
    ours = Entry(
        path=path,
        kind="file",
        mode=0o4755,
        user=user,
        mtime_ns=mtime_ns,
        content=info,
        target=target,
        xattrs=tuple(xattrs.items()),
        same_as=sort_paths([path])[0],
        sparse=True,
    )
    theirs = rescue.Entry(
        "file", 0o4755, 0, 0, user, None, mtime_ns,
        (info.digest.hex(), info.sha256.hex(), info.size), os.fsencode(target),
        tuple((os.fsencode(n), v) for n, v in xattrs.items()), os.fsencode(path), True, "program",
    )  # fmt: skip
    assert rescue.entry_sum(os.fsencode(path), theirs) == entry_sum(ours)
