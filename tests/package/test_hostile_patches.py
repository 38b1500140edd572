"""Patch packages that somebody made to do harm: refused in a line that says why, and nothing is
left.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from epmstore import codec
from epmstore.blobs import frames
from epmstore.catalog.packaging import Package
from epmstore.digest import Sha256, identify
from epmstore.errors import EpmError
from epmstore.package.taking import Consent, take_package
from epmstore.progress import SILENT
from tests.kit.vendors import Importer, Vendor
from tests.package.makers import everything, pack, release
from tests.package.test_taking import take

ONE, TWO = (random.Random(seed).randbytes(9_000) for seed in (1, 2))
OLD = {"one": ONE, "two": TWO}
NEW = {"one": ONE + b"1", "two": TWO + b"2"}
BOMB = codec.compress(bytes(100 << 20))
"""A hundred megabytes of nothing."""


class Made(NamedTuple):
    patch: Path
    host: Importer


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    place = tmp_path_factory.mktemp("made")
    vendor, host = Vendor(place), Importer(place)
    release(vendor, OLD, Package(version="4.0.0", build=1))
    release(vendor, NEW, Package(version="4.1.0", build=1))
    pack(vendor, place / "full.epkg")
    with vendor.open() as ws:
        path = ws.vendors.pack("crm", 1, place, since=0).path
    take(host, place / "full.epkg")
    return Made(path, host)


def deltas(*said: tuple[bytes, bytes, bytes]) -> Callable[[sqlite3.Connection], None]:
    """Other deltas in the place of its own: of each what it should become, what it is on, and its
    frame.
    """

    def change(db: sqlite3.Connection) -> None:
        found = [frames.Delta(identify(base).sha256, frame, len(new)) for new, base, frame in said]
        db.execute("DELETE FROM blobs")
        db.execute("UPDATE frames SET bytes = ?", (frames.deltas(found).sealed(),))
        at = 0
        for (new, _, _), one in zip(said, found, strict=True):
            info = identify(new)
            row = (info.sha256, info.digest, info.size, 1, at, len(one.frame), one.base)
            db.execute("INSERT INTO blobs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            at += len(one.frame)

    return change


def delta(new: bytes, base: bytes) -> tuple[bytes, bytes, bytes]:
    return new, base, codec.compress_delta(new, base)


def sql(statement: str, *values: object) -> Callable[[sqlite3.Connection], None]:
    def change(db: sqlite3.Connection) -> None:
        db.execute(statement, values)

    return change


def swollen(db: sqlite3.Connection) -> None:
    deltas((NEW["one"], ONE, BOMB), SECOND)(db)
    db.execute("UPDATE blobs SET size = ?", (100 << 20,))


SECOND = delta(NEW["two"], TWO)
NOBODYS = b"no release has this" * 100
CHANGES: dict[str, tuple[Callable[[sqlite3.Connection], None], str]] = {
    "base swapped": (
        deltas((NEW["one"], TWO, codec.compress_delta(NEW["one"], ONE)), SECOND),
        "",
    ),
    "base swapped in the table": (
        sql("UPDATE blobs SET base = ?", identify(TWO).sha256),
        "is not where it is said to lie",
    ),
    "another content": (
        deltas((NEW["one"], ONE, codec.compress_delta(ONE + b"!", ONE)), SECOND),
        "is another content",
    ),
    "a bomb": (deltas((NEW["one"], ONE, BOMB), SECOND), ""),
    "a bomb that says its size": (swollen, "no release has the content"),
    "on what no release has": (
        deltas(delta(NEW["one"], NOBODYS), SECOND),
        "is a difference to what no release has",
    ),
    "on a delta": (
        deltas(delta(NEW["one"], NEW["two"]), SECOND),
        "is a difference to a difference",
    ),
    "on itself": (
        deltas(delta(NEW["one"], NEW["one"]), SECOND),
        "is a difference to a difference",
    ),
    "a full content with a base": (
        sql("UPDATE frames SET bytes = ?", frames.solid([NEW["one"], NEW["two"]]).sealed()),
        "is not where it is said to lie",
    ),
    "the first line is gone": (
        sql("DELETE FROM catalog WHERE seq = (SELECT min(seq) FROM catalog)"),
        "",
    ),
    "lines said to begin earlier": (sql("UPDATE catalog SET seq = seq - 1"), "another one here"),
    "lines said to begin later": (sql("UPDATE catalog SET seq = seq + 9"), "which is not here"),
    "another product": (
        sql("UPDATE catalog SET product = ?", "1" * 32),
        "which is not here",
    ),
}


def test_the_sound_one_is_taken(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "changed.epkg"
    shutil.copyfile(made.patch, path)
    with closing(sqlite3.connect(path)) as db, db:
        deltas(delta(NEW["one"], ONE), SECOND)(db)
    host = Importer(tmp_path)
    take(host, made.patch.with_name("full.epkg"))
    assert take(host, path).release.version == 1


@pytest.mark.parametrize("name", CHANGES)
def test_another_is_refused_with_a_reason(made: Made, tmp_path: Path, name: str) -> None:
    path, (change, reason) = tmp_path / "changed.epkg", CHANGES[name]
    shutil.copyfile(made.patch, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        change(db)
        db.execute("VACUUM")
    before = everything(made.host)
    with made.host.open() as ws, pytest.raises(EpmError) as caught:
        take_package(ws._store, path, Consent(), SILENT)
    assert caught.value.exit_code in (5, 6, 7) and reason in caught.value.message
    assert caught.value.message and "\n" not in caught.value.message
    assert everything(made.host) == before and made.host.latest() == 0


def test_a_base_that_is_a_delta_here_is_no_base(made: Made, tmp_path: Path) -> None:
    """The content comes, and is stored in full."""
    host = Importer(tmp_path)
    place = tmp_path / "more"
    place.mkdir()
    vendor = Vendor(place)
    for number, more in enumerate((b"", b"1", b"12")):
        release(vendor, {"one": ONE + more}, Package(version=f"4.{number}.0", build=1))
        with vendor.open() as ws:
            since = number - 1 if number else None
            take(host, ws.vendors.pack("crm", number, place, since=since).path)
    names = [identify(ONE + more).sha256 for more in (b"", b"1", b"12")]
    with host.open() as ws:
        found = ws._store.contents.places(list(map(Sha256, names)))
        assert [found[name].base for name in names] == [None, names[0], None]
        assert ws._store.blobs.read(identify(ONE + b"12")) == ONE + b"12"
