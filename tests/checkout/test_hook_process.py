"""Real commands: their output, their end, their surroundings."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.hooks import check_command, parse_command, show_command
from epmstore.checkout import hook_process
from epmstore.checkout.hook_process import KEPT_OUTPUT, Commands
from epmstore.errors import UsageError

COMMANDS = Commands()
PLENTY = 60.0


def shell(script: str, limit: float = PLENTY, **environment: str) -> hook_process.Ran:
    return COMMANDS.run(("sh", "-c", script), environment, limit)


def test_status_and_output_come_back() -> None:
    ran = shell("echo out; echo err >&2; exit 3")
    assert (ran.status, ran.output, ran.held) == (3, b"out\nerr\n", False)


def test_of_much_output_the_end_is_kept() -> None:
    ran = shell("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); done")
    assert ran.status == 0
    assert len(ran.output) == KEPT_OUTPUT
    assert ran.output.endswith(b"line 2999\n")


def test_a_signal_is_told_as_a_shell_does() -> None:
    assert shell("kill -TERM $$").status == 128 + signal.SIGTERM


def test_nothing_of_the_caller_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_LIKE", "evil")
    monkeypatch.setenv("PATH", "/nowhere")
    ran = shell("pwd; env; cat", EPMSTORE_APP="crm")
    lines = ran.output.decode().splitlines()
    names = {line.partition("=")[0] for line in lines[1:]}
    assert lines[0] == "/"
    assert "EPMSTORE_APP=crm" in lines and f"PATH={hook_process.PATH}" in lines
    assert names <= {
        "PATH", "LANG", "HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "EPMSTORE_APP", "PWD",
        "OLDPWD", "SHLVL", "_",
    }  # fmt: skip


def test_who_takes_too_long_is_gone_with_all_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! > {pids}; echo $$ >> {pids}; echo begun; wait"
    ran = shell(script, 0.5)
    assert ran.status is None and ran.output == b"begun\n"
    for pid in pids.read_text().split():
        assert not Path("/proc", pid, "root").exists() or _is_dead(int(pid))


def test_who_does_not_want_to_end_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_process, "GRACE", 0.1)
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('no', flush=True)\n"
    ran = COMMANDS.run((sys.executable, "-c", script + "time.sleep(1000)"), {}, 1.0)
    assert ran.status is None


def test_a_process_that_is_left_behind_is_left_alone_and_told(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    ran = shell(f"sleep 1000 & echo $! > {pid}")
    left = int(pid.read_text())
    try:
        assert ran.status == 0 and ran.held
        os.kill(left, 0)
    finally:
        os.kill(left, signal.SIGKILL)


def test_one_that_took_care_of_its_output_is_not_told(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    ran = shell(f"sleep 1000 >/dev/null 2>&1 & echo $! > {pid}")
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert ran.status == 0 and not ran.held


def test_an_interrupted_caller_leaves_nothing_running(tmp_path: Path) -> None:
    """Ctrl-C is for whoever waits; the command has a session of its own and would go on."""
    script = f"echo $$ > {tmp_path / 'pid'}; kill -INT {os.getpid()}; sleep 1000"
    with pytest.raises(KeyboardInterrupt):
        shell(script)
    assert _is_dead(int((tmp_path / "pid").read_text()))


def test_programs_are_found_where_hooks_look(tmp_path: Path) -> None:
    assert COMMANDS.find("sh") and COMMANDS.find("/bin/sh")
    assert not COMMANDS.find("no-such-program") and not COMMANDS.find(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    ["", "   ", "'", "a | b", "a && b", "a > f", "a $HOME", "A=1 b", "echo `date`", "''"],
)
def test_commands_that_need_a_shell_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_command(text)


def test_the_remedy_can_be_typed() -> None:
    with pytest.raises(UsageError) as raised:
        parse_command("stop crm && true")
    hint = raised.value.hint or ""
    assert parse_command(hint.removeprefix("say it: ")) == ("sh", "-c", "stop crm && true")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0$`=")), min_size=1))
def test_commands_read_back(words: list[str]) -> None:
    try:
        check_command(tuple(words))
    except UsageError:
        return
    assert parse_command(show_command(tuple(words))) == tuple(words)


def _is_dead(pid: int) -> bool:
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
