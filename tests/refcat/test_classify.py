"""The decision table of docs/verify.md, row by row from the page; and what it leaves to words."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from epmstore.catalog.classes import Patterns, Rules
from epmstore.refcat.classify import WHATS, Deviation, Situation, classify, same_state
from epmstore.refcat.lines import Lines
from epmstore.refcat.owners import Owner, OwnerMapping, owner_of
from epmstore.relpath import RelPath
from epmstore.tree import Entry, Pair
from tests.kit.fakevendor import APP, OTHER_APP, FakeVendor, file, folder, link

PAGE = Path(__file__).resolve().parents[2] / "docs" / "verify.md"
P, Q = "lib/p", "lib/q"
RELEASE = 5
ROOT: Owner = (0, 0, None, None)


def table() -> list[tuple[str, ...]]:
    text = PAGE.read_text(encoding="utf-8")
    [block] = re.findall(
        r"^\| release 5 has .*?\n\|[-|]+\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE
    )
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in block.splitlines()]


def situation(
    *,
    owners: OwnerMapping | None = None,
    rules: Rules | None = None,
    holds: frozenset[str] = frozenset(),
) -> Situation:
    return Situation(
        lines=Lines([None] * 10),
        app=APP,
        release=RELEASE,
        owners=owners or OwnerMapping({(ROOT, ROOT): 10}),
        classify=(rules or Rules(Patterns())).classify,
        holds=lambda path: path in holds,
    )


WANTED: dict[str, Entry | None] = {
    "A": file(P, "A"),
    "nothing": None,
    "an empty folder": folder(P),
    "a folder with files": folder(P),
}
FOUND: dict[str, Entry | None] = {
    "A": file(P, "A"),
    "A with another mode": file(P, "A", mode=0o600),
    "A with another owner": file(P, "A", uid=7),
    "B": file(P, "B"),
    "B, tiny": file(P, "B", size=10),
    "a link": link(P, "q"),
    "an empty folder": folder(P),
    "a folder with files": folder(P),
    "nothing": None,
    "nothing, but A elsewhere": None,
}


class Row:
    """One row, as a root and a vendor."""

    def __init__(self, released: str, has: str, shipped: str, path: str) -> None:
        self.vendor = FakeVendor()
        self.holds = frozenset({P} if has == "a folder with files" else ())
        wanted, self.found = WANTED[released], FOUND[has]
        self.pairs: list[Pair] = [(self.found, wanted)]
        if wanted is not None:
            self.vendor.ship(wanted, 4, 7)
        if released == "a folder with files":
            self.pairs.append((None, file(f"{P}/inside", "inside")))
        if has == "nothing, but A elsewhere":
            self.pairs.append((file(Q, "A"), None))
        for part in filter(None, shipped.split(", ")):
            self._ship(part)
        if path.startswith("in "):
            self.vendor.ship(file(P, "C"), *span(path))

    def _ship(self, said: str) -> None:
        if said == "never":
            return
        assert self.found is not None
        away = Entry(path=RelPath(Q), kind="file", mode=0o644, content=self.found.content)
        if said == "lacking elsewhere":
            self.vendor.ship(away, 4, 7)
            self.pairs.append((None, away))
        elif said.startswith("here in "):
            self.vendor.ship(self.found, *span(said))
        elif said.startswith("elsewhere in "):
            self.vendor.ship(away, *span(said))
        else:
            assert said.startswith("by another application in ")
            self.vendor.ship(away, *span(said), app=OTHER_APP)

    def finding(self) -> Deviation | None:
        found = classify(self.pairs, situation(holds=self.holds), self.vendor)
        return next((one for one in found if one.path == P), None)


def span(said: str) -> tuple[int, int]:
    first, last = re.findall(r"\d+", said)[-2:]
    return int(first), int(last) + 1


@pytest.mark.parametrize("row", table(), ids=" | ".join)
def test_the_table(row: tuple[str, ...]) -> None:
    *conditions, what, release = row
    finding = Row(*conditions).finding()
    if what in ("known", "none"):
        assert finding is None
        return
    assert finding is not None
    assert finding.what == what
    assert finding.release == (int(release) if release else None)


def test_the_table_has_every_finding() -> None:
    assert {row[4] for row in table()} == {*WHATS, "none"} - {"parallel"}


def test_contents_of_another_line_are_parallel() -> None:
    # 4.2.15, 5.0, 4.2.16 after 4.2.15
    vendor, lines = FakeVendor(), Lines([None, None, 0])
    for number, text in enumerate("ABC"):
        vendor.ship(file("bin/a", text), number, number + 1)
    for now, has, what in [(2, "B", "parallel"), (2, "A", "stale"), (1, "C", "parallel")]:
        asked = replace(situation(), release=now, lines=lines)
        [finding] = classify([(file("bin/a", has), file("bin/a", "ABC"[now]))], asked, vendor)
        assert (finding.what, finding.release) == (what, "ABC".index(has))


def test_moved_names_the_path_that_lacks_the_bytes_which_is_not_missing() -> None:
    pairs: list[Pair] = [(None, file("lib/a", "A")), (file("old/a", "A"), None)]
    [finding] = classify(pairs, situation(), FakeVendor())
    assert (finding.what, finding.path, finding.other) == ("moved", "old/a", (APP, "lib/a"))


def test_one_file_is_moved_and_the_copies_of_it_are_foreign() -> None:
    vendor = FakeVendor()
    vendor.ship(file("lib/a", "A"), 4)
    pairs: list[Pair] = [
        (None, file("lib/a", "A")),
        (file("b", "A"), None),
        (file("c/a", "A"), None),
    ]
    found = {one.path: one.what for one in classify(pairs, situation(), vendor)}
    # of the two, the one with the same name would be a better choice; byte order comes first
    assert found == {"b": "moved", "c/a": "foreign"}


def test_state_and_ignored_paths_are_no_findings_and_config_has_its_class() -> None:
    rules = Rules(Patterns(ignore=("__pycache__/",), state=("*.log",), config=("etc/",)))
    pairs: list[Pair] = [
        (file("a/__pycache__/x.pyc", "X"), None),
        (file("crm.log", "X"), None),
        (None, file("gone.log", "X")),
        (file("etc/crm.conf", "edited"), file("etc/crm.conf", "as delivered")),
    ]
    [finding] = classify(pairs, situation(rules=rules), FakeVendor())
    assert (finding.path, finding.what, finding.path_class) == ("etc/crm.conf", "local", "config")


def owners_of(pairs: list[Pair]) -> OwnerMapping:
    counts: dict[tuple[Owner, Owner], int] = {}
    for found, wanted in pairs:
        if found is not None and wanted is not None:
            key = (owner_of(found), owner_of(wanted))
            counts[key] = counts.get(key, 0) + 1
    return OwnerMapping(counts)


def test_a_root_that_somebody_else_installed_is_not_all_findings() -> None:
    pairs: list[Pair] = [(file(f"f{n}", "A", uid=1000), file(f"f{n}", "A")) for n in range(50)]
    pairs.append((file("odd", "A", uid=33), file("odd", "A")))
    [finding] = classify(pairs, situation(owners=owners_of(pairs)), FakeVendor())
    assert (finding.path, finding.what, finding.fields) == ("odd", "meta", ("owner",))


def test_a_root_that_is_as_released_is_compared_owner_by_owner() -> None:
    pairs: list[Pair] = [(file(f"f{n}", "A"), file(f"f{n}", "A")) for n in range(5)]
    pairs += [(file(f"g{n}", "A", uid=33), file(f"g{n}", "A")) for n in range(4)]
    found = classify(pairs, situation(owners=owners_of(pairs)), FakeVendor())
    assert [one.path for one in found] == ["g0", "g1", "g2", "g3"]


TEXTS = st.sampled_from(["A", "B", "C", "D"])
NAMES = st.sampled_from(["a", "b", "d/a", "d/b"])
TREES = st.dictionaries(NAMES, TEXTS)


def entries(tree: dict[str, str]) -> dict[str, Entry]:
    return {path: file(path, text) for path, text in tree.items()}


@given(st.lists(TREES, min_size=1, max_size=4), TREES)
def test_every_path_has_one_finding_or_is_known_or_was_moved_away(
    releases: list[dict[str, str]], root: dict[str, str]
) -> None:
    vendor = FakeVendor()
    for path, since, until, text in spans(releases):
        vendor.ship(file(path, text), since, until)
    number = len(releases) // 2
    here, wanted = entries(root), entries(releases[number])
    pairs = [(here.get(path), wanted.get(path)) for path in {*here, *wanted}]
    asked = Situation(
        lines=Lines([None] * 10),
        app=APP,
        release=number,
        owners=OwnerMapping({}),
        classify=Rules(Patterns()).classify,
        holds=lambda path: True,
    )
    found = classify(pairs, asked, vendor)
    paths = [one.path for one in found]
    assert paths == sorted(paths)
    known = {path for path in here if same_state(here[path], wanted.get(path))}
    moved = {one.other[1] for one in found if one.what == "moved" and one.other is not None}
    assert set(paths) == ({*here, *wanted} - known) - (moved - set(here))
    for one in found:
        assert (one.what == "missing") == (one.path not in here)
        shipped = any(root.get(one.path) in tree.values() for tree in releases)
        assert (one.what in ("local", "unknown", "missing")) or shipped


def spans(releases: list[dict[str, str]]) -> Iterator[tuple[str, int, int | None, str]]:
    """(path, since, until, content) of everything that was ever released."""
    for path in sorted({path for tree in releases for path in tree}):
        since, text = 0, releases[0].get(path)
        for number, tree in enumerate([*releases[1:], {}], 1):
            if tree.get(path) != text or number == len(releases):
                if text is not None:
                    yield path, since, None if number == len(releases) else number, text
                since, text = number, tree.get(path)
