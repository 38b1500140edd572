"""Every way to end badly: the exit code, one line, a hint, and no traceback."""

import errno
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from epmstore.cli import program
from epmstore.cli.failure import EXIT_CODES, report, translate
from epmstore.cli.main import main
from epmstore.cli.session import Session
from epmstore.errors import BusyError, EpmError, VersionNotFoundError
from tests.kit.program import PROGRAM

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def every_error(kind: type[EpmError] = EpmError) -> list[type[EpmError]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in every_error(sub))]


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (VersionNotFoundError("x"), 5, "version_not_found"),
        (BusyError("x"), 11, "busy"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (click.UsageError("No such thing."), 2, "usage"),
        (click.BadParameter("no"), 2, "usage"),
        (OSError(errno.ENOSPC, "No space left on device", "/s"), 4, "disk_full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), 4, "disk_full"),
        (PermissionError(errno.EACCES, "Permission denied", "/s"), 4, "failed"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "f"), 5, "not_found"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "f/g"), 5, "not_found"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), 4, "failed"),
        (OSError(errno.EROFS, "Read-only file system"), 4, "failed"),
        (ValueError("boom"), 4, "unexpected"),
        (ImportError("no module"), 4, "unexpected"),
        (RecursionError(), 4, "unexpected"),
        (MemoryError(), 4, "unexpected"),
    ],
)
def test_every_end_has_its_code(error: BaseException, code: int, name: str) -> None:
    found = translate(error)
    assert (found.exit_code, found.code) == (code, name)
    assert found.message


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_limits_of_the_process_are_no_fault_of_ours(error: BaseException) -> None:
    found = translate(error)
    assert (found.exit_code, "ulimit" in (found.hint or "")) == (4, True)


def test_no_error_is_a_difference() -> None:
    codes = {kind.exit_code for kind in every_error()}
    assert 1 not in codes and 0 not in codes
    assert codes <= set(EXIT_CODES)


def test_an_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    code = report(VersionNotFoundError("no version 9", hint="log"), as_json=False, app=None)
    out, err = capsys.readouterr()
    assert (code, out) == (5, "")
    assert err == "epmstore: no version 9\n  hint: log\n"
    report(VersionNotFoundError("held: a\nb", hint="log c\nd"), as_json=False, app=None)
    assert capsys.readouterr().err == "epmstore: held: a\\nb\n  hint: log c\\nd\n"


def test_an_error_in_json_has_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    error = BusyError("busy \udcff", lock=Path("/l"), name="\udcfe")
    report(error, as_json=True, app="crm")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {
        "type": "error",
        "app": "crm",
        "error": "busy",
        "exit_code": 11,
        "message": "busy \\xff",
        "hint": None,
        "data": {"lock": "/l", "name": "\\xfe"},
    }


def test_an_error_in_json_is_unicode_whatever_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    report(BusyError("busy"), as_json=True, app="\udcff")
    assert json.loads(capsys.readouterr().err)["app"] == "\\xff"


def test_an_error_sends_nothing_to_the_terminal_but_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(EpmError("\x1b]0;x\x07 \udcff"), as_json=False, app=None)
    err = capsys.readouterr().err
    assert err.strip().isprintable()


def test_a_traceback_is_shown_only_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: list[str], session: Session) -> int:
        raise ValueError("boom")

    monkeypatch.setattr(program, "_execute", fail)
    assert main(["status"]) == 4
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("EPMSTORE_DEBUG", "1")
    assert main(["status"]) == 4
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["checkout", "-1"],
        ["log", "-n", "0"],
        ["log", "-n", "x"],
        ["log", "--frob"],
        ["lgo"],
        ["app"],
        [],
        ["cat"],
        ["app", "frob"],
        ["--frob"],
        ["snapshot", "-m", ""],
        ["snapshot", "-m", "\udcff"],
        ["fsck", "--read-data=200%"],
        ["store", "adopt"],
        ["completion", "tcsh"],
        ["config", "show", "--store", ""],
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_bad_usage_is_2_and_prints_nothing_on_stdout(
    args: list[str], form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*form, *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    if form:
        assert json.loads(err)["exit_code"] == 2


def test_a_negative_version_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkout", "-1"]) == 2
    assert "latest~1" in capsys.readouterr().err


def test_a_mistyped_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["snapshto"])
    assert "'snapshot'" in capsys.readouterr().err
    main(["add", "crm", "/opt/crm"])
    assert "'app add'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EPMSTORE_DEBUG", "maybe"),
        ("EPMSTORE_STORE", ""),
    ],
)
def test_junk_in_the_environment_is_an_error(
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["config", "show"]) == 2
    assert variable in capsys.readouterr().err


def test_no_store_is_10(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "--store", str(tmp_path / "none")]) == 10
    assert "epmstore init" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["init --store rel", "app add q rel", "store copy rel"])
def test_a_working_directory_that_is_gone_is_said(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EPMSTORE_STORE", str(tmp_path / "store"))
    assert main(["init"]) == 0
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["-q", "fsck"]) == 0
    assert main(words.split()) == 2
    assert "working directory is not there any more" in capsys.readouterr().err


@pytest.mark.root
def test_without_proc_no_path_is_said_to_have_vanished(cli: "Cli", recorded: Path) -> None:
    """As in a chroot where it was not mounted."""
    assert any(recorded.iterdir())
    without = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if subprocess.run([*without, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs to mount something at /proc")
    for words, code in ((["status"], 4), (["snapshot"], 4), (["checkout", "0"], 4), (["log"], 0)):
        found = subprocess.run([*without, PROGRAM, *words], capture_output=True, check=False)
        assert found.returncode == code, found
        assert code == 0 or b"sees no /proc" in found.stderr
    found = subprocess.run([*without, PROGRAM, "doctor"], capture_output=True, check=False)
    assert b"FAIL  proc" in found.stdout
