"""The line after every change: it says what is true, and no more."""

import pytest

from epmstore.cli.result_line import closing_line, counts
from epmstore.cli.session import Session
from epmstore.cli.summary import finish
from epmstore.record.result import Result
from epmstore.relpath import RelPath
from epmstore.scan.problem import Problem


def line(with_app: bool = False, **facts: object) -> str:
    known = {"app": "crm", "action": "checkout", "changed": True, **facts}
    return closing_line(Result(**known), with_app=with_app)  # type: ignore[arg-type]


def test_a_checkout() -> None:
    kept = tuple((RelPath(f"k{n}"), "why") for n in range(3))
    found = line(
        from_=131, version=132, of=117, modified=14, removed=2, kept=kept, verified=True,
        undo="epmstore undo --app crm",
    )  # fmt: skip
    assert found == (
        "crm: version 131 -> 132 (content of 117), 14 files replaced, 2 removed, 3 kept,"
        " verified; undo: epmstore undo"
    )


def test_the_undo_names_the_app_where_the_command_had_to() -> None:
    found = line(with_app=True, from_=1, version=2, of=0, undo="epmstore undo --app crm")
    assert found.endswith("; undo: epmstore undo --app crm")


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"version": 0, "label": "as delivered", "added": 4},
         "version 0 'as delivered', 4 files added"),
        ({"from_": 0, "version": 1, "modified": 1}, "version 0 -> 1, 1 file modified"),
        ({"from_": 3, "version": 3, "changed": False}, "nothing has changed since version 3"),
        ({"from_": 3, "version": 3, "label": "x"},
         "nothing has changed, version 3 is labelled 'x', too"),
    ],
)  # fmt: skip
def test_a_snapshot(facts: dict[str, object], text: str) -> None:
    assert line(with_app=False, action="snapshot", **facts) == f"crm: {text}"


def test_nothing_to_do() -> None:
    assert line(changed=False, from_=1, version=1, of=1) == (
        "crm: nothing to do for the content of version 1"
    )
    assert line(changed=False) == "crm: nothing to do"


def test_counts_say_the_noun_once() -> None:
    assert counts((1200, 0, "added"), (0, 0, "modified"), (1, 0, "removed")) == [
        "1,200 files added",
        "1 removed",
    ]


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, 0),
        ({"skipped": (Problem(RelPath("s"), "special", "a socket"),)}, 0),
        ({"unobserved": (Problem(RelPath("m"), "mount", "another file system"),)}, 0),
        ({"unobserved": (Problem(RelPath("u"), "unreadable", "no permission"),)}, 3),
        ({"unstable": (RelPath("u"),)}, 3),
        ({"not_restored": ("u: owner",)}, 3),
    ],
)
def test_partial_results_exit_with_3_and_are_named(
    facts: dict[str, object], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"app": "crm", "action": "snapshot", "changed": True, "version": 1, **facts}
    assert finish(Session(), Result(**known)) == code  # type: ignore[arg-type]
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert ("warning:" in err) == (code == 3)


def test_kept_files_are_named_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    kept = ((RelPath("a\nb"), "edited"), (RelPath("c"), "not ours"))
    finish(Session(), Result(app="crm", action="checkout", changed=True, version=1, kept=kept))
    assert capsys.readouterr().err == "kept:\n  $'a\\nb' (edited)\n  c (not ours)\n"


def test_folders_are_counted_apart() -> None:
    assert counts((12, 2, "added"), (3, 3, "modified"), (4, 1, "removed")) == [
        "10 files and 2 folders added",
        "3 folders modified",
        "3 and 1 folder removed",
    ]
    assert counts((18, None, "kept")) == ["18 paths kept"]
