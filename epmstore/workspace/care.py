"""`ws.care`: looking after the store as a whole. Thin: each verb names its use case."""

import contextlib
from collections.abc import Callable, Collection, Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from epmstore import given
from epmstore.care import ledger
from epmstore.care.copy import CopyResult, copy_store
from epmstore.care.damage import Damage, FsckReport
from epmstore.care.doctor import HealthCheck, examine
from epmstore.care.drill import Drill, drill
from epmstore.care.forget import Forgotten, forget, unforget
from epmstore.care.fsck import fsck
from epmstore.care.gc import GcResult, collect
from epmstore.care.heal import repair as mend
from epmstore.care.purge import Purged, contents_of, purge
from epmstore.care.stats import Stats, collect_stats
from epmstore.catalog.model import RecordedActor
from epmstore.catalog.retention import DEFAULT, Policy
from epmstore.checkout.lost import UnreadableContentsError
from epmstore.clock import to_rfc3339
from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.errors import BusyError, DamagedError, NotFoundError
from epmstore.given import AnyPath, AnyVersion
from epmstore.progress import Progress
from epmstore.reckon import Reckoning
from epmstore.refcat.trust import Trust
from epmstore.store.reckoned import keep
from epmstore.store.replay import rebuild
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.apps import find_app

if TYPE_CHECKING:  # start-up
    from epmstore.sync.depotseeker import DepotContents


