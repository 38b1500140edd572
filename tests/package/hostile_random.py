"""Packages that are changed at random: bytes, rows, or as by hand (hostile.py)."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from epmstore.errors import DamagedError
from epmstore.package.file_format import HOST, PEOPLE
from tests.package.hostile import CHANGES, db_of


def change_at_random(rng: random.Random, path: Path) -> str:
    """One to three changes, of bytes, of rows or by hand; what was done, in a few words."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        how = rng.random()
        try:
            if how < 0.4:
                done.append(_bytes_at_random(rng, path))
            elif how < 0.7:
                done.append(_row_at_random(rng, path))
            else:
                name = rng.choice(list(CHANGES))
                CHANGES[name](path)
                done.append(name)
        except (
            sqlite3.Error,
            OSError,
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            DamagedError,
            StopIteration,
        ) as error:
            done.append(f"({type(error).__name__})")  # the change before it left nothing to change
    return "; ".join(done)


def _bytes_at_random(rng: random.Random, path: Path) -> str:
    size = path.stat().st_size
    if not size:
        return "nothing left"
    with path.open("r+b") as file:
        at = rng.randrange(size)
        if rng.random() < 0.3:
            at = at // 4096 * 4096 + rng.randrange(16)
        file.seek(at)
        old = file.read(rng.choice((1, 1, 1, 4, 64)))
        new = rng.choice(
            (
                bytes(len(old)),
                rng.randbytes(len(old)),
                bytes(b ^ 1 << rng.randrange(8) for b in old),
            )
        )
        file.seek(at)
        file.write(new)
    return f"{len(old)} bytes at {at}"


def _row_at_random(rng: random.Random, path: Path) -> str:
    table = rng.choice((*HOST, "blobs", "blobs", "frames", rng.choice(tuple(PEOPLE))))
    with closing(db_of(path)) as db:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        if not columns:
            return f"no table {table}"
        column = rng.choice(columns)
        value = rng.choice((
            "NULL", "0", "-1", "x''", "''", "zeroblob(32)", "randomblob(32)", "randomblob(20)",
            "9223372036854775807", "abs(random() % 100000)", f'"{column}" + 1', f'"{column}" - 1',
            f'CAST(substr("{column}", 2) AS BLOB)', f'CAST("{column}" || x\'00\' AS BLOB)',
            f'(SELECT "{column}" FROM {table} ORDER BY random() LIMIT 1)',
        ))  # fmt: skip
        what = f'UPDATE OR IGNORE {table} SET "{column}" = {value}'
        if rng.random() < 0.15:
            what = f"DELETE FROM {table}"
        total = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        if "ROWID" not in (HOST | PEOPLE)[table] and rng.random() < 0.8 and total:
            what += (
                f" WHERE rowid = (SELECT rowid FROM {table} LIMIT 1 OFFSET {rng.randrange(total)})"
            )
        db.execute(what)
        if rng.random() < 0.5:
            db.execute("VACUUM")
    return what
