"""Preparing on real folders: what comes out, what fails, and a kill at every call."""

import contextlib
import gc
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from epmstore import codec
from epmstore.clock import FixedClock
from epmstore.errors import RemoteDeniedError
from epmstore.publish.build import Author, BuildDraft, BuildRecord
from epmstore.publish.candidates import OpenNumbering
from epmstore.publish.lifecycle import EVERY_BUILD, ReadyBuilds, moved
from epmstore.publish.payload import make_payload
from epmstore.publish.prepare import Preparer
from epmstore.publish.spoolfolder import SpoolSettings, make_spool
from epmstore.publish.sqliterecords import SqliteRecords
from epmstore.refcat.signature import check_signature, make_key, read_key
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.memory_remote import MemoryRemote
from epmstore.remotes.remote import Remote
from tests.kit.faults import Calls, Killed, faults, full

ME = Author("rel", "flow")


class Pipeline:
    """A spool, a folder as the remote and one build."""

    def __init__(
        self, place: Path, *, sign: Path | None = None, ready: ReadyBuilds = EVERY_BUILD
    ) -> None:
        self.place = place
        self.remote = place / "remote"
        self.remote.mkdir(parents=True)
        self.build_folder = place / "crm-4.1"
        (self.build_folder / "bin").mkdir(parents=True)
        (self.build_folder / "bin" / "crmd").write_bytes(os.urandom(9000))
        (self.build_folder / "link").symlink_to("bin/crmd")
        settings = SpoolSettings(str(self.remote), None if sign is None else str(sign), ready=ready)
        self.spool = make_spool(place / "spool", settings, lambda _: True)
        self.clock = FixedClock()

    def add(self, payload: str = "tar.gz", path: Path | None = None) -> BuildRecord:
        source = str(path or self.build_folder)
        draft = BuildDraft(product="crm", kind="full", payload=payload, path=source)
        with closing(self.records()) as records:
            return records.add(draft, ME, self.clock.now())

    def records(self) -> SqliteRecords:
        return SqliteRecords(self.spool.database, self.spool.locks)

    def run(
        self,
        elsewhere: Remote | None = None,
        *,
        at_once: bool = False,
        catalogs: OpenNumbering | None = None,
    ) -> list[BuildRecord]:
        with closing(self.records()) as records, closing(FolderRemote(self.remote)) as folder:
            remote = elsewhere or folder
            made = Preparer(self.spool, records, remote, ME, self.clock, catalogs=catalogs)
            return list(made.run(at_once=at_once))

    def get(self, number: int = 1) -> BuildRecord:
        with closing(self.records()) as records:
            return records.get(number)

    def move(self, event: str) -> None:
        with closing(self.records()) as records:
            records.change(moved(records.get(1), event, self.clock.now()), ME, 1.0, event)

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.spool.path / folder).iterdir())

    def payload(self) -> Path:
        (name,) = self.names("upload")
        return self.spool.upload / name

    def arrive(self) -> None:
        """As an uploader does it."""
        target = self.remote / (self.get().remote_path or "")
        shutil.move(self.payload(), target)

    def check_prepared(self) -> None:
        """Everything is as after a run that nothing interrupted."""
        build, data = self.get(), self.payload().read_bytes()
        assert (build.state, build.size) == ("in_process", len(data))
        assert build.sha256 == hashlib.sha256(data).hexdigest()
        assert self.names("temp") == []
        beside = self.remote / "crm" / "1"
        firsts = {path.suffix: path.read_text().split()[0] for path in beside.glob("[!.]*")}
        assert firsts == {
            ".MD5": build.md5, ".SHA1": build.sha1, ".SHA256": build.sha256,
            ".filesize": str(build.size),
        }  # fmt: skip
        self.check_log()

    def check_log(self) -> None:
        with closing(self.records()) as records:
            table = records.log(0)
        lines = [json.loads(line) for line in self.spool.log.read_text().splitlines()]
        assert [line["number"] for line in lines] == [*range(1, len(table) + 1)]
        assert [line["to"] for line in lines] == [line.after for line in table]


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    yield Pipeline(tmp_path / "place")


