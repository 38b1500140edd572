"""Every release of a package that the archive has, as one catalog; then a host that is taken apart.

    python -m benchmarks.series                   the kernel's sources and PostgreSQL
    python -m benchmarks.series postgresql        one of them

Each release is published as it comes from its vendor. A host with one of the releases in the middle
must have no finding; then files of its neighbours are put in, one is edited, moved, given another
mode, added and deleted, and exactly these findings must come out, however often it is recorded.
`repair` undoes them, and an upgrade by the package's own tool must be explained as such. What the
releases have is learnt from trees that tar or dpkg unpacked, not from the catalog. Anything else
that comes out is an AssertionError. Packages are kept in benchmarks/.cache/series.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from benchmarks.trees import CACHE, SOURCES, MissingTreeError, Source, available, run

PACKAGES = CACHE / "series"
WARM, ROUNDS = ("status", "verify"), 3
SMALLEST = 100
"""Bytes of a file that is moved or replaced: tiny ones say nothing about where they come from."""
Findings: TypeAlias = dict[str, tuple[str, int | None]]


class Release(NamedTuple):
    """One version as an archive: `release add` reads it, tar or dpkg unpacks it."""

    version: str
    archive: Path
    below: str | None

    def unpacking(self, root: Path) -> list[str]:
        """What writes it over a folder. Like every package tool it removes nothing."""
        if self.below is None:
            return ["dpkg", "-x", str(self.archive), str(root)]
        return ["tar", "-xf", str(self.archive), "--strip-components=1", "-C", str(root)]


def fetch(source: Source) -> list[Release]:
    """Every version in the archive, oldest first. Raises MissingTreeError."""
    try:
        versions = available(source.package)
    except FileNotFoundError as error:
        raise MissingTreeError(f"{error.filename} is needed") from error
    if len(versions) < 2:
        raise MissingTreeError(f"{source.package}: two versions needed, the archive has {versions}")
    return [_fetch_version(source, version) for version in versions]


def _fetch_version(source: Source, version: str) -> Release:
    suffix = ".deb" if source.inner is None else "".join(Path(source.inner).suffixes[-2:])
    target = PACKAGES / f"{source.package}_{version}{suffix}"
    below = None if source.inner is None else Path(source.inner).name.removesuffix(suffix)
    if not target.exists():
        PACKAGES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=PACKAGES) as work:
            run("apt-get", "download", f"{source.package}={version}", cwd=Path(work))
            [deb] = Path(work).glob("*.deb")
            if source.inner is not None:
                run("dpkg", "-x", str(deb), f"{work}/package")
                deb = Path(work) / "package" / source.inner
            deb.rename(target)
    return Release(version, target, below)


class Program:
    """The command line over one store."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.seconds = 0.0

    def __call__(self, *args: str, code: int = 0) -> list[dict[str, Any]]:
        """The objects that a command prints with --json."""
        return [json.loads(line) for line in self.text("--json", *args, code=code).splitlines()]

    def text(self, *args: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "epmstore", "--store", str(self.store), *args]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.seconds = time.perf_counter() - start
        if done.returncode != code:
            raise AssertionError(f"{' '.join(args)}: exit {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout

    @property
    def size(self) -> int:
        """Bytes of packs and catalogs: what a copy of the store takes."""
        parts = (self.store / "packs", self.store / "catalogs")
        return sum(path.stat().st_size for part in parts for path in part.rglob("*"))


def publish(vendor: Program, key: str, releases: list[Release]) -> None:
    vendor("init")
    vendor("release", "init", key)
    before = 0
    for release in releases:
        below = [] if release.below is None else ["--below", release.below]
        given = [str(release.archive), "--label", release.version, *below]
        [told] = vendor("release", "add", key, *given)
        grown, before = vendor.size - before, vendor.size
        say(
            f"release {told['release']} ({release.version}): {told['files']:,} files,"
            f" +{told['added']:,} ~{told['modified']:,} -{told['removed']:,};"
            f" {vendor.seconds:.1f} s; store grows by {grown / 1e6:,.1f} MB"
        )
    [refcat] = (vendor.store / "catalogs").glob("*.refcat.zst")
    say(f"catalog of {len(releases)} releases: {refcat.stat().st_size / 1e6:,.2f} MB")


class Host:
    """An application at release `number`, with the catalog and no contents of it."""

    def __init__(self, place: Path, key: str, releases: list[Release], vendor: Path) -> None:
        self.number = (len(releases) - 1) // 2
        self.releases = releases
        self.root, self.trees = place / "root", place / "trees"
        self.program = Program(place / "host")
        self.key = key
        unpack(releases[self.number], self.root)
        self.program("init")
        self.program("app", "add", key, str(self.root))
        self.program("catalog", "clone", str(vendor), key, "--allow-unsigned")
        self.program("snapshot", "-m", "as delivered")

    def tree(self, number: int) -> Path:
        where = self.trees / str(number)
        if not where.exists():
            unpack(self.releases[number], where)
        return where

    def changed(self, other: int) -> list[str]:
        """Files that another release has with other bytes, none tiny."""
        here, there = self.tree(self.number), self.tree(other)
        found = []
        for folder, _, names in os.walk(here):
            for name in names:
                one = Path(folder, name)
                two = there / one.relative_to(here)
                if plain(one) and plain(two) and one.read_bytes() != two.read_bytes():
                    found.append(str(one.relative_to(here)))
        return sorted(found)

    def findings(self) -> Findings:
        """What `verify` finds; its exit code must be right, too."""
        try:
            shapes = self.program("verify", code=1)
        except AssertionError:
            shapes = self.program("verify")
            expect("findings of a clean root", len(shapes), 1)
        expect("release", shapes[-1]["release"], self.number)
        return {one["path"]: (one["class"], one["release"]) for one in shapes[:-1]}

    def take_apart(self) -> Findings:
        """What must be found, and nothing else."""
        expected: Findings = {}
        changed: list[set[str]] = []
        for other, what in ((self.number - 1, "stale"), (self.number + 1, "ahead")):
            if 0 <= other < len(self.releases):
                changed.append(set(self.changed(other)))
                chosen = sorted(changed[-1] - changed[0] if what == "ahead" else changed[-1])[:2]
                for path in chosen:
                    shutil.copy(self.tree(other) / path, self.root / path)
                    expected[path] = (what, other)
        quiet = (str(p.relative_to(self.root)) for p in sorted(self.root.rglob("*")) if plain(p))
        untouched = [path for path in quiet if not any(path in paths for paths in changed)]
        step = len(untouched) // 5
        edited, moved, other_mode, deleted = untouched[step::step][:4]
        with (self.root / edited).open("ab") as file:
            file.write(b"\n# tampered\n")
        (self.root / moved).rename(self.root / f"{moved}.bak")
        (self.root / other_mode).chmod(0o600)
        (self.root / deleted).unlink()
        (self.root / "nobodys.txt").write_text("nobody ever shipped this\n" * 9)
        expected |= {
            edited: ("local", None),
            f"{moved}.bak": ("moved", self.number),
            other_mode: ("meta", self.number),
            deleted: ("missing", None),
            "nobodys.txt": ("unknown", None),
        }
        return expected


def plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size >= SMALLEST


def unpack(release: Release, root: Path) -> None:
    root.mkdir(parents=True)
    subprocess.run(release.unpacking(root), check=True)


def examine(host: Host, vendor: Path) -> None:
    """The findings; then back to the release, and on to the next one."""
    program = host.program
    expect("an untouched root", host.findings(), {})
    status, verify = (min(timed(program, word) for _ in range(ROUNDS)) for word in WARM)
    say(f"status {status:.2f} s, verify {verify:.2f} s: {verify / status:.2f} x")
    expected = host.take_apart()
    expect("findings", host.findings(), expected)
    program("snapshot")
    expect("findings, recorded", host.findings(), expected)
    say(f"{len(expected)} deviations found, and nothing else")
    program("catalog", "clone", str(vendor), host.key, "--contents", str(host.number))
    program("repair", "--exact", "--yes")
    say(f"repair {program.seconds:.2f} s")
    expect("a repaired root", host.findings(), {})
    subprocess.run(
        ["diff", "-r", "--no-dereference", str(host.tree(host.number)), str(host.root)], check=True
    )
    there = host.number + 1
    half_way(host, there)
    for two in (there, there - 1):
        go_to(host, two)


def timed(program: Program, word: str) -> float:
    program(word)
    return program.seconds


def half_way(host: Host, two: int) -> None:
    """An upgrade that is cut short, and taken back."""
    paths = host.changed(two)
    for path in paths[::2]:
        shutil.copy(host.tree(two) / path, host.root / path)
    host.program("snapshot", "-m", "power cut")
    [newest] = host.program("log", "--limit", "1")
    found = newest["explanation"]
    expect("kind", (found["kind"], found["from"], found["to"]), ("upgrade", host.number, two))
    expect("partial", (found["partial"], found["done"]), (True, len(paths[::2])))
    expect("unexplained", found["rest"], 0)
    say(f"partial upgrade {host.number} -> {two}: {found['done']:,} of {found['total']:,} files")
    host.program("rollback", "--yes")
    expect("findings after a rollback", host.findings(), {})


def go_to(host: Host, two: int) -> None:
    """To a release with the package's own tool, and what was left over is tidied up."""
    one, program = host.number, host.program
    program("run", "-m", "patch", "--", *host.releases[two].unpacking(host.root))
    seconds = program.seconds
    [newest] = program("log", "--limit", "1")
    found = newest["explanation"]
    gone = files(host.tree(one)) - files(host.tree(two))
    expect("kind", found["kind"], "upgrade" if two > one else "downgrade")
    expect("releases", (found["from"], found["to"]), (one, two))
    expect("unexplained", (found["rest"], found["unexplained"]), (0, []))
    expect("partial", found["partial"], False)
    expect("left over", found["left_over"], len(gone))
    host.number = two
    expect(
        "what is left over", {p: w for p, (w, _) in host.findings().items()}, stale(gone, two, one)
    )
    say(
        f"{found['kind']} {one} -> {two} under run: {seconds:.1f} s, {found['total']:,} files,"
        f" {len(gone)} left over, 0 unexplained"
    )
    for path in gone:
        (host.root / path).unlink()
    program("snapshot", "-m", "tidied up")
    [newest] = program("log", "--limit", "1")
    expect("unexplained after tidying up", newest["explanation"]["rest"], 0)


def files(tree: Path) -> set[str]:
    return {
        str(path.relative_to(tree))
        for path in tree.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def stale(paths: set[str], two: int, one: int) -> dict[str, str]:
    return dict.fromkeys(paths, "stale" if two > one else "ahead")


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{what}: {found} instead of {wanted}")


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("linux", "postgresql")
    parser.add_argument("names", nargs="*", choices=[*names, []])
    parser.add_argument("--place", type=Path, help="a folder to work in; a temporary one else")
    given = parser.parse_args()
    for name in given.names or names:
        print(name)
        try:
            releases = fetch(SOURCES[name])
        except MissingTreeError as error:
            say(f"left out: {error}")
            continue
        with tempfile.TemporaryDirectory(dir=given.place) as place:
            vendor = Program(Path(place) / "vendor")
            publish(vendor, name, releases)
            examine(Host(Path(place), name, releases, vendor.store), vendor.store)
    return 0


if __name__ == "__main__":
    sys.exit(main())
