"""From the findings of a root to what installing a release there does, and uninstalling it. Pure.

- What is as the release had it that was installed before becomes what the new one has, or goes.
- What was changed here is kept where both releases have the same, and where the new one has it no
  more. Else configuration is kept, and a program file is replaced; either is a note.
- What was there before anything was installed, and is not what the release has, is in the way;
  configuration is kept.
- What no release ever had is left, and so are folders that are there.
- Uninstalling takes away what a release of the product had put there, and the folders that are
  empty then. What was changed here is left.
"""

from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from epmstore.catalog.install_notes import (
    FOUND_CONFIG,
    KEPT_CONFIG,
    KEPT_FILE,
    KEPT_RENDERED,
    MERGED_CONFIG,
    REMOVED_CONFIG,
    REPLACED,
)
from epmstore.catalog.model import Note
from epmstore.checkout.plan import ConfigPolicy
from epmstore.digest import BlobInfo
from epmstore.refcat.classify import OF_RELEASES, Deviation, deviating_fields, same_state
from epmstore.refcat.owners import Owner, OwnerMapping
from epmstore.refcat.repair import EDITED, RIGHTS, Repair, RepairContext, bring_back
from epmstore.refcat.verify import Verified
from epmstore.relpath import RelPath, parents, sort_paths
from epmstore.tree import Entry, Pair

SAME_IN_BOTH: Final = "changed here, and the same in both releases"
NOT_ANY_MORE: Final = "changed here, and the new release has it no more"
CONFIG_REMOVED: Final = "configuration that was removed here"
CONFIG_FOUND: Final = "configuration that was there before"
CHANGED: Final = "changed here"
_SILENTLY: Final = ""


class InstallContext(RepairContext, Protocol):
    """What deciding about an install needs to know beside the findings."""

    def before(self, path: RelPath) -> Entry | None:
        """What the release has at a path that is installed until now."""

    def merged(self, path: RelPath, found: Entry, wanted: Entry) -> BlobInfo | None:
        """What comes of an edited file and what the release has, if that is clean."""

    def is_rendered(self, path: RelPath) -> bool:
        """Whether parameters are written into it, and no release has it."""


class InstallPlan(msgspec.Struct, frozen=True):
    """What is to change, and what is left; what a person should know of; what is in the way."""

    repair: Repair
    notes: tuple[Note, ...]
    in_the_way: tuple[RelPath, ...]


def plan_install(
    verified: Verified,
    around: InstallContext,
    *,
    config: ConfigPolicy,
    replace: bool,
    owner: Owner | None = None,
) -> InstallPlan:
    """What brings a root to a release, beside which it was `verified`. With `replace`, nothing is
    in the way. All that is written is the `owner`'s (None: of who stands for the release's owners).
    """
    judge = _Judge(verified, around, config=config, replace=replace)
    repair = bring_back(verified, around, judge.why_left)
    if owner is not None:
        repair = Repair(
            {p: _given_to(owner, pair) for p, pair in repair.pairs.items()}, repair.left
        )
    for path, content in judge.merged.items():
        found, _ = repair.pairs[path]
        assert found is not None, "what is merged was found"
        wanted = msgspec.structs.replace(
            found, content=content, mtime_ns=around.now_ns, same_as=None, sparse=False
        )
        repair.pairs[path] = (found, wanted)
    stays = [p for p, (found, wanted) in repair.pairs.items() if found is wanted is not None]
    in_the_way = tuple(sort_paths([*judge.in_the_way, *stays]))
    return InstallPlan(repair, tuple(judge.notes), in_the_way)


def _given_to(owner: Owner, pair: Pair) -> Pair:
    found, wanted = pair
    if wanted is None or found is wanted:
        return pair
    uid, gid, user, group = owner
    return found, msgspec.structs.replace(wanted, uid=uid, gid=gid, user=user, group=group)


def plan_removal(verified: Verified, around: RepairContext, entries: Iterable[Entry]) -> Repair:
    """What takes the `entries` of a release away, beside which the root was `verified`."""
    findings = {one.path: one for one in verified.findings}
    pairs: dict[RelPath, Pair] = {}
    left: list[tuple[RelPath, str]] = []
    folders: set[RelPath] = set()
    for entry in entries:
        folders.update(map(RelPath, parents(entry.path)))
        found = around.found(entry.path)
        if found is None or entry.kind == "directory":
            folders.update([entry.path] if found is not None else [])
            continue
        why = _why_it_stays(findings.get(entry.path))
        if why is None:
            pairs[entry.path] = (found, None)
        else:
            left.append((entry.path, why))
    for folder in reversed(sort_paths(folders)):
        found = around.found(folder)
        if found is None or found.kind != "directory":
            continue
        if all(path in pairs for path in around.children(folder)):
            pairs[folder] = (found, None)
    return Repair({path: pairs[path] for path in sort_paths(pairs)}, left)


