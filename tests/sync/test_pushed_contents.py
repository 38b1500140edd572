"""Pushing contents: what versions need is there afterwards, wherever it was cut off."""

import contextlib
import hashlib
import random
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from epmstore.blobs.records import load_group
from epmstore.digest import identify
from epmstore.errors import EpmError
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.memory_remote import MemoryRemote, MemoryShelf, RemoteFaults
from epmstore.sync import pack_plan
from epmstore.sync.heads import Head
from tests.kit.faults import Calls, Killed, faults
from tests.kit.host import Host
from tests.sync.hosts import SITE, STEP, Site, copied, copied_with_depot
from tests.sync.test_pushing import CutOff

PAGE = Path(__file__).parents[2] / "docs/formats/pack.md"


def make(base: Path, shelf: MemoryShelf | None = None) -> Site:
    """A site whose policy is to push contents."""
    site = Site(base, shelf)
    site.add()
    with site.remotes() as remotes:
        remotes.change(SITE, policy="restorable")
    return site


def grow(site: Site, seed: int, count: int = 12) -> None:
    """A version with new, changed, large-ish and alike files."""
    rng = random.Random(seed)
    for n in range(count):
        size = rng.choice([0, 10, 3000, 60_000])
        site.host.write(f"d{rng.randrange(3)}/f{n}", rng.randbytes(size))
    text = f"line {seed}\n".encode() + b"".join(b"%d\n" % n for n in range(20_000))
    site.host.write("text", text)  # a delta, from the second on
    site.host.snapshot(f"seed {seed}")


def packs_of(objects: dict[str, bytes]) -> list[str]:
    return sorted(name for name in objects if name.endswith(".pack"))


