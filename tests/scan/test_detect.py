import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.classes import Patterns, Rules
from epmstore.scan.databases import SQLITE_MAGIC
from epmstore.scan.detect import Proposal, literal_pattern, propose
from epmstore.scan.folders import FolderCache
from epmstore.scan.walk import Classify, walk


def proposals(root_fd: int, classify: Classify | None = None) -> list[Proposal]:
    with FolderCache(root_fd) as folders:
        return propose(walk(root_fd, classify=classify), folders)


def patterns(root_fd: int, classify: Classify | None = None) -> list[str]:
    found = proposals(root_fd, classify)
    assert {proposal.path_class for proposal in found} <= {"state"}
    return [proposal.pattern for proposal in found]


def fill(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("7\n")


def test_an_ordinary_tree_gives_nothing(root: Path, root_fd: int) -> None:
    fill(root, "bin/run", "lib/log/logger.py", "share/log.txt", "catalog", "blog/x.logo")
    assert patterns(root_fd) == []


def test_databases(root: Path, root_fd: int) -> None:
    fill(root, "pg data/PG_VERSION", "pg data/base/1/PG_VERSION", "pg data/log/x.log")
    (root / "app.db").write_bytes(SQLITE_MAGIC.ljust(1024, b"x"))
    assert patterns(root_fd) == ["/app.db", "/app.db-*", "/pg data/"]


def test_logs(root: Path, root_fd: int) -> None:
    fill(root, "var/logs/a.log", "var/logs/a.log.1", "logs/notes.txt", "x/a.log", "y/b.log.2.gz")
    fill(root, "z/c.log-20260101")
    assert patterns(root_fd) == ["/var/logs/", "*.log", "*.log.*", "*.log-*"]
    assert proposals(root_fd)[1].why == "logs, such as x/a.log"


def test_pid_files_and_sockets(root: Path, root_fd: int) -> None:
    fill(root, "run/app.pid", "run/control.lock", "lib/other.lock")
    (root / "model.pid").write_text("not a number at all, but a model of a controller")
    here = os.open(root / "run", os.O_RDONLY)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(f"/proc/self/fd/{here}/control")
        assert patterns(root_fd) == ["*.pid", "/run/control", "/run/control.lock"]
    os.close(here)


def test_files_that_are_open_for_writing(root: Path, root_fd: int) -> None:
    fill(root, "spool", "read", "a.log")
    script = (
        "import sys; held = [open(sys.argv[1], 'a'), open(sys.argv[2]), open(sys.argv[3], 'a')]\n"
        "print(flush=True); sys.stdin.read()"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", script, root / "spool", root / "read", root / "a.log"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None
    running.stdout.readline()
    found = proposals(root_fd)
    running.communicate()
    assert [proposal.pattern for proposal in found] == ["*.log", "/spool"]
    assert found[1].why.endswith(f"(process {running.pid})")


def test_classified_paths_are_not_proposed(root: Path, root_fd: int) -> None:
    fill(root, "x/a.log", "run/app.pid", "pg/PG_VERSION", "var/logs/b.log")
    (root / "app.db").write_bytes(SQLITE_MAGIC.ljust(512, b"x"))
    assert len(patterns(root_fd)) == 6
    assert patterns(root_fd, lambda path, is_directory: "config") == []


def test_the_proposals_do_what_they_say(root: Path, root_fd: int) -> None:
    fill(root, "x/a.log", "run/app.pid", "pg/PG_VERSION", "var/logs/b.log", "bin/run", "y/c.log.1")
    (root / "app.db").write_bytes(SQLITE_MAGIC.ljust(512, b"x"))
    rules = Rules(Patterns(state=tuple(patterns(root_fd))))
    assert patterns(root_fd, rules.classify) == []
    assert rules.classify("bin/run") == "program"


PATHS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(
        lambda name: name not in (".", "..")
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@given(PATHS)
def test_a_literal_pattern_matches_its_path(path: str) -> None:
    assert Rules(Patterns(state=(literal_pattern(path),))).classify(path) == "state"


def test_a_literal_pattern_is_literal() -> None:
    rules = Rules(Patterns(state=(literal_pattern("a*[b]?"),)))
    assert rules.classify("a*[b]?") == "state"
    assert rules.classify("axb?") == "program"
    assert rules.classify("deeper/a*[b]?") == "program"
    assert literal_pattern(os.fsdecode(b"\xff\n")) == "/??"
