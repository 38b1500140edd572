"""What in a tree looks like data of the running application rather than a part of it. Pure.

Only proposals, in the form of patterns (gitignore) that an operator may give the application; they
are printed, and never applied unasked. What has a class already is left out.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from epmstore.filestat import FileId
from epmstore.relpath import RelPath, join, split
from epmstore.scan.databases import DatabaseUnit, databases
from epmstore.scan.folders import FolderCache
from epmstore.scan.holders import holders
from epmstore.scan.walk import Listing
from epmstore.tree import PathClass

LOG_FOLDERS = ("log", "logs")
PID_FILE_MAX = 32
"""Bytes: a pid file holds a number."""

_LOG = re.compile(r"\.log(?:$|(?P<rotated>[.-])\d)")
_REGULAR = 0o100000
_TYPE = 0o170000


class Proposal(msgspec.Struct, frozen=True):
    """A pattern for a class of an application, and the reason for people."""

    pattern: str
    path_class: PathClass | Literal["ignore"]
    why: str


def propose(listings: Iterable[Listing], folders: FolderCache) -> list[Proposal]:
    """What to make `state`, best known first: databases, logs, pid files, sockets, and what a
    process has open for writing right now (as far as one may know).

    `listings` come as a walk gives them. Raises OSError only if descriptors or memory run out.
    """
    survey = _Survey()
    found = [
        database
        for database in databases(survey.passing(listings), folders)
        if database.path_class == "program"
    ]
    survey.databases = found
    return [
        *(proposal for database in found for proposal in _of_database(database)),
        *survey.of_logs(),
        *survey.of_files(),
        *survey.of_writers(),
    ]


def literal_pattern(path: str) -> str:
    """A pattern that matches this path from the root; a `?` stands for what cannot be printed."""
    escaped = "".join(
        f"\\{char}" if char in "\\*?[" else char if char.isprintable() else "?" for char in path
    )
    if escaped.endswith(" "):
        escaped = f"{escaped[:-1]}\\ "
    return f"/{escaped}"


class _Survey:
    """Looks at listings as they pass, and keeps what the proposals are made of."""

    def __init__(self) -> None:
        self.databases: list[DatabaseUnit] = []
        self._log_folders: dict[str, RelPath] = {}
        self._by_pattern: dict[str, list[RelPath]] = {}
        self._sockets: list[RelPath] = []
        self._locks: set[str] = set()
        self._files: dict[FileId, RelPath] = {}

    def passing(self, listings: Iterable[Listing]) -> Iterator[Listing]:
        for listing in listings:
            self._add(listing)
            yield listing

    def of_logs(self) -> Iterator[Proposal]:
        for folder, example in self._log_folders.items():
            if not self._is_in_database(folder):
                why = f"a folder of log files, such as {split(example)[1]}"
                yield Proposal(f"{literal_pattern(folder)}/", "state", why)

    def of_files(self) -> Iterator[Proposal]:
        for pattern, paths in self._by_pattern.items():
            outside = [path for path in paths if not self._is_covered(path)]
            if outside:
                what = "process ids" if pattern == "*.pid" else "logs"
                yield Proposal(pattern, "state", f"{what}, such as {outside[0]}")
        for path in self._sockets:
            if not self._is_covered(path):
                yield Proposal(literal_pattern(path), "state", "a socket")
                if f"{path}.lock" in self._locks:
                    yield Proposal(literal_pattern(f"{path}.lock"), "state", "the lock of a socket")

    def of_writers(self) -> Iterator[Proposal]:
        named = {path for paths in self._by_pattern.values() for path in paths}
        seen: set[RelPath] = set()
        for holder in holders(self._files.keys()).found:
            path = self._files[holder.identity]
            if holder.mode != "write" or path in seen or path in named or self._is_covered(path):
                continue
            seen.add(path)
            why = f"open for writing by {holder.command} (process {holder.pid})"
            yield Proposal(literal_pattern(path), "state", why)

    def _add(self, listing: Listing) -> None:
        folder = listing.folder
        self._sockets += [p.path for p in listing.skipped if p.why == "a socket"]
        for n, (name, found) in enumerate(zip(listing.names, listing.stats, strict=True)):
            if found.st_mode & _TYPE != _REGULAR:
                continue
            if listing.classes is not None and listing.classes[n] != "program":
                continue
            path = join(folder, name)
            self._files[found.st_dev, found.st_ino] = path
            rotated = _LOG.search(name)
            if rotated and split(folder)[1] in LOG_FOLDERS:
                self._log_folders.setdefault(folder, path)
            elif rotated:
                sign = rotated["rotated"]
                self._by_pattern.setdefault(f"*.log{sign}*" if sign else "*.log", []).append(path)
            elif name.endswith(".pid") and found.st_size <= PID_FILE_MAX:
                self._by_pattern.setdefault("*.pid", []).append(path)
            elif name.endswith(".lock"):
                self._locks.add(path)

    def _is_covered(self, path: RelPath) -> bool:
        """Whether another proposal already speaks of a path."""
        in_logs = any(path.startswith(f"{folder}/") for folder in self._log_folders)
        return in_logs or self._is_in_database(path)

    def _is_in_database(self, path: str) -> bool:
        return any(database.covers(path) for database in self.databases)


def _of_database(database: DatabaseUnit) -> Iterator[Proposal]:
    if database.kind == "postgresql":
        pattern = f"{literal_pattern(database.path)}/" if database.path else "*"
        yield Proposal(pattern, "state", "a PostgreSQL data directory (it has a PG_VERSION)")
        return
    pattern = literal_pattern(database.path)
    yield Proposal(pattern, "state", "an SQLite database")
    yield Proposal(f"{pattern}-*", "state", "what SQLite keeps beside a database that is in use")
