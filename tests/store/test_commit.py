"""A version with many changes, of which the index is got ready while its lines are written."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epmstore.errors import DiskFullError, EpmError
from epmstore.index.entries import Entries
from epmstore.store import commit
from epmstore.store.reserve import make_reserve
from epmstore.store.store import SYSCAT
from tests.kit.faults import Calls, faults
from tests.kit.place import Place


@pytest.fixture(params=[0, 1 << 30], ids=["beside", "before"])
def place(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(commit, "MANY", request.param)
    made = Place(tmp_path)
    for number in range(30):
        made.write(f"d{number % 3}/f{number}", b"%d" % number)
    made.snapshot("first")
    for number in range(20):
        made.write(f"d{number % 3}/f{number}", b"changed %d" % number)
        os.utime(made.root / f"d{number % 3}/f{number + 9}", (5, 5))
    (made.root / "d0/f0").unlink()
    return made


def failing(action: Callable[..., Any], error: Exception, times: int) -> Callable[..., Any]:
    left = times

    def call(*args: Any, **more: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise error
        return action(*args, **more)

    return call


def lines(place: Place) -> int:
    with place.crm() as crm:
        return len(crm.versions())


def check_second(place: Place) -> None:
    """It is there, once, and so says an index that is made from the catalog."""
    assert lines(place) == 2
    found = {path: place.cat(path, 1) for path in ("d1/f1", "d2/f29")}
    names = place.names(1)
    assert found == {"d1/f1": b"changed 1", "d2/f29": b"29"}
    assert "d0/f0" not in names and "d0/f0" in place.names(0)
    place.drop_index()
    assert lines(place) == 2
    assert place.names(1) == names
    assert {path: place.cat(path, 1) for path in found} == found
    with place.crm() as crm:
        assert crm.status().clean


def test_a_version_is_whole(place: Place) -> None:
    place.snapshot("second")
    check_second(place)


def test_without_its_lines_nothing_is_recorded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        refused = failing(commit._append, PermissionError(13, "no"), 99)
        patched.setattr(commit, "_append", refused)
        with pytest.raises((OSError, EpmError)):
            place.snapshot("second")
    assert lines(place) == 1
    assert "d0/f0" in place.names()
    place.snapshot("second")
    check_second(place)


@pytest.mark.parametrize("method", ["begin", "add_records"])
def test_want_of_space_for_the_index_does_not_write_the_lines_twice(
    place: Place, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_reserve(place.path, 1 << 16)
    refused = failing(getattr(Entries, method), DiskFullError("full"), 1)
    monkeypatch.setattr(Entries, method, refused)
    place.snapshot("second")
    check_second(place)


def test_lines_that_the_index_missed_are_caught_up_with(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        refused = failing(Entries.add_records, PermissionError(13, "no"), 1)
        patched.setattr(Entries, "add_records", refused)
        with pytest.raises((OSError, EpmError)):
            place.snapshot("second")
    check_second(place)


def test_an_error_of_the_index_while_lines_are_written_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = failing(lambda *_: None, OSError(5, "of the index"), 1)
    with monkeypatch.context() as patched:
        patched.setattr("epmstore.index.entries._merge_incoming", refused)
        with pytest.raises((OSError, EpmError), match="of the index"):
            place.snapshot("second")
    place.snapshot("second")
    check_second(place)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_by_the_place_of_the_store(place: Place, code: int) -> None:
    full = Calls(1, lambda: OSError(code, os.strerror(code)), only="write")
    with faults(full), pytest.raises(DiskFullError, match="of the store is full") as caught:
        place.snapshot("second")
    assert caught.value.message.startswith(f"{place.path}: ")
    assert os.strerror(code) in caught.value.message
    other = Calls(1, lambda: OSError(errno.EIO, os.strerror(errno.EIO)), only="write")
    with faults(other), pytest.raises(OSError, match="Input/output"):
        place.snapshot("second")
    place.snapshot("second")
    check_second(place)


def test_whole_lines_are_taken_and_half_a_line_goes_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write("f")
    place.snapshot()
    index = place.path / "index.sqlite"
    before = index.read_bytes()
    place.write("g")
    place.snapshot()
    (catalog,) = (place.path / "catalogs").glob(f"*{SYSCAT}")
    whole = catalog.read_bytes()
    catalog.write_bytes(whole + whole[-40:-10])
    index.write_bytes(before)  # as the power leaves it between the line and the index
    assert lines(place) == 2
    assert catalog.read_bytes() == whole
    calls: list[str] = []
    with faults(lambda call, _: calls.append(call)):
        assert lines(place) == 2
    assert not calls
