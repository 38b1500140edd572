"""Where the time of each kind of work goes: a table for the ADR, from `perf record` (linux-perf).

    python -m benchmarks.profile                     the kernel source
    python -m benchmarks.profile --tree small        try whether it works

Each stage once, beside the peer that it is measured against, as CPU seconds by what they are spent
in. A sum below the CPU seconds of the peer shows what can still be won; what zstd, the digests and
the kernel take is not ours to win, as long as the same is to be stored and checked.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks import plans, trees
from benchmarks.measure import Sample, timed, untimed
from benchmarks.run import compile_program
from benchmarks.scratch import Scratch
from benchmarks.stages import Release, apply_release

KINDS = (
    ("zstd", re.compile(r"zstd|backend_c")),
    ("digests", re.compile(r"libcrypto|_sha|_hashlib")),
    ("SQLite", re.compile(r"sqlite")),
    ("kernel", re.compile(r"kernel|\[vdso\]")),
    ("Python", re.compile(r"python|_core|_pickle|libc\.so|ld-linux|libz|_struct|_blake2")),
)
STEPS = (
    ("cold", "epmstore snapshot -m cold"),
    ("again", "epmstore snapshot"),
    ("patch", "epmstore snapshot -m patch"),
    ("back", "epmstore checkout 0"),
    ("full", "epmstore checkout 0 --target $PWD/../out"),
    ("touched", "epmstore snapshot -m touched"),
)
PEERS = {
    "cold": "tar -cf - . | zstd -q -3 -T2 -o ../cold.tar.zst",
    "full": "cp -a . ../copy",
}


def kind_of(library: str) -> str:
    return next((kind for kind, pattern in KINDS if pattern.search(library)), "other")


def recorded(command: str, root: Path, env: dict[str, str]) -> tuple[Sample, Counter[str]]:
    """One run, and the share of samples by kind. Raises CommandError."""
    data = root.parent / "perf.data"
    # perf itself ends when it next looks up, which may be a second later
    perf = ["perf", "record", "-q", "-F", "499", "-o", str(data), "--"]
    sample = timed(command, root, env, below=perf)
    done = subprocess.run(
        ["perf", "report", "-i", data, "--sort", "dso", "--stdio", "-q"],
        capture_output=True,
        text=True,
        check=True,
    )
    shares: Counter[str] = Counter()
    for line in done.stdout.splitlines():
        share, _, library = line.strip().partition("%")
        if library:
            shares[kind_of(library.strip())] += float(share)  # type: ignore[assignment]
    data.unlink()
    return sample, shares


def measure(work: Path, older: Path, release: Release) -> list[list[str]]:
    root = work / "root"
    env = {"EPMSTORE_STORE": str(work / "store")}
    shutil.copytree(older, root, symlinks=True)
    untimed(f"epmstore init && epmstore app add tree {root}", work, env)
    rows = []
    for name, command in STEPS:
        if name == "patch":
            apply_release(root, release)
        elif name == "touched":
            apply_release(root, Release(older, [], []), touch=True)
        sample, shares = recorded(command, root, env)
        spent = [f"{sample.cpu * shares[kind] / 100:.2f}" for kind, _ in KINDS]
        peer = ""
        if name in PEERS:
            other = timed(PEERS[name], root, {})
            peer = f"{PEERS[name].split()[0]}: {other.seconds:.2f} s, {other.cpu:.2f} s of CPU"
        rows.append([name, f"{sample.seconds:.2f}", f"{sample.cpu:.2f}", *spent, peer])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tree", default="linux", help=f"one of {', '.join(plans.PLANS)}")
    options = parser.parse_args()
    if not shutil.which("perf"):
        print("perf is not installed: apt install linux-perf", file=sys.stderr)
        return 1
    compile_program()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    older, release, releases = plans.pair(options.tree)
    with Scratch(trees.CACHE / "profile") as work:
        rows = measure(work, older, release)
    head = ["stage", "s", "CPU s", *(kind for kind, _ in KINDS), "beside it"]
    print(f"{' -> '.join(releases)}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
