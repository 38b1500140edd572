"""Pulling facts: what is known of another host is what it signed, or what was known before."""

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore.errors import EpmError, NoStoreError, RemoteTransientError
from epmstore.refcat.signature import make_signature
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.memory_remote import MemoryRemote, MemoryShelf, RemoteFaults
from epmstore.remotes.web_remote import WebRemote
from epmstore.sync.depot import head_name
from epmstore.sync.judging import HeadFinding
from epmstore.sync.pulling import PullResult
from tests.kit.faults import Calls, Killed, faults
from tests.remotes.contract import everything
from tests.remotes.webserver import serving
from tests.sync.hosts import SITE, STEP, Site, copied, copied_with_depot
from tests.sync.test_pushing import CutOff, history_here


class Pair:
    """One host that pushed, and one that reads it."""

    def __init__(self, base: Path) -> None:
        self.one = Site(base / "one")
        self.two = Site(base / "two", self.one.shelf)
        self.writer = self.one.add()
        self.two.add()
        self.one.record("a")
        self.one.push()

    @property
    def shelf(self) -> MemoryShelf:
        return self.one.shelf

    def news(self, content: str) -> None:
        self.one.record(content)
        self.one.push()


def pull(site: Site, *, forget: list[str] | None = None, dry_run: bool = False) -> PullResult:
    with site.remotes() as remotes:
        return remotes.pull(SITE, forget=forget or (), dry_run=dry_run)


def known(site: Site, writer: str) -> dict[str, bytes]:
    """What is kept of a host, by name."""
    where = site.host.path / "remotes" / SITE / "hosts" / writer
    return {path.name: path.read_bytes() for path in where.glob("*")} if where.is_dir() else {}


def history_known(site: Site, writer: str) -> bytes:
    [data] = [data for name, data in known(site, writer).items() if name.endswith(".zst")]
    return data


@pytest.fixture(scope="module")
def first_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def pair(first_pair: Pair, tmp_path: Path) -> Pair:
    """A copy of one that was made once; the root is the same."""
    made = copy.copy(first_pair)
    made.one = copied_with_depot(first_pair.one, tmp_path / "one")
    made.two = copied(first_pair.two, tmp_path / "two")
    made.two.shelf, made.two.remote = made.one.shelf, MemoryRemote(made.one.shelf)
    return made


def test_histories_of_others_come_byte_for_byte(pair: Pair) -> None:
    [host] = pull(pair.two).hosts
    assert (host.writer, host.number, host.is_new) == (pair.writer, 1, True)
    [app] = host.apps
    assert (app.key, app.version) == ("crm", 0)
    assert history_known(pair.two, pair.writer) == history_here(pair.one)
    for content in ("b", "c", "d" * 5000):
        pair.news(content)
        [host] = pull(pair.two).hosts
        assert not host.is_new and host.apps[0].lines == 1
        assert history_known(pair.two, pair.writer) == history_here(pair.one)
    assert pull(pair.two) == PullResult((), ())
    assert pull(pair.one) == PullResult((), ()), "a host does not pull itself"


def test_a_dry_run_takes_nothing(pair: Pair) -> None:
    [host] = pull(pair.two, dry_run=True).hosts
    assert host.apps[0].lines > 0 and known(pair.two, pair.writer) == {}


def test_a_history_without_new_versions_comes_too(pair: Pair) -> None:
    pull(pair.two)
    with pair.one.host.crm() as crm:
        crm.marking.tag("golden", 0)
    pair.one.push()
    [host] = pull(pair.two).hosts
    assert host.apps[0].version == 0
    assert history_known(pair.two, pair.writer) == history_here(pair.one)


def test_an_old_history_and_several_segments_come_together(pair: Pair) -> None:
    for n in range(6):
        pair.news(f"content {n}" * (7 - n) * 50)
    pull(pair.two)
    assert history_known(pair.two, pair.writer) == history_here(pair.one)


def finding(site: Site, fault: str) -> HeadFinding:
    result = pull(site)
    assert result.hosts == ()
    [found] = result.findings
    assert found.fault == fault
    return found


def withhold(pair: Pair, old: dict[str, bytes]) -> str:
    del pair.shelf.objects[head_name(pair.writer)]
    return "withheld"


