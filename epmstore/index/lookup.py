"""Where contents are: in which state of which path, of any application and of any vendor's catalog.

Of catalogs, contents are indexed: who shipped a file is asked all the time. Of the history of
applications they are not: it is read from end to end, and few ask.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from epmstore.digest import Digest, Sha256
from epmstore.index.contents import PREFIX
from epmstore.index.entryrows import COLUMNS, CONTENT_JOIN

_BY_CONTENT = " UNION ALL ".join(
    f"SELECT app, folder, name, since, {until} AS until, content, meta, mtime, sum FROM {table}"
    f" WHERE app {whose} 0 AND content = :content"
    for table, until in (("live", "NULL"), ("past", "until"))
    for whose in ("<", ">=")  # only what is below is indexed
)
_WITH_CONTENT = (
    f"SELECT a.uuid, f.path, e.name, e.since, e.until, {COLUMNS} FROM ({_BY_CONTENT}) e"
    f" JOIN apps a ON a.id = e.app JOIN folders f ON f.id = e.folder {CONTENT_JOIN}"
)


def rows_with_content(db: sqlite3.Connection, digest: Digest) -> list[Sequence[Any]]:
    """(app UUID, folder, name, since, until, *COLUMNS) of every entry, past and present, that has a
    content.
    """
    return [
        row
        for number in _content_numbers(db, [digest])
        for row in db.execute(_WITH_CONTENT, {"content": number})
    ]


def live_contents(db: sqlite3.Connection, digests: Iterable[Digest]) -> set[Digest]:
    """Those that a file of the newest version of some application has."""
    numbers = _content_numbers(db, digests)
    if not numbers:
        return set()
    rows = db.execute("SELECT DISTINCT content FROM live WHERE app >= 0")
    return {numbers[content] for (content,) in rows if content in numbers}


def shipped_rows(db: sqlite3.Connection, wanted: list[Sha256]) -> list[tuple[Any, ...]]:
    """(witness, catalog, folder, name, since, until) of every span, in order."""
    marks = ", ".join("?" * len(wanted))
    # CROSS JOIN: the contents first, then what has them
    query = (
        "SELECT c.sha256, a.uuid, f.path, e.name, e.since, {} FROM contents c CROSS JOIN {} e"
        " JOIN apps a ON a.id = e.app JOIN folders f ON f.id = e.folder"
        f" WHERE substr(c.sha256, 1, 4) IN ({marks}) AND c.sha256 IN ({marks})"
        " AND e.app < 0 AND e.content = c.id"
    )
    starts = [sha256[:PREFIX] for sha256 in wanted]
    both = f"{query.format('NULL', 'live')} UNION ALL {query.format('e.until', 'past')}"
    rows = db.execute(both, (*starts, *wanted, *starts, *wanted)).fetchall()
    return sorted(rows, key=lambda row: row[:5])


def _content_numbers(db: sqlite3.Connection, digests: Iterable[Digest]) -> dict[int, Digest]:
    """The rows of the contents that have these addresses."""
    query = "SELECT id FROM contents WHERE substr(sha1, 1, 4) = ? AND sha1 = ? AND sha1 IS NOT NULL"
    return {
        number: digest
        for digest in digests
        for (number,) in db.execute(query, (digest[:PREFIX], digest))
    }
