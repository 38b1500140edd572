"""A candidate that is changed: what it says, and which of its files are of which part. Its files
are those that were built; a package that was published never changes.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from epmstore.catalog.packaging import Need, Package, Part
from epmstore.clock import Clock
from epmstore.errors import NotFoundError, PathNotFoundError, UsageError
from epmstore.package.draft import Completed, Draft
from epmstore.package.inspection import looked
from epmstore.package.package_reader import Asking, LargeOne, open_package
from epmstore.package.ranges import describe
from epmstore.package.tables import PartsOf
from epmstore.progress import Progress
from epmstore.relpath import RelPath, is_within, parse_relpath
from epmstore.store.adopt import Adopter
from epmstore.tree import Entry


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """Tags that it gets and loses, files and folders with the part that they are of from now on,
    needs that it gets, and products, capabilities or libraries that it needs no longer.
    """

    tags: tuple[str, ...] = ()
    no_tags: tuple[str, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    """(path, part)"""
    needs: tuple[Need, ...] = ()
    no_needs: tuple[str, ...] = ()
    summary: str | None = None
    root: str | None = None


def edit_candidate(
    path: Path, edits: Edits, clock: Clock, progress: Progress, *, dry_run: bool = False
) -> Completed | None:
    """The candidate in the place of the one before it; None for a dry run. Raises UsageError for
    what is no candidate, BadPackageError and its kin, PathNotFoundError, NotFoundError for what is
    not needed, OSError; then it is as it was.
    """
    asking = Asking(progress=progress, whole=True)
    with open_package(path, path.parent, asking) as reading:
        found = looked(reading, path)
        release = found.release
        if not found.is_candidate:
            raise UsageError(
                f"{path.name} is {release.about.key} {found.title}: it is published, and stays",
                hint="change what it was built from, and publish that as the next build",
            )
        package = _edited(release.package, edits)
        with Draft.begin(
            path.parent,
            product=release.about.key,
            package=package,
            name=release.about.name,
            patterns=release.about.patterns,
            clock=clock,
            progress=progress,
        ) as draft:
            adopter = Adopter(draft.deposit)
            for one in reading.contents():
                if isinstance(one, LargeOne):
                    adopter.adopt_large(one.info, one.parts)
                else:
                    adopter.adopt(one)
            draft.follows_sonames = False  # they are in it already
            for entry in release.entries:
                draft.add_path(entry)
            if edits.parts:
                _associate(draft, release.entries, edits.parts)
            kept = (tag for tag in reading.tags if tag not in edits.no_tags)
            draft.tag(*dict.fromkeys((*kept, *edits.tags)))
            return None if dry_run else draft.complete(path.parent, path)


def _edited(package: Package, edits: Edits) -> Package:
    requires = list(package.requires)
    for name in edits.no_needs:
        kept = [one for one in requires if name not in (*_names(one), describe(one, one.app))]
        if len(kept) == len(requires):
            raise NotFoundError(f"it does not need {name!r}")
        requires = kept
    requires += [one for one in edits.needs if one not in requires]
    return replace(
        package,
        requires=tuple(requires),
        summary=package.summary if edits.summary is None else edits.summary,
        root=package.root if edits.root is None else edits.root or None,
    )


def _names(need: Need) -> tuple[str | None, ...]:
    return need.product, need.capability, need.soname


def _associate(draft: Draft, entries: Sequence[Entry], asked: Sequence[tuple[str, str]]) -> None:
    """Each file is of the part that it was of, but for those that are named; the last name counts.
    Raises PathNotFoundError.
    """
    before = PartsOf(draft.package)
    found: dict[RelPath, str | None] = {
        entry.path: before.of(entry.path) for entry in entries if entry.kind != "directory"
    }
    for text, part in asked:
        path = parse_relpath(text.strip("/"))
        named = [one for one in found if is_within(one, (path,))]
        if not named:
            raise PathNotFoundError(f"{text!r} is no path of it", path=path)
        found.update(dict.fromkeys(named, part))
    known = {part.name: part for part in draft.package.parts}
    names = dict.fromkeys((*known, *(part for _, part in asked)))
    parts = tuple(replace(known.get(name, Part(name=name)), patterns=()) for name in names)
    draft.package = replace(draft.package, parts=parts)
    for one, said in found.items():
        if said is not None:
            draft.associate(one, said)
