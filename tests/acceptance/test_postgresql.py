"""A live database: a bad patch of its programs is rolled back, and not a row is lost.

PostgreSQL 15 with programs, configuration, data, log, pid file and socket under one root. pgbench
runs all the time that the server does, and so does a client that notes each row that was
acknowledged to it.
"""

import contextlib
import getpass
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.kit.daemon import running
from tests.kit.program import ProgramHost, differences, picture

INSTALLED = Path("/usr/lib/postgresql/15")
SHARED = Path("/usr/share/postgresql/15")
USER = "postgres" if os.geteuid() == 0 else getpass.getuser()
Stamps: TypeAlias = dict[str, tuple[int, int, int, int]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (INSTALLED / "bin/postgres").exists(), reason="needs PostgreSQL 15"),
]

SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{root}/run'
external_pid_file = '{root}/run/server.pid'
hba_file = '{root}/etc/pg_hba.conf'
data_directory = '{root}/data'
"""

# A package manager puts new files beside the old ones and renames them.
PATCH = """
set -e
cd {programs}
printf '#!/bin/sh\\necho broken >&2; exit 1\\n' >bin/postgres.new
chmod 755 bin/postgres.new
mv bin/postgres.new bin/postgres
echo 'no library' >lib/plpgsql.so.new
mv lib/plpgsql.so.new lib/plpgsql.so
echo 'new in this release' >lib/added.so
"""


class Server:
    """PostgreSQL below one folder, run by a user that may run it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = root / "usr/lib/postgresql/15"
        self.log = root / "log/server.log"
        self._load: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        shutil.copytree(INSTALLED, self.programs, symlinks=True)
        shutil.copytree(SHARED, self.root / "usr/share/postgresql/15", symlinks=True)
        (self.root / "etc").mkdir()
        (self.root / "etc/server.conf").write_text(SETTINGS.format(root=self.root))
        (self.root / "etc/pg_hba.conf").write_text("local all all trust\n")
        for name in ("data", "log", "run"):
            (self.root / name).mkdir(mode=0o700)
            shutil.chown(self.root / name, USER)
        self.run("initdb", "-D", str(self.root / "data"), "-A", "trust", "--no-sync")

    def run(self, program: str, *args: str, fails: bool = False) -> str:
        """A program of the server's, as its user; what it printed."""
        found = subprocess.run(
            [*self.words(program), *args],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            text=True,
        )
        assert (found.returncode != 0) == fails, (program, args, found)
        return found.stdout

    def words(self, program: str) -> list[str]:
        """The command line that runs a program of the server's as its user."""
        own = [str(self.programs / "bin" / program)]
        if os.geteuid() != 0:
            return own
        user = pwd.getpwnam(USER)
        ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        return ["setpriv", *ids, "env", "HOME=/", *own]

    def control(self, *args: str, fails: bool = False) -> None:
        options = f"-c config_file={self.root}/etc/server.conf"
        data = str(self.root / "data")
        extra = ["-o", options, "-l", str(self.log)] if args[0] == "start" else []
        self.run("pg_ctl", "-w", "-D", data, *extra, *args, fails=fails)

    def sql(self, text: str) -> str:
        return self.run("psql", "-h", self.socket, "-d", "postgres", "-qAtc", text).strip()

    @property
    def socket(self) -> str:
        return str(self.root / "run")

    def start(self) -> None:
        """The server, and a load on it."""
        self.control("start")
        if self.sql("select to_regclass('pgbench_history')") == "":
            self.run("pgbench", "-h", self.socket, "-q", "-i", "postgres")
            self.sql("create table ledger (id bigint primary key)")
        self._load = subprocess.Popen(
            [*self.words("pgbench"), *("-h", self.socket, "-c", "2", "-T", "600", "postgres")],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        self.control("stop", "-m", "fast")
        self.end_load()

    def end_load(self) -> None:
        if self._load is not None:
            self._load.send_signal(signal.SIGTERM)
            self._load.wait()
            self._load = None


class Ledger(threading.Thread):
    """A client that writes numbers, one transaction each, and notes those that were committed."""

    def __init__(self, server: Server, first: int) -> None:
        super().__init__(daemon=True)
        self.committed: list[int] = []
        self.enough = threading.Event()
        self._next = first
        self._client = subprocess.Popen(
            [*server.words("psql"), *("-h", server.socket, "-d", "postgres", "-qAt")],
            cwd=server.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self.start()

    def run(self) -> None:
        """Until the server goes away."""
        with self._client as client:
            assert client.stdin is not None and client.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                while True:
                    client.stdin.write(f"insert into ledger values ({self._next}) returning id;\n")
                    if client.stdout.readline().strip() != str(self._next):
                        break
                    self.committed.append(self._next)
                    self._next += 1
                    if len(self.committed) > 50:
                        self.enough.set()
            client.kill()


@pytest.fixture
def server() -> Iterator[Server]:
    """In a folder with a short name, for its socket, that its user may enter."""
    place = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    place.chmod(0o755)
    root = place / "root"
    root.mkdir()
    server = Server(root)
    server.install()
    server.start()
    yield server
    server.end_load()
    if (root / "data/postmaster.pid").exists():
        server.control("stop", "-m", "immediate")
    shutil.rmtree(place)


def stamps(*folders: Path) -> Stamps:
    """What shows that somebody touched a file."""
    return {
        str(path): (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        for folder in folders
        for path in [folder, *folder.rglob("*")]
        for found in [path.lstat()]
    }


def test_a_bad_patch_of_a_live_database_is_rolled_back_without_losing_a_row(
    server: Server,
) -> None:
    host = ProgramHost(server.root.parent)
    host.ok("init")
    accept_proposals(host, server)
    host.ok("snapshot", "-m", "as delivered")
    delivered = picture(server.root / "usr")
    client = Ledger(server, 1)
    assert client.enough.wait(60)

    patch = server.root.parent / "patch.sh"
    patch.write_text(PATCH.format(programs=server.programs))
    found = host.json("run", "-m", "patch 15.99", "--", "sh", str(patch))[-1]
    assert (found["added"], found["modified"], found["removed"]) == (1, 2, 0), found
    assert len(differences(picture(server.root / "usr"), delivered)) == 3

    server.stop()
    client.join(60)
    log = server.log.read_bytes()
    server.control("start", fails=True)

    before = stamps(server.root / "data", server.root / "log", server.root / "run")
    result = host.json("rollback")[-1]
    assert stamps(server.root / "data", server.root / "log", server.root / "run") == before
    assert (result["of"], result["verified"], result["kept"]) == (0, True, []), result
    assert picture(server.root / "usr") == delivered

    server.start()
    assert server.sql("select 1") == "1"
    assert server.log.read_bytes().startswith(log)
    stored = {int(line) for line in server.sql("select id from ledger").split()}
    assert stored.issuperset(client.committed)
    assert len(stored) <= len(client.committed) + 1
    again = Ledger(server, max(stored) + 1)
    assert again.enough.wait(60), "it takes rows again"
    server.stop()
    again.join(60)
    changes = [(line["reason"], line["label"]) for line in host.log() if line["kind"] == "change"]
    assert changes == [("snapshot", "as delivered"), ("run", "patch 15.99"), ("checkout", None)]


@pytest.mark.parametrize("recorded_by", ["a snapshot", "the daemon"])
def test_a_patch_by_hand_while_the_daemon_records(server: Server, recorded_by: str) -> None:
    """Nobody announces it; what the server itself writes all the time makes no versions."""
    host = ProgramHost(server.root.parent)
    host.ok("init")
    accept_proposals(host, server)
    if recorded_by == "a snapshot":
        host.ok("snapshot", "-m", "as delivered")
    delivered = picture(server.root / "usr")
    with running(host.store) as daemon:
        client = Ledger(server, 1)
        assert client.enough.wait(60)
        patch = server.root.parent / "patch.sh"
        patch.write_text(PATCH.format(programs=server.programs))
        subprocess.run(["sh", str(patch)], check=True)
        daemon.wait_for(r"version 1 \(event\), 3 paths")

        server.stop()
        client.join(60)
        server.control("start", fails=True)
        result = host.json("rollback")[-1]
        assert (result["of"], result["verified"]) == (0, True), result
        added = server.programs / "lib/added.so"
        assert result["kept"] == [str(added.relative_to(server.root))], "only drift ever had it"
        said = len(daemon.lines)
        added.unlink()
        assert picture(server.root / "usr") == delivered

        server.start()
        stored = {int(line) for line in server.sql("select id from ledger").split()}
        assert stored.issuperset(client.committed)
        daemon.wait_for(r"version \d \(event\)", after=said)
        server.stop()
        assert daemon.stop() == 0
    log_ = host.log()
    changes = [line["reason"] for line in log_ if line["kind"] == "change"]
    assert changes == (["snapshot"] if recorded_by == "a snapshot" else []) + ["checkout"]
    assert len(log_) < 8, "besides those: the patch, files of the server that came and went"


def test_programs_that_run_are_not_replaced_unasked(server: Server) -> None:
    host = ProgramHost(server.root.parent)
    host.ok("init")
    accept_proposals(host, server)
    host.ok("snapshot", "-m", "as delivered")
    server.stop()
    program = server.programs / "bin/postgres"
    delivered = program.read_bytes()
    program.write_bytes(delivered + b"what follows a program does not harm it")
    host.ok("snapshot", "-m", "upgrade")
    server.start()

    error = host.fails(7, "rollback", hint="--live", says="postgres")
    assert error["error"] == "in_use"
    assert error["data"]["paths"] == ["usr/lib/postgresql/15/bin/postgres"]
    assert program.read_bytes() != delivered
    host.ok("rollback", "--live")
    assert program.read_bytes() == delivered
    assert server.sql("select count(*) > 0 from pgbench_accounts") == "t"


def accept_proposals(host: ProgramHost, server: Server) -> None:
    """`app add`, and then the very command that it advises: all that lives is `state` then."""
    found = host.ok("app", "add", "pg", str(server.root))
    (advice,) = [line for line in found.err.splitlines() if line.startswith("accept with: ")]
    words = shlex.split(advice.removeprefix("accept with: "))
    assert words[:3] == ["epmstore", "app", "set"]
    states = set(host.json(*words[1:])[-1]["state"])
    assert {"/data/", "/log/", "*.pid"} <= states, states
