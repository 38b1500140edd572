"""Measure epmstore against the tools that are installed, and write a report: `make bench`.

Contestants take turns within each stage (A, B, A, B; another one begins in each round), each on its
own copy of the tree and with its own store, all on one file system, which as root is a new one for
each chain. Work is in benchmarks/.cache/work. What a checkout wrote is compared with the original,
outside the measured time: a quick wrong answer is a failure.

    make bench                               kernel source, all chains, five rounds
    make bench ARGS='--rounds 1 --tree small'           try whether everything works
    make bench ARGS='--chain main --peers epmstore,git,cp'
"""

import argparse
import compileall
import os
import shutil
import sys
from pathlib import Path
from string import Template

import epmstore
import epmstored
from benchmarks import queries, trees
from benchmarks.contestants import ALL, Contestant
from benchmarks.measure import CommandError, apparent_bytes, timed, untimed
from benchmarks.report import Results, overview, write_report
from benchmarks.scratch import Scratch
from benchmarks.stages import (
    CHAINS,
    EDITS,
    HUGE,
    Release,
    Stage,
    apply_release,
    compare_releases,
    facts,
    files_of,
    make_huge,
    make_small,
    make_tenth,
)

WORK = trees.CACHE / "work"
REPORT = Path(__file__).with_name("report.md")
HUGE_BYTES = 1 << 30


class Place:
    """Where one contestant works during one chain."""

    def __init__(self, contestant: Contestant, older: Path) -> None:
        self.contestant = contestant
        self.older = older
        self.home = WORK / contestant.name
        self.root = self.home / "root" if contestant.owns_root else older
        self.out = self.home / "out"
        self.sizes: dict[str, int] = {}

    def text(self, template: str) -> str:
        names = {"home": self.home, "root": self.root, "older": self.older, "out": self.out}
        return Template(template).safe_substitute(names)

    @property
    def env(self) -> dict[str, str]:
        return {name: self.text(value) for name, value in self.contestant.env.items()}

    def clear(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)

    def prepare(self) -> None:
        """A fresh store and, where a stage changes it, a fresh copy of the tree."""
        self.clear()
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
    """Runs chains of stages and collects what they took."""

    def __init__(self, contestants: list[Contestant], older: Path, release: Release) -> None:
        self.contestants = contestants
        self.older = older
        self.release = release
        self.original = facts(older)
        self.scratch = Scratch(WORK)

    def run_chain(self, chain: str, results: Results, turn: int) -> None:
        stages = CHAINS[chain]
        self.scratch.renew()
        results.place = self.scratch.kind
        first = turn % len(self.contestants)
        ordered = self.contestants[first:] + self.contestants[:first]
        tree = self.tree_of(chain)
        taking_part = [
            Place(one, tree) for one in ordered if {s.name for s in stages} & set(one.stages)
        ]
        ready = [place for place in taking_part if self.prepare(chain, place, results)]
        for stage in stages:
            for place in ready:
                if stage.name in place.contestant.stages:
                    self.run_stage(stage, place, results)

    def prepare(self, chain: str, place: Place, results: Results) -> bool:
        """Whether the contestant is ready for the chain; why not is noted."""
        try:
            place.prepare()
            if chain == "touched":
                untimed(place.text(place.contestant.stages["cold"]), place.root, place.env)
                place.sizes = place.stored()
                apply_release(place.root, self.release, touch=True)
        except CommandError as error:
            name = place.contestant.name
            results.failures.append(f"{name}, before {chain}: {error.args[0].splitlines()[0]}")
            print(f"{name:9} FAILED before {chain}: {error}", file=sys.stderr, flush=True)
            return False
        return True

    def tree_of(self, chain: str) -> Path:
        if chain == "tenth":
            return make_tenth(self.older, self.older.with_name(self.older.name + ".tenth"))
        if chain == "huge":
            return make_huge(trees.CACHE / "huge", HUGE_BYTES)
        return self.older

    def run_stage(self, stage: Stage, place: Place, results: Results) -> None:
        one = place.contestant
        if stage.name == "patch":
            apply_release(place.root, self.release)
        if stage.name == "full":
            place.out.mkdir()
        if stage.name in EDITS:
            shutil.copy2(place.older / HUGE, place.root / HUGE)
            EDITS[stage.name](place.root / HUGE)
        try:
            if stage.name in one.before:
                untimed(place.text(one.before[stage.name]), place.root, place.env)
            sample = timed(place.text(one.stages[stage.name]), place.root, place.env)
            if stage.name in one.after:
                untimed(place.text(one.after[stage.name]), place.root, place.env)
            self.verify(stage, place)
        except CommandError as error:
            results.failures.append(f"{one.name}, {stage.name}: {error.args[0].splitlines()[0]}")
            print(f"{one.name:9} {stage.name:8} FAILED: {error}", file=sys.stderr, flush=True)
            return
        print(f"{one.name:9} {stage.name:8} {sample.seconds:8.3f} s", file=sys.stderr, flush=True)
        results.add(stage.name, one.name, sample)
        before, place.sizes = place.sizes, place.stored()
        if place.sizes:
            results.stored[stage.name, one.name] = place.sizes
            grown = {part: size - before.get(part, 0) for part, size in place.sizes.items()}
            results.grown[stage.name, one.name] = grown

    def verify(self, stage: Stage, place: Place) -> None:
        """Raises CommandError if what a checkout wrote is not the original tree."""
        written = {"back": place.root, "full": place.out}.get(stage.name)
        if written is not None and place.contestant.verified and facts(written) != self.original:
            raise CommandError(f"{written} is not identical to {self.older}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure epmstore against other tools.")
    parser.add_argument("--rounds", type=int, default=5, help="of every chain (default: 5)")
    parser.add_argument("--tree", choices=[*trees.SOURCES, "small"], default="linux")
    parser.add_argument("--chain", action="append", choices=list(CHAINS), help="default: all")
    parser.add_argument("--peers", help="names with commas between them (default: all installed)")
    parser.add_argument(
        "--no-queries", dest="queries", action="store_false", help="leave out the index (P8)"
    )
    parser.add_argument("--out", type=Path, default=REPORT, help="default: benchmarks/report.md")
    return parser.parse_args()


