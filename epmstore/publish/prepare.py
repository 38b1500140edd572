"""What one run of the preparer does. One at a time, over all processes; nothing depends on an
earlier run having ended.

For each build the order decides: payload in `temp/`, sidecars on the remote, record, and only then
the payload in `upload/`. What a killed run leaves is found by the next one (docs/pipeline.md).
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from epmstore import fsio
from epmstore.atomic import directory, remove_file
from epmstore.clock import Clock
from epmstore.errorform import from_system, is_unwritable, plain_text
from epmstore.errors import (
    BusyError,
    ChangedError,
    DamagedError,
    DiskFullError,
    EpmError,
    NoStoreError,
    NotFoundError,
    RemoteDeniedError,
    RemoteError,
)
from epmstore.owned import read_own
from epmstore.progress import SILENT, Progress
from epmstore.publish.build import Author, BuildRecord
from epmstore.publish.buildlocks import sweep_locks
from epmstore.publish.buildrecords import BuildRecords
from epmstore.publish.candidates import OpenNumbering, is_candidate
from epmstore.publish.lifecycle import (
    DONE,
    ERROR,
    HOLD,
    IN_PROCESS,
    NEW,
    NOT_BLAMED,
    STATES,
    WITHDRAWN,
    described,
    failed,
    is_due,
    moved,
    printable,
)
from epmstore.publish.payload import PayloadFile, make_payload, sha256_of
from epmstore.publish.sidecars import SUFFIXES, sidecars
from epmstore.publish.spoolfolder import SpoolFolder, sweep
from epmstore.publish.transactions import append_log
from epmstore.publish.watchedfolders import appeared, watched_folders
from epmstore.refcat.signature import LIMIT, sign_file
from epmstore.remotes.checked import holds
from epmstore.remotes.remote import Remote

_SIGNATURE: Final = ".tmp-signature"


class Preparer:
    """Everything that a run needs. `author` is who runs it."""

    def __init__(
        self,
        spool: SpoolFolder,
        records: BuildRecords,
        remote: Remote,
        author: Author,
        clock: Clock,
        progress: Progress = SILENT,
        catalogs: OpenNumbering | None = None,
    ) -> None:
        """`catalogs` are where candidates get their numbers."""
        self._catalogs = catalogs
        self._spool = spool
        self._records = records
        self._remote = remote
        self._author = author
        self._clock = clock
        self._progress = progress

    def run(self, *, at_once: bool = False) -> Iterator[BuildRecord]:
        """Each build that a run did something about, as it is then; one that fails hinders no
        other. `at_once` does not wait for those that failed a while ago. Raises BusyError, OSError,
        DamagedError; at the end NotFoundError if a watched folder was not there.
        """
        with self._records.alone():
            self._append_log()
            self._sweep()
            unseen = self._look_around()
            due = self._records.find([IN_PROCESS, NEW, ERROR, DONE, WITHDRAWN])
            self._progress.begin("preparing", files=len(due))
            for build in due:
                if self._is_wanted(build, at_once=at_once):
                    found = self._one(build.number)
                    if found is not None:
                        yield found
                self._progress.advance(files=1)
            self._progress.end()
            self._append_log()
            if unseen is not None:
                raise unseen

    def _is_wanted(self, build: BuildRecord, *, at_once: bool) -> bool:
        if build.state == WITHDRAWN and build.remote_path is None:
            return False
        if build.state == DONE and build.remote_path is not None:
            return False
        is_ready = self._spool.settings.ready.has(build)
        return is_ready and is_due(build, self._clock.now(), at_once=at_once)

    def _sweep(self) -> None:
        """What earlier runs left goes, unless an uploader is at it."""
        sweep_locks(self._spool.locks)
        builds = {one.file_name: one for one in self._records.find(STATES) if one.file_name}
        running = {name for name, build in builds.items() if build.state == IN_PROCESS}
        sweep(self._spool.temp, running)
        for name in sorted(set(os.listdir(self._spool.upload)) - running):
            with contextlib.suppress(BusyError, IsADirectoryError), contextlib.ExitStack() as stack:
                if name in builds:
                    stack.enter_context(self._records.alone(builds[name].number))
                remove_file(self._spool.upload / name)

    def _look_around(self) -> NotFoundError | None:
        """Records for what appeared in watched folders; the first that was not there."""
        unseen = None
        folders = watched_folders(self._spool)
        known = {build.path for build in self._records.find(STATES)} if folders else set()
        for folder in folders:
            try:
                for draft in appeared(folder, known, self._clock.now()):
                    self._records.add(draft, self._author, self._clock.now())
                    known.add(draft.path)
            except NotFoundError as error:
                unseen = unseen or error
        return unseen

    def _append_log(self) -> None:
        """Without room the table has the lines, and a later run appends them."""
        try:
            append_log(self._spool.log, self._records)
        except OSError as error:
            if not is_unwritable(error):
                raise

    def _one(self, number: int) -> BuildRecord | None:
        """None if there was nothing to do, or another process is at it, or a person was quicker:
        that counts.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._records.alone(number))
            except BusyError:
                return None  # an uploader sends it
            build = self._records.get(number)
            try:
                try:
                    return self._step(build)
                except OSError as error:
                    raise self._from_system(error) from None
            except EpmError as error:
                found = self._records.get(number)
                return self._fail(found, error) if found.state == build.state else None

    def _from_system(self, error: OSError) -> EpmError:
        found = from_system(error)
        if isinstance(found, DiskFullError):
            found = DiskFullError(f"there is no room for the payload in {self._spool.path}")
        return found

    def _step(self, build: BuildRecord) -> BuildRecord | None:
        if build.state == IN_PROCESS:
            return self._look_after(build)
        if build.state == HOLD:
            return None
        if build.state == DONE:
            described(build)
            return None
        if build.state == WITHDRAWN:
            return self._clear(build)
        return self._prepare(build)

    def _prepare(self, build: BuildRecord) -> BuildRecord:
        build, payload = self._made(build)
        named = self._named(build, payload)
        for suffix, data in sidecars(payload, self._signature(payload)).items():
            digest = hashlib.sha256(data).hexdigest()
            self._remote.write(f"{named.remote_path}{suffix}", [data], len(data), digest)
        changed = self._change(moved(named, "prepared", self._clock.now()), "prepared")
        self._hand_over(payload.name)
        return changed

    def _made(self, build: BuildRecord) -> tuple[BuildRecord, PayloadFile]:
        """The payload of a build. A candidate becomes a release first, and the record says which
        before its package is made.
        """
        if not is_candidate(build):
            return build, make_payload(build, self._spool.temp)
        if self._catalogs is None:
            raise NoStoreError(f"{build.path} is a candidate, and nothing here numbers it")
        catalogs = self._catalogs()
        if build.release is None:
            number = catalogs.number(Path(build.path), product=build.product)
            named = moved(build, "named", self._clock.now())
            why = f"it is release {number} of {build.product}"
            build = self._change(msgspec.structs.replace(named, release=number), why)
        assert build.release is not None
        package = catalogs.pack(build.product, build.release, self._spool.temp).path
        try:
            source = msgspec.structs.replace(build, path=str(package))
            return build, make_payload(source, self._spool.temp)
        finally:
            remove_file(package)

    def _named(self, build: BuildRecord, payload: PayloadFile) -> BuildRecord:
        """Recorded before anything of a payload is on the remote: so what an earlier one left there
        is known, and goes.
        """
        path = f"{build.product}/{build.number}/{payload.name}"
        if build.remote_path not in (None, path):
            with contextlib.suppress(RemoteDeniedError):  # not every host may delete
                self._remove(build.remote_path)
        named = msgspec.structs.replace(
            moved(build, "named", self._clock.now()),
            size=payload.size,
            md5=payload.md5,
            sha1=payload.sha1,
            sha256=payload.sha256,
            built=payload.built,
            remote_path=path,
        )
        return build if named == build else self._change(named, f"its payload is {payload.name}")

    def _signature(self, payload: PayloadFile) -> bytes | None:
        if self._spool.settings.sign is None:
            return None
        target = self._spool.temp / _SIGNATURE
        secret = read_own(Path(self._spool.settings.sign), LIMIT)
        sign_file(self._spool.temp / payload.name, target, secret)
        signature = target.read_bytes()
        remove_file(target)
        return signature

    def _hand_over(self, name: str) -> None:
        """A payload goes from `temp/` to `upload/`: from now on it is an uploader's."""
        with directory(self._spool.temp) as temp, directory(self._spool.upload) as upload:
            fsio.rename(name, temp, name, upload)
            fsio.sync_directory(upload)
            fsio.sync_directory(temp)

    def _look_after(self, build: BuildRecord) -> BuildRecord | None:
        """A payload that waits, is to be handed over, or has arrived."""
        name, remote_path, size, sha256 = described(build)
        waiting = self._spool.upload / name
        if os.path.lexists(waiting):
            found = os.lstat(waiting)
            if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                raise DamagedError(f"{waiting} is not the payload that was made: it is made anew")
            return None
        if sha256_of(self._spool.temp / name) == sha256:
            self._hand_over(name)
            return build
        if not holds(self._remote, remote_path, size, sha256):
            raise DamagedError(
                f"the payload is neither in the spool nor, as it should be, at {remote_path}"
            )
        return self._change(moved(build, "arrived", self._clock.now()), "the remote has it")

    def _clear(self, build: BuildRecord) -> BuildRecord | None:
        if build.remote_path is None:
            return None
        self._remove(build.remote_path)
        cleared = moved(build, "cleared", self._clock.now())
        return self._change(msgspec.structs.replace(cleared, remote_path=None), "cleared away")

    def _remove(self, path: str) -> None:
        """From the remote: the payload first, so that none is without its sidecars."""
        for suffix in ("", *SUFFIXES):
            self._remote.delete(f"{path}{suffix}")

    def _fail(self, build: BuildRecord, error: EpmError) -> BuildRecord | None:
        """A remote that fails says nothing about a payload that was made."""
        why = printable(plain_text(error.message))
        delayed = build.state == IN_PROCESS and isinstance(error, RemoteError)
        blamed = not isinstance(error, NOT_BLAMED)
        noted = failed(build, why, self._clock.now(), delayed=delayed, blamed=blamed)
        try:
            return self._change(noted, why)
        except ChangedError:
            return None

    def _change(self, build: BuildRecord, why: str) -> BuildRecord:
        return self._records.change(build, self._author, self._clock.now(), why)
