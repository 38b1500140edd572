"""What becomes of a store when one catalog in it cannot be read: a table of damage, with the index
kept or lost. Other applications never notice; nothing goes behind the damage; what is named as the
remedy works; and no number is ever given twice.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore.catalog.format import seal_line
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.salvage import sound_lines
from epmstore.clock import FixedClock
from epmstore.errors import DamagedError, EpmError
from epmstore.workspace import AppHandle, Workspace
from tests.kit.place import Node, Place, recorded

VERSIONS = 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two applications, and a copy of it."""
    base = tmp_path_factory.mktemp("damaged")
    place = Place(base)
    (base / "other").mkdir()
    (base / "other/f").write_bytes(b"of the other")
    with Workspace.open(place.path, clock=place.clock) as ws:
        ws.apps.add("other", base / "other")
        ws.app("other").snapshot()
    for number in range(VERSIONS):
        place.write(f"f{number}", b"%d" % number)
        place.write("all", b"version %d" % number)
        place.snapshot(f"v{number}")
        if number == 2:
            with place.crm() as crm:
                crm.tag("golden", "1")
    with Workspace.open(place.path, clock=place.clock) as ws:
        ws.care.copy(base / "copy")
    return base


class Ruin(Place):
    """All of it, to be ruined."""

    def __init__(self, made: Path, base: Path) -> None:
        shutil.copytree(made, base / "w", symlinks=True)
        self.base = base / "w"
        self.root = self.base / "root"
        self.path = self.base / "store"
        self.clock = FixedClock(1_800_000_000.0)
        with self.open_all() as ws:
            ws.apps.move("crm", self.root)
            ws.apps.move("other", self.base / "other")
            ws.app("crm").snapshot()
            self.uuid = ws.app("crm").app.uuid
            self.trees = [recorded(ws.app("crm"), n) for n in range(VERSIONS)]
        self.catalog = self.path / f"catalogs/{self.uuid}.syscat.zst"
        self.whole = self.catalog.read_bytes()
        self.lines = [(at, end) for at, end, _ in sound_lines(self.catalog)]
        self.was = self.chain()

    def open_all(self) -> Workspace:
        return Workspace.open(self.path, clock=self.clock)

    def chain(self) -> list[str]:
        return [hashlib.sha256(plain).hexdigest() for _, _, plain in sound_lines(self.catalog)]

    def mend(self, *, accept_loss: bool = False) -> None:
        Workspace.mend(self.path, accept_loss=accept_loss, clock=self.clock)

    def clear(self, line: int, *, at: int = 70, length: int = 8) -> int:
        """Bytes of a line are gone."""
        with self.catalog.open("r+b") as file:
            file.seek(self.lines[line][0] + at)
            return file.write(bytes(length))

    def refuse(self, line: int) -> None:
        """A line says what no reader takes, and is sealed and chained like any other."""
        plains = [plain for _, _, plain in sound_lines(self.catalog)]
        head = hashlib.sha256(plains[line]).hexdigest()
        plains[line] = plains[line].replace(b'"kind":"change"', b'"kind":"nobody"')
        for number in range(line + 1, len(plains)):
            now = hashlib.sha256(plains[number - 1]).hexdigest()
            before, head = head, hashlib.sha256(plains[number]).hexdigest()
            plains[number] = plains[number].replace(before.encode(), now.encode())
        self.catalog.write_bytes(b"".join(map(seal_line, plains)))


@pytest.fixture
def ruin(made: Path, tmp_path: Path) -> Ruin:
    return Ruin(made, tmp_path)


DAMAGE: dict[str, Callable[[Ruin], object]] = {
    "first": lambda ruin: ruin.clear(0),
    "middle": lambda ruin: ruin.clear(2),
    "a fact": lambda ruin: ruin.clear(3),
    "last": lambda ruin: ruin.clear(-1),
    "two": lambda ruin: [ruin.clear(line) for line in (1, 4)],
    "a seal": lambda ruin: ruin.clear(2, at=0),
    "all": lambda ruin: ruin.catalog.write_bytes(bytes(len(ruin.whole))),
    "shorter": lambda ruin: ruin.catalog.write_bytes(ruin.whole[: ruin.lines[3][1]]),
    "cut": lambda ruin: ruin.catalog.write_bytes(ruin.whole[: ruin.lines[4][0] + 40]),
    "empty": lambda ruin: ruin.catalog.write_bytes(b""),
    "lost": lambda ruin: ruin.catalog.unlink(),
    "refused": lambda ruin: ruin.refuse(2),
    "a line less": lambda ruin: ruin.catalog.write_bytes(
        ruin.whole[: ruin.lines[1][0]] + ruin.whole[ruin.lines[1][1] :]
    ),
}
OLDER = ("shorter", "empty", "lost")
SEEN_ALONE = [kind for kind in DAMAGE if kind not in OLDER]
"""What a catalog shows itself; of the others, witnesses say that they are of an earlier day."""


