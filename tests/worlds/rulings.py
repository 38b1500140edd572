"""Classes of paths, decided by patterns of three simple forms: `name/` is a folder of that name and
what is in it, `*.ext` any path whose name ends so, `name` any path of that name. Shares nothing
with the program's own.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from tests.worlds.looks import above

STRONGEST_FIRST = ("ignore", "secret", "state", "config")


class Patterns(NamedTuple):
    """The rules of an application."""

    ignore: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()
    state: frozenset[str] = frozenset()
    config: frozenset[str] = frozenset()

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Of (class, pattern)."""
        found = cls()
        for kind, pattern in pairs:
            found = found.changed(kind, pattern)
        return found

    def changed(self, kind: str, pattern: str) -> Self:
        """With one more pattern, or with `no-CLASS` without it."""
        name = kind.removeprefix("no-")
        old: frozenset[str] = getattr(self, name)
        new = old - {pattern} if name != kind else old | {pattern}
        return self._replace(**{name: new})

    def words(self) -> Iterator[str]:
        for kind in STRONGEST_FIRST:
            for pattern in sorted(getattr(self, kind)):
                yield from (f"--{kind}", pattern)

    def class_of(self, path: bytes, *, is_folder: bool = False) -> str:
        steps = [(folder, True) for folder in above(path)] + [(path, is_folder)]
        for kind in STRONGEST_FIRST:
            patterns = getattr(self, kind)
            if any(_matches(pattern, *step) for pattern in patterns for step in steps):
                return kind
        return "program"

    def leaves(self, path: bytes) -> bool:
        """Whether a path is state, or lies in a folder whose insides are nobody's affair."""
        folders = {self.class_of(folder, is_folder=True) for folder in above(path)}
        return self.class_of(path) == "state" or not folders.isdisjoint(("state", "ignore"))


def _matches(pattern: str, path: bytes, is_folder: bool) -> bool:
    name = path.rsplit(b"/", 1)[-1]
    if pattern.endswith("/"):
        return is_folder and name == pattern[:-1].encode()
    if pattern.startswith("*"):
        return name.endswith(pattern[1:].encode())
    return name == pattern.encode()
