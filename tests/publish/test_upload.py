"""Uploading: once each, verified, resumed, stopped; remotes that are full, lie or say nothing; a
kill at every call.
"""

import contextlib
import hashlib
import itertools
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from epmstore.errors import BusyError, RemoteFullError, RemoteTransientError
from epmstore.publish.build import BuildRecord
from epmstore.publish.transfer import StallLimits
from epmstore.publish.upload import Uploader
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.memory_remote import MemoryRemote, MemoryShelf, RemoteFaults
from epmstore.remotes.remote import Remote
from tests.kit.faults import Calls, Killed, faults
from tests.publish.test_prepare import ME, Pipeline
from tests.remotes.s3server import serving as shop
from tests.remotes.sftpserver import SSHD, SftpFaults, remote_of, serving, sshd

QUICK = StallLimits(tick=0.01)


class Uploading(Pipeline):
    """A pipeline whose one build is prepared."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.add()
        self.run()

    def upload(
        self, remote: Remote, patience: StallLimits = QUICK, *, at_once: bool = True
    ) -> list[BuildRecord]:
        with closing(self.records()) as records:
            run = Uploader(
                self.spool, records, remote, ME, self.clock, place=remote, patience=patience
            )
            return list(run.run(at_once=at_once))

    def to_folder(self) -> list[BuildRecord]:
        with closing(FolderRemote(self.remote)) as remote:
            return self.upload(remote)

    def check_done(self, data: bytes | None = None) -> None:
        build = self.get()
        assert (build.state, build.association, build.error) == ("done", "ready", None)
        found = data or (self.remote / (build.remote_path or "")).read_bytes()
        assert hashlib.sha256(found).hexdigest() == build.sha256
        assert [self.names(folder) for folder in ("upload", "temp")] == [[], []]
        with closing(self.records()) as records:
            assert [line.after for line in records.log(0)].count("done") == 1


@pytest.fixture
def pipeline(tmp_path: Path) -> Uploading:
    return Uploading(tmp_path / "place")


def test_a_payload_is_uploaded_read_back_and_leaves_the_spool(pipeline: Uploading) -> None:
    (done,) = pipeline.to_folder()
    assert done.state == "done"
    pipeline.check_done()
    assert pipeline.to_folder() == pipeline.run() == []
    assert pipeline.names("locks") == ["prepare", "probe"]


@pytest.mark.parametrize(
    "faults_there", [RemoteFaults(cut_writes=1.0), RemoteFaults(garbage=1.0)], ids=["cut", "lies"]
)
def test_a_remote_that_keeps_other_bytes_is_never_done(
    pipeline: Uploading, faults_there: RemoteFaults
) -> None:
    shelf = MemoryShelf()
    for _ in range(12):
        (found,) = pipeline.upload(MemoryRemote(shelf, faults_there))
        assert (found.state, len(pipeline.names("upload"))) == ("in_process", 1)
    assert "other bytes" in (found.error or "")
    pipeline.upload(MemoryRemote(shelf))
    pipeline.check_done(shelf.objects[pipeline.get().remote_path or ""])


def test_a_remote_that_is_full_is_waited_for(pipeline: Uploading) -> None:
    def no_room(call: str, name: str) -> None:
        if call == "write":
            raise RemoteFullError("no room there")

    (found,) = pipeline.upload(MemoryRemote(before=no_room))
    assert (found.state, found.error) == ("in_process", "no room there")
    assert pipeline.upload(MemoryRemote(before=no_room), at_once=False) == []
    pipeline.clock.advance(60)
    assert pipeline.upload(MemoryRemote(), at_once=False)[0].state == "done"


def test_a_black_hole_is_given_up_and_the_lock_with_it(pipeline: Uploading) -> None:
    ended = threading.Event()
    minutes = itertools.count(0, 60)

    def silent(call: str, name: str) -> None:
        ended.wait(30)
        raise RemoteTransientError("at last")

    patience = StallLimits(tick=0.001, timer=lambda: float(next(minutes)))
    try:
        (found,) = pipeline.upload(MemoryRemote(before=silent), patience)
    finally:
        ended.set()
    assert found.state == "in_process" and "went for 10m" in (found.error or "")
    assert pipeline.to_folder()[0].state == "done"


def test_whatever_a_server_says_fits_into_the_record(pipeline: Uploading) -> None:
    def hostile(call: str, name: str) -> None:
        raise RemoteFullError("no\0room\x1b[2J\n" + "x" * 100_000)

    (found,) = pipeline.upload(MemoryRemote(before=hostile))
    assert found.error is not None and found.error.isprintable()
    assert len(found.error) == 2000 and found.error.startswith("no?room?[2J?x")


def test_a_payload_goes_to_a_bucket_in_parts(pipeline: Uploading) -> None:
    with shop() as bucket:
        (done,) = pipeline.upload(bucket.remote(in_parts=1 << 10))
        pipeline.check_done(bucket.objects[f"site/{done.remote_path}"])
        pipeline.add()
        pipeline.run()
        pipeline.payload().write_bytes(bytes(pipeline.payload().stat().st_size))
        (found,) = pipeline.upload(bucket.remote(in_parts=1 << 10))
        assert found.state == "error" and "made anew" in (found.error or "")
        assert f"site/{found.remote_path}" not in bucket.objects


def test_a_run_ends_where_the_remote_fails_for_one_after_the_other(pipeline: Uploading) -> None:
    for _ in range(3):
        pipeline.add()
    pipeline.run()
    down = MemoryRemote(faults=RemoteFaults(loss=1.0))
    assert [build.number for build in pipeline.upload(down)] == [1, 2]


def test_a_build_that_is_held_meanwhile_is_stopped(pipeline: Uploading) -> None:
    held = threading.Event()

    def hold(call: str, name: str) -> None:
        if call == "write" and not held.is_set():
            pipeline.move("hold")
            held.set()

    shelf = MemoryShelf()
    assert pipeline.upload(MemoryRemote(shelf, before=hold)) == []
    assert pipeline.get().state == "hold"
    pipeline.run()
    assert pipeline.names("upload") == []


def test_a_payload_that_was_damaged_in_the_spool_is_made_anew(pipeline: Uploading) -> None:
    payload = pipeline.payload()
    payload.write_bytes(bytes(payload.stat().st_size))
    (found,) = pipeline.upload(MemoryRemote())
    assert found.state == "error" and "made anew" in (found.error or "")
    pipeline.run(at_once=True)
    assert pipeline.to_folder()[0].state == "done"


def test_a_payload_that_another_process_has_is_left_alone(pipeline: Uploading) -> None:
    with closing(pipeline.records()) as records, records.alone(1):
        assert pipeline.to_folder() == pipeline.run() == []
        pipeline.move("withdraw")
        assert pipeline.run() == []  # what it sends now is cleared away when it is done
    assert pipeline.run()[0].remote_path is None


def test_the_lock_of_a_build_ends_with_its_process(pipeline: Uploading) -> None:
    program = (
        "import sys; from pathlib import Path; from epmstore.publish.buildlocks import hold_build\n"
        "with hold_build(Path(sys.argv[1]), 1): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(pipeline.spool.locks)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        with closing(pipeline.records()) as records:
            with pytest.raises(BusyError), records.alone(1):
                pytest.fail("both have it")
            process.kill()
            process.wait()
            assert "build-1" in pipeline.names("locks")
            pipeline.run()
            assert "build-1" not in pipeline.names("locks")
            with records.alone(1):
                pass


def test_a_transfer_over_sftp_goes_on_where_it_was_cut(pipeline: Uploading, tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    data = bytes(1 << 20)
    digest = hashlib.sha256(data).hexdigest()
    pieces = [data[at : at + 1024] for at in range(0, len(data), 1024)]
    with serving(tmp_path / "srv", SftpFaults(cut=20)) as server:
        with closing(remote_of(server.place)) as remote:
            for _ in range(2):
                with pytest.raises(RemoteTransientError):
                    remote.write_on("crm/1/big", pieces, len(data), digest)
            kept = remote.kept("crm/1/big", digest)
        assert 20 * 1024 <= kept < len(data)
        server.faults = SftpFaults()
        server.calls.clear()
        with closing(remote_of(server.place)) as remote:
            remote.write_on("crm/1/big", pieces, len(data), digest)
            assert server.calls.count("write") <= 1024 - kept // 1024
            assert remote.kept("crm/1/big", digest) == 0
            assert pipeline.upload(remote)[0].state == "done"
    assert (tmp_path / "srv" / "crm" / "1" / "big").read_bytes() == data


@pytest.mark.skipif(SSHD is None, reason="sshd is not installed")
def test_a_kill_after_an_upload_over_sshd_is_found(pipeline: Uploading, tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    pipeline.remote = tmp_path / "srv"
    with sshd(tmp_path / "srv") as place, closing(remote_of(place)) as remote:
        pipeline.run(remote)
        with pytest.raises(Killed), faults(Calls(2)):  # done, and not out of the spool yet
            pipeline.upload(remote)
        assert len(pipeline.names("upload")) == 1
        assert pipeline.upload(remote) == []
    pipeline.run()
    pipeline.check_done()


class Dying:
    """Of a remote: the process is gone at one call of it."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __call__(self, call: str, name: str) -> None:
        self.count += 1
        if self.count == self.at:
            raise Killed


def killed_at(place: Path, number: int) -> bool:
    """Whether there was such a call, of the host or of the remote."""
    pipeline, shelf = Uploading(place), MemoryShelf()
    for path in (pipeline.remote / "crm" / "1").iterdir():
        shelf.objects[f"crm/1/{path.name}"] = path.read_bytes()
    dying, local = Dying(number), Calls(number)
    with contextlib.suppress(Killed):
        pipeline.upload(MemoryRemote(shelf, before=dying))
    with contextlib.suppress(Killed), faults(local):
        pipeline.upload(MemoryRemote(shelf))
    pipeline.upload(MemoryRemote(shelf))
    pipeline.run(MemoryRemote(shelf))
    pipeline.check_done(shelf.objects[pipeline.get().remote_path or ""])
    pipeline.check_log()
    return dying.count >= number or local.struck


@pytest.mark.slow
def test_killed_at_every_call_a_payload_is_done_once(tmp_path: Path) -> None:
    numbers = itertools.takewhile(
        lambda number: killed_at(tmp_path / str(number), number), itertools.count(1)
    )
    assert len([*numbers]) >= 4
