import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore import fsio
from epmstore.relpath import parse_relpath
from epmstore.scan.folders import FolderCache
from epmstore.scan.staging_mark import write_mark
from epmstore.scan.walk import Listing, walk
from epmstore.tree import PathClass


def listings(root_fd: int, **options: object) -> dict[str, Listing]:
    found = list(walk(root_fd, **options))  # type: ignore[arg-type]
    by_folder = {listing.folder: listing for listing in found}
    assert len(by_folder) == len(found)
    return by_folder


def paths(found: dict[str, Listing]) -> set[str]:
    return {
        f"{listing.folder}/{name}".lstrip("/")
        for listing in found.values()
        for name in listing.names
    }


def problems(found: dict[str, Listing]) -> set[tuple[str, str]]:
    return {
        (problem.path, problem.kind)
        for listing in found.values()
        for problem in (*listing.skipped, *listing.unobserved)
    }


def by_prefix(**classes: str) -> Callable[[str, bool], PathClass | Literal["ignore"]]:
    def classify(path: str, is_directory: bool) -> PathClass | Literal["ignore"]:
        return classes.get(path, "program")  # type: ignore[return-value]

    return classify


def test_an_empty_root(root_fd: int) -> None:
    (only,) = walk(root_fd)
    assert (only.folder, only.listed, only.names, only.stats) == ("", True, [], [])


def test_files_folders_and_links_with_their_stats(root: Path, root_fd: int) -> None:
    (root / "sub").mkdir()
    (root / "sub/file").write_text("hello")
    (root / "link").symlink_to("sub")
    found = listings(root_fd)
    assert list(found) == ["", "sub"]
    assert found[""].names == ["link", "sub"]
    assert stat.S_ISLNK(found[""].stats[0].st_mode)
    assert found["sub"].stats[0] == os.lstat(root / "sub/file")
    assert os.path.samestat(found["sub"].own, os.lstat(root / "sub"))
    assert found["sub"].classes is None
    assert problems(found) == set()


NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: b"\0" not in name and b"/" not in name and name not in (b".", b"..")
)


@given(st.sets(NAMES, max_size=8))
def test_any_name_that_linux_allows(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes]
) -> None:
    root = os.fsencode(tmp_path_factory.mktemp("names")) + b"/sub"
    os.mkdir(root)
    for number, name in enumerate(names):
        if number % 2:
            os.mkdir(root + b"/" + name)
        else:
            os.close(os.open(root + b"/" + name, os.O_CREAT | os.O_WRONLY))
    fd = os.open(os.path.dirname(root), os.O_RDONLY)
    try:
        found = listings(fd)
    finally:
        os.close(fd)
    assert [os.fsencode(name) for name in found["sub"].names] == sorted(names)
    assert len(found) == 2 + len(names) // 2


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b"x" * 255, "ä".encode(), b" "])
def test_nasty_names_can_be_entered(root: Path, root_fd: int, name: bytes) -> None:
    folder = os.fsencode(root) + b"/" + name
    os.mkdir(folder)
    (Path(os.fsdecode(folder)) / "inner").write_text("")
    assert f"{os.fsdecode(name)}/inner" in paths(listings(root_fd))


def test_folders_come_before_what_is_below_and_in_byte_order(root: Path, root_fd: int) -> None:
    for folder in ("b/z", "b/a", "a/q", "a.d", "é", "Z", "\U0001f600"):
        (root / folder).mkdir(parents=True)
    os.mkdir(os.fsencode(root) + b"/\xff")
    odd = os.fsdecode(b"\xff")
    assert odd < "\U0001f600"  # as text; as bytes it is the last one
    expected = ["", "Z", "a", "a/q", "a.d", "b", "b/a", "b/z", "é", "\U0001f600", odd]
    assert list(listings(root_fd)) == expected