def roll_back(pair: Pair, old: dict[str, bytes]) -> str:
    pair.shelf.objects[head_name(pair.writer)] = old[head_name(pair.writer)]
    return "rolled_back"


def cut(pair: Pair, old: dict[str, bytes]) -> str:
    name = head_name(pair.writer)
    pair.shelf.objects[name] = pair.shelf.objects[name][:-300]
    return "bad"


def oversize(pair: Pair, old: dict[str, bytes]) -> str:
    pair.shelf.objects[head_name(pair.writer)] += bytes(9 << 20)
    return "bad"


def swap(pair: Pair, old: dict[str, bytes]) -> str:
    """The head of the reader itself, which is in order, under another name."""
    pair.two.record("x")
    mine = pair.two.push().done
    assert mine is not None
    pair.shelf.objects[head_name(pair.writer)] = mine.data
    return "bad"


def lose_segment(pair: Pair, old: dict[str, bytes]) -> str:
    for name in [n for n in pair.shelf.objects if f"{pair.writer}/" in n and n not in old]:
        del pair.shelf.objects[name]
    return "bad"


def spoil_segment(pair: Pair, old: dict[str, bytes]) -> str:
    for name in [n for n in pair.shelf.objects if f"{pair.writer}/" in n and n not in old]:
        pair.shelf.objects[name] = bytes(len(pair.shelf.objects[name]))
    return "bad"


HARMS = [withhold, roll_back, cut, oversize, swap, lose_segment, spoil_segment]


@pytest.mark.parametrize("harm", HARMS)
def test_each_harm_is_named_and_what_is_known_stays(
    pair: Pair, harm: Callable[[Pair, dict[str, bytes]], str]
) -> None:
    old = dict(pair.shelf.objects)
    pair.news("b")
    if harm not in (lose_segment, spoil_segment):
        pull(pair.two)
    else:
        aside = dict(pair.shelf.objects)
        pair.shelf.objects.update(old)
        pull(pair.two)
        pair.shelf.objects.update(aside)
    fault = harm(pair, old)
    before = known(pair.two, pair.writer)
    found = finding(pair.two, fault)
    assert found.hint and known(pair.two, pair.writer) == before
    # the command that helps: at the host that wrote it
    pair.one.push(anew=True)
    [host] = pull(pair.two).hosts
    assert host.writer == pair.writer
    assert history_known(pair.two, pair.writer) == history_here(pair.one)


def test_another_head_of_the_same_number_is_a_fork(pair: Pair, tmp_path: Path) -> None:
    clone = copied(pair.one, tmp_path / "clone")
    pair.news("b")
    pull(pair.two)
    theirs = dict(pair.shelf.objects)
    pair.shelf.objects.pop(head_name(pair.writer))
    clone.host.clock.advance(7)
    with contextlib.suppress(EpmError):
        clone.push()
    clone.push(anew=True)
    assert pair.shelf.objects[head_name(pair.writer)] != theirs[head_name(pair.writer)]
    before = known(pair.two, pair.writer)
    found = finding(pair.two, "forked")
    assert f"--forget {pair.writer}" in found.hint
    assert known(pair.two, pair.writer) == before
    [host] = pull(pair.two, forget=[pair.writer]).hosts
    assert host.is_new


def test_a_newer_head_with_another_history_is_a_fork(pair: Pair, tmp_path: Path) -> None:
    clone = copied(pair.one, tmp_path / "clone")
    pair.news("b")
    pull(pair.two)
    clone.host.clock.advance(7)
    clone.host.root = pair.one.host.root
    clone.record("another")
    clone.push(anew=True)
    clone.record("and another")
    clone.push()
    before = known(pair.two, pair.writer)
    finding(pair.two, "forked")
    assert known(pair.two, pair.writer) == before


def test_a_history_that_is_not_the_one_that_was_signed_is_refused(pair: Pair) -> None:
    secret = (pair.one.host.path / "remotes" / SITE / "secret").read_bytes()
    name = head_name(pair.writer)
    line = pair.shelf.objects[name].partition(b"\n")[0] + b"\n"
    for old, new in ((b'"version":0', b'"version":7'), (b'"number":1', b'"number":9')):
        forged = line.replace(old, new)
        assert forged != line
        pair.shelf.objects[name] = forged + make_signature(forged, secret)
        if b'"version":7' in forged:
            finding(pair.two, "bad")
            assert known(pair.two, pair.writer) == {}
        else:
            assert pull(pair.two).hosts[0].number == 9


