"""What the look at a root could see that a version, or a release, was made from. Pure.

A tree says what was seen. That a path is not in it says that nothing was there only if a look
went there: with the rules of that time, at what could be read, on the file systems that belonged to
it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from epmstore.catalog.classes import Class, Patterns, Rules
from epmstore.catalog.model import SIGHT, VersionRecord
from epmstore.relpath import STAGE_PREFIX, RelPath, parents

_LEFT_OUT: dict[Class, str] = {
    "ignore": "it was ignored then",
    "state": "it was state then",
    "secret": "it was secret then",
}
_WORDS = {
    "special": "what was no file then was not recorded",
    "mount": "another file system was mounted there then",
}


class Sight:
    """Says of paths that a tree lacks whether they were looked for. For one thread at a time."""

    def __init__(
        self,
        patterns: Patterns | None,
        unobserved: Mapping[RelPath, str],
        number: int = SIGHT,
    ) -> None:
        """`patterns` were in force (None: not known); `unobserved` maps paths that were not seen,
        nor what is below them, to the kind of trouble; `number` is that of what a look sees.
        """
        self._patterns = patterns
        self._number = number
        self._unobserved = unobserved
        self._is_blind = any(path in ("", ".") for path in unobserved)

    @cached_property
    def _rules(self) -> Rules | None:
        return None if self._patterns is None else Rules(self._patterns)

    def why_unseen(self, path: RelPath, is_dir: bool) -> str | None:
        """Why it cannot be said that nothing was there; None if nothing was."""
        if self._rules is None:
            return "by which rules it was recorded then is not known"
        found = self._rules.classify(path, is_dir)
        if found in _LEFT_OUT:
            return _LEFT_OUT[found]
        if self._number < SIGHT and path.startswith(STAGE_PREFIX):
            return "names of this kind were not looked at then"
        if self._unobserved or self._is_blind:
            return self._why_unobserved(path)
        return None

    def _why_unobserved(self, path: RelPath) -> str | None:
        for top in map(RelPath, (path, *parents(path))):
            if top in self._unobserved:
                kind = self._unobserved[top]
                return _WORDS.get(kind, f"it could not be observed then ({kind})")
        return "nothing could be observed then" if self._is_blind else None


CLEAR = Sight(Patterns(), {})
"""Everything was seen."""


def sight_of(record: VersionRecord, history: Iterable[VersionRecord], own: Patterns) -> Sight:
    """Of a version. Its rules are those that some version of the `history` says of the same digest,
    or the `own` ones of today, if they are the same.
    """
    patterns = _patterns(record, history, own)
    return Sight(patterns, _not_seen(record.unobserved), record.sight)


def _patterns(
    record: VersionRecord, history: Iterable[VersionRecord], own: Patterns
) -> Patterns | None:
    for known in (own, Patterns()):
        if known.digest() == record.ignored:
            return known
    said = (one.rules for one in history if one.ignored == record.ignored)
    found = next((rules for rules in said if rules is not None), None)
    return found if found is None or found.digest() == record.ignored else None


def _not_seen(unobserved: Sequence[tuple[RelPath, str]]) -> dict[RelPath, str]:
    """Paths that left the tree because they became ignored are what the rules say of them."""
    return {path: kind for path, kind in unobserved if kind != "ignored"}
