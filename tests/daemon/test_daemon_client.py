"""The command line and a daemon that runs: what it says is as true as a scan."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from epmstore import __version__
from epmstore.cli import daemon_client
from epmstore.cli.daemon_client import Daemon, DaemonError
from epmstore.cli.main import main
from epmstore.errors import ConflictError
from epmstore.workspace import Workspace
from tests.kit.daemon import running

Shape = dict[str, Any]
Cli = Callable[..., tuple[int, str, str]]
ROUNDS = int(os.environ.get("EPM_TEST_ROUNDS", "20"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A store, and the root of `crm`."""
    store, root = tmp_path / "store", tmp_path / "crm"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "crmd").write_bytes(b"program\n")
    with Workspace.init(store) as workspace:
        workspace.apps.add("crm", root)
        workspace.app("crm").snapshot("as delivered")
    monkeypatch.setenv("EPMSTORE_STORE", str(store))
    monkeypatch.chdir(tmp_path)
    return store, root


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    def run(*args: str) -> tuple[int, str, str]:
        code = main(list(args))
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def daemon(place: tuple[Path, Path]) -> Iterator[Daemon]:
    with running(place[0], EPMSTORE_DAEMON_SETTLE="50ms"):
        yield Daemon(place[0])


@pytest.mark.usefixtures("daemon")
def test_the_daemon_says_what_a_scan_says(cli: Cli, place: tuple[Path, Path]) -> None:
    asked = json.loads(cli("status", "--json")[1])
    scanned = json.loads(cli("status", "--json", "--scan")[1])
    assert asked.pop("daemon")["state"] == "watching"
    assert scanned.pop("daemon") is None
    assert asked == scanned


@pytest.mark.slow
def test_clean_is_never_said_of_what_is_not_recorded(
    daemon: Daemon, place: tuple[Path, Path]
) -> None:
    """When all is quiet and known to be clean, a file is changed and the daemon asked at once:
    either it is not clean, or the version that it names has that very content.
    """
    store, root = place
    with Workspace.open(store) as workspace:
        for number in range(ROUNDS):
            until_quiet(daemon)
            data, name = f"{number}\n".encode(), f"bin/{number}"
            connection = daemon._connect()  # so that nothing but the question is to come
            with connection, open(root / name, "wb", buffering=0) as file:
                file.write(data)
                connection.sendall(b"GET /v1/apps/crm/status HTTP/1.0\r\nHost: localhost\r\n\r\n")
                found = json.loads(connection.makefile("rb").read().partition(b"\r\n\r\n")[2])
            if not found["clean"]:
                assert found["added"] == [name]
                continue
            version = str(found["version"])
            [entry] = [e for e in workspace.app("crm").ls(version) if e.path == name]
            assert entry.content is not None
            assert entry.content.digest == hashlib.sha1(data).digest()


def until_quiet(daemon: Daemon) -> None:
    """Until the daemon answers from what it knows."""
    for event, shape in daemon.events("/v1/events"):
        if event == "state" and shape["quiet"]:
            break
    for _ in range(2):
        found = daemon.get("/v1/apps/crm/status")
        assert found["clean"] is True, (shape, found)


def test_clean_root_is_not_looked_at_again(daemon: Daemon, place: tuple[Path, Path]) -> None:
    """A change that no event tells of is not seen: so nothing was looked at."""
    before = daemon.get("/v1/apps/crm/status")
    assert before["clean"] is True
    stat = os.stat(place[1] / "bin" / "crmd")
    reads = count_reads(place[1], lambda: daemon.get("/v1/apps/crm/status"))
    assert stat == os.stat(place[1] / "bin" / "crmd")
    assert reads == 0


def count_reads(root: Path, action: Callable[[], object]) -> int:
    """How often folders of a root are opened meanwhile."""
    from watchdog.observers.inotify_c import inotify_add_watch, inotify_init  # noqa: PLC0415

    queue = inotify_init()
    try:
        inotify_add_watch(queue, os.fsencode(root), 0x20)  # IN_OPEN
        os.set_blocking(queue, False)
        action()
        try:
            return len(os.read(queue, 1 << 16))
        except BlockingIOError:
            return 0
    finally:
        os.close(queue)


def test_an_application_registered_later_is_in_the_table(
    cli: Cli, place: tuple[Path, Path], daemon: Daemon
) -> None:
    other = place[1].parent / "erp"
    other.mkdir()
    assert cli("app", "add", "erp", str(other))[0] == 0
    code, out, _ = cli("status")
    assert [line.split()[0] for line in out.splitlines()] == ["crm", "erp"]
    assert code in (0, 1)


def test_without_a_daemon_it_is_as_it_was(cli: Cli, place: tuple[Path, Path]) -> None:
    code, out, err = cli("status")
    assert (code, err) == (0, "")
    assert "nothing has changed" in out


def test_a_daemon_that_died_is_said(cli: Cli, place: tuple[Path, Path]) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(place[0] / "epmstored.sock"))
    dead.close()
    code, out, err = cli("status")
    assert code == 0 and "nothing has changed" in out
    assert "has died" in err
    assert cli("status", "--json")[2] == ""


def test_a_daemon_that_hangs_does_not_hold_it_up(
    cli: Cli, place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epmstore.cli.quick.CONNECT_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place[0] / "epmstored.sock"))
        silent.listen(5)
        code, out, _ = cli("status")
    assert code == 0 and "nothing has changed" in out


