"""Who goes on from a catalog that is here comes to what who begins anew comes to."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from epmstore.digest import identify
from epmstore.errors import BadCatalogError, EpmError, VersionNotFoundError
from epmstore.progress import SILENT
from epmstore.refcat.catalogchild import examine
from epmstore.refcat.checker import Checker
from epmstore.refcat.interchange import check_catalog, export_lines, import_catalog, known_here
from epmstore.refcat.releases import Releases
from epmstore.workspace import Workspace
from tests.kit.vendors import CRM, Vendor
from tests.refcat.test_malformed import CASES, Doc, chained, sound

__all__ = ["sound"]


@pytest.fixture(scope="module")
def hosts(
    sound: list[Doc],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Workspace]]:
    """Those that have the first 1, 2, 3 and 4 lines of the sound catalog."""
    place = tmp_path_factory.mktemp("hosts")
    lines = chained(sound)
    made = []
    for count in range(1, len(lines) + 1):
        ws = Workspace.init(place / str(count))
        found = check_catalog(ws._store, b"".join(lines[:count]), None, SILENT, examine=examine)
        import_catalog(ws._store, found, "file", SILENT)
        made.append(ws)
    yield made
    for ws in made:
        ws.close()


def fed(checker: Checker, lines: Sequence[bytes]) -> Checker:
    for line in lines:
        checker.add(line)
    checker.finish()
    return checker


def said(checker: Checker) -> object:
    contents = sorted(checker.contents, key=lambda info: info.digest)
    return checker.lines, checker.head, checker.about, checker.releases, contents


def fault(checker: Checker, lines: Sequence[bytes]) -> tuple[str, object]:
    with pytest.raises(EpmError) as caught:
        fed(checker, lines)
    return caught.value.message, caught.value.data


def test_it_goes_on_as_if_it_had_taken_all(
    sound: list[Doc],
    hosts: list[Workspace],
) -> None:
    lines = chained(sound)
    whole = said(fed(Checker(), lines))
    for ws in hosts:
        known = known_here(ws._store, CRM)
        assert said(fed(Checker.resume(known), lines[known.lines :])) == whole


@pytest.mark.parametrize("name", CASES)
def test_resumed_check_refuses_the_same_catalogs(
    sound: list[Doc],
    hosts: list[Workspace],
    name: str,
) -> None:
    edit, _, _ = CASES[name]
    docs = copy.deepcopy(sound)
    edit(docs)
    good, bad = chained(sound), chained(docs)
    same = next((n for n, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b), None)
    for count in range(1, (min(len(good), len(bad)) if same is None else same) + 1):
        checker = Checker.resume(known_here(hosts[count - 1]._store, CRM))
        assert fault(checker, bad[count:]) == fault(Checker(), bad)


def test_another_catalog_is_found_with_its_first_line(tmp_path: Path) -> None:
    lines, known = [], []
    for name in (b"one", b"two"):
        vendor = Vendor(tmp_path / name.decode())
        vendor.release({"bin/a": name}, "1.0")
        with vendor.open() as ws:
            known.append(known_here(ws._store, CRM))
        vendor.release({"bin/a": b"same"}, "1.1")
        with vendor.open() as ws:
            lines.append(list(export_lines(ws._store, Releases(ws._store, CRM))))
    assert said(fed(Checker.resume(known[0]), lines[0][2:])) == said(fed(Checker(), lines[0]))
    with pytest.raises(BadCatalogError, match="line 3: it does not follow the line before it"):
        Checker.resume(known[0]).add(lines[1][2])
    for known_already in lines[0][:2]:
        with pytest.raises(BadCatalogError, match="where 2 is due"):
            Checker.resume(known[0]).add(known_already)


def test_a_relabelled_and_withdrawn_one_goes_on(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    vendor.release({"bin/a": b"1"}, "1.0")
    vendor.release({"bin/b": b"2"}, "1.l")
    with vendor.open() as ws:
        ws.vendors.relabel("crm", 1, "1.1")
        ws.vendors.revoke("crm", release=0, reason="old")
        known = known_here(ws._store, CRM)
        before = list(export_lines(ws._store, Releases(ws._store, CRM)))
    assert said(Checker.resume(known)) == said(fed(Checker(), before))
    vendor.release({"bin/a": b"1", "bin/c": b"3"}, "1.2")
    with vendor.open() as ws:
        ws.vendors.revoke("crm", digest=identify(b"2").digest, reason="not there any more")
        after = list(export_lines(ws._store, Releases(ws._store, CRM)))
    assert after[: len(before)] == before
    assert said(fed(Checker.resume(known), after[len(before) :])) == said(fed(Checker(), after))


def test_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    with Workspace.init(tmp_path / "store") as ws, pytest.raises(VersionNotFoundError):
        known_here(ws._store, CRM)
