"""Collecting: the space of what no version needs is given back.

Marking and writing go on beside other processes; each replacement of a file is then checked against
everything that was committed since (replace_packs.py). One file at a time, dead ones first, so that
a full disk gets emptier from the start. What was interrupted is done again from the beginning.
"""

import errno
from collections import Counter
from collections.abc import Callable, Collection, Iterable

import msgspec

from epmstore import seal
from epmstore.blobs.merge import is_wasteful, merge_packs, rewrite, seal_log
from epmstore.blobs.pack import WrittenGroup, discard_written, publish_pack
from epmstore.blobs.packlog import is_full
from epmstore.care import leftovers
from epmstore.care.collection import CollectionPlan, make_plan
from epmstore.care.marks import Marks, held_back, mark, marked_since
from epmstore.care.pack_tables import Tables, read_tables
from epmstore.care.purge import finish_purges
from epmstore.care.references import all_needs
from epmstore.care.replace_packs import (
    collecting,
    condemned,
    is_leaned_on,
    leaned_on,
    refresh,
    remove_temporaries,
    switch_files,
    withdraw,
)
from epmstore.digest import Sha256
from epmstore.errors import DamagedError
from epmstore.fsio import is_full as is_disk_full
from epmstore.progress import SILENT, Progress
from epmstore.record.observed_changes import in_order
from epmstore.store.reckoned import keep, reckon
from epmstore.store.replay import catch_up
from epmstore.store.reserve import has_reserve, make_reserve, with_reserve
from epmstore.store.store import Store

TRIES = 3


class GcResult(msgspec.Struct, frozen=True, kw_only=True):
    """`freed`: bytes of files that are gone less those of files that came in their place, and 0 if
    that is less (`at_least`: there was no room to measure all of it);
    `rewritten`: bytes of the latter. The others count files, but `held` the versions that were
    forgotten and whose contents are not to go yet. With `dry_run`, what would be.
    """

    freed: int = 0
    rewritten: int = 0
    dropped: int = 0
    repacked: int = 0
    sealed: int = 0
    merged: int = 0
    held: int = 0
    at_least: bool = False
    dry_run: bool = False


class _StaleError(Exception):
    """What was committed since the mark cannot be judged without marking again."""


class GcSurvey(msgspec.Struct, frozen=True):
    """What is needed, what is there, and what to do about it. `ends_log`: the log that is appended
    to is full or dead in good part, and is planned for as if it were an older one. `held` counts
    the forgotten versions that are kept for now.
    """

    marks: Marks
    tables: Tables
    plan: CollectionPlan
    ends_log: bool
    held: int = 0


def collect(
    store: Store,
    *,
    dry_run: bool = False,
    now: bool = False,
    quarantine: bool = False,
    progress: Progress = SILENT,
) -> GcResult:
    """Free what no version needs that is not forgotten; first of all what was purged and is there
    again. What a policy forgot within a day, or while the clock is in doubt, stays, unless the
    caller wants it `now`; so does what is in the `quarantine`, until it is old. On a full disk the
    reserve is given up for it, and made again at the end.

    Raises DamagedError (repair first: what a damaged table needs is not known), BusyError, OSError.
    """
    if dry_run:
        with store.keep_packs():
            found = _rehearse(store, survey(store, now=now, progress=progress), progress)
        left = leftovers.foretell(store, reckon(store), quarantine=quarantine)
        return msgspec.structs.replace(found, freed=found.freed + left)
    # First: what has to be gone must not be copied into new packs.
    with_reserve(store.path, lambda: finish_purges(store, progress))
    result = with_reserve(store.path, _Collector(store, progress, now=now).run)
    make_reserve(store.path)
    left = leftovers.clear(store, keep(store), quarantine=quarantine)
    return msgspec.structs.replace(result, freed=result.freed + left)


def survey(store: Store, *, now: bool = False, progress: Progress = SILENT) -> GcSurvey:
    """Look at everything; `now` as in `collect`. Within `keep_packs`. Raises DamagedError,
    BusyError, OSError.
    """
    with store.lock_write():
        catch_up(store)
        newest = store.packlog.file
    needs = all_needs(store, progress)
    held = {} if now else held_back(needs, keep(store))
    marks = mark(store, needs, held=held)
    found = _surveyed(marks, read_tables(store), newest)
    return msgspec.structs.replace(found, held=sum(map(len, held.values())))


