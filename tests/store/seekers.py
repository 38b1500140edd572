"""What every Seeker does. A subclass says how one is made that has given contents."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from epmstore.digest import BlobInfo, identify
from epmstore.progress import SILENT
from epmstore.store import seeking
from epmstore.store.deposit import Deposit
from epmstore.store.seeking import Seeker, fetch_contents, find_contents, give_anew
from epmstore.store.store import Store
from epmstore.workspace import Workspace

LARGE = 5000
"""Bytes beyond which a content is large, in these tests."""
HAD = {
    "empty": b"",
    "a": b"one",
    "deep/b": b"two",
    "twice": b"two",
    "large": bytes(range(256)) * 40,
    "alike": b"eno",  # of the size of another
    "large alike": bytes(range(255, -1, -1)) * 40,
}
NEVER = identify(b"nobody has this")


def named(*names: str) -> set[BlobInfo]:
    return {identify(HAD[name]) for name in names}


class SeekerContract(ABC):
    @abstractmethod
    def seeker(self, folder: Path, files: Mapping[str, bytes]) -> Seeker:
        """One that has these contents, under these names where it has any."""

    @pytest.fixture(autouse=True)
    def little(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(seeking, "PART_THRESHOLD", LARGE)

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with Workspace.init(tmp_path / "store") as ws:
            yield ws._store

    @pytest.fixture
    def place(self, tmp_path: Path) -> Seeker:
        (tmp_path / "place").mkdir()
        return self.seeker(tmp_path / "place", HAD)

    @pytest.mark.parametrize("wanted", [["a"], ["empty"], ["large"], ["a", "deep/b", "large"], []])
    def test_it_has_what_it_was_given_and_nothing_else(
        self, place: Seeker, wanted: list[str]
    ) -> None:
        assert find_contents({*named(*wanted), NEVER}, place, SILENT) == named(*wanted)

    @pytest.mark.parametrize("wanted", [["a"], ["empty"], ["large"], ["a", "deep/b", "large"], []])
    def test_only_sought_contents_are_stored(
        self, store: Store, place: Seeker, wanted: list[str]
    ) -> None:
        assert fetch_contents(store, {*named(*wanted), NEVER}, place, SILENT) == named(*wanted)
        assert set(store.blobs.missing(map(identify, HAD.values()))) == named(*HAD) - named(*wanted)
        for name in wanted:
            assert store.blobs.read(identify(HAD[name])) == HAD[name]

    def test_nothing_more_is_offered_once_all_is_found(self, place: Seeker) -> None:
        wanted = named("a", "large")
        offered = []
        for offer in place.offers(wanted):
            data = b"".join(offer.pieces)
            assert offer.size == len(data)
            wanted.discard(identify(data))
            offered.append(data)
            if not wanted:
                break
        assert wanted == set() and {HAD["a"], HAD["large"]} <= set(offered)

    def test_a_content_that_the_store_says_it_has_is_given_anew(
        self, store: Store, place: Seeker
    ) -> None:
        wanted = named("a", "large")
        fetch_contents(store, wanted, place, SILENT)
        with Deposit(store) as deposit:
            given = give_anew(deposit, {*wanted, NEVER}, place, lambda part: False, SILENT)
            assert {info.sha256 for info in wanted} <= given and NEVER.sha256 not in given
            deposit.commit()
        for info in wanted:
            assert b"".join(store.blobs.stream(info)) in HAD.values()

    def test_it_says_where_it_looks(self, place: Seeker) -> None:
        assert str(place) and "object at" not in str(place)
