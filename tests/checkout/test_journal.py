"""The journal: what was written comes back, and what a crash or a flip left is told apart."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from epmstore import seal
from epmstore.checkout import journal as journal_file
from epmstore.checkout import obligations as owed_file
from epmstore.checkout.goal import VersionGoal
from epmstore.checkout.journal import BATCH, Header, Journal, LeftOut
from epmstore.checkout.obligations import OwedFile
from epmstore.checkout.plan import Plan, Seen, Step
from epmstore.checkout.planfile import decode_plan, plan_to_form
from epmstore.checkout.request import Prepared, Request
from epmstore.checkout.stage import Refused
from epmstore.digest import identify
from epmstore.errors import DamagedError, UnreadableError, UsageError
from epmstore.relpath import ROOT, RelPath
from epmstore.store.staging import StageProof
from epmstore.tree import Entry

HEADER = Header(
    txid="t1",
    app="0" * 32,
    key="crm",
    root="/opt/\udcff",
    root_inode=2**63,
    action="checkout",
    reason="checkout",
    time="2026-10-03T14:02:03.123Z",
    base=131,
    goal=VersionGoal(117),
    from_=131,
    safety=None,
    scope=(RelPath("b\udcfe"),),
    label="back",
    actor={"uid": 0},
    rules="r",
    unobserved=((RelPath("c\udcfd"), "mount"),),
)
ENTRY = Entry(
    path=RelPath("b\udcfe"),
    kind="file",
    mode=0o4755,
    uid=1,
    user="root",
    mtime_ns=-5,
    content=identify(b"x"),
    xattrs=(("user.\udcfd", b"\0\xff"),),
    same_as=RelPath("a"),
    sparse=True,
    path_class="config",
)
STEPS = (
    Step("unlink", RelPath("gone"), ENTRY),
    Step("put", ENTRY.path, None, ENTRY, Seen(1, 2, 3, 4, 5, 6), RelPath("a")),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "app.journal")


def ends(path: Path) -> list[int]:
    """Where the records of a journal end."""
    data, found = path.read_bytes(), [0]
    while found[-1] < len(data):
        found.append(seal.read(data, found[-1])[0].end)
    return found


def test_there_is_none(journal: Journal) -> None:
    assert journal.load() is None
    journal.drop()


def test_journal_says_what_a_plan_leaves_out(journal: Journal) -> None:
    odd = [RelPath(os.fsdecode(b"\xff")), ROOT]
    kept = tuple((RelPath(f"up/{n}"), "nobody's") for n in range(BATCH + 1))
    left_out = LeftOut(kept, tuple((path, "secret") for path in odd))
    journal.begin(HEADER, STEPS, left_out)
    found = journal.load()
    assert found is not None and (found.steps, found.left_out) == (STEPS, left_out)


def test_all_of_it_comes_back(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    found = journal.load()
    assert found is not None
    assert (found.header, found.steps, found.state, found.inodes) == (HEADER, STEPS, "PLANNED", {})
    journal.reach("STAGED", inodes={1: 77}, refused=[Refused(ENTRY.path, ("owner",))])
    journal.reach("SWITCHED", left={RelPath("gone"): "why"})
    found = journal.load()
    assert found is not None
    assert (found.state, found.inodes) == ("SWITCHED", {1: 77})
    assert found.left == {"gone": "why"}
    assert found.refused == [Refused(ENTRY.path, ("owner",))]
    journal.drop()
    assert journal.load() is None


def test_many_steps_take_several_lines(journal: Journal) -> None:
    steps = tuple(Step("rmdir", RelPath(f"d{n}")) for n in range(5000))
    journal.begin(HEADER, steps)
    found = journal.load()
    assert found is not None and found.steps == steps
    assert len(ends(journal.path)) == 5


def test_there_is_only_one(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    with pytest.raises(FileExistsError):
        journal.begin(HEADER, ())
    found = journal.load()
    assert found is not None and found.steps == STEPS


def test_wherever_it_is_cut_a_state_was_reached_or_not(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    journal.reach("STAGED", inodes={1: 77})
    journal.reach("SWITCHED")
    data = journal.path.read_bytes()
    *_, planned, staged, switched = ends(journal.path)
    assert switched == len(data)
    for length in range(len(data)):
        journal.path.write_bytes(data[:length])
        found = journal.load()
        state = None if found is None else found.state
        if length < planned:
            assert state is None
        else:
            assert state == ("PLANNED" if length < staged else "STAGED")


def test_a_torn_line_is_replaced_by_the_next(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    with journal.path.open("ab") as file:
        file.write(seal.seal(seal.RecordKind.LINE, b"x" * 500, number=9)[:50])
    journal.reach("STAGED", inodes={1: 5})
    found = journal.load()
    assert found is not None and (found.state, found.inodes) == ("STAGED", {1: 5})


@given(st.data())
def test_a_flip_before_the_last_line_is_never_read_over(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    journal = Journal(tmp_path_factory.mktemp("flip") / "app.journal")
    journal.begin(HEADER, STEPS)
    journal.reach("STAGED", inodes={1: 77})
    journal.reach("SWITCHED")
    whole = bytearray(journal.path.read_bytes())
    at = data.draw(st.integers(0, ends(journal.path)[-2] - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    journal.path.write_bytes(whole)
    with pytest.raises(DamagedError):
        journal.load()


def said(journal: Journal, **line: object) -> None:
    """One more line, as another release may write it."""
    with journal.path.open("ab") as file:
        file.write(journal_file.seal_form(line))


@pytest.mark.parametrize(
    "line",
    [
        {"state": "MERGED"},
        {"state": 7},
        {"moved": [1]},
        {"steps": [{"op": "reflink", "path": "a", "old": None, "new": None}]},
    ],
)
def test_journal_refuses_lines_of_a_later_release(
    journal: Journal, line: dict[str, object]
) -> None:
    journal.begin(HEADER, STEPS)
    said(journal, **line)
    before = journal.path.read_bytes()
    with pytest.raises(DamagedError):
        journal.load()
    assert journal.path.read_bytes() == before


@pytest.mark.parametrize("first", [{"format": 5, "header": {}}, {"format": 5}])
def test_a_later_format_is_refused(journal: Journal, first: dict[str, object]) -> None:
    said(journal, **first)
    with pytest.raises(DamagedError, match="format 5"):
        journal.load()


def test_keys_that_are_not_known_are_no_reason(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    said(journal, state="STAGED", speed=3)
    loaded = journal.load()
    assert loaded is not None and loaded.state == "STAGED"


def test_retreat_makes_a_journal_that_never_staged(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    journal.name_stage(StageProof(7, 0))
    before = journal.path.read_bytes()
    journal.reach("STAGED", inodes={1: 77})
    journal.retreat()
    assert journal.path.read_bytes() == before
    loaded = journal.load()
    assert loaded is not None
    assert (loaded.state, loaded.stage) == ("PLANNED", StageProof(7, 0))


@pytest.mark.parametrize("change", [{"format": 5}, {"phase": "MERGING"}])
def test_obligations_of_a_later_release_are_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    file = OwedFile(tmp_path / "app.owed")
    document: dict[str, object] = {"format": 1, "owed": {"phase": "STOPPING"}}
    document |= {"format": 5} if "format" in change else {"owed": change}
    sealed = {"sha256": owed_file._digest(document), **document}
    file.path.write_bytes(msgspec.json.encode(sealed))
    with pytest.raises(DamagedError, match="does not know"):
        file.load()


@pytest.mark.parametrize(
    "change",
    [{"format": 4}, {"action": "merge"}, {"config": "ask"}, {"op": "reflink"}],
)
def test_plans_of_a_later_release_are_refused(change: dict[str, object]) -> None:
    request = Request(action="checkout", goal=VersionGoal(0))
    plan = Plan(app="crm", from_=1, goal=request.goal, steps=STEPS)
    form = plan_to_form(Prepared(app="0" * 32, request=request, plan=plan))
    assert decode_plan(json.dumps(form).encode()).plan.steps == STEPS
    for key, value in change.items():
        where = {"config": form["request"], "op": form["steps"][0]}.get(key, form)
        where[key] = value
    with pytest.raises(UsageError):
        decode_plan(json.dumps(form).encode())


@pytest.mark.parametrize("name", ["", "."])
def test_a_look_that_did_not_see_the_root_whole_leaves_a_journal_that_can_be_read(
    journal: Journal, name: str
) -> None:
    header = structs.replace(HEADER, unobserved=((RelPath(name), "unstable"),))
    journal.begin(header, STEPS)
    loaded = journal.load()
    assert loaded is not None
    assert loaded.header.unobserved == ((ROOT, "unstable"),)
    assert loaded.steps == STEPS


@pytest.mark.parametrize("path", ["", "..", "a//b", "a\0", "/a", "n" * 256])
@pytest.mark.parametrize("steps", [1, 5000])
def test_journal_does_not_write_steps_it_could_not_read(
    journal: Journal, path: str, steps: int
) -> None:
    odd = RelPath(path)
    entry = structs.replace(ENTRY, path=odd, same_as=None)
    plain = [Step("unlink", RelPath(f"d/{n}"), None) for n in range(steps)]
    for step in (
        Step("unlink", odd, None),
        Step("put", RelPath("a"), None, entry),
        Step("put", RelPath("a"), entry),
        Step("put", RelPath("a"), None, structs.replace(ENTRY, same_as=odd)),
        Step("put", RelPath("a"), link=odd),
    ):
        with pytest.raises(UnreadableError):
            journal.begin(HEADER, [*plain, step])
        assert not journal.path.exists()
    for header in (
        structs.replace(HEADER, scope=(odd,)),
        structs.replace(HEADER, unobserved=((odd or RelPath("/"), "why"),)),
    ):
        with pytest.raises(UnreadableError):
            journal.begin(header, STEPS)
    journal.begin(HEADER, STEPS)
    before = journal.path.read_bytes()
    with pytest.raises(UnreadableError):
        journal.reach("SWITCHED", left={odd: "why"})
    assert journal.path.read_bytes() == before
