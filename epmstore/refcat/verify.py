"""The use case: what every path of a live root is to its vendor. Writes nothing.

The caller has looked at the root (record/recorder.py). Which release: the one asked for, else the
one that best explains what is recorded.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import add
from typing import Literal, TypeAlias

import msgspec

from epmstore.catalog.classes import Class, Rules
from epmstore.digest import parse_digest
from epmstore.errors import NotFoundError, PathNotFoundError
from epmstore.index.comparison import Comparison
from epmstore.record.recorder import Look, Recorder
from epmstore.refcat.baseline import Accepted, is_same
from epmstore.refcat.classify import (
    WHATS,
    Deviation,
    Situation,
    classify,
    deviating_fields,
    same_state,
)
from epmstore.refcat.fit import Fit, Interval, best_of, running
from epmstore.refcat.knowledge import Knowledge
from epmstore.refcat.owners import Owner, OwnerMapping
from epmstore.refcat.releases import Release, Releases
from epmstore.refcat.survey import MANY, Survey, lay_over, survey_nothing, survey_recorded
from epmstore.refcat.survey_cache import Counted, Memory, Remembered, digest_of
from epmstore.relpath import RelPath, is_within, split
from epmstore.scan.problem import Problem
from epmstore.tree import Entry, path_of

Subset: TypeAlias = Literal["proper", "equal", "no"]
STRANGERS = ("moved", "foreign", "local", "unknown")
"""Findings of what no release has at this path."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A root beside a release. `accepted` are the paths of findings that were declared right;
    `was_given` says that the release was asked for; `is_only` that there is no other; `unseen`
    could not be looked at; `withdrawn` pairs a path whose component its vendor withdrew with the
    reason. `is_guess`: no release explains the root, and it was compared with the latest.
    `is_uninstalled`: none is to be there, so nothing is missed.
    """

    release: Release
    was_given: bool
    is_only: bool
    findings: tuple[Deviation, ...]
    accepted: frozenset[RelPath]
    known: int
    owners: OwnerMapping
    unseen: tuple[Problem, ...]
    withdrawn: tuple[tuple[RelPath, str], ...] = ()
    is_guess: bool = False
    is_uninstalled: bool = False

    @property
    def deviations(self) -> list[Deviation]:
        """The findings that were not accepted."""
        return [one for one in self.findings if one.path not in self.accepted]

    @property
    def strangers(self) -> list[Deviation]:
        """What no release has at its path."""
        return [one for one in self.findings if one.what in STRANGERS]

    @property
    def subset(self) -> Subset:
        """Whether everything in the root is in the catalog at its path, and the catalog has more. A
        root is in one state, and releases that follow each other differ: two of them are more.
        """
        if self.strangers:
            return "no"
        lacks = self.is_uninstalled or any(one.what == "missing" for one in self.findings)
        return "proper" if lacks or not self.is_only else "equal"

    @property
    def counts(self) -> dict[str, int]:
        """Paths by what they are; known ones too."""
        found = Counter(one.what for one in self.findings)
        return {what: self.known if what == "known" else found[what] for what in WHATS}

    @property
    def files(self) -> int:
        """Files and links of the root that were looked at."""
        return self.known + sum(
            one.found is not None and one.found.kind != "directory" for one in self.findings
        )

    @property
    def unseen_paths(self) -> set[RelPath]:
        return {problem.path for problem in self.unseen}

    @property
    def stand_ins(self) -> Sequence[tuple[Owner, Owner]]:
        return self.owners.stand_ins()

    def is_right(self, finding: Deviation) -> Callable[[Entry | None], bool]:
        """Says of a state of the path of a finding whether it is as released."""

        def judge(entry: Entry | None) -> bool:
            wanted = finding.expected
            if entry is None or wanted is None:
                return entry is wanted
            return same_state(entry, wanted) and not deviating_fields(entry, wanted, self.owners)

        return judge


class Verifier:
    """Verifies one app of one store against one refcat."""

    def __init__(
        self,
        recorder: Recorder,
        releases: Releases,
        accepted: Accepted,
        installed: int | None = None,
        rendered: Mapping[RelPath, Entry] = {},
    ) -> None:
        """`installed` is the release that the root is compared with unless another is asked for
        (None: the one that explains it best). `rendered` are files that no release has, and that
        are to be there beside it: parameters are written into them.
        """
        self._store = recorder.store
        self._app = recorder.app
        self._releases = releases
        self._accepted = accepted
        self._installed = installed
        self._just_counted: tuple[tuple[object, ...], Counted] | None = None
        self._memory = Memory(recorder.store.path / "live" / f"{recorder.app.uuid}.survey")
        self._rendered = rendered
        self._classify = _with_config(
            merged_rules(recorder.rules, Rules(releases.patterns())), rendered
        )

    def verify(
        self, look: Look, release: int | None = None, paths: Sequence[RelPath] = ()
    ) -> Verified:
        """Of `paths` and what is below them; of everything without any. The release is that of the
        whole root. Raises NotFoundError if the app has no refcat, VersionNotFoundError;
        PathNotFoundError for a path that neither the root nor the release has.
        """
        if self._releases.latest() is None:
            raise NotFoundError(
                f"{self._app.key} has no reference catalog, or an empty one",
                hint="its vendor publishes it: `epmstore catalog import FILE`; without one,"
                " `epmstore accept` makes a version the baseline of `epmstore status`",
                app=self._app.key,
            )
        if release is not None:
            self._releases.get(release)
        with self._store.database.read():
            survey = self._with_rendered(self._survey(look, release))
            chosen = self._releases.get(survey.release)
            found = [pair[0] for pair in survey.pairs.values() if pair[0] is not None]
            situation = Situation(
                app=self._releases.app,
                release=survey.release,
                owners=survey.owners,
                lines=self._releases.lines(),
                classify=self._classify,
                holds=lambda path: path in survey.below or self._holds(look, path),
            )
            unseen = {problem.path for problem in look.changes.problems}
            pairs = [p for path, p in survey.pairs.items() if not is_within(path, unseen)]
            findings = classify(pairs, situation, Knowledge(self._releases, found))
            known = self._known(survey, findings)
            verified = Verified(
                release=chosen,
                was_given=release is not None,
                is_only=len(self._releases.all()) == 1,
                findings=tuple(findings),
                accepted=frozenset(one.path for one in findings if self._is_accepted(one)),
                known=known,
                owners=survey.owners,
                unseen=tuple(look.changes.problems),
                withdrawn=tuple(self._withdrawn(look)),
                is_guess=known == 0 and release is None and self._installed is None,
            )
            return self._within(verified, look, frozenset(paths)) if paths else verified

    def _within(self, verified: Verified, look: Look, paths: frozenset[RelPath]) -> Verified:
        """What of it is about these paths and what is below them."""
        findings = [one for one in verified.findings if is_within(one.path, paths)]
        here = self._live_below(look, paths)
        self._check_known_paths(paths, here, verified)
        named = {one.path for one in findings}
        known = [
            entry
            for path, entry in here.items()
            if path not in named
            and entry.kind != "directory"
            and entry.path_class != "state"
            and self._classify(path, False) not in ("state", "ignore")
        ]
        return msgspec.structs.replace(
            verified,
            findings=tuple(findings),
            accepted=frozenset(path for path in verified.accepted if is_within(path, paths)),
            known=len(known),
            unseen=tuple(one for one in verified.unseen if is_within(one.path, paths)),
            withdrawn=tuple(one for one in verified.withdrawn if is_within(one[0], paths)),
        )

    def _check_known_paths(
        self, paths: Iterable[RelPath], here: Collection[RelPath], verified: Verified
    ) -> None:
        """Raises PathNotFoundError."""
        catalog, release = self._releases.catalog, verified.release
        known = {*verified.unseen_paths, *self._rendered}
        for path in paths:
            is_there = path in known or any(is_within(one, [path]) for one in here)
            if not is_there and not self._store.entries.below(catalog, release.version, path):
                raise PathNotFoundError(
                    f"neither the root nor release {release.title} has {path!r}", path=path
                )

    def _live_below(self, look: Look, paths: Collection[RelPath]) -> dict[RelPath, Entry]:
        """The entries of the live root at these paths and below them."""
        found: dict[RelPath, Entry] = {}
        if look.head.number is not None:
            for path in paths:
                below = self._store.entries.below(self._app.uuid, look.head.number, path)
                found.update((entry.path, entry) for entry in below)
        for entry in look.changes.gone():
            found.pop(entry.path, None)
        come = (entry for entry in look.changes.come() if is_within(entry.path, paths))
        found.update((entry.path, entry) for entry in come)
        return found

    def fit(self, look: Look) -> Fit | None:
        """The release that best explains the live root; None if none does."""
        numbers = [one.version for one in self._releases.all()]
        if not numbers:
            return None
        counted = self._counted(look, numbers)
        changes = look.changes
        beyond = self._matches(changes.come(), 1)
        if look.head.version is not None:
            beyond += self._matches(changes.gone(), -1)
        hits = map(add, counted.hits, running(beyond, numbers))
        return best_of([*hits], counted.sizes, numbers)

    def _counted(self, look: Look, numbers: Sequence[int]) -> Counted:
        """Of the newest version, and of the releases."""
        known = self._memory.load(self._key(look))
        if known is not None:
            return known.counted
        if self._just_counted is None or self._just_counted[0] != self._key(look):
            comparison = self._comparison()
            matched = [] if look.head.version is None else comparison.matches()
            found = Counted(running(matched, numbers), running(comparison.sizes(), numbers))
            self._just_counted = (self._key(look), found)
        return self._just_counted[1]

    def _key(self, look: Look) -> tuple[object, ...]:
        """What a survey of the newest version depends on."""
        version = look.head.version
        return (None if version is None else version.txid, self._releases.head())

    def _recorded(self, look: Look, release: int, *, keep: bool) -> Survey:
        """The newest version beside a release."""
        known = self._memory.load(self._key(look))
        if known is not None and known.release == release:
            owners = OwnerMapping({(one, two): count for one, two, count in known.owners})
            pairs = {path_of(pair): pair for pair in known.pairs}
            return Survey(release, pairs, known.same, owners, frozenset())
        survey = survey_recorded(self._comparison(), release)
        if keep:
            numbers = [one.version for one in self._releases.all()]
            self._memory.save(
                Remembered(
                    key=digest_of(self._key(look)),
                    counted=self._counted(look, numbers),
                    release=release,
                    pairs=[*survey.pairs.values()],
                    same=survey.same,
                    owners=[(*pair, count) for pair, count in survey.owners.pairs.items()],
                )
            )
        return survey

    def _matches(self, entries: Iterable[Entry], sign: int) -> list[Interval]:
        """The releases that have what these paths have, or had: counted, or taken off again."""
        files = {(e.path, e.content.sha256) for e in entries if e.content is not None}
        spans = self._releases.spans(sha256 for _, sha256 in files)
        return [
            (one.since, one.until, sign)
            for sha256, shipped in spans.items()
            for one in shipped
            if one.app == self._releases.app and (one.path, sha256) in files
        ]

    def _survey(self, look: Look, release: int | None) -> Survey:
        keep = release is None
        if release is None and self._installed is not None:
            return self._beside(look, self._installed, keep=keep)
        if release is None:
            fit = self.fit(look)
            latest = self._releases.latest()
            assert latest is not None, "the caller checked"
            release = latest.version if fit is None else fit.release
        return self._beside(look, release, keep=keep)

    def _beside(self, look: Look, release: int, *, keep: bool) -> Survey:
        if look.head.version is None:
            return survey_nothing(release, self._releases.tree(release), look.changes.added)
        survey = self._recorded(look, release, keep=keep)
        return lay_over(survey, look.changes, self._wanted(look, release))

    def _with_rendered(self, survey: Survey) -> Survey:
        """What a release has of its own counts before what is rendered."""
        pairs = dict(survey.pairs)
        for path, entry in self._rendered.items():
            found, wanted = pairs.get(path, (None, None))
            if wanted is None:
                pairs[path] = (found, entry)
        return msgspec.structs.replace(survey, pairs=pairs)

    def _wanted(self, look: Look, release: int) -> Callable[[RelPath], Entry | None]:
        """What a release has at a path."""
        changes = look.changes
        if len(changes.added) + len(changes.modified) + len(changes.lost) < MANY:
            catalog = self._releases.catalog
            return lambda path: self._store.entries.at(catalog, release, path)
        tree: Mapping[RelPath, Entry] = {e.path: e for e in self._releases.tree(release)}
        return tree.get

    def _known(self, survey: Survey, findings: Sequence[Deviation]) -> int:
        """Files and links that are as released: those that were never in doubt, and the others that
        have no finding.
        """
        named = {one.path for one in findings}
        return survey.same + sum(
            found is not None
            and wanted is not None
            and found.kind != "directory"
            and path not in named
            and self._classify(path, False) not in ("state", "ignore")
            for path, (found, wanted) in survey.pairs.items()
        )

    def _is_accepted(self, finding: Deviation) -> bool:
        record = self._accepted.record(finding.path)
        if record is None:
            return False
        then = self._store.entries.at(self._app.uuid, record.version, finding.path)
        return is_same(then, finding.found)

    def _holds(self, look: Look, folder: RelPath) -> bool:
        """Whether what is recorded in it is still there."""
        if look.head.version is None:
            return False
        lost = {entry.path for entry in look.changes.lost if split(entry.path)[0] == folder}
        if not lost:
            return self._comparison().holds(folder)
        inside = self._store.entries.live_folder(self._app.uuid, folder).values()
        return any(entry.path not in lost for entry in inside)

    def _withdrawn(self, look: Look) -> Iterator[tuple[RelPath, str]]:
        """The paths of the live root that have a withdrawn component where it was released."""
        now: dict[RelPath, Entry | None] = {entry.path: entry for entry in look.changes.come()}
        now.update({entry.path: None for entry in look.changes.lost})
        for digest, reason in sorted(self._releases.revoked_contents().items()):
            infos = self._store.contents.seen(parse_digest(digest))
            found = self._releases.spans([info.sha256 for info in infos])
            for sha256, spans in found.items():
                for path in dict.fromkeys(s.path for s in spans if s.app == self._releases.app):
                    entry = now[path] if path in now else self._recorded_entry(look, path)
                    content = None if entry is None else entry.content
                    if content is not None and content.sha256 == sha256:
                        yield path, reason

    def _recorded_entry(self, look: Look, path: RelPath) -> Entry | None:
        number = look.head.number
        return None if number is None else self._store.entries.at(self._app.uuid, number, path)

    def _comparison(self) -> Comparison:
        return Comparison(self._store.database, self._app.uuid, self._releases.catalog)


def merged_rules(own: Rules, vendors: Rules) -> Callable[[str, bool], Class]:
    """The class of a path: the host's word where it has one, else the vendor's."""

    def classify_path(path: str, is_dir: bool) -> Class:
        found = own.classify(path, is_dir)
        return vendors.classify(path, is_dir) if found == "program" else found

    return classify_path


def _with_config(
    classify_path: Callable[[str, bool], Class], rendered: Collection[RelPath]
) -> Callable[[str, bool], Class]:
    """What parameters are written into is configuration, where it is nothing else by a pattern."""

    def with_rendered(path: str, is_dir: bool) -> Class:
        found = classify_path(path, is_dir)
        return "config" if found == "program" and path in rendered else found

    return with_rendered


def in_order(findings: Sequence[Deviation]) -> list[Deviation]:
    """By what they are, then by the bytes of their paths."""
    return sorted(findings, key=lambda one: (WHATS.index(one.what), os.fsencode(one.path)))
