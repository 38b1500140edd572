"""What each role sees: by page, and by an address that is made by hand."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping

import pytest

from epmstore.catalog.appowners import with_owners
from epmstore.errors import AppNotFoundError
from epmstore.workspace import Workspace
from epmstore.workspace.apps import Apps
from epmstored.api.refusals import ForbiddenError
from epmstored.console.pages import (
    AppQuery,
    Page,
    PageMaker,
    PageRequest,
    Pages,
    PathQuery,
    SearchQuery,
    VersionPageQuery,
)
from epmstored.console.principals import Principal
from epmstored.health import Trouble
from tests.daemon.console.conftest import RunningConsole, own_name, serving
from tests.kit.host import Host

VIEWER = Principal(user="vera", uid=11, is_viewer=True)
OWNER = Principal(user="olga", uid=12, groups=frozenset({"crm-admins"}))
STRANGER = Principal(user="sven", uid=13)
OPERATOR = Principal(user="otto", uid=14, is_operator=True, is_viewer=True)
FULL = Trouble(None, "full", "no room")


@pytest.fixture
def workspace(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """`crm` has owners."""
    listed = Apps.list
    monkeypatch.setattr(
        Apps, "list", lambda apps: [with_owners(one, ["@crm-admins"]) for one in listed(apps)]
    )
    with host.open() as opened:
        yield opened


def page(
    workspace: Workspace,
    principal: Principal,
    maker: PageMaker,
    query: object = None,
    names: Mapping[str, str] | None = None,
) -> Page:
    asked = PageRequest(
        principal=principal,
        names={"app": "crm", "version": "1", **(names or {})},
        query=query,
        states={},
        standings={},
        proven={},
        troubles=[FULL],
        now=1_800_000_000.0,
    )
    found: Page = getattr(Pages(), maker)(workspace, asked)
    return found


def test_a_host_page_has_what_its_reader_may_look_at(workspace: Workspace) -> None:
    for principal, keys, troubles in (
        (VIEWER, ["crm"], 1),
        (OWNER, ["crm"], 0),
        (STRANGER, [], 0),
        (OPERATOR, ["crm"], 1),
    ):
        context = page(workspace, principal, "host").context
        assert [row.key for row in context["rows"]] == keys
        assert len(context["of_store"]) == troubles, "the store is not an owner's business"


def test_which_files_changed_is_for_owners_and_operators(workspace: Workspace) -> None:
    for principal, is_hidden in ((VIEWER, True), (OWNER, False), (OPERATOR, False)):
        version = page(workspace, principal, "version", VersionPageQuery()).context
        assert version["is_hidden"] == is_hidden and bool(version["changes"]) != is_hidden
        assert page(workspace, principal, "app", AppQuery()).context["may_read"] != is_hidden
        found = page(workspace, principal, "search", SearchQuery(q="crmd")).context
        assert bool(found["paths"]) != is_hidden
    path = PathQuery(path="bin/crmd")
    for maker in ("file", "path"):
        assert page(workspace, OWNER, maker, path).context
        with pytest.raises(ForbiddenError):
            page(workspace, VIEWER, maker, path)


def test_a_stranger_learns_nothing(workspace: Workspace) -> None:
    path = PathQuery(path="bin/crmd")
    asked: tuple[tuple[PageMaker, object], ...] = (
        ("app", AppQuery()), ("version", VersionPageQuery()), ("file", path), ("path", path),
    )  # fmt: skip
    for maker, query in asked:
        with pytest.raises(AppNotFoundError, match="or it is not for you"):
            page(workspace, STRANGER, maker, query)
    found = page(workspace, STRANGER, "search", SearchQuery(q="crm")).context
    assert not found["paths"] and not found["labels"]


async def test_going_back_is_offered_to_operators(workspace: Workspace) -> None:
    names = {"version": "0"}
    for principal, is_offered in ((VIEWER, False), (OWNER, False), (OPERATOR, True)):
        found = page(workspace, principal, "version", VersionPageQuery(), names).context
        assert (found["back"] is not None) == is_offered
    assert page(workspace, OPERATOR, "version", VersionPageQuery()).context["back"] is None


async def test_the_socket_of_the_proxy_answers_the_proxy_alone(host: Host) -> None:
    other = "nobody" if own_name() != "nobody" else "daemon"
    origin = "https://console.example.com"
    async with serving(host.path, listen=None, proxy_user=other, proxy_origin=origin):
        reader, writer = await asyncio.open_unix_connection(str(host.path / "console.sock"))
        writer.write(b"GET / HTTP/1.1\r\nHost: console.example.com\r\nX-Remote-User: root\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b"", f"{os.getuid()} is not {other}"
        writer.close()


async def test_a_page_that_is_known_is_not_sent_again(console: RunningConsole) -> None:
    browser = await console.browser()
    first = await browser.get("/apps/crm")
    (etag,) = first.headers["etag"]
    again = await browser.get("/apps/crm", If_None_Match=etag)
    assert (again.status, again.text) == (304, "")
    assert (await browser.get("/apps/crm", If_None_Match='"0"')).status == 200
    assert (await browser.get("/static/console.css", If_None_Match='"0"')).status == 200
