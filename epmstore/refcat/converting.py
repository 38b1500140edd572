"""Founding catalogs as releases: digests become contents that are known, versions become releases.

A founding catalog has the SHA-1 of a file and nothing else, or only its first digits. A release
needs SHA-256 and size, too, so the contents must be at hand: stored here, recorded here, or in the
folders and archives that are named. What cannot be resolved is counted and named, and nothing is
published.
"""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from epmstore.catalog.classes import Rules
from epmstore.catalog.model import AboutRecord
from epmstore.digest import BlobInfo
from epmstore.errors import NotFoundError
from epmstore.progress import Progress
from epmstore.refcat.append import ReleaseDraft, publish
from epmstore.refcat.founding import FoundingVersion
from epmstore.refcat.gather import Gatherer
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry

SHORTEST = 7
"""Hexadecimal digits that a shortened digest has at least."""
_DIGITS = re.compile(rf"[0-9a-fA-F]{{{SHORTEST},40}}")


class Unresolved(msgspec.Struct, frozen=True):
    """A digest that is no known content, and why."""

    digest: str
    why: str


def unresolved(versions: Sequence[FoundingVersion]) -> list[Unresolved]:
    """What cannot be a SHA-1, whatever is at hand."""
    names = dict.fromkeys(name for version in versions for name in version.components)
    return [Unresolved(n, why) for n in names if (why := _why_none(n)) is not None]


def publish_founding(
    store: Store,
    about: AboutRecord,
    versions: Sequence[FoundingVersion],
    sources: Sequence[Path],
    progress: Progress,
) -> list[int]:
    """The releases that were published, in order. Raises NotFoundError if a content is not at hand;
    then nothing is. ConflictError, EpmError, OSError, DamagedError.
    """
    releases = Releases(store, about.app)
    with store.lock_app(about.app), Deposit(store) as deposit:
        gatherer = Gatherer(deposit, releases.catalog, Rules(about.patterns), {}, progress)
        known = _gather(gatherer, sources)
        contents = _resolve(store, versions, known)
        published = []
        tree: dict[RelPath, Entry] = {}
        for version in versions:
            tree.update(_entries(version, contents, Rules(about.patterns)))
            order = sorted(tree.values(), key=lambda entry: os.fsencode(entry.path))
            done = publish(deposit, about, order, ReleaseDraft(label=str(version.version)))
            if done is not None:
                published.append(done.version)
    return published


def _gather(gatherer: Gatherer, sources: Sequence[Path]) -> Collection[BlobInfo]:
    for path in sources:
        if path.is_dir():
            gatherer.add_folder(path)
        else:
            gatherer.add_archive(path)
        gatherer.forget_paths()
    return gatherer.contents


def _resolve(
    store: Store, versions: Sequence[FoundingVersion], known: Collection[BlobInfo]
) -> dict[str, BlobInfo]:
    found: dict[str, BlobInfo] = {}
    lost: list[Unresolved] = []
    for name in dict.fromkeys(name for version in versions for name in version.components):
        why = _why_none(name)
        infos = [] if why is not None else _candidates(store, name.lower(), known)
        if len(infos) == 1:
            found[name] = infos[0]
        else:
            several = f"{len(infos)} contents begin so" if infos else "no such content is at hand"
            lost.append(Unresolved(name, why or several))
    if lost:
        raise NotFoundError(
            f"{len(lost)} of {len(found) + len(lost)} components are not at hand:"
            f" {lost[0].digest} ({lost[0].why}), for one",
            hint="name the folders or archives that have them with --from",
            unresolved=[one.digest for one in lost],
        )
    return found


def _candidates(store: Store, digits: str, known: Collection[BlobInfo]) -> list[BlobInfo]:
    here = {info for info in known if info.digest.hex().startswith(digits)}
    return list(here or {info for info in store.contents.beginning(digits) if info.size >= 0})


def _why_none(name: str) -> str | None:
    return None if _DIGITS.fullmatch(name) else "this is no SHA-1, nor the beginning of one"


def _entries(
    version: FoundingVersion, contents: Mapping[str, BlobInfo], rules: Rules
) -> Iterable[tuple[RelPath, Entry]]:
    for digest, paths in version.components.items():
        for path in paths:
            found = rules.classify(path)
            if found == "ignore":
                continue
            content = None if found == "state" else contents[digest]
            yield path, Entry(path=path, kind="file", mode=0o644, content=content, path_class=found)
