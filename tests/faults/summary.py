"""The table of docs/reliability.md, out of what campaigns wrote:

    python -m tests.faults.summary docs/reliability.md kills.jsonl fails.jsonl ...

Between the two marks of the page; what else is on it stays.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- points: begin -->", "<!-- points: end -->"
NAMES = {
    "kill": "killed before a call",
    "lose": "killed, and data that was not synced lost",
    "again": "and the recovery killed, too",
    "tear": "half a write, then killed or failed",
    "drop": "a sync fails and forgets",
    "fail": "a call fails, once or from then on",
}


def read(paths: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def how(point: dict[str, Any]) -> str:
    return "again" if point["recovery"] else str(point["how"])


def table(points: list[dict[str, Any]]) -> list[str]:
    """One row for each way to go wrong, and one for all."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for point in points:
        groups[how(point)].append(point)
    lines = [
        "| what goes wrong | points | tasks | calls of kind | left by the kill | seeds | wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [row(NAMES[name], groups[name]) for name in NAMES if name in groups]
    return [*lines, row("all", points)]


def row(name: str, points: list[dict[str, Any]]) -> str:
    states = Counter(point["journal"] for point in points if point["journal"] != "none")
    shown = ", ".join(f"{state} {count}" for state, count in sorted(states.items())) or "-"
    cells = [
        name,
        f"{len(points):,}",
        str(len({point["scenario"] for point in points})),
        str(len({point["call"] for point in points} - {"none"})),
        shown,
        ", ".join(map(str, sorted({point["seed"] for point in points}))),
        str(sum(point["verdict"] != "ok" for point in points)),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    page = Path(sys.argv[1])
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    found = "\n".join(table(read([Path(name) for name in sys.argv[2:]])))
    page.write_text(f"{before}{BEGIN}\n{found}\n{END}{after}")


if __name__ == "__main__":
    main()
