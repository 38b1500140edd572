"""The console as a web application: who asks, whether that may be, and the page.

Order for each request: what it is like (browsergate.py), who comes (a session, or what the proxy
says), what is asked, and only then the page. It is read and rendered in a thread of its own: the
event loop, and with it the recording, waits for nothing here.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web

from epmstore import __version__
from epmstore.clock import Clock
from epmstore.errorform import UnexpectedError, from_system
from epmstore.errors import EpmError
from epmstore.wording import name
from epmstore.workspace import Workspace
from epmstored.api.core import Core, Proofs
from epmstored.api.forms import read_query
from epmstored.api.readers import Readers
from epmstored.api.refusals import (
    ForbiddenError,
    MethodError,
    Refusal,
    SlowError,
    TooLargeError,
    UnknownPathError,
    status_of,
)
from epmstored.console import browsergate
from epmstored.console.browsergate import REMOTE_USER, BrowserHead
from epmstored.console.entrances import BrowserConnection
from epmstored.console.goingback import BackQuery, GoingBack
from epmstored.console.hostfacts import AppNow
from epmstored.console.pages import PATHS, QUERIES, Page, PageMaker, PageRequest, Pages
from epmstored.console.principals import People, Principal
from epmstored.console.sessions import Sessions
from epmstored.console.standings import Standings
from epmstored.console.templating import etag_of, render, static_files, templates
from epmstored.health import troubles

log = logging.getLogger("epmstored.console")

REQUEST_SECONDS: Final = 30.0
BODY_SECONDS: Final = 5.0
BODY_BYTES: Final = 64 << 10
SAME_SECONDS: Final = 2.0
"""For so long a page of a user is the same: many tabs of one are one page."""
SAME_PAGES: Final = 64
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
PageHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guest(msgspec.Struct, frozen=True):
    """Who asks. `key` is what their forms' token is made of: the session, or the proxy's user."""

    principal: Principal
    key: str
    is_session: bool


class ReadyPage(msgspec.Struct, frozen=True):
    """A page as it is sent; `looks` are applications whose roots it shows."""

    body: bytes
    etag: str
    looks: Sequence[AppNow]


class SiteParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the site works with."""

    store: Path
    core: Core
    proofs: Proofs
    readers: Readers
    back: GoingBack
    standings: Standings
    sessions: Sessions
    people: People
    clock: Clock
    host: str


