"""A vendor whose catalog a host can import: three releases of a small tree, made once a process."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.worlds.edits import Edit
from tests.worlds.program import call

RELEASES: tuple[tuple[str, dict[bytes, bytes]], ...] = (
    ("1.0", {b"a": b"one", b"b": b"one-b", b"d/x": b"x1", b"etc/c.conf": b"port-1"}),
    ("1.1", {b"a": b"two", b"b": b"one-b", b"d/x": b"x2", b"etc/c.conf": b"port-1", b"d/y": b"y"}),
    ("2", {b"a": b"three", b"d/x": b"x2", b"etc/c.conf": b"port-2", b"d/y": b"y2"}),
)
"""Labels, and the names of the contents (edits.py) at each path."""


def delivered(number: int) -> tuple[Edit, ...]:
    """What installs a release."""
    return tuple(Edit("write", path, name) for path, name in RELEASES[number][1].items())


@cache
def catalog() -> Path:
    """The vendor's catalog, as a file."""
    place = Path(tempfile.mkdtemp(prefix="vendor-"))
    atexit.register(_remove, place, os.getpid())
    store = ("--store", str(place / "store"))
    for words in (("init",), ("release", "init", "crm", "--config", "etc/")):
        _must(*words, *store)
    for number, (label, _) in enumerate(RELEASES):
        tree = place / str(number)
        tree.mkdir()
        for edit in delivered(number):
            edit.do(os.fsencode(tree))
        _must("release", "add", "crm", str(tree), "--label", label, *store)
    _must("catalog", "export", "crm", str(place / "crm.refcat"), *store)
    return place / "crm.refcat"


def _remove(place: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(place, ignore_errors=True)


def _must(*words: str) -> None:
    answer = call(*words)
    assert answer.code == 0, (words, answer)
