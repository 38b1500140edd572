"""`release:41` wherever a version is meant: to list, read, compare, plan, and write out elsewhere.

The tree of a release is its vendor's word, and not this host's: owners and times of the two are not
compared, and what is written of a release is masked (refcat/hygiene.py).
"""

import os
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Unpack

import msgspec
from msgspec.structs import replace

from epmstore import given
from epmstore.catalog.diff import Change
from epmstore.catalog.selector import Selector, parse_selector
from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.request import Prepared
from epmstore.checkout.target import Exported, export
from epmstore.checkout.wanted import Found
from epmstore.digest import parse_digest
from epmstore.errors import (
    BlobNotFoundError,
    NeedsError,
    NotRestorableError,
    PathNotFoundError,
    UsageError,
    VersionNotFoundError,
)
from epmstore.given import AnyPath, AnyVersion
from epmstore.record.changes import in_order
from epmstore.record.result import Result
from epmstore.record.root import open_root
from epmstore.refcat.host import StoreHost
from epmstore.refcat.hygiene import leads_outside, mask
from epmstore.refcat.releases import Release, Releases
from epmstore.refcat.requires import Unmet, unmet, unmet_by
from epmstore.relpath import ROOT, RelPath, is_within, parents, sort_paths
from epmstore.store.store import is_refcat
from epmstore.tree import Entry
from epmstore.workspace.history import changes_of
from epmstore.workspace.live import TermsGiven
from epmstore.workspace.repairing import ALL, Repaired, Repairing, RepairOptions

OUTSIDE = "the link leads out of the tree"


