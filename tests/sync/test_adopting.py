"""Taking the place of another host: cut off anywhere, it is done by the same command."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.api import Workspace
from epmstore.care.references import APPCAT
from epmstore.catalog import appcat
from epmstore.catalog.appcat import App, AppCat
from epmstore.errors import ConflictError, EpmError
from epmstore.progress import SILENT
from epmstore.remotes.memory_remote import MemoryRemote, RemoteFaults
from epmstore.workspace.opening import open_store
from epmstore.workspace.remotes import Remotes
from tests.kit.faults import Calls, Killed, faults
from tests.kit.host import Bare, Host
from tests.sync.hosts import SITE, STEP, Site
from tests.sync.test_pushed_contents import everything_recorded, grow, make


class Heir(Site):
    """A host with an empty store, and the way to the depot of another one."""

    def __init__(self, base: Path, of: Site) -> None:
        self.bare = Bare(base / "store")
        self.shelf, self.remote = of.shelf, MemoryRemote(of.shelf)

    @contextlib.contextmanager
    def remotes(self) -> Iterator[Remotes]:
        with open_store(self.bare.path, self.bare.clock, SILENT, owner="test") as store:
            yield Remotes(store, progress=SILENT, connect=self.connect)

    def take(self, host: str) -> None:
        with self.remotes() as remotes:
            done = remotes.adopt_host(SITE, host, dead=True)
        assert not any(app.lacking for app in done.apps)


def readable(path: Path, of: Host) -> None:
    """All that was recorded can be read, and nothing is wrong with the store."""
    with Workspace.open(path, clock=of.clock) as workspace:
        assert workspace.care.fsck(read_data=1.0).clean
        crm = workspace.app("crm")
        count = len(crm.versions())
        for number in range(count):
            for entry in crm.ls(number):
                if entry.content is not None:
                    assert b"".join(crm.cat(number, entry.path)) is not None
    assert count


@pytest.mark.slow
def test_killed_at_any_local_call_it_is_done_by_the_next(tmp_path: Path) -> None:
    gone = make(tmp_path / "gone")
    grow(gone, 1, 4)
    grow(gone, 2, 4)
    gone.push()
    with gone.remotes() as remotes:
        writer = remotes.show(SITE).settings.writer
    assert writer is not None
    first = Heir(tmp_path / "first", gone)
    first.add()
    n = 1
    while True:
        heir = Heir(tmp_path / "first", gone)
        heir.bare = Bare(tmp_path / str(n))
        shutil.rmtree(heir.bare.path)
        shutil.copytree(first.bare.path, heir.bare.path, symlinks=True)
        calls = Calls(n)
        with contextlib.suppress(Killed), faults(calls):
            heir.take(writer)
        heir.take(writer)
        readable(heir.bare.path, gone.host)
        with heir.remotes() as remotes:
            settings = remotes.show(SITE).settings
            assert settings.continues == writer and remotes.push(SITE, agreed=True).done
        if not calls.struck:
            break
        shutil.rmtree(heir.bare.path)
        n += 10 * STEP
    assert n > 40


def test_a_bad_network_is_gone_on_with_and_other_histories_are_refused(tmp_path: Path) -> None:
    gone = make(tmp_path / "gone")
    for seed in range(3):
        grow(gone, seed, 4)
    gone.push()
    with gone.remotes() as remotes:
        writer = str(remotes.show(SITE).settings.writer)
    heir = Heir(tmp_path / "heir", gone)
    heir.add()
    for seed in range(20):
        faults_now = RemoteFaults(loss=0.5, garbage=0.2, cut_reads=0.2)
        heir.remote = MemoryRemote(gone.shelf, faults_now, seed=seed)
        with contextlib.suppress(EpmError):
            heir.take(writer)
            break
    heir.remote = MemoryRemote(gone.shelf)
    heir.take(writer)
    readable(heir.bare.path, gone.host)
    assert everything_recorded(gone.host)
    # what the old host recorded since is another history by now
    with Workspace.open(heir.bare.path, clock=gone.host.clock) as workspace:
        workspace.app("crm").tag("mine", 0)
    gone.host.clock.advance(60)
    with gone.host.crm() as crm:
        crm.tag("theirs", 0)
    shelf_head = gone.shelf.objects.pop(f"adopted/{writer}", None)
    assert shelf_head is None  # the heir has not pushed
    gone.push()
    with pytest.raises(ConflictError, match="another history"):
        heir.take(writer)


def test_a_registered_application_without_a_history_gets_none_that_is_foreign(
    tmp_path: Path,
) -> None:
    gone = make(tmp_path / "gone")
    grow(gone, 1, 4)
    gone.push()
    with gone.remotes() as remotes:
        writer = str(remotes.show(SITE).settings.writer)
    heir = Heir(tmp_path / "heir", gone)
    heir.add()
    (tmp_path / "root").mkdir()
    [theirs] = appcat.load(gone.host.path / "catalogs" / APPCAT).apps
    mine = App(uuid=theirs.uuid, key="crm", root=str(tmp_path / "root"))
    file = heir.bare.path / "catalogs" / APPCAT
    appcat.save(file, AppCat((mine,)))
    before = sorted(file.parent.iterdir())
    with pytest.raises(ConflictError, match="crm is registered here") as caught:
        heir.take(writer)
    assert "epmstore app remove crm" in str(caught.value.hint)
    assert appcat.load(file).apps == (mine,) and sorted(file.parent.iterdir()) == before
    with Workspace.open(heir.bare.path, clock=gone.host.clock) as workspace:
        workspace.apps.remove("crm")
    heir.take(writer)
    readable(heir.bare.path, gone.host)
