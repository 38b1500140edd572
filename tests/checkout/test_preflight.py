"""Everything that could stop a plan half-way is found before anything is changed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.plan import Plan, Step
from epmstore.checkout.preflight import Terms, check_space_for_all, preflight
from epmstore.digest import BlobInfo, identify
from epmstore.errors import (
    ConflictError,
    DiskFullError,
    EpmError,
    InUseError,
    NotRestorableError,
    RootError,
)
from epmstore.limits import OURS
from epmstore.relpath import RelPath
from epmstore.scan.folders import FolderCache
from epmstore.scan.mounts import FilesystemInfo
from epmstore.tree import Entry
from tests.kit.memory_blobs import MemoryBlobs

BLOBS = MemoryBlobs()
CONTENT = BLOBS.put(b"new")


def file(path: str, content: BlobInfo = CONTENT) -> Entry:
    return Entry(path=RelPath(path), kind="file", mode=0o644, mtime_ns=1, content=content)


def put(path: str, content: BlobInfo = CONTENT, old: Entry | None = None) -> Plan:
    return Plan(steps=(Step("put", RelPath(path), old, file(path, content)),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


Check = Callable[..., None]


@pytest.fixture
def check(root: Path) -> Iterator[Check]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def look(plan: Plan, **terms: bool) -> None:
        before = sorted(root.rglob("*"))
        try:
            preflight(fd, plan, BLOBS, Terms(**terms))
        finally:
            assert sorted(root.rglob("*")) == before

    yield look
    os.close(fd)


def test_nothing_stands_in_the_way(root: Path, check: Check) -> None:
    check(put("a"))
    check(Plan())


def test_a_content_that_is_not_stored(check: Check) -> None:
    with pytest.raises(NotRestorableError) as caught:
        check(put("a", identify(b"lost")))
    assert caught.value.data["missing"] == 1
    assert "epmstore rebuild" in (caught.value.hint or "")


def test_contents_of_a_release_are_sought_elsewhere(check: Check) -> None:
    plan = msgspec.structs.replace(put("a", identify(b"never here")), goal=ReleaseGoal(3))
    with pytest.raises(NotRestorableError, match="1 of 1") as caught:
        check(plan)
    assert "repair --release 3 --from" in (caught.value.hint or "")


def test_more_than_the_disk_has(check: Check) -> None:
    huge = msgspec.structs.replace(CONTENT, size=1 << 60)
    with pytest.raises((DiskFullError, NotRestorableError)):
        check(put("a", huge))


def test_space_is_counted(root: Path, check: Check) -> None:
    found = os.statvfs(root)
    count = found.f_bfree * found.f_frsize // 4096 + 10
    steps = tuple(Step("put", RelPath(f"f{n}"), None, file(f"f{n}")) for n in range(10))
    each = msgspec.structs.replace(CONTENT, size=count * 4096 // 10)
    blobs = MemoryBlobs()
    known = msgspec.structs.replace(steps[0], new=file("f0", each))
    fd = os.open(root, os.O_RDONLY)
    try:
        with pytest.raises(DiskFullError) as caught:
            preflight(fd, Plan(steps=(known,) * 11), _Everything(blobs), Terms())
    finally:
        os.close(fd)
    assert caught.value.data["needed"] > caught.value.data["free"]


def test_space_is_counted_for_all_that_share_a_file_system(root: Path, tmp_path: Path) -> None:
    found = os.statvfs(root)
    most = msgspec.structs.replace(CONTENT, size=found.f_bfree * found.f_frsize * 2 // 3)
    come = Plan(steps=(Step("put", RelPath("f"), None, file("f", most)),))
    anew = Plan(steps=(Step("put", RelPath("f"), file("f", most), file("f", most)),))
    for fits in ([come], [anew]):
        check_space_for_all([(root, plan) for plan in fits])
    for first, second in ((come, come), (anew, come), (anew, anew)):  # staged at the same time
        with pytest.raises(DiskFullError) as caught:
            check_space_for_all([(root, first), (tmp_path, second)])
    assert caught.value.data["needed"] > caught.value.data["free"]


class _Everything(MemoryBlobs):
    """Says that it has any content."""

    def __init__(self, _: MemoryBlobs) -> None:
        super().__init__()

    def has(self, info: BlobInfo) -> bool:
        return True


HOLD = "import sys; f = open(sys.argv[1], sys.argv[2]); print(flush=True); sys.stdin.read()"


@pytest.fixture
def holding() -> Iterator[Callable[[list[str]], int]]:
    """Starts a process that says when it holds what it is to hold."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> int:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process.pid

    yield start
    for process in started:
        process.communicate(b"")