def freed_by(
    store: Store, app: str, versions: Iterable[int], progress: Progress = SILENT
) -> int | None:
    """How many bytes collections free more if these versions are forgotten; None if there is no
    room to measure it. As dear as a collection. Raises as `survey`.
    """
    with store.keep_packs():
        needs, newest = all_needs(store, progress), store.packlog.file
        tables, gone = read_tables(store), {app: frozenset(versions)}
        marks = [mark(store, needs, without=without) for without in (None, gone)]
        found = [_rehearse(store, _surveyed(one, tables, newest), progress) for one in marks]
    if any(one.at_least for one in found):
        return None
    return max(0, found[1].freed - found[0].freed)


def _surveyed(marks: Marks, tables: Tables, newest: str) -> GcSurvey:
    _check_sound(tables)
    needed = set(marks.needed)
    if marks.journals:
        needed.update(sha256 for sha256 in tables.contents() if sha256 not in marks.named)
    plan = make_plan(tables, needed, newest)
    if _should_end(newest, tables, plan):
        return GcSurvey(marks, tables, make_plan(tables, needed, ""), True)
    return GcSurvey(marks, tables, plan, False)


class _Collector:
    """One collection; `run` may be called again after an error, and counts on."""

    def __init__(self, store: Store, progress: Progress, *, now: bool) -> None:
        self._store = store
        self._progress = progress
        self._now = now
        self._held = 0
        self._counts: Counter[str] = Counter()

    def run(self) -> GcResult:
        with collecting(self._store):
            with self._store.lock_packs():
                self._counts["freed"] += remove_temporaries(self._store)
            for _ in range(TRIES):
                try:
                    self._collect()
                    break
                except _StaleError:
                    continue
            self._drop_ways_back()
        counts = self._counts
        return GcResult(
            freed=max(0, counts["freed"]),
            rewritten=counts["rewritten"],
            dropped=counts["dropped"],
            repacked=counts["repacked"],
            sealed=counts["sealed"],
            merged=counts["merged"],
            held=self._held,
        )

    def _collect(self) -> None:
        store = self._store
        with store.keep_packs():
            found = survey(store, now=self._now, progress=self._progress)
            if found.ends_log:
                # Only a log that is no longer appended to can be replaced; what was appended
                # since the first look is in the second.
                with store.lock_write():
                    store.packlog.begin_next()
                found = survey(store, now=self._now)
        plan, self._held = found.plan, found.held
        jobs = [
            *(("dropped", [file]) for file in plan.drop),
            *(("repacked", [file]) for file in plan.rewrite),
            *(("sealed", [file]) for file in plan.seal),
            # those whose contents were leaned on by what is gone by now
            *(("dropped", [file]) for file in plan.drop),
            *(("merged", list(files)) for files in plan.merge),
        ]
        self._progress.begin("collecting", files=len(jobs))
        for stage, files in jobs:
            try:
                self._replace(found, stage, files)
            except OSError as error:
                if stage == "dropped" or not is_disk_full(error) or has_reserve(store.path):
                    raise
                break  # what had to be written to free more does not fit
            self._progress.advance(files=1)
        self._progress.end()

    def _drop_ways_back(self) -> None:
        """Those of contents that are not stored any more."""
        store = self._store
        with store.lock_write():
            for one in store.all_reverse():
                one.keep(lambda named: store.contents.places(list(named)))

    def _replace(self, found: GcSurvey, stage: str, gone: list[str]) -> None:
        """Write what is needed of some files, and put that in their place."""
        store, tables = self._store, found.tables
        if not all(file in tables.groups for file in gone):
            return
        # What is needed gets its new place while other processes go on reading and recording.
        with store.keep_packs():
            come = None if stage == "dropped" else self._write(found, stage, gone)
        if come in gone:
            # The same contents have the same name: the file is as it is to be.
            return
        # Meanwhile versions may have been committed that need what was dead when it was marked. So
        # it is judged again, by what is committed now, with no process reading or committing, and
        # only then do the old files go.
        with store.lock_packs(), store.lock_write():
            catch_up(store)
            refresh(store, tables)
            try:
                may_go = _may_go(store, found, gone)
            except _StaleError:
                if come is not None:
                    withdraw(store, tables, come)
                raise
            if not may_go:
                if come is not None:
                    withdraw(store, tables, come)
                return
            before = sum(tables.sizes[file] for file in gone)
            after = 0 if come is None else tables.sizes[come]
            # The index first, the files after: a crash in between leaves a file that no row names.
            switch_files(store, tables, gone)
        self._counts.update({"freed": before - after, "rewritten": after, stage: len(gone)})

    def _write(self, found: GcSurvey, stage: str, files: list[str]) -> str | None:
        """The name of a pack with what is needed of some files; None if that is nothing."""
        written = _write(self._store, found, stage, files)
        if written.is_empty:
            discard_written(written)
            return None
        return publish_pack(self._store.packs, written)


