"""Contents that a store has lost come back from a depot: all of them, or named."""

import random
from pathlib import Path
from typing import Any

import pytest

from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.care.damage import FsckReport
from epmstore.care.heal import repair
from epmstore.digest import Sha256, identify
from epmstore.progress import SILENT
from epmstore.remotes.memory_remote import MemoryRemote, RemoteFaults
from epmstore.store.seeking import fetch_contents
from epmstore.sync.depotseeker import DepotContents
from epmstore.workspace.opening import open_store
from epmstore.workspace.remotes import seekers
from tests.sync.hosts import SITE, Site
from tests.sync.test_pushed_contents import everything_recorded, grow, make, packs_of


def mended(site: Site) -> tuple[FsckReport, list[str]]:
    """What `fsck --repair` reports, and what is said of the remotes."""
    with site.remotes() as remotes:
        found = seekers(remotes)
        report = repair(remotes._store, 1.0, seed=1, seekers=found)
        return report, [note for one in found for note in one.notes()]


def lose(site: Site) -> None:
    """All packs, and all live files that could have helped."""
    for path in sorted(site.host.path.joinpath("packs").rglob("*")):
        if path.is_file():
            path.unlink()
    for path in sorted(site.host.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def pushed(base: Path, versions: int = 4) -> Site:
    site = make(base)
    for seed in range(versions):
        grow(site, seed)
        site.push()
    return site


def readable(site: Site) -> set[str]:
    """The SHA-1 of all contents of all versions that the store gives out, and that are right."""
    with site.host.crm() as crm:
        trees = [crm.trees.at(n).entries() for n in range(crm.trees.version("latest") + 1)]
        wanted = {e.content for tree in trees for e in tree if e.content is not None}
    with open_store(site.host.path, site.host.clock, SILENT, owner="test") as store:
        missing = {*store.blobs.missing(wanted)}
        right = [i for i in wanted - missing if identify(b"".join(store.blobs.stream(i))) == i]
    return {info.digest.hex() for info in right}


def test_a_store_without_packs_gets_everything_back(tmp_path: Path) -> None:
    site = pushed(tmp_path)
    lose(site)
    report, notes = mended(site)
    assert report.clean and report.findings and not notes
    [(where, count)] = report.came
    assert where == SITE and count >= len(everything_recorded(site.host))
    assert readable(site) == everything_recorded(site.host)


def test_large_contents_come_back_part_by_part(tmp_path: Path) -> None:
    site = make(tmp_path)
    data = random.Random(3).randbytes(PART_THRESHOLD + (5 << 20))
    site.host.write("large", data)
    site.host.snapshot("large")
    site.push()
    lose(site)
    report, _ = mended(site)
    assert report.clean and readable(site) == {identify(data).digest.hex()}


def test_another_host_is_helped_by_packs_that_it_pulled(tmp_path: Path) -> None:
    one = pushed(tmp_path / "one")
    other = make(tmp_path / "other", one.shelf)
    grow(other, 0)
    with other.remotes() as remotes:
        remotes.pull(SITE)
    lose(other)
    report, notes = mended(other)
    assert report.clean and not notes and dict(report.came)[SITE]


def test_a_remote_that_fails_is_a_miss_that_is_told(tmp_path: Path) -> None:
    site = pushed(tmp_path)
    lose(site)
    site.remote = MemoryRemote(site.shelf, RemoteFaults(loss=1.0))
    report, notes = mended(site)
    assert not report.clean and not report.came
    assert len(notes) == 1 and notes[0].startswith(f"{SITE} was asked for contents, in vain")
    site.remote = MemoryRemote(site.shelf)
    report, notes = mended(site)
    assert report.clean and not notes and readable(site) == everything_recorded(site.host)


@pytest.mark.parametrize("seed", range(8))
def test_a_depot_that_lies_gives_nothing_that_is_wrong(tmp_path: Path, seed: int) -> None:
    """Bytes that changed, packs in each other's place, cut ones: named, and the rest comes."""
    site, rng = pushed(tmp_path), random.Random(seed)
    names = packs_of(site.shelf.objects)
    name, good = rng.choice(names), dict(site.shelf.objects)
    data = bytearray(good[name])
    match seed % 4:
        case 0:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1:
            data = data[: rng.randrange(len(data))]
        case 2:
            data = bytearray(rng.randbytes(len(data)))
        case _:
            data = bytearray(good[names[names.index(name) - 1]])
    lose(site)
    site.shelf.objects[name] = bytes(data)
    report, notes = mended(site)
    came = readable(site)
    assert came <= everything_recorded(site.host)
    assert report.clean == (came == everything_recorded(site.host))
    assert report.clean or any(name in note for note in notes)
    site.shelf.objects.update(good)
    report, _ = mended(site)
    assert report.clean and readable(site) == everything_recorded(site.host)


def test_reads_that_are_garbage_or_cut_are_never_stored(tmp_path: Path) -> None:
    site = pushed(tmp_path)
    lose(site)
    for seed in range(6):
        faults = RemoteFaults(loss=0.1, garbage=0.3, cut_reads=0.2)
        site.remote = MemoryRemote(site.shelf, faults, seed=seed)
        mended(site)
        assert readable(site) <= everything_recorded(site.host)
    site.remote = MemoryRemote(site.shelf)
    assert mended(site)[0].clean and readable(site) == everything_recorded(site.host)


def test_only_what_is_sought_is_read(tmp_path: Path) -> None:
    """One small content: not the packs."""
    site = pushed(tmp_path / "one")
    site.host.write("alone", b"by itself")
    site.host.snapshot("one more")
    site.push()
    info = identify(b"by itself")
    size = sum(len(site.shelf.objects[name]) for name in packs_of(site.shelf.objects))
    located = _seeker(site).locate([info, identify(b"nowhere")])
    assert located.contents == {info} and 0 < located.size < size // 10
    other = make(tmp_path / "other", site.shelf)
    with other.remotes() as remotes:
        remotes.pull(SITE)
    with open_store(other.host.path, other.host.clock, SILENT, owner="test") as store:
        assert fetch_contents(store, [info], _seeker(other), SILENT) == {info}
        assert b"".join(store.blobs.stream(info)) == b"by itself"


def _seeker(site: Site) -> DepotContents:
    with site.remotes() as remotes:
        [seeker] = seekers(remotes)
    return seeker


def test_a_large_content_in_the_place_of_another_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts are all right; together they are not what is sought."""
    site = make(tmp_path)
    data = random.Random(3).randbytes(PART_THRESHOLD + (5 << 20))
    site.host.write("large", data)
    site.host.snapshot("large")
    site.push()
    lose(site)

    def swapped(self: DepotContents, remote: Any, parts: list[Sha256], found: Any) -> Any:
        return true(self, remote, [*reversed(parts)], found)

    true = DepotContents._parts
    with monkeypatch.context() as patch:
        patch.setattr(DepotContents, "_parts", swapped)
        report, _ = mended(site)
    packs = [path for path in (site.host.path / "packs").rglob("*") if path.is_file()]
    assert not report.clean and sum(path.stat().st_size for path in packs) < len(data) // 2
    assert mended(site)[0].clean and readable(site) == {identify(data).digest.hex()}
