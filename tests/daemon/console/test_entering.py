"""Who gets in: a link is good once, and a session is of one listener and of one user's browser."""

import asyncio
import os
import socket

import pytest

from epmstore.catalog.appcat import App
from epmstore.catalog.appowners import with_owners
from epmstored.console.principals import Principal
from epmstored.console.sessions import LINK_SECONDS, Sessions
from epmstored.console.tcpowner import owner_of
from tests.daemon.console.conftest import Browser, RunningConsole, own_name, parse, serving
from tests.kit.host import Host


async def test_a_link_becomes_a_session_once(console: RunningConsole) -> None:
    link = await console.link()
    browser = Browser(console.port)
    looked_ahead = await browser.get(link)
    assert looked_ahead.status == 200 and not browser.jar, "looking uses nothing up"
    assert f"Enter as {own_name()}" in looked_ahead.text
    entered = await browser.post("/enter", {"once": link.partition("once=")[2]})
    assert entered.status == 303 and entered.headers["location"] == ["/"]
    (cookie,) = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert (await browser.get("/")).status == 200
    again = Browser(console.port)
    assert (await again.get(link)).status == 403
    assert (await again.post("/enter", {"once": link.partition("once=")[2]})).status == 403
    assert not again.jar and (await again.get("/")).status == 401


async def test_a_cookie_is_nothing_at_another_port(console: RunningConsole, host: Host) -> None:
    browser = await console.browser()
    async with serving(host.path) as other:
        elsewhere = Browser(other.port)
        elsewhere.jar = dict(browser.jar)
        assert (await elsewhere.get("/")).status == 401
        (value,) = browser.jar.values()
        renamed = await other.browser()
        renamed.jar = dict.fromkeys(renamed.jar, value)
        assert (await renamed.get("/")).status == 401


async def test_leaving_needs_the_token_of_the_session(console: RunningConsole) -> None:
    browser = await console.browser()
    assert (await browser.post("/leave", {"token": "0" * 64})).status == 403
    token = (await browser.get("/")).text.partition('name="token" value="')[2].partition('"')[0]
    assert len(token) == 64
    assert (await browser.post("/leave", {"token": token})).status == 303
    assert (await browser.get("/")).status == 401


def test_sessions_end_and_are_of_one_listener_and_one_uid() -> None:
    sessions = Sessions(idle=100.0, longest=250.0)
    assert sessions.enter(sessions.invite("jane", 0.0), "a:1", 7, LINK_SECONDS) is None, "too late"

    def begin() -> str:
        name = sessions.enter(sessions.invite("jane", 0.0), "a:1", 7, 1.0)
        assert name is not None
        return name

    name = begin()
    assert sessions.find(name, "a:1", 7, 100.0) == "jane"
    assert sessions.find(name, "a:2", 7, 100.0) is None, "another port"
    assert sessions.find(name, "a:1", 7, 190.0) == "jane", "used in time"
    assert sessions.find(name, "a:1", 7, 252.0) is None, "the longest is over"
    name = begin()
    assert sessions.find(name, "a:1", 7, 101.0) is None, "not used for too long"
    name = begin()
    assert sessions.find(name, "a:1", 8, 2.0) is None, "in the hands of another user"
    assert sessions.find(name, "a:1", 7, 2.0) is None, "so it is over for all"
    assert sessions.is_token("x", sessions.token("x"))
    assert not sessions.is_token("y", sessions.token("x")) and not sessions.is_token("x", "é")


def test_the_kernel_says_who_connects() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
        with there:
            assert owner_of(there) == os.getuid()
            client.close()
            with pytest.raises(OSError, match=r"not known|gone"):
                owner_of(there)


async def test_a_proxy_says_who_its_user_is(host: Host) -> None:
    origin = "https://console.example.com"
    head = "GET / HTTP/1.1\r\nHost: console.example.com\r\n"
    async with serving(
        host.path, listen=None, proxy_user=own_name(), proxy_origin=origin
    ) as running:

        async def ask(more: str) -> int:
            reader, writer = await asyncio.open_unix_connection(str(host.path / "console.sock"))
            writer.write(f"{head}{more}\r\n".encode())
            data = await reader.read()
            writer.close()
            return parse(data).status

        assert running.port == 0
        assert await ask(f"X-Remote-User: {own_name()}\r\n") == 200
        assert await ask("") == 403
        assert await ask("X-Remote-User: no-such-user\r\n") == 403
        assert await ask("X-Remote-User: root\r\nX-Remote-User: root\r\n") == 400
    assert not (host.path / "console.sock").exists()


def test_owners_are_users_and_groups() -> None:
    app = with_owners(App(uuid="1", key="crm", root="/crm"), ["jane", "@staff"])
    for groups, owns in (((), False), (("staff",), True), (("jane", "@staff"), False)):
        found = Principal(user="joe", uid=7, groups=frozenset(groups))
        assert (found.may_look(app), found.may_read(app)) == (owns, owns)
    jane = Principal(user="jane", uid=8)
    assert jane.may_read(app)
    viewer = Principal(user="staff", uid=9, is_viewer=True)
    assert viewer.may_look(app) and not viewer.may_read(app)