def _keeper(found: GcSurvey, file: str) -> Callable[[Sha256], bool]:
    """What of a file goes into the one in its place: what the plan keeps there, and what dead
    contents of others lean on for as long as these are there.
    """
    leaned = leaned_on(found.tables, file)
    return lambda sha256: sha256 in leaned or found.plan.keeps(file, sha256)


def _may_go(store: Store, found: GcSurvey, gone: Collection[str]) -> bool:
    """Whether nothing is lost with these files, by what is committed now. Under both locks.

    Raises _StaleError, DamagedError.
    """
    tables = found.tables
    if tables.faults or not all(file in tables.groups for file in gone):
        return False
    lost = condemned(tables, gone)
    since = marked_since(store, found.marks)
    if since is None:
        raise _StaleError
    is_needed = any(sha256 in since or sha256 in found.plan.homes for sha256 in lost)
    return not is_needed and not is_leaned_on(tables, lost, gone)


def _check_sound(tables: Tables) -> None:
    """Raises DamagedError if what a file leans on cannot be known."""
    reasons = {file: error.message for file, error in tables.faults.items()}
    for file, scan in tables.logs.items():
        if scan.damage:
            reasons[file] = f"damaged at byte {scan.damage[0].start}"
    for file, reason in reasons.items():
        raise DamagedError(
            f"packs/{file}: {reason}",
            hint="run `epmstore fsck --read-data --repair` first",
            file=file,
        )


def _should_end(log: str, tables: Tables, plan: CollectionPlan) -> bool:
    """Whether the log that is appended to is full, or dead in good part."""
    rows = [copy.row for copy in tables.rows(log)]
    if not rows:
        return False
    dead = sum(row.size for row in rows if not plan.keeps(log, row.sha256))
    return is_full(tables.sizes[log], len(rows)) or is_wasteful(dead, sum(r.size for r in rows))


def _path_order(store: Store) -> list[Sha256]:
    """The contents of all newest versions as their paths follow each other."""
    order = []
    for app in store.all_catalogs():
        newest = store.entries.last_version(app)
        if newest is not None and newest.version is not None:
            entries = in_order(store.entries.tree(app, newest.version))
            order += [entry.content.sha256 for entry in entries if entry.content is not None]
    return order


def _rehearse(store: Store, found: GcSurvey, progress: Progress) -> GcResult:
    """What a collection would come to. What it would write is written, measured and taken away
    again: nothing else tells how well contents lie together. Within `keep_packs`.
    """
    plan, sizes = found.plan, found.tables.sizes
    jobs = _written_jobs(plan)
    freed, rewritten, at_least = sum(sizes[file] for file in plan.drop), 0, False
    progress.begin("measuring", files=len(jobs))
    for stage, files in jobs:
        try:
            size = _measure(store, found, stage, files)
        except OSError as error:
            if not (is_disk_full(error) or error.errno == errno.EROFS):
                raise
            at_least = True
            continue
        freed += sum(sizes[file] for file in files) - size
        rewritten += size
        progress.advance(files=1)
    progress.end()
    return GcResult(
        freed=max(0, freed),
        rewritten=rewritten,
        dropped=len(plan.drop),
        repacked=len(plan.rewrite),
        sealed=len(plan.seal),
        merged=sum(map(len, plan.merge)),
        held=found.held,
        at_least=at_least,
        dry_run=True,
    )


def _written_jobs(plan: CollectionPlan) -> list[tuple[str, list[str]]]:
    return [
        *(("repacked", [file]) for file in plan.rewrite),
        *(("sealed", [file]) for file in plan.seal),
        *(("merged", list(files)) for files in plan.merge),
    ]


def _measure(store: Store, found: GcSurvey, stage: str, files: list[str]) -> int:
    """The size of the pack that a job writes; 0 if it writes none. Raises OSError."""
    written = _write(store, found, stage, files)
    try:
        if written.is_empty:
            return 0
        if written.temporary is None:
            return written.length + seal.SIZE
        return written.temporary.stat().st_size
    finally:
        discard_written(written)


def _write(store: Store, found: GcSurvey, stage: str, files: list[str]) -> WrittenGroup:
    """A group with what is needed of some files."""
    packs = store.packs
    if stage == "repacked":
        return rewrite(packs, files[0], _keeper(found, files[0]))
    if stage == "sealed":
        return seal_log(packs, files[0], _path_order(store), _keeper(found, files[0]))
    return merge_packs(packs, files)
