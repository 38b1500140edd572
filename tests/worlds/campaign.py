"""A campaign of worlds: a seed makes a host, and what people and programs do in it; after each act
nine rules are asked (rules.py, history.py). One JSON line a world.

    python -m tests.worlds.campaign --worlds 1000 --seed 1 --out worlds.jsonl
    python -m tests.worlds.campaign --seconds 600 --seed 5000 --out worlds.jsonl
    python -m tests.worlds.campaign --seed 17 --worlds 1 --show
    python -m tests.worlds.campaign --summary worlds.jsonl

Worlds have the numbers from `--seed` on, and one number is one world. With the same `--out` those
that are in the file already are left out, so that a campaign can be run in several goes and by
several processes, each with seeds of its own. A world in which a rule is broken is made shorter
act by act, as long as the same rule breaks, and its line has the rest as a script.
"""

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from epmstore.checkout import system_packages
from epmstore.store import reserve
from tests.faults.lines import Lines
from tests.worlds import draw, history
from tests.worlds.acts import WRITING, Act, Command, Setting, as_script
from tests.worlds.rules import RULES
from tests.worlds.world import Broken, Moment, World

SCRATCH = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
ALL = {**RULES, 3: history.readable, 4: history.there_and_back, 6: history.forms_agree}
IN_ORDER = (1, 2, 3, 5, 6, 7, 8, 4, 9)
"""Those that go on with the world come last."""
TRIES = 60
"""Worlds that shortening one may take."""


class Lived(NamedTuple):
    """A world that was carried out, up to the act that broke a rule."""

    setting: Setting
    acts: tuple[Act, ...]
    broken: tuple[Broken, ...]
    commands: int


def live(seed: int, scratch: Path = SCRATCH) -> Lived:
    """The world of a seed."""
    rng = random.Random(f"world {seed}")
    setting = draw.setting(rng)
    with place(scratch) as here, world_at(here, setting) as world:
        done: list[Act] = []
        commands = 0

        def drawn() -> Iterator[Act]:
            yield from draw.beginning(rng, setting)
            for _ in range(draw.length(rng)):
                yield draw.act(rng, world)

        for act in drawn():
            done.append(act)
            commands += not hasattr(act, "path")
            if broken := [*ask(world, act, len(done), rng.random() < 0.5)]:
                return Lived(setting, tuple(done), tuple(broken), commands)
        broken = [*the_end(world, len(done), thoroughly=seed % 4 == 0)]
        return Lived(setting, tuple(done), tuple(broken), commands)


def again(setting: Setting, acts: Sequence[Act], scratch: Path = SCRATCH) -> tuple[Broken, ...]:
    """What breaks if a world is carried out once more."""
    with place(scratch) as here, world_at(here, setting) as world:
        for number, act in enumerate(acts, 1):
            if broken := [*ask(world, act, number, True)]:
                return tuple(broken)
        return tuple(the_end(world, len(acts), thoroughly=True))


@contextlib.contextmanager
def place(scratch: Path) -> Iterator[Path]:
    """A folder for one world."""
    here = Path(tempfile.mkdtemp(prefix="world-", dir=scratch))
    before = os.getcwd()
    os.chdir(here)
    try:
        yield here
    finally:
        os.chdir(before)
        shutil.rmtree(here, ignore_errors=True)


@contextlib.contextmanager
def world_at(here: Path, setting: Setting) -> Iterator[World]:
    world = World(here / "w", setting)
    try:
        yield world
    finally:
        world.close()


def ask(world: World, act: Act, number: int, with_status: bool) -> Iterator[Broken]:
    """Carry an act out, and ask the rules."""
    moment = world.do(act)
    if moment is None:
        return
    if moment.is_cut:
        yield from _broken(world, moment, number)
        return
    if with_status and not world.is_cut and isinstance(act, Command):
        moment = moment._replace(status=world.ask("status", "--scan"))
    yield from _broken(world, moment, number)


def _broken(world: World, moment: Moment, number: int) -> Iterator[Broken]:
    for rule in IN_ORDER:
        for text in ALL[rule](world, moment):
            yield Broken(rule, text, number)


def the_end(world: World, number: int, *, thoroughly: bool) -> Iterator[Broken]:
    if not world.is_set_up:
        return
    if world.is_cut:
        yield from ask(world, Command((b"recover",)), number, True)
    texts = [*history.readable_to_the_end(world, thoroughly=thoroughly)]
    texts += history.second_is_sound(world)
    if thoroughly:
        texts += history.rebuilt(world)
    for text in texts:
        yield Broken(3, text, number)


