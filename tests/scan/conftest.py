"""Roots to look at, and the means to look at them as somebody else."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root that everybody may list."""
    path = tmp_path / "root"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """A block that runs without root's powers; what is open stays open."""

    @contextlib.contextmanager
    def become() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        group = os.getegid()
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(group)
            os.setgroups(groups)

    return become
