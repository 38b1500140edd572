"""What may be wrong with a host: one clear error, its remedy, the right exit code, nothing lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.store import identity
from tests.acceptance.trees import make_new, make_old
from tests.kit.program import (
    PROGRAM,
    SEED,
    Picture,
    ProgramHost,
    amount,
    differences,
    strike,
)

POINTS = amount("EPM_TEST_INTERRUPTS", 8)
STEP = amount("EPM_TEST_STEP", 1024)
"""KiB by which the full disk grows."""


@pytest.fixture
def host(tmp_path: Path) -> ProgramHost:
    """With an empty store, and a root of three files that is not recorded yet."""
    found = ProgramHost(tmp_path)
    for name in ("bin/crmd", "lib/lib.so", "etc.conf"):
        (found.root / name).parent.mkdir(exist_ok=True)
        (found.root / name).write_bytes(name.encode() * 100)
    found.set_up()
    return found


@pytest.fixture
def two(host: ProgramHost) -> ProgramHost:
    """With the versions 0 and 1."""
    host.snapshot("-m", "one")
    (host.root / "bin/crmd").write_bytes(b"the second")
    (host.root / "added").write_bytes(b"came later")
    host.snapshot("-m", "two")
    return host


def catalog(host: ProgramHost) -> Path:
    (found,) = (host.store / "catalogs").glob("*.syscat.zst")
    return found


# Stores.


def test_no_store(tmp_path: Path) -> None:
    host = ProgramHost(tmp_path)
    assert host.fails(10, "log", hint="epmstore init")["error"] == "no_store"


def test_a_store_of_an_unknown_format(two: ProgramHost) -> None:
    document = {"format": 99, "uuid": "0" * 32, "machine": "0" * 32}
    identity._write(two.store, document)
    two.fails(10, "status", hint="newer", says="format 99")


def test_a_cloned_machine(two: ProgramHost) -> None:
    before = two.log()
    identity.adopt(two.store, "of another machine", new_store=False)
    two.fails(7, "snapshot", hint="store adopt")
    two.ok("store", "adopt", "--new-host")
    assert two.log() == before
    assert two.snapshot() == 1


def test_a_store_inside_a_root_is_not_recorded(tmp_path: Path) -> None:
    host = ProgramHost(tmp_path)
    host.store = host.root / "var/store"
    (host.root / "file").write_bytes(b"a file")
    (host.root / "var").mkdir()
    host.set_up()
    assert host.json("snapshot")[-1]["added"] == 2
    assert {entry["path"] for entry in host.json("ls", "0")} == {"file", "var"}
    (host.root / "file").write_bytes(b"other")
    host.ok("checkout", "0", "--exact")
    assert host.is_clean()
    assert host.log()


def test_a_root_inside_the_store(host: ProgramHost) -> None:
    host.fails(7, "app", "add", "own", str(host.store / "packs"), hint="another root")
    host.fails(7, "app", "add", "own", str(host.store), hint="another root")


# Applications, versions, paths.


def test_two_applications_with_one_root_or_nested_ones(host: ProgramHost) -> None:
    host.fails(7, "app", "add", "other", str(host.root), hint="")
    error = host.fails(7, "app", "add", "inner", str(host.root / "bin"))
    assert "--ignore" in error["hint"]
    host.fails(7, "app", "add", "outer", str(host.place), hint="--ignore")
    host.ok("app", "set", "crm", "--ignore", "/bin/")
    host.ok("app", "add", "inner", str(host.root / "bin"))
    assert [app["app"] for app in host.json("app", "list")] == ["crm", "inner"]


def test_names_that_are_not_there(two: ProgramHost) -> None:
    two.fails(5, "log", "--app", "cmr", says="cmr")
    two.fails(5, "checkout", "7", says="7", hint="there are 0 to 1")
    two.fails(5, "checkout", "no-such-tag")
    two.fails(5, "cat", "0:no/such", says="no/such")
    two.fails(5, "checkout", "0", "no/such", says="no/such")
    two.fails(5, "history", "no/such")
    two.fails(2, "checkout", "-5")


def test_an_ambiguous_application(two: ProgramHost) -> None:
    (two.place / "second").mkdir()
    two.ok("app", "add", "second", str(two.place / "second"))
    error = two.fails(2, "checkout", "0", hint="--app")
    assert error["data"]["apps"] == ["crm", "second"]


def test_a_version_that_was_forgotten(two: ProgramHost) -> None:
    two.ok("forget", "0")
    before = two.picture()
    two.fails(5, "checkout", "0", hint="unforget")
    assert two.picture() == before
    two.ok("unforget", "0")
    two.ok("checkout", "0")


# Catalogs, packs, index.


def test_a_torn_tail_of_a_catalog_is_put_aside(two: ProgramHost) -> None:
    before, torn = two.log(), b"half of a line that a power cut left"
    with catalog(two).open("ab") as file:
        file.write(torn)
    assert two.log() == before
    assert [path.read_bytes() for path in (two.store / "quarantine").iterdir()] == [torn]
    assert two.ok("fsck", "--read-data").err == ""
    assert two.json("snapshot", "-m", "label")[-1]["version"] == 1
    (two.root / "new").write_bytes(b"")
    assert two.snapshot() == 2
    assert two.ok("fsck").err == ""


@pytest.mark.parametrize("how", ["truncated", "edited", "reordered", "emptied"])
def test_a_damaged_catalog(two: ProgramHost, how: str) -> None:
    path, before = catalog(two), two.picture()
    data = path.read_bytes()
    cut = data.index(b"\x28\xb5\x2f\xfd", 200)
    changed = {
        "truncated": data[:-20],
        "edited": data[:100] + b"x" + data[101:],
        "reordered": data[cut:] + data[:cut],
        "emptied": b"",
    }
    path.write_bytes(changed[how])
    assert two("--json", "fsck").code == 6
    if len(changed[how]) < len(data):
        (two.root / "new").write_bytes(b"not lost")
        assert two.fails(6, "snapshot")["hint"]
        (two.root / "new").unlink()
    else:  # the index answers, until it has to be made anew
        for index in two.store.glob("index.sqlite*"):
            index.unlink()
        assert two.fails(6, "snapshot")["hint"]
        assert two.fails(6, "checkout", "0")["hint"]
        assert two("--json", "rebuild").code == 6
    assert two.picture() == before
    path.write_bytes(data)
    two.ok("rebuild")
    two.ok("fsck", "--read-data")
    assert len(two.log()) == 2
    two.ok("checkout", "0")


@pytest.mark.parametrize("how", ["truncated", "missing", "emptied"])
def test_damaged_contents(two: ProgramHost, how: str) -> None:
    (two.root / "bin/crmd").write_bytes(b"not recorded yet")
    (two.root / "added").unlink()
    (log,) = (path for path in (two.store / "packs/log").iterdir() if path.stat().st_size)
    data = log.read_bytes()
    log.unlink() if how == "missing" else log.write_bytes(data[: len(data) // 2 * (how[0] == "t")])
    found = two("--json", "fsck", "--read-data")
    assert found.code == 6, found
    findings = [line for line in found.shapes if line["type"] == "finding"]
    assert 1 in {hit["version"] for one in findings for hit in one["versions"]}
    error = two("--json", "checkout", "1")
    assert error.code in (5, 6), error
    assert error.error["hint"]
    assert two.leftovers() == []
    (two.root / "new").write_bytes(b"can still be recorded")
    two.ok("snapshot")
    two.ok("cat", "latest:new")


def test_no_index(two: ProgramHost) -> None:
    before = two.log()
    for path in two.store.glob("index.sqlite*"):
        path.unlink()
    assert two.log() == before
    two.ok("checkout", "0")


@pytest.mark.parametrize("how", ["junk", "empty", "half"])
def test_a_corrupt_index(two: ProgramHost, how: str) -> None:
    before, index = two.log(), two.store / "index.sqlite"
    for path in two.store.glob("index.sqlite-*"):
        path.unlink()
    data = index.read_bytes()
    index.write_bytes({"junk": b"junk" * 5000, "empty": b"", "half": data[: len(data) // 2]}[how])
    found = two("--json", "log", "--all")
    if found.code != 0:
        two.fails(6, "log", hint="epmstore rebuild")
        two.fails(6, "snapshot", hint="epmstore rebuild")
        two.ok("rebuild")
    assert two.log() == before
    two.ok("fsck", "--read-data")
    two.ok("checkout", "0")


def test_a_stale_index(two: ProgramHost) -> None:
    saved = two.place / "saved"
    saved.mkdir()
    for path in two.store.glob("index.sqlite*"):
        shutil.copy2(path, saved)
    (two.root / "third").write_bytes(b"3")
    two.snapshot("-m", "three")
    before = two.log()
    for path in two.store.glob("index.sqlite*"):
        path.unlink()
    for path in saved.iterdir():
        shutil.copy2(path, two.store)
    assert two.log() == before
    two.ok("fsck", "--read-data")
    two.ok("checkout", "0", "--exact")
    assert not (two.root / "third").exists()


def test_the_index_of_another_store(two: ProgramHost, tmp_path: Path) -> None:
    before = two.log()
    other = ProgramHost(tmp_path / "other")
    other.set_up()
    other.snapshot()
    for path in two.store.glob("index.sqlite*"):
        path.unlink()
    for path in other.store.glob("index.sqlite*"):
        shutil.copy2(path, two.store)
    two.fails(6, "log", hint="epmstore rebuild", says="another store")
    two.ok("rebuild")
    assert two.log() == before


# Roots.


def test_a_root_that_vanished(two: ProgramHost) -> None:
    two.root.rename(two.place / "elsewhere")
    two.fails(7, "snapshot", hint="app move")
    two.fails(7, "checkout", "0", hint="app move")
    (two.place / "elsewhere").rename(two.root)
    assert two.is_clean()


def test_a_root_that_was_replaced(two: ProgramHost) -> None:
    two.root.rename(two.place / "elsewhere")
    two.root.mkdir()
    two.fails(7, "snapshot", hint="app move", says="replaced")
    two.fails(7, "status", says="replaced")
    assert len(two.log()) == 2
    two.fails(7, "app", "move", "crm", str(two.root))
    two.ok("app", "move", "crm", str(two.place / "elsewhere"))
    assert two.is_clean()


def test_a_root_that_was_emptied_is_believed(two: ProgramHost) -> None:
    before = two.picture()
    for path in two.root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert two.json("snapshot")[-1]["removed"] == len(before)
    two.ok("undo", code=5)
    two.ok("checkout", "1")
    assert two.picture() == before


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 64 MiB until it is remounted."""
    place = tmp_path / "tmpfs"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(place)]
    if subprocess.run(words, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


@pytest.mark.root
def test_a_read_only_root(tmpfs: Path, tmp_path: Path) -> None:
    host = ProgramHost(tmp_path)
    host.root = tmpfs / "root"
    host.root.mkdir()
    (host.root / "file").write_bytes(b"one")
    host.set_up()
    host.snapshot()
    (host.root / "file").write_bytes(b"two")
    remount(tmpfs, "ro")
    assert host.snapshot() == 1
    host.fails(7, "checkout", "0", hint="--target", says="read-only")
    host.ok("checkout", "0", "--target", str(tmp_path / "copy"))
    assert (tmp_path / "copy/file").read_bytes() == b"one"
    remount(tmpfs, "rw")
    host.ok("checkout", "0")


@pytest.mark.root
def test_a_root_that_was_unmounted(tmpfs: Path, tmp_path: Path) -> None:
    host = ProgramHost(tmp_path)
    host.root = tmpfs
    (tmpfs / "file").write_bytes(b"one")
    host.set_up()
    host.snapshot()
    subprocess.run(["umount", str(tmpfs)], check=True)
    host.fails(7, "snapshot", hint="app move", says="not mounted")
    assert len(host.log()) == 1
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmpfs)], check=True)


