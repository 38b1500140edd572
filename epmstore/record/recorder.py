"""Looking at the root of one app and recording it: status, snapshot, and what a checkout begins
with.

The caller holds the app's lock for everything that records. Nothing changed means no version; but a
deliberate snapshot then labels the newest one, and makes a change of it if it was drift: the daemon
was faster. What was run is a version of its own, also if it changed nothing.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Collection, Iterator, Sequence
from functools import partial

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.diff import is_metadata_only
from epmstore.catalog.format import decode_line
from epmstore.catalog.model import (
    SIGHT,
    LabelRecord,
    Reason,
    RecordedActor,
    RootFacts,
    VersionKind,
    VersionPart,
    VersionRecord,
)
from epmstore.catalog.rootfacts import facts_of, root_of
from epmstore.clock import to_rfc3339
from epmstore.digest import BlobInfo
from epmstore.errors import BusyError
from epmstore.index.links import live_links
from epmstore.index.stat_cache import StatCacheState
from epmstore.pack_table import DeltaFrame
from epmstore.progress import SILENT, Progress
from epmstore.record import change
from epmstore.record.change import StartedRun
from epmstore.record.doubt import MappedDoubt, Share, unshown
from epmstore.record.ingest import Ingested, Ingestion
from epmstore.record.keeping import Keeping, NewestEntries
from epmstore.record.observe import Candidate, CandidateSink, Observation, Observer, known_rows
from epmstore.record.observed_changes import Changes, judge_changes, paths_of
from epmstore.record.root import Root
from epmstore.record.rows import fresh_rows
from epmstore.relpath import ROOT, RelPath, is_relpath
from epmstore.scan.fsclock import FilesystemClock, probe_clock, watch_clock
from epmstore.scan.hidden import Hidden
from epmstore.scan.mapped import outstanding
from epmstore.scan.metadata import OwnerNames, describe
from epmstore.scan.problem import UnreadError, judge
from epmstore.scan.walk import Classify, Listing, walk
from epmstore.store.commit import HistoryHead, commit_fact, head_to_follow, read_head
from epmstore.store.deposit import Deposit
from epmstore.store.reckoned import keep
from epmstore.store.reserve import storing
from epmstore.store.store import Store
from epmstore.tree import Entry


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What a new version is to say of itself."""

    kind: VersionKind
    reason: Reason
    label: str | None = None
    exit_status: int | None = None
    run: StartedRun | None = None
    writing: frozenset[str] = frozenset()
    """Paths that are still being written, as far as is known."""

    @property
    def always(self) -> bool:
        """Whether it is a version even if nothing changed."""
        return self.reason == "run"


SAFETY = Intent(kind="drift", reason="safety")
"""What is recorded before something is about to change a root."""


_UNSHOWN = "other contents that no stat shows: damage of the disk, or a change not told of"


class Look(msgspec.Struct, frozen=True):
    """One look at a root: what was the newest version then, and what differs from it. `stored` are
    contents that are stored with the look whether or not anything differs.
    """

    head: HistoryHead
    found: Observation
    changes: Changes
    stored: frozenset[BlobInfo] = frozenset()


class Recorded(msgspec.Struct, frozen=True):
    """What recording a root came to. `version` is the newest one now, whether or not it is new."""

    before: int | None
    version: VersionRecord
    is_new: bool
    is_labelled: bool
    look: Look
    collided: list[RelPath]
    label: str | None
    late: tuple[str, ...] = ()
    """Folders with files that a process may have mapped: what is stored to them shows late."""
    unshown: tuple[RelPath, ...] = ()
    """Files that have another content, and the stats that they had."""
    is_mapped: bool = False
    """Whether `late` is known; else any process may have anything mapped."""


class _Seen(msgspec.Struct, frozen=True):
    """What there is to look at; the stat cache's rows that hold, and folders whose rows do not."""

    found: Observation
    rows: dict[bytes, bytes] | None
    stale: frozenset[bytes]


