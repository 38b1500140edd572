"""How the roots stand beside what they should be: looked at only while people are looking, one
after the other, and never for a page that is waiting.

A look at a large root takes a second or more. It has a thread of its own that gives way to all
others, begins when something was recorded or looked at since the last one, and rests for twenty
times as long as that took.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from epmstore.errors import EpmError
from epmstore.refcat.naming import title
from epmstore.workspace import Workspace
from epmstore.workspace.deviations import BaselineStatus, DatedDeviation
from epmstored.api.core import WorkspaceThread

log = logging.getLogger("epmstored.console")

REST_SECONDS = 10.0
REST_TIMES = 20
NAMED = 500
"""More deviations than so many are counted only."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a look came to. `counts` are deviations by what they are; `named` the first of them;
    `excused` how many paths were declared right; `error` why there was no look.
    """

    baseline: str | None = None
    title: str | None = None
    revoked: str | None = None
    withdrawn: int = 0
    counts: Mapping[str, int] = {}
    named: tuple[DatedDeviation, ...] = ()
    since: str | None = None
    excused: int = 0
    error: str | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class LookTime(Protocol):
    """A monotonic clock."""

    def __call__(self) -> float: ...


class Standings:
    """Only from the event loop, but for `look`."""

    def __init__(self, thread: WorkspaceThread, now: LookTime) -> None:
        self._thread, self._now = thread, now
        self._known: dict[str, tuple[object, Standing]] = {}
        self._wanted: dict[str, tuple[str, object]] = {}
        self._again: dict[str, float] = {}
        self._news = asyncio.Event()

    def get(self, uuid: str) -> Standing | None:
        """What is known; None before the first look."""
        known = self._known.get(uuid)
        return None if known is None else known[1]

    def want(self, uuid: str, key: str, token: object) -> None:
        """A page shows this application; `token` differs once anything may have changed."""
        known = self._known.get(uuid)
        if (known is None or known[0] != token) and self._now() >= self._again.get(uuid, 0.0):
            self._wanted[uuid] = (key, token)
            self._news.set()

    def keep(self, uuids: Sequence[str]) -> None:
        """There are only these."""
        for uuid in [*self._known]:
            if uuid not in uuids:
                del self._known[uuid]

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._wanted:
                uuid = next(iter(self._wanted))
                await self._look(uuid, *self._wanted.pop(uuid))

    async def _look(self, uuid: str, key: str, token: object) -> None:
        begun = self._now()
        try:
            found = await self._thread.run(lambda ws: look(ws, key))
        except (EpmError, OSError) as error:
            found = Standing(error=error.message if isinstance(error, EpmError) else str(error))
        except Exception:  # the daemon goes on without it
            log.exception("%s: the console could not look at it", key)
            found = Standing(error="the log of the daemon says why")
        self._known[uuid] = (token, found)
        took = self._now() - begun
        self._again[uuid] = self._now() + max(REST_SECONDS, REST_TIMES * took)


def look(workspace: Workspace, key: str) -> Standing:
    """Raises RootError, DamagedError, OSError."""
    return standing_of(workspace.app(key).baseline_status())


def standing_of(found: BaselineStatus) -> Standing:
    """As little of it as the pages show."""
    deviations = found.deviations
    return Standing(
        baseline=found.baseline,
        title=None if found.release is None else title(found.release, found.label),
        revoked=found.revoked,
        withdrawn=len(found.withdrawn),
        counts=dict(Counter(str(one.what) for one in deviations)),
        named=deviations[:NAMED],
        since=found.since,
        excused=len(found.excused),
    )
