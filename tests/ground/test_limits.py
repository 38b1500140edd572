"""What the host refuses for want of descriptors or memory is told as that, and never of a path."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from epmstore import fsio, limits
from epmstore.catalog.appcat import App
from epmstore.errorform import from_system
from epmstore.errors import EpmError, LimitError, RootError, UnreadableRootError
from epmstore.record.root import is_gone, open_root
from epmstore.workspace import Workspace

OURS = {errno.EMFILE: "RLIMIT_NOFILE", errno.ENFILE: "file-max", errno.ENOMEM: "memory"}
GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENXIO, errno.EINVAL}
BROKEN = {errno.EBADF, errno.EFAULT}
"""Faults of ours: they go through as they are."""


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process has as many as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, os.listdir("/proc/self/fd"))) + 3
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    taken = []
    try:
        while True:
            try:
                taken.append(os.open("/", os.O_PATH))
            except OSError:
                break
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("code", sorted(set(errno.errorcode) - BROKEN))
def test_every_refusal_of_a_root_is_told_as_what_it_is(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fsio, "open_root", refuse)
    with pytest.raises(EpmError) as caught, open_root(App(uuid="0" * 32, key="crm", root="/r")):
        pass
    error = caught.value
    if code in OURS:
        assert isinstance(error, LimitError)
        assert error.data["limit"] == OURS[code]
    else:
        assert isinstance(error, RootError)
        assert isinstance(error, UnreadableRootError) == (code not in GONE)
    assert is_gone(error) == (code in GONE)


@pytest.mark.parametrize("code", OURS)
def test_a_limit_is_named_wherever_the_system_tells_of_it(code: int) -> None:
    error = from_system(OSError(code, os.strerror(code), "/some/file"))
    assert isinstance(error, LimitError)
    assert error.data["limit"] == OURS[code]
    assert error.hint


@pytest.mark.parametrize("soft", [4096, resource.RLIM_INFINITY])
def test_a_file_that_may_not_be_so_large_is_said_with_the_limit(
    monkeypatch: pytest.MonkeyPatch, soft: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))
    error = from_system(OSError(errno.EFBIG, os.strerror(errno.EFBIG)))
    assert isinstance(error, LimitError)
    assert error.hint
    assert ("4,096" in error.message) == (error.data["limit"] == "RLIMIT_FSIZE") == (soft == 4096)


def test_an_index_is_not_damaged_for_want_of_descriptors(tmp_path: Path) -> None:
    with Workspace.init(tmp_path / "store") as workspace:
        (tmp_path / "root").mkdir()
        workspace.apps.add("crm", tmp_path / "root")
        workspace.app("crm").snapshot()
        workspace.rest()
        handle = workspace.app("crm")
        with no_descriptors():
            assert limits.is_out_of_descriptors()
            with pytest.raises(LimitError) as caught:
                handle.versions()
            assert caught.value.data["limit"] == "RLIMIT_NOFILE"
            with pytest.raises(LimitError):
                handle.status()
        assert handle.status().clean


def test_the_limit_is_raised_for_us_and_not_for_others(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    ours = [sys.executable, "-m", "epmstore"]
    few = ["prlimit", "--nofile=40:512", *ours]
    environment = {**os.environ, "EPMSTORE_STORE": str(tmp_path / "store")}

    def run(*words: str) -> str:
        done = subprocess.run(
            [*few, *words], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    run("init")
    run("app", "add", "crm", str(root))
    wait = "for n in 1 2 3 4 5 6 7 8 9; do test $(ulimit -n) = 40 && break; sleep 0.05; done"
    run("run", "-m", "x", "--", "sh", "-c", f"{wait}; ulimit -n > {root}/limit")
    assert (root / "limit").read_text() == "40\n"
    assert (
        "512 allowed"
        in subprocess.run(
            [*few, "doctor"], env=environment, capture_output=True, text=True, check=False
        ).stdout
    )
