"""What one run of an uploader does. Any number may run at once, on any host: each payload is taken
under the lock of its build, and left alone where another process has that.

The order decides: the payload on the remote, looked at; the record; and only then the local file
goes. What a killed run leaves is found by the next one, or by the preparer (docs/pipeline.md).
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from epmstore.atomic import remove_file
from epmstore.clock import Clock
from epmstore.errorform import from_system, plain_text
from epmstore.errors import (
    BadObjectError,
    BusyError,
    ChangedError,
    DamagedError,
    EpmError,
)
from epmstore.progress import SILENT, Progress
from epmstore.publish.build import Author, BuildRecord
from epmstore.publish.buildrecords import BuildRecords
from epmstore.publish.lifecycle import (
    IN_PROCESS,
    NOT_BLAMED,
    described,
    failed,
    is_due,
    moved,
    printable,
)
from epmstore.publish.payload import sha256_of
from epmstore.publish.spoolfolder import SpoolFolder
from epmstore.publish.transfer import PayloadCopy, StallLimits, Transfer
from epmstore.remotes.remote import Remote

IN_VAIN: Final = 2
"""So many payloads one after the other that the remote failed for: then the run ends."""

EVERY: Final = 8
"""Looks at a transfer, of which one asks whether a person changed the record."""


def payloads_waiting(spool: SpoolFolder, records: BuildRecords) -> list[BuildRecord]:
    """Builds whose payloads are in the spool, by number."""
    found = records.find([IN_PROCESS])
    return [build for build in found if _waiting_at(spool, build).is_file()]


def _waiting_at(spool: SpoolFolder, build: BuildRecord) -> Path:
    return spool.upload / (build.file_name or "")


class Uploader:
    """Everything that a run needs. `place` is the remote without what goes around it."""

    def __init__(
        self,
        spool: SpoolFolder,
        records: BuildRecords,
        remote: Remote,
        author: Author,
        clock: Clock,
        progress: Progress = SILENT,
        place: Remote | None = None,
        patience: StallLimits = StallLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._spool = spool
        self._records = records
        self._remote = remote
        self._author = author
        self._clock = clock
        self._progress = progress
        self._place = place
        self._patience = patience

    def run(self, *, at_once: bool = False) -> Iterator[BuildRecord]:
        """Each build whose payload was sent, or could not be. Ends early where the remote fails
        for one after the other. Raises EpmError where the records cannot be used.
        """
        in_vain = 0
        for build in payloads_waiting(self._spool, self._records):
            if not is_due(build, self._clock.now(), at_once=at_once):
                continue
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(self._records.alone(build.number))
                except BusyError:
                    continue  # another uploader has it, or the preparer
                found = self._one(self._records.get(build.number))
            if found is None:
                continue
            yield found
            in_vain = in_vain + 1 if found.error is not None else 0
            if in_vain >= IN_VAIN:
                return

    def _one(self, build: BuildRecord) -> BuildRecord | None:
        """None if there was nothing to do, or a person was quicker: that counts."""
        if build.state != IN_PROCESS or not _waiting_at(self._spool, build).is_file():
            return None
        try:
            try:
                return self._upload(build)
            except OSError as error:
                raise from_system(error) from None
            finally:
                self._progress.end()
        except ChangedError:
            return None
        except EpmError as error:
            return self._fail(build, error)

    def _upload(self, build: BuildRecord) -> BuildRecord:
        name, remote_path, size, sha256 = described(build)
        copy = PayloadCopy(self._spool.upload / name, remote_path, size, sha256)
        self._progress.begin(f"uploading {name}", size=2 * size)  # it is read back, too
        told, looks = 0, itertools.count()

        def look(moved: int) -> None:
            nonlocal told
            self._progress.advance(size=max(0, moved - told))
            told = max(moved, told)
            if next(looks) % EVERY:
                return
            if self._records.get(build.number).revision != build.revision:
                raise ChangedError(f"build {build.number} was changed by a person: it is stopped")

        try:
            Transfer(self._remote, self._place, copy, self._patience).run(look)
        except BadObjectError:
            if sha256_of(copy.path) != sha256:
                raise DamagedError(
                    f"{copy.path} is not the payload that was made: it is made anew"
                ) from None
            raise
        done = self._change(moved(build, "arrived", self._clock.now()), "uploaded")
        remove_file(copy.path)
        return done

    def _fail(self, build: BuildRecord, error: EpmError) -> BuildRecord | None:
        """A remote that fails says nothing about a payload that was made."""
        why, now = printable(plain_text(error.message)), self._clock.now()
        delayed, blamed = isinstance(error, NOT_BLAMED), not isinstance(error, NOT_BLAMED)
        with contextlib.suppress(ChangedError):
            return self._change(failed(build, why, now, delayed=delayed, blamed=blamed), why)
        return None

    def _change(self, build: BuildRecord, why: str) -> BuildRecord:
        return self._records.change(build, self._author, self._clock.now(), why)
