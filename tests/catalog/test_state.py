"""What records come to: the latest word counts."""

from epmstore.catalog.model import (
    AcceptRecord,
    Decoded,
    ForgetRecord,
    HoldRecord,
    LabelRecord,
    PinRecord,
    PurgeRecord,
    SettingsRecord,
    TagRecord,
    UnforgetRecord,
    UnknownRecord,
    VersionPart,
)
from epmstore.catalog.state import VersionInfo, reduce
from tests.catalog.trees import header

NOW = "2026-10-03T14:02:03.123Z"
VERSIONS: list[Decoded] = [VersionPart(header(n, kind="drift", label=f"v{n}")) for n in range(3)]


def one(*records: Decoded) -> VersionInfo:
    found = reduce([*VERSIONS, *records]).find(1)
    assert found is not None
    return found


def test_a_version_is_what_its_record_says() -> None:
    info = one()
    assert (info.kind, info.label, info.tags) == ("drift", "v1", ())
    assert (info.pinned, info.restorable) == (False, True)
    assert info.record == header(1, kind="drift", label="v1")


def test_versions_of_many_lines_count_once() -> None:
    parts: list[Decoded] = [VersionPart(header(0, part=n, parts=3)) for n in (1, 2, 3)]
    assert [info.version for info in reduce(parts).versions] == [0]


def test_a_label_promotes_drift() -> None:
    info = one(LabelRecord(time=NOW, version=1, label="patch 3"))
    assert (info.kind, info.label, info.labels) == ("change", "v1", ("v1", "patch 3"))
    assert info.record.kind == "drift"


def test_a_label_record_without_a_label_leaves_the_label() -> None:
    named = LabelRecord(time=NOW, version=1, label="patch 3")
    silent = LabelRecord(time=NOW, version=1)
    assert (one(silent).kind, one(silent).label) == ("change", "v1")
    assert one(named, silent, named).labels == ("v1", "patch 3")


def test_pins() -> None:
    pin, unpin = (PinRecord(time=NOW, version=1, pinned=pinned) for pinned in (True, False))
    assert one(pin).pinned
    assert not one(pin, unpin).pinned
    assert one(unpin, pin, pin).pinned


def test_tags_move_and_go() -> None:
    def tag(name: str, version: int | None) -> TagRecord:
        return TagRecord(time=NOW, name=name, version=version)

    assert one(tag("b", 1), tag("a", 1)).tags == ("a", "b")
    assert one(tag("a", 1), tag("a", 2)).tags == ()
    assert one(tag("a", 1), tag("a", None), tag("never", None)).tags == ()
    assert reduce([*VERSIONS, tag("a", 1), tag("a", 2)]).tagged("a") == 2


def test_forgetting_is_taken_back() -> None:
    forget = ForgetRecord(time=NOW, versions=(0, 1))
    assert not one(forget).restorable
    assert one(forget, UnforgetRecord(time=NOW, versions=(1,))).restorable
    assert not one(forget, UnforgetRecord(time=NOW, versions=(1,)), forget).restorable


def test_state_has_holds_settings_and_acceptances() -> None:
    hold = HoldRecord(time=NOW, held=True, reason="audit")
    records: list[Decoded] = [
        *VERSIONS,
        SettingsRecord(time=NOW, settings={"a": 1, "b": 2}),
        SettingsRecord(time=NOW, settings={"a": 3}),
        AcceptRecord(time=NOW, version=0),
        AcceptRecord(time=NOW, version=2),
        PurgeRecord(time=NOW, digest="0" * 40),
        UnknownRecord("moon"),
        hold,
    ]
    state = reduce(records)
    assert state.settings == {"a": 3}
    assert state.accepts == [AcceptRecord(time=NOW, version=n) for n in (0, 2)]
    assert state.purged == [PurgeRecord(time=NOW, digest="0" * 40)]
    assert state.hold == hold
    assert reduce([*records, HoldRecord(time=NOW, held=False)]).hold is None


def test_no_records_no_history() -> None:
    state = reduce([])
    assert (state.span(), state.find(0), state.at(2e9), state.versions) == (None, None, None, [])


def test_a_clock_that_was_set_back() -> None:
    times = ["2026-10-01T00:00:00Z", "2026-10-09T00:00:00Z", "2026-10-02T00:00:00Z"]
    state = reduce([VersionPart(header(n, time=time)) for n, time in enumerate(times)])
    moment = state.versions[2].time
    assert state.at(moment) == 2
    assert state.at(moment - 1) == 0
    assert state.at(moment + 30 * 86400) == 2
