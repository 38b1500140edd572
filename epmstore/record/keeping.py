"""Paths whose content is to be stored whatever their class is, because something is about to
replace or remove it.

They are looked at where they are, also in folders that are not looked into otherwise, and are
recorded as if they were `program`, until the next look that goes by the rules again. The folders
that they are in are recorded with them: a version is a tree.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from epmstore import fsio
from epmstore.record.observe import Candidate, CandidateSink, Observation
from epmstore.relpath import RelPath, parents, sort_paths, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.problem import Problem
from epmstore.scan.walk import Classify
from epmstore.tree import Entry


class NewestEntries(NamedTuple):
    """What the newest version has: of these paths, and below one."""

    at: Callable[[Iterable[RelPath]], Mapping[RelPath, Entry]]
    below: Callable[[RelPath], Iterable[Entry]]


_KEPT = (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR)


class Keeping:
    """What is kept of one look at one root."""

    def __init__(self, paths: Collection[RelPath], classify: Classify) -> None:
        self._left = set(paths)
        self._above = {RelPath(one) for path in paths for one in parents(path)} - self._left
        self._classify = classify
        self._seen: set[RelPath] = set()
        self._special: list[Problem] = []
        self._gone: dict[RelPath, Entry] = {}

    def feed(self, feed: CandidateSink) -> CandidateSink:
        """The same, but candidates of these paths are such whose content is stored."""
        return feed if not self._left else lambda found: feed(self._turned(found))

    def _turned(self, found: Iterable[Candidate]) -> Iterator[Candidate]:
        for one in found:
            if one.path in self._left:
                self._left.remove(one.path)
                self._seen.add(one.path)
                yield _kept(one)
            else:
                self._above.discard(one.path)
                yield one

    def rest(self, root_fd: int, seen: Observation, history: NewestEntries) -> Iterator[Candidate]:
        """Those that no look came to, though it might have seen them; what is no file, link or
        folder is named by `complete`, and what is gone.
        """
        hidden = {problem.path for problem in seen.unobserved}
        paths = sort_paths(self._left | self._above)
        before = history.at(paths) if paths else {}
        with FolderCache(root_fd) as folders:
            for path in paths:
                if not hidden.isdisjoint(["", *parents(path), path]):
                    continue  # another file system may be mounted over it
                folder, name = split(path)
                try:
                    found = fsio.lstat(name, folders.open(folder))
                except (FileNotFoundError, NotADirectoryError):
                    self._note_gone(before.get(path), history)
                except OSError:
                    continue  # it may not be looked at
                else:
                    yield from self._found(path, found, before.get(path))

    def _found(
        self, path: RelPath, found: os.stat_result, recorded: Entry | None
    ) -> Iterator[Candidate]:
        is_folder = stat.S_ISDIR(found.st_mode)
        if path in self._above and not is_folder:
            return  # what is kept is not in there
        if stat.S_IFMT(found.st_mode) not in _KEPT:
            self._special.append(Problem(path, "special", "what is no file"))
            return
        path_class = self._classify(path, is_folder)
        if path_class != "ignore":
            self._seen.add(path)
            one = Candidate(path, found, path_class, recorded)
            yield _kept(one) if path in self._left else one

    def _note_gone(self, entry: Entry | None, history: NewestEntries) -> None:
        """With all that was in it."""
        if entry is not None and self._classify(entry.path, entry.kind == "directory") != "ignore":
            self._gone[entry.path] = entry
            below = history.below(entry.path) if entry.kind == "directory" else ()
            self._gone.update((one.path, one) for one in below)

    def complete(self, found: Observation) -> Observation:
        """A look that saw these paths, too."""
        if not self._seen and not self._special and not self._gone:
            return found
        known = {*self._seen, *self._gone}
        return replace(
            found,
            gone=[*(one for one in found.gone if one.path not in known), *self._gone.values()],
            left=[entry for entry in found.left if entry.path not in known],
            missing=[entry for entry in found.missing if entry.path not in known],
            skipped=[*found.skipped, *self._special],
        )


def _kept(one: Candidate) -> Candidate:
    path_class = "program" if one.path_class == "state" else one.path_class
    return replace(one, path_class=path_class, afresh=True)


def names_below(root_fd: int, folder: RelPath) -> Iterator[RelPath]:
    """Every path below a folder, whatever the rules say. Raises OSError."""
    with FolderCache(root_fd) as folders:
        waiting = [folder]
        while waiting:
            above = waiting.pop()
            for name in os.listdir(folders.open(above)):
                path = RelPath(f"{above}/{name}")
                yield path
                if stat.S_ISDIR(fsio.lstat(name, folders.open(above)).st_mode):
                    waiting.append(path)
