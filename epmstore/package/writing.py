"""The file of a package, while it is written: SQLite below a temporary name, until it is whole.

Rows are inserted in the order of their keys, so that the same package is the same bytes with the
same SQLite. The journal is in memory: nothing is left beside the file, and what is not finished is
taken away.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from epmstore import fsio
from epmstore.atomic import about, directory, discard, temporary_name
from epmstore.digest import Sha256
from epmstore.errors import BadPackageError, EpmError
from epmstore.pack_table import BlobRow
from epmstore.package.file_format import APPLICATION_ID, TABLES, USER_VERSION
from epmstore.package.tables import PackageTables

MODE: Final = 0o644
"""It goes to every host."""


class PackageWriter:
    """One package on its way to `path`. A context manager: what is not finished is taken away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = temporary_name()
        self._blobs: list[tuple[object, ...]] = []
        self._parts: list[tuple[object, ...]] = []
        self._frames = 0
        self.stored = 0
        """Bytes of frames."""

    def __enter__(self) -> Self:
        with directory(self.path.parent) as parent, about(self.path):
            os.close(fsio.create(self._name, parent, MODE))
        try:
            self._db = sqlite3.connect(
                f"file:{quote(str(self.path.with_name(self._name)))}?mode=rw",
                uri=True,
                isolation_level=None,
            )
            for pragma in ("journal_mode=MEMORY", "synchronous=OFF", "locking_mode=EXCLUSIVE"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version={USER_VERSION}")
            self._db.execute("BEGIN")
            for statement in TABLES.values():
                self._db.execute(statement)
        except BaseException:
            self._take_away()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._take_away()

    def add_lines(self, product: str, lines: Iterable[bytes], start: int = 0) -> None:
        """Sealed lines of the catalog of a product, the first of which has the number `start`."""
        rows = ((product, seq, line) for seq, line in enumerate(lines, start))
        self._insert("catalog", rows, 3)

    def add_frame(self, record: bytes, rows: Sequence[BlobRow]) -> None:
        """A sealed frame, and what lies in it."""
        self._frames += 1
        self.stored += len(record)
        self._insert("frames", [(self._frames, record)], 2)
        for row in rows:
            lies = (self._frames, row.offset, row.length, row.base)
            self._blobs.append((row.sha256, row.digest, row.size, *lies))

    def add_large(self, row: BlobRow) -> None:
        """A content that lies in parts."""
        self._blobs.append((row.sha256, row.digest, row.size, None, 0, 0, None))
        self._parts += [(row.sha256, n, part) for n, part in enumerate(row.parts)]

    def finish(self, tables: PackageTables) -> None:
        """It has its name, durably; what had it before is replaced. Raises OSError."""
        for name, rows in tables.items():
            if rows:
                self._insert(name, rows, len(rows[0]))
        self._insert("blobs", sorted(self._blobs, key=lambda row: bytes(_sha256(row))), 7)
        self._insert("parts", sorted(self._parts, key=lambda row: (_sha256(row), row[1])), 3)
        with _told():
            self._db.execute("COMMIT")
            self._db.execute("PRAGMA journal_mode=DELETE")
            self._db.close()
        with directory(self.path.parent) as parent, about(self.path):
            fd = fsio.open_append(self._name, parent)
            try:
                fsio.sync_file(fd)
            finally:
                os.close(fd)
            fsio.rename(self._name, parent, self.path.name, parent)
            fsio.sync_directory(parent)

    def _insert(self, table: str, rows: Iterable[Sequence[object]], width: int) -> None:
        marks = ", ".join("?" * width)
        with _told():
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def _take_away(self) -> None:
        with contextlib.suppress(OSError), directory(self.path.parent) as parent:
            discard(self._name, parent)


def _sha256(row: Sequence[object]) -> Sha256:
    found = row[0]
    assert isinstance(found, bytes), "it is the first column"
    return Sha256(found)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise BadPackageError(f"it cannot be written: {error}") from None
    except sqlite3.Error as error:
        raise EpmError(f"the package cannot be written: {error}") from None