def out_of_packs(objects: dict[str, bytes], head: Head, folder: Path) -> set[str]:
    """The SHA-1 of every content that somebody without epmstore gets out of the packs that a head
    names, with the program of docs/formats/pack.md. All of them in one file of packs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    whole = b"".join(
        objects[pack.name(head.writer, app.app)] for app in head.apps for pack in app.packs
    )
    (folder / "pack").write_bytes(whole)
    (folder / "out").mkdir()
    argv = ["", str(folder / "pack"), str(folder / "out")]
    source = code.replace("sys.argv", repr(argv))
    exec(compile(source, "pack.md", "exec"), {})
    return {path.name for path in (folder / "out").iterdir()}


def note(calls: list[tuple[str, str]], call: str, name: str) -> None:
    calls.append((call, name))


def everything_recorded(host: Host) -> set[str]:
    """The SHA-1 of all contents of all versions."""
    with host.crm() as crm:
        trees = [crm.trees.at(n).entries() for n in range(crm.trees.version("latest") + 1)]
    return {e.content.digest.hex() for tree in trees for e in tree if e.content is not None}


def live_digests(host: Host) -> set[str]:
    return {hashlib.sha1(data).hexdigest() for data in host.live().values()}


def test_contents_of_all_versions_are_in_packs_that_anybody_can_read(tmp_path: Path) -> None:
    site = make(tmp_path / "a")
    wanted: set[str] = set()
    for seed in range(5):
        grow(site, seed)
        wanted |= live_digests(site.host)
        pushed = site.push()
        assert pushed.done is not None and pushed.sent is not None and not pushed.sent.lacking
        found = out_of_packs(site.shelf.objects, pushed.done.head, tmp_path / str(seed))
        assert found == wanted
        [app] = pushed.done.head.apps
        assert app.contents is not None and app.contents.version == seed
        assert app.contents.lines == app.lines
    assert len(app.packs) < 5


def test_names_are_digests_and_tables_are_the_ends_of_packs(tmp_path: Path) -> None:
    site = make(tmp_path / "a")
    grow(site, 1)
    done = site.push().done
    assert done is not None
    [app] = done.head.apps
    for pack in app.packs:
        data = site.shelf.objects[pack.name(done.head.writer, app.app)]
        table = site.shelf.objects[pack.table_name(done.head.writer, app.app)]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (pack.size, pack.sha256)
        assert (len(table), hashlib.sha256(table).hexdigest()) == (
            pack.table.size,
            pack.table.sha256,
        )
        assert data[-96 - len(table) : -96] == table
        (tmp_path / "pack").write_bytes(data)
        assert load_group(tmp_path / "pack").blobs


def test_nothing_new_is_nothing_to_send(tmp_path: Path) -> None:
    site = make(tmp_path / "a")
    grow(site, 1)
    site.push()
    before = dict(site.shelf.objects)
    assert site.push().plan.is_nothing
    assert site.shelf.objects == before
    with site.host.crm() as crm:
        crm.tag("known", 0)
    again = site.push()
    assert again.sent is None and packs_of(site.shelf.objects) == packs_of(before)
    assert again.done is not None and again.done.head.number == 3


def test_it_has_to_be_agreed_to_anew(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.add()
    grow(site, 1)
    site.push()
    with site.remotes() as remotes:
        remotes.change(SITE, policy="restorable")
        found = remotes.push(SITE)
        assert found.done is None and found.contents is not None and found.contents.packs
        assert packs_of(site.shelf.objects) == []
        assert remotes.push(SITE, agreed=True).sent is not None
        site_again = remotes.push(SITE)
    assert site_again.plan.is_nothing


def test_secrets_never_go_whatever_they_were_once(tmp_path: Path) -> None:
    site = make(tmp_path / "a")
    site.host.write("key", b"a key that was recorded before anybody said what it is")
    site.host.write("copy", b"a secret from the beginning")
    site.host.write("plain", b"everybody may read it")
    site.host.snapshot("one")
    with site.host.open() as workspace:
        workspace.apps.set("crm", add={"secret": ["key", "other"]})
    site.host.write("other", b"a secret from the beginning")
    site.host.snapshot("two")
    pushed = site.push()
    assert pushed.done is not None
    found = out_of_packs(site.shelf.objects, pushed.done.head, tmp_path / "out")
    assert found == {hashlib.sha1(b"everybody may read it").hexdigest()}
    for name in packs_of(site.shelf.objects):
        assert b"a key" not in site.shelf.objects[name]


def test_forgotten_and_purged_contents_do_not_go(tmp_path: Path) -> None:
    site = make(tmp_path / "a")
    site.host.write("a", b"forgotten")
    site.host.write("b", b"purged")
    site.host.snapshot("one")
    site.host.write("a", b"kept")
    site.host.write("b", b"also kept")
    site.host.snapshot("two")
    with site.host.open() as workspace:
        workspace.care.forget("crm", [0])
        workspace.care.purge([content for content in workspace.care.contents_of("crm", "b")][:1])
    pushed = site.push()
    assert pushed.done is not None
    found = out_of_packs(site.shelf.objects, pushed.done.head, tmp_path / "out")
    assert hashlib.sha1(b"kept").hexdigest() in found
    assert hashlib.sha1(b"forgotten").hexdigest() not in found
    assert hashlib.sha1(b"purged").hexdigest() not in found


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_cut_off_at_any_call_it_is_done_by_the_next_and_no_pack_is_sent_twice(
    tmp_path: Path, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_plan, "FULL", 200_000)  # several packs
    monkeypatch.setattr(pack_plan, "SMALL", 10_000)
    first = make(tmp_path / "first")
    for seed in range(4):
        grow(first, seed)
    wanted = everything_recorded(first.host)
    n = 1
    while True:
        site = copied_with_depot(first, tmp_path / str(n))
        cut = CutOff(n, after=after)
        site.remote = MemoryRemote(site.shelf, before=cut)
        with contextlib.suppress(Killed):
            site.push()
        there = set(packs_of(site.shelf.objects))
        written: list[tuple[str, str]] = []
        site.remote = MemoryRemote(site.shelf, before=partial(note, written))
        done = site.push().done
        assert done is not None
        assert not there & {name for call, name in written if call == "write"}
        out = out_of_packs(site.shelf.objects, done.head, tmp_path / f"out-{n}")
        assert out == wanted
        if cut.count < n:
            break
        n += STEP
    assert n > 20 and len(packs_of(site.shelf.objects)) > 2


@pytest.mark.slow
def test_killed_at_any_local_call_it_is_done_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "depot").mkdir()
    first = Site(tmp_path / "second")
    first.remote = FolderRemote(tmp_path / "depot")
    first.add()
    with first.remotes() as remotes:
        remotes.change(SITE, policy="restorable")
    grow(first, 1, 4)
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
        objects = {o.name: b"".join(site.remote.read(o.name)) for o in site.remote.list("")}
        assert out_of_packs(objects, done.head, tmp_path / f"out-{n}") == live_digests(site.host)
        if not calls.struck:
            break
        n += 2 * STEP
    assert n > 40


@pytest.mark.slow
def test_a_large_content_goes_in_parts_and_leans_on_nothing_that_is_not_there(
    tmp_path: Path,
) -> None:
    site = make(tmp_path / "a")
    data = bytearray(random.Random(1).randbytes(1 << 20) * 65)
    site.host.write("large", bytes(data))
    site.host.snapshot("one")
    data[5 << 20 : (5 << 20) + 10] = b"0123456789"  # one part is a delta on an older one
    site.host.write("large", bytes(data))
    site.host.snapshot("two")
    with site.host.open() as workspace:
        workspace.care.forget("crm", [0])
    pushed = site.push()
    assert pushed.done is not None and pushed.sent is not None and not pushed.sent.lacking
    [app] = pushed.done.head.apps
    rows = {}
    for pack in app.packs:
        (tmp_path / "pack").write_bytes(
            site.shelf.objects[pack.name(pushed.done.head.writer, app.app)]
        )
        rows.update({row.sha256: row for row in load_group(tmp_path / "pack").blobs})
    large = rows[identify(bytes(data)).sha256]
    assert len(large.parts) > 10 and all(part in rows for part in large.parts)
    assert all(row.base is None or rows[row.base].base is None for row in rows.values())


def test_a_pack_that_is_lost_there_is_sent_again(tmp_path: Path) -> None:
    site = make(tmp_path / "a")
    grow(site, 1)
    site.push()
    [pack] = packs_of(site.shelf.objects)
    data = site.shelf.objects.pop(pack)
    site.push()
    assert site.shelf.objects[pack] == data


def test_a_pack_that_is_damaged_there_is_found_and_sent_anew(tmp_path: Path) -> None:
    site = make(tmp_path / "a")
    grow(site, 1)
    site.push()
    [pack] = packs_of(site.shelf.objects)
    data = site.shelf.objects[pack]
    site.shelf.objects[pack] = bytes(len(data))
    with site.remotes() as remotes:
        assert all(one.ok for one in remotes.check(SITE))
        [wrong] = [one for one in remotes.check(SITE, read_data=True) if not one.ok]
    assert wrong.name == "contents" and "--anew" in (wrong.hint or "")
    site.push(anew=True)
    assert site.shelf.objects[pack] == data
    with site.remotes() as remotes:
        assert all(one.ok for one in remotes.check(SITE, read_data=True))


def test_unreadable_contents_are_named_and_go_when_they_can(tmp_path: Path) -> None:
    site = make(tmp_path / "a")
    grow(site, 1)
    [log] = [p for p in (site.host.path / "packs").rglob("*") if p.is_file() and p.stat().st_size]
    good = log.read_bytes()
    log.write_bytes(good[:200] + bytes(1) + good[201:])
    pushed = site.push()
    assert pushed.sent is not None and pushed.sent.lacking["crm"] > 0
    assert pushed.done is not None and pushed.done.head.apps[0].contents is None
    log.write_bytes(good)
    again = site.push()
    assert again.done is not None and again.done.head.apps[0].contents is not None
    found = out_of_packs(site.shelf.objects, again.done.head, tmp_path / "out")
    assert found == live_digests(site.host)


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_network_is_waited_out_by_contents_too(tmp_path: Path, seed: int) -> None:
    site = make(tmp_path / "a")
    grow(site, seed)
    bad = RemoteFaults(loss=0.2, lost_acknowledgement=0.1, cut_reads=0.1, cut_writes=0.1, stale=3)
    site.remote = MemoryRemote(site.shelf, bad, seed=seed)
    for _ in range(6):
        with contextlib.suppress(EpmError):
            site.push()
    site.remote = MemoryRemote(site.shelf)
    done = site.push(anew=True).done
    assert done is not None
    found = out_of_packs(site.shelf.objects, done.head, tmp_path / "out")
    assert found == live_digests(site.host)
