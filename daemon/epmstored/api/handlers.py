"""What each path of the table does. A handler gets a Call, whose values are read and checked."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence, Set
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from epmstore import __version__
from epmstore.clock import Clock, from_rfc3339, to_rfc3339
from epmstore.errors import AppNotFoundError
from epmstore.relpath import from_json, split
from epmstore.workspace.shapes import Shape
from epmstored.api import answers, metrics
from epmstored.api.connection import ConnectionLimits
from epmstored.api.core import ConsoleDoor, Core, Proofs
from epmstored.api.forms import (
    Checkout,
    DiffQuery,
    JobSpec,
    Scope,
    Snapshot,
    StatusQuery,
    VerifyQuery,
    VersionsQuery,
)
from epmstored.api.hub import Event, Hub
from epmstored.api.jobs import Job, Jobs
from epmstored.api.openapi import document
from epmstored.api.peers import AccessRight, Peer, actor_of, name_of
from epmstored.api.readers import Readers
from epmstored.api.refusals import PROTOCOL, UnknownPathError
from epmstored.api.streams import EventStream, send_file
from epmstored.app_state import AppState
from epmstored.health import Trouble, troubles

KNOWN_FOR = 60.0
"""Seconds for which an answer holds if nothing is known to have happened: of what is stored to a
mapped file, the kernel tells nothing.
"""
STATES = ("queued", "running", "done", "failed", "cancelled")


class Call(msgspec.Struct, frozen=True):
    """One authorised request. `query` and `body` are what was authorised, and what is done."""

    request: web.Request
    peer: Peer
    rights: Set[AccessRight]
    names: dict[str, str]
    query: Any
    body: Any


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What handlers work with. `readers` are for what is quick, `lookers` for live roots."""

    store: Path
    core: Core
    readers: Readers
    lookers: Readers
    jobs: Jobs
    hub: Hub
    proofs: Proofs
    clock: Clock
    limits: ConnectionLimits
    with_metrics: bool
    requests: Counter[tuple[str, int]]
    console: ConsoleDoor


class Everything:
    """All states, as they change, and all jobs: for one client."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._told: dict[str, Shape] = {}

    def news(self) -> list[Event]:
        rows = answers.rows(self._parts.core.states(), self._parts.proofs)
        found = [row for row in rows if self._told.get(row["app"]) != row]
        self._told = {row["app"]: row for row in rows}
        return [Event("state", row, AccessRight.LOOK) for row in found]

    def jobs(self) -> list[Event]:
        """Those that run or wait now."""
        running = [job for job in self._parts.jobs.list() if not job.has_ended]
        return [Event("job", job.shape(), AccessRight.ACT, job.id) for job in running]

    def wants(self, event: Event) -> bool:
        return True

    def has_ended(self) -> bool:
        return False


class OneJob:
    """One job, until it ends."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._has_ended = False

    def news(self) -> list[Event]:
        return []

    def wants(self, event: Event) -> bool:
        is_mine = event.job == self._job.id
        self._has_ended |= is_mine and event.data["state"] not in ("queued", "running")
        return is_mine

    def has_ended(self) -> bool:
        """Not before its last event was seen."""
        return self._has_ended


def folders_of(shape: Shape) -> set[str]:
    """Where a status shows a difference."""
    paths = (*shape["added"], *shape["modified"], *shape["removed"])
    return {split(from_json(path))[0] for path in paths}


