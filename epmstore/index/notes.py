"""What the index remembers of catalogs as files: which of them it has seen whole, and in what
state; which cannot be read whole; and the highest number that a version of each ever had.

Nothing is appended to a catalog that another program has touched before it was looked at, nor to
one that is known to be damaged. These two notes say which state of the file they are about, so that
neither outlives it. All of them may be lost, which costs looking again.
"""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from epmstore.index.database import Database


class Stamp(msgspec.Struct, frozen=True):
    """A state of a file, as far as `stat` tells."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> "Stamp | None":
        """None if there is no file."""
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class CatalogFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a catalog cannot be read whole. `stamp` is the state of the file that is meant (None: it
    was not there); `offset` the first byte that is wrong. `lost` are pairs of the first and the
    last of versions of which nothing is known. `is_salvaged`: the index has what can be read of the
    file, and knows no more than that.
    """

    stamp: Stamp | None
    offset: int
    message: str
    lost: tuple[tuple[int, int], ...] = ()
    is_salvaged: bool = False


_Note = TypeVar("_Note", Stamp, CatalogFault, int, tuple[str, ...])


class Notes:
    """The notes of one index. Written only under the `write` lock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fault(self, app: str) -> CatalogFault | None:
        """What was found to be wrong with a catalog, in whatever state it was then."""
        return self._get("fault", app, CatalogFault)

    def remember(self, app: str, fault: CatalogFault) -> None:
        self._put("fault", app, fault)

    def forget(self, app: str) -> None:
        """It is whole, or another one."""
        with self._database.write() as db:
            db.execute("DELETE FROM store WHERE key = ?", (f"fault:{app}",))

    def seen(self, app: str) -> Stamp | None:
        """The state in which a catalog was last seen to be whole."""
        return self._get("seen", app, Stamp)

    def see(self, app: str, stamp: Stamp | None) -> None:
        if stamp is not None:
            self._put("seen", app, stamp)

    def top(self, app: str) -> int:
        """The highest number that a version is known to have had; -1 if none is known."""
        found = self._get("top", app, int)
        return -1 if found is None else found

    def raise_top(self, app: str, number: int) -> None:
        """No later version gets this number, or a lower one."""
        if number > self.top(app):
            self._put("top", app, number)

    def damaged_packs(self) -> tuple[str, ...]:
        """Files of packs in which the last check found damage."""
        return self._get("damaged", "packs", tuple[str, ...]) or ()

    def name_damaged_packs(self, files: tuple[str, ...]) -> None:
        """The same, from now on."""
        if files != self.damaged_packs():
            self._put("damaged", "packs", files)

    def _get(self, kind: str, app: str, form: type[_Note]) -> _Note | None:
        with self._database.read() as db:
            row = db.execute("SELECT value FROM store WHERE key = ?", (f"{kind}:{app}",)).fetchone()
        try:
            return None if row is None else msgspec.json.decode(row[0], type=form)
        except (ValueError, TypeError, RecursionError):
            return None

    def _put(self, kind: str, app: str, note: Stamp | CatalogFault | int | tuple[str, ...]) -> None:
        with self._database.write() as db:
            row = (f"{kind}:{app}", msgspec.json.encode(note))
            db.execute("INSERT OR REPLACE INTO store VALUES (?, ?)", row)
