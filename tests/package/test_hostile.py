"""Packages that somebody made to do harm, or that were damaged: refused with a reason, or all that
comes is right; and nothing is left.

Most are read in this process, for it is quicker; some of each kind by the process that hosts use,
which alone may open their database. EPM_TEST_HOSTILE sets how many there are at random, and
`python -m tests.faults.packages` tries thousands by that process.
"""

import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from epmstore import limited
from epmstore.package import package_reader
from epmstore.package.inspection import look
from epmstore.package.taking import Consent, take_package
from epmstore.progress import SILENT
from tests.kit.program import amount
from tests.kit.vendors import Importer
from tests.package.hostile import CHANGES, HARMLESS, found_wrong, sound
from tests.package.hostile_random import change_at_random
from tests.package.makers import FILES

AT_RANDOM = amount("EPM_TEST_HOSTILE", 40)
REAL = ("an endless view", "a bomb of a GiB that says so", "frames swapped")
LONG = ("lines that swell", "a line of 80 MB", "a frame of 80 MB", "a bomb of a GiB", "no part")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    return sound(place)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Importer:
    return Importer(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="module")
def head(made: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return look(made, tmp_path_factory.mktemp("look"), SILENT).release.digest


@pytest.mark.parametrize("share", range(4))
def test_changes_by_hand_are_refused_with_a_reason(
    made: Path, head: str, host: Importer, tmp_path: Path, share: int
) -> None:
    assert len(CHANGES) > 300
    wrong = {}
    for name in list(CHANGES)[share::4]:
        if name in REAL or "GiB" in name or "MB" in name or "swell" in name:
            continue  # these take memory, and are for the process with limits
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        path = folder / "changed.epkg"
        shutil.copyfile(made, path)
        try:
            CHANGES[name](path)
        except sqlite3.Error as error:
            assert "no such module" in str(error), (name, error)
            continue
        what = found_wrong(host, path, head)
        is_fine = what == "taken" if name in HARMLESS else what in may_be(name)
        if not is_fine:
            wrong[name] = what
        shutil.rmtree(folder)
    assert wrong == {}


def may_be(name: str) -> tuple[str | None, ...]:
    """Bytes of pages may be some that nothing is on."""
    return (None, "taken") if "page" in name.split() else (None,)


@pytest.mark.parametrize("name", (*REAL, *LONG) if AT_RANDOM > 40 else REAL)
def test_the_process_with_limits_refuses_them_too(
    made: Path,
    head: str,
    host: Importer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """And this one opens no database but its own."""
    path = tmp_path / "changed.epkg"
    shutil.copyfile(made, path)
    CHANGES[name](path)
    monkeypatch.setattr(package_reader, "LimitedReader", limited.LimitedReader)
    opened: list[str] = []
    connect = sqlite3.connect

    def watched(database: Any, *args: Any, **said: Any) -> sqlite3.Connection:
        opened.append(str(database))
        made: sqlite3.Connection = connect(database, *args, **said)
        return made

    monkeypatch.setattr(sqlite3, "connect", watched)
    assert found_wrong(host, path, head) is None
    assert all("index.sqlite" in one or "live" in one for one in opened), opened


def test_changes_at_random_are_refused_or_harmless(
    made: Path, head: str, host: Importer, tmp_path: Path
) -> None:
    refused = 0
    for seed in range(AT_RANDOM):
        path = tmp_path / f"{seed}.epkg"
        shutil.copyfile(made, path)
        rng = random.Random(seed)
        what = change_at_random(rng, path)
        if any(word in what for word in ("GiB", "MB", "swell", "bomb")):
            continue
        found = found_wrong(host, path, head)
        assert found in (None, "taken"), what
        refused += found is None
        path.unlink()
    assert refused > AT_RANDOM // 2


def test_the_sound_one_is_taken(made: Path, tmp_path: Path) -> None:
    host = Importer(tmp_path)
    with host.open() as ws:
        arrived = take_package(ws._store, made, Consent(), SILENT)
    assert arrived.contents == len(FILES) + 1
