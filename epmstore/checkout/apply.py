"""Carrying out a plan: journal, stage, switch, record, clean; and finishing what a crash
interrupted.

Whatever happens before STAGED is taken back; whatever happens after it is finished, now or by
the next command. The version that records the result has the transaction id of the journal, so
finishing twice records once.
"""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard

import msgspec

from epmstore import fsio
from epmstore.catalog.model import VersionRecord
from epmstore.checkout.found import (
    CheckedPaths,
    as_tree,
    check,
    folders_above,
    is_any_done,
    is_as_wanted,
    linked,
    made_folders,
    strangers,
    with_folders,
)
from epmstore.checkout.hardlinks import left_names, may_leave_names, steps_for
from epmstore.checkout.journal import NOTHING, Header, Journal, LeftOut, Loaded
from epmstore.checkout.lost import unreadable
from epmstore.checkout.plan import Step
from epmstore.checkout.rewrites import Caller, intruders, with_copies
from epmstore.checkout.stage import (
    SYNCFS_FROM,
    Refused,
    Staged,
    is_switching,
    make_stage,
    mark_switching,
    open_stage,
    remove_stage,
    remove_unnamed,
    stage,
)
from epmstore.checkout.switch import FORBIDDEN, displaced, switch, sync
from epmstore.checkout.transaction import decision
from epmstore.checkout.version_drafts import EntriesBeforeAndAfter, done_version, found_version
from epmstore.clock import to_rfc3339
from epmstore.errors import BlobNotFoundError, DamagedError, RootError
from epmstore.filestat import AnyStat
from epmstore.index.links import live_links
from epmstore.progress import Progress
from epmstore.record.ingest import Ingested, ingest
from epmstore.record.observe import Candidate
from epmstore.record.recorder import Recorder
from epmstore.record.root import Root
from epmstore.record.rows import rows_after
from epmstore.relpath import STAGE_PREFIX, RelPath, parents, sort_paths
from epmstore.scan.compare import RACY, UNKNOWN
from epmstore.scan.folders import FolderCache
from epmstore.scan.fsclock import TICK_NS, probe_clock
from epmstore.scan.staging_mark import marked_by, write_mark
from epmstore.scan.walk import Listing
from epmstore.store.commit import commit_hold, commit_version, read_version
from epmstore.store.deposit import Deposit
from epmstore.store.reserve import storing, with_reserve
from epmstore.store.staging import StageProof
from epmstore.tree import Entry, PathClass

RESCUE, RESCUE_BELOW, FOUND = OF_OTHERS = ("rescue", "rescue-below", "found")
"""What the versions of what others did are called, behind the transaction id; in their order."""


class Applied(msgspec.Struct, frozen=True):
    """What carrying out a plan came to, by what is there. `kept` are paths that were to go and are
    there, `missed` those that are not as wanted, with why; `refused` is what of the metadata could
    not be restored on others. `meanwhile` are the versions of what other processes wrote or put
    there between the scan and the end. `left_out` is what a plan of old, which was recovered, said
    besides.
    """

    version: VersionRecord
    steps: tuple[Step, ...]
    kept: dict[RelPath, str]
    missed: dict[RelPath, str]
    meanwhile: tuple[int, ...]
    refused: list[Refused]
    verified: bool
    left_out: LeftOut = NOTHING