# Rights.


@pytest.mark.root
def test_no_permission(two: ProgramHost) -> None:
    plain = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", PROGRAM)
    (two.root / "etc.conf").write_bytes(b"only somebody else can read this")
    shutil.chown(two.root / "etc.conf", "nobody")
    (two.root / "etc.conf").chmod(0o600)
    shutil.chown(two.root / "bin", "nobody")
    (two.root / "bin/other").write_bytes(b"something to record")
    found = two("--json", "snapshot", program=plain)
    assert found.code == 3, found
    assert [one["path"] for one in found.shapes[-1]["unobserved"]] == ["etc.conf"]
    before = two.picture()
    found = two("--json", "checkout", "0", program=plain)
    assert found.code == 4, found
    assert "as root" in found.error["hint"]
    assert two.picture() == before
    assert two.leftovers() == []
    two.ok("checkout", "0")


# At the same time, and in between.


@pytest.mark.slow
def test_the_second_of_two_commands_waits_and_then_says_for_whom(two: ProgramHost) -> None:
    ready, go = two.place / "ready", two.place / "go"
    script = f"touch {ready}; while ! test -e {go}; do sleep 0.1; done"
    first = two.start("run", "--", "sh", "-c", script)
    wait_for(ready)
    error = two.fails(11, "snapshot", hint="try again")
    assert str(first.pid) in error["message"], error
    two.ok("log")  # looking is never in the way
    second = two.start("snapshot")
    go.touch()
    first.communicate()
    second.communicate()
    assert (first.returncode, second.returncode) == (0, 0)


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * POINTS)
def test_interrupted_at_any_moment(tmp_path: Path) -> None:
    rng, host = random.Random(SEED), ProgramHost(tmp_path)
    make_old(host.root, 30, rng)
    host.set_up()
    host.snapshot()
    pictures = [host.picture()]
    make_new(host.root, 30, rng)
    host.snapshot()
    pictures.append(host.picture())
    calls, at = host.count("checkout", "0"), 0
    interrupted = 0
    for _ in range(POINTS):
        last = rng.randrange(1, calls)
        found = host("checkout", str(1 - at), program=strike("SIGINT", last))
        assert found.code in (0, 130), (SEED, last, found)
        if found.code == 130:
            interrupted += 1
            assert "nothing is lost" in found.err
        host.ok("log")
        at = judge(host.picture(), pictures, f"seed {SEED}, call {last}")
        assert host.leftovers() == []
        host.ok("checkout", str(1 - at), code=0)
        at = judge(host.picture(), pictures, f"seed {SEED}, call {last}")
    assert interrupted > POINTS // 2