class Recorder:
    """Records one app of one store."""

    def __init__(
        self,
        store: Store,
        app: App,
        *,
        actor: RecordedActor | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.store = store
        self.app = app
        self.rules = Rules(app.patterns, app.noisy)
        self.actor = actor
        self._progress = progress

    def status(self, root: Root, *, kept: Collection[RelPath] = ()) -> Look:
        """What a snapshot would record now. Writes nothing, but that much that was read, and is as
        recorded, need not be read the next time. `kept` as for a snapshot.
        """
        head = read_head(self.store, self.app.uuid)
        clock = watch_clock(root.fd)
        doubt = None if clock is None else self._doubt(clock)
        keeping = Keeping(kept, self.rules.classify)
        with Ingestion(root.fd, None, progress=self._progress) as ingestion:
            feed = keeping.feed(ingestion.feed)
            feed = feed if doubt is None else doubt.watching(feed)
            seen = self._observe(root, head, None, feed)
            ingestion.feed(keeping.rest(root.fd, seen.found, self._history))
            ingested = ingestion.finish()
        seen = msgspec.structs.replace(seen, found=keeping.complete(seen.found))
        changes = judge_changes(seen.found, ingested, _describe_root(root), _recorded_root(head))
        if doubt is not None and doubt.was_dear and changes.is_empty:
            rows, _ = fresh_rows(seen.found, _as_read(ingested), doubt.settled())
            self._note_rows(root, head, seen, rows)
        return Look(head, seen.found, changes, _stored(ingested, kept))

    @property
    def _history(self) -> NewestEntries:
        entries, app = self.store.entries, self.app.uuid
        if entries.position(app) is None:
            return NewestEntries(lambda paths: {}, lambda path: ())
        return NewestEntries(partial(entries.live_at, app), partial(entries.live_below, app))

    def _note_rows(
        self, root: Root, head: HistoryHead, seen: _Seen, rows: dict[bytes, bytes]
    ) -> None:
        """Rows of what is as the newest version says; if no other process works here and we may."""
        if head.version is None:
            return
        with contextlib.suppress(BusyError, OSError), self.store.lock_app(self.app.uuid, wait=0):
            if read_head(self.store, self.app.uuid).version == head.version:
                self._remember(root, head.version, seen, rows, is_new=False)

    def snapshot(
        self,
        root: Root,
        intent: Intent,
        *,
        only: Collection[str] | None = None,
        contents: bool = True,
        again: Share | None = None,
        kept: Collection[RelPath] = (),
    ) -> Recorded:
        """Record the root, or some folders of it. Under the app's lock. `only` is a hint: where it
        does not suffice, everything is looked at. Without `contents`, files that changed are
        recorded as if they were `state`, until a look with contents finds them so. `again`: files
        that are read even if nothing shows that they changed. `kept`: paths whose contents are
        stored whatever their class is.

        A command whose `run` did not live to record it is recorded first.

        Raises DiskFullError, OSError, DamagedError; nothing is lost.
        """
        ended = self.end_run(root, only=only, contents=contents)
        recorded = self._record(root, intent, only, contents=contents, again=again, kept=kept)
        if ended is None:
            return recorded
        if not recorded.is_new:
            recorded = msgspec.structs.replace(recorded, look=ended.look, is_new=ended.is_new)
        return msgspec.structs.replace(recorded, before=ended.before)

    def end_run(
        self, root: Root, *, only: Collection[str] | None = None, contents: bool = True
    ) -> Recorded | None:
        """Record what a command did that was noted before it began; None if none was. Raises as
        `snapshot`: then the next recording does it.
        """
        run = change.find_run(self.store, self.app.uuid)
        if run is None:
            return None
        recorded = None
        if self.store.entries.version_of_txid(self.app.uuid, run.id) is None:
            intent = Intent(
                kind="change",
                reason="run",
                label=run.label,
                exit_status=run.exit_status,
                run=run,
            )
            recorded = self._record(root, intent, only, contents=contents)
        change.forget_run(self.store, self.app.uuid)
        return recorded

    def _record(
        self,
        root: Root,
        intent: Intent,
        only: Collection[str] | None,
        *,
        contents: bool,
        again: Share | None = None,
        kept: Collection[RelPath] = (),
    ) -> Recorded:
        store = self.store
        keep(store)  # also if nothing has changed: each recording observes the clock
        with storing(store.path), Deposit(store) as deposit:
            head = head_to_follow(store, self.app.uuid)
            doubt = self._doubt(probe_clock(root.fd))
            with self._ingestion(root, deposit) as ingestion:
                spared: set[RelPath] = set()
                keeping = Keeping(kept, self.rules.classify)
                feed = keeping.feed(ingestion.feed)
                feed = feed if contents else _sparing(feed, spared)
                seen = self._observe(root, head, only, doubt.watching(feed), again)
                ingestion.feed(keeping.rest(root.fd, seen.found, self._history))
                ingested = ingestion.finish()
            deposit.take(ingested.groups)
            settled = doubt.settled()
            found = keeping.complete(seen.found)
            seen = _Seen(found, seen.rows, seen.stale)
            changes = judge_changes(found, ingested, _describe_root(root), _recorded_root(head))
            look = Look(head, found, changes, _stored(ingested, kept))
            read = _as_read(ingested)
            read.update(dict.fromkeys(spared))
            ingested.others.clear()  # of many, all that is held counts
            hidden = unshown(changes, seen.rows or {}, found.listings)
            if hidden and intent.kind == "drift" and intent.label is None:
                intent = msgspec.structs.replace(intent, label=_UNSHOWN)
            version, is_new, is_labelled = self._commit(look, deposit, intent, ingested.back)
        rows, late = fresh_rows(found, read, settled)
        self._remember(root, version, seen, rows, is_new=is_new)
        return Recorded(
            head.number,
            version,
            is_new,
            is_labelled,
            look,
            ingested.collided,
            intent.label if is_new or is_labelled else None,
            tuple(late),
            tuple(hidden),
            bool(late) and settled.mapped is not None,
        )

    def walk(
        self,
        root: Root,
        only: Collection[str] | None = None,
        *,
        below: Collection[str] = (),
        by_rules: bool = True,
    ) -> Iterator[Listing]:
        """Every folder of the root, or those in `only` and all in those of `below`, as a look at it
        would see them; or whatever class they have.
        """
        return walk(
            root.fd,
            classify=self._classify if by_rules else None,
            skip=self.store.identities(),
            cross_mounts=self.app.cross_mounts,
            only=only,
            below=below,
        )

    def _doubt(self, clock: FilesystemClock) -> MappedDoubt:
        return MappedDoubt(outstanding(clock, one_filesystem=not self.app.cross_mounts))

    @property
    def _classify(self) -> Classify | None:
        return None if self.rules.is_plain else self.rules.classify

    def live_state(self, version: VersionRecord, root: Root) -> StatCacheState:
        """What the stat cache is valid for when `version` is the newest."""
        return StatCacheState(version.version, version.txid, self.rules.digest(), root.stat.st_ino)

    def _observe(
        self,
        root: Root,
        head: HistoryHead,
        only: Collection[str] | None,
        feed: CandidateSink,
        again: Share | None = None,
    ) -> _Seen:
        store, app = self.store, self.app
        known = None
        if head.version is not None:
            only = None if only is None else {*only, *_not_seen(head.version)}
            now = self.live_state(head.version, root)
            known = known_rows(store.live(app.uuid), store.entries, app.uuid, now, only)
        if known is None:
            only = None
        observer = Observer(
            root.fd,
            app.uuid,
            store.entries,
            classify=self._classify,
            skip=store.identities(),
            cross_mounts=app.cross_mounts,
        )
        rows = None if known is None else known.valid
        found = observer.observe(
            rows if rows is None or again is None else again.doubt(rows),
            recorded=head.version is not None,
            only=only,
            feed=feed if only is None else None,
        )
        if only is not None:
            if self._has_links(found):
                return self._observe(root, head, None, feed, again)
            feed(found.candidates)
        return _Seen(found, rows, frozenset() if known is None else known.stale)

    def _has_links(self, found: Observation) -> bool:
        """Whether files changed that have, or had, more than one name: the others may be anywhere,
        and no event tells of them.
        """
        before = [one.recorded for one in found.candidates if one.recorded is not None]
        files = [entry for entry in (*before, *found.gone, *found.left) if entry.kind == "file"]
        if any(
            one.stat.st_nlink > 1 and stat.S_ISREG(one.stat.st_mode) for one in found.candidates
        ):
            return True
        links = live_links(self.store.database, self.app.uuid) if files else {}
        named = links.keys() | set(links.values())
        return any(entry.path in named for entry in files)

    def _ingestion(self, root: Root, deposit: Deposit) -> Ingestion:
        return Ingestion(root.fd, deposit.dedup, progress=self._progress, ways_back=True)

    def _note_ways_back(self, deposit: Deposit, back: Sequence[DeltaFrame]) -> None:
        """Unless something was purged meanwhile, of which pieces may be in them."""
        with self.store.lock_write():
            if self.store.contents.purged() == deposit.dedup.purged:
                self.store.reverse(self.app.uuid).add(back)

    def _commit(
        self, look: Look, deposit: Deposit, intent: Intent, back: Sequence[DeltaFrame]
    ) -> tuple[VersionRecord, bool, bool]:
        """(newest version, whether it is new, whether an older one was labelled). `back` leads from
        its contents to those of before.
        """
        newest = look.head.version
        if newest is not None and look.changes.is_empty and not intent.always:
            if look.stored:  # nothing differs, and what was lost is stored again
                deposit.commit()
            return newest, False, self._label(newest, intent)
        txid = secrets.token_hex(16) if intent.run is None else intent.run.id
        # Before: afterwards nothing is read from the index, so that no file is left beside it.
        self._note_ways_back(deposit, back)
        version = deposit.commit_version(
            self.app.uuid, lambda head: self._draft(head, look, intent, txid), txid=txid
        )
        return version, True, False

    def _label(self, newest: VersionRecord, intent: Intent) -> bool:
        """A deliberate snapshot that found nothing new says so of the newest version."""
        promotes = newest.kind == "drift" and not self._is_promoted(newest)
        if intent.reason != "snapshot" or not (promotes or intent.label):
            return False
        fact = LabelRecord(
            time=self._now(), actor=self.actor, version=newest.version, label=intent.label
        )
        commit_fact(self.store, self.app.uuid, fact)
        return True

    def _is_promoted(self, newest: VersionRecord) -> bool:
        """Whether a version that was recorded as drift was made a change."""
        records = self.store.entries.records(self.app.uuid)
        facts = (decode_line(record.form)[1] for record in records if record.type == "label")
        return any(isinstance(f, LabelRecord) and f.version == newest.version for f in facts)

    def _draft(self, head: HistoryHead, look: Look, intent: Intent, txid: str) -> VersionPart:
        changes, before, run = look.changes, head.version, intent.run
        since = None if before is None else before.time
        if run is not None and run.since is not None:
            since = run.since
        old_sum = 0 if before is None else int(before.tree, 16)
        changed, meta = [], []
        for old, new in changes.modified:
            if is_metadata_only(old, new):
                meta.append(_without_content(new))
            else:
                changed.append(new)
        header = VersionRecord(
            version=0 if before is None else before.version + 1,
            app=self.app.uuid,
            key=self.app.key,
            txid=txid,
            kind=intent.kind,
            reason=intent.reason,
            tree=f"{changes.new_sum(old_sum):064x}",
            counts=changes.counts,
            folders=changes.tally.folders,
            times=changes.tally.times,
            time=self._now(),
            label=intent.label,
            window=None if since is None else (since, self._now()),
            actor=self.actor if run is None else run.actor,
            command=None if run is None else run.command,
            from_=None if before is None else before.version,
            exit_status=intent.exit_status,
            ignored=self.rules.digest(),
            rules=self.rules_to_say(before),
            unobserved=unobserved(look),
            root=_facts(changes.root, before),
            sight=SIGHT,
            writing=_half_done(changes, intent.writing),
        )
        removed = paths_of(changes.lost)
        return VersionPart(header, changes.added.joined(changed), meta, removed)

    def rules_to_say(self, newest: VersionRecord | None) -> Patterns | None:
        """The rules in force, if the version after `newest` has to say them: what they leave out is
        not in its tree, and was not seen to be absent.
        """
        digest = self.rules.digest()
        if self.rules.patterns == Patterns():
            return None
        if newest is not None and newest.rules is not None and newest.ignored == digest:
            return None
        is_known = newest is not None and self.store.entries.says_rules(self.app.uuid, digest)
        return None if is_known else self.rules.patterns

    def _remember(
        self,
        root: Root,
        version: VersionRecord,
        seen: _Seen,
        rows: dict[bytes, bytes],
        *,
        is_new: bool,
    ) -> None:
        """Bring the stat cache up to the version that was just recorded or confirmed."""
        cache, state = self.store.live(self.app.uuid), self.live_state(version, root)
        vanished, stale = seen.found.vanished_folders, seen.stale
        if seen.found.cold:
            cache.replace(state, rows)
        elif rows or vanished or stale or is_new:
            cache.update(state, rows, {*map(os.fsencode, vanished), *stale})

    def _now(self) -> str:
        return to_rfc3339(self.store.clock.now())


def _stored(ingested: Ingested, kept: Collection[RelPath]) -> frozenset[BlobInfo]:
    """The contents that are stored of paths which are kept."""
    entries = (one.entry for one in ingested.examined if one.path in kept) if kept else ()
    return frozenset(
        one.content for one in entries if one and one.content and one.path_class != "secret"
    )


def _facts(root: Entry | None, before: VersionRecord | None) -> RootFacts | None:
    """What a version says of the root itself: if it could not be looked at, what the one before
    says.
    """
    if root is not None:
        return facts_of(root)
    return None if before is None else before.root


def _recorded_root(head: HistoryHead) -> Entry | None:
    return None if head.version is None else root_of(head.version)


def _describe_root(root: Root) -> Entry | None:
    """The root directory itself; None if its attributes cannot be read, or its owner is hidden."""
    found = os.fstat(root.fd)
    if Hidden().has(found):
        return None
    try:
        return describe(root.fd, ".", ROOT, found, fd=root.fd, owners=OwnerNames())
    except UnreadError:
        return None
    except OSError as error:
        judge(error)
        return None


def _half_done(changes: Changes, writing: frozenset[str]) -> tuple[RelPath, ...]:
    """Those of the files of a version, in byte order."""
    if not writing:
        return ()
    new = [*changes.added, *(after for _, after in changes.modified)]
    found = [entry.path for entry in new if entry.path in writing and entry.kind == "file"]
    return tuple(sorted(found, key=os.fsencode))


def unobserved(look: Look) -> tuple[tuple[RelPath, str], ...]:
    """What a version says of paths that the look before it did not see, or was not to look at."""
    changes = look.changes
    named = [
        (p.path, "mount" if p.kind == "covered" else p.kind)  # what it covers, the history knows
        for p in (*changes.problems, *look.found.skipped)
        if p.kind != "ignored" and (not p.path or is_relpath(p.path))
    ]
    return (*named, *((entry.path, "ignored") for entry in changes.left))


def _not_seen(version: VersionRecord) -> Iterator[str]:
    """What a look at some folders has to look at as well: the next version does not know either
    what is there unless this look sees it. What is no folder is looked for in the one above.
    """
    paths = (path for path, why in version.unobserved if why != "ignored")
    return ("" if path == ROOT else path for path in paths)


def _as_read(ingested: Ingested) -> dict[RelPath, os.stat_result | None]:
    """Candidates that were not as they were listed when they were read: see `fresh_rows`."""
    return {
        one.path: None if one.entry is None else one.stat
        for one in ingested.others
        if one.entry is None or one.stat is not None
    }


def _without_content(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, content=None)


def _sparing(feed: CandidateSink, spared: set[RelPath]) -> CandidateSink:
    """Files whose content may be new become such of which no content is stored, and are named: the
    stat cache must not know them, or they would not be looked at when there is room again.
    """

    def spare(one: Candidate) -> Candidate:
        found = _spared(one)
        if found is not one:
            spared.add(one.path)
        return found

    return lambda candidates: feed(map(spare, candidates))


def _spared(one: Candidate) -> Candidate:
    if not stat.S_ISREG(one.stat.st_mode) or one.path_class not in ("program", "config"):
        return one
    old = one.recorded
    if old is not None and old.content is not None:
        before = (old.content.size, old.mtime_ns)
        if before == (one.stat.st_size, one.stat.st_mtime_ns):
            return one
    return msgspec.structs.replace(one, path_class="state")
