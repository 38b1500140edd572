"""What every Watcher promises: whatever is done to a root, the hints that follow name it.

Each one is made by a Bench, which also says how to let it notice.
"""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore.catalog.appcat import App
from epmstore.catalog.classes import Patterns, Rules
from epmstore.checkout.journal import Journal
from epmstore.errors import LimitError
from epmstore.scan.scope import WalkScope
from epmstored import inotify, kernelqueue
from epmstored.inotify import InotifyWatcher
from epmstored.kernelqueue import SharedQueue
from epmstored.polling import PollingWatcher
from epmstored.watcher import Hints, Watcher, WatchLimitError
from epmstored.watching import open_scope
from tests.checkout.test_journal import HEADER
from tests.kit.clock import FakeDaemonClock

pytestmark = pytest.mark.slow

PATTERNS = Patterns(ignore=("/cache/",), state=("/data/", "*.log"))


class Bench:
    """A root, a watcher on it, and what it said until now."""

    def __init__(self, root: Path, make: Callable[["Bench"], Watcher]) -> None:
        self.root = root
        self.clock = FakeDaemonClock()
        self._news = threading.Event()
        self.app = App(uuid="0" * 32, key="crm", root=str(root), patterns=PATTERNS)
        self.watcher = make(self)
        self.watcher.start()

    def notify(self) -> None:
        self._news.set()

    def inotify(self) -> Watcher:
        skip = frozenset({(found.st_dev, found.st_ino) for found in [os.stat(self.root / "store")]})
        scope = open_scope(self.app, Rules(PATTERNS), skip, self.root / "store")
        return InotifyWatcher(scope, self.clock, self.notify)

    def polling(self) -> Watcher:
        return PollingWatcher(self.clock, 30.0)

    def hints(self) -> Hints:
        """Everything that it notices of what was done until now: something is done last that every
        watcher must notice.
        """
        folders: set[str] = set()
        self._count = getattr(self, "_count", 0) + 1
        mark = f"mark{self._count}"
        (self.root / mark).mkdir()
        while True:
            if isinstance(self.watcher, PollingWatcher):
                self.clock.advance(30.0)
            else:
                assert self._news.wait(60), f"nothing was noticed after {folders}"
            self._news.clear()
            hints = self.watcher.take()
            folders |= hints.folders
            if hints.lost or mark in folders:
                return Hints(folders=frozenset(folders - {mark}), lost=hints.lost)

    def covers(self, *folders: str) -> bool:
        hints = self.hints()
        return hints.lost or set(folders) <= hints.folders


