"""Where a checkout goes: what each document says of a goal, byte for byte, and read again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from epmstore import codec, seal
from epmstore.catalog.format import decode_line, encode_line
from epmstore.catalog.hooks import Hooks
from epmstore.catalog.model import START, CatalogPosition, VersionPart, VersionRecord
from epmstore.checkout.goal import (
    EditsGoal,
    Goal,
    ReleaseGoal,
    RemovalGoal,
    VersionGoal,
    goal_from_form,
    goal_of,
    version_of,
)
from epmstore.checkout.journal import Header, Journal
from epmstore.checkout.obligations import Moment, Owed, OwedFile
from epmstore.checkout.plan import Plan
from epmstore.checkout.planfile import decode_plan, encode_plan
from epmstore.checkout.request import Prepared, Request
from epmstore.checkout.version_drafts import EntriesBeforeAndAfter, done_version
from epmstore.errors import DamagedError, EpmError, UsageError
from epmstore.relpath import RelPath
from epmstore.store.commit import HistoryHead
from tests.checkout.test_journal import ENTRY, HEADER, STEPS

GOLDEN = json.loads((Path(__file__).parents[1] / "fixtures" / "goals.json").read_text("utf-8"))
"""What was written before a goal was a value of its own."""
EDITS = EditsGoal(((ENTRY.path, ENTRY), (RelPath("gone"), None)))
GOALS: dict[str, Goal] = {"version": VersionGoal(117), "release": ReleaseGoal(41), "edits": EDITS}
NEWEST = VersionRecord(
    version=131,
    app="0" * 32,
    key="crm",
    txid="t0",
    kind="change",
    reason="snapshot",
    tree="0" * 64,
    time="2026-10-03T14:00:00.000Z",
)
OWED = Owed(
    app="0" * 32,
    key="crm",
    phase="STARTING",
    action="checkout",
    txid="t1",
    from_=131,
    goal=VersionGoal(117),
    version=132,
    hooks=Hooks(stop=("systemctl", "stop", "crm"), timeout=5.0),
    confirm=60.0,
    since=Moment(wall=1790000000.5, boot="b", uptime=12.25),
    time="2026-10-03T14:02:03.123Z",
    why="x",
    allow_network=True,
    actor={"uid": 0},
)


@pytest.fixture(params=GOALS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def header(goal: Goal) -> Header:
    match goal:
        case VersionGoal():
            return replace(HEADER, goal=goal, action="rollback")
        case ReleaseGoal():
            return replace(HEADER, goal=goal, action="repair", reason="repair")
        case RemovalGoal():
            return replace(HEADER, goal=goal, action="uninstall", installed=())
        case EditsGoal():
            return replace(HEADER, goal=goal, action="edit", scope=goal.paths)


def plan_of(goal: Goal) -> Prepared:
    request = Request(
        action="rollback" if isinstance(goal, VersionGoal) else "repair",
        goal=goal,
        scope=(RelPath("b\udcfe"),),
        exact=True,
        config="restore",
        within=(1, 2) if isinstance(goal, VersionGoal) else None,
        label="back",
    )
    kept = ((RelPath("k"), "why"),)
    plan = Plan(app="crm", from_=131, goal=goal, steps=STEPS, kept=kept)
    return Prepared(app="0" * 32, request=request, plan=plan)


def journal_of(goal: Goal, place: Path) -> str:
    journal = Journal(place / "a.journal")
    journal.begin(header(goal), STEPS)
    found, body = seal.read(journal.path.read_bytes())
    return codec.decompress(body, found.number).decode()


def owed_of(goal: Goal, place: Path) -> str:
    file = OwedFile(place / "a.owed")
    file.save(replace(OWED, goal=goal))
    return file.path.read_text()


def line_of(goal: Goal) -> str:
    outcome: EntriesBeforeAndAfter = {ENTRY.path: (None, replace(ENTRY, same_as=None))}
    head, now = HistoryHead(START, NEWEST), "2026-10-03T14:02:04.000Z"
    part = done_version(header(goal), head, outcome, now, missed={})
    return encode_line(part, CatalogPosition(0, "0" * 64, 5)).decode()


@pytest.mark.parametrize("name", ["version", "release"])
def test_goals_on_disk_keep_their_bytes(name: str, tmp_path: Path) -> None:
    goal = GOALS[name]
    assert {
        "journal": journal_of(goal, tmp_path),
        "owed": owed_of(goal, tmp_path),
        "plan": encode_plan(plan_of(goal)).decode(),
        "version": line_of(goal),
    } == GOLDEN[name]


def test_each_document_says_the_goal_again(name: str, tmp_path: Path) -> None:
    goal = GOALS[name]
    journal_of(goal, tmp_path)
    loaded = Journal(tmp_path / "a.journal").load()
    assert loaded is not None and loaded.header == header(goal)
    owed_of(goal, tmp_path)
    assert OwedFile(tmp_path / "a.owed").load() == replace(OWED, goal=goal)
    prepared = decode_plan(encode_plan(plan_of(goal)))
    assert prepared.request == plan_of(goal).request and prepared.plan.goal == goal
    assert goal_from_form({**goal.form(), "other": 1}) == goal


def test_an_uninstall_that_is_owed_is_read_again(tmp_path: Path) -> None:
    owed_of(RemovalGoal(41), tmp_path)
    assert OwedFile(tmp_path / "a.owed").load() == replace(OWED, goal=RemovalGoal(41))


def test_a_version_says_whose_content_it_brought_back() -> None:
    said = {}
    for name, goal in GOALS.items():
        _, part = decode_line(line_of(goal).encode())
        assert isinstance(part, VersionPart)
        said[name] = (goal_of(part.header), part.header.operation, part.header.scope)
    assert said == {
        "version": (VersionGoal(117), "rollback", HEADER.scope),
        "release": (ReleaseGoal(41), None, HEADER.scope),
        "edits": (None, "edit", EDITS.paths),
    }
    assert [version_of(goal) for goal in (*GOALS.values(), None)] == [117, None, None, None]
    assert [*map(str, GOALS.values())] == ["117", "release:41", "edits"]


def test_edits_are_of_a_format_of_their_own_and_say_nothing_that_older_programs_read(
    tmp_path: Path,
) -> None:
    journal = json.loads(journal_of(EDITS, tmp_path))
    owed = json.loads(owed_of(EDITS, tmp_path))
    plan = json.loads(encode_plan(plan_of(EDITS)))
    assert journal["format"] == owed["format"] == plan["format"] == 2
    for form in (journal["header"], owed["owed"], plan["request"]):
        assert "edits" in form and "of" not in form and "release" not in form
    assert plan["of"] is None


def spoiled(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(json.dumps(EDITS.form()))
    change(form)
    return form


@pytest.mark.parametrize(
    "change",
    [
        lambda form: form.update(edits=[]),
        lambda form: form.update(edits=7),
        lambda form: form["edits"].append(form["edits"][0]),
        lambda form: form["edits"][0].update(path="elsewhere"),
        lambda form: form["edits"][1].update(path="../gone"),
        lambda form: form["edits"][1].update(path="."),
        lambda form: form["edits"][0]["entry"].update(kind="socket"),
        lambda form: form["edits"][0].pop("entry"),
        lambda form: form.pop("edits"),
        lambda form: form.pop("edits") and form.update(of="1", release=None),
        lambda form: form.pop("edits") and form.update(of=1, release=2),
        lambda form: form.pop("edits") and form.update(of=None, release=None),
    ],
)
def test_malformed_goals_are_refused_in_each_document(
    change: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    form = spoiled(change)
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError, EpmError)):
        goal_from_form(form)
    plan = json.loads(encode_plan(plan_of(EDITS)))
    del plan["request"]["edits"]
    plan["request"] |= form
    plan["of"] = form.get("of")
    with pytest.raises(UsageError):
        decode_plan(json.dumps(plan).encode())
    file = OwedFile(tmp_path / "a.owed")
    document = json.loads(owed_of(EDITS, tmp_path))
    del document["owed"]["edits"], document["sha256"]
    document["owed"] |= form
    sealed = {"sha256": _digest(document), **document}
    file.path.write_bytes(msgspec.json.encode(sealed))
    with pytest.raises(DamagedError):
        file.load()


def _digest(document: dict[str, Any]) -> str:
    from epmstore.checkout import obligations  # noqa: PLC0415 - a part of it that nobody else needs

    return obligations._digest(document)