class Applier:
    """Applies plans to one open root. Under the app's lock."""

    def __init__(self, recorder: Recorder, root: Root, progress: Progress) -> None:
        self._recorder = recorder
        self._root = root
        self._progress = progress
        self._store = recorder.store
        self._journal = Journal(self._store.journal(recorder.app.uuid))
        self._privileged = os.geteuid() == 0

    def apply(self, header: Header, steps: Sequence[Step], left_out: LeftOut = NOTHING) -> Applied:
        """Raises OSError, DamagedError, BlobNotFoundError; before STAGED nothing is changed."""
        # Until the end: a collection beside this would take packs that are still to be read.
        with self._store.keep_packs():
            ready = self.stage(header, steps, left_out)
            # All new content is durable by now. From this line on the checkout goes forward: after
            # a crash the next command finishes it.
            with self._taking_back(ready.steps):
                ready = self.turn(ready)
            return self.finish(ready)

    def stage(self, header: Header, steps: Sequence[Step], left_out: LeftOut = NOTHING) -> Loaded:
        """Everything but the switch: PLANNED, with what is staged; `turn` and `finish` do the rest,
        `give_up` takes it back. The caller keeps packs until then. Raises as `apply`, and leaves
        nothing.
        """
        steps, copies = with_copies(steps, Caller.now(), intruders(steps))
        # The journal is durable before the first thing that only it can explain.
        self._in_journal(lambda: self._journal.begin(header, steps, left_out))
        with self._taking_back(steps):
            staged, proof = self._stage(header, steps, copies)
        inodes, refused = staged.inodes, staged.refused
        return Loaded(header, tuple(steps), "PLANNED", inodes, refused=refused, stage=proof)

    def turn(self, ready: Loaded) -> Loaded:
        """Say durably that it is STAGED. Raises OSError; then it may have been said."""
        self._in_journal(
            lambda: self._journal.reach("STAGED", inodes=ready.inodes, refused=ready.refused)
        )
        return msgspec.structs.replace(ready, state="STAGED")

    def finish(self, ready: Loaded) -> Applied:
        """The switch of what is STAGED, and all that comes after it. Raises OSError, DamagedError;
        then a recovery goes on.
        """
        applied = self._finish(ready, is_fresh=True)
        assert applied is not None, "what was staged is there"
        return applied

    @contextlib.contextmanager
    def _taking_back(self, steps: Sequence[Step]) -> Iterator[None]:
        try:
            yield
        except (DamagedError, BlobNotFoundError) as error:
            self.give_up()
            wanted = [(one.path, one.content) for one in steps if one.content is not None]
            raise unreadable(wanted, self._store.blobs, error) from None
        except BaseException:
            # Interrupted, too: nothing of the root was touched, so nothing has to stay.
            self.give_up()
            raise

    def recover(self) -> Applied | None:
        """Finish or take back what a journal says. None if there was none, or it was taken back.

        Raises RootError if it is about another directory, DamagedError if the journal, or a staging
        folder without one, cannot be understood; then nothing is removed.
        """
        loaded = self._journal.load()
        if loaded is None:
            self._journal.drop()
            self._check_lost()
            return None
        self._check_root(loaded.header)
        loaded = self._decided(loaded)
        if loaded.state in (None, "PLANNED"):
            self._check_unswitched(loaded)
            self._clean_up(loaded)
            return None
        with self._store.keep_packs():
            return self._finish(loaded, is_fresh=False)

    def _decided(self, loaded: Loaded) -> Loaded:
        """A journal, as the transaction that it is part of has decided about it."""
        if loaded.state != "PLANNED" or not loaded.header.transaction:
            return loaded
        decided = decision(self._store, loaded.header)
        if decided is None:
            return loaded
        ready = msgspec.structs.replace(loaded, inodes=decided.inodes, refused=decided.refused)
        return self.turn(ready)

    def _in_journal(self, write: Callable[[], None]) -> None:
        """A few bytes in the store, which its reserve is there for."""
        with storing(self._store.path):
            with_reserve(self._store.path, write)

    def _check_unswitched(self, loaded: Loaded) -> None:
        """Raises DamagedError if a staging folder knows more than its journal."""
        stage_fd = self._open_stage(loaded)
        if stage_fd is None:
            return
        try:
            if is_switching(stage_fd):
                raise _lost_journal(loaded.header.stage)
        finally:
            os.close(stage_fd)

    def _check_lost(self) -> None:
        """Raises DamagedError if a staging folder that this store has marked may hold what was
        displaced, and there is no journal to say what that was.
        """
        with os.scandir(self._root.fd) as entries:
            folders = [one for one in entries if one.name.startswith(STAGE_PREFIX)]
        for one in folders:
            found = one.stat(follow_symlinks=False)
            if marked_by(self._root.fd, one.name, found) != self._store.identity.uuid:
                continue
            stage_fd = open_stage(self._root.fd, one.name, StageProof.of(found))
            if stage_fd is None:
                continue
            try:
                if is_switching(stage_fd):
                    raise _lost_journal(one.name)
            finally:
                os.close(stage_fd)

    def _check_root(self, header: Header) -> None:
        if self._root.stat.st_ino != header.root_inode:
            raise RootError(
                f"a checkout was interrupted whose root was another directory than {header.root}"
                " is now",
                hint="put the directory (or what the link pointed to) back, and run"
                " `epmstore recover`",
                root=header.root,
            )

    def _stage(
        self, header: Header, steps: Sequence[Step], copies: Collection[int]
    ) -> tuple[Staged, StageProof]:
        stage_fd = make_stage(self._root.fd, header.stage)
        try:
            proof = StageProof.of(os.fstat(stage_fd))
            self._in_journal(
                lambda: self._journal.name_stage(proof)
            )  # before anything is in it that could be missed
            write_mark(stage_fd, self._store.identity.uuid, header.txid)
            staged = stage(
                self._root.fd,
                stage_fd,
                steps,
                self._store,
                copies=copies,
                known=self._store.reverse(self._recorder.app.uuid).load(),
                privileged=self._privileged,
                progress=self._progress,
            )
        finally:
            os.close(stage_fd)
        return staged, proof

    def give_up(self) -> None:
        """Take back what was begun. A journal that may say STAGED says so no more before anything
        of what it speaks of goes.
        """
        loaded = self._journal.load()
        if loaded is None:
            self._journal.drop()
            return
        if loaded.state == "STAGED":
            self._journal.retreat()
        self._clean_up(loaded)

    def _open_stage(self, loaded: Loaded) -> int | None:
        if loaded.header.marked and loaded.stage is None:
            return None  # not made yet, or nothing is in it
        return open_stage(self._root.fd, loaded.header.stage, loaded.stage)

    def _clean_up(self, loaded: Loaded) -> None:
        """Nothing speaks of this any more."""
        name = loaded.header.stage
        if loaded.header.marked and loaded.stage is None:
            remove_unnamed(self._root.fd, name)
        else:
            remove_stage(self._root.fd, name, loaded.stage)
        fsio.sync_directory(self._root.fd)  # or a power cut brings it back without its journal
        self._journal.drop()

    def _finish(self, loaded: Loaded, *, is_fresh: bool) -> Applied | None:
        """From STAGED, SWITCHED or COMMITTED to the end."""
        header, steps, state = loaded.header, loaded.steps, loaded.state
        stage_fd = self._open_stage(loaded)
        rescued: dict[RelPath, Entry] = {}
        if stage_fd is None:
            if state == "STAGED" and not is_any_done(self._root.fd, steps, loaded.inodes):
                self._journal.drop()  # taken back, because that could not be written durably
                return None
        else:
            try:
                # After a crash nothing says which files were written to meanwhile: look at all.
                doubtful = set(range(len(steps)))
                if state == "STAGED":
                    loaded, found = self._switch(loaded, stage_fd)
                    doubtful = found if is_fresh else doubtful
                if state != "COMMITTED":
                    rescued = self._rescue(stage_fd, steps, loaded.inodes, doubtful)
            finally:
                os.close(stage_fd)
        # What is looked at from here on is what the version and the report say.
        settled_ns = self._settle()
        above = self._store.entries.live_at(self._recorder.app.uuid, folders_above(steps))
        wanted = with_folders(steps, above)
        checked = check(self._root.fd, wanted, loaded.inodes, loaded.left, loaded.refused)
        names = self._left_names(steps, checked.done)
        checked.add(check(self._root.fd, names, {}, {}, ()))
        version, strange = self._record(header, [*wanted, *names], checked, rescued)
        if state != "COMMITTED":
            self._hold(header, version)
            # What was displaced is given up only when history has the version that displaced it.
            self._in_journal(lambda: self._journal.reach("COMMITTED"))
        self._clean_up(loaded)
        known: dict[RelPath, AnyStat | None] = dict(checked.stats)
        late = {step.path for step in steps if step.op == "set" and _is_in_doubt(step)}
        late.update(step.path for step in names)  # their stat is another than when they were read
        unsure = {*checked.wrong, *(one.path for one in loaded.refused), *late}
        for path in unsure if is_fresh else checked.stats:
            known[path] = UNKNOWN
        known.update(dict.fromkeys(strange, UNKNOWN))
        made = made_folders(steps, checked) if is_fresh else set()
        self._remember(header, version, known, made, settled_ns)
        kept, missed = _sorted_out(wanted, checked)
        refused = [one for one in loaded.refused if one.path not in missed]
        others, left = self._meanwhile(header), loaded.left_out
        return Applied(version, steps, kept, missed, others, refused, not missed, left)

    def _switch(self, loaded: Loaded, stage_fd: int) -> tuple[Loaded, set[int]]:
        """(the journal as it is now: SWITCHED, the steps whose old files may have changed)."""
        # Before any slot holds what was displaced, which must survive a journal cut short.
        mark_switching(stage_fd)
        done = switch(
            self._root.fd,
            stage_fd,
            loaded.steps,
            loaded.inodes,
            privileged=self._privileged,
            progress=self._progress,
        )
        # The root, then the slots, then SWITCHED: it must not say what a power cut can take back.
        sync(self._root.fd, loaded.steps, everything=len(loaded.steps) >= SYNCFS_FROM)
        fsio.sync_directory(stage_fd)
        refused = [*loaded.refused, *done.refused]
        self._in_journal(lambda: self._journal.reach("SWITCHED", left=done.left, refused=refused))
        after = msgspec.structs.replace(loaded, state="SWITCHED", left=done.left, refused=refused)
        return after, done.doubtful

    def _rescue(
        self, stage_fd: int, steps: Sequence[Step], inodes: dict[int, int], doubtful: set[int]
    ) -> dict[RelPath, Entry]:
        """Store the contents of displaced files that are not what is recorded of them."""
        candidates: dict[RelPath, Step] = {}
        found: list[Candidate] = []
        for number in sorted(doubtful):
            step = steps[number]
            if step.op not in ("put", "retype", "unlink"):
                continue
            is_secret = step.old is not None and step.old.path_class == "secret"
            for name in map(RelPath, displaced(stage_fd, number, inodes)):
                candidates[name] = step
                stats = fsio.lstat(name, stage_fd)
                path_class: PathClass = "secret" if is_secret else "program"
                found.append(Candidate(name, stats, path_class, None))
        if not found:
            return {}
        ingested = self._ingest(stage_fd, found)
        rescued: dict[RelPath, Entry] = {}
        for one in ingested.examined:
            # It is in its slot and nowhere else: unless it is stored, the slot must stay.
            if one.entry is None:
                raise DamagedError(f"what was displaced cannot be read: {one.problem}")
            step = candidates[one.path]
            entry = msgspec.structs.replace(one.entry, path=step.path)
            if step.old is None or _substance(entry) != _substance(step.old):
                rescued[step.path] = entry
        return rescued

    def _record(
        self,
        header: Header,
        steps: Sequence[Step],
        checked: CheckedPaths,
        rescued: dict[RelPath, Entry],
    ) -> tuple[VersionRecord, Collection[RelPath]]:
        """(the version of what was done, paths of which something else is there). What else was
        found comes before it, as versions of their own: what was displaced, and what is there.
        """
        app = self._recorder.app.uuid
        done = self._store.entries.version_of_txid(app, header.txid)
        if done is not None:  # what came after it is for the next look
            return read_version(done), ()
        base = {step.path: step.old for step in reversed(steps)}
        planned = {step.path: step.new for step in steps if _is_directory(step.new)}
        beneath = {path for path in rescued if any(one in rescued for one in parents(path))}
        for what, is_beneath in ((RESCUE, False), (RESCUE_BELOW, True)):  # each is a tree
            part = {path: one for path, one in rescued.items() if (path in beneath) == is_beneath}
            self._record_found(header, what, base, planned, part)
        strange = self._strange(steps, checked, base)
        self._record_found(header, FOUND, base, planned, strange)
        made = checked.done
        if checked.wrong:
            made = as_tree(made, base, planned, self._live_below)
        outcome: EntriesBeforeAndAfter = {path: (base.get(path), now) for path, now in made.items()}
        _, missed = _sorted_out(steps, checked)
        version = commit_version(
            self._store,
            app,
            lambda head: done_version(header, head, outcome, self._now(), missed=missed),
            txid=header.txid,
        )
        return version, strange.keys()

    def _record_found(
        self,
        header: Header,
        what: str,
        base: dict[RelPath, Entry | None],
        planned: Mapping[RelPath, Entry],
        found: Mapping[RelPath, Entry | None],
    ) -> None:
        """Record what other processes did, and bring `base` up to it. What was recorded before a
        crash is not recorded again: what counts is what history has of all these paths by then.
        """
        app, txid = self._recorder.app.uuid, _txid(header, what)
        if not found and self._store.entries.version_of_txid(app, txid) is None:
            return
        found = as_tree(found, base, planned, self._live_below)
        pairs: EntriesBeforeAndAfter = {
            path: (base.get(path), entry) for path, entry in found.items()
        }
        commit_version(
            self._store,
            app,
            lambda head: found_version(header, head, pairs, self._now(), txid=txid),
            txid=txid,
        )
        paths = sort_paths({*base, *found})
        entries = self._store.entries.live_at(app, paths)
        base.update({path: entries.get(path) for path in paths})

    def _meanwhile(self, header: Header) -> tuple[int, ...]:
        """The versions that came before that of what was done, also those before a crash."""
        app, entries = self._recorder.app.uuid, self._store.entries
        records = [entries.version_of_txid(app, _txid(header, what)) for what in OF_OTHERS]
        return tuple(read_version(one).version for one in records if one is not None)

    def _live_below(self, folder: RelPath) -> list[Entry]:
        """What the newest version has below it."""
        return self._store.entries.live_below(self._recorder.app.uuid, folder)

    def _left_names(self, steps: Sequence[Step], done: Container[RelPath]) -> list[Step]:
        """What the newest version has as further names of files whose first name is gone."""
        if not may_leave_names(steps):
            return []
        app = self._recorder.app.uuid
        links = live_links(self._store.database, app)
        names = left_names(steps, {path: links[path] for path in links if links[path] in done})
        return list(steps_for(names, self._store.entries.live_at(app, names)))

    def _strange(
        self, steps: Sequence[Step], checked: CheckedPaths, base: Mapping[RelPath, Entry | None]
    ) -> dict[RelPath, Entry | None]:
        """What is at paths that are not as planned, as far as history does not know it. What cannot
        be read stays as history has it, for the next look to name.
        """
        known = {path: base[path] for path in checked.wrong if path not in checked.done}
        if not known:
            return {}

        def below(top: RelPath) -> Iterator[Listing]:
            return self._recorder.walk(self._root, only=(), below=(top,))

        candidates = list(strangers(checked, steps, below))
        entries, unread = self._read(candidates)
        now: dict[RelPath, Entry | None] = {**linked(entries, candidates, checked)}
        for step in steps:  # another process put there what was wanted
            entry = now.get(step.path)
            if entry is not None and step.new is not None and is_as_wanted(entry, step.new):
                del checked.wrong[step.path]
        now |= {path: None for path in known if path not in now and path not in unread}
        return {path: entry for path, entry in now.items() if entry != base.get(path)}

    def _read(self, candidates: list[Candidate]) -> tuple[list[Entry], set[RelPath]]:
        """(the entries, stored; paths that cannot be read)."""
        examined = list(self._ingest(self._root.fd, candidates).examined)
        return (
            [one.entry for one in examined if one.entry is not None],
            {one.path for one in examined if one.entry is None},
        )

    def _ingest(self, top: int, candidates: list[Candidate]) -> Ingested:
        """Read files below a folder; what they have is stored."""
        with Deposit(self._store) as deposit:
            ingested = ingest(top, candidates, deposit.dedup)
            deposit.take(ingested.groups)
            deposit.commit()
        return ingested

    def _hold(self, header: Header, version: VersionRecord) -> None:
        """A rollback holds the application, also when recovery ends it; twice is no harm."""
        if header.action != "rollback":
            return
        reason, app = f"rolled back to the content of {header.goal}", self._recorder.app.uuid
        commit_hold(
            self._store, app, header.actor, held=True, reason=reason, version=version.version
        )

    def _settle(self) -> int:
        """Renames changed every ctime: wait until what is looked at next cannot change unseen."""
        clock = probe_clock(self._root.fd)
        if clock.granularity_ns <= TICK_NS:
            time.sleep(2 * TICK_NS / 1e9)
            clock = probe_clock(self._root.fd)
        return clock.settled_ns()

    def _remember(
        self,
        header: Header,
        version: VersionRecord,
        known: dict[RelPath, AnyStat | None],
        made: Collection[RelPath],
        settled_ns: int,
    ) -> None:
        """Bring the stat cache from the version that the plan began with to the new one, if it is
        of that version.
        """
        app, after = self._recorder.app.uuid, self._recorder.live_state(version, self._root)
        cache = self._store.live(app)
        state, rows = cache.load()
        if state is None or state != msgspec.structs.replace(
            after, version=header.base, txid=state.txid
        ):
            return
        then = self._store.entries.version_of_txid(app, state.txid)
        if then is None or then.version != header.base:
            return  # nothing of it counts
        with FolderCache(self._root.fd) as folders:
            fresh, gone = rows_after(rows, known, made, folders, settled_ns)
        cache.update(after, fresh, gone)

    def _now(self) -> str:
        return to_rfc3339(self._store.clock.now())


