"""What was done has a word of an open list; what follows from it follows from its reason."""

import pytest
from msgspec.structs import replace

from epmstore.catalog.format import decode_line, encode_line, without_entries
from epmstore.catalog.model import START, PinRecord, UnknownRecord, VersionPart, VersionRecord
from epmstore.catalog.operations import can_be_undone, what_was_done
from epmstore.catalog.retention import points
from epmstore.catalog.state import reduce
from epmstore.checkout.undo import redo_target, undo_target
from epmstore.errors import DamagedError, NotFoundError, UnreadableError
from epmstore.relpath import RelPath
from epmstore.tree import Entry

VERSION = VersionRecord(
    version=0,
    app="0" * 32,
    key="crm",
    txid="t",
    kind="change",
    reason="checkout",
    tree="0" * 64,
    time="2026-10-03T14:02:03.123Z",
    from_=0,
)
ENTRY = Entry(path=RelPath("etc"), kind="directory", mode=0o755)


def history(*done: tuple[str, str | None, int | None]) -> list[VersionRecord]:
    """A snapshot, and then versions of these reasons, operations and contents."""
    first = replace(VERSION, reason="snapshot", from_=None)
    rest = [
        replace(VERSION, version=n, from_=n - 1, txid=f"t{n}", reason=reason, operation=word, of=of)
        for n, (reason, word, of) in enumerate(done, start=1)
    ]
    return [first, *rest]


@pytest.mark.parametrize("word", ["install", "rollback", "at-some-later-time", "a" * 32])
def test_every_word_is_written_and_read(word: str) -> None:
    record = replace(VERSION, operation=word)
    line = encode_line(VersionPart(record, [ENTRY]), START)
    assert decode_line(line)[1] == VersionPart(record, [ENTRY])
    assert what_was_done(record) == word and can_be_undone(record)


@pytest.mark.parametrize("word", ["", "Install", "a b", "install\n", "-a", "a-", "a1", "a" * 33])
def test_operations_that_are_no_word_are_not_written_and_are_damage(word: str) -> None:
    with pytest.raises(UnreadableError):
        encode_line(VersionPart(replace(VERSION, operation=word)), START)
    line = encode_line(VersionPart(replace(VERSION, operation="x")), START)
    said = word.replace("\n", "\\n").encode()
    with pytest.raises(DamagedError):
        decode_line(line.replace(b'"operation":"x"', b'"operation":"' + said + b'"'))


@pytest.mark.parametrize("word", [None, "install", "upgrade", "parameter", "merge"])
def test_an_operation_is_undone_and_done_again_whatever_it_is_called(word: str | None) -> None:
    records = history(("checkout", word, None))
    versions = reduce(map(VersionPart, records)).versions
    assert undo_target(versions).to == 0
    records = history(("checkout", word, None), ("undo", None, 0))
    versions = reduce(map(VersionPart, records)).versions
    assert redo_target(versions).to == 1
    records = history(("checkout", word, None), ("undo", None, 0), ("undo", "redo", 1))
    versions = reduce(map(VersionPart, records)).versions
    assert undo_target(versions).to == 0


def test_undo_skips_versions_that_only_tell() -> None:
    records = history(("snapshot", "adopt", None))
    with pytest.raises(NotFoundError):
        undo_target(reduce(map(VersionPart, records)).versions)


@pytest.mark.parametrize("reason", ["checkout", "repair", "undo"])
def test_versions_before_an_install_are_kept_for_undo(reason: str) -> None:
    state = reduce(map(VersionPart, history((reason, "install", 0))))
    assert [point.undo is not None for point in points(state, 2e9)] == [True, False]
    state = reduce(map(VersionPart, history(("snapshot", "adopt", None))))
    assert [point.undo is not None for point in points(state, 2e9)] == [False, False]


def test_the_index_keeps_what_is_not_known() -> None:
    plain = encode_line(VersionPart(VERSION, [ENTRY]), START)
    known = encode_line(VersionPart(VERSION), START)
    assert without_entries(plain, decode_line(plain)[1], START) == known
    later = plain.replace(b'"kind":', b'"colour": [{"product":"crm"}],"kind":')
    kept = without_entries(later, decode_line(later)[1], START)
    assert kept == known[:-2] + b',"colour":[{"product":"crm"}]}\n'
    assert decode_line(kept)[1] == VersionPart(VERSION)
    fact = encode_line(PinRecord(time=VERSION.time, version=0, pinned=True), START)
    later = fact.replace(b'"pinned":', b'"until":"2027","pinned":')
    moon = fact.replace(b'"pin"', b'"moon"')
    for line in (fact, later, moon):
        assert without_entries(line, decode_line(line)[1], START) == line
    assert decode_line(moon)[1] == UnknownRecord("moon")
