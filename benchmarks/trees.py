"""Fetch the real trees that the benchmarks measure on, into benchmarks/.cache (never committed).

Each tree is one Debian package at one version, unpacked as `.cache/<name>-<version>/`. Two versions
of the same package are one vendor's real patch release. A tree that is there is left alone: it is
unpacked under another name and renamed, so what has its name is whole.

    python benchmarks/trees.py               the kernel pair
    python benchmarks/trees.py postgresql    one pair by name (linux, postgresql, libnode)
    python benchmarks/trees.py --all         every pair

Needs apt-get (on Debian or a relative), dpkg, tar and xz. No root: nothing is installed.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

CACHE = Path(__file__).resolve().parent / ".cache"


class Source(NamedTuple):
    """A package that has several versions in the archive at once."""

    name: str
    package: str
    inner: str | None  # an archive inside the package that holds the tree itself
    preferred: tuple[str, str]


SOURCES = {
    "linux": Source(
        "linux", "linux-source-6.1", "usr/src/linux-source-6.1.tar.xz", ("6.1.170-3", "6.1.190-1")
    ),
    "postgresql": Source(
        "postgresql", "postgresql-15", None, ("15.18-0+deb12u1", "15.20-0+deb12u1")
    ),
    "libnode": Source(
        "libnode", "libnode108", None, ("18.20.4+dfsg-1~deb12u2", "18.20.4+dfsg-1~deb12u3")
    ),
    "firefox": Source(
        "firefox", "firefox-esr", None, ("140.12.0esr-1~deb12u1", "153.7.0esr-1~deb12u1")
    ),
    "chromium": Source(
        "chromium", "chromium", None, ("150.0.7871.100-1~deb12u1", "156.0.8078.108-1~deb12u1")
    ),
}


class MissingTreeError(Exception):
    """A pair of trees cannot be had on this machine; says why."""


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and give its output; its complaint becomes ours."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MissingTreeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def available(package: str) -> list[str]:
    """Versions in the configured archives, oldest first."""
    lines = run("apt-cache", "madison", package).splitlines()
    versions = {line.split("|")[1].strip() for line in lines if line.count("|") >= 2}
    ordered: list[str] = []
    for version in versions:  # a handful: insertion by dpkg's own order is quick enough
        at = sum(is_older(other, version) for other in ordered)
        ordered.insert(at, version)
    return ordered


def is_older(one: str, two: str) -> bool:
    test = ["dpkg", "--compare-versions", one, "lt", two]
    return subprocess.run(test, check=False).returncode == 0


def choose(source: Source) -> tuple[str, str]:
    """The preferred pair where it exists or is here already, else the two newest."""
    if all(tree_path(source, version).is_dir() for version in source.preferred):
        return source.preferred
    versions = available(source.package)
    if set(source.preferred) <= set(versions):
        return source.preferred
    if len(versions) < 2:
        raise MissingTreeError(f"{source.package}: two versions needed, the archive has {versions}")
    return versions[-2], versions[-1]


def tree_path(source: Source, version: str) -> Path:
    return CACHE / f"{source.name}-{version}"


def fetch_version(source: Source, version: str) -> Path:
    """Unpack one version of a package below the cache; the path of its tree."""
    target = tree_path(source, version)
    if target.is_dir():
        return target
    work = CACHE / f".{target.name}.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print(f"fetching {source.package} {version}", file=sys.stderr, flush=True)
    # apt drops to its own user for downloads and warns where that user cannot write: harmless here
    run("apt-get", "download", f"{source.package}={version}", cwd=work)
    (archive,) = work.glob("*.deb")
    run("dpkg", "-x", str(archive), str(work / "package"))
    tree = work / "package"
    if source.inner is not None:
        tree = work / "tree"
        tree.mkdir()
        inner = str(work / "package" / source.inner)
        run("tar", "-xJf", inner, "--strip-components=1", "-C", str(tree))
    tree.rename(target)
    shutil.rmtree(work)
    return target


def fetch(name: str) -> tuple[Path, Path]:
    """The older and the newer tree of one pair, fetched when they are not here.

    Raises MissingTreeError when the archive, the network or a tool is not there.
    """
    source = SOURCES[name]
    try:
        older, newer = choose(source)
        return fetch_version(source, older), fetch_version(source, newer)
    except FileNotFoundError as error:
        raise MissingTreeError(f"{error.filename} is needed to fetch {name}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch the trees that benchmarks measure on.")
    parser.add_argument("names", nargs="*", choices=[*SOURCES, []], help="default: linux")
    parser.add_argument("--all", action="store_true", help="every pair")
    options = parser.parse_args()
    names = list(SOURCES) if options.all else options.names or ["linux"]
    failed = 0
    for name in names:
        try:
            for path in fetch(name):
                print(path)
        except MissingTreeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