def shorter(setting: Setting, acts: Sequence[Act], kind: str, tries: int = TRIES) -> list[Act]:
    """Fewer acts after which the same breaks."""
    found, size = [*acts], max(1, len(acts) // 2)
    while tries > 0:
        at = 0
        while at < len(found) and tries > 0:
            less = found[:at] + found[at + size :]
            tries -= 1
            if any(kind_of(broken) == kind for broken in again(setting, less)):
                found = less
            else:
                at += size
        if size == 1:
            break
        size = max(1, size // 2)
    return found


def kind_of(broken: Broken) -> str:
    """The same for the same fault, whatever it is about."""
    text = re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|/\S+", "_", broken.what)
    return f"{broken.rule}: {re.sub(r'[0-9a-f]{8}|-?[0-9]+', '#', text)[:110]}"


@contextlib.contextmanager
def set_up() -> Iterator[None]:
    """Small reserves, as hundreds of stores are made; no look at the packages of this host; and
    nothing to ask at a terminal.
    """
    kept = reserve.SIZE, system_packages.owners_of.__defaults__, sys.stdin, dict(os.environ)
    reserve.SIZE = 1 << 16
    system_packages.owners_of.__defaults__ = (Path("/nonexistent"),)
    sys.stdin = io.StringIO()
    umask = os.umask(0o022)
    for name in ("EPMSTORE_STORE", "EPMSTORE_DEBUG"):
        os.environ.pop(name, None)
    os.environ["HOME"] = tempfile.gettempdir()
    try:
        yield
    finally:
        os.umask(umask)
        reserve.SIZE, system_packages.owners_of.__defaults__, sys.stdin = kept[:3]
        os.environ.clear()
        os.environ.update(kept[3])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first world")
    parser.add_argument("--worlds", type=int, default=0, help="so many")
    parser.add_argument("--seconds", type=float, default=0.0, help="or for so long")
    parser.add_argument("--out", type=Path, help="a file, to which lines are added")
    parser.add_argument("--show", action="store_true", help="print each world as a script")
    parser.add_argument("--keep-long", action="store_true", help="do not make worlds shorter")
    parser.add_argument("--summary", type=Path, nargs="+", help="of files of lines")
    options = parser.parse_args()
    if options.summary:
        sys.stdout.write(summary(options.summary))
        return 0
    with set_up():
        return run(options)


def run(options: argparse.Namespace) -> int:
    lines = Lines(options.out)
    known = {line["seed"] for line in lines.known}
    until = time.monotonic() + options.seconds if options.seconds else float("inf")
    last = options.seed + options.worlds if options.worlds else 1 << 62
    kinds: Counter[str] = Counter(line["kind"] for line in lines.known if line.get("kind"))
    seed = options.seed
    while seed < last and time.monotonic() < until:
        if seed not in known:
            lines.add(**line_of(seed, kinds, show=options.show, whole=options.keep_long))
        seed += 1
    return int(bool(kinds))


def line_of(seed: int, kinds: Counter[str], *, show: bool, whole: bool) -> dict[str, Any]:
    began = time.monotonic()
    try:
        lived = live(seed)
    except Exception:
        kinds["harness"] += 1
        return {"seed": seed, "kind": "harness", "trace": traceback.format_exc(limit=-5)}
    line: dict[str, Any] = {
        "seed": seed,
        "acts": len(lived.acts),
        "commands": lived.commands,
        "seconds": round(time.monotonic() - began, 3),
        "broken": [*lived.broken],
    }
    if show:
        sys.stderr.write(as_script(lived.setting, lived.acts) + "\n")
    if lived.broken:
        kind = line["kind"] = kind_of(lived.broken[0])
        kinds[kind] += 1
        acts: Sequence[Act] = lived.acts
        if kinds[kind] <= 2 and not whole:
            acts = shorter(lived.setting, acts, kind)
        line["script"] = as_script(lived.setting, acts)
    return line


def summary(paths: Sequence[Path]) -> str:
    """What came of all worlds in these files, each seed and commit counted once."""
    lines = {}
    for path in paths:
        for text in path.read_text().splitlines():
            line = json.loads(text)
            lines[line["code"], line["seed"]] = line
    whole = [line for line in lines.values() if "acts" in line]
    seconds = sum(line["seconds"] for line in whole)
    broken = Counter(line["kind"] for line in lines.values() if line.get("kind"))
    text = f"{len(lines)} worlds, {sum(x['acts'] for x in whole)} acts, "
    text += f"{sum(x['commands'] for x in whole)} commands, {seconds:.0f} s"
    text += f" ({seconds / max(1, len(whole)):.3f} s a world), {sum(broken.values())} broken\n"
    for kind, count in broken.most_common():
        first = next(line for line in lines.values() if line.get("kind") == kind)
        text += f"{count:6}  {kind}  (seed {first['seed']})\n"
    return text


if __name__ == "__main__":
    sys.exit(main())
__all__ = ["WRITING", "again", "live", "shorter"]
