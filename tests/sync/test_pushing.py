"""Pushing facts: what is there afterwards is what was recorded, wherever it was cut off."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore.errors import (
    BadObjectError,
    EpmError,
    ForkError,
    NoStoreError,
    RemoteChangedError,
    RemoteDeniedError,
    RemoteHeadError,
    RemoteTransientError,
)
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.memory_remote import MemoryRemote, MemoryShelf, RemoteFaults
from epmstore.sync.depot import MARKER, head_name, key_name
from epmstore.sync.heads import Head, read_head, read_writer_key
from tests.kit.faults import Calls, Killed, faults
from tests.remotes.contract import everything
from tests.sync.hosts import SITE, STEP, Site, copied, copied_with_depot


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def depot_of(shelf: MemoryShelf) -> str:
    return str(json.loads(shelf.objects[MARKER])["depot"])


def head_of(shelf: MemoryShelf, writer: str) -> Head:
    key = read_writer_key(shelf.objects[key_name(writer)], writer)
    data = shelf.objects[head_name(writer)]
    return read_head(data, writer, depot_of(shelf), key, 2e9).head


def history_there(shelf: MemoryShelf, writer: str) -> bytes:
    """The catalog of crm that the head names."""
    [app] = head_of(shelf, writer).apps
    found = b""
    for segment in app.segments:
        data = shelf.objects[segment.name(writer, app.app)]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (segment.size, segment.sha256)
        found += data
    return found


def history_here(site: Site) -> bytes:
    [path] = (site.host.path / "catalogs").glob("*.syscat.zst")
    return path.read_bytes()


def test_the_history_is_there_byte_for_byte(site: Site) -> None:
    writer = site.add()
    site.record("a")
    done = site.push().done
    assert done is not None and done.head.number == 1 and done.head.prev is None
    assert history_there(site.shelf, writer) == history_here(site)
    site.record("b")
    again = site.push().done
    assert again is not None and (again.head.number, again.head.prev) == (2, done.digest)
    assert history_there(site.shelf, writer) == history_here(site)
    [app] = again.head.apps
    assert (app.key, app.version, app.root) == ("crm", 1, str(site.host.root))


def test_a_push_of_nothing_new_writes_nothing(site: Site) -> None:
    site.add()
    site.record("a")
    site.push()
    before = dict(site.shelf.objects)
    assert site.push().plan.is_nothing
    assert site.shelf.objects == before


def test_many_pushes_leave_few_segments(site: Site) -> None:
    writer = site.add()
    for n in range(12):
        site.record(f"content {n}")
        site.push()
    [app] = head_of(site.shelf, writer).apps
    assert len(app.segments) <= 6
    assert history_there(site.shelf, writer) == history_here(site)


def test_only_facts_go(site: Site) -> None:
    site.add()
    secret = "the content of a file is no fact"
    site.record(secret)
    site.push()
    for name, data in site.shelf.objects.items():
        assert secret.encode() not in data, name


def test_the_first_time_nothing_goes_before_it_was_seen(site: Site) -> None:
    site.add()
    site.record("a")
    with site.remotes() as remotes:
        found = remotes.push(SITE)
        assert found.done is None and [app.key for app in found.plan.apps] == ["crm"]
        assert list(site.shelf.objects) == [MARKER]
        assert remotes.push(SITE, agreed=True).done is not None
    site.record("b")
    with site.remotes() as remotes:
        assert remotes.push(SITE, dry_run=True).done is None
        assert remotes.push(SITE).done is not None


class CutOff:
    """A link that ends at the `n`-th call, before or after that had its effect."""

    def __init__(self, n: int, *, after: bool) -> None:
        self.count = 0
        self.n = n
        self.after = after

    def __call__(self, call: str, name: str) -> None:
        self.count += 1
        if self.count > self.n or (self.count == self.n and not self.after):
            raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_push_that_is_cut_off_at_any_call_is_done_by_the_next(
    tmp_path: Path, after: bool
) -> None:
    first = Site(tmp_path / "first")
    writer = first.add()
    first.record("a")
    first.push()
    first.record("b")
    n = 1
    while True:
        site = copied_with_depot(first, tmp_path / str(n))
        cut = CutOff(n, after=after)
        site.remote = MemoryRemote(site.shelf, before=cut)
        with contextlib.suppress(Killed):
            site.push()
        site.remote = MemoryRemote(site.shelf)
        done = site.push()
        assert done.done is not None
        assert history_there(site.shelf, writer) == history_here(site)
        assert head_of(site.shelf, writer).number == 2
        if cut.count < n:
            break
        n += 1
    assert n > 8


@pytest.mark.slow
def test_a_push_that_is_killed_at_any_local_call_is_done_by_the_next(tmp_path: Path) -> None:
    first = Site(tmp_path / "first")
    (tmp_path / "depot").mkdir()
    first.remote = FolderRemote(tmp_path / "depot")
    writer = first.add()
    first.record("a")
    n = 1
    while True:
        site = copied(first, tmp_path / str(n))
        depot = tmp_path / f"depot-{n}"
        shutil.copytree(tmp_path / "depot", depot)
        site.remote = FolderRemote(depot)
        calls = Calls(n)
        with contextlib.suppress(Killed), site.remotes() as remotes, faults(calls):
            remotes.push(SITE, agreed=True)
        done = site.push().done
        assert done is not None
        shelf = MemoryShelf()
        shelf.objects = everything(site.remote)
        assert history_there(shelf, writer) == history_here(site)
        if not calls.struck:
            break
        n += STEP
    assert n > 20


@pytest.mark.parametrize("seed", range(10))
def test_a_bad_network_is_waited_out(tmp_path: Path, seed: int) -> None:
    site = Site(tmp_path)
    writer = site.add()
    site.record("a")
    site.remote = MemoryRemote(
        site.shelf, RemoteFaults(loss=0.2, lost_acknowledgement=0.1, cut_reads=0.1), seed=seed
    )
    for _ in range(5):
        try:
            site.push()
            break
        except (RemoteTransientError, RemoteChangedError, BadObjectError):
            continue
    site.remote = MemoryRemote(site.shelf)
    site.push()
    assert history_there(site.shelf, writer) == history_here(site)


@pytest.mark.parametrize("faulty", [RemoteFaults(cut_writes=1), RemoteFaults(garbage=1)])
def test_a_remote_that_loses_what_is_written_is_not_believed(
    site: Site, faulty: RemoteFaults
) -> None:
    writer = site.add()
    site.record("a")
    marker = site.shelf.objects[MARKER]
    site.remote = MemoryRemote(site.shelf, faulty)
    with pytest.raises(EpmError):
        site.push()
    assert head_name(writer) not in site.shelf.objects
    assert site.shelf.objects[MARKER] == marker


def test_garbage_in_the_place_of_a_segment_is_written_again(site: Site) -> None:
    writer = site.add()
    site.record("a")
    site.push()
    [name] = [n for n in site.shelf.objects if n.count("/") == 3]
    site.shelf.objects[name] = bytes(len(site.shelf.objects[name]))
    del site.shelf.objects[head_name(writer)]
    with pytest.raises(RemoteHeadError):
        site.push()
    site.push(anew=True)
    assert history_there(site.shelf, writer) == history_here(site)


def withhold(site: Site, writer: str, old: bytes) -> None:
    del site.shelf.objects[head_name(writer)]


def roll_back(site: Site, writer: str, old: bytes) -> None:
    site.shelf.objects[head_name(writer)] = old


def cut(site: Site, writer: str, old: bytes) -> None:
    name = head_name(writer)
    site.shelf.objects[name] = site.shelf.objects[name][:500]


def swap(site: Site, writer: str, old: bytes) -> None:
    site.shelf.objects[head_name(writer)] = site.shelf.objects[key_name(writer)]


def oversize(site: Site, writer: str, old: bytes) -> None:
    site.shelf.objects[head_name(writer)] = bytes(9 << 20)


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (withhold, "withheld"),
        (roll_back, "rolled_back"),
        (cut, "bad"),
        (swap, "bad"),
        (oversize, "bad"),
    ],
)
def test_each_harm_to_its_head_is_named_and_the_command_that_is_named_helps(
    site: Site, harm: Callable[[Site, str, bytes], None], fault: str
) -> None:
    writer = site.add()
    site.record("a")
    site.push()
    old = site.shelf.objects[head_name(writer)]
    site.record("b")
    site.push()
    harm(site, writer, old)
    before = dict(site.shelf.objects)
    with pytest.raises(RemoteHeadError) as caught:
        site.push()
    assert caught.value.data["fault"] == fault and "push --anew" in (caught.value.hint or "")
    assert site.shelf.objects == before
    done = site.push(anew=True).done
    assert done is not None and done.head.number == 3
    assert history_there(site.shelf, writer) == history_here(site)
    assert site.push().plan.is_nothing


def test_a_clone_is_seen_and_gets_an_id_of_its_own(site: Site, tmp_path: Path) -> None:
    writer = site.add()
    site.record("a")
    site.push()
    clone = copied(site, tmp_path.with_name(tmp_path.name + "-clone"))
    site.record("b")
    site.push()
    clone.host.clock.advance(5)
    with pytest.raises(ForkError) as caught:
        clone.push()
    assert caught.value.exit_code == 7 and "--new-writer" in (caught.value.hint or "")
    with clone.remotes() as remotes:
        settings = remotes.change(SITE, new_writer=True)
    assert settings.writer not in (None, writer)
    done = clone.push().done
    assert done is not None and done.head.continues == writer
    assert site.push().plan.is_nothing
    assert history_there(site.shelf, writer) == history_here(site)


def test_a_host_that_lost_what_it_remembers_goes_on_where_it_was(site: Site) -> None:
    writer = site.add()
    site.record("a")
    site.push()
    (site.host.path / "remotes" / SITE / "head").unlink()
    site.record("b")
    done = site.push().done
    assert done is not None and done.head.number == 2
    assert history_there(site.shelf, writer) == history_here(site)


def test_a_history_that_went_back_is_not_taken_for_the_one_that_is_there(
    site: Site, tmp_path: Path
) -> None:
    site.add()
    site.record("a")
    site.push()
    old = copied(site, tmp_path.with_name(tmp_path.name + "-old"))
    site.record("b")
    site.push()
    for name in ("head", "next"):
        (old.host.path / "remotes" / SITE / name).unlink(missing_ok=True)
    with pytest.raises(ForkError, match="does not lead"):
        old.push()


def test_an_empty_place_is_not_filled(site: Site) -> None:
    site.add()
    site.record("a")
    site.push()
    site.shelf.objects.clear()
    with pytest.raises(NoStoreError):
        site.push()
    with pytest.raises(NoStoreError):
        site.push(anew=True)
    assert site.shelf.objects == {}


def test_another_host_with_this_key_that_is_quicker_is_not_overwritten(site: Site) -> None:
    writer = site.add()
    site.record("a")
    site.push()
    site.record("b")

    def quicker(call: str, name: str) -> None:
        if call == "replace":
            site.shelf.objects[name] = b"of the clone"

    site.remote = MemoryRemote(site.shelf, before=quicker)
    with pytest.raises((RemoteChangedError, BadObjectError)):
        site.push()
    assert site.shelf.objects[head_name(writer)] == b"of the clone"


def test_an_application_that_was_removed_is_said_to_have_ended(site: Site) -> None:
    writer = site.add()
    site.record("a")
    site.push()
    with site.host.open() as workspace:
        workspace.apps.remove("crm")
    site.push()
    [app] = head_of(site.shelf, writer).apps
    assert app.ended is not None and history_there(site.shelf, writer) == history_here(site)


class OwnFolderAlone(MemoryRemote):
    """This host may read the mark of the depot, and what it wrote itself."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if name.startswith("adopted/"):
            raise RemoteDeniedError(f"{name}: access denied")
        yield from super().read(name, start, length)


def test_a_host_that_may_read_its_own_folder_alone_can_push(site: Site) -> None:
    site.add()
    site.record("one")
    site.remote = OwnFolderAlone(site.shelf)
    assert site.push().done is not None
    site.remote = MemoryRemote(site.shelf)
    assert site.push().done is not None
