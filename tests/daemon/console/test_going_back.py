"""Going back in the console: told from the page of a version to the undo, and refused to others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from epmstore import locks
from epmstore.clock import SystemClock
from epmstore.errors import NotFoundError
from epmstore.workspace import Workspace
from epmstored.api.hub import Hub
from epmstored.api.jobs import Jobs
from epmstored.api.readers import Readers
from epmstored.api.refusals import ForbiddenError
from epmstored.api.work import Work
from epmstored.bridge import Bridge
from epmstored.console.goingback import BackQuery, GoingBack
from epmstored.console.principals import Principal
from tests.daemon.console.conftest import Browser, RunningConsole, WebReply, serving
from tests.kit.host import Host
from tests.kit.several import Several


@pytest.fixture
def own_host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.write("bin/crmd", b"good\n")
    host.write("data", b"1\n")
    host.snapshot("as delivered")
    host.write("bin/crmd", b"broken\n")
    host.snapshot("a bad patch")
    return host


@pytest.fixture
async def running(own_host: Host) -> AsyncIterator[RunningConsole]:
    jobs = Jobs(Hub(), Work().perform, SystemClock())
    bridge = Bridge("worker", lambda: Workspace.open(own_host.path))
    async with serving(own_host.path, jobs) as console:
        working = asyncio.create_task(jobs.work(bridge))
        yield console
        await jobs.stop()
        await working
    await bridge.close(10.0)


def field(page: WebReply, name: str) -> str:
    return page.text.partition(f'name="{name}" value="')[2].partition('"')[0]


async def carry_out(
    browser: Browser, page: WebReply, key: str = "crm", minutes: str = ""
) -> WebReply:
    form = {"token": field(page, "token"), "plan": field(page, "plan"), "key": key}
    return await browser.post("/apps/crm/back", {**form, "minutes": minutes})


async def ended(browser: Browser, address: str) -> WebReply:
    while True:
        page = await browser.get(address)
        if "under way" not in page.text and "It waits" not in page.text:
            return page


async def test_a_bad_patch_is_taken_back_and_that_is_undone(
    running: RunningConsole, own_host: Host
) -> None:
    browser = await running.browser()
    version = await browser.get("/apps/crm/versions/0")
    assert 'href="/apps/crm/back?to=0"' in version.text
    plan = await browser.get("/apps/crm/back?to=0")
    assert plan.status == 200 and "<b>1</b> to replace" in plan.text and "bin/crmd" in plan.text
    assert own_host.live()["bin/crmd"] == b"broken\n", "looking does nothing"
    begun = await carry_out(browser, plan)
    assert begun.status == 303
    done = await ended(browser, begun.headers["location"][0])
    assert "It is done." in done.text and "1 replaced" in done.text, done.text
    assert own_host.live()["bin/crmd"] == b"good\n"
    assert (await carry_out(browser, plan)).status == 409, "a plan is carried out once"
    undo = await browser.get("/apps/crm/back?undo=true")
    begun = await carry_out(browser, undo)
    assert "It is done." in (await ended(browser, begun.headers["location"][0])).text
    assert own_host.live()["bin/crmd"] == b"broken\n"
    with own_host.crm() as crm:
        assert (crm.versions()[-1].record.actor or {})["via"] == "console"


async def test_a_confirmed_job_does_not_ask_again(running: RunningConsole, own_host: Host) -> None:
    browser = await running.browser()
    plan = await browser.get("/apps/crm/back?to=0")
    with locks.hold(own_host.path / "locks", "daemon"):
        begun = await carry_out(browser, plan, minutes="30")
        address = begun.headers["location"][0]
        page = await ended(browser, address)
    assert "keep it" in page.text and "waits for no confirmation" not in page.text
    said = await browser.post("/apps/crm/confirm", {"token": field(page, "token")})
    assert said.status == 303
    page = await browser.get(address)
    assert "keep it" not in page.text and "waits for no confirmation" in page.text


async def test_nothing_is_done_without_the_right_form(
    running: RunningConsole, own_host: Host
) -> None:
    browser, other = await running.browser(), await running.browser()
    plan = await browser.get("/apps/crm/back?to=0")
    assert (await carry_out(browser, plan, key="CRM")).status == 400
    stolen = {"plan": field(plan, "plan"), "key": "crm", "minutes": ""}
    theirs = field(await other.get("/apps/crm/back?to=0"), "token")
    assert (await other.post("/apps/crm/back", {**stolen, "token": theirs})).status == 409
    assert (await browser.post("/apps/crm/back", {**stolen, "token": theirs})).status == 403
    for path in ("/apps/crm/back", "/apps/crm/back?to=99", "/apps/crm/back?to=0&undo=true"):
        assert (await browser.get(path)).status in (400, 404)
    token = field(plan, "token")
    assert (await browser.post("/apps/crm/confirm", {"token": token})).status == 404
    assert (await browser.get("/apps/crm/jobs/0123")).status == 404
    own_host.write("bin/crmd", b"changed meanwhile\n")
    begun = await carry_out(browser, plan)
    failed = await ended(browser, begun.headers["location"][0])
    assert "It failed." in failed.text
    assert own_host.live()["bin/crmd"] == b"changed meanwhile\n"


async def test_it_is_for_operators() -> None:
    back = GoingBack(Readers([]), Readers([]))
    for principal in (
        Principal(user="jane", uid=7, is_viewer=True),
        Principal(user="joe", uid=8, groups=frozenset({"crm-admins"})),
    ):
        with pytest.raises(ForbiddenError):
            await back.plan(principal, "guest", "crm", BackQuery(to="0"))
        with pytest.raises(ForbiddenError):
            await back.begin(principal, "guest", "crm", {"key": "crm"})
        with pytest.raises(ForbiddenError):
            await back.confirm(principal, "crm")
        with pytest.raises(ForbiddenError):
            await back.job(principal, "crm", "1", 0.0)
    with pytest.raises(NotFoundError):
        await back.job(Principal(user="root", uid=0, is_operator=True), "crm", "1", 0.0)


async def test_one_of_several_that_went_together_is_not_undone_alone(tmp_path: Path) -> None:
    with Several(tmp_path) as several:
        several.go()
        async with serving(several.workspace.path) as console:
            browser = await console.browser()
            refused = await browser.get("/apps/crm/back?undo=true")
            assert refused.status == 409 and 'name="plan"' not in refused.text
            assert "was changed together with lib" in refused.text
            assert "epmstore undo --app crm" in refused.text
            assert (await browser.get("/apps/crm/back?to=1")).status == 200
        assert several.all_are() == "old"