class Releasing(Repairing):
    """One application, with the releases of its vendor."""

    def release(self, selector: AnyVersion) -> Release | None:
        """The release that a selector names; None if it names no release at all.

        Raises UsageError, VersionNotFoundError.
        """
        found = parse_selector(given.a_version(selector))
        if found.base != "release":
            return None
        return self.releases.get(_back(self._published(), found))

    def find_release(self, text: AnyVersion) -> Release:
        """The release that `text` names: a number, a label, `latest` ... (refcat/naming.py).

        Raises NotFoundError without a refcat, VersionNotFoundError, UsageError.
        """
        return self.releases.get(self._number(text))

    def ls(self, selector: AnyVersion, path: AnyPath | None = None) -> list[Entry]:
        release = self.release(selector)
        if release is None:
            return super().ls(selector, path)
        entries = self.releases.tree(release.version)
        if path is None:
            return list(entries)
        top = given.a_path(path)
        if top == ROOT:
            return self.ls(selector)
        found = [entry for entry in entries if is_within(entry.path, (top,))]
        if not found:
            raise self._not_released(top, release)
        return found

    def cat(self, selector: AnyVersion, path: AnyPath) -> Iterator[bytes]:
        release = self.release(selector)
        if release is None:
            return super().cat(selector, path)
        path = given.a_path(path)
        entry = next(iter(self.ls(selector, path)))
        if entry.path != path or entry.content is None:
            raise UsageError(f"no content is released of {path!r} (a {entry.kind})")
        if self.releases.missing([entry]):
            raise BlobNotFoundError(
                f"the content of {path!r} in release {release.title} is not stored here",
                hint="`epmstore catalog clone STORE KEY --contents RELEASE` brings it",
                digest=entry.content.digest.hex(),
            )
        return self._stream(entry)

    def diff_releases(
        self, one: AnyVersion, two: AnyVersion, paths: Sequence[AnyPath] = ()
    ) -> list[Change]:
        """What leads from one tree to another, at least one of which is a release. Owners, times
        and attributes are compared between releases only.
        """
        first, second, scope = self.release(one), self.release(two), given.scope(paths)
        if first is not None and second is not None and not scope:
            return changes_of(self.releases.changed(first.version, second.version))
        old, new = self._tree(one, first), self._tree(two, second)
        self._check_scope(scope, (), {*old, *new})
        if first is not None and second is not None:
            return changes_of(self.releases.changed(first.version, second.version), scope)
        pairs = [
            _alike(old.get(path), new.get(path), released_first=first is not None)
            for path in sort_paths({*old, *new})
        ]
        return changes_of(pairs, scope)

    def plan(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
    ) -> Prepared:
        release = self.release(selector)
        if release is None:
            return super().plan(selector, paths, exact=exact, config=config)
        return self.plan_repair(_asked(release, paths, exact=exact, config=config)).prepared

    def checkout(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
        **terms: Unpack[TermsGiven],
    ) -> Result:
        release = self.release(selector)
        if release is None:
            return super().checkout(selector, paths, exact=exact, config=config, **terms)
        return self.repair(_asked(release, paths, exact=exact, config=config), **terms)

    def plan_repair(self, asked: RepairOptions = ALL) -> Repaired:
        self._check_needs(asked)
        return super().plan_repair(asked)

    def repair(self, asked: RepairOptions = ALL, **terms: Unpack[TermsGiven]) -> Result:
        self._check_needs(asked)
        return super().repair(asked, **terms)

    def unmet(self, release: AnyVersion) -> list[Unmet]:
        """What a release needs and this host, as it was recorded last, does not have."""
        number = self._number(release)
        requires = self.releases.get(number).requires
        if not requires:
            return []
        tree = {entry.path: entry for entry in self.releases.tree(number)}
        return unmet(requires, tree, StoreHost(self._store))

    def export(
        self,
        selector: AnyVersion,
        target: AnyPath,
        paths: Sequence[AnyPath] = (),
        *,
        dry_run: bool = False,
    ) -> Exported:
        release = self.release(selector)
        if release is None:
            return super().export(selector, target, paths, dry_run=dry_run)
        found, scope = self.ls(selector), given.scope(paths)
        for path in scope:
            if not any(is_within(entry.path, (path,)) for entry in found):
                raise self._not_released(path, release)
        chosen = [entry for entry in found if not scope or is_within(entry.path, scope)]
        self._check_stored(chosen, release)
        links: set[str] = {entry.path for entry in found if entry.kind == "symlink"}
        kept = [
            e.path
            for e in chosen
            if e.target and leads_outside(e.path, e.target, links.__contains__)
        ]
        wanted = {entry.path: mask(entry) for entry in chosen if entry.path not in set(kept)}
        with self._store.keep_packs(reading=True):
            done = export(
                given.a_place(target).absolute(),
                in_order(_as_mine(_with_folders(wanted)).values()),
                self._store,
                self._progress,
                self._store.contents.purged(),
                dry_run=dry_run,
            )
        return replace(done, kept=[*done.kept, *((path, OUTSIDE) for path in kept)])

    def _tree(self, selector: AnyVersion, release: Release | None) -> dict[RelPath, Entry]:
        if release is not None:
            return {entry.path: entry for entry in self.releases.tree(release.version)}
        if self.resolve(selector) != "now":
            return {entry.path: entry for entry in super().ls(selector)}
        with open_root(self.app) as root:
            look = self._recorder.status(root)
        newest = look.head.number
        tree = {} if newest is None else {e.path: e for e in super().ls(str(newest))}
        for entry in look.changes.gone():
            tree.pop(entry.path, None)
        tree.update((entry.path, entry) for entry in look.changes.come())
        return tree

    def _check_needs(self, asked: RepairOptions) -> None:
        """Raises NeedsError if a checkout of a release needs what is not there."""
        if asked.release is None or asked.action != "checkout" or given.scope(asked.paths):
            return
        self._check_release(self._number(asked.release))

    def _check_release(self, release: int) -> None:
        found = [one for one in self.unmet(release) if not one.requirement.optional]
        if found:
            title = self.releases.get(release).title
            raise NeedsError(
                f"release {title} of {self.app.key} needs what is not there:"
                f" {'; '.join(one.why for one in found)}",
                hint=f"`epmstore repair --release {release}` goes there nevertheless",
                unmet=[one.why for one in found],
            )

    def _approve(self, prepared: Prepared, found: Found) -> None:
        """Needs decide about everything that writes components of one's choice: a release, and
        paths. What brings a whole state of this host back is not asked: it was there before.
        """
        request = prepared.request
        if not self.releases.exists() or request.within is not None:
            return
        release = request.goal.release if isinstance(request.goal, ReleaseGoal) else None
        is_asked = release is not None and request.action == "checkout"
        if request.paths is None:
            if release is not None and is_asked:
                self._check_release(release)
            return
        written = {info.digest.hex(): info for info in prepared.plan.contents()}
        asked = self.releases.numbers() if release is None else [release]
        needs = [
            one.requires if isinstance(one, Release) else self.releases.get(one).requires
            for one in asked
        ]
        lacking = unmet_by(written, needs, lambda digests: self._there(digests, prepared, found))
        if is_asked:
            apps = [one for one in needs[0] if one.app is not None and not one.optional]
            lacking += unmet(apps, {}, StoreHost(self._store))
        if lacking:
            raise self._needs_error(release, lacking)

    def _there(self, digests: Collection[str], prepared: Prepared, found: Found) -> set[str]:
        """Those of these SHA-1 that a file of this host has once a plan is carried out."""
        changes = found.look.changes
        changed = {step.path for step in prepared.plan.steps}
        come = [] if found.is_recorded else [e for e in changes.come() if e.path not in changed]
        come += [step.new for step in prepared.plan.steps if step.new is not None]
        there = {entry.content.digest.hex() for entry in come if entry.content is not None}
        if not found.is_recorded:
            changed.update(entry.path for entry in (*changes.come(), *changes.gone()))
        for text in set(digests) - there:
            for app, span in self._store.entries.with_content(parse_digest(text)):
                is_going = app == self.app.uuid and span.entry.path in changed
                if span.until is None and not is_refcat(app) and not is_going:
                    there.add(text)
        return there & set(digests)

    def _needs_error(self, release: int | None, lacking: Sequence[Unmet]) -> NeedsError:
        paths = [path for one in lacking for path in self._released_at(one, release)]
        hint = f"name what is needed as well: {' '.join(paths)}" if paths else None
        if release is not None:
            whole = f"`epmstore repair --release {release}`, without paths,"
            hint = f"{hint}; or {whole} goes there" if hint else f"{whole} goes there nevertheless"
        return NeedsError(
            f"what is asked for needs what is not there: {'; '.join(one.why for one in lacking)}",
            hint=hint or "bring what is needed first",
            unmet=[one.why for one in lacking],
        )

    def _released_at(self, one: Unmet, release: int | None) -> list[str]:
        """Where a release (None: any) has what is needed."""
        if one.requirement.digest is None:
            return []
        spans = self._store.entries.with_content(parse_digest(one.requirement.digest))
        return sorted(
            {
                shlex.quote(span.entry.path)
                for app, span in spans
                if app == self.releases.catalog
                and (release is None or span.since <= release < (span.until or release + 1))
            }
        )

    def _check_stored(self, entries: Sequence[Entry], release: Release) -> None:
        needed = [entry for entry in entries if entry.path_class != "secret"]
        missing = self.releases.missing(needed)
        if missing:
            raise NotRestorableError(
                f"{len(missing)} contents of release {release.title} are not stored here,"
                f" that of {missing[0].path!r} for one",
                hint="`epmstore catalog clone STORE KEY --contents RELEASE` brings them",
                missing=len(missing),
            )

    def _not_released(self, path: RelPath, release: Release) -> PathNotFoundError:
        return PathNotFoundError(
            f"{path!r} is not in release {release.title} of {self.app.key}",
            hint=f"`epmstore ls release:{release.version}` lists what is",
            path=path,
        )


