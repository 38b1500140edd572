"""The daemon's life, as a process."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from epmstore.workspace import Workspace
from tests.kit.daemon import STARTS, running

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("one")
    return root


@pytest.fixture
def store(tmp_path: Path, root: Path) -> Path:
    store = tmp_path / "store"
    with Workspace.init(store) as workspace:
        workspace.apps.add("crm", root)
    return store


def log_of(store: Path) -> list[tuple[int, str, str]]:
    with Workspace.open(store) as workspace:
        found = [info.record for info in workspace.app("crm").versions()]
    return [(v.version, v.kind, v.reason) for v in found]


def test_an_app_without_a_version_gets_its_baseline(store: Path) -> None:
    with running(store) as daemon:
        daemon.wait_for("crm: version 0 is the baseline")
        assert daemon.stop() == 0
    assert log_of(store) == [(0, "drift", "startup-scan")]


def test_changes_while_down_are_recorded_with_their_window(store: Path, root: Path) -> None:
    with running(store) as daemon:
        assert daemon.stop() == 0
    (root / "bin/tool").write_text("two")
    with running(store) as daemon:
        daemon.kill()
    assert log_of(store)[1:] == [(1, "drift", "startup-scan")]
    with Workspace.open(store) as workspace:
        first, second = [info.record for info in workspace.app("crm").versions()]
    assert second.window is not None
    assert second.window[0] == first.time


def test_a_second_daemon_is_refused(store: Path) -> None:
    with running(store):
        second = subprocess.run(
            [*STARTS, "run", "--store", str(store)], capture_output=True, text=True, timeout=60
        )
    assert second.returncode == 11
    assert "runs for this store already" in second.stderr


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    found = subprocess.run(
        [*STARTS, "run", "--store", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 10
    assert "epmstore init" in found.stderr


def test_systemd_is_told(store: Path, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        with running(store, NOTIFY_SOCKET=address, WATCHDOG_USEC="60000000") as daemon:
            told = [listener.recv(4096).decode()]
            while not told[-1].startswith("READY=1"):
                told.append(listener.recv(4096).decode())
            assert "WATCHDOG=1" in told
            daemon.process.send_signal(signal.SIGHUP)
            assert listener.recv(4096).decode().startswith("RELOADING=1")
            assert daemon.stop() == 0


def test_a_host_that_allows_too_few_watches(store: Path, root: Path) -> None:
    limit = 'echo 1 > /proc/sys/user/max_inotify_watches && exec "$@"'
    limited = ["unshare", "-Ur", "sh", "-c", limit, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*limited, "true"]).returncode:
        pytest.skip("needs user namespaces (unshare -Ur)")
    with running(store, *limited, EPMSTORE_DAEMON_POLL="1s") as daemon:
        daemon.wait_for(r"max_user_watches\).* looked at every 1 s")
        (root / "bin/tool").write_text("two")
        daemon.wait_for(r"version 1 \(scan\), 1 paths")
        assert daemon.stop() == 0


def test_apps_come_and_go_without_a_signal(store: Path, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with running(store) as daemon, Workspace.open(store) as workspace:
        workspace.apps.add("erp", other)
        daemon.wait_for("erp: version 0 is the baseline")
        (other / "file").write_text("x")
        daemon.wait_for(r"erp: version 1 \(event\), 1 paths")
        workspace.apps.remove("erp")
        daemon.wait_for("erp: watched no more")
        (root / "bin/tool").write_text("two")
        daemon.wait_for(r"crm: version 1 \(event\), 1 paths")
        assert daemon.stop() == 0
        assert not [line for line in daemon.lines if "ERROR" in line]


def ask(store: Path, *words: str) -> list[dict[str, Any]]:
    """What a command of the program printed as JSON."""
    command = [sys.executable, "-m", "epmstore", *words, "--json", "--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_pause_outlives_the_daemon(store: Path, root: Path) -> None:
    with running(store) as daemon:
        daemon.wait_for("crm: version 0 is the baseline")
        [paused] = ask(store, "daemon", "pause")[-1]["apps"]
        assert paused["state"] == "paused" and paused["paused"]["by"]
        daemon.kill()
    (root / "bin/tool").write_text("two")
    with running(store) as daemon:
        assert ask(store, "daemon", "status")[-1]["paused"] == paused["paused"]
        with Workspace.open(store) as workspace:
            workspace.apps.set("crm", add={"state": ["*.log"]})  # watched anew, by other rules
        daemon.wait_for("crm: watching", after=daemon.wait_for("INFO: ready"))
        assert ask(store, "daemon", "status")[-1]["paused"] == paused["paused"]
        assert len(log_of(store)) == 1
        assert ask(store, "daemon", "resume")[-1]["apps"][0]["paused"] is None
        daemon.wait_for("version 1")
        assert daemon.stop() == 0
    assert not (store / "paused.json").exists()


def test_a_pause_that_cannot_be_read_is_none(store: Path) -> None:
    (store / "paused.json").write_text('{"format":1,"paused":[]}')
    with running(store) as daemon:
        daemon.wait_for("ERROR: paused.json cannot be read")
        daemon.wait_for("crm: version 0 is the baseline")


def test_a_pause_that_cannot_even_be_opened_is_none(store: Path) -> None:
    (store / "paused.json").mkdir()
    with running(store) as daemon:
        daemon.wait_for("ERROR: paused.json cannot be read")
        daemon.wait_for("crm: version 0 is the baseline")


def test_settings_that_count_from_the_next_start_are_named(store: Path, root: Path) -> None:
    with running(store) as daemon:
        (store / "config.toml").write_text("[daemon")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("ERROR: the settings were not read again")
        (store / "config.toml").write_text(
            '[daemon]\nsettle = "100ms"\npoll = "5s"\n[store]\nmax_size = "1GB"\n'
        )
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("WARNING: count from the next start of the daemon: daemon.poll$")
        daemon.wait_for("INFO: the settings were read again")
        assert ask(store, "daemon", "status")[0]["waiting_settings"] == ["daemon.poll"]
        (store / "config.toml").unlink()
        daemon.process.send_signal(signal.SIGHUP)
        (root / "bin/tool").write_text("two")
        daemon.wait_for("version 1")
        assert ask(store, "daemon", "status")[0]["waiting_settings"] == []


def test_a_followed_root_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(name)
    link = tmp_path / "current"
    link.symlink_to("one")
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", link, follow=True)
    with running(tmp_path / "store", EPMSTORE_DAEMON_SETTLE="500ms") as daemon:
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(link)
        daemon.wait_for(r"version 1 \(scan\), 1 paths", timeout=15)
        (tmp_path / "two/tool").write_text("of the new folder events are told")
        daemon.wait_for(r"version 2 \(event\), 1 paths")
        assert daemon.stop() == 0


def test_commands_beside_it_are_recorded_once(store: Path, root: Path) -> None:
    with running(store) as daemon, Workspace.open(store) as workspace:
        crm = workspace.app("crm")
        crm.run(["sh", "-c", f"echo a > {root}/a; sync; echo b > {root}/b"], "patch")
        (root / "bin/tool").write_text("by hand")
        daemon.wait_for(r"version 2 \(event\), 1 paths")
        assert crm.rollback().of == 1
        assert daemon.stop() == 0
        assert [info.record.reason for info in crm.versions()] == [
            "startup-scan",
            "run",
            "event",
            "checkout",
        ]
    assert (root / "bin/tool").read_text() == "one"


@pytest.mark.root
def test_a_file_system_that_goes_and_another_that_comes(tmp_path: Path) -> None:
    """Two of tmpfs: their roots have one inode."""
    root = tmp_path / "mounted"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(root)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs to mount")
    mounts = 1
    try:
        for name in ("bin", "lib"):
            (root / name).write_text(name)
        with Workspace.init(tmp_path / "store") as workspace:
            workspace.apps.add("crm", root)
        with running(tmp_path / "store") as daemon:
            subprocess.run(["umount", root], check=True)
            mounts -= 1
            seen = daemon.wait_for("WARNING: crm: the root of crm was replaced")
            subprocess.run(mount, check=True)
            mounts += 1
            daemon.process.send_signal(signal.SIGHUP)
            seen = daemon.wait_for("WARNING: crm: .* does not look like crm", after=seen)
            (root / "bin").write_text("back")
            (root / "lib").write_text("lib")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for(r"version 1 \(scan\), 2 paths", after=seen)
            assert daemon.stop() == 0
    finally:
        for _ in range(mounts):
            subprocess.run(["umount", "-l", root], check=True)