def judge(found: Picture, pictures: list[Picture], what: str) -> int:
    """Which of the versions it is."""
    for version, expected in enumerate(pictures):
        if not differences(found, expected):
            return version
    raise AssertionError(f"{what}: {[differences(found, one) for one in pictures]}")


def test_ctrl_c_while_a_patch_runs(two: ProgramHost) -> None:
    ready = two.place / "ready"
    process = two.start("run", "--", "sh", "-c", f"echo x >half; touch {ready}; sleep 60")
    wait_for(ready)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate()
    assert process.returncode == 130
    two.ok("snapshot")
    assert two.is_clean()


def test_a_broken_pipe(two: ProgramHost) -> None:
    for number in range(3000):
        (two.root / f"a-rather-long-name-{number}").touch()
    two.snapshot()
    words = f"{PROGRAM} ls latest; echo $? >{two.place}/code"
    found = subprocess.run(
        ["sh", "-c", f"({words}) | head -1"], env=two.environment, cwd=two.root, capture_output=True
    )
    assert found.stderr == b""
    assert found.stdout.count(b"\n") == 1
    assert (two.place / "code").read_text() in ("141\n", "0\n")


# Full disks.


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(180 + 60_000 // STEP)
def test_the_disk_of_the_store_is_full(tmpfs: Path, tmp_path: Path) -> None:
    rng, host = random.Random(SEED), ProgramHost(tmp_path)
    make_old(host.root, 120, rng)
    (host.root / "large").write_bytes(rng.randbytes(1 << 20))
    expected, codes = host.picture(), set()
    for size in range(256, 6000, STEP):
        host.store = tmpfs / f"store{size}"
        remount(tmpfs, "size=64m")
        host.ok("init")
        host.ok("app", "add", "crm", str(host.root))
        remount(tmpfs, f"size={used(tmpfs) + size}k")
        found = host("--json", "snapshot")
        codes.add(found.code)
        check_full(found.code, found.err, f"{size} KiB")
        remount(tmpfs, "size=64m")
        version = host.snapshot()
        assert version == 0, f"{size} KiB"
        assert differences(host.export(0), expected) == [], f"{size} KiB"
        host.ok("fsck", "--read-data")
        shutil.rmtree(host.store)
    assert codes == {0, 4}, "both have to come up"


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(180 + 60_000 // STEP)
def test_the_disk_of_the_root_is_full(tmpfs: Path, tmp_path: Path) -> None:
    rng, host = random.Random(SEED), ProgramHost(tmp_path)
    host.root = tmpfs / "root"
    host.root.mkdir()
    make_old(host.root, 60, rng)
    (host.root / "large").write_bytes(rng.randbytes(1 << 20))
    host.set_up()
    host.snapshot()
    pictures = [host.picture()]
    make_new(host.root, 60, rng)
    (host.root / "large").write_bytes(rng.randbytes(1 << 19))
    host.snapshot()
    pictures.append(host.picture())
    codes = set()
    for size in range(4, 3000, STEP // 2):
        remount(tmpfs, f"size={used(tmpfs) + size}k")
        found = host("--json", "checkout", "0", "--exact")
        codes.add(found.code)
        check_full(found.code, found.err, f"{size} KiB")
        at = judge(host.picture(), pictures, f"{size} KiB")
        assert at == (0 if found.code == 0 else 1)
        assert host.leftovers() == []
        remount(tmpfs, "size=64m")
        host.ok("checkout", "1" if at == 0 else "0", "--exact")
        host.ok("checkout", "1", "--exact")
    assert codes == {0, 4}, "both have to come up"


def used(place: Path) -> int:
    """KiB."""
    found = os.statvfs(place)
    return (found.f_blocks - found.f_bfree) * found.f_frsize // 1024


def check_full(code: int, err: str, what: str) -> None:
    assert code in (0, 4), (what, err)
    if code == 4:
        error = json.loads(err.splitlines()[-1])
        assert error["error"] == "disk_full", (what, error)
        assert error["hint"], (what, error)
