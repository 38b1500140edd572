"""What all records of builds do. A subclass says how some are opened, twice over one place."""

from abc import ABC, abstractmethod

import msgspec
import pytest

from epmstore.errors import BusyError, ChangedError, NotFoundError
from epmstore.publish.build import Author, BuildDraft
from epmstore.publish.buildrecords import BuildRecords

ME = Author("rel", "flow")
DRAFT = BuildDraft(product="crm", kind="full", payload="tar.gz", path="/builds/crm")


class RecordsContract(ABC):
    @pytest.fixture
    @abstractmethod
    def pair(self) -> tuple[BuildRecords, BuildRecords]: ...

    def test_records_are_numbered_and_come_back(
        self, pair: tuple[BuildRecords, BuildRecords]
    ) -> None:
        one, two = pair
        first, second = one.add(DRAFT, ME, 1.0), two.add(DRAFT, ME, 2.0)
        assert (first.number, second.number) == (1, 2)
        assert two.get(1) == first
        assert list(one.find([""])) == [first, second]
        assert list(one.find(["done", "hold"])) == []

    def test_a_record_that_is_not_there_is_not_found(
        self, pair: tuple[BuildRecords, BuildRecords]
    ) -> None:
        with pytest.raises(NotFoundError):
            pair[0].get(7)

    def test_who_saw_an_older_record_is_refused(
        self, pair: tuple[BuildRecords, BuildRecords]
    ) -> None:
        one, two = pair
        build = one.add(DRAFT, ME, 1.0)
        held = two.change(msgspec.structs.replace(build, state="hold"), ME, 2.0, "wait")
        with pytest.raises(ChangedError):
            one.change(msgspec.structs.replace(build, state="in_process"), ME, 3.0, "prepared")
        assert one.get(1) == held
        assert [line.after for line in one.log(0)] == ["", "hold"]

    def test_each_change_is_a_line_of_the_log(
        self, pair: tuple[BuildRecords, BuildRecords]
    ) -> None:
        one, two = pair
        build = one.add(DRAFT, ME, 1.0)
        one.change(msgspec.structs.replace(build, state="error", error="gone"), ME, 2.0, "gone")
        lines = two.log(0)
        assert [(line.number, line.before, line.after, line.why) for line in lines] == [
            (1, None, "", "added"),
            (2, "", "error", "gone"),
        ]
        assert list(two.log(1)) == list(lines[1:])
        assert {(line.actor, line.host) for line in lines} == {("rel", "flow")}

    def test_two_never_prepare_together(self, pair: tuple[BuildRecords, BuildRecords]) -> None:
        one, two = pair
        with one.alone(), pytest.raises(BusyError), two.alone():
            pytest.fail("both prepare")
        with two.alone():
            pass

    def test_two_never_have_one_build(self, pair: tuple[BuildRecords, BuildRecords]) -> None:
        one, two = pair
        with one.alone(7):
            with pytest.raises(BusyError), two.alone(7):
                pytest.fail("both have it")
            with two.alone(8), two.alone():
                pass
        with two.alone(7), pytest.raises(BusyError), one.alone(7):
            pytest.fail("both have it")