def choose_contestants(names: str | None, results: Results) -> list[Contestant]:
    chosen = [one for one in ALL if names is None or one.name in {*names.split(","), "epmstore"}]
    results.absent = [one for one in chosen if not one.is_installed()]
    for one in results.absent:
        print(f"{one.name} is not installed: {one.install}", file=sys.stderr)
    return [one for one in chosen if one.is_installed()]


def compile_program() -> None:
    """As an installed program is: else every process of ours would compile its modules anew where
    the environment forbids that they are kept.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for package in (epmstore, epmstored):
        if not compileall.compile_dir(package.__path__[0], quiet=1):
            raise SystemExit(f"{package.__name__} does not compile")


def main() -> int:
    options = parse()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    compile_program()
    try:
        small = options.tree == "small"
        older, newer = make_small(trees.CACHE) if small else trees.fetch(options.tree)
    except trees.MissingTreeError as error:
        print(f"no trees to measure on: {error}", file=sys.stderr)
        return 1
    files = list(files_of(older))
    size = sum((older / path).lstat().st_size for path in files)
    results = Results(options.tree, len(files), size, options.rounds)
    contestants = choose_contestants(options.peers, results)
    bench = Bench(contestants, older, compare_releases(older, newer))  # this also warms the cache
    if options.queries:
        results.queries = queries.measure(trees.CACHE / "queries")
    for number in range(options.rounds):
        for chain in options.chain or CHAINS:
            if chain == "huge" and number:
                continue  # only sizes and memory count
            print(f"round {number + 1}, {chain}", file=sys.stderr, flush=True)
            bench.run_chain(chain, results, number)
        results.rounds = number + 1
        write_report(results, options.out)  # of what there is, should the rest not come
    bench.scratch.remove()
    print(overview(results))
    print(f"wrote {options.out}")
    return 1 if results.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
