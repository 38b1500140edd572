"""log, ls, cat, diff, history, find: looking back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def changed(cli: "Cli", recorded: Path) -> Path:
    """Version 1 is drift, version 2 a labelled change."""
    (recorded / "drift").write_text("found\n")
    cli.ok("run", "-m", "patch", "--", "sh", "-c", f"echo program 2 >{recorded}/bin/crmd")
    return recorded


def test_log_folds_drift(cli: "Cli", changed: Path) -> None:
    lines = cli.ok("log").out.splitlines()
    assert [line.split()[0] for line in (lines[0], lines[2])] == ["2", "0"]
    assert "drift: version 1" in lines[1]
    assert [s["version"] for s in cli.ok("log", "--json").shapes] == [2, 0]
    assert [s["version"] for s in cli.ok("log", "--all", "--json").shapes] == [2, 1, 0]


def test_log_is_limited(cli: "Cli", changed: Path) -> None:
    assert [s["version"] for s in cli.ok("log", "--json", "--all", "-n", "2").shapes] == [2, 1]
    assert cli.ok("log", "-n", "9" * 30, "--all").out.count("\n") == 3
    assert cli.ok("log", "--since", "1h", "--all").out.count("\n") == 3
    assert cli.ok("log", "--since", "2999-01-01").out == ""
    assert cli("log", "--since", "soon").code == 2


def test_log_of_nothing(cli: "Cli", crm: Path) -> None:
    found = cli.ok("log")
    assert found.out == ""
    assert "nothing is recorded yet" in found.err


def test_ls_looks_like_ls(cli: "Cli", recorded: Path) -> None:
    lines = cli.ok("ls", "0").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "drwxr-xr-x",
        "-rw-r--r--",
        "-rw-r--r--",
        "lrwxrwxrwx",
    ]
    assert lines[-1].endswith("current -> bin")
    assert [s["path"] for s in cli.ok("ls", "0:bin", "--json").shapes] == ["bin", "bin/crmd"]


def test_ls_shows_names_that_could_do_harm(cli: "Cli", crm: Path) -> None:
    raw = os.fsencode(crm) + b"/a\n\x1b[31m\xff"
    Path(os.fsdecode(raw)).write_bytes(b"")
    cli.ok("snapshot")
    assert "$'a\\n\\e[31m\\377'" in cli.ok("ls").out
    assert "//a%0A%1B%5B31m%FF" in [s["path"] for s in cli.ok("ls", "--json").shapes]


def test_cat_prints_bytes(cli: "Cli", crm: Path) -> None:
    (crm / "raw").write_bytes(b"\x00\xff\n")
    cli.ok("snapshot")
    assert os.fsencode(cli.ok("cat", "latest:raw").out) == b"\x00\xff\n"


def test_cat_of_an_older_version(
    cli: "Cli", changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.ok("cat", "0:bin/crmd").out == "program 1\n"
    assert cli.ok("cat", "latest:bin/crmd").out == "program 2\n"
    monkeypatch.chdir(changed / "bin")
    assert cli.ok("cat", "0:crmd").out == "program 1\n"
    assert cli.ok("cat", "0:../crm.conf").out == "port = 1\n"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("0:none", 5),
        ("9:bin/crmd", 5),
        ("nope:bin/crmd", 5),
        ("0", 2),
        ("0:.", 2),
        ("0:bin", 2),
        ("0:current", 2),
        ("now:bin/crmd", 2),
        ("0:/etc/passwd", 2),
        ("0:../../x", 2),
        ("@1999-01-01:bin/crmd", 5),
    ],
)
def test_cat_of_what_is_not_there(cli: "Cli", recorded: Path, what: str, code: int) -> None:
    found = cli("cat", what)
    assert (found.code, found.out) == (code, "")


def test_diff_says_what_and_how(cli: "Cli", changed: Path) -> None:
    found = cli.ok("diff", "0..2")
    assert found.out == "M bin/crmd  (content, mtime)\nA drift\n"
    assert cli.ok("diff", "2..0").out.splitlines()[1] == "D drift"
    assert cli.ok("diff", "0..2", "bin").out == "M bin/crmd  (content, mtime)\n"


def test_diff_with_the_live_root(cli: "Cli", changed: Path) -> None:
    assert cli.ok("diff").out == ""
    (changed / "crm.conf").unlink()
    assert cli.ok("diff").out == "D crm.conf\n"
    assert cli("diff", "--exit-code").code == 1
    assert cli("diff", "0..2", "--exit-code").code == 1
    assert cli("diff", "0..0", "--exit-code").code == 0


def test_diff_in_json_ends_with_a_summary(cli: "Cli", changed: Path) -> None:
    *changes, summary = cli.ok("diff", "0..now", "--json").shapes
    assert [c["path"] for c in changes] == ["bin/crmd", "drift"]
    assert changes[0]["old"]["digest"] != changes[0]["new"]["digest"]
    assert changes[1]["old"] is None
    assert summary == {
        "type": "summary",
        "app": "crm",
        "from": 0,
        "to": "now",
        "clean": False,
        "added": 1,
        "modified": 1,
        "removed": 0,
        "skipped": [],
        "unstable": [],
        "unobserved": [],
    }


def test_diff_shows_text_line_by_line(cli: "Cli", changed: Path) -> None:
    out = cli.ok("diff", "0..2", "--content").out
    assert "--- a/bin/crmd\n+++ b/bin/crmd\n@@ -1 +1 @@\n-program 1\n+program 2\n" in out
    assert "--- /dev/null\n+++ b/drift\n" in out
    (changed / "bin" / "crmd").write_text("program 3")
    live = cli.ok("diff", "--content").out
    assert "-program 2\n+program 3\n\\ No newline at end of file\n" in live


def test_diff_of_what_is_no_text(cli: "Cli", changed: Path) -> None:
    (changed / "bin" / "crmd").write_bytes(b"\0\1")
    (changed / "drift").write_bytes(b"x" * (1 << 21))
    out = cli.ok("diff", "--content").out
    assert "binary content differs" in out
    assert "too large" in out


def test_history_of_a_path(cli: "Cli", changed: Path) -> None:
    shapes = cli.ok("history", "bin/crmd", "--json").shapes
    assert [(s["since"], s["until"]) for s in shapes] == [(2, None), (0, 2)]
    lines = cli.ok("history", "bin/crmd").out.splitlines()
    assert [line.split()[0] for line in lines] == ["2..", "0..1"]
    assert cli("history", "none").code == 5


def test_find_paths_and_contents(cli: "Cli", changed: Path) -> None:
    assert "crm.conf" in cli.ok("find", "*.conf").out
    assert cli.ok("find", "*.nothing").out == ""
    digest = cli.ok("ls", "0:bin/crmd", "--json").shapes[0]["digest"]
    [shape] = cli.ok("find", digest, "--json").shapes
    assert (shape["path"], shape["since"], shape["until"]) == ("bin/crmd", 0, 2)


def test_a_time_names_a_version(cli: "Cli", recorded: Path) -> None:
    assert cli.ok("ls", "@2999-01-01").out == cli.ok("ls", "0").out
    assert cli("ls", "@1999-01-01").code == 5
    assert cli("ls", "@nonsense").code == 2


def test_the_root_is_an_entry(cli: "Cli", recorded: Path) -> None:
    recorded.chmod(0o700)
    cli.ok("snapshot")
    (recorded / "crm.conf").write_text("port = 2\n")
    cli.ok("snapshot")
    first, second = (cli.ok("ls", what).out.splitlines()[0] for what in ("0:.", "1:."))
    assert first.startswith("drwxr-xr-x ") and first.endswith(" .")
    assert second.startswith("drwx------ ") and second.endswith(" .")
    assert cli.ok("ls", "0:.").out == cli.ok("ls", f"0:{recorded}").out
    assert cli.ok("ls", "0:.").out.splitlines()[1:] == cli.ok("ls", "0").out.splitlines()
    assert [s["path"] for s in cli.ok("ls", "0:.", "--json").shapes][:2] == [".", "bin"]
    assert [s["path"] for s in cli.ok("ls", "0:bin", "--json").shapes] == ["bin", "bin/crmd"]
    lines = cli.ok("history", ".").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["1..", "drwx------"], ["0", "drwxr-xr-x"]]
    spans = cli.ok("history", ".", "--json").shapes
    assert [(s["path"], s["mode"], s["since"], s["until"]) for s in spans] == [
        (".", "0700", 1, None),
        (".", "0755", 0, 1),
    ]
    assert cli.ok("log", ".").out == cli.ok("log", "--all").out
    assert cli.ok("diff", "0", "2", ".").out == cli.ok("diff", "0", "2").out
    blamed = cli.ok("blame", ".").out
    assert blamed.startswith("version 1, ") and "metadata by " in blamed
    assert "now: as in the newest version" in blamed
    found = cli("cat", "0:.")
    assert found.code == 2 and "the root is a directory" in found.err


def test_every_look_takes_the_root_for_everything_in_it(cli: "Cli", recorded: Path) -> None:
    (recorded / "crm.conf").write_text("port = 2\n")
    (recorded / "bin/crmd").write_bytes(b"program 2\n")
    for words in (["status"], ["diff", "latest", "now"], ["checkout", "0", "--dry-run"]):
        one, two = cli(*words, "."), cli(*words)
        assert (one.code, one.out) == (two.code, two.out)
        assert "crmd" in one.out and "crm.conf" in one.out


def test_a_path_of_an_application_that_has_no_versions_yet(cli: "Cli", crm: Path) -> None:
    for command in ("history", "blame"):
        assert cli(command, ".").code == 5


def test_names_that_are_no_text_are_found_by_their_bytes(cli: "Cli", crm: Path) -> None:
    for raw in (b"bad\xff", b"bad\xfe", b"bad\xc3\xa9", b"bad"):
        (crm / os.fsdecode(raw)).write_bytes(b"")
    cli.ok("snapshot")

    def found(pattern: bytes) -> list[str]:
        return [shape["path"] for shape in cli.ok("find", os.fsdecode(pattern), "--json").shapes]

    assert found(b"bad\xff") == found(b"*\xff") == found(b"?ad\xff") == ["//bad%FF"]
    assert found(b"bad?") == ["bad\u00e9", "//bad%FE", "//bad%FF"]
    assert found(b"bad\xc3\xa9") == ["bad\u00e9"]
    assert found(b"*\xfd") == []


def test_a_path_that_was_never_there_is_not_sought_in_its_history(
    cli: "Cli", recorded: Path
) -> None:
    for words in (("status", "nope"), ("cat", "0:nope"), ("ls", "0:nope"), ("log", "nope")):
        found = cli(*words)
        assert found.code == 5, words
        assert "never had 'nope'" in found.err and "epmstore find" in found.err, words
