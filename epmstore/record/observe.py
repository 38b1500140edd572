"""What of a root has to be looked at: the walk, joined with the stat cache and the newest version.

No contents are read here and nothing is written. `status`, `snapshot` and the tree that a checkout
finds all begin with this. Rules:

- a folder whose stats equal the cached ones is as recorded, and costs one comparison;
- not observed is not absent: what could not be seen keeps its entry, what the rules leave out
  leaves the tree without having been removed;
- an entry is `gone` only if its folder was listed and does not have it;
- a look at some folders sees what a whole look would see of them: a folder that is not there is
  looked for in the one above, a new one is looked at with all that is below it.
"""

import itertools
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TypeAlias

import msgspec

from epmstore.filestat import AnyStat, FileId, FileStat
from epmstore.index.entries import Entries
from epmstore.index.links import live_links
from epmstore.index.stat_cache import StatCache, StatCacheState
from epmstore.relpath import RelPath, from_bytes, join, parents, split, to_bytes
from epmstore.scan.compare import compare_stats, names_in, pack_stats
from epmstore.scan.metadata import group_links
from epmstore.scan.problem import Problem
from epmstore.scan.walk import Classify, Listing, walk
from epmstore.tree import Entry, PathClass

_Wanted: TypeAlias = tuple[AnyStat, PathClass]
TOGETHER = 500
"""Paths that are looked up in the index at once, while the walk waits."""