def test_a_head_of_a_later_release_keeps_none_of_the_others(pair: Pair, tmp_path: Path) -> None:
    three = Site(tmp_path / "three", pair.shelf)
    three.add()
    three.record("x")
    three.push()
    secret = (pair.one.host.path / "remotes" / SITE / "secret").read_bytes()
    name = head_name(pair.writer)
    line = pair.shelf.objects[name].partition(b"\n")[0] + b"\n"
    later = line.replace(b'"features":[]', b'"features":["zones"]')
    pair.shelf.objects[name] = later + make_signature(later, secret)
    result = pull(pair.two)
    assert len(result.hosts) == 1
    [found] = result.findings
    assert found.fault == "newer" and "zones" in found.message and "release" in found.hint


def test_a_pull_that_is_cut_off_at_any_call_is_done_by_the_next(pair: Pair, tmp_path: Path) -> None:
    pull(pair.two)
    pair.news("b")
    n = 1
    while True:
        two = copied(pair.two, tmp_path / str(n))
        cut_off = CutOff(n, after=False)
        two.remote = MemoryRemote(pair.shelf, before=cut_off)
        with contextlib.suppress(Killed):
            pull(two)
        two.remote = MemoryRemote(pair.shelf)
        assert pull(two).findings == ()
        assert history_known(two, pair.writer) == history_here(pair.one)
        if cut_off.count < n:
            break
        n += STEP
    assert n > 3


@pytest.mark.slow
def test_a_pull_that_is_killed_at_any_local_call_is_done_by_the_next(
    pair: Pair, tmp_path: Path
) -> None:
    pull(pair.two)
    pair.news("b")
    n = 1
    while True:
        two = copied(pair.two, tmp_path / str(n))
        calls = Calls(n)
        with contextlib.suppress(Killed), two.remotes() as remotes, faults(calls):
            remotes.pull(SITE)
        assert pull(two).findings == ()
        assert history_known(two, pair.writer) == history_here(pair.one)
        if not calls.struck:
            break
        n += STEP
    assert n > 8


def test_a_damaged_copy_is_pulled_again(pair: Pair) -> None:
    pull(pair.two)
    where = pair.two.host.path / "remotes" / SITE / "hosts" / pair.writer
    for name in ("key", "head"):
        (where / name).write_bytes(b"damaged")
        [host] = pull(pair.two).hosts
        assert host.is_new
        assert history_known(pair.two, pair.writer) == history_here(pair.one)


def test_a_stale_listing_hides_nobody_that_is_known(pair: Pair) -> None:
    pull(pair.two)
    pair.news("b")
    pair.two.remote = MemoryRemote(pair.shelf, RemoteFaults(stale=900))
    [host] = pull(pair.two).hosts
    assert host.number == 2


def test_a_remote_that_is_gone_is_an_error_and_no_finding(pair: Pair) -> None:
    pull(pair.two)
    pair.two.remote = MemoryRemote(pair.shelf, RemoteFaults(loss=1))
    with pytest.raises(RemoteTransientError):
        pull(pair.two)
    pair.shelf.objects.clear()
    pair.two.remote = MemoryRemote(pair.shelf)
    with pytest.raises(NoStoreError):
        pull(pair.two)


def test_a_folder_that_a_web_server_serves_is_a_depot(pair: Pair, tmp_path: Path) -> None:
    depot = tmp_path / "depot"
    for name, data in pair.shelf.objects.items():
        (depot / name).parent.mkdir(parents=True, exist_ok=True)
        (depot / name).write_bytes(data)
    assert everything(FolderRemote(depot)) == pair.shelf.objects
    with serving(depot) as url, contextlib.closing(WebRemote(url)) as web:
        pair.two.remote = web
        with pair.two.remotes() as remotes:
            assert remotes.pull(SITE).hosts == ()  # it lists nothing
            [host] = remotes.pull(SITE, hosts=[pair.writer]).hosts
        assert host.apps[0].key == "crm"
