"""No parser of what somebody wrote or damaged ends in anything but an error of ours, whatever it is
given; nor does it hang, take memory without bound, or change anything on disk.

EPM_TEST_PARSES sets how many mutants there are of each example, EPM_TEST_SEED which.
"""

import contextlib
import random
import resource
import shutil
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from epmstore.cli.failure import EXIT_CODES
from epmstore.errors import EpmError
from tests.cli.conftest import Cli
from tests.faults.mutants import mutants
from tests.faults.parsers import Parser, Table
from tests.faults.written import COMMANDS, Planted, World, planted
from tests.kit.program import SEED, amount

COUNT = amount("EPM_TEST_PARSES", 60)
ROOM = 256 << 20
"""Bytes that reading one mutant may take."""
SECONDS = 10.0
"""Of computing for one mutant: far more than any needs."""


class EndlessError(BaseException):
    """Nobody may take it for an error of what is read."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, old[1]))
    before = signal.signal(signal.SIGVTALRM, _end)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, old)


def _end(number: int, frame: FrameType | None) -> None:
    raise EndlessError


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return Table(World(tmp_path_factory.mktemp("parsers")))


@pytest.mark.slow
def test_no_parser_breaks(table: Table) -> None:
    broken = []
    for name, parser in table.parsers.items():
        parser.read(parser.dress(parser.example))  # or nothing would be proven
        rng = random.Random(f"{SEED}/{name}")
        with bounded():
            found = mutants(parser.example, rng, max(20, COUNT // parser.share))
            tried = ((data, attempt(parser, data)) for data in found)
            broken += [(name, data[:2000], why) for data, why in tried if why is not None]
    assert broken == []


def attempt(parser: Parser, data: bytes) -> str | None:
    """Why a mutant broke it."""
    mutant = parser.dress(data)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        parser.read(mutant)
    except EpmError as error:
        return None if error.exit_code in EXIT_CODES else f"exit code {error.exit_code}"
    except BaseException:
        return traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None


@pytest.mark.slow
def test_no_command_breaks(
    table: Table,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What stands in a store, or is named to a command, is wrong in one place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EPMSTORE_STORE", str(tmp_path / "store"))
    cli, broken = Cli(capfdbinary, tmp_path / "store"), []
    for name, one in planted(table.world).items():
        rng = random.Random(f"{SEED}/{name}")
        for data in mutants(one.example, rng, max(3, COUNT // 20)):
            command = plant(table.world, tmp_path, one, data, rng)
            with bounded():
                found = cli(*command, "--json")
            if found.code not in EXIT_CODES or '"error":"unexpected"' in found.err:
                broken.append((name, command, data[:2000], found))
    assert broken == []


def plant(
    world: World, place: Path, one: Planted, data: bytes, rng: random.Random
) -> tuple[str, ...]:
    """A copy of the store with a mutant in it, or beside it; and a command that meets it."""
    for name in ("store", "copied"):
        shutil.rmtree(place / name, ignore_errors=True)
    shutil.copytree(world.store, place / "store")
    is_named = one.path.startswith("+")
    path = place / one.path[1:] if is_named else place / "store" / one.path
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(one.dress(data))
    command = rng.choice(one.commands or COMMANDS)
    return (*command, str(path)) if is_named else command
