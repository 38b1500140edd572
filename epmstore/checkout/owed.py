"""What a checkout still owes when the tree is done, or while it is being done: a start of the
application, a health check, a confirmation.

`journals/<app>.owed` is one small checksummed file: durable before the application is stopped, gone
when nothing is owed any more. The journal says how far the tree is; this says what is around it.

    STOPPING     the application is being stopped, or is stopped; the tree is old, new or between,
                 as the journal (or its version in the history) says
    STARTING     the tree is new; the application is to be started, and then to be healthy
    CONFIRMING   all is done; unless somebody confirms it in time, it is to be undone
    UNDOING      it is being undone: the tree is to be old, and the application to be started

Time: as long as the host runs, a wait is measured by the time since its start, which no setting of
the clock changes. After a restart only wall time is left; a clock that is behind then is not
trusted, and what this start of the host has lasted counts at least. A start that is owed is void
after a restart of the host: what starts applications then is the host.
"""

import hashlib
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from epmstore.atomic import read_file, remove_file, replace_read
from epmstore.catalog.hooks import Hooks
from epmstore.catalog.model import RecordedActor
from epmstore.clock import Clock, SystemClock
from epmstore.errors import DamagedError
from epmstore.record.store import Store
from epmstore.scan.fsclock import boot_id

FORMAT: Final = 1
LIMIT: Final = 1 << 20
Phase: TypeAlias = Literal["STOPPING", "STARTING", "CONFIRMING", "UNDOING"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A time that can be compared with later ones, whatever happens to the clock in between."""

    wall: float
    boot: str
    uptime: float


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """`txid` is that of the version that the checkout, or the undo, makes. `from_` was live before,
    `of` is whose content it is (null: that of a vendor's `release`), `version` the new one, as far
    as it is known. `confirm` is how many seconds there are from `since` on. `why` is what an undo
    is for.
    """

    app: str
    key: str
    phase: Phase
    action: str
    txid: str
    from_: int = msgspec.field(name="from")
    of: int | None
    version: int | None = None
    hooks: Hooks = Hooks()
    confirm: float | None = None
    since: Moment
    time: str
    why: str | None = None
    allow_network: bool = False
    actor: RecordedActor | None = None
    release: int | None = None

    @property
    def goal(self) -> int | str:
        """What was to be reached: a version, or a vendor's release."""
        return f"release:{self.release}" if self.of is None else self.of


class OwedFile:
    """The file of one application. Whoever holds the app's lock writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Owed | None:
        """Raises DamagedError, OSError."""
        try:
            data = read_file(self.path, LIMIT)
        except FileNotFoundError:
            return None
        return self._parse(data)

    def _parse(self, data: bytes) -> Owed:
        try:
            document: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
            found = document.pop("sha256")
            if found == _digest(document):
                self._check_known(document)
                return msgspec.convert(document["owed"], Owed)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            pass
        raise DamagedError(
            f"{self.path} is not what was written",
            hint="see by hand whether the application runs, then remove that file",
            file=str(self.path),
        )

    def _check_known(self, document: dict[str, Any]) -> None:
        """Raises DamagedError for what another release wrote: it knows what is to be done."""
        said, phase = document.pop("format"), document["owed"]["phase"]
        if said == FORMAT and phase in get_args(Phase):
            return
        what = f"format {said}" if said != FORMAT else f"the phase {phase!r}"
        raise DamagedError(
            f"{self.path} has {what}, which this release does not know",
            hint="nothing was changed; let the release that wrote it do it: `epmstore recover`",
            file=str(self.path),
        )

    def save(self, owed: Owed) -> Owed:
        """Durable when it returns; a crash leaves what was there."""
        document = {"format": FORMAT, "owed": msgspec.to_builtins(owed)}
        data = msgspec.json.encode({"sha256": _digest(document), **document})
        replace_read(self.path, data, self._parse)
        return owed

    def drop(self) -> None:
        remove_file(self.path)


def owed_file(store: Store, app: str) -> OwedFile:
    return OwedFile(store.journals / f"{app}.owed")


def moment(clock: Clock) -> Moment:
    uptime = getattr(clock, "uptime", SystemClock().uptime)
    return Moment(wall=clock.now(), boot=boot_id(), uptime=uptime())


def elapsed(since: Moment, now: Moment) -> float:
    """Seconds, at least, from one moment to a later one. Pure."""
    if since.boot and since.boot == now.boot:
        return max(0.0, now.uptime - since.uptime)
    return max(now.wall - since.wall, now.uptime)


def seconds_left(owed: Owed, now: Moment) -> float:
    """Until what waits for a confirmation is to be undone; 0 if that is now. Pure."""
    return max(0.0, (owed.confirm or 0.0) - elapsed(owed.since, now))


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()