class Site:
    """One for all entrances; in one event loop."""

    def __init__(self, parts: SiteParts) -> None:
        self._parts = parts
        self._pages = Pages()
        self._templates = templates()
        self._static = static_files()
        self._same: dict[tuple[object, ...], tuple[float, ReadyPage]] = {}

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=BODY_BYTES)
        for maker, path in PATHS.items():
            app.router.add_route("GET", path, self._page(maker))
        app.router.add_route("GET", "/static/{name}", self._file)
        app.router.add_route("GET", "/enter", self._invitation)
        app.router.add_route("POST", "/enter", self._enter)
        app.router.add_route("POST", "/leave", self._leave)
        app.router.add_route("GET", "/apps/{app}/back", self._plan)
        app.router.add_route("POST", "/apps/{app}/back", self._begin)
        app.router.add_route("POST", "/apps/{app}/confirm", self._confirm)
        app.router.add_route("GET", "/apps/{app}/jobs/{job:[0-9a-f]{1,32}}", self._job)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: PageHandler) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, BrowserConnection)
        connection.arrived()
        try:
            response = await self._answer(request, handler, connection)
        except ConnectionError:
            raise
        except Exception as error:
            response = self._problem(_known(error))
        for key, value in HEADERS.items():
            response.headers[key] = value
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Server"] = "epmstored"
        response.headers["Connection"] = "close"
        response.force_close()
        return response

    async def _answer(
        self, request: web.Request, handler: PageHandler, connection: BrowserConnection
    ) -> web.StreamResponse:
        head = BrowserHead(
            request.method,
            request.raw_path,
            list(request.headers.items()),
            (request.version.major, request.version.minor),
        )
        if browsergate.check(head, connection.entrance.address) == "bounce":
            return self._html("bounce.html", {"address": request.raw_path})
        async with asyncio.timeout(REQUEST_SECONDS):
            return await handler(request)

    # Who comes.

    def cookie(self, connection: BrowserConnection) -> str:
        """The name of our cookie there: browsers send it to other programs of this host, too."""
        place = f"{self._parts.store}\0{connection.entrance.name}"
        return f"epmstore-{hashlib.sha256(place.encode('utf-8', 'replace')).hexdigest()[:12]}"

    async def _guest(self, request: web.Request) -> Guest | None:
        """None for who has to enter first. Raises ForbiddenError."""
        connection = request.protocol
        assert isinstance(connection, BrowserConnection)
        if connection.entrance.address.is_proxied:
            user = request.headers[REMOTE_USER]
            principal = await self._parts.people.find(user)
            if principal is None:
                raise ForbiddenError("this host has no such user")
            return Guest(principal, f"{connection.entrance.name}\0{user}", False)
        session = request.cookies.get(self.cookie(connection))
        if session is None:
            return None
        found = self._parts.sessions.find(
            session, connection.entrance.name, connection.uid, _monotonic()
        )
        principal = None if found is None else await self._parts.people.find(found)
        return None if principal is None else Guest(principal, session, True)

    async def _invitation(self, request: web.Request) -> web.StreamResponse:
        """A page with a button: a browser that only looks ahead does not use the link up."""
        once = request.query.get("once", "")
        user = self._parts.sessions.invited(once, _monotonic())
        context = {"once": once, "user_invited": "" if user is None else name(user)}
        return self._html("enter.html", context, 200 if user is not None else 403)

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, BrowserConnection)
        if connection.entrance.address.is_proxied:
            raise UnknownPathError("the proxy says who you are")
        once = (await _form(request)).get("once", "")
        session = self._parts.sessions.enter(
            once, connection.entrance.name, connection.uid, _monotonic()
        )
        if session is None:
            return self._html("enter.html", {"once": "-", "user_invited": ""}, 403)
        log.info("a session of the console began", extra={"uid": connection.uid})
        response = _redirect("/")
        response.set_cookie(
            self.cookie(connection), session, path="/", httponly=True, samesite="Strict"
        )
        return response

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        guest, _ = await self._signed(request)
        self._parts.sessions.leave(guest.key)
        return _redirect("/")

    async def _signed(self, request: web.Request) -> tuple[Guest, Mapping[str, str]]:
        """Who sends a form, and what it says. Raises ForbiddenError if it is not of a page of
        theirs.
        """
        guest = await self._guest(request)
        form = await _form(request)
        if guest is None or not self._parts.sessions.is_token(guest.key, form.get("token", "")):
            raise ForbiddenError("the form is not of this session")
        return guest, form

    # What is done.

    async def _plan(self, request: web.Request) -> web.StreamResponse:
        guest = await self._guest(request)
        if guest is None:
            return self._html("enter.html", {"once": "", "user_invited": ""}, 401)
        query = read_query(list(request.query.items()), BackQuery)
        key = request.match_info["app"]
        context = await self._parts.back.plan(guest.principal, guest.key, key, query)
        return self._html("back.html", {**self._chrome(guest, request), **context})

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        guest, form = await self._signed(request)
        key = request.match_info["app"]
        return _redirect(await self._parts.back.begin(guest.principal, guest.key, key, form))

    async def _confirm(self, request: web.Request) -> web.StreamResponse:
        guest, _ = await self._signed(request)
        return _redirect(await self._parts.back.confirm(guest.principal, request.match_info["app"]))

    async def _job(self, request: web.Request) -> web.StreamResponse:
        guest = await self._guest(request)
        if guest is None:
            return self._html("enter.html", {"once": "", "user_invited": ""}, 401)
        names = request.match_info
        now = self._parts.clock.now()
        context = await self._parts.back.job(guest.principal, names["app"], names["job"], now)
        body = render(self._templates, "job.html", {**self._chrome(guest, request), **context})
        return _unless_known(request, body, etag_of(body))

    # What is shown.

    async def _file(self, request: web.Request) -> web.StreamResponse:
        found = self._static.get(request.match_info["name"])
        if found is None:
            raise UnknownPathError("there is no such file")
        if request.headers.get("If-None-Match") == found.etag:
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": found.etag})
        headers = {"Content-Type": found.media, "ETag": found.etag, "Cache-Control": "no-cache"}
        return web.Response(body=found.data, headers=headers)

    def _page(self, maker: PageMaker) -> PageHandler:
        async def handle(request: web.Request) -> web.StreamResponse:
            guest = await self._guest(request)
            if guest is None:
                return self._html("enter.html", {"once": "", "user_invited": ""}, 401)
            query = read_query(list(request.query.items()), QUERIES[maker])
            ready = await self._ready(maker, guest, dict(request.match_info), query, request)
            return _unless_known(request, ready.body, ready.etag)

        return handle

    async def _ready(
        self,
        maker: PageMaker,
        guest: Guest,
        names: Mapping[str, str],
        query: object,
        request: web.Request,
    ) -> ReadyPage:
        key = (guest.principal, guest.key, request.raw_path)
        now = _monotonic()
        known = self._same.get(key)
        if known is not None and now < known[0] + SAME_SECONDS:
            return known[1]
        asked = self._asked(guest.principal, names, query)
        make = getattr(self._pages, maker)
        chrome = self._chrome(guest, request)

        def work(workspace: Workspace) -> ReadyPage:
            page: Page = make(workspace, asked)
            body = render(self._templates, page.template, {**chrome, **page.context})
            return ReadyPage(body, etag_of(body), page.looks)

        ready = await self._parts.readers.run(work)
        for one in ready.looks:
            app = one.summary.app
            state = asked.states.get(app.uuid)
            if state is not None and state.phase not in ("gone", "starting", "error"):
                counters = state.counters
                seen = (one.token, state.looked, counters.looks, counters.reconciles)
                self._parts.standings.want(app.uuid, app.key, seen)
        if len(self._same) >= SAME_PAGES:
            self._same.clear()
        self._same[key] = (now, ready)
        return ready

    def _asked(self, principal: Principal, names: Mapping[str, str], query: object) -> PageRequest:
        parts, proofs = self._parts, self._parts.proofs
        states = {state.uuid: state for state in parts.core.states()}
        parts.standings.keep(tuple(states))
        standings = {uuid: found for uuid in states if (found := parts.standings.get(uuid))}
        proven = {uuid: proof for uuid in states if (proof := proofs.proven(uuid))}
        return PageRequest(
            principal=principal,
            names=names,
            query=query,
            states=states,
            standings=standings,
            proven=proven,
            troubles=troubles([*states.values()], proofs.room, proofs.damage, proofs.leap),
            now=parts.clock.now(),
        )

    def _chrome(self, guest: Guest, request: web.Request) -> dict[str, Any]:
        """What is around every page."""
        return {
            "host": name(self._parts.host),
            "user": name(guest.principal.user),
            "role": guest.principal.role,
            "token": self._parts.sessions.token(guest.key),
            "is_session": guest.is_session,
            "query": "",
            "release_of_program": __version__,
        }

    def _problem(self, error: EpmError) -> web.Response:
        status = status_of(error)
        response = self._html(
            "problem.html", {"message": error.message, "hint": error.hint or ""}, status
        )
        if isinstance(error, MethodError) and "allowed" in error.data:
            response.headers["Allow"] = str(error.data["allowed"])
        return response

    def _html(self, template: str, context: Mapping[str, Any], status: int = 200) -> web.Response:
        """A small page, for who is not known."""
        chrome = {"host": "", "user": "", "role": "", "is_session": False, "query": ""}
        body = render(self._templates, template, {**chrome, **context})
        return web.Response(body=body, status=status, content_type="text/html", charset="utf-8")


def _known(error: Exception) -> EpmError:
    """What went wrong, as an error of ours."""
    match error:
        case EpmError():
            return error
        case web.HTTPRequestEntityTooLarge():
            return TooLargeError("the form is too large")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods - {"HEAD"}))
            return MethodError("that is not for this page", allowed=allowed)
        case web.HTTPNotFound():
            return UnknownPathError("there is no such page")
        case web.HTTPException():
            return Refusal("this is no request that the console knows")
        case TimeoutError():
            return SlowError(
                "that took too long", hint="the command line on this host has no such limit"
            )
        case OSError():
            return from_system(error)
    log.error("a page failed", exc_info=error)
    return UnexpectedError(f"unexpected error: {type(error).__name__}")


async def _form(request: web.Request) -> Mapping[str, str]:
    async with asyncio.timeout(BODY_SECONDS):
        found = await request.post()
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _unless_known(request: web.Request, body: bytes, etag: str) -> web.Response:
    """A page, unless the browser has just that."""
    headers = {"ETag": etag, "Content-Type": "text/html; charset=utf-8"}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(body=body, headers=headers)


def _redirect(address: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": address})


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