@pytest.fixture(params=["inotify", "polling"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    root = tmp_path / "root"
    for folder in ("bin/deep", "data/base", "cache/x", "store", "lib"):
        (root / folder).mkdir(parents=True)
    (root / "bin/tool").write_text("one")
    bench = Bench(root, getattr(Bench, request.param))
    yield bench
    bench.watcher.close()


@pytest.fixture
def events(bench: Bench) -> Bench:
    """One that names folders."""
    if isinstance(bench.watcher, PollingWatcher):
        pytest.skip("a polling watcher names no folders")
    return bench


def test_nothing_is_noticed_where_nothing_happens(bench: Bench) -> None:
    assert not bench.watcher.take()


def test_a_file_is_written(bench: Bench) -> None:
    (bench.root / "bin/tool").write_text("two")
    assert bench.covers("bin")


def test_a_file_comes_and_another_goes(bench: Bench) -> None:
    (bench.root / "lib/new").write_text("x")
    (bench.root / "bin/tool").unlink()
    assert bench.covers("lib", "bin")


def test_a_mode_changes(bench: Bench) -> None:
    (bench.root / "bin/tool").chmod(0o700)
    (bench.root / "bin/deep").chmod(0o700)
    assert bench.covers("bin", "bin/deep")


def test_an_attribute_changes(bench: Bench) -> None:
    os.utime(bench.root / "bin/tool", (1, 1))
    assert bench.covers("bin")


def test_folders_that_come_at_once_are_watched(bench: Bench) -> None:
    (bench.root / "a/b/c/d").mkdir(parents=True)
    assert bench.covers("", "a", "a/b", "a/b/c", "a/b/c/d")
    (bench.root / "a/b/c/d/file").write_text("x")
    assert bench.covers("a/b/c/d")


@pytest.fixture
def stranger(events: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """To whom folders are open as far as they are to everybody. Whoever runs this may be root."""
    opened = WalkScope.open

    def open_as_a_stranger(scope: WalkScope, folder: str) -> int | None:
        parts = folder.split("/") if folder else []
        for count in range(1, len(parts) + 1):
            if os.stat(events.root.joinpath(*parts[:count])).st_mode & 0o005 != 0o005:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        return opened(scope, folder)

    monkeypatch.setattr(WalkScope, "open", open_as_a_stranger)
    return events


def test_a_folder_that_is_opened_to_us_later_is_watched(stranger: Bench) -> None:
    """As tar makes them: opened when all is unpacked."""
    root = stranger.root
    (root / "usr").mkdir(0o700)
    (root / "usr/share/doc").mkdir(parents=True)
    assert stranger.hints().folders == {"", "usr"}
    (root / "usr").chmod(0o755)
    assert stranger.covers("", "usr", "usr/share", "usr/share/doc")
    (root / "usr/share/doc/file").write_text("x")
    assert stranger.covers("usr/share/doc")


def test_folders_made_in_a_shut_folder_are_watched_once_it_opens(stranger: Bench) -> None:
    root = stranger.root
    (root / "bin").chmod(0o700)
    (root / "bin/new/deep").mkdir(parents=True)
    assert "bin" in stranger.hints().folders
    (root / "bin").chmod(0o755)
    assert stranger.covers("bin", "bin/new", "bin/new/deep")
    (root / "bin/new/deep/file").write_text("x")
    assert stranger.covers("bin/new/deep")


def test_a_folder_that_was_shut_when_watching_began_is_watched_once_it_is_open(
    stranger: Bench,
) -> None:
    root = stranger.root
    (root / "lib").chmod(0o700)
    stranger.watcher.renew()
    (root / "lib").chmod(0o755)
    assert stranger.covers("", "lib")
    (root / "lib/file").write_text("x")
    assert stranger.covers("lib")


def test_a_shut_folder_that_goes_is_forgotten(stranger: Bench) -> None:
    """Somebody else's temporary folders come and go for as long as the daemon runs."""
    for n in range(5):
        (stranger.root / f"tmp{n}").mkdir(0o700)
        assert "" in stranger.hints().folders
        (stranger.root / f"tmp{n}").rmdir()
        assert "" in stranger.hints().folders
    assert isinstance(stranger.watcher, InotifyWatcher)
    assert stranger.watcher._shut == {}


def test_a_folder_moves_and_is_watched_under_its_new_name(bench: Bench) -> None:
    (bench.root / "bin").rename(bench.root / "lib/bin")
    assert bench.covers("", "lib", "lib/bin", "lib/bin/deep")
    (bench.root / "lib/bin/deep/file").write_text("x")
    assert bench.covers("lib/bin/deep")


def test_a_folder_is_replaced_by_another_of_its_name(bench: Bench) -> None:
    shutil.rmtree(bench.root / "bin")
    (bench.root / "bin/deep").mkdir(parents=True)
    assert bench.covers("", "bin", "bin/deep")
    (bench.root / "bin/deep/file").write_text("x")
    assert bench.covers("bin/deep")


def test_a_folder_comes_from_outside(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "outside/in").mkdir(parents=True)
    (tmp_path / "outside").rename(bench.root / "inside")
    assert bench.covers("", "inside", "inside/in")
    (bench.root / "inside/in/file").write_text("x")
    assert bench.covers("inside/in")


def test_folders_moved_out_are_watched_no_more(events: Bench, tmp_path: Path) -> None:
    (events.root / "bin").rename(tmp_path / "away")
    assert events.hints().folders == {""}
    (tmp_path / "away/deep/file").write_text("x")
    assert events.hints().folders == {""}


def test_ignored_and_state_folders_make_no_work(events: Bench) -> None:
    watched = events.watcher.watched
    (events.root / "cache/x/file").write_text("x")
    (events.root / "data/base/file").write_text("x")
    (events.root / "store/pack").write_text("x")
    assert events.hints().folders == {""}, "the mark alone"
    assert watched == 4, "the root, bin, deep and lib"


def test_a_log_that_grows_makes_no_work(events: Bench) -> None:
    log = events.root / "lib/app.log"
    log.write_text("one\n")
    assert "lib" in events.hints().folders, "that it is there, is recorded"
    log.write_text("two\n")
    assert events.hints().folders == {""}


def test_staging_folders_that_a_journal_names_make_no_work(events: Bench) -> None:
    (events.root / "store/journals").mkdir()
    journal = Journal(events.root / "store/journals" / f"{events.app.uuid}.journal")
    journal.begin(HEADER, ())
    (events.root / HEADER.stage).mkdir()
    assert events.hints().folders == {""}
    (events.root / HEADER.stage / "file").write_text("x")
    assert events.hints().folders == {""}
    (events.root / ".epm-mine").mkdir()
    assert ".epm-mine" in events.hints().folders
    (events.root / ".epm-mine/file").write_text("x")
    assert ".epm-mine" in events.hints().folders


def test_reading_is_not_noticed(events: Bench) -> None:
    (events.root / "bin/tool").read_text()
    os.listdir(events.root / "bin")
    assert events.hints().folders == {""}


def test_a_symlink_is_not_followed(events: Bench, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (events.root / "link").symlink_to(tmp_path / "elsewhere")
    assert events.hints().folders == {""}
    (tmp_path / "elsewhere/file").write_text("x")
    assert events.hints().folders == {""}


def test_an_open_file_is_said_to_be(events: Bench) -> None:
    with (events.root / "lib/growing").open("w") as file:
        file.write("half")
        file.flush()
        assert events._news.wait(60)
        hints = events.watcher.take()
        while not hints.writing:
            events._news.clear()
            assert events._news.wait(60)
            hints = events.watcher.take()
        assert hints.writing == {"lib/growing"}
        events._news.clear()
    assert events._news.wait(60)
    assert events.watcher.take().closed == {"lib/growing"}


def test_a_name_of_any_bytes(events: Bench) -> None:
    (Path(os.fsdecode(os.fsencode(events.root) + b"/\xff/sub"))).mkdir(parents=True)
    assert {"\udcff", "\udcff/sub"} <= events.hints().folders


def test_the_root_itself_goes(events: Bench, tmp_path: Path) -> None:
    events.root.rename(tmp_path / "gone")
    assert events._news.wait(60)
    assert events.watcher.take().root


def test_renewing_drops_what_is_gone_and_finds_what_came(events: Bench) -> None:
    assert isinstance(events.watcher, InotifyWatcher)
    with events.watcher._lock:  # nothing is read meanwhile, as after an overflow
        shutil.rmtree(events.root / "bin")
        (events.root / "lib/new/er").mkdir(parents=True)
    events.watcher.renew()
    events.hints()
    (events.root / "lib/new/er/file").write_text("x")
    assert events.covers("lib/new/er")
    folders = {folder.path for folder in events.watcher._by_wd.values()}
    assert not folders & {"bin", "bin/deep"}


@pytest.mark.root
def test_an_overflow_is_said(events: Bench) -> None:
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    before = limit.read_text()
    assert isinstance(events.watcher, InotifyWatcher)
    limit.write_text("8")
    try:
        small = InotifyWatcher(events.watcher._open_scope, events.clock, events.notify)
        small.start()
    finally:
        limit.write_text(before)
    events.watcher.close()
    events.watcher = small
    with small._seat._shared._lock:  # so that it cannot keep up
        for number in range(100):
            (events.root / f"lib/{number}").write_text("x")
    events._news.clear()
    lost = False
    while not lost:
        lost = small.take().lost
        if not lost:
            assert events._news.wait(60)
            events._news.clear()
    (events.root / "after").mkdir()
    small.renew()
    (events.root / "after/file").write_text("x")
    assert events.covers("after")


def queues() -> int:
    """Kernel queues that this process has."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}") == "anon_inode:inotify"
        except OSError:
            continue
    return found


def test_all_roots_share_one_queue_and_each_hears_of_its_own(tmp_path: Path) -> None:
    """Also of folders that are in two roots: one may lie in another."""
    shared, before = SharedQueue(), queues()
    outer = tmp_path / "root"
    (outer / "inner/deep").mkdir(parents=True)
    (outer / "store").mkdir()
    others = [tmp_path / f"other{number}" for number in range(6)]
    for other in others:
        (other / "store").mkdir(parents=True)

    def inotify_on(bench: Bench) -> Watcher:
        skip = frozenset({(found.st_dev, found.st_ino) for found in [os.stat(outer / "store")]})
        scope = open_scope(bench.app, Rules(PATTERNS), skip, outer / "store")
        return InotifyWatcher(scope, bench.clock, bench.notify, shared)

    benches = [Bench(root, inotify_on) for root in (outer, outer / "inner", *others)]
    assert queues() == before + 1
    (outer / "inner/deep/file").write_text("x")
    (others[3] / "file").write_text("x")
    assert benches[0].covers("inner/deep")
    assert benches[1].covers("deep")
    assert benches[5].covers("")
    assert benches[4].watcher.take().folders == frozenset()
    benches[1].watcher.close()
    (outer / "inner/deep/file").write_text("y")
    assert benches[0].covers("inner/deep"), "who goes takes no watch of another"
    for bench in (benches[0], *benches[2:]):
        bench.watcher.close()
    assert queues() == before
    assert not shared.is_open
    again = Bench(others[0], inotify_on)
    (others[0] / "file").write_text("z")
    assert again.covers("")
    again.watcher.close()


def test_who_cannot_keep_up_is_told_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernelqueue, "WAITING", 20)
    shared = SharedQueue()
    benches = []
    for name in ("slow", "quick"):
        (tmp_path / name / "store").mkdir(parents=True)

        def inotify_on(bench: Bench) -> Watcher:
            scope = open_scope(bench.app, Rules(PATTERNS), frozenset(), tmp_path)
            return InotifyWatcher(scope, bench.clock, bench.notify, shared)

        benches.append(Bench(tmp_path / name, inotify_on))
    slow, quick = benches
    assert isinstance(slow.watcher, InotifyWatcher)
    with slow.watcher._lock:
        for number in range(100):
            (slow.root / f"{number}").write_text("x")
        (quick.root / "file").write_text("x")
        assert quick.covers("")
    assert slow.hints().lost
    assert not quick.hints().lost
    for bench in benches:
        bench.watcher.close()


@pytest.mark.parametrize(
    ("code", "out", "kind", "limit"),
    [
        (errno.EMFILE, False, WatchLimitError, "fs.inotify.max_user_instances"),
        (errno.EMFILE, True, LimitError, "RLIMIT_NOFILE"),
        (errno.ENFILE, True, LimitError, "no descriptors"),
        (errno.ENOMEM, False, LimitError, "no memory"),
    ],
)
def test_of_limits_the_right_one_is_named(
    code: int, out: bool, kind: type[Exception], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "is_out_of_descriptors", lambda: out)
    found = inotify._no_queue(OSError(code, os.strerror(code)))
    assert type(found) is kind
    assert limit in str(found)


@pytest.mark.parametrize(
    ("code", "setting"), [(errno.ENOSPC, "fs.inotify.max_user_watches"), (errno.ENOMEM, "memory")]
)
def test_of_watches_too(code: int, setting: str) -> None:
    found = inotify._limit(OSError(code, os.strerror(code)))
    assert isinstance(found, WatchLimitError)
    assert setting in found.message
