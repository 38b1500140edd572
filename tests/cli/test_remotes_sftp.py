"""Remotes over SFTP as users have them: who is let in, what is said where not, and what helps."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pytest

from tests.remotes.sftpserver import (
    NO_FAULTS,
    PASSWORD,
    SSHD,
    SftpFaults,
    SftpServing,
    serving,
    sshd,
)

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServing]:
    (tmp_path / "depot").mkdir()
    with serving(tmp_path / "depot") as found:
        yield found


def ways(server: SftpServing) -> list[str]:
    place = server.place
    return ["--credentials", str(place.credentials), "--host-key", place.host_keys[0]]


def test_a_host_key_is_shown_and_pinned_as_the_hint_says(
    cli: "Cli", recorded: Path, server: SftpServing
) -> None:
    words = ["remote", "add", "safe", server.place.url]
    refused = cli(*words, *ways(server)[:2], "--json")
    assert refused.code == 12 and server.place.host_keys[0] in refused.error["message"]
    option, key = re.findall(r"(--host-key) (SHA256:\S+)", refused.error["hint"])[0]
    assert server.calls == []
    cli.ok(*words, *ways(server)[:2], option, key)
    cli.ok("push", "safe", "--yes")
    assert "recorded here and on safe" in cli("status").out
    cli.ok("remote", "check", "safe")
    shown = cli.ok("remote", "show", "safe").out
    assert key in shown and "safe.secret" not in shown and ".secret" in shown


def test_credentials_are_named_as_the_hint_says(
    cli: "Cli", recorded: Path, server: SftpServing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["remote", "add", "safe", server.place.url, *ways(server)[2:]]
    refused = cli(*words, "--json")
    assert refused.code == 12 and "--credentials FILE" in refused.error["hint"]
    name = re.findall(r"LoadCredential=(\S+):FILE", refused.error["hint"])[0]
    given = tmp_path / "given"
    given.mkdir()
    (given / name).write_text(PASSWORD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    open_to_all = cli(*words, "--json")
    assert open_to_all.code == 12 and "no secret" in open_to_all.error["message"]
    (given / name).chmod(0o400)
    cli.ok(*words)
    cli.ok("push", "safe", "--yes")


def test_a_secret_is_kept_in_no_setting_and_said_nowhere(
    cli: "Cli", recorded: Path, server: SftpServing
) -> None:
    cli.ok("remote", "add", "safe", server.place.url, *ways(server))
    server.faults = SftpFaults(password="another")
    said = [cli("push", "safe", "--yes"), cli("status"), cli("remote", "show", "safe")]
    assert all(PASSWORD not in one.out + one.err for one in said)
    for path in cli.store.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_a_refused_password_is_tried_once_until_a_person_says_again(
    cli: "Cli", recorded: Path, server: SftpServing
) -> None:
    cli.ok("remote", "add", "safe", server.place.url, *ways(server))
    server.faults = SftpFaults(password="another")
    server.calls.clear()
    for _ in range(3):
        refused = cli("sync", "safe", "--yes")
        assert refused.code == 12 and "password" in refused.err
    assert server.calls == ["password"]
    assert "remote check safe" in refused.err
    status = cli("status")
    assert "not on safe" in status.out and "remote check safe" in status.out
    assert "password" in cli("remote", "show", "safe").err
    assert cli("remote", "check", "safe").code == 12
    server.faults = NO_FAULTS
    assert cli("push", "safe", "--yes").code == 12
    cli.ok("remote", "check", "safe")
    cli.ok("push", "safe", "--yes")
    assert "recorded here and on safe" in cli("status").out


def test_a_changed_host_key_is_told_and_taken_as_the_hint_says(
    cli: "Cli", recorded: Path, server: SftpServing, tmp_path: Path
) -> None:
    cli.ok("remote", "add", "safe", server.place.url, *ways(server))
    cli.ok("push", "safe", "--yes")
    with serving(tmp_path / "depot", key=paramiko.ECDSAKey.generate()) as other:
        url = ("remote", "set", "safe", "--url", other.place.url)
        refused = cli(*url, "--json")
        assert refused.code == 12 and "another host" in refused.error["message"]
        assert other.calls == []
        [key] = re.findall(r"--host-key (SHA256:[^`]+)`", refused.error["hint"])
        cli.ok(*url, "--host-key", key)
        cli.ok("push", "safe")


def test_options_of_other_kinds_of_remotes_are_refused(
    cli: "Cli", recorded: Path, tmp_path: Path
) -> None:
    for words in (
        (str(tmp_path), "--credentials", "x"), ("https://h/x", "--host-key", "x"),
        ("sftp://u@h/x", "--authorities", "x"), ("sftp://u@h/x", "--host-key", "00:11"),
        ("sftp://u:p@h/x",), ("ftp://u@h/x",),
    ):  # fmt: skip
        assert cli("remote", "add", "x", *words).code == 2, words


def test_a_missing_library_is_named_with_what_installs_it(
    cli: "Cli", recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.startswith("epmstore.remotes.sftp")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "paramiko", None)
    refused = cli("remote", "add", "x", "sftp://u@h/x", "--json")
    assert refused.code == 12 and "paramiko" in refused.error["message"]
    assert refused.error["hint"].startswith("pip install 'epmstore[sftp]'")


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 2, 3])
def test_a_killed_push_is_gone_on_with(
    cli: "Cli", recorded: Path, server: SftpServing, tmp_path: Path, after: int
) -> None:
    cli.ok("remote", "add", "safe", server.place.url, *ways(server))
    server.faults = SftpFaults(silent=after)
    command = [sys.executable, "-m", "epmstore", "push", "safe", "--yes"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as push:
        assert server.silent.wait(60)
        push.send_signal(signal.SIGKILL)
    server.faults = NO_FAULTS
    cli.ok("push", "safe", "--yes")
    cli.ok("remote", "check", "safe")
    other = ("--store", str(tmp_path / "other"))
    cli.ok("init", *other)
    cli.ok("remote", "add", "safe", server.place.url, *ways(server), *other)
    assert "crm version 0" in cli.ok("pull", "safe", *other).out


@pytest.mark.slow
@pytest.mark.skipif(SSHD is None, reason="needs sshd (apt install openssh-server)")
def test_hosts_share_a_depot_on_openssh(cli: "Cli", recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "depot").mkdir()
    other = ("--store", str(tmp_path / "other"))
    with sshd(tmp_path / "depot") as place:
        key = ("--credentials", str(place.credentials), "--host-key", place.host_keys[0])
        cli.ok("remote", "add", "safe", place.url, *key)
        cli.ok("push", "safe", "--yes")
        (recorded / "new").write_text("x")
        cli.ok("snapshot")
        cli.ok("push")
        cli.ok("init", *other)
        cli.ok("remote", "add", "safe", place.url, *key, *other)
        assert "crm version 1" in cli.ok("pull", *other).out
        assert "nothing new" in cli.ok("sync", "--yes", *other).out
        cli.ok("remote", "check", "safe")
        wrong = Path(place.credentials or "").with_name("host")
        cli.ok("remote", "check", "safe", *other)
        assert cli("remote", "set", "safe", "--credentials", str(wrong)).code == 12