def test_a_file_that_is_being_written(
    root: Path, check: Check, holding: Callable[[list[str]], int]
) -> None:
    (root / "a").write_bytes(b"old")
    pid = holding([sys.executable, "-c", HOLD, str(root / "a"), "r+"])
    with pytest.raises(InUseError) as caught:
        check(put("a", old=file("a")), live=True)
    assert caught.value.data == {"processes": [pid], "paths": ["a"]}


def test_a_file_that_is_being_read_does_not_matter(
    root: Path, check: Check, holding: Callable[[list[str]], int]
) -> None:
    (root / "a").write_bytes(b"old")
    holding([sys.executable, "-c", HOLD, str(root / "a"), "r"])
    check(put("a", old=file("a")))


def test_a_program_that_runs(root: Path, check: Check, holding: Callable[[list[str]], int]) -> None:
    cat = shutil.which("cat")
    assert cat is not None
    shutil.copy(cat, root / "tool")
    process = subprocess.Popen(
        [str(root / "tool")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"up\n")
    assert process.stdout.readline() == b"up\n"
    try:
        plan = put("tool", old=file("tool"))
        with pytest.raises(InUseError) as caught:
            check(plan)
        assert "--live" in (caught.value.hint or "")
        check(plan, live=True)
    finally:
        process.communicate(b"")


@pytest.mark.root
def test_preflight_names_all_immutable_files_at_once(root: Path, check: Check) -> None:
    """The hint is one command, and after it nothing is in the way."""
    names = ["a", "b c", "d/e"]
    (root / "d").mkdir()
    for name in names:
        (root / name).write_bytes(b"old")
    protected = [str(root / name) for name in (*names, "d")]
    if subprocess.run(["chattr", "+i", *protected], check=False).returncode:
        pytest.skip("no chattr here")
    plan = Plan(steps=tuple(Step("unlink", RelPath(name), file(name)) for name in names))
    try:
        with pytest.raises(ConflictError) as caught:
            check(plan)
        assert sorted(caught.value.data["paths"]) == ["a", "b c", "d", "d/e"]
        command = (caught.value.hint or "").partition("changed: ")[2]
        subprocess.run(["sh", "-c", command], check=True)
        check(plan)
    finally:
        subprocess.run(["chattr", "-i", *protected], check=True)


@pytest.mark.root
@pytest.mark.parametrize("flag", ["i", "a"])
def test_a_file_that_may_not_be_changed(root: Path, check: Check, flag: str) -> None:
    (root / "a").write_bytes(b"old")
    if subprocess.run(["chattr", f"+{flag}", str(root / "a")], check=False).returncode:
        pytest.skip("no chattr here")
    try:
        with pytest.raises(ConflictError):
            check(put("a", old=file("a")))
    finally:
        subprocess.run(["chattr", f"-{flag}", str(root / "a")], check=True)


@pytest.mark.root
def test_a_root_that_is_read_only(root: Path, tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(root)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        fd = os.open(root, os.O_RDONLY)
        try:
            with pytest.raises(RootError):
                preflight(fd, put("a"), BLOBS, Terms())
        finally:
            os.close(fd)
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_a_root_that_others_may_write_to(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = FilesystemInfo("nfs4", network=True)
    monkeypatch.setattr("epmstore.checkout.preflight.filesystem", lambda fd: shared)
    with pytest.raises(RootError):
        check(put("a"))
    check(put("a"), allow_network=True)


@pytest.mark.root
@pytest.mark.parametrize("owner", [0, 65534])
def test_a_folder_that_one_may_not_write_to(root: Path, check: Check, owner: int) -> None:
    """The owner of a closed folder can open it; others have to be somebody else."""
    (root / "d").mkdir(mode=0o755)
    if owner:
        (root / "d").chmod(0o555)
        os.chown(root / "d", owner, owner)
    for folder in root.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    root.chmod(0o777)
    os.seteuid(65534)
    try:
        with pytest.raises(EpmError) as caught:
            check(put("d/a"))
    finally:
        os.seteuid(0)
    assert caught.value.data["path"] == "d"
    assert ("chmod u+wx d" if owner else "run as the owner") in (caught.value.hint or "")


@pytest.mark.parametrize("code", OURS)
def test_a_limit_of_ours_is_no_fact_about_a_path(
    check: Check, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Out of descriptors is not "the folder is not there": what is not looked at is not checked."""

    def refuse(cache: FolderCache, path: str) -> int:
        raise OSError(code, os.strerror(code))

    (root / "a").write_bytes(b"old")
    monkeypatch.setattr(FolderCache, "open", refuse)
    with pytest.raises(OSError, match=os.strerror(code)):
        check(put("a"))
