"""The tables of docs/reliability.md, out of what campaigns wrote:

    python -m tests.faults.summary docs/reliability.md campaigns/*.jsonl

Between two marks for each kind of campaign; what else is on the page stays, and so does a table of
which there are no lines. Of two lines of one point the later one counts.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Line: TypeAlias = dict[str, Any]
NAMES = {
    "kill": "killed before a call",
    "lose": "killed, and data that was not synced lost",
    "again": "and the recovery killed, too, up to four times",
    "tear": "half a write, then killed or failed",
    "drop": "a sync fails and forgets",
    "fail": "a call fails, once or from then on",
    "sql-kill": "killed before a call of SQLite's own",
    "sql-again": "and the recovery killed in the same way, up to four times",
    "sql-tear": "half a write of SQLite's, then killed",
    "sql-fail": "a call of SQLite's own fails, once or from then on",
}
ROOMS = {
    "bytes": "64 KiB more each time, from none until it succeeds",
    "inodes": "4 inodes more each time",
    "read-only": "read-only",
}


KINDS = {
    "flip": "a bit",
    "cut": "cut off",
    "zero": "a block of zeros",
    "swap": "two blocks swapped",
    "delete": "no file",
}


def read(paths: Sequence[Path]) -> list[Line]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def is_point(line: Line) -> bool:
    return "how" in line


def is_cut(line: Line) -> bool:
    return "life" in line and not is_pull(line)


def is_pull(line: Line) -> bool:
    """The plug of a whole machine (tests.machine.plug)."""
    return "clock" in line


def is_state(line: Line) -> bool:
    return "flush" in line


def is_room(line: Line) -> bool:
    return "room" in line


def is_crash(line: Line) -> bool:
    return "loose" in line


def is_damage(line: Line) -> bool:
    return "level" in line and line["verdict"] != "nothing changed"


POINT = ("scenario", "how", "at", "error", "sticky", "recovery", "seed")
CRASH = ("scenario", "at", "number", "seed")
PULL = ("kind", "seed", "life", "point")
DAMAGE = ("level", "file", "kind", "at", "more")


def latest(lines: Sequence[Line], names: Sequence[str] = POINT) -> list[Line]:
    return [*{tuple(line[name] for name in names): line for line in lines}.values()]


def how(point: Line) -> str:
    named = str(point["how"])
    return named.replace("kill", "again") if point["recovery"] else named


def kills(point: Line) -> int:
    return int(point.get("kills", point["ended"] == "killed"))


def grouped(lines: Sequence[Line], key: Callable[[Line], object]) -> dict[Any, list[Line]]:
    groups: dict[Any, list[Line]] = defaultdict(list)
    for line in lines:
        groups[key(line)].append(line)
    return groups


def points_table(lines: Sequence[Line]) -> list[str]:
    """One row for each way to go wrong, and one for all."""
    points = latest(lines)
    groups = grouped(points, how)
    head = "| what goes wrong | points | kills | in recovery | tasks | calls of kind "
    return [
        head + "| left by the kill | seeds | wrong |",
        "|---|---|---|---|---|---|---|---|---|",
        *(points_row(NAMES[name], groups[name]) for name in NAMES if name in groups),
        points_row("all", points),
    ]


def points_row(name: str, points: Sequence[Line]) -> str:
    states = Counter(point["journal"] for point in points if point["journal"] != "none")
    return cells(
        name,
        len(points),
        sum(map(kills, points)),
        sum(max(0, kills(point) - 1) for point in points),
        len({point["scenario"] for point in points}),
        len({point["call"] for point in points} - {"none"}),
        ", ".join(f"{state} {count}" for state, count in sorted(states.items())) or "-",
        listed(points, "seed"),
        wrong(points),
    )


def layout(cut: Line) -> str:
    name = "apart" if cut["split"] else "together"
    return f"{name}, real sizes" if cut.get("real") else name


def cuts_table(lines: Sequence[Line]) -> list[str]:
    """One row for each file system and layout."""
    groups = grouped(lines, lambda x: (x["kind"], layout(x)))
    rows = [
        cells(
            *group,
            sum(x["cuts"] for x in found),
            sum(x["call"] not in ("anywhere", "after", "") for x in found),
            sum(x["call"] == "anywhere" for x in found),
            sum(x["cuts"] > 1 for x in found),
            len({x["task"] for x in found}),
            max(x["life"] for x in found),
            listed(found, "seed"),
            wrong(found),
        )
        for group, found in sorted(groups.items())
    ]
    head = "| file system | store and root | cuts | at a call | at a random moment "
    head += "| of a recovery | tasks | lives | seeds | wrong |"
    return [head, "|---|---|---|---|---|---|---|---|---|---|", *rows]


def states_table(lines: Sequence[Line]) -> list[str]:
    """One row for each file system."""
    rows = [
        cells(
            kind,
            len(found),
            len({(x["scenario"], x["flush"], x["seed"]) for x in found}),
            sum(0 < x["kept"] < x["under_way"] for x in found),
            sum(x["acknowledged"] for x in found),
            len({x["scenario"] for x in found}),
            listed(found, "seed"),
            wrong(found),
        )
        for kind, found in sorted(grouped(lines, lambda x: x["kind"]).items())
    ]
    head = (
        "| file system | states | flushes | with some of what was under way | acknowledged before "
    )
    return [head + "| tasks | seeds | wrong |", "|---|---|---|---|---|---|---|---|", *rows]


def rooms_table(lines: Sequence[Line]) -> list[str]:
    """One row for each thing that there was too little of."""
    groups = grouped(lines, lambda x: x["what"])
    rows = [
        cells(
            ROOMS[what],
            len(groups[what]),
            sum(x["ended"] != "done" for x in groups[what]),
            len({x["scenario"] for x in groups[what]}),
            wrong(groups[what]),
        )
        for what in ROOMS
        if what in groups
    ]
    head = "| room | steps | failed and said so | tasks | wrong |"
    return [head, "|---|---|---|---|---|", *rows]


def crashes_table(lines: Sequence[Line]) -> list[str]:
    """One row for each state in which the journal of a checkout was, and one for all."""
    states = latest(lines, CRASH)
    groups = grouped(states, lambda x: x["journal"])
    return [
        "| the journal | states | with loose ends | tasks | calls of kind | seeds | wrong |",
        "|---|---|---|---|---|---|---|",
        *(crashes_row(journal, found) for journal, found in sorted(groups.items())),
        crashes_row("all", states),
    ]


def crashes_row(name: str, states: Sequence[Line]) -> str:
    return cells(
        name,
        len(states),
        sum(state["loose"] > 0 for state in states),
        len({state["scenario"] for state in states}),
        len({state["call"] for state in states} - {"none"}),
        listed(states, "seed"),
        wrong(states),
    )


def damages_table(lines: Sequence[Line]) -> list[str]:
    """One row for each kind of damage, and who was to find it."""
    groups = grouped(latest(lines, DAMAGE), lambda x: (x["level"], x["kind"]))
    rows = [
        cells(level, KINDS[kind], len(found), len({x["file"] for x in found}), wrong(found))
        for (level, kind), found in sorted(groups.items())
    ]
    return ["| level | damage | tried | files | wrong |", "|---|---|---|---|---|", *rows]


def pulls_table(lines: Sequence[Line]) -> list[str]:
    """One row for each file system and task."""
    groups = grouped(latest(lines, PULL), lambda line: (line["kind"], line["task"]))
    rows = [(f"{kind}, {task}", groups[kind, task]) for kind, task in sorted(groups)]
    head = "| file system, task | points | cuts | of them while it started again | in the middle "
    return [
        f"{head}| the clock at 2000 | blocks lost | wrong |",
        "|---|---|---|---|---|---|---|---|",
        *(pulls_row(name, points) for name, points in rows),
        pulls_row("all", [point for _, points in rows for point in points]),
    ]


def pulls_row(name: str, points: Sequence[Line]) -> str:
    return cells(
        name,
        len(points),
        sum(point["cuts"] for point in points),
        sum(len(point["again"]) for point in points),
        sum(not point["done"] for point in points),
        sum(point["clock"] is not None for point in points),
        sum(lost for point in points for _, lost in point["lost"]),
        wrong(points),
    )


def overview_table(lines: Sequence[Line]) -> list[str]:
    """What was asked for, and what was reached: a row for each group that writes lines."""
    points = latest([line for line in lines if is_point(line)])
    killed = [point for point in points if kills(point)]
    again = [point for point in killed if point["recovery"]]
    errors = [point for point in points if point["error"]] + [x for x in lines if is_room(x)]
    crashes = latest([line for line in lines if is_crash(line)], CRASH)
    damages = latest([line for line in lines if is_damage(line)], DAMAGE)
    states = [line for line in lines if is_state(line)]
    cuts = grouped([line for line in lines if is_cut(line)], lambda x: x["kind"])
    rows = [
        ("T1 kills", 10_000, sum(map(kills, killed)), killed, "points"),
        ("T1 of them in recovery", 2_000, sum(map(kills, again)) - len(again), again, "points"),
        *(
            (f"T2 power cuts, {kind}", 3_000, sum(x["cuts"] for x in found), found, "campaign")
            for kind, found in sorted(cuts.items())
        ),
        ("T3 states of a disk", 5_000, len(states), states, "replay"),
        ("T4 states of the model", 20_000, len(crashes), crashes, "crashes"),
        ("T5 errors, and steps of a full disk", 6_000, len(errors), errors, "points`, `full"),
        ("T7 damages", 50_000, len(damages), damages, "bitrot"),
    ]
    return [
        "| what | asked for | reached | wrong | `python -m tests.faults.` |",
        "|---|---|---|---|---|",
        *(cells(*row[:3], wrong(row[3]), f"`{row[4]}`") for row in rows),
    ]


def wrong(lines: Sequence[Line]) -> int:
    return sum(line["verdict"] != "ok" for line in lines)


def listed(lines: Sequence[Line], name: str) -> str:
    return ", ".join(map(str, sorted({line[name] for line in lines if name in line})))


def cells(*values: object) -> str:
    shown = [f"{value:,}" if isinstance(value, int) else str(value) for value in values]
    return f"| {' | '.join(shown)} |"


TABLES: dict[str, tuple[Callable[[Line], bool], Callable[[Sequence[Line]], list[str]]]] = {
    "points": (is_point, points_table),
    "cuts": (is_cut, cuts_table),
    "states": (is_state, states_table),
    "rooms": (is_room, rooms_table),
    "crashes": (is_crash, crashes_table),
    "damages": (is_damage, damages_table),
    "pulls": (is_pull, pulls_table),
    "overview": (lambda line: not is_pull(line), overview_table),
}


def renewed(page: str, lines: Sequence[Line]) -> str:
    """The page with its tables made anew."""
    for name, (is_one, table) in TABLES.items():
        own = [line for line in lines if is_one(line)]
        if own:
            begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
            before, rest = page.split(begin)
            after = rest.split(end)[1]
            commits = listed(own, "code")
            tried = ["", f"Commits tried: {commits}."] if commits and name != "overview" else []
            text = "\n".join([*table(own), *tried])
            page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def main() -> None:
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(), read([Path(name) for name in sys.argv[2:]])))


if __name__ == "__main__":
    main()
