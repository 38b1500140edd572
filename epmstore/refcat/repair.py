"""From the findings of a root to what is to be brought back. Pure.

- Deviations from the release are brought back; what was accepted is left, unless it is named.
- Configuration that was edited here is left, and named, unless it is asked for or named itself.
- What the release lacks goes if an earlier or a later release had put it there. What no release has
  at this path is left, and named, unless everything that is not the release's is to go.
- Owners are those that stand for the release's owners here. Setuid, setgid and sticky bits, and
  the right of group and others to write, come back only where this host has recorded them: a
  catalog alone grants no rights. Nor does a link that was released lead out of the root.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeAlias

import msgspec
from msgspec.structs import replace

from epmstore.checkout.plan import ConfigPolicy
from epmstore.refcat.classify import OF_RELEASES, PRIVILEGE, Deviation
from epmstore.refcat.hygiene import leads_outside
from epmstore.refcat.verify import Verified
from epmstore.relpath import RelPath, is_within, parents, sort_paths
from epmstore.tree import Entry, Pair

EDITED = "configuration that was edited here"
RIGHTS = 0o7022
"""Setuid, setgid, sticky; writing by group and by others."""


class RepairContext(Protocol):
    """What deciding needs to know beside the findings. `now_ns` is the time (since 1970) for files
    of which the release has none: always the same one, or a plan would be outdated as soon as it is
    made.
    """

    @property
    def now_ns(self) -> int: ...

    def released(self, path: RelPath) -> Entry | None:
        """What the release has at a path."""

    def found(self, path: RelPath) -> Entry | None:
        """What the root has there."""

    def children(self, folder: RelPath) -> Collection[RelPath]:
        """What is in a folder of the root."""

    def had_mode(self, path: RelPath, bits: int) -> bool:
        """Whether this host ever recorded a path with such mode bits."""


class Repair(msgspec.Struct, frozen=True):
    """Path to (found, wanted) of what is to change, and what is left alone, with why."""

    pairs: dict[RelPath, Pair]
    left: list[tuple[RelPath, str]]


WhyLeft: TypeAlias = Callable[[Deviation], str | None]
"""Why a path is left as it is (empty: that is not worth a word); None if it is brought back."""


def bring_back(
    verified: Verified,
    around: RepairContext,
    why_left: WhyLeft,
    scope: Collection[RelPath] = (),
) -> Repair:
    """What brings the paths in `scope` (empty: all) to the release, but for those that are left."""
    planner = _Repair(verified, around, why_left, frozenset(scope))
    for finding in verified.findings:
        planner.take(finding)
    planner.add_folders()
    planner.drop_folders()
    return Repair({p: planner.pairs[p] for p in sort_paths(planner.pairs)}, planner.left)


def plan_repair(
    verified: Verified,
    around: RepairContext,
    *,
    scope: Sequence[RelPath] = (),
    config: ConfigPolicy = "keep",
    exact: bool = False,
    derived: Collection[RelPath] = (),
) -> Repair:
    """What brings the paths in `scope` (empty: all) back to the release. `derived` are as this
    program wrote them, and not edited.
    """

    def why_left(finding: Deviation) -> str | None:
        path = finding.path
        if path in scope or path in derived:
            return None
        if path in verified.accepted:
            return "it was accepted"
        is_edited = finding.what in ("local", "meta") and finding.expected is not None
        if finding.path_class == "config" and is_edited and config != "restore":
            return EDITED
        if finding.expected is None and finding.what not in OF_RELEASES and not exact:
            return "no release has it here"
        return None

    return bring_back(verified, around, why_left, scope)


class _Repair:
    def __init__(
        self,
        verified: Verified,
        around: RepairContext,
        why_left: WhyLeft,
        scope: frozenset[RelPath],
    ) -> None:
        self._verified = verified
        self._around = around
        self._ask = why_left
        self._scope = scope
        self.pairs: dict[RelPath, Pair] = {}
        self.left: list[tuple[RelPath, str]] = []

    def take(self, finding: Deviation) -> None:
        if finding.what == "moved":
            self._bring_home(finding)
        if not self._in_scope(finding.path):
            return
        why = self._why_left(finding)
        if why is not None:
            self.left += [(finding.path, why)] if why else []
            return
        # asked for anew: these rows of the index vouch for themselves, those of a survey do not
        found = self._around.found(finding.path)
        wanted = self._around.released(finding.path)
        self.pairs[finding.path] = (found, None if wanted is None else self._here(wanted, found))

    def _bring_home(self, finding: Deviation) -> None:
        """What was moved away is missing where it belongs, and has no finding there."""
        assert finding.other is not None, "what is moved belongs somewhere"
        home = finding.other[1]
        wanted = self._around.released(home)
        if wanted is not None and self._in_scope(home) and self._around.found(home) is None:
            self.pairs[home] = (None, self._here(wanted, None))

    def _why_left(self, finding: Deviation) -> str | None:
        if self._leads_away(finding.path):
            return "the link that was released leads out of the root"
        return self._ask(finding)

    def _leads_away(self, path: RelPath) -> bool:
        """Whether a release would put a link here that leaves the root."""
        wanted = self._around.released(path)
        if wanted is None or wanted.target is None:
            return False
        return leads_outside(path, wanted.target, self._is_released_link)

    def _is_released_link(self, path: str) -> bool:
        wanted = self._around.released(RelPath(path))
        return wanted is not None and wanted.kind == "symlink"

    def add_folders(self) -> None:
        """The folders that what is brought back has to lie in. What is no folder and stays, because
        it is not asked for or is left alone, is said as it is: nothing can be planned below it.
        """
        coming = [path for path, (_, wanted) in self.pairs.items() if wanted is not None]
        for path in coming:
            for above in map(RelPath, parents(path)):
                if above in self.pairs:
                    continue
                found = self._around.found(above)
                if found is None:
                    wanted = self._around.released(above)
                    plain = Entry(path=above, kind="directory", mode=0o755)
                    self.pairs[above] = (None, self._here(wanted or plain, None))
                elif found.kind != "directory":
                    self.pairs[above] = (found, found)

    def drop_folders(self) -> None:
        """Folders that the release lacks, and that hold nothing once the rest is gone."""
        going = [path for path, (_, wanted) in self.pairs.items() if wanted is None]
        coming = [path for path, (_, wanted) in self.pairs.items() if wanted is not None]
        needed = {above for path in coming for above in parents(path)}
        above = {RelPath(folder) for path in going for folder in parents(path)}
        for folder in reversed(sort_paths(above - self.pairs.keys() - needed)):
            found = self._around.found(folder)
            if found is None or self._around.released(folder) is not None:
                continue
            if all(self._is_going(path) for path in self._around.children(folder)):
                self.pairs[folder] = (found, None)

    def _is_going(self, path: RelPath) -> bool:
        return path in self.pairs and self.pairs[path][1] is None

    def _here(self, wanted: Entry, found: Entry | None) -> Entry:
        """A released entry as it is to be on this host."""
        uid, gid, user, group = self._verified.owners.here(wanted)
        mode = wanted.mode
        if mode & RIGHTS and not self._around.had_mode(wanted.path, mode & RIGHTS):
            mode &= ~RIGHTS
        mtime = wanted.mtime_ns
        if found is not None and (found.content, found.target) == (wanted.content, wanted.target):
            mtime = found.mtime_ns
        if mtime is None and wanted.kind != "directory":
            mtime = self._around.now_ns
        same = found is not None and found.content == wanted.content
        return replace(
            wanted,
            uid=uid,
            gid=gid,
            user=user,
            group=group,
            mode=mode,
            mtime_ns=mtime,
            xattrs=() if found is None else tuple(x for x in found.xattrs if x[0] != PRIVILEGE),
            same_as=found.same_as if found is not None and same else None,
            sparse=found.sparse if found is not None and same else wanted.sparse,
        )

    def _in_scope(self, path: RelPath) -> bool:
        return not self._scope or is_within(path, self._scope)
