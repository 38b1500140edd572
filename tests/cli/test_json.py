"""docs/json.md against what is printed: every key, no other, and none of another kind."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"
VALUE = r'"(\w+)":(\[[^\]]*\]\??|\{[^}]*\}\??|[^,\s]+)'
PLAIN = {"s": str, "i": int, "b": bool}


def documented() -> dict[str, dict[str, str]]:
    """Shapes by name: their keys, and the kind that each value is said to have."""
    shapes: dict[str, dict[str, str]] = {}
    for block in re.findall(r"```shape\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        for name, body in re.findall(r"^(\w+) +\{(.*?)\}$", block, re.DOTALL | re.MULTILINE):
            shapes[name] = {}
            if re.search(r"(^|, )Entry,", body):
                shapes[name] |= shapes["Entry"]
            shapes[name] |= dict(re.findall(VALUE, body))
    return shapes


def check(shape: dict[str, Any], name: str | None = None) -> None:
    wanted = documented()[name or shape["type"]]
    assert set(shape) == set(wanted), name or shape["type"]
    for key, kind in wanted.items():
        value = shape[key]
        if value is None:
            assert kind.endswith("?") or kind == "null", f"{name}: {key} is null"
        elif kind.rstrip("?") in PLAIN:
            assert type(value) is PLAIN[kind.rstrip("?")], f"{name}: {key} is {value!r}"


def test_the_page_is_read() -> None:
    shapes = documented()
    assert {"Entry", "version", "status", "change", "summary", "result", "error"} <= set(shapes)
    assert shapes["span"]["path"] == "s"
    assert shapes["version"]["restorable"] == "b"


def test_shapes_of_looking(cli: "Cli", recorded: Path) -> None:
    (recorded / "bin" / "crmd").write_bytes(b"program 2\n")
    cli.ok("snapshot")
    (recorded / "new").write_bytes(b"")
    for shape in cli.ok("log", "--all", "--json").shapes:
        check(shape)
    for shape in cli.ok("ls", "--json").shapes:
        check(shape, "entry")
    for shape in cli.ok("history", "bin/crmd", "--json").shapes:
        check(shape)
    check(cli("status", "--json").shapes[0])
    *changes, summary = cli.ok("diff", "0", "--json").shapes
    assert len(changes) == 2
    check({**summary, "to": "now"})
    for change in changes:
        check(change)
        for side in (change["old"], change["new"]):
            if side is not None:
                check(side, "Entry")


def test_shapes_of_doing(cli: "Cli", crm: Path) -> None:
    os.mkfifo(crm / "queue")
    [result] = cli.ok("snapshot", "--json").shapes
    check(result)
    check(result["skipped"][0], "Problem")
    check(cli.ok("run", "--json", "--", "true").shapes[0])
    check(cli.ok("pin", "0", "--json").shapes[0])
    check(cli.ok("tag", "golden", "--json").shapes[0])
    check(cli.ok("tag", "-d", "golden", "--json").shapes[0])


def test_shapes_of_plans_and_exports(cli: "Cli", recorded: Path) -> None:
    (recorded / "crm.conf").write_text("edited\n")
    [plan] = cli.ok("plan", "0", "--json").shapes
    check(plan)
    [step] = plan["steps"]
    assert {"op", "path", "old", "new"} <= set(step)
    check(step["new"], "Entry")
    check(cli.ok("checkout", "0", "--dry-run", "--json").shapes[0])
    check(cli.ok("checkout", "0", "--target", "copy", "--json").shapes[0])
    check(cli.ok("checkout", "0", "--json").shapes[0])


def test_shapes_of_contents_and_the_store(cli: "Cli", recorded: Path) -> None:
    file = str(recorded / "bin" / "crmd")
    [blob] = cli.ok("blob", "put", file, "--json").shapes
    check(blob)
    check(cli.ok("blob", "compare", blob["digest"], file, "--json").shapes[0])
    check(cli.ok("stats", "--json").shapes[0])
    check(cli.ok("forget", "--json").shapes[0])
    check(cli.ok("unforget", "0", "--json").shapes[0])
    check(cli.ok("gc", "--json").shapes[0])
    check(cli.ok("store", "copy", "copy", "--json").shapes[0])
    check(cli("doctor", "--json").shapes[0])
    check(cli.ok("rebuild", "--json").shapes[0])
    for path in (cli.store / "packs").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    finding, *_, summary = cli("fsck", "--json").shapes
    check(finding)
    assert {"clean", "findings", "left", "frames", "notes"} <= set(summary)


def test_shapes_of_setting_up(cli: "Cli", crm: Path) -> None:
    [made] = cli.ok("init", "--store", "other", "--json").shapes
    assert made.pop("created") is True
    check(made)
    check(cli.ok("app", "list", "--json").shapes[0])
    for shape in cli.ok("config", "show", "--json").shapes:
        check(shape)


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (["cat", "9:x"], "version_not_found"),
        (["cat", "0:x"], "path_not_found"),
        (["log", "--app", "x"], "app_not_found"),
        (["log", "--frob"], "usage"),
        (["init"], "conflict"),
        (["init", "--store", "/proc/x/y"], "not_found"),
    ],
)
def test_shapes_of_errors(cli: "Cli", recorded: Path, args: list[str], name: str) -> None:
    found = cli(*args, "--json")
    assert found.out == ""
    check(found.error)
    assert (found.error["error"], found.error["exit_code"]) == (name, found.code)
