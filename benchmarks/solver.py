"""The solver on needs of real packages: how long it takes to find, and to explain why not.

    python -m benchmarks.solver             2,000 products of 10 releases each
    python -m benchmarks.solver --installed 1000 --asked 200

Half of the products are installed, one release before the newest. Asked for are installs, upgrades
and removals by dice; then releases that cannot be, because they conflict with something that they
need by some steps. Times are of computing, so that a busy machine does not matter much.
"""

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from benchmarks.debian import Archive, app
from epmstore.catalog.packaging import Need, Package
from epmstore.errors import NeedsError, NoSolutionError, UnsolvedError
from epmstore.package.fitting import fits
from epmstore.package.queries import owner, why
from epmstore.package.solve import solve, uninstall
from epmstore.package.universe import InstalledRelease, ProductRelease, SolveRequest, Universe, Want
from epmstore.package.versions import Ordering

PRODUCTS = 2_000
VERSIONS = 10
SEED = 11


class Host:
    """Products of the archive, the first of them installed: one release before the newest."""

    def __init__(self, archive: Archive, count: int) -> None:
        self.by_name: dict[str, list[ProductRelease]] = {}
        for one in archive.releases:
            self.by_name.setdefault(one.product, []).append(one)
        names = list(self.by_name)
        self.there = self._peaceful(names, count)
        self.universe = Universe(
            tuple(InstalledRelease(name, self.by_name[name][-2]) for name in self.there),
            tuple(archive.releases),
        )
        self.missing = [name for name in names if name not in set(self.there)]

    def _peaceful(self, names: list[str], count: int) -> list[str]:
        """The first that do not conflict; the archive has them in an order of need."""
        orderings = {found[0].app: Ordering(found) for found in self.by_name.values()}
        there: list[ProductRelease] = []
        for name in names:
            one = self.by_name[name][-2]
            if len(there) < count and not any(
                conflicts(one, other, orderings) or conflicts(other, one, orderings)
                for other in there
            ):
                there.append(one)
        return [one.product for one in there]


def conflicts(
    one: ProductRelease, other: ProductRelease, orderings: Mapping[str, Ordering]
) -> bool:
    needs = one.package.conflicts if one.package is not None else ()
    return any(fits(other, need, orderings) for need in needs)


def outcome(ask: Callable[[], object]) -> str:
    try:
        ask()
    except UnsolvedError:
        return "not found out"
    except NoSolutionError:
        return "no solution"
    except NeedsError:
        return "needed"
    return "solved"


class Times:
    """Seconds of computing, by what was asked and what came of it."""

    def __init__(self) -> None:
        self._found: dict[str, list[float]] = {}

    def take(self, what: str, ask: Callable[[], object]) -> None:
        begun = time.process_time()
        how = outcome(ask)
        self._found.setdefault(f"{what}: {how}", []).append(time.process_time() - begun)

    def show(self) -> None:
        print("| | asked | median ms | p99 ms | worst ms |\n|---|---|---|---|---|")
        for what, samples in sorted(self._found.items()):
            samples.sort()
            last = samples[max(0, math.ceil(len(samples) * 0.99) - 1)]
            ms = [1000 * one for one in (statistics.median(samples), last, samples[-1])]
            print(f"| {what} | {len(samples)} | " + " | ".join(f"{one:,.0f}" for one in ms) + " |")


def impossible(host: Host, dice: random.Random, number: int) -> ProductRelease | None:
    """Needs something that is not installed, and conflicts with what that needs by some steps."""
    name = dice.choice(host.missing)
    try:
        steps = solve(host.universe, SolveRequest((Want(name),))).steps
    except NoSolutionError:
        return None
    package = Package(
        version="1",
        build=1,
        requires=(Need(product=name),),
        conflicts=(Need(product=dice.choice(steps).product),),
    )
    return ProductRelease(app(f"impossible-{number}"), f"impossible-{number}", 0, package)


def ask_all(host: Host, asked: int, times: Times) -> None:
    dice = random.Random(SEED)
    ask = partial(solve, host.universe)
    for _ in range(asked):
        new, old = dice.choice(host.missing), dice.choice(host.there)
        five = tuple(map(Want, dice.sample(host.missing, 5)))
        times.take("install one", partial(ask, SolveRequest((Want(new),))))
        times.take("install five", partial(ask, SolveRequest(five)))
        times.take("upgrade one", partial(ask, SolveRequest((Want(old, "upgrade"),))))
        times.take("uninstall one", partial(uninstall, host.universe, [Want(old)]))
        times.take("`why`", partial(why, host.universe, old))
        times.take("`owner`", partial(owner, host.universe, old))
    for number in range(asked // 2):
        bad = impossible(host, dice, number)
        if bad is not None:
            universe = replace(host.universe, releases=(*host.universe.releases, bad))
            times.take("impossible", partial(solve, universe, SolveRequest((Want(bad.product),))))
    times.take("upgrade all", partial(ask, SolveRequest(upgrade_all=True)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the solver on needs of real packages.")
    parser.add_argument("--products", type=int, default=PRODUCTS)
    parser.add_argument("--versions", type=int, default=VERSIONS)
    parser.add_argument("--installed", type=int, default=PRODUCTS // 2)
    parser.add_argument("--asked", type=int, default=200)
    given = parser.parse_args()
    archive = Archive(given.products, given.versions, SEED)
    host = Host(archive, given.installed)
    needs = sum(len(one.package.requires) for one in archive.releases if one.package)
    print(f"{len(archive.names):,} products, {len(archive.releases):,} releases, {needs:,} needs;")
    print(f"{len(host.there):,} installed\n", flush=True)
    times = Times()
    try:
        ask_all(host, given.asked, times)
    finally:
        times.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
