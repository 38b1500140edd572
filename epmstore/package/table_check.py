"""Whether the tables for people say what the lines say: what `package verify` asks beyond what a
host asks.
"""

import sqlite3
from collections.abc import Sequence
from itertools import zip_longest

from epmstore.errors import BadPackageError
from epmstore.package.file_format import DERIVED
from epmstore.package.tables import PackagedRelease, PackageRow, rows_of

TAGS = 1000
LONGEST = 100
"""Letters of a tag."""


def compare(db: sqlite3.Connection, release: PackagedRelease) -> None:
    """Raises BadPackageError with the first table, and row, that says something else."""
    wanted = rows_of(release)
    for table in DERIVED:
        if table != "tags":
            _compare(table, wanted.get(table, ()), db.execute(f"SELECT * FROM {table}").fetchall())
    paths = {row[0] for row in wanted["paths"]}
    for table in ("libraries", "librarydeps"):
        for (path,) in db.execute(f"SELECT path FROM {table}"):
            if path not in paths:
                raise BadPackageError(f"table {table} speaks of {path!a}, no path of it")


def tags_of(db: sqlite3.Connection) -> list[str]:
    """Words that the vendor gave the package. Raises BadPackageError."""
    found = [row[2] for row in db.execute("SELECT * FROM tags ORDER BY tag") if row[1] == ""]
    if len(found) > TAGS or any(len(tag) > LONGEST for tag in found):
        raise BadPackageError("it has more tags, or longer ones, than a package may")
    return found


def _compare(table: str, wanted: Sequence[PackageRow], found: Sequence[PackageRow]) -> None:
    in_order = sorted(found, key=repr), sorted(wanted, key=repr)
    for there, here in zip_longest(*in_order):
        if there != here:
            odd = there if there is not None else here
            what = ascii(" ".join(map(str, (odd or ())[:2]))[:80])
            raise BadPackageError(f"table {table} does not say what the lines say of {what}")
