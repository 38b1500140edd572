"""Contestants at work: chains of stages, in turn, each contestant in a place of its own.

What a contestant made goes when its last stage is over: all that is there at one time has to fit
into the page cache, or the later ones in a round would find the disk where the first ones found
memory.
"""

import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from string import Template

from benchmarks.contestants import Contestant
from benchmarks.measure import CommandError, apparent_bytes, timed, untimed
from benchmarks.results import Results
from benchmarks.scratch import INODE_RATIO, Scratch
from benchmarks.stages import (
    CHAINS,
    EDITS,
    HUGE,
    SLOW_FROM,
    Release,
    Stage,
    apply_release,
    facts,
    make_huge,
    make_tenth,
)

HUGE_BYTES = 1 << 30
COPIES = 6
"""Of a tree, for which there is room where a contestant works."""


class Place:
    """Where one contestant works during one chain: a folder of its own below `work`."""

    def __init__(self, contestant: Contestant, older: Path, work: Path) -> None:
        self.contestant = contestant
        self.older = older
        self.home = work / contestant.name / "home"
        self.root = self.home / "root" if contestant.owns_root else older
        self.out = self.home / "out"
        self.sizes: dict[str, int] = {}

    def text(self, template: str) -> str:
        names = {"home": self.home, "root": self.root, "older": self.older, "out": self.out}
        return Template(template).safe_substitute(names)

    @property
    def env(self) -> dict[str, str]:
        return {name: self.text(value) for name, value in self.contestant.env.items()}

    def prepare(self) -> None:
        """A fresh store and, where a stage changes it, a fresh copy of the tree."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        if self.contestant.owns_root:
            untimed(f"cp -a {self.older} {self.root}", self.home, {})
        if self.contestant.setup:
            untimed(self.text(self.contestant.setup), self.root, self.env)

    def stored(self) -> dict[str, int]:
        return {
            part: apparent_bytes(self.home, *patterns)
            for part, patterns in self.contestant.stored.items()
        }


class Bench:
    """Runs chains of stages over one tree and collects what they took."""

    def __init__(
        self,
        contestants: list[Contestant],
        older: Path,
        release: Release,
        results: Results,
        *,
        stages: frozenset[str] | None = None,
    ) -> None:
        self.contestants = contestants
        self.older = older
        self.release = release
        self.results = results
        self._work = older.parent / "work"
        # small files run out of inodes before they run out of bytes
        of_bytes = COPIES * results.tree_bytes + (HUGE_BYTES << 2)
        self._size = max(of_bytes, COPIES * results.files * INODE_RATIO)
        self._stages = stages
        self._original = ""

    def run_chain(self, chain: str, turn: int) -> None:
        """Another one begins in each turn."""
        first = turn % len(self.contestants)
        ordered = self.contestants[first:] + self.contestants[:first]
        self._run(chain, ordered)

    def run_apart(self, chain: str) -> None:
        """One after the other: for trees of which only one fits the disk or the page cache."""
        for one in self.contestants:
            self._run(chain, [one])

    def _run(self, chain: str, ordered: list[Contestant]) -> None:
        stages = [s for s in CHAINS[chain] if self._stages is None or s.name in self._stages]
        tree = self._tree_of(chain)
        with ExitStack() as stack:
            ready: list[tuple[Place, Scratch]] = []
            for one in ordered:
                if any(self._takes_part(one, stage) for stage in stages):
                    scratch = Scratch(self._work / one.name, self._size)
                    stack.enter_context(scratch)
                    self.results.place = scratch.kind
                    place = Place(one, tree, self._work)
                    if self._prepare(chain, place):
                        ready.append((place, scratch))
            for number, stage in enumerate(stages):
                for place, scratch in ready:
                    if self._takes_part(place.contestant, stage):
                        self._run_stage(stage, place, scratch)
                    if not any(self._takes_part(place.contestant, s) for s in stages[number + 1 :]):
                        scratch.remove()

    def _takes_part(self, one: Contestant, stage: Stage) -> bool:
        if stage.name in one.costly and self.results.files >= SLOW_FROM:
            return False
        return stage.name in one.stages

    def _prepare(self, chain: str, place: Place) -> bool:
        """Whether the contestant is ready for the chain; why not is noted."""
        try:
            place.prepare()
            if chain == "touched":
                untimed(place.text(place.contestant.stages["cold"]), place.root, place.env)
                place.sizes = place.stored()
                apply_release(place.root, self.release, touch=True)
        except CommandError as error:
            self._fail(place, f"before {chain}", error)
            return False
        return True

    def _tree_of(self, chain: str) -> Path:
        if chain == "tenth":
            return make_tenth(self.older, self.older.with_name(self.older.name + ".tenth"))
        if chain == "huge":
            return make_huge(self.older.parent / "huge", HUGE_BYTES)
        return self.older

    def _run_stage(self, stage: Stage, place: Place, scratch: Scratch) -> None:
        one = place.contestant
        _make_ready(stage, place, self.release)
        try:
            if stage.name in one.before:
                untimed(place.text(one.before[stage.name]), place.root, place.env)
            begun = scratch.written()
            sample = timed(place.text(one.stages[stage.name]), place.root, place.env)
            ended = scratch.written()
            if begun is not None and ended is not None:
                sample = sample._replace(written_bytes=ended - begun)
            if stage.name in one.after:
                untimed(place.text(one.after[stage.name]), place.root, place.env)
            self._verify(stage, place)
        except CommandError as error:
            self._fail(place, stage.name, error)
            return
        print(f"{one.name:14} {stage.name:8} {sample.seconds:8.3f} s", file=sys.stderr, flush=True)
        found = self.results.of(stage.name, one.name)
        found.samples.append(sample)
        before, place.sizes = place.sizes, place.stored()
        found.stored = place.sizes
        found.grown = {part: size - before.get(part, 0) for part, size in place.sizes.items()}

    def _verify(self, stage: Stage, place: Place) -> None:
        """Raises CommandError if what a checkout wrote is not the original tree."""
        written = {"back": place.root, "full": place.out}.get(stage.name)
        if written is None or not place.contestant.verified:
            return
        self._original = self._original or facts(self.older)
        if facts(written) != self._original:
            raise CommandError(f"{written} is not identical to {self.older}")

    def _fail(self, place: Place, what: str, error: CommandError) -> None:
        name, reason = place.contestant.name, error.args[0].splitlines()[0]
        reason = reason.replace(str(place.home), "$home").replace(str(place.older), "$older")
        self.results.failures.append(f"{name}, {what}: {reason}")
        print(f"{name:14} FAILED {what}: {error}", file=sys.stderr, flush=True)


def _make_ready(stage: Stage, place: Place, release: Release) -> None:
    """What happens to the root before a stage."""
    if stage.name == "patch":
        apply_release(place.root, release)
    if stage.name == "full":
        place.out.mkdir()
    if stage.name in EDITS:
        shutil.copy2(place.older / HUGE, place.root / HUGE)
        EDITS[stage.name](place.root / HUGE)