_COVERED = "another file system is mounted over what is recorded here"


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A path whose entry may differ from the recorded one (None: it is new). `afresh`: its content
    is stored even if it is the one that is recorded.
    """

    path: RelPath
    stat: AnyStat
    path_class: PathClass
    recorded: Entry | None
    afresh: bool = False


CandidateSink: TypeAlias = Callable[[Iterable[Candidate]], None]


class Observation(msgspec.Struct, frozen=True):
    """One look at a root. `candidates` are those that no reader was fed with. `listings` are the
    stats, packed for comparing, of the folders in which they differ from the cached ones.

    `gone` entries were removed; `left` ones are outside of what the rules now look at; `missing`
    ones were not found, but too little was seen to say that they are gone. `same_as` says of hard
    links what their first path is. `vanished_folders` have rows in the cache and are no more.
    `cold` says that there was no cache to compare with.
    """

    candidates: list[Candidate]
    gone: list[Entry]
    left: list[Entry]
    missing: list[Entry]
    listings: dict[str, bytes]
    same_as: dict[RelPath, RelPath]
    skipped: list[Problem]
    unobserved: list[Problem]
    ignored: list[RelPath]
    vanished_folders: list[str]
    files: int
    cold: bool


class Observer:
    """Looks at one root of one app."""

    def __init__(
        self,
        root_fd: int,
        app: str,
        entries: Entries,
        *,
        classify: Classify | None,
        skip: frozenset[FileId],
        cross_mounts: bool = False,
    ) -> None:
        self._root_fd = root_fd
        self._app = app
        self._entries = entries
        self._classify = classify
        self._skip = skip
        self._cross_mounts = cross_mounts

    def observe(
        self,
        cached: dict[bytes, bytes] | None,
        *,
        recorded: bool,
        only: Collection[str] | None = None,
        feed: CandidateSink | None = None,
    ) -> Observation:
        """`cached` are the rows that are valid for the newest version (None: none are); `recorded`
        says whether there is a newest version. `only` limits the look to these folders, for which
        `cached` has the rows, and for those above them. `feed` gets the candidates as they are
        found, while the walk still goes on.

        Raises OSError if the root itself cannot be looked at.
        """
        look = _Look(cached, recorded=recorded)
        found = _Found(partial(self._candidates, recorded=recorded), feed)
        self._walk(look, only, found)
        if only is not None and (new := _new_folders(look, found.candidates)):
            self._walk(look, (), found, new)
        look.replaced_folders += found.replaced_folders
        same_as = group_links(look.links)
        if recorded and only is None:
            found.add(self._relinked(look, same_as))
            found.look_up()
        lost = self._departed(look, whole=only is None) if recorded else _Lost()
        return Observation(
            found.candidates,
            lost.gone,
            lost.left,
            lost.missing,
            look.listings,
            same_as,
            look.skipped,
            [self._judge_mount(one) if recorded else one for one in look.unobserved],
            look.ignored,
            look.vanished_folders([*lost.gone, *lost.left], whole=only is None),
            look.files,
            cached is None,
        )

    def _walk(
        self,
        look: "_Look",
        only: Collection[str] | None,
        found: "_Found",
        below: Collection[str] = (),
    ) -> None:
        """Look at folders; of `only`, those that are not there are looked for in those above."""
        while only is None or only or below:
            missing: set[str] = set()
            for listing in walk(
                self._root_fd,
                classify=self._classify,
                skip=self._skip,
                cross_mounts=self._cross_mounts,
                only=only,
                below=below,
            ):
                if only is not None and (path := _vanished(listing)) is not None:
                    missing.add(split(path)[0])
                elif listing.folder not in look.visited:
                    found.add(look.add(listing))
            found.look_up()
            if only is None:
                return
            only, below = missing - look.visited, ()

    def _candidates(
        self, wanted: "Mapping[RelPath, _Wanted]", *, recorded: bool
    ) -> list[Candidate]:
        """The paths to look at, each with its recorded entry, if any are."""
        entries: dict[RelPath, Entry] = {}
        if recorded:
            entries = self._entries.live_at(self._app, wanted)
            # one that is new, or whose row is damaged: reading the whole folder would tell
            for folder in {split(path)[0] for path in wanted.keys() - entries.keys()}:
                self._entries.live_folder(self._app, folder)
        return [Candidate(path, *found, entries.get(path)) for path, found in wanted.items()]

    def _relinked(
        self, look: "_Look", same_as: Mapping[RelPath, RelPath]
    ) -> dict[RelPath, _Wanted]:
        """Files whose first link is another one than is recorded. They need not have changed: it is
        enough that a folder above the first one was moved. Where that one was not seen, they may
        still be links of it.
        """
        if not look.links or not (look.wanted or look.gone):
            return {}
        recorded = live_links(self._entries.database, self._app)
        return {
            path: (found, self._class_of(path))
            for path, found in look.links
            if path not in look.wanted
            and same_as.get(path) != (first := recorded.get(path))
            and (first is None or not look.is_unseen(first))
        }

    def _judge_mount(self, problem: Problem) -> Problem:
        """Whether a file system is mounted over what is recorded."""
        path = problem.path
        if problem.kind != "mount":
            return problem
        here = self._entries.live_at(self._app, [path]).get(path)
        is_file = here is not None and here.kind != "directory"
        if is_file or self._entries.live_below(self._app, path):
            return Problem(path, "covered", _COVERED)
        return problem

    def _class_of(self, path: str) -> PathClass:
        found = self._classify(path, False) if self._classify else "program"
        assert found != "ignore", "what is ignored is not in a listing"
        return found

    def _departed(self, look: "_Look", *, whole: bool) -> "_Lost":
        """The recorded entries that were not found."""
        lost: dict[RelPath, Entry] = {}
        for folder, names in look.gone.items():
            if names == ():
                continue
            recorded = self._entries.live_folder(self._app, folder)
            present = set(names_in(look.listings[folder]))
            for name in recorded if names is None else names:
                if name in recorded and name not in present:
                    self._add_with_children(recorded[name], lost)
        replaced: dict[RelPath, Entry] = {}
        for path in look.replaced_folders:
            below = self._entries.live_below(self._app, path)
            replaced.update((entry.path, entry) for entry in below)
        if whole and look.cold:
            for folder in self._entries.live_folders(self._app):
                if folder not in look.visited:
                    inside = self._entries.live_folder(self._app, folder)
                    lost.update((entry.path, entry) for entry in inside.values())
        return look.sort_out(lost.values(), replaced)

    def _add_with_children(self, entry: Entry, lost: dict[RelPath, Entry]) -> None:
        lost[entry.path] = entry
        if entry.kind == "directory":
            below = self._entries.live_below(self._app, entry.path)
            lost.update((child.path, child) for child in below)


class _Found:
    """Gathers what is to be looked at: some paths at a time become candidates, and are passed on
    while the walk goes on, or kept if there is no reader to be fed.
    """

    def __init__(
        self,
        judge: "Callable[[Mapping[RelPath, _Wanted]], list[Candidate]]",
        feed: CandidateSink | None,
    ) -> None:
        self.candidates: list[Candidate] = []
        self.replaced_folders: list[RelPath] = []
        self._judge = judge
        self._feed = feed
        self._waiting: dict[RelPath, _Wanted] = {}

    def add(self, wanted: "Mapping[RelPath, _Wanted]") -> None:
        self._waiting.update(wanted)
        if len(self._waiting) >= TOGETHER:
            self.look_up()

    def look_up(self) -> None:
        """Nothing waits any more."""
        found = self._judge(self._waiting)
        self._waiting.clear()
        self.replaced_folders += _replaced_folders(found)
        if self._feed is None:
            self.candidates += found
        else:
            self._feed(found)


class _Lost(msgspec.Struct):
    """Recorded entries that were not found, as an Observation has them."""

    gone: list[Entry] = []
    left: list[Entry] = []
    missing: list[Entry] = []


class _Look:
    """Gathers what one walk shows."""

    def __init__(self, cached: dict[bytes, bytes] | None, *, recorded: bool) -> None:
        self._cached = cached or {}
        self._recorded = recorded
        self.cold = cached is None
        self.files = 0
        self.listings: dict[str, bytes] = {}
        self.visited: set[str] = set()
        self.wanted: set[RelPath] = set()
        """Paths to look at: only folders, if nothing is recorded to ask more for."""
        self._states: set[str] = set()
        self.changed: set[RelPath] = set()
        """Those of them that have another row than before."""
        self.gone: dict[str, tuple[str, ...] | None] = {}
        """Folder to names that the cache had; None for a folder that it did not have."""
        self.replaced_folders: list[RelPath] = []
        self.links: list[tuple[RelPath, AnyStat]] = []
        self.skipped: list[Problem] = []
        self.unobserved: list[Problem] = []
        self.ignored: list[RelPath] = []
        self._unlisted: set[str] = set()
        self._common: dict[int, int] = {}
        """One object for each number that many stats have."""

    def add(self, listing: Listing) -> "Mapping[RelPath, _Wanted]":
        """What is to be looked at because of it."""
        folder = listing.folder
        self.skipped += listing.skipped
        self.unobserved += listing.unobserved
        self.ignored += listing.ignored
        if not listing.listed:
            self._unlisted.add(folder)
            return {}
        self.visited.add(folder)
        self.files += len(listing.names)
        self.links += [
            (join(folder, listing.names[n]), found)
            for n, found in enumerate(listing.stats)
            if found.st_nlink > 1 and stat.S_ISREG(found.st_mode) and not _is_state(listing, n)
        ]
        before = self._cached.get(to_bytes(folder))
        packed = pack_stats(listing.names, listing.stats, listing.own)
        if packed == before:
            return {}
        self.listings[folder] = packed
        if before is None:
            self.gone[folder] = None
            return self._want(listing, own=True, names=None)
        difference = compare_stats(before, packed)
        names = {*difference.come, *difference.changed}
        self.gone[folder] = difference.gone
        return self._want(listing, own=difference.own, names=names)

    def _want(
        self, listing: Listing, *, own: bool, names: Collection[str] | None
    ) -> "Mapping[RelPath, _Wanted]":
        """Look at the folder itself and at these names (None: all) in it."""
        folder = listing.folder
        wanted: dict[RelPath, _Wanted] = {}
        cached = self._cached
        if own and folder and folder not in self.wanted:
            wanted[RelPath(folder)] = (listing.own, "program")
            self.wanted.add(RelPath(folder))
        prefix = f"{folder}/" if folder else ""
        classes: Iterable[PathClass] = listing.classes or itertools.repeat("program")
        # one of `names` and `stats` is as long as the other; `classes` may go on for ever
        for name, found, path_class in zip(listing.names, listing.stats, classes, strict=False):
            if names is not None and name not in names:
                continue
            path = RelPath(prefix + name)
            wanted[path] = (self._slim(found), path_class)
            if self._recorded or stat.S_ISDIR(found.st_mode):
                self.wanted.add(path)
            if path_class == "state":
                self._states.add(path)
            if names is not None:
                self.changed.add(path)
            if cached and not stat.S_ISDIR(found.st_mode) and to_bytes(path) in cached:
                self.replaced_folders.append(path)
        return wanted

    def _slim(self, found: AnyStat) -> FileStat:
        common = self._common.setdefault
        return FileStat(
            common(found.st_mode, found.st_mode),
            found.st_ino,
            common(found.st_dev, found.st_dev),
            found.st_nlink,
            common(found.st_uid, found.st_uid),
            common(found.st_gid, found.st_gid),
            found.st_size,
            common(found.st_blocks, found.st_blocks),
            found.st_mtime_ns,
            found.st_ctime_ns,
        )

    def vanished_folders(self, lost: Iterable[Entry], *, whole: bool) -> list[str]:
        """Folders that may have rows in the cache, and are no more."""
        if whole:
            folders = map(str, map(from_bytes, self._cached))
            return [f for f in folders if f not in self.visited and not self.is_unseen(f)]
        return [entry.path for entry in lost if entry.kind == "directory"]

    def sort_out(self, lost: Iterable[Entry], replaced: Mapping[RelPath, Entry]) -> _Lost:
        """What was not seen has neither gone nor left. What is `replaced` was below a folder whose
        name something else was seen to have: so it cannot be there.
        """
        found = _Lost()
        outside = {str(path) for path in self.ignored}
        for path, entry in ({one.path: one for one in lost} | dict(replaced)).items():
            above = [*parents(path), path]
            if not outside.isdisjoint(above) or not self._states.isdisjoint(above[:-1]):
                found.left.append(entry)
            elif path in replaced or not self.is_unseen(path):
                found.gone.append(entry)
            else:
                found.missing.append(entry)
        return found

    def is_unseen(self, path: str) -> bool:
        hidden = {str(p.path) for p in self.unobserved} | self._unlisted
        return bool(hidden) and not hidden.isdisjoint(["", *parents(path), path])


def _is_state(listing: Listing, number: int) -> bool:
    """It is never brought back: so nothing is a link of it, nor it one of anything."""
    return listing.classes is not None and listing.classes[number] == "state"


def _vanished(listing: Listing) -> RelPath | None:
    """What is not there of the folder that was asked for, if it could not be listed for that."""
    if listing.listed:
        return None
    return next((p.path for p in listing.unobserved if p.kind == "vanished" and p.path), None)


def _new_folders(look: _Look, candidates: Iterable[Candidate]) -> list[str]:
    """Directories that were not there before, or are others now, and were not looked at yet."""
    return [
        one.path
        for one in candidates
        if stat.S_ISDIR(one.stat.st_mode)
        and one.path not in look.visited
        and (
            one.path in look.changed
            or one.recorded is None
            or one.recorded.kind != "directory"
            or one.recorded.path_class != one.path_class
        )
    ]


def _replaced_folders(candidates: Iterable[Candidate]) -> list[RelPath]:
    """Where something else is now."""
    return [
        one.path
        for one in candidates
        if one.recorded is not None
        and one.recorded.kind == "directory"
        and not stat.S_ISDIR(one.stat.st_mode)
    ]


class KnownRows(msgspec.Struct, frozen=True):
    """Of the stat cache: rows that are `valid` for a version, and folders whose rows are not."""

    valid: dict[bytes, bytes]
    stale: frozenset[bytes]


def known_rows(
    cache: StatCache,
    entries: Entries,
    app: str,
    now: StatCacheState,
    only: Collection[str] | None = None,
) -> KnownRows | None:
    """The cached rows that hold for the newest version `now`, or those of them for the folders in
    `only` and those above them; None if there are none that hold.

    If the cache is of an older version, the folders of all that changed since are stale.
    """
    folders = None if only is None else {to_bytes(f) for f in with_parents(only)}
    state, rows = cache.load(folders)
    if state is None or (state.rules, state.root_inode) != (now.rules, now.root_inode):
        return None
    if (state.version, state.txid) == (now.version, now.txid):
        return KnownRows(rows, frozenset())
    if state.version >= now.version:
        return None
    stale: set[bytes] = set()
    for old, new in entries.changed(app, state.version, now.version):
        changed = old or new
        assert changed is not None
        stale.add(to_bytes(split(changed.path)[0]))
        if old is not None and old.kind == "directory":
            stale.add(to_bytes(old.path))
    valid = {folder: row for folder, row in rows.items() if folder not in stale}
    return KnownRows(valid, frozenset(stale))


def with_parents(folders: Iterable[str]) -> set[str]:
    """These folders and all above them, the root too."""
    return {"", *folders, *(above for folder in folders for above in parents(folder))}


def valid_rows(
    cache: StatCache, entries: Entries, app: str, now: StatCacheState
) -> dict[bytes, bytes] | None:
    """As `known_rows`, where what is stale is not written again."""
    known = known_rows(cache, entries, app, now)
    return None if known is None else known.valid
