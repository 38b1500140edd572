"""What is said of much: a line for what belongs together, everything with -v."""

import msgspec
import pytest

from epmstore.care.damage import Damage
from epmstore.cli.damage import print_damage, ranges
from epmstore.cli.facts import differing, unexpected
from epmstore.cli.output import Output
from epmstore.cli.session import Session
from epmstore.cli.summary import finish
from epmstore.digest import identify
from epmstore.record.result import Result
from epmstore.relpath import RelPath
from epmstore.tree import Entry, changed_fields

LOST = [
    Damage(
        kind="missing",
        file="packs/aa/x.pack",
        digest=f"{n:040x}",
        detail="byte 64 is not what was written",
        versions=(("crm", n % 7), ("crm", 9), ("web", 3)),
    )
    for n in range(1488)
]


def out(*, verbose: bool = False) -> Output:
    return Output(as_json=False, quiet=False, verbose=verbose)


def test_a_byte_that_hits_many_contents_is_one_finding_for_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torn = Damage(kind="torn", file="packs/bb/y.pack", detail="it ends early")
    print_damage(out(), [*LOST, torn])
    assert capsys.readouterr().out.splitlines() == [
        f"missing: packs/aa/x.pack: 1,488 contents, the first {0:040x}: byte 64 is not what was"
        " written (all of them: -v or --json)",
        "    needed by crm 0 to 6, 9",
        "    needed by web 3",
        "torn: packs/bb/y.pack: it ends early",
    ]
    print_damage(out(verbose=True), LOST)
    assert capsys.readouterr().out.count("missing: packs/aa/x.pack, content") == 1488


def test_ranges() -> None:
    assert ranges([]) == "" and ranges([4]) == "4"
    assert ranges([1, 2, 3, 5, 7, 8]) == "1 to 3, 5, 7 to 8"


def test_of_much_that_is_kept_each_reason_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    kept = [(RelPath(f"logs/{n}"), "nobody's") for n in range(12)]
    kept += [(RelPath(f"etc/{n}"), "edited by hand") for n in range(6)]
    finish(Session(), Result(app="x", action="checkout", changed=True, version=1, kept=(*kept,)))
    assert capsys.readouterr().err.splitlines() == [
        "kept:",
        "  nobody's (12): logs/0, logs/1, logs/2, and 9 more",
        "  edited by hand (6): etc/0, etc/1, etc/2, and 3 more",
        "  each path: -v or --json",
    ]


FILE = Entry(
    path=RelPath("f"), kind="file", mode=0o644, uid=0, gid=0, user="root", content=identify(b"x")
)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mode": 0o4755}, "mode 0644 -> 4755"),
        ({"uid": 7, "user": "crm"}, "owner root:0 -> crm:0"),
        ({"uid": 7}, "owner 0:0 -> 7:0"),
        ({"mtime_ns": 1}, "mtime none -> "),
        ({"xattrs": (("user.a", b"1"),)}, "xattrs none -> user.a"),
        ({"same_as": RelPath("g")}, "link a file of its own -> a link to g"),
        ({"sparse": True}, "link not sparse -> sparse"),
        ({"content": identify(b"y")}, "content"),
    ],
)
def test_facts_are_shown_as_they_were_and_are(change: dict[str, object], text: str) -> None:
    new = msgspec.structs.replace(FILE, **change)
    [shown] = differing(FILE, new, changed_fields(FILE, new))
    assert shown.startswith(text)
    [shown] = unexpected(new, FILE, changed_fields(FILE, new))
    assert shown == text if text == "content" else ", not " in shown


def test_the_time_of_new_bytes_is_no_news() -> None:
    new = msgspec.structs.replace(FILE, content=identify(b"y"), mtime_ns=1)
    assert differing(FILE, new, changed_fields(FILE, new)) == ["content", "mtime"]
