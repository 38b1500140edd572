"""Measure epmstore against the tools that are installed, and write a report: `make bench`.

Contestants take turns within each stage (A, B, A, B; another one begins in each round), each on its
own copy of the tree and with its own store, all on one file system, which as root is a new one for
each chain. Work is in benchmarks/.cache/work. What a checkout wrote is compared with the original,
outside the measured time: a quick wrong answer is a failure.

A run replaces its parts in benchmarks/report.json, leaves the others, and writes report.md from
all: so a report may be made in several runs. With --more rounds are added to what is there, of the
same program on the same machine. The report is compared with the one of the last commit.

    make bench                               kernel source, all chains, five rounds, and all tables
    make bench ARGS='--trees linux --only trees'        the kernel alone, with quick peers
    make bench ARGS='--trees linux-slow --only trees'   the kernel, with slow ones
    make bench ARGS='--trees linux --only trees --more --rounds 2'      two rounds more of it
    make bench ARGS='--trees others'                    the other trees, and all tables
    make bench ARGS='--trees million --only trees'      a million files: 45 GB of disk
    make bench ARGS='--trees small --out /tmp/report.md --rounds 1'   try whether everything works
    make bench ARGS='--trees linux --only trees --chain main --peers git,cp'
"""

import argparse
import compileall
import os
import shutil
import sys
from pathlib import Path

import epmstore
import epmstored
from benchmarks import calls, daemon, plans, queries, report, space, trees
from benchmarks.chains import Bench
from benchmarks.contestants import ALL, Contestant, earlier
from benchmarks.measure import CommandError
from benchmarks.plans import PLANS
from benchmarks.results import About, Figure, Results, Table, load, load_committed
from benchmarks.scratch import Scratch
from benchmarks.stages import CHAINS, files_of

REPORT = Path(__file__).with_name("report.md")
PARTS = ("trees", "queries", "space", "daemon", "calls")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure epmstore against other tools.")
    parser.add_argument(
        "--trees", default="linux,linux-slow", help=f"of {', '.join(PLANS)}; others; all"
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, help="default: 5 for linux, less for others")
    parser.add_argument("--more", action="store_true", help="rounds, beside those that are there")
    parser.add_argument("--chain", action="append", choices=list(CHAINS), help="default: all")
    parser.add_argument("--peers", help="names with commas between them (default: all installed)")
    parser.add_argument("--before", metavar="PROGRAM", help="another epmstore, to take part too")
    parser.add_argument("--changes", type=int, default=60, help="that the daemon is shown")
    parser.add_argument("--out", type=Path, default=REPORT, help="default: benchmarks/report.md")
    options = parser.parse_args()
    names = {
        "others": ",".join(plans.OTHERS),
        "all": ",".join(("linux", "linux-slow", *plans.OTHERS)),
    }
    options.trees = names.get(options.trees, options.trees).split(",")
    options.only = options.only.split(",")
    unknown = {*options.trees} - {*PLANS} | {*options.only} - {*PARTS}
    if unknown:
        parser.error(f"not known: {', '.join(sorted(unknown))}")
    return options


def choose_contestants(names: str | None, before: str | None) -> list[Contestant]:
    chosen = [one for one in ALL if names is None or one.name in {*names.split(","), "epmstore"}]
    chosen += [] if before is None else [earlier(before)]
    for one in chosen:
        if not one.is_installed():
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


class Run:
    """One run: writes the report whenever there is more of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self.record = load(self.out.with_suffix(".json"))
        self._committed = load_committed(REPORT.with_suffix(".json"))

    def write(self) -> None:
        report.write(self.record, self._committed, self.out)

    def measure_tree(self, name: str) -> Results:
        """All rounds. Raises MissingTreeError."""
        plan, options = PLANS[name], self.options
        contestants = choose_contestants(options.peers or plan.peers, options.before)
        older, release, releases = plans.pair(name)
        files = list(files_of(older))
        size = sum((older / path).lstat().st_size for path in files)
        results = Results(name, releases, len(files), size, About.now())
        known = self.record.trees.get(name)
        if options.more and known is not None:
            if not known.is_like(results):
                raise SystemExit(
                    f"{name} was measured with another program or on another machine: no --more"
                )
            results = known
        results.versions |= {one.name: one.version_line() for one in contestants}
        bench = Bench(contestants, older, release, results, stages=plan.stages)
        self.record.trees[name] = results
        begun = results.rounds
        for number in range(begun, begun + (options.rounds or plan.rounds)):
            for chain in options.chain or plan.chains:
                if chain == "huge" and number:
                    continue  # only sizes and memory count
                print(f"{name}, round {number + 1}, {chain}", file=sys.stderr, flush=True)
                if plan.apart:
                    bench.run_apart(chain)
                else:
                    bench.run_chain(chain, number)
            self.write()  # of what there is, should the rest not come
        return results

    def warm_up(self) -> None:
        """Everybody once over a small tree: programs and libraries are in the page cache then."""
        contestants = choose_contestants(self.options.peers, self.options.before)
        older, release, releases = plans.pair("small")
        nowhere = Results("small", releases, 0, 0, About.now())
        bench = Bench(contestants, older, release, nowhere)
        bench.run_chain("main", 0)

    def measure_tables(self) -> None:
        """Raises CommandError, MissingTreeError."""
        wanted = self.options.only
        if "queries" in wanted:
            title = f"P8: {queries.VERSIONS:,} versions of {queries.PATHS:,} paths"
            self._add("queries", title, queries.measure(trees.CACHE / "queries"))
        if not {"space", "daemon", "calls"} & {*wanted}:
            return
        main = "small" if "small" in self.options.trees else report.MAIN_TREE
        older, _, _ = plans.pair(main)
        if "space" in wanted:
            with Scratch(trees.CACHE / "work") as work:
                self._add("space", space.TITLE, space.measure(work, older))
        if "daemon" in wanted:
            with Scratch(trees.CACHE / "work") as work:
                root = work / older.name
                shutil.copytree(older, root, symlinks=True)
                figures = daemon.measure({"root": root}, work / "store", self.options.changes, 30)
                self._add("daemon", daemon.TITLE, figures)
        if "calls" in wanted:
            contestants = choose_contestants(self.options.peers, self.options.before)
            self.record.calls = calls.count(contestants, older)

    def _add(self, name: str, title: str, figures: list[Figure]) -> None:
        self.record.tables[name] = Table(title, About.now(), figures)
        self.write()


def main() -> int:
    options = parse()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    compile_program()
    run = Run(options)
    failed = False
    if "trees" in options.only:
        run.warm_up()
        for name in options.trees:
            try:
                failed |= bool(run.measure_tree(name).failures)
            except trees.MissingTreeError as error:
                print(f"{name} cannot be measured on: {error}", file=sys.stderr)
                failed = True
    try:
        run.measure_tables()
    except (CommandError, trees.MissingTreeError) as error:
        print(error, file=sys.stderr)
        failed = True
    run.write()
    print(report.overview(run.record, run.record.trees.get(report.MAIN_TREE)))
    print(f"wrote {options.out}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
