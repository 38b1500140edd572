"""Real processes: broken pipes, full disks, Ctrl-C, bytes in arguments."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

PROGRAM = [sys.executable, "-m", "epmstore"]


def test_a_reader_that_goes_away_is_no_error(cli: "Cli", recorded: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([*PROGRAM, "ls", "0"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (run.returncode, run.stderr) == (141, b"")


def test_output_that_cannot_be_written_is_4(cli: "Cli", recorded: Path) -> None:
    with open("/dev/full", "wb") as full:
        run = subprocess.run([*PROGRAM, "log"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert run.returncode == 4
    assert b"No space left on device" in run.stderr
    assert b"Traceback" not in run.stderr and b"Exception" not in run.stderr


def interrupted(process: subprocess.Popen[bytes]) -> bytes:
    """What it says to Ctrl-C, which a user presses again where nothing comes of it: a signal that
    comes just before a system call begins to wait is noticed by Python only when that returns.
    """
    while True:
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=5)[1]
        except subprocess.TimeoutExpired:
            continue


def test_ctrl_c_is_130_and_one_line(cli: "Cli", recorded: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "plan"
    os.mkfifo(fifo)
    process = subprocess.Popen([*PROGRAM, "apply", str(fifo)], stderr=subprocess.PIPE)
    with fifo.open("wb"):  # opens once the program waits for the file
        err = interrupted(process)
    assert process.returncode == 130
    assert err.decode().splitlines()[0] == "epmstore: interrupted"
    assert b"Traceback" not in err


def test_ctrl_c_during_run_is_the_commands_and_what_it_did_is_recorded(
    cli: "Cli", recorded: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"touch {recorded}/half; read line <{fifo}"
    process = subprocess.Popen(
        [*PROGRAM, "run", "-m", "patch", "--", "sh", "-c", script],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with fifo.open("wb"):  # opens once the command waits for a line
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    newest = cli.ok("log", "--json").shapes[0]
    assert (newest["label"], newest["added"], newest["exit_status"]) == ("patch", 1, 130)


@pytest.mark.parametrize("words", ["status", "--version"])
def test_closed_standard_streams_do_no_harm(cli: "Cli", recorded: Path, words: str) -> None:
    script = "exec >&- 2>&-; " + " ".join([*PROGRAM, words])
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0


def test_names_that_are_no_text_can_be_asked_for(cli: "Cli", crm: Path) -> None:
    raw = os.fsencode(crm) + b"/\xff\xfe"
    Path(os.fsdecode(raw)).write_bytes(b"here\n")
    cli.ok("snapshot")
    run = subprocess.run(
        [*map(os.fsencode, PROGRAM), b"cat", b"latest:\xff\xfe"], capture_output=True, check=True
    )
    assert run.stdout == b"here\n"
    run = subprocess.run(
        [*map(os.fsencode, PROGRAM), b"cat", b"latest:\xfd"], capture_output=True, check=False
    )
    assert run.returncode == 5
    run.stderr.decode("utf-8")


def test_an_ascii_terminal_gets_ascii(cli: "Cli", crm: Path) -> None:
    (crm / "größe").write_bytes(b"")
    cli.ok("snapshot")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.run([*PROGRAM, "ls"], capture_output=True, env=environment, check=True)
    assert run.stdout.isascii()


@pytest.mark.parametrize("variable", ["NO_COLOR", None])
def test_a_pipe_is_never_coloured(cli: "Cli", recorded: Path, variable: str | None) -> None:
    environment = {**os.environ, **({variable: "1"} if variable else {})}
    (recorded / "new").write_bytes(b"")
    run = subprocess.run([*PROGRAM, "status"], capture_output=True, env=environment, check=False)
    assert b"\x1b" not in run.stdout