@pytest.mark.parametrize("payload", ["tar.gz", "tar.zst"])
def test_a_folder_becomes_a_payload_with_its_sidecars(pipeline: Pipeline, payload: str) -> None:
    pipeline.add(payload)
    pipeline.run()
    pipeline.check_prepared()
    file = pipeline.payload()
    with file.open("rb") as raw:
        plain = raw if payload == "tar.gz" else codec.open_stream(raw)
        mode = "r|gz" if payload == "tar.gz" else "r|"
        with tarfile.open(fileobj=plain, mode=mode) as tar:  # type: ignore[call-overload]
            tar.extractall(pipeline.place / "out", filter="data")
    found = pipeline.place / "out" / "crm-4.1" / "link"
    assert found.read_bytes() == (pipeline.build_folder / "bin" / "crmd").read_bytes()


def test_one_build_is_packed_to_the_same_bytes(pipeline: Pipeline) -> None:
    build = pipeline.add()
    one = make_payload(build, pipeline.spool.temp)
    pipeline.clock.advance(1000)
    assert make_payload(build, pipeline.spool.temp) == one


def test_a_payload_is_signed_if_there_is_a_key(tmp_path: Path) -> None:
    secret, public = make_key("vendor")
    (tmp_path / "key").write_bytes(secret)
    pipeline = Pipeline(tmp_path / "place", sign=tmp_path / "key")
    pipeline.add()
    pipeline.run()
    signature = pipeline.remote / f"{pipeline.get().remote_path}.asc"
    key = read_key(public)
    now = key.expires or 4e9
    assert check_signature(pipeline.payload(), signature.read_bytes(), [key], now) == key
    assert pipeline.names("temp") == []


def test_a_payload_that_arrived_is_done_and_ready(pipeline: Pipeline) -> None:
    pipeline.add()
    pipeline.run()
    assert pipeline.run() == []
    pipeline.arrive()
    (done,) = pipeline.run()
    assert (done.state, done.association) == ("done", "ready")
    assert pipeline.run() == []


def test_a_build_that_is_not_there_is_tried_again_and_hinders_no_other(pipeline: Pipeline) -> None:
    pipeline.add(path=pipeline.place / "later")
    pipeline.add()
    missing, right = pipeline.run()
    assert (missing.state, right.state) == ("error", "in_process")
    assert "build not found" in (missing.error or "")
    (pipeline.place / "later").mkdir()
    assert pipeline.run() == []
    pipeline.clock.advance(60)
    (found,) = pipeline.run()
    assert (found.number, found.state, found.error) == (1, "in_process", None)


def test_a_build_that_changes_while_it_is_packed_is_not_published(pipeline: Pipeline) -> None:
    pipeline.add()

    def grow(call: str, arguments: tuple[object, ...]) -> None:
        if call == "write":
            (pipeline.build_folder / "more").write_text("x")

    with faults(grow):
        (found,) = pipeline.run()
    assert found.state == "error"
    assert "changed while it was packed" in (found.error or "")
    assert pipeline.names("temp") == pipeline.names("upload") == []
    pipeline.run(at_once=True)
    pipeline.check_prepared()


def test_a_remote_without_room_is_an_error_that_is_tried_again(pipeline: Pipeline) -> None:
    pipeline.add()
    calls = itertools.count()

    def no_room(call: str, arguments: tuple[object, ...]) -> None:
        if call == "mkdir" and next(calls) == 0:
            raise full()

    with faults(no_room):
        (found,) = pipeline.run()
    assert found.state == "error"
    pipeline.run(at_once=True)
    pipeline.check_prepared()


def test_a_full_spool_is_said_and_holds_no_build(pipeline: Pipeline) -> None:
    pipeline.add()

    def no_room(call: str, arguments: tuple[object, ...]) -> None:
        if call == "write":
            raise full()

    with faults(no_room):
        for _ in range(12):
            (found,) = pipeline.run(at_once=True)
    assert (found.state, found.error) == (
        "error", f"there is no room for the payload in {pipeline.spool.path}",
    )  # fmt: skip
    pipeline.run(at_once=True)
    pipeline.check_prepared()


def test_a_compressor_that_an_error_left_writes_into_no_other_file(pipeline: Pipeline) -> None:
    build = pipeline.add()
    with pytest.raises(OSError, match="No space") as caught, faults(Calls(1, full, only="write")):
        make_payload(build, pipeline.spool.temp)
    others = [(pipeline.place / f"other{number}").open("wb") for number in range(4)]
    with contextlib.ExitStack() as stack:
        for other in others:  # one of them has the number that the payload had
            stack.enter_context(other)
        del caught
        gc.collect()
        assert [os.fstat(other.fileno()).st_size for other in others] == [0] * 4