def check_others(ruin: Ruin) -> None:
    """Nobody else is hindered."""
    (ruin.base / "other/f").write_bytes(b"changed")
    with ruin.open_all() as ws:
        other = ws.app("other")
        before = other.versions()[-1].version
        assert other.snapshot().version == before + 1
        (ruin.base / "third").mkdir(exist_ok=True)
        if "third" not in [app.key for app in ws.apps.list()]:
            ws.apps.add("third", ruin.base / "third")
        ws.care.gc()
        ws.care.forget("other", [0])
        ws.care.gc()
        ws.care.doctor()
        ws.care.stats()
        assert [entry.path for entry in other.ls("latest")] == ["f"]
    (ruin.base / "other/f").write_bytes(b"of the other")


def check_refused(ruin: Ruin) -> None:
    """Nothing is recorded behind damage, and it says what to do."""
    size = ruin.catalog.stat().st_size if ruin.catalog.exists() else None
    ruin.write("more", b"more")
    with ruin.open_all() as ws:
        for act in (ws.app("crm").snapshot, lambda: ws.app("crm").pin("4")):
            with pytest.raises(EpmError) as caught:
                act()
            assert caught.value.exit_code in (5, 6)
        assert ws.app("crm").reading.damage() is not None
        assert "store restore --from" in str(ws.app("crm").reading.damage().hint)  # type: ignore[union-attr]
        assert ws.damaged()
    assert (ruin.catalog.stat().st_size if ruin.catalog.exists() else None) == size


def check_whole(ruin: Ruin) -> None:
    """The history is what it was, to the byte, and goes on."""
    assert ruin.chain() == ruin.was
    with ruin.open_all() as ws:
        crm = ws.app("crm")
        assert [recorded(crm, number) for number in range(VERSIONS)] == ruin.trees
        assert crm.reading.state().tags == {"golden": 1}
        assert crm.reading.damage() is None
        assert ws.care.fsck(1.0).clean
    assert next_number(ruin) == VERSIONS


def next_number(ruin: Ruin) -> int:
    ruin.write("next", b"next")
    return ruin.snapshot()


def check_goes_on(ruin: Ruin, top: int) -> None:
    """A history with a gap: numbers are new, the newest version is right, and all is in order."""
    with ruin.open_all() as ws:
        assert ws.app("crm").reading.damage() is None
        there = [info.version for info in ws.app("crm").versions()]
    assert next_number(ruin) > max([top, *there])
    live: dict[str, Node] = {
        str(path.relative_to(ruin.root)): path.read_bytes() for path in ruin.root.iterdir()
    }
    for _ in range(2):
        with ruin.open_all() as ws:
            crm = ws.app("crm")
            assert recorded(crm, crm.trees.version("latest")) == live
            numbers = [info.version for info in crm.versions()]
            assert numbers == sorted(set(numbers))
            report = ws.care.fsck(1.0)
            assert report.clean, report.findings
            check_readable(ruin, crm)
        ruin.mend()
        ruin.drop_index()


def check_readable(ruin: Ruin, crm: AppHandle) -> None:
    """Every version that is there is right, or says that it is not; nothing is planned by one that
    is not.
    """
    for info in crm.versions()[: VERSIONS - 1]:
        try:
            found = recorded(crm, info.version)
        except DamagedError as error:
            assert "COPY" in str(error.hint)
            with pytest.raises(EpmError) as caught:
                crm.plan(str(info.version))
            assert caught.value.exit_code == 6
            continue
        if info.version < VERSIONS and info.label and info.label.startswith("v"):
            assert found == ruin.trees[info.version]


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.slow
def test_with_the_index_nothing_is_lost(ruin: Ruin, kind: str) -> None:
    DAMAGE[kind](ruin)
    check_refused(ruin)
    with ruin.open_all() as ws:
        assert [recorded(ws.app("crm"), number) for number in range(VERSIONS)] == ruin.trees
    check_others(ruin)
    ruin.mend()
    check_whole(ruin)


@pytest.mark.parametrize("kind", SEEN_ALONE)
@pytest.mark.slow
def test_without_it_what_is_sound_is_read_and_the_history_can_go_on(ruin: Ruin, kind: str) -> None:
    DAMAGE[kind](ruin)
    ruin.drop_index()
    check_refused(ruin)
    check_others(ruin)
    with ruin.open_all() as ws:
        check_readable(ruin, ws.app("crm"))
    assert Workspace.rebuild(ruin.path, clock=ruin.clock)
    check_refused(ruin)
    ruin.mend(accept_loss=True)
    check_goes_on(ruin, VERSIONS - 1)


