"""Whether owners are as a release has them. Pure.

A release names owners; the user who installs it may be another one, who then owns everything. So:

- if at least half of the files have exactly the release's owner, the root is installed as released,
  and every other owner is a deviation;
- if not, each owner of the release stands for the account that has most of its files here, and only
  a file that is another's deviates.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TypeAlias

from epmstore.tree import Entry

Owner: TypeAlias = tuple[int, int, str | None, str | None]
"""uid, gid, and their names where they are known."""


def owner_of(entry: Entry) -> Owner:
    return entry.uid, entry.gid, entry.user, entry.group


def same_owner(one: Owner, two: Owner) -> bool:
    """By name where both have one, else by number: numbers differ from host to host."""
    return all(
        names[0] == names[1] if None not in names else ids[0] == ids[1]
        for ids, names in (
            ((one[0], two[0]), (one[2], two[2])),
            ((one[1], two[1]), (one[3], two[3])),
        )
    )


class OwnerMapping:
    """What was learned from a whole root: how often an owner of the release has become which."""

    def __init__(self, pairs: Mapping[tuple[Owner, Owner], int]) -> None:
        """(owner found, owner in the release) to how many paths have the two."""
        self.pairs = dict(pairs)
        exact = sum(count for (found, wanted), count in pairs.items() if same_owner(found, wanted))
        self.as_released = exact * 2 >= sum(pairs.values())
        counts: dict[Owner, Counter[Owner]] = defaultdict(Counter)
        for (found, wanted), count in pairs.items():
            counts[wanted][found] += count
        all_found = sum(counts.values(), Counter[Owner]())
        self._most = all_found.most_common(1)[0][0] if all_found else None
        self._stand_in = {wanted: found.most_common(1)[0][0] for wanted, found in counts.items()}

    def differ(self, found: Entry, wanted: Entry) -> bool:
        """Whether the owner of a path deviates."""
        owner, released = owner_of(found), owner_of(wanted)
        if same_owner(owner, released):
            return False
        return self.as_released or owner != self._stand_in.get(released, owner)

    def here(self, wanted: Entry) -> Owner:
        """Who is to own a path on this host: the account that stands for the release's owner; for
        an owner that is not found here at all, the account that owns the most.
        """
        owner = owner_of(wanted)
        return self._stand_in.get(owner, owner if self.as_released else self._most or owner)

    def stand_ins(self) -> list[tuple[Owner, Owner]]:
        """(owner in the release, who that is here), for those that are another; for a note."""
        if self.as_released:
            return []
        return [(w, f) for w, f in self._stand_in.items() if not same_owner(w, f)]
