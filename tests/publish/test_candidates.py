"""Candidates become releases in the order of their records, each once."""

import contextlib
from pathlib import Path

import pytest

from epmstore.errors import NotFoundError, UsageError
from epmstore.progress import SILENT
from epmstore.publish.candidates import is_candidate
from epmstore.publish.numbering import number_candidate
from tests.kit.faults import Calls, Killed, faults
from tests.kit.vendors import Vendor
from tests.package.test_from_spec import SPEC, built
from tests.publish.test_prepare import Pipeline


def test_a_candidate_is_numbered_once_whatever_came_after_it(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    first = built(tmp_path).path
    second = built(tmp_path, SPEC.replace('"4.1.0"', '"4.1.1"')).path
    with vendor.open() as ws:
        numbers = [ws.vendors.number(path, product="crm") for path in (first, second, first)]
        assert numbers == [0, 1, 0]
        assert len(ws.vendors.releases("crm").all()) == 2
        with pytest.raises(UsageError, match="no candidate of erp"):
            ws.vendors.number(first, product="erp")
        with pytest.raises(NotFoundError, match="build not found"):
            number_candidate(ws._store, tmp_path / "later", "crm", SILENT)


@pytest.mark.slow
def test_killed_while_it_is_numbered_a_candidate_becomes_one_release(tmp_path: Path) -> None:
    place = Pipeline(tmp_path / "place")
    vendor = Vendor(tmp_path)
    paths = [
        built(tmp_path, SPEC.replace('"4.1.0"', f'"4.{minor}.0"')).path for minor in range(1, 3)
    ]
    for path in paths:
        assert is_candidate(place.add("epkg", path))
    for kill in (2, 5, 7):
        calls = Calls(kill, only="rename")
        with vendor.open() as ws, contextlib.suppress(Killed), faults(calls):
            place.run(catalogs=lambda: ws.vendors)
        assert calls.struck
    with vendor.open() as ws:
        place.run(catalogs=lambda: ws.vendors)
        labels = [one.label for one in ws.vendors.releases("crm").all()]
    assert labels == ["4.1.0-1", "4.2.0-1"]
    assert [place.get(number).release for number in (1, 2)] == [0, 1]
    assert [place.get(number).state for number in (1, 2)] == ["in_process"] * 2
    assert len(place.names("upload")) == 2 and place.names("temp") == []


def test_where_nothing_numbers_a_candidate_waits(tmp_path: Path) -> None:
    place = Pipeline(tmp_path / "place")
    place.add("epkg", built(tmp_path).path)
    for _ in range(12):
        (found,) = place.run(at_once=True)
    assert (found.state, found.release) == ("error", None)
    assert "nothing here numbers it" in (found.error or "")