class Handlers:
    """One method for each row of the table of routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started = time.monotonic()
        self._seen: dict[str, tuple[object, Shape, float]] = {}
        """Of each application, the answer of a scan, what it holds for, and since when."""

    async def health(self, call: Call) -> web.StreamResponse:
        states = self._parts.core.states()
        proofs = self._parts.proofs
        found = self._troubles(states)
        return answer(
            {
                "type": "health",
                "app": None,
                "ok": not found,
                "release": __version__,
                "protocol": PROTOCOL,
                "store": os.fsencode(self._parts.store).decode(errors="backslashreplace"),
                "uptime": round(time.monotonic() - self._started, 3),
                "apps": len(states),
                "jobs": self._parts.jobs.count("running"),
                "room": proofs.room.level,
                "room_why": proofs.room.why or None,
                "damage": proofs.damage,
                "clock_ahead": None if proofs.leap is None else round(proofs.leap),
                "waiting_settings": list(self._parts.core.waiting_settings),
                "reasons": [
                    one.why if one.app is None else f"{one.app}: {one.why}" for one in found
                ],
                "applications": [answers.health_row(state) for state in states],
            },
            status=HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK,
        )

    def _troubles(self, states: Sequence[AppState]) -> list[Trouble]:
        proofs = self._parts.proofs
        return troubles(states, proofs.room, proofs.damage, proofs.leap)

    async def openapi(self, call: Call) -> web.StreamResponse:
        return answer(document())

    async def states(self, call: Call) -> web.StreamResponse:
        """Never without an application that was registered a moment ago."""
        states = self._parts.core.states()
        registered = await self._parts.readers.run(answers.apps)
        if registered != {(state.uuid, state.app, state.root) for state in states}:
            await self._parts.core.reload()
        return answer(self._states())

    async def status(self, call: Call) -> web.StreamResponse:
        """From what is known, if nothing at all has happened since; else by a scan."""
        query: StatusQuery = call.query
        app = call.names["app"]
        before, after = await self._look(app)
        known = self._seen.get(app)
        asked = time.monotonic()
        is_old = known is None or known[0] != before or asked >= known[2] + KNOWN_FOR
        if query.scan or before is None or known is None or is_old:
            shape = await self._parts.lookers.run(lambda ws: answers.status(ws, app))
            now, after = await self._look(app)
            if not shape["clean"]:
                self._parts.core.hint(app, folders_of(shape))
            elif before is not None and before == now:
                self._seen[app] = (before, shape, asked)
        else:
            shape = known[1]
        row = answers.app_row(self._state(app), self._parts.proofs)
        return answer({**shape, **after, "daemon": row})

    async def versions(self, call: Call) -> web.StreamResponse:
        query: VersionsQuery = call.query
        app = call.names["app"]
        return answer(await self._parts.readers.run(lambda ws: answers.versions(ws, app, query)))

    async def verify(self, call: Call) -> web.StreamResponse:
        query: VerifyQuery = call.query
        app = call.names["app"]
        return answer(await self._parts.lookers.run(lambda ws: answers.verify(ws, app, query)))

    async def diff(self, call: Call) -> web.StreamResponse:
        query: DiffQuery = call.query
        app = call.names["app"]
        is_live = "now" in (query.from_, query.to)
        pool = self._parts.lookers if is_live else self._parts.readers
        return answer(await pool.run(lambda ws: answers.diff(ws, app, query)))

    async def blob(self, call: Call) -> web.StreamResponse:
        digest = call.names["digest"]
        async with asyncio.timeout(self._parts.limits.request):
            copy = await self._parts.readers.run(lambda ws: answers.fetch_blob(ws, digest))
        return await send_file(call.request, copy, stall=self._parts.limits.stall)

    async def jobs(self, call: Call) -> web.StreamResponse:
        found = [job.shape() for job in self._parts.jobs.list()]
        return answer({"type": "jobs", "app": None, "jobs": found})

    async def start(self, call: Call) -> web.StreamResponse:
        spec: JobSpec = call.body
        if isinstance(spec, Snapshot | Checkout):
            app = spec.app
            await self._parts.readers.run(lambda ws: ws.apps.get(app))  # 404 now, not in the job
        job = await self._parts.jobs.submit(spec, actor_of(call.peer))
        return answer(job.shape(), status=202)

    async def job(self, call: Call) -> web.StreamResponse:
        return answer(self._parts.jobs.get(call.names["job"]).shape())

    async def cancel(self, call: Call) -> web.StreamResponse:
        return answer((await self._parts.jobs.cancel(call.names["job"])).shape())

    async def follow(self, call: Call) -> web.StreamResponse:
        job = self._parts.jobs.get(call.names["job"])
        stream = EventStream(call.request, call.rights, stall=self._parts.limits.stall)
        with self._parts.hub.subscribe() as subscription:
            response = await stream.begin()
            await stream.send(Event("job", job.shape(), AccessRight.ACT, job.id))
            if not job.has_ended:
                await stream.forward(subscription, OneJob(job))
        return response

    async def pause(self, call: Call) -> web.StreamResponse:
        scope: Scope = call.body
        for app in self._chosen(scope):
            await self._parts.core.pause(app, name_of(call.peer))
        return answer(self._states())

    async def resume(self, call: Call) -> web.StreamResponse:
        scope: Scope = call.body
        for app in self._chosen(scope):
            await self._parts.core.resume(app)
        return answer(self._states())

    async def console(self, call: Call) -> web.StreamResponse:
        return answer(await self._parts.console.invite(call.peer))

    async def events(self, call: Call) -> web.StreamResponse:
        stream = EventStream(call.request, call.rights, stall=self._parts.limits.stall)
        source = Everything(self._parts)
        with self._parts.hub.subscribe() as subscription:
            response = await stream.begin()
            for event in [*source.news(), *source.jobs()]:
                await stream.send(event)
            await stream.forward(subscription, source)
        return response

    async def metrics(self, call: Call) -> web.StreamResponse:
        if not self._parts.with_metrics:
            raise UnknownPathError("metrics are off", hint="set metrics = true under [daemon]")
        parts, states = self._parts, self._parts.core.states()
        found = {state.app: parts.proofs.proven(state.uuid) for state in states}
        proven = {app: from_rfc3339(proof[1]) for app, proof in found.items() if proof is not None}
        unexplained = await parts.readers.run(answers.unexplained)
        process = metrics.of_process(
            parts.store,
            uptime=time.monotonic() - self._started,
            jobs={state: parts.jobs.count(state) for state in STATES},  # type: ignore[arg-type]
            requests=parts.requests,
            damage=parts.proofs.damage,
            leap=parts.proofs.leap or 0.0,
            healthy=not self._troubles(states),
        )
        text = metrics.render([*metrics.of_apps(states, proven, unexplained), *process])
        return web.Response(body=text.encode(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _look(self, app: str) -> tuple[object | None, Shape]:
        """A token, and what is always asked for anew. Equal tokens mean that nothing has happened
        in between, neither to the root nor to what is recorded of it nor to its rules; None: not
        known.
        """
        was_unsure = is_unsure(self._state(app))
        found = await self._parts.readers.run(lambda ws: answers.recorded(ws, app))
        state = self._state(app)
        if was_unsure or is_unsure(state):
            return None, found.after
        counters = state.counters
        looks = (counters.looks, counters.reconciles, counters.overflows, state.looked)
        return (found.token, looks), found.after

    def _chosen(self, scope: Scope) -> list[str]:
        return [s.app for s in self._parts.core.states()] if scope.app is None else [scope.app]

    def _states(self) -> Shape:
        rows = answers.rows(self._parts.core.states(), self._parts.proofs)
        now = to_rfc3339(self._parts.clock.now())
        return {"type": "states", "app": None, "time": now, "apps": rows}

    def _state(self, app: str) -> AppState:
        for state in self._parts.core.states():
            if state.app == app:
                return state
        raise AppNotFoundError(
            f"the daemon knows no application {app!r}", hint="see: epmstore daemon status"
        )


def is_unsure(state: AppState) -> bool:
    """Whether anything may have changed that is not recorded yet."""
    troubled = state.held or state.error or state.degraded or state.unstable
    return state.phase != "watching" or not state.quiet or bool(troubled)


def answer(shape: Shape, *, status: int = 200) -> web.Response:
    body = msgspec.json.encode(shape) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json")