def test_sidecars_of_a_payload_that_came_to_nothing_go_from_the_remote(pipeline: Pipeline) -> None:
    pipeline.add()

    def killed(call: str, arguments: tuple[object, ...]) -> None:
        if call == "rename" and str(arguments[1]).endswith(".filesize"):
            raise Killed

    with pytest.raises(Killed), faults(killed):
        pipeline.run()
    first = pipeline.get().remote_path
    assert len([*(pipeline.remote / "crm" / "1").glob("[!.]*")]) == 3
    (pipeline.build_folder / "more").write_text("built again")
    pipeline.run(at_once=True)
    assert pipeline.get().remote_path != first
    pipeline.check_prepared()


def test_clearing_what_was_withdrawn_waits_after_a_failure(pipeline: Pipeline) -> None:
    pipeline.add()
    pipeline.run()
    pipeline.move("withdraw")

    def denied(call: str, name: str) -> None:
        raise RemoteDeniedError(f"{call} is denied")

    (found,) = pipeline.run(MemoryRemote(before=denied))
    assert (found.state, found.failures, found.error) == ("withdrawn", 1, "delete is denied")
    assert pipeline.run() == []
    pipeline.clock.advance(60)
    (found,) = pipeline.run()
    assert (found.remote_path, found.error) == (None, None)


def test_a_payload_that_is_damaged_on_the_remote_is_made_anew(pipeline: Pipeline) -> None:
    pipeline.add()
    pipeline.run()
    pipeline.arrive()
    with (pipeline.remote / (pipeline.get().remote_path or "")).open("r+b") as file:
        file.write(b"damage")  # of the same size
    (found,) = pipeline.run()
    assert found.state == "error"
    pipeline.run(at_once=True)
    assert pipeline.get().state == "in_process"


@pytest.mark.parametrize("state", ["in_process", "done"])
def test_a_record_that_was_moved_by_hand_is_denied_by_the_disk(
    pipeline: Pipeline, state: str
) -> None:
    pipeline.add()
    with closing(sqlite3.connect(pipeline.spool.database)) as database, database:
        database.execute("UPDATE builds SET state = ?", (state,))
    (found,) = pipeline.run()
    assert found.state == "error"
    assert "moved by hand" in (found.error or "")


def test_a_held_build_leaves_the_spool_and_comes_back(pipeline: Pipeline) -> None:
    pipeline.add()
    pipeline.run()
    pipeline.move("hold")
    assert pipeline.run() == []
    assert pipeline.names("upload") == []
    pipeline.move("unhold")
    pipeline.run()
    pipeline.check_prepared()


def test_a_withdrawn_build_leaves_the_remote(pipeline: Pipeline) -> None:
    pipeline.add()
    pipeline.run()
    pipeline.arrive()
    pipeline.run()
    pipeline.move("withdraw")
    pipeline.run()
    assert [*(pipeline.remote / "crm" / "1").iterdir()] == []
    assert pipeline.run() == []


def test_a_torn_line_of_the_log_is_written_again(pipeline: Pipeline) -> None:
    pipeline.add()
    pipeline.run()
    data = pipeline.spool.log.read_bytes()
    pipeline.spool.log.write_bytes(data[:-9])
    pipeline.run()
    assert pipeline.spool.log.read_bytes() == data


def kill_at_every_call(place: Path, event: str) -> int:
    """How many places there were to be killed at."""
    for number in itertools.count(1):
        pipeline = Pipeline(place / str(number))
        pipeline.add()
        if event == "arrived":
            pipeline.run()
            pipeline.arrive()
        calls = Calls(number)
        try:
            with faults(calls):
                pipeline.run()
        except Killed:
            pass
        pipeline.run()
        if event == "prepared":
            pipeline.check_prepared()
        else:
            assert pipeline.get().state == "done"
            pipeline.check_log()
        if not calls.struck:
            return number - 1
        shutil.rmtree(pipeline.place)
    raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize(("event", "least"), [("prepared", 30), ("arrived", 2)])
def test_killed_at_every_call_the_next_run_finds_it(tmp_path: Path, event: str, least: int) -> None:
    assert kill_at_every_call(tmp_path, event) >= least