WITNESSES = ("live/*", "newest.json")


@pytest.mark.parametrize("left", WITNESSES)
@pytest.mark.parametrize("kind", OLDER)
@pytest.mark.slow
def test_a_catalog_of_an_earlier_day_goes_on_behind_a_gap(ruin: Ruin, kind: str, left: str) -> None:
    """Once somebody has accepted that: nobody is told less than was recorded without a word."""
    DAMAGE[kind](ruin)
    ruin.drop_index()
    for pattern in set(WITNESSES) - {left}:
        for path in ruin.path.glob(pattern):
            path.unlink()
    check_refused(ruin)
    check_others(ruin)
    with ruin.open_all() as ws:
        [finding] = ws.care.fsck().findings
    assert finding.file == f"catalogs/{ruin.catalog.name}" and finding.kind == "torn"
    assert str(VERSIONS - 1) in finding.detail
    ruin.mend(accept_loss=True)
    check_goes_on(ruin, VERSIONS - 1)
    with ruin.crm() as crm:
        assert [gap.last for gap in crm.reading.state().gaps] == [VERSIONS - 1]


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("index", ["kept", "lost"])
@pytest.mark.slow
def test_a_copy_brings_everything_back(ruin: Ruin, kind: str, index: str) -> None:
    DAMAGE[kind](ruin)
    if index == "lost":
        ruin.drop_index()
    before = {p: p.read_bytes() for p in (ruin.base / "copy").rglob("*") if p.is_file()}
    found = Workspace.restore(ruin.path, ruin.base / "copy", clock=ruin.clock)
    assert found.report.clean
    assert not found.rebuilt.damage
    check_whole(ruin)
    assert {p: p.read_bytes() for p in (ruin.base / "copy").rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_numbers_of_an_older_catalog_are_not_given_again(ruin: Ruin) -> None:
    """Neither where the index knows of more, nor where only the stat cache does."""
    ruin.write("more")
    assert ruin.snapshot() == VERSIONS
    ruin.catalog.write_bytes(ruin.whole)
    ruin.drop_index()
    ruin.write("again")
    check_refused(ruin)
    ruin.mend(accept_loss=True)
    assert ruin.snapshot() == VERSIONS + 1
    with ruin.crm() as crm:
        assert [(gap.first, gap.last) for gap in crm.reading.state().gaps] == [(VERSIONS, VERSIONS)]
    check_goes_on(ruin, VERSIONS + 1)


@pytest.mark.slow
def test_mend_names_and_keeps_versions_only_the_index_knows(
    ruin: Ruin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its lines cannot be made again, to the byte: those of a program of another day."""
    ruin.catalog.write_bytes(ruin.whole[: ruin.lines[2][1]])
    index = (ruin.path / "index.sqlite").read_bytes()
    monkeypatch.setattr("epmstore.store.catalog_repair.IndexLines.lines", lambda *_: iter(()))
    with pytest.raises(DamagedError, match="versions 3 to 4") as caught:
        ruin.mend()
    assert "--accept-loss" in str(caught.value.hint)
    assert (ruin.path / "index.sqlite").read_bytes() == index
    ruin.mend(accept_loss=True)
    with ruin.crm() as crm:
        assert [info.version for info in crm.versions()][:3] == [0, 1, 2]
    check_goes_on(ruin, VERSIONS - 1)


def test_fsck_is_enough_to_know(ruin: Ruin) -> None:
    """Also where the times of the file say that nobody has touched it."""
    ruin.write("more")
    ruin.snapshot()
    stamp = ruin.catalog.stat()
    ruin.clear(2)
    import os  # noqa: PLC0415

    os.utime(ruin.catalog, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with ruin.open_all() as ws:
        assert not ws.care.fsck().clean
    check_refused(ruin)
    with ruin.open_all() as ws:
        assert ws.care.fsck(repair=True).clean
    check_after = CatalogFile(ruin.catalog)
    assert sum(1 for _ in check_after.read()) == len(ruin.lines) + 1


def test_a_store_that_is_gone_comes_back(ruin: Ruin) -> None:
    shutil.rmtree(ruin.path)
    assert Workspace.restore(ruin.path, ruin.base / "copy", clock=ruin.clock).report.clean
    with ruin.open_all() as ws:
        ws.apps.move("crm", ruin.root)
    check_whole(ruin)
