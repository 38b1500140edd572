"""What a collection would do to which pack file. Pure.

- A content that is needed is kept in one file (in full, rather than as a delta; in the file with
  the least dead bytes): other copies are dead.
- What a kept content leans on is kept: bases, parts.
- A file that is left as it is keeps everything that its rows lean on, dead rows too: what the index
  offers must be readable. If that is most of what would be freed, it is written anew instead.
"""

from collections.abc import Iterable

import msgspec

from epmstore.blobs.blob_store import stored_share
from epmstore.blobs.merge import is_wasteful, plan_merge, reclaimable
from epmstore.care.pack_tables import StoredCopy, Tables, is_log, leans_on
from epmstore.digest import Sha256


class CollectionPlan(msgspec.Struct, frozen=True):
    """`drop` files hold nothing that is needed; `rewrite` packs are dead in good part; `seal` logs
    become packs; `merge` are packs that become one. `homes` maps each content that is kept to its
    file. `freed` is about how many bytes that comes to.
    """

    drop: tuple[str, ...]
    rewrite: tuple[str, ...]
    seal: tuple[str, ...]
    merge: tuple[tuple[str, ...], ...]
    homes: dict[Sha256, str]
    freed: int

    def keeps(self, file: str, sha256: Sha256) -> bool:
        """Whether this is the file in which a content is kept."""
        return self.homes.get(sha256) == file


def make_plan(tables: Tables, needed: Iterable[Sha256], newest_log: str) -> CollectionPlan:
    """`needed` are the roots. Of the log that is appended to, nothing is planned."""
    planner = _Planner(tables, newest_log)
    roots = set(needed)
    while True:
        planner.live(roots)
        hostages = planner.hostages()
        if not hostages:
            return planner.plan()
        roots |= hostages


class _Planner:
    def __init__(self, tables: Tables, newest_log: str) -> None:
        self._tables = tables
        self._newest_log = newest_log
        self._homes: dict[Sha256, str] = {}
        self._kind: dict[str, str] = {}
        self._freed: dict[str, int] = {}

    def live(self, roots: set[Sha256]) -> None:
        """Everything that is kept, and where; then what becomes of each file."""
        chosen: dict[Sha256, StoredCopy] = {}
        score = self._scores(roots)
        pending = list(roots)
        while pending:
            sha256 = pending.pop()
            copies = self._tables.copies(sha256)
            if sha256 in chosen or not copies:
                continue
            best = max(copies, key=lambda c: (c.is_full, score[c.where.file], c.where.file))
            chosen[sha256] = best
            pending += leans_on(best.row)
        self._homes = {sha256: copy.where.file for sha256, copy in chosen.items()}
        self._kind = {file: self._judge(file) for file in self._tables.groups}

    def hostages(self) -> set[Sha256]:
        """What is not kept, and is leaned on by something in a file that stays as it is."""
        return {
            other
            for file, kind in self._kind.items()
            if kind == "stay"
            for copy in self._tables.rows(file)
            for other in leans_on(copy.row)
            if other not in self._homes and self._tables.copies(other)
        }

    def plan(self) -> CollectionPlan:
        by_kind: dict[str, list[str]] = {"drop": [], "rewrite": [], "seal": [], "stay": []}
        for file, kind in sorted(self._kind.items()):
            by_kind[kind].append(file)
        packs = {f: self._tables.sizes[f] for f in by_kind["stay"] if not is_log(f)}
        return CollectionPlan(
            drop=tuple(by_kind["drop"]),
            rewrite=tuple(by_kind["rewrite"]),
            seal=tuple(by_kind["seal"]),
            merge=tuple(map(tuple, plan_merge(packs))),
            homes=self._homes,
            freed=sum(self._freed[file] for file in self._kind if self._kind[file] != "stay"),
        )

    def _scores(self, roots: set[Sha256]) -> dict[str, float]:
        """The share of each file's contents that are roots: full files attract copies."""
        scores = {}
        for file in self._tables.groups:
            held = [copy.row.sha256 in roots for copy in self._tables.rows(file)]
            scores[file] = sum(held) / len(held) if held else 0.0
        return scores

    def _judge(self, file: str) -> str:
        size = self._tables.sizes[file]
        self._freed[file] = size
        if file == self._newest_log:
            return "stay"
        if not any(self._is_home(copy, file) for copy in self._tables.rows(file)):
            return "drop"
        dead = sum(
            reclaimable(located.group, lambda sha256: self._homes.get(sha256) == file)
            for located in self._tables.groups[file]
        )
        self._freed[file] = dead
        if is_log(file):
            return "seal"
        return "rewrite" if is_wasteful(dead + self._held_back(file), size) else "stay"

    def _is_home(self, copy: StoredCopy, file: str) -> bool:
        return self._homes.get(copy.row.sha256) == file

    def _held_back(self, file: str) -> int:
        """About the stored bytes elsewhere that only dead contents of this file lean on."""
        held = {
            other
            for copy in self._tables.rows(file)
            if copy.row.sha256 not in self._homes
            for other in leans_on(copy.row)
            if other not in self._homes
        }
        return sum(stored_share(place) for place in self._tables.places(list(held)).values())
