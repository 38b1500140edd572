"""The founding scenario: three hosts over one spool, one PostgreSQL and one sshd, killed at random.

EPM_TEST_BUILDS is how many builds there are (`make faults`: 200).
"""

import hashlib
import json
import os
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from epmstore.clock import SystemClock
from epmstore.publish.build import Author
from epmstore.publish.desk import ReleaseDesk, begin_spool
from epmstore.publish.spoolfolder import SpoolSettings
from tests.kit.postgres import POSTGRES, postgres
from tests.remotes.sftpserver import SSHD, sshd

BUILDS = int(os.environ.get("EPM_TEST_BUILDS", "2"))
LIVES = max(1, BUILDS // 4)
HOSTS = ("ebb", "flow", "granite")


def host(spool: Path, name: str, seed: int) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "tests.publish.host", str(spool), name, str(seed), str(BUILDS)]
    return subprocess.Popen(words, cwd=Path(__file__).parents[2])


def run_hosts(spool: Path, lives: int) -> int:
    """Each host dies so many times, and lives on then; how many were killed."""
    chance = random.Random(BUILDS)
    running = [(name, host(spool, name, chance.randrange(1, 1 << 30)), lives) for name in HOSTS]
    killed = 0
    while running:
        name, process, left = running.pop(0)
        code = process.wait()
        assert code in (0, -9), name
        killed += code == -9
        if code:
            seed = chance.randrange(1, 1 << 30) if left > 1 else 0
            running.append((name, host(spool, name, seed), left - 1))
    return killed


@pytest.mark.parametrize("records", ["postgresql", "sqlite"] if LIVES > 1 else ["postgresql"])
@pytest.mark.slow
@pytest.mark.skipif(POSTGRES is None, reason="needs postgres (postgresql-15)")
@pytest.mark.skipif(SSHD is None, reason="needs sshd")
@pytest.mark.timeout(3600)
def test_three_hosts_release_every_build_once_whatever_kills_them(
    tmp_path: Path, records: str
) -> None:
    pytest.importorskip("psycopg")
    (tmp_path / "srv").mkdir()
    with postgres() as url, sshd(tmp_path / "srv", "MaxStartups 100") as place:
        settings = SpoolSettings(
            place.url,
            credentials=place.credentials,
            host_keys=place.host_keys,
            database=url if records == "postgresql" else None,
        )
        spool = begin_spool(tmp_path / "spool", settings)
        with closing(ReleaseDesk(spool.path, Author("rel", "ebb"), SystemClock())) as desk:
            for number in range(1, BUILDS + 1):
                build = tmp_path / "builds" / f"crm-{number}"
                build.mkdir(parents=True)
                (build / "crmd").write_bytes(os.urandom(300_000))
                desk.add(build, product="crm", kind="full", payload="tar.zst")
            killed = run_hosts(spool.path, lives=LIVES)
            desk_after(desk)
            check_released(desk, tmp_path / "srv")
    assert killed >= LIVES  # the work may be done before all of them are


def desk_after(desk: ReleaseDesk) -> None:
    """One run more, with nothing left to do but to bring the log up to date."""
    assert list(desk.prepare(at_once=True)) == []


def check_released(desk: ReleaseDesk, remote: Path) -> None:
    builds = desk.list()
    assert [build.number for build in builds] == [*range(1, BUILDS + 1)]
    assert {(build.state, build.association, build.error) for build in builds} == {
        ("done", "ready", None)
    }
    log = desk.log()
    assert [line.number for line in log] == [*range(1, len(log) + 1)]
    done = [line.build for line in log if line.after == "done"]
    assert sorted(done) == [*range(1, BUILDS + 1)]
    written = [json.loads(line) for line in desk.spool.log.read_text().splitlines()]
    assert [(line["number"], line["to"]) for line in written] == [
        (line.number, line.after) for line in log
    ]
    for build in builds:
        name = build.remote_path or ""
        assert hashlib.sha256((remote / name).read_bytes()).hexdigest() == build.sha256
        suffixes = ("", ".MD5", ".SHA1", ".SHA256", ".filesize")
        there = {path.name for path in (remote / name).parent.glob("[!.]*")}
        assert there == {f"{build.file_name}{suffix}" for suffix in suffixes}
    left = [os.listdir(desk.spool.path / folder) for folder in ("temp", "upload")]
    assert left == [[], []]