def _is_in_doubt(step: Step) -> bool:
    """Whether a file may have another content than its row says, and keeps it."""
    return step.seen is not None and step.seen.ctime_ns == RACY


def _substance(entry: Entry) -> tuple[object, ...]:
    """What is lost when a file or symlink is replaced, and not merely described."""
    return entry.kind, entry.content, entry.target


def _lost_journal(stage: str) -> DamagedError:
    return DamagedError(
        f"the folder {stage!r} at the top of the root belongs to a checkout that had begun to"
        " switch files, and the journal does not say so",
        hint="nothing was removed: the files that were displaced are in that folder;"
        " copy them away, then remove it and the journal",
        file=stage,
    )


def _sorted_out(
    steps: Iterable[Step], checked: CheckedPaths
) -> tuple[dict[RelPath, str], dict[RelPath, str]]:
    """(what was to go and is there, what is not as wanted), each with why."""
    kept: dict[RelPath, str] = {}
    missed: dict[RelPath, str] = {}
    for step in steps:
        if (why := checked.wrong.get(step.path)) is not None:
            is_missed = step.new is not None or why == FORBIDDEN  # it was to go, and was not let go
            (missed if is_missed else kept)[step.path] = why
    return kept, missed


def _txid(header: Header, what: str) -> str:
    return f"{header.txid}-{what}"


def _is_directory(entry: Entry | None) -> TypeGuard[Entry]:
    return entry is not None and entry.kind == "directory"
