"""Packages that were changed at random, each taken by a store as a host does it:
`python -m tests.faults.packages --out packages.jsonl`.

Each is refused with a reason, or is harmless and has all that the sound one has; takes at most 20 s
and 500 MB, here and in the process that reads it; and leaves nothing in the store. With the same
`--out` it goes on where it was: a change follows from the seed and its number.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from epmstore.package.inspection import look
from epmstore.progress import SILENT
from epmstore.store import reserve
from tests.faults.lines import Lines
from tests.kit.vendors import Importer
from tests.package.hostile import found_wrong, sound
from tests.package.hostile_random import change_at_random

COUNT = 20_000
SECONDS = 20
MEMORY = 500
"""Megabytes."""
OURS = ("index.sqlite", "live")
"""What the process that asks may open with SQLite."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard", default="0/1", help="this one of so many")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--place", type=Path, default=Path("/dev/shm"))
    options = parser.parse_args()
    reserve.SIZE = 1 << 16
    shard, shards = map(int, options.shard.split("/"))
    lines, counts = Lines(options.out, seed=options.seed), Counter[str]()
    known = {line["number"] for line in lines.known if line["verdict"] == "ok"}
    with tempfile.TemporaryDirectory(dir=options.place, prefix="epm-packages-") as folder:
        place = Path(folder)
        made, host = sound(place), Importer(place)
        head = look(made, place, SILENT).release.digest
        for number in range(shard, options.count, shards):
            if number not in known:
                line = tried(place, made, host, head, options.seed, number)
                counts[line["verdict"] if line["verdict"] == "ok" else "failed"] += 1
                counts["taken"] += line["taken"]
                lines.add(**line)
    sys.stderr.write(json.dumps({"seed": options.seed, **counts}) + "\n")
    return 1 if counts["failed"] else 0


def tried(
    place: Path, made: Path, host: Importer, head: str, seed: int, number: int
) -> dict[str, Any]:
    """One change, and what became of it."""
    folder = place / "changed"
    folder.mkdir()
    path = folder / "changed.epkg"
    try:
        shutil.copyfile(made, path)
        what = change_at_random(random.Random(f"{seed} {number}"), path)
        start = time.monotonic()
        with opened() as foreign:
            try:
                verdict = found_wrong(host, path, head)
            except Exception as error:
                verdict = f"{type(error).__name__}: {error}"
        took = time.monotonic() - start
    finally:
        shutil.rmtree(folder)
    mine, theirs = (
        resource.getrusage(who).ru_maxrss >> 10
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    if foreign:
        verdict = f"opened here: {foreign[0]}"
    elif took > SECONDS or max(mine, theirs) > MEMORY:
        verdict = f"{took:.1f} s, {mine} and {theirs} MB"
    return {
        "number": number,
        "what": what[:300],
        "taken": verdict == "taken",
        "verdict": "ok" if verdict in (None, "taken") else verdict,
        "seconds": round(took, 3),
        "memory": [mine, theirs],
    }


@contextlib.contextmanager
def opened() -> Iterator[list[str]]:
    """Databases that this process opens meanwhile, and that are none of a store."""
    found: list[str] = []
    connect = sqlite3.connect

    def watched(database: Any, *args: Any, **said: Any) -> Any:
        if not any(word in os.fsdecode(database) for word in OURS):
            found.append(str(database))
        return connect(database, *args, **said)

    setattr(sqlite3, "connect", watched)  # noqa: B010
    try:
        yield found
    finally:
        setattr(sqlite3, "connect", connect)  # noqa: B010


if __name__ == "__main__":
    sys.exit(main())
