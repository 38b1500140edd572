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
