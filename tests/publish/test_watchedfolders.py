"""What appears in a watched folder becomes a record, once, and when it is whole."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from epmstore.errors import ConflictError, DamagedError, NotFoundError
from epmstore.publish.lifecycle import ReadyBuilds
from epmstore.publish.watchedfolders import WatchedFolder, unwatch, watch, watched_folders
from tests.publish.test_prepare import Pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    made = Pipeline(tmp_path / "place")
    (made.place / "builds").mkdir()
    folder = str(made.place / "builds")
    watch(made.spool, WatchedFolder(folder=folder, product="crm", kind="patch", payload="tar.gz"))
    return made


def build(pipeline: Pipeline, name: str, age: float) -> None:
    folder = pipeline.place / "builds" / name
    folder.mkdir()
    (folder / "crmd").write_text(name)
    pipeline.clock.set(max(pipeline.clock.now(), folder.stat().st_ctime + age))


def test_a_build_that_holds_still_is_added_once(pipeline: Pipeline) -> None:
    build(pipeline, "crm-4.1", 0.0)
    (pipeline.place / "builds" / ".crm-4.2").mkdir()
    (pipeline.place / "builds" / "notes.txt").touch()
    (pipeline.place / "builds" / "latest").symlink_to("crm-4.1")
    pipeline.run()
    with pytest.raises(NotFoundError):
        pipeline.get()
    pipeline.clock.advance(601)
    (found,) = pipeline.run()
    assert (found.path, found.kind) == (str(pipeline.place / "builds" / "crm-4.1"), "patch")
    os.utime(pipeline.place / "builds" / "crm-4.1")
    pipeline.clock.advance(601)
    assert pipeline.run() == []


def test_a_build_that_cannot_be_read_hinders_no_other(pipeline: Pipeline) -> None:
    build(pipeline, "a-deep", 0.0)
    top = pipeline.place / "builds" / "a-deep"
    fd = os.open(top, os.O_RDONLY)
    for _ in range(25):  # longer than a path may be
        os.mkdir("n" * 200, dir_fd=fd)
        fd, before = os.open("n" * 200, os.O_RDONLY, dir_fd=fd), fd
        os.close(before)
    os.close(fd)
    build(pipeline, "crm-4.1", 601.0)
    found = {Path(one.path).name: one for one in pipeline.run()}
    shutil.rmtree(top)
    assert found["crm-4.1"].error is None
    assert found["a-deep"].error


def test_a_watched_folder_that_is_not_there_is_said_when_all_else_is_done(
    pipeline: Pipeline,
) -> None:
    (pipeline.place / "builds").rmdir()
    pipeline.add()
    with pytest.raises(NotFoundError, match="watched folder"):
        pipeline.run()
    pipeline.check_prepared()


def test_watching_is_said_anew_and_ends(pipeline: Pipeline) -> None:
    (one,) = watched_folders(pipeline.spool)
    watch(pipeline.spool, msgspec.structs.replace(one, product="erp"))
    assert [found.product for found in watched_folders(pipeline.spool)] == ["erp"]
    unwatch(pipeline.spool, one.folder)
    with pytest.raises(ConflictError):
        unwatch(pipeline.spool, one.folder)
    assert watched_folders(pipeline.spool) == []
    pipeline.spool.watched.write_text("[{}]")
    with pytest.raises(DamagedError):
        watched_folders(pipeline.spool)


def test_only_builds_that_are_ready_are_prepared(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "place", ready=ReadyBuilds(("patch",)))
    pipeline.add()
    pipeline.add()
    pipeline.add()
    with closing(sqlite3.connect(pipeline.spool.database)) as database, database:
        database.execute("UPDATE builds SET kind = 'patch' WHERE number > 1")
        database.execute("UPDATE builds SET path = '' WHERE number = 3")  # a tracker's, planned
    assert [found.number for found in pipeline.run()] == [2]
    assert not ReadyBuilds(states=("",)).has(msgspec.structs.replace(pipeline.get(), state="error"))