class Care:
    """Looking after one open store: fsck, gc, retention, drills, what doctor says."""

    def __init__(
        self,
        store: Store,
        *,
        actor: RecordedActor | None,
        progress: Progress,
        safe_stores: Container[Path] = (),
        remotes: "Callable[[], Sequence[DepotContents]]" = tuple,
    ) -> None:
        self._store = store
        self._remotes = remotes
        self._safe = safe_stores
        self._actor = actor
        self._progress = progress

    def stats(self) -> Stats:
        """How much is stored. Raises DamagedError."""
        return collect_stats(self._store)

    def fsck(
        self, read_data: float = 0.0, repair: bool = False, *, seed: int | None = None
    ) -> FsckReport:
        """Check the store; `read_data` is the share of frames (0 to 1) to read and decode. With
        `repair`, mend what can be mended from live files and remotes, and say of each finding
        whether it is.

        Raises OSError, BusyError (only to repair); damage is a finding.
        """
        files, progress = self._bad_packs(), self._progress
        if repair:
            seekers = self._remotes()
            report = mend(
                self._store, read_data, seed=seed, files=files, progress=progress, seekers=seekers
            )
            notes = (note for one in seekers for note in one.notes())
            report = structs.replace(report, notes=(*report.notes, *notes))
        else:
            report = fsck(self._store, read_data, seed=seed, files=files, progress=progress)
        report = self._with_trust(report)
        with contextlib.suppress(OSError, BusyError):  # of a store that is only read
            self._remember(report)
        return report

    def _bad_packs(self) -> list[str]:
        """Where the last check found something: what did not look there would call it sound."""
        damage = ledger.load(self._store.path).damage
        files = () if damage is None else damage.files
        return [file.removeprefix("packs/") for file in files if file.startswith("packs/")]

    def _remember(self, report: FsckReport, data: ledger.Rolling | None = None) -> None:
        """What is damaged, for the caller and for the next look; how far a rolling one came."""
        left = [finding.file for finding in report.findings if not finding.repaired]
        damage = ledger.DamageNote(self._now(), len(left), tuple(sorted({*left}))) if left else None
        before = ledger.load(self._store.path)
        if data is not None or damage is not None or before.damage is not None:
            ledger.change(
                self._store.path,
                lambda old: structs.replace(old, damage=damage, data=data or old.data),
            )
        # Checkouts ask the index: what cannot be read there is no reason to displace a live file.
        packs = tuple(self._bad_packs())
        with contextlib.suppress(DamagedError):  # of the index: it is a finding itself
            if self._store.database.exists() and packs != self._store.notes.damaged_packs():
                with self._store.lock_write():
                    self._store.notes.name_damaged_packs(packs)

    def fsck_on(self, share: float) -> FsckReport:
        """Check the store, and read the next share of its contents (0 to 1): where the last such
        check ended, the next one goes on, until everything was read; then from the beginning. What
        was found damaged last is looked at each time.

        Raises OSError, BusyError; damage is a finding.
        """
        rolling = ledger.load(self._store.path).data
        report = fsck(
            self._store,
            share,
            seed=rolling.seed,
            start=rolling.position,
            files=self._bad_packs(),
            progress=self._progress,
        )
        report = self._with_trust(report)
        self._remember(report, _rolled(rolling, share))
        return report

    def _with_trust(self, report: FsckReport) -> FsckReport:
        """Whom the store believes is checked, too, and never repaired: trust is not made up."""
        found = tuple(
            Damage(
                kind="damaged",
                file=str(Path(error.data["file"]).relative_to(self._store.path)),
                detail=f"{error.message}: {error.hint}",
            )
            for error in Trust(self._store.path).damage()
        )
        return structs.replace(report, findings=(*report.findings, *found))

    def drill(
        self, key: str, version: AnyVersion | None = None, *, seek: bool = True
    ) -> tuple[int, Drill]:
        """Prove that a version (None: the newest that is kept) can be restored: write it into a
        scratch folder of the store and compare. (version, what came of it); what is proven is
        remembered. Contents that cannot be read are brought back first, if they are elsewhere and
        are to be sought.

        Raises AppNotFoundError, NotFoundError, VersionNotFoundError, NotRestorableError,
        BusyError, DiskFullError, DamagedError, OSError.
        """
        context = AppContext(self._store, find_app(self._store, key))
        chosen = _newest(context) if version is None else context.trees.restorable_version(version)
        entries = context.trees.at(chosen).entries()
        done = self._drill(entries, seek=seek)
        if done.is_proven:
            ledger.prove(self._store.path, context.app.uuid, chosen, self._now())
        return chosen, done

    def _drill(self, entries: Sequence[Entry], *, seek: bool) -> Drill:
        """Once more, if contents turned out to be lost that are elsewhere."""
        store, progress = self._store, self._progress
        try:
            return drill(store, entries, progress=progress)
        except UnreadableContentsError as error:
            if not seek:
                raise
            from epmstore.workspace.app.supplying import bring_back  # noqa: PLC0415 - start-up

            came = bring_back(store, error, self._remotes(), progress)
        return structs.replace(drill(store, entries, progress=progress), came=came)

    def remembered(self) -> ledger.Ledger:
        """What care was done and proven, and when. Raises OSError."""
        return ledger.load(self._store.path)

    def forget(
        self,
        key: str,
        chosen: Policy | Sequence[int] = DEFAULT,
        *,
        dry_run: bool = False,
        measure: bool = False,
    ) -> Forgotten:
        """Let the contents of versions go: those that a policy does not keep, or exactly these.
        `measure` says how much collections free because of it, which is as dear as one.

        The usual policy keeps every change of a year and every drift of a week, then thinner.
        Raises AppNotFoundError, VersionNotFoundError, ConflictError, DamagedError, OSError.
        """
        app = self._app(key)
        if not isinstance(chosen, Policy):
            chosen = given.numbers(chosen, "versions")
        return forget(
            self._store,
            app,
            chosen,
            dry_run=dry_run,
            measure=measure,
            actor=self._actor,
            progress=self._progress,
        )

    def unforget(self, key: str, versions: Sequence[int]) -> tuple[int, ...]:
        """Take a forget back; the versions that were forgotten. Raises AppNotFoundError,
        VersionNotFoundError, NotRestorableError (contents are gone), OSError.
        """
        store, app = self._store, self._app(key)
        versions = given.numbers(versions, "versions")
        return unforget(store, app, versions, actor=self._actor, progress=self._progress)

    def purge(
        self,
        contents: Collection[BlobInfo | Digest | Sha256],
        *,
        path: AnyPath | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Purged:
        """Destroy contents everywhere in the store; the fact that they were recorded stays, and
        everything else of the versions that had them, and whatever shares only a SHA-1 with them.
        `path` is only noted.

        Raises BlobNotFoundError, CollisionError (a SHA-1 that several have), ConflictError,
        DamagedError, BusyError, OSError.
        """
        return purge(
            self._store,
            contents,
            path=None if path is None else given.a_path(path),
            reason=reason,
            dry_run=dry_run,
            actor=self._actor,
            progress=self._progress,
        )

    def contents_of(self, key: str, path: AnyPath) -> tuple[BlobInfo, ...]:
        """All contents that a path ever had. Raises AppNotFoundError,
        PathNotFoundError.
        """
        return contents_of(self._store, self._app(key), given.a_path(path))

    def gc(self, *, dry_run: bool = False, now: bool = False, quarantine: bool = False) -> GcResult:
        """Free the space of what no version needs that is not forgotten. What a policy forgot
        within a day, or while the clock is in doubt, is freed only if it is wanted `now`, and what
        is in the quarantine before it is old only with `quarantine`. Raises DamagedError,
        BusyError, OSError.
        """
        return collect(
            self._store,
            dry_run=dry_run,
            now=now,
            quarantine=quarantine,
            progress=self._progress,
        )

    def reckon(self) -> Reckoning:
        """The time that may be relied upon, noted so that it can be carried on. For a program that
        runs for long: what it was not there to see is in doubt.
        """
        return keep(self._store)

    def copy(self, target: AnyPath) -> CopyResult:
        """Make a folder a copy of this store, or bring an older copy up to date. It opens as a
        store. Raises ConflictError, UsageError, DamagedError, BusyError, OSError.
        """
        place = given.a_place(target).absolute()
        return copy_store(self._store, place, progress=self._progress, safe=self._safe)

    def doctor(self) -> list[HealthCheck]:
        """Whether this host and this store are in order. Changes nothing."""
        return examine(self._store)

    def rebuild(self) -> list[str]:
        """Make the index anew; what is damaged elsewhere. Raises DamagedError (something would be
        lost with the index that is there), BusyError, OSError.

        Of a store that cannot be opened: `Workspace.rebuild`.
        """
        with self._store.lock_packs(), self._store.lock_write():
            return [*rebuild(self._store, self._progress).damage]

    def upgrade(self) -> None:
        """Bring the store to the newest format. There is only one so far: nothing happens."""

    def _now(self) -> str:
        return to_rfc3339(self._store.clock.now())

    def _app(self, key: str) -> str:
        return find_app(self._store, key).uuid


def _rolled(old: ledger.Rolling, share: float) -> ledger.Rolling:
    """Where the next share begins; another order for each round."""
    position = old.position + share
    if position >= 1 - 1e-9:
        return ledger.Rolling(seed=old.seed + 1, round=old.round + 1)
    return structs.replace(old, position=position)


def _newest(context: AppContext) -> int:
    kept = [info.version for info in context.state().versions if info.restorable]
    if not kept:
        raise NotFoundError(
            f"no version of {context.app.key} is kept", hint="record one: epmstore snapshot"
        )
    return kept[-1]