def _back(releases: Releases, selector: Selector) -> int:
    """`release:latest~1` is by number, as `release list` shows them; `~1` of another one is the
    release that it follows. Raises VersionNotFoundError.
    """
    number = releases.resolve(selector.value)
    if selector.value == "latest":
        return releases.get(number - selector.back).version
    found = releases.lines().back(number, selector.back)
    if found is None:
        raise VersionNotFoundError(
            f"{selector.back} releases before release {releases.get(number).title} there is none",
            hint="`epmstore release list` shows which release follows which",
            selector=selector.text,
        )
    return found


def _asked(
    release: Release, paths: Sequence[AnyPath], *, exact: bool, config: ConfigPolicy
) -> RepairOptions:
    return RepairOptions(
        release.version, given.scope(paths), exact=exact, config=config, action="checkout"
    )


def _alike(
    old: Entry | None, new: Entry | None, *, released_first: bool
) -> tuple[Entry | None, Entry | None]:
    """The two with what a release says of owners, times, attributes and links made the host's."""
    if old is None or new is None:
        return old, new
    host = new if released_first else old
    said = {
        name: getattr(host, name)
        for name in ("uid", "gid", "user", "group", "mtime_ns", "xattrs", "same_as", "sparse")
    }
    if released_first:
        return msgspec.structs.replace(old, **said), new
    return old, msgspec.structs.replace(new, **said)


def _with_folders(tree: Mapping[RelPath, Entry]) -> dict[RelPath, Entry]:
    """With the folders that the paths lie in, where the release does not name them."""
    whole = dict(tree)
    for path in tree:
        for above in map(RelPath, parents(path)):
            whole.setdefault(above, Entry(path=above, kind="directory", mode=0o755))
    return whole


def _as_mine(tree: Mapping[RelPath, Entry]) -> dict[RelPath, Entry]:
    """Owned by whoever writes it, with hard links only to what is written, too."""
    uid, gid = os.geteuid(), os.getegid()
    return {
        path: replace(
            entry,
            uid=uid,
            gid=gid,
            user=None,
            group=None,
            same_as=entry.same_as if entry.same_as in tree else None,
        )
        for path, entry in tree.items()
    }
