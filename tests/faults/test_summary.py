"""Tables are made of lines: a point that was tried again counts once, as it went last."""

from typing import Any

from tests.faults.summary import TABLES, renewed

MARKS = "\n".join(f"<!-- {name}: begin -->\nold {name}\n<!-- {name}: end -->" for name in TABLES)
POINT: dict[str, Any] = {
    "scenario": "snapshot",
    "how": "kill",
    "at": 3,
    "error": "",
    "sticky": False,
    "recovery": 2,
    "call": "write",
    "journal": "STAGED",
    "kills": 3,
    "ended": "killed",
    "seed": 1,
    "code": "abc",
}


def test_a_point_counts_as_it_went_last() -> None:
    page = renewed(MARKS, [{**POINT, "verdict": ["wrong"]}, {**POINT, "verdict": "ok"}])
    assert "| all | 1 | 3 | 2 | 1 | 1 | STAGED 1 | 1 | 0 |" in page
    assert "Commits tried: abc." in page
    assert "old points" not in page


def test_a_table_without_lines_stays() -> None:
    page = renewed(MARKS, [{**POINT, "verdict": ["wrong"]}])
    assert "| all | 1 | 3 | 2 | 1 | 1 | STAGED 1 | 1 | 1 |" in page
    assert "old cuts" in page


def test_the_overview_counts_kills_and_errors() -> None:
    failed = {**POINT, "how": "fail", "recovery": 0, "kills": 0, "error": "EIO", "ended": "OSError"}
    page = renewed(MARKS, [{**POINT, "verdict": "ok"}, {**failed, "verdict": ["wrong"]}])
    assert "| T1 kills | 10,000 | 3 | 0 | `points` |" in page
    assert "| T1 of them in recovery | 2,000 | 2 | 0 | `points` |" in page
    assert "| T5 errors, and steps of a full disk | 6,000 | 1 | 1 | `points`, `full` |" in page


def test_damages_that_changed_nothing_do_not_count() -> None:
    damage = {"level": "read", "file": "FORMAT", "kind": "cut", "at": 1, "more": 0}
    lines = [{**damage, "verdict": "ok"}, {**damage, "at": 2, "verdict": "nothing changed"}]
    assert "| read | cut off | 1 | 1 | 0 |" in renewed(MARKS, lines)


def test_pulled_plugs_are_no_power_cuts_of_file_systems() -> None:
    pull = {"kind": "ext4", "seed": 1, "life": 1, "point": 0, "task": "upgrade", "cuts": 2}
    pull |= {"again": [3.5], "done": False, "clock": None, "lost": [[9, 4], [1, 0]]}
    page = renewed(MARKS, [{**pull, "verdict": "ok"}])
    assert "| ext4, upgrade | 1 | 2 | 1 | 1 | 0 | 4 | 0 |" in page
    assert "old cuts" in page
    assert "old overview" in page