@pytest.mark.parametrize("room", [0, 5], ids=["not-let-in", "let-in"])
@pytest.mark.parametrize("words", ["status", "jobs", "watch", "pause", "resume"])
def test_a_daemon_that_hangs_is_said_soon(
    cli: Cli, place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, words: str, room: int
) -> None:
    for module in ("daemon_client", "daemon"):
        monkeypatch.setattr(f"epmstore.cli.{module}.KNOWN_SECONDS", 0.05)
    path = str(place[0] / "epmstored.sock")
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as first:
        silent.bind(path)
        silent.listen(room)
        first.connect(path)
        monkeypatch.setattr("epmstore.cli.daemon_client.CONNECT_SECONDS", 0.05)
        code, out, err = cli("daemon", *words.split(), "--json")
    assert (code, out, json.loads(err)["error"]) == (4, "", "no_answer")


def test_asking_imports_next_to_nothing(place: tuple[Path, Path], daemon: Daemon) -> None:
    script = (
        "import sys; from epmstore.cli.main import main; main(['status', '--json']);"
        "sys.stdout.write(' '.join(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, *_, names = run.stdout.splitlines()
    assert json.loads(first)["daemon"] is not None
    found = {name.split(".")[0] for name in names.split(" ")}
    assert not found & {"click", "msgspec", "sqlite3", "zstandard", "asyncio", "aiohttp", "rich"}


def test_nobody_to_ask(cli: Cli, place: tuple[Path, Path]) -> None:
    for words in ("status", "pause", "resume", "jobs", "watch"):
        code, out, err = cli("daemon", words, "--json")
        assert (code, out) == (4, "")
        assert json.loads(err)["error"] == "no_daemon"
    assert "epmstored run" in cli("daemon", "status")[2]


@pytest.mark.usefixtures("daemon")
def test_daemon_status(cli: Cli) -> None:
    code, out, err = cli("daemon", "status")
    assert code == 0
    assert out.split()[:3] == ["crm", "0", "watching"]
    assert "1 application" in err
    health, app = map(json.loads, cli("daemon", "status", "--json")[1].splitlines())
    assert (health["type"], app["type"]) == ("health", "app_state")


@pytest.mark.usefixtures("daemon")
def test_a_daemon_of_another_release_is_said(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (("daemon", "status"), ("daemon", "jobs"), ("daemon", "pause"), ("status",)):
        assert "restart it" not in cli(*words)[2], words
    monkeypatch.setattr(daemon_client, "__version__", "9.9.9")
    for words in (("daemon", "status"), ("daemon", "jobs"), ("daemon", "resume"), ("status",)):
        err = cli(*words)[2]
        assert __version__ in err and "9.9.9" in err and "restart it" in err, (words, err)


@pytest.mark.usefixtures("daemon")
def test_pause_and_resume(cli: Cli) -> None:
    assert "would pause crm" in cli("daemon", "pause", "--dry-run")[2]
    assert "watching" in cli("daemon", "status")[1]
    assert "paused" in cli("daemon", "pause", "--app", "crm")[1]
    assert "watching" in cli("daemon", "resume")[1]
    code, _, err = cli("daemon", "pause", "--app", "erp", "--json")
    assert (code, json.loads(err)["error"]) == (5, "app_not_found")


def test_jobs(cli: Cli, daemon: Daemon) -> None:
    assert cli("daemon", "jobs")[:2] == (0, "")
    job = daemon.post("/v1/jobs", {"kind": "fsck"})["id"]
    code, out, _ = cli("daemon", "jobs", job[:6], "--follow", "--json")
    assert (code, json.loads(out)["state"]) == (0, "done")
    assert job in cli("daemon", "jobs")[1]
    failing = daemon.post("/v1/jobs", {"kind": "checkout", "app": "crm", "version": "9"})["id"]
    code, _, err = cli("daemon", "jobs", failing, "--follow")
    assert code == 5 and "no version 9" in err
    assert cli("daemon", "jobs", "xyz")[0] == 5
    assert cli("daemon", "jobs", "--cancel")[0] == 2


def test_watch_without_a_terminal_is_lines(place: tuple[Path, Path]) -> None:
    with running(place[0], EPMSTORE_DAEMON_SETTLE="50ms") as process:
        script = "from epmstore.cli.main import main; import sys; sys.exit(main())"
        watch = subprocess.Popen(
            [sys.executable, "-c", script, "daemon", "watch"], stdout=subprocess.PIPE, text=True
        )
        assert watch.stdout is not None
        with watch.stdout as lines:
            assert lines.readline().split()[:3] == ["crm", "0", "watching"]
            (place[1] / "new").write_bytes(b"")
            while lines.readline().split()[:2] != ["crm", "1"]:
                pass
            process.stop()
            lines.read()
        assert watch.wait(20) == 0


@pytest.mark.root
def test_somebody_elses_socket_is_not_believed(place: tuple[Path, Path]) -> None:
    for folder in [place[0], *place[0].parents]:
        folder.chmod(folder.stat().st_mode | 0o011)
    place[0].chmod(0o777)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresuid(65533, 65533, 65533)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(place[0] / "epmstored.sock"))
        listener.listen(5)
        os.write(writing, b"x")
        signal.pause()
    os.read(reading, 1)
    try:
        with pytest.raises(ConflictError, match="somebody else"):
            Daemon(place[0]).get("/v1/health")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 abc\r\n\r\n{}",
    ],
)
def test_status_looks_itself_when_the_daemon_answers_nonsense(
    place: tuple[Path, Path], answer: bytes, cli: Cli
) -> None:
    """It is an error for who asks, and `status` looks for itself."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place[0] / "epmstored.sock"))
        listener.listen(5)
        child = os.fork()
        if child == 0:
            for _ in range(2):
                connection, _ = listener.accept()
                connection.recv(4096)
                connection.sendall(answer)
                connection.close()
            os._exit(0)
        with pytest.raises(DaemonError):
            Daemon(place[0]).get("/v1/health")
        code, out, _ = cli("status")
        os.waitpid(child, 0)
    assert code == 0 and "nothing has changed" in out
