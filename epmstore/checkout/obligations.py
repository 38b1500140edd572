"""What a checkout still owes when the tree is done, or while it is being done: a start of the
application, a health check, a confirmation.

`journals/<app>.owed` is one small checksummed file: durable before the application is stopped, gone
when nothing is owed any more. The journal says how far the tree is; this says what is around it.

    STOPPING     the application is being stopped, or is stopped; the tree is old, new or between,
                 as the journal (or its version in the history) says
    STARTING     the tree is new; the application is to be started, and then to be healthy
    CONFIRMING   all is done; unless it is confirmed in time, it is to be undone
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
from epmstore.checkout.goal import (
    FORMATS,
    TOGETHER,
    Goal,
    RemovalGoal,
    goal_from_form,
    without_goal,
)
from epmstore.clock import Clock, SystemClock
from epmstore.errors import DamagedError, InvalidNameError
from epmstore.scan.fsclock import boot_id
from epmstore.store.commit import read_version
from epmstore.store.store import Store

LIMIT: Final = 1 << 24
_SENSELESS: Final = (
    *(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
    InvalidNameError,
)
OwedPhase: TypeAlias = Literal["STOPPING", "STARTING", "CONFIRMING", "UNDOING"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A time that can be compared with later ones, whatever happens to the clock in between."""

    wall: float
    boot: str
    uptime: float


class _Owed(msgspec.Struct, frozen=True, kw_only=True):
    """All but the goal."""

    app: str
    key: str
    phase: OwedPhase
    action: str
    txid: str
    from_: int = msgspec.field(name="from")
    version: int | None = None
    hooks: Hooks = Hooks()
    confirm: float | None = None
    since: Moment
    time: str
    why: str | None = None
    allow_network: bool = False
    actor: RecordedActor | None = None
    transaction: tuple[str, ...] = ()


class Owed(_Owed, frozen=True, kw_only=True):
    """`txid` is that of the version that the checkout, or the undo, makes. `from_` was live before,
    `goal` was to be reached, `version` is the new one, as far as it is known. `confirm` is how many
    seconds there are from `since` on. `why` is what an undo is for. `transaction` are the
    applications (UUIDs, who is needed first) that owe this together: see `owed_by`; their `txid`
    stays that of the checkout.
    """

    goal: Goal

    @property
    def format(self) -> int:
        """The lowest one that says all of it."""
        return TOGETHER if self.transaction else self.goal.format

    @property
    def undo_txid(self) -> str:
        """That of the versions by which a transaction is undone, however often that is begun."""
        return hashlib.sha256(f"undo of {self.txid}".encode()).hexdigest()[:32]


class OwedFile:
    """The file of one application. The holder of the app's lock writes it."""

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
                return _from_form(document["owed"])
        except _SENSELESS:
            pass
        raise DamagedError(
            f"{self.path} is not what was written",
            hint="see by hand whether the application runs, then remove that file",
            file=str(self.path),
        )

    def _check_known(self, document: dict[str, Any]) -> None:
        """Raises DamagedError for what another release wrote: it knows what is to be done."""
        said, phase = document.pop("format"), document["owed"]["phase"]
        known = (*FORMATS, TOGETHER)
        if said in known and phase in get_args(OwedPhase):
            return
        what = f"format {said}" if said not in known else f"the phase {phase!r}"
        raise DamagedError(
            f"{self.path} has {what}, which this release does not know",
            hint="nothing was changed; let the release that wrote it do it: `epmstore recover`",
            file=str(self.path),
        )

    def save(self, owed: Owed) -> Owed:
        """Durable when it returns; a crash leaves what was there."""
        document = {"format": owed.format, "owed": _form(owed)}
        data = msgspec.json.encode({"sha256": _digest(document), **document})
        replace_read(self.path, data, self._parse)
        return owed

    def drop(self) -> None:
        remove_file(self.path)


_KEYS: Final[tuple[str, ...]] = (
    *("app", "key", "phase", "action", "txid", "from", "of", "version", "hooks", "confirm"),
    *("since", "time", "why", "allow_network", "actor", "release", "edits", "without"),
    "transaction",
)
"""In their order, with those of every goal."""


def _form(owed: Owed) -> dict[str, Any]:
    own = {name: getattr(owed, name) for name in _Owed.__struct_fields__}
    said = {**msgspec.to_builtins(_Owed(**own)), **owed.goal.form()}
    form = {key: said[key] for key in _KEYS if key in said}
    if owed.transaction:
        return {**without_goal(form, owed.goal), "goal": owed.goal.form()}
    del form["transaction"]
    return form


def _from_form(form: dict[str, Any]) -> Owed:
    own = msgspec.structs.asdict(msgspec.convert(form, _Owed))
    return Owed(**own, goal=goal_from_form(form["goal"] if own["transaction"] else form))


def owed_file(store: Store, app: str) -> OwedFile:
    return OwedFile(store.journals / f"{app}.owed")


def owed_by(store: Store, app: str) -> Owed | None:
    """What is owed to an application (UUID). What a transaction owes, it owes as long as each of
    its applications has a file that says so; it is as far as the furthest of them. So one file that
    comes or goes decides for all. Raises DamagedError, OSError.
    """
    own = owed_file(store, app).load()
    if own is None or not own.transaction:
        return own
    others = [owed_file(store, one).load() for one in own.transaction if one != app]
    together = [own, *(one for one in others if one is not None and one.txid == own.txid)]
    if len(together) < len({app, *own.transaction}):
        return None
    furthest = max(together, key=lambda one: get_args(OwedPhase).index(one.phase))
    own = msgspec.structs.replace(own, phase=furthest.phase, since=furthest.since, why=furthest.why)
    return own if own.version is not None else completed(store, own)


def completed(store: Store, owed: Owed) -> Owed:
    """With what the version says that the checkout has made, if it has."""
    done = store.entries.version_of_txid(owed.app, owed.txid)
    if done is None:
        return owed
    header = read_version(done)
    assert header.from_ is not None, "a checkout made it"
    return msgspec.structs.replace(owed, version=header.version, from_=header.from_)


def hooks_afterwards(store: Store, owed: Owed) -> Hooks:
    """Those that are to run when the tree is the new one: none where the last product was
    uninstalled, or what had been installed into an empty root is gone again.
    """
    done = store.entries.version_of_txid(owed.app, owed.txid)
    said = None if done is None else read_version(done)
    if said is None or said.installed != ():
        return owed.hooks
    tree = () if isinstance(owed.goal, RemovalGoal) else store.entries.tree(owed.app, said.version)
    return owed.hooks if any(entry.kind == "file" for entry in tree) else Hooks()


def drop_void(store: Store, app: str) -> None:
    """Drop what an application has of a transaction that owes nothing any more, or did not begin.
    Under its lock. Raises DamagedError, OSError.
    """
    file = owed_file(store, app)
    if owed_by(store, app) is None and file.path.exists():
        file.drop()


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
