"""The use case: explain the versions of one app by its refcat.

Explanations are derived, not recorded: a catalog that is imported later explains what was recorded
before. They are derived from the first version on, because each begins where the one before left
the root, and kept in a file beside the live caches, which may be lost; it holds for one head of the
refcat and one set of rules.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from epmstore.atomic import read_file, replace_read
from epmstore.catalog.classes import Class
from epmstore.catalog.state import CatalogState, VersionInfo
from epmstore.checkout.goal import ReleaseGoal, VersionGoal, goal_of, version_of
from epmstore.digest import Sha256
from epmstore.errors import DamagedError, UnreadableError
from epmstore.refcat.classify import same_state
from epmstore.refcat.explanation import (
    Explanation,
    ExplanationKind,
    ReleaseSpan,
    ReleaseStep,
    choose_step,
    explain,
    is_touched_only,
)
from epmstore.refcat.knowledge import Knowledge
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath, sort_paths
from epmstore.store.store import Store
from epmstore.tree import Entry, Pair

CACHE_LIMIT = 256 << 20
RULES = 3
"""Counts the ways in which this program explained versions: what an older one kept is not taken."""
OWN: dict[str, ExplanationKind] = {"checkout": "rollback", "undo": "rollback", "repair": "repair"}
"""Reasons of versions that this program made, and what explains them."""


class _Cached(msgspec.Struct, frozen=True):
    """Explanations of versions from the first on, by transaction id. `basis` is what they hold for:
    refcat and rules.
    """

    basis: str
    txids: list[str]
    found: list[Explanation]


class Explainer:
    """Explains the recorded versions of one application by the releases of its refcat. `classify`
    gives the class of a path; `rules` is a digest of what it goes by.
    """

    def __init__(
        self,
        store: Store,
        app: str,
        releases: Releases,
        classify: Callable[[str, bool], Class],
        rules: str,
    ) -> None:
        self._store = store
        self._app = app
        self._releases = releases
        self._lines = releases.lines()
        self._classify = classify
        self._basis = hashlib.sha256(f"{RULES} {releases.head()} {rules}".encode()).hexdigest()

    def explain(self, state: CatalogState) -> dict[int, Explanation]:
        """Of every version; empty if there is no refcat. Raises DamagedError."""
        if self._releases.latest() is None:
            return {}
        known = self._load()
        found = [
            one
            for info, txid, one in zip(state.versions, known.txids, known.found, strict=False)
            if info.record.txid == txid
        ]
        if len(found) < len(state.versions):
            with self._store.database.read():
                for info in state.versions[len(found) :]:
                    found.append(self._explain(info, found, state))
            self._save([info.record.txid for info in state.versions], found)
        return {info.version: one for info, one in zip(state.versions, found, strict=True)}

    def _explain(
        self, info: VersionInfo, earlier: list[Explanation], state: CatalogState
    ) -> Explanation:
        record = info.record
        before = earlier[-1].release if earlier else None
        if record.reason in OWN:
            return self._own(info, before, earlier, state)
        changed = dict(self._changed(info.version, state))
        pairs = {path: changed[path] for path in sort_paths(changed)}
        step = self._step(pairs, before)
        if step is None:
            found = explain(pairs, None, {}, _nothing, _nothing, self._was_shipped, self._lines)
        else:
            delta = self._delta(step, pairs)
            found = explain(
                pairs,
                step,
                delta,
                lambda path: self._store.entries.at(self._releases.catalog, step.two, path),
                lambda path: self._store.entries.at(self._app, info.version, path),
                self._was_shipped,
                self._lines,
            )
        if found.kind == "drift" or found.release is None:
            return msgspec.structs.replace(found, release=before)
        return found

    def _own(
        self,
        info: VersionInfo,
        before: int | None,
        earlier: list[Explanation],
        state: CatalogState,
    ) -> Explanation:
        """A checkout, undo or repair: it says itself what it brought back."""
        record = info.record
        counts = record.counts
        done = counts.added + counts.modified + counts.removed
        first = state.versions[0].version
        goal, release = goal_of(record), before
        match goal:
            case ReleaseGoal(number) if record.scope is None:
                release = number
            case VersionGoal(number) if record.scope is None and 0 <= number - first < len(earlier):
                release = earlier[number - first].release
        to = version_of(goal)
        return Explanation(kind=OWN[record.reason], to=to, explained=done, release=release)

    def _changed(self, version: int, state: CatalogState) -> Iterator[tuple[RelPath, Pair]]:
        """The changed paths of a version that count."""
        if version == state.versions[0].version:
            entries = self._store.entries.tree(self._app, version)
            pairs: Iterable[Pair] = ((None, entry) for entry in entries)
        else:
            pairs = self._store.entries.changed(self._app, version - 1, version)
        for pair in pairs:
            if not is_touched_only(pair) and self._counts(pair):
                yield _path(pair), pair

    def _counts(self, pair: Pair) -> bool:
        entry = pair[0] or pair[1]
        assert entry is not None, "a pair has at least one side"
        is_state = any(one is not None and one.path_class == "state" for one in pair)
        return not is_state and self._classify(entry.path, False) not in ("state", "ignore")

    def _step(self, pairs: Mapping[RelPath, Pair], before: int | None) -> ReleaseStep | None:
        old = self._intervals(one for one, _ in pairs.values())
        new = self._intervals(two for _, two in pairs.values())
        return choose_step(old, new, self._lines, before)

    def _was_shipped(self, entry: Entry) -> bool:
        states = Knowledge(self._releases).states(entry.path)
        return any(same_state(span.entry, entry) for span in states)

    def _intervals(self, entries: Iterable[Entry | None]) -> list[ReleaseSpan]:
        """The releases that had these contents at these paths."""
        wanted: set[tuple[RelPath, Sha256]] = {
            (entry.path, entry.content.sha256)
            for entry in entries
            if entry is not None and entry.content is not None
        }
        spans = self._releases.spans({sha256 for _, sha256 in wanted})
        return [
            (one.since, one.until)
            for sha256, shipped in spans.items()
            for one in shipped
            if one.app == self._releases.app and (one.path, sha256) in wanted
        ]

    def _delta(self, step: ReleaseStep, changed: Mapping[RelPath, Pair]) -> dict[RelPath, Pair]:
        """What the step changes and what counts. Configuration counts only where it was changed:
        a host that keeps an edited file has not stopped half-way.
        """
        if step.one is None:
            tree = self._store.entries.tree(self._releases.catalog, step.two)
            pairs: Iterable[Pair] = ((None, entry) for entry in tree)
        else:
            pairs = self._releases.changed(step.one, step.two)
        delta = {_path(pair): pair for pair in pairs if not is_touched_only(pair)}
        return {
            path: pair
            for path, pair in delta.items()
            if self._counts(pair) and (path in changed or self._classify(path, False) != "config")
        }

    @property
    def _file(self) -> Path:
        return self._store.path / "live" / f"{self._app}.explained"

    def _load(self) -> _Cached:
        nothing = _Cached(self._basis, [], [])
        try:
            found = _parse(read_file(self._file, CACHE_LIMIT))
        except (OSError, DamagedError, ValueError, RecursionError):
            return nothing
        return found if found.basis == self._basis else nothing

    def _save(self, txids: list[str], found: list[Explanation]) -> None:
        """A reader that may not write derives it anew the next time."""
        with contextlib.suppress(OSError, UnicodeEncodeError, OverflowError, UnreadableError):
            data = msgspec.msgpack.encode(_Cached(self._basis, txids, found))
            replace_read(self._file, hashlib.sha256(data).digest() + data, _parse)


def _parse(data: bytes) -> _Cached:
    """Raises ValueError for anything but what was written."""
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise ValueError("it has another digest")
    return msgspec.msgpack.decode(data[32:], type=_Cached)


def _nothing(path: RelPath) -> None:
    return None


def _path(pair: Pair) -> RelPath:
    entry = pair[0] or pair[1]
    assert entry is not None, "a pair has at least one side"
    return entry.path
