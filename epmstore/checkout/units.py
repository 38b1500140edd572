"""Databases as what they are to a plan: units of several paths, replaced as a whole or not at all.
Pure.
"""

from collections.abc import Collection, Iterable, Iterator

from epmstore.relpath import RelPath, parents
from epmstore.scan.databases import COMPANIONS, DatabaseUnit
from epmstore.scan.detect import literal_pattern


def paths_of_units(databases: Iterable[DatabaseUnit]) -> Iterator[str]:
    """All that belongs to databases, now or in another version."""
    for db in databases:
        if db.kind == "postgresql":
            yield db.path
        else:
            yield from unit_paths(db.path)


def unit_paths(path: RelPath) -> tuple[RelPath, ...]:
    """What a path would be one unit with, if it belonged to an SQLite database."""
    suffix = next((one for one in COMPANIONS if path.endswith(one)), "")
    main = path.removesuffix(suffix)
    return tuple(RelPath(main + one) for one in ("", *COMPANIONS))


def state_patterns(databases: Iterable[RelPath], written: Collection[RelPath]) -> Iterator[str]:
    """Of databases in a plan that would write these paths, for each all of a data directory, or a
    file with what lies beside it.
    """
    for path in databases:
        pattern = literal_pattern(path) if path else "*"
        is_folder = not path or any(path in parents(one) for one in written)
        yield pattern
        if not is_folder:
            yield f"{pattern}-*"