def _why_it_stays(finding: Deviation | None) -> str | None:
    if finding is None or finding.what == "meta" or finding.what in OF_RELEASES:
        return None
    return EDITED if finding.path_class == "config" else CHANGED


def is_edited(found: Entry, before: Entry, owners: OwnerMapping) -> bool:
    """Whether what a release had put there was changed here. Rights that a release asks for, and
    that an install does not give, are no edit.
    """
    if not same_state(found, before):
        return True
    fields = {*deviating_fields(found, before, owners)} - {"xattrs"}
    if found.mode == before.mode & ~RIGHTS:
        fields.discard("mode")
    return bool(fields)


class _Judge:
    def __init__(
        self, verified: Verified, around: InstallContext, *, config: ConfigPolicy, replace: bool
    ) -> None:
        self._owners = verified.owners
        self._around = around
        self._config = config
        self._replace = replace
        self.notes: list[Note] = []
        self.in_the_way: list[RelPath] = []
        self.merged: dict[RelPath, BlobInfo] = {}

    def why_left(self, finding: Deviation) -> str | None:
        before, wanted = self._around.before(finding.path), finding.expected
        if wanted is None:
            return self._not_any_more(finding, before)
        if finding.found is None:
            return self._removed(finding, before, wanted)
        if before is None:
            return self._found_there(finding, wanted)
        if not is_edited(finding.found, before, self._owners):
            return None
        return self._edited(finding, before, wanted)

    def _removed(self, finding: Deviation, before: Entry | None, wanted: Entry) -> str | None:
        """Of what is not there, and was, or was to be."""
        if before is None or not self._keeps_config(finding):
            return None
        if not same_state(before, wanted):
            self.notes.append(self._kept(finding.path, REMOVED_CONFIG))
        return CONFIG_REMOVED

    def _edited(self, finding: Deviation, before: Entry, wanted: Entry) -> str | None:
        is_same = same_state(before, wanted) and before.mode == wanted.mode
        if self._keeps_config(finding) and not is_same and self._is_merged(finding, wanted):
            self.notes.append(Note(what=MERGED_CONFIG, path=finding.path))
            return None
        if self._keeps_config(finding):
            self.notes += [] if is_same else [self._kept(finding.path, KEPT_CONFIG)]
            return EDITED
        if is_same and finding.path_class != "config":
            return SAME_IN_BOTH
        self.notes.append(Note(what=REPLACED, path=finding.path))
        return None

    def _is_merged(self, finding: Deviation, wanted: Entry) -> bool:
        found, path = finding.found, finding.path
        if self._config != "merge" or found is None or self._around.is_rendered(path):
            return False
        content = self._around.merged(path, found, wanted)
        if content is not None:
            self.merged[path] = content
        return content is not None

    def _not_any_more(self, finding: Deviation, before: Entry | None) -> str | None:
        """Of what the new release lacks."""
        if before is None or finding.found is None:
            return _SILENTLY
        if not is_edited(finding.found, before, self._owners):
            return None
        if finding.found.kind == "directory":
            return _SILENTLY
        self.notes.append(Note(what=KEPT_FILE, path=finding.path))
        return NOT_ANY_MORE

    def _found_there(self, finding: Deviation, wanted: Entry) -> str | None:
        """Of what was there before the product had anything at this path."""
        assert finding.found is not None, "it was found"
        if finding.found.kind == wanted.kind == "directory":
            return _SILENTLY
        if same_state(finding.found, wanted):
            return None
        if self._keeps_config(finding):
            self.notes.append(self._kept(finding.path, FOUND_CONFIG))
            return CONFIG_FOUND
        if not self._replace:
            self.in_the_way.append(finding.path)
            return _SILENTLY
        self.notes.append(Note(what=REPLACED, path=finding.path))
        return None

    def _kept(self, path: RelPath, what: str) -> Note:
        return Note(what=KEPT_RENDERED if self._around.is_rendered(path) else what, path=path)

    def _keeps_config(self, finding: Deviation) -> bool:
        return finding.path_class == "config" and self._config != "restore"