def test_specials_are_named_and_not_listed(root: Path, root_fd: int) -> None:
    (root / "sub").mkdir()
    os.mkfifo(root / "sub/fifo")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        here = os.open(root / "sub", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    found = listings(root_fd)
    assert found["sub"].names == []
    assert problems(found) == {("sub/fifo", "special"), ("sub/socket", "special")}
    assert found["sub"].unobserved == ()


@pytest.mark.root
def test_devices_are_named_and_not_listed(root: Path, root_fd: int) -> None:
    (root / "sub").mkdir()
    os.mknod(root / "sub/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root / "sub/disk", 0o666 | stat.S_IFBLK, os.makedev(7, 99))
    found = listings(root_fd)
    assert paths(found) == {"sub"}
    assert {p.why for p in found["sub"].skipped} == {"a character device", "a block device"}


def test_a_name_hides_nothing(root: Path, root_fd: int) -> None:
    (root / ".epm-stage/inner").mkdir(parents=True)
    (root / ".epm-file").write_text("")
    (root / "sub/.epm-inner").mkdir(parents=True)
    everything = {".epm-file", ".epm-stage", ".epm-stage/inner", "sub", "sub/.epm-inner"}
    assert paths(listings(root_fd)) == everything
    found = listings(root_fd, only=[".epm-stage", ".epm-stage/inner"])
    assert set(found) == {".epm-stage", ".epm-stage/inner"}


def test_a_staging_folder_of_another_store_is_named_and_not_entered(
    root: Path, root_fd: int
) -> None:
    (root / ".epm-1/inner").mkdir(parents=True)
    stage = os.open(root / ".epm-1", os.O_RDONLY)
    write_mark(stage, "0" * 32, "1")
    os.close(stage)
    shutil.copytree(root / ".epm-1", root / ".epm-2", symlinks=True)
    found = listings(root_fd)
    assert paths(found) == {".epm-2", ".epm-2/inner", ".epm-2/stage-of"}, "a copy is not one"
    assert [one.path for one in found[""].skipped] == [".epm-1"]
    assert listings(root_fd, only=[".epm-1", ".epm-1/inner"]) == {}
    (root / ".epm-1").rename(root / "kept")
    assert "kept/inner" in paths(listings(root_fd)), "nor is one that was renamed"


def test_the_store_is_invisible(root: Path, root_fd: int) -> None:
    (root / "var/store/packs").mkdir(parents=True)
    store = (root / "var/store").stat()
    skip = frozenset({(store.st_dev, store.st_ino)})
    assert paths(listings(root_fd, skip=skip)) == {"var"}
    assert listings(root_fd, skip=skip, only=["var/store/packs"]) == {}


def test_classes(root: Path, root_fd: int) -> None:
    for folder in ("etc", "logs/old", "cache/deep", "bin"):
        (root / folder).mkdir(parents=True)
    for file in ("etc/a.conf", "etc/key", "logs/x.log", "cache/y", "bin/run", "cache.txt"):
        (root / file).write_text("")
    rules: dict[str, str] = {
        "etc/a.conf": "config",
        "etc/key": "secret",
        "logs": "state",
        "cache": "ignore",
        "cache.txt": "ignore",
    }
    found = listings(root_fd, classify=by_prefix(**rules))
    assert list(found) == ["", "bin", "etc"]
    assert found[""].names == ["bin", "etc", "logs"]
    assert found[""].classes == ["program", "program", "state"]
    assert found[""].ignored == ("cache", "cache.txt")
    assert found["bin"].classes is None
    assert found["etc"].classes == ["config", "secret"]


def test_specials_that_have_a_class_are_not_named_again(root: Path, root_fd: int) -> None:
    for name in ("ignored", "state", "other"):
        os.mkfifo(root / name)
    (listing,) = walk(root_fd, classify=by_prefix(ignored="ignore", state="state"))
    assert listing.ignored == ("ignored",)
    assert [problem.path for problem in listing.skipped] == ["other"]


def test_only_some_folders(root: Path, root_fd: int) -> None:
    (root / "a/b/c").mkdir(parents=True)
    (root / "z").mkdir()
    found = listings(root_fd, only={"a/b", "", "z"})
    assert list(found) == ["", "a/b", "z"]
    assert paths(found) == {"a", "z", "a/b/c"}


def test_only_within_what_is_not_entered(root: Path, root_fd: int) -> None:
    (root / "logs/old").mkdir(parents=True)
    (root / "cache/old").mkdir(parents=True)
    rules = by_prefix(logs="state", cache="ignore")
    only = ["logs", "logs/old", "cache", "cache/old"]
    assert listings(root_fd, classify=rules, only=only) == {}


@pytest.mark.parametrize("only", ["gone", "file", "link", "link/inner"])
def test_only_something_that_is_no_folder(
    root: Path, root_fd: int, tmp_path: Path, only: str
) -> None:
    (tmp_path / "outside/inner").mkdir(parents=True)
    (root / "file").write_text("")
    (root / "link").symlink_to(tmp_path / "outside")
    (listing,) = walk(root_fd, only=[only])
    assert (listing.folder, listing.listed, listing.names) == (only, False, [])
    assert [problem.kind for problem in listing.unobserved] == ["vanished"]


def test_unreadable_folders_are_unobserved(
    root: Path, root_fd: int, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    for name, mode in (("locked", 0o000), ("listable", 0o444), ("open", 0o755)):
        (root / name).mkdir()
        (root / name / "inner").write_text("")
        (root / name).chmod(mode)
    with unprivileged():
        found = listings(root_fd)
    assert not found["locked"].listed
    assert problems(found) == {("locked", "unreadable"), ("listable/inner", "unreadable")}
    assert paths(found) == {"locked", "listable", "open", "open/inner"}
    for name in ("locked", "listable"):
        (root / name).chmod(0o755)


def test_a_folder_whose_paths_no_catalog_may_hold_is_unobserved(root: Path, root_fd: int) -> None:
    """The kernel knows no longest path: each step from a descriptor may be 255 bytes long."""
    name = "\u00e9" * 100
    folders = ["/".join([name] * depth) for depth in range(1, 22)]
    fd = os.dup(root_fd)
    for _ in folders:
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    found = listings(root_fd)
    assert paths(found) == set(folders[:20])  # of 200 to 4,019 bytes; the next one has 4,220
    assert problems(found) == {(folders[19], "unreadable")}
    with FolderCache(root_fd) as cache:  # as long as is allowed, to the byte
        os.rename(name, "x" * 76, src_dir_fd=(last := cache.open(folders[19])), dst_dir_fd=last)
    found = listings(root_fd)
    assert paths(found) == {*folders[:20], longest := f"{folders[19]}/{'x' * 76}"}
    assert len(parse_relpath(longest).encode()) == 4096
    assert problems(found) == set()


def test_a_folder_that_vanishes_is_unobserved(root: Path, root_fd: int) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()
    found: list[Listing] = []
    for listing in walk(root_fd):
        found.append(listing)
        if listing.folder == "":
            (root / "a").rename(root / "c")
            (root / "b").rmdir()
            (root / "b").symlink_to("/")
    assert [(entry.folder, entry.listed) for entry in found[1:]] == [("a", False), ("b", False)]
    assert [entry.unobserved[0].kind for entry in found[1:]] == ["vanished", "vanished"]


def test_a_folder_that_is_replaced_is_unobserved(root: Path, root_fd: int) -> None:
    (root / "a").mkdir()
    (root / "other").mkdir()
    (root / "other/secret").write_text("")
    found: dict[str, Listing] = {}
    for listing in walk(root_fd):
        found[listing.folder] = listing
        if listing.folder == "":
            (root / "a").rename(root / "old")
            (root / "other").rename(root / "a")
    assert found["a"].names == []
    assert found["a"].unobserved[0].kind == "vanished"


def test_a_folder_that_never_holds_still_is_unstable(
    root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "busy").mkdir()
    real = os.listdir
    made: list[str] = []

    def meddle(fd: int) -> list[str]:
        made.append(f"new-{len(made)}")
        (root / "busy" / made[-1]).write_text("")
        return real(fd)

    monkeypatch.setattr(os, "listdir", meddle)
    found = listings(root_fd)
    assert found["busy"].listed
    assert found["busy"].unobserved[-1].kind == "unstable"


def test_a_folder_that_changes_once_is_listed_again(
    root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "busy").mkdir()
    real = os.listdir

    def meddle(fd: int) -> list[str]:
        names = real(fd)
        if os.fstat(fd).st_ino == (root / "busy").stat().st_ino:
            (root / "busy/late").write_text("")
        return names

    monkeypatch.setattr(os, "listdir", meddle)
    found = listings(root_fd)
    assert found["busy"].names == ["late"]
    assert problems(found) == set()


def test_walks_of_one_descriptor_do_not_disturb_each_other(root: Path, root_fd: int) -> None:
    for number in range(300):
        os.mkdir(f"{number:0250}", dir_fd=root_fd)

    def count(_: int) -> int:
        return len(next(walk(root_fd)).names)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(count, range(100))) == {300}


def test_deep_trees_with_few_descriptors(root: Path) -> None:
    deep = "/".join(["d"] * 200)
    (root / deep).mkdir(parents=True)
    (root / "d/other").mkdir()
    script = (
        "import os, resource, sys\n"
        "from epmstore.scan.walk import walk\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "print(sum(listing.listed for listing in walk(fd)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, root], check=True, capture_output=True, text=True
    )
    assert done.stdout == "202\n"


def test_a_walk_left_early_leaves_nothing_open(root: Path, root_fd: int) -> None:
    (root / "a/b/c").mkdir(parents=True)
    before = os.listdir("/proc/self/fd")
    walking = walk(root_fd)
    for _ in range(3):
        next(walking)
    walking.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == len(before)


@contextlib.contextmanager
def flipping(parent: Path, one: str, two: str) -> Iterator[None]:
    """Somebody swaps two names as fast as they can, for the length of the block."""
    stop = threading.Event()
    fd = os.open(parent, os.O_RDONLY)

    def flip() -> None:
        while not stop.is_set():
            fsio.exchange(one, fd, two, fd)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        os.close(fd)


def test_nothing_outside_is_ever_seen(root: Path, root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/deep/secret").write_text("")
    (root / "a/here/deep").mkdir(parents=True)
    (root / "a/here/deep/mine").write_text("")
    (root / "a/link").symlink_to(tmp_path / "outside")
    seen: set[str] = set()
    with flipping(root / "a", "here", "link"):
        for _ in range(300):
            seen |= paths(listings(root_fd)) | paths(listings(root_fd, only=["a/here/deep"]))
    assert "a/here/deep/mine" in seen
    assert not [path for path in seen if "secret" in path]


MOUNTS = """
import json, os, pathlib, subprocess, sys
from epmstore.scan import mounts
from epmstore.scan.walk import walk
root = sys.argv[1]
def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)
mount("-t", "tmpfs", "none", f"{root}/other")
open(f"{root}/other/inner", "w").close()
mount("--bind", f"{root}/real", f"{root}/bind mount")
mount("--bind", f"{root}/real/file", f"{root}/sub/file")
fd = os.open(root, os.O_RDONLY)
def seen(**options):
    found = list(walk(fd, **options))
    return [
        sorted(f"{l.folder}/{n}" for l in found for n in l.names),
        sorted([p.path, p.kind] for l in found for p in l.unobserved),
    ]
found = [seen(), seen(cross_mounts=True), seen(only=["bind mount"])]
mounts.MOUNT_TABLE = pathlib.Path("/nowhere")
print(json.dumps([*found, seen()]))
"""


@pytest.mark.root
def test_other_mounts_are_unobserved(root: Path) -> None:
    for folder in ("other", "bind mount", "real", "sub"):
        (root / folder).mkdir()
    (root / "real/file").write_text("")
    (root / "sub/file").write_text("")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", MOUNTS, root],
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 0, done.stderr
    (names, unobserved), (crossed, missed), (_, alone), (_, by_device) = json.loads(done.stdout)
    assert names == ["/real", "/sub", "real/file"]
    assert unobserved == [["bind mount", "mount"], ["other", "mount"], ["sub/file", "mount"]]
    assert {"bind mount/file", "other/inner", "sub/file"} <= set(crossed)
    assert missed == []
    assert alone == [["bind mount", "mount"]]
    assert by_device == [["other", "mount"]]


def test_running_out_of_descriptors_is_not_about_a_path(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    script = (
        "import os, resource, sys\n"
        "from epmstore.scan.walk import walk\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "held = os.open('/', os.O_RDONLY)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (held + 3, held + 3))\n"
        "try:\n"
        "    list(walk(fd))\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, root], check=True, capture_output=True, text=True
    )
    assert done.stdout == "24\n"


def test_a_subvolume_is_not_called_a_mount(
    root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a device number of its own, the inode of all subvolumes, and is in no table."""
    (root / "volume").mkdir()
    (root / "disk").mkdir()
    real = os.lstat

    def lstat(name: str, *, dir_fd: int) -> os.stat_result:
        found = real(name, dir_fd=dir_fd)
        inode = {"volume": 256, "disk": 2}.get(name)
        if inode is None:
            return found
        fields = [found.st_mode, inode, found.st_dev + 1, *found[3:]]
        return os.stat_result(fields, {"st_mtime_ns": 1, "st_ctime_ns": 1})

    monkeypatch.setattr(os, "lstat", lstat)
    whys = {one.path: one.why for one in listings(root_fd)[""].unobserved}
    assert "subvolume" in whys[parse_relpath("volume")]
    assert "mounted" in whys[parse_relpath("disk")]
