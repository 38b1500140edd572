"""What is sent by others than a person who looks: refused, or shown as text."""

import asyncio

from epmstored.console.entrances import EACH
from tests.daemon.console.conftest import HOSTILE, Browser, RunningConsole
from tests.kit.host import Host

PAGES = (
    "/",
    "/apps/crm",
    "/apps/crm/versions/1",
    "/apps/crm/versions/1/file?path=bin/crmd",
    "/apps/crm/path?path=bin/crmd",
    "/search?q=txt",
    "/apps/crm/back?to=0",
)


STRANGE: tuple[dict[str, str], ...] = (
    {"Host": "evil.example:80"},
    {"Host": "127.0.0.1"},
    {"Host": "localhost:1"},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"X-Remote-User": "root"},
    {"Upgrade": "websocket", "Connection": "Upgrade"},
    {"Content-Length": "5"},
)
"""Headers of requests that come from no page of ours."""


async def test_who_is_no_page_of_ours_is_refused(console: RunningConsole) -> None:
    browser = await console.browser()
    for headers in STRANGE:
        assert (await browser.get("/")).status == 200
        found = await browser.send("GET", "/", headers)
        assert found.status in (400, 403) and "crm" not in found.text, headers


async def test_forms_of_others_and_odd_methods_are_refused(console: RunningConsole) -> None:
    browser = await console.browser()
    token = (await browser.get("/")).text.partition('name="token" value="')[2].partition('"')[0]
    form = {"token": token}
    port = console.port
    assert (await browser.post("/leave", form, Origin="http://evil.example")).status == 403
    assert (await browser.post("/leave", form, Origin=f"http://127.0.0.1:{port + 1}")).status == 403
    assert (await browser.post("/leave", form, Origin="")).status == 403
    assert (await browser.post("/leave", form, Content_Type="text/plain")).status == 415
    assert (await browser.post("/leave", {"token": "x" * 70_000})).status == 413
    for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert (await browser.send(method, "/", {})).status == 405
    assert (await browser.get("/")).status == 200, "none of them ended the session"


async def test_a_link_on_a_page_elsewhere_leads_in_by_a_page_of_ours(
    console: RunningConsole,
) -> None:
    browser = await console.browser()
    navigation = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    found = await browser.get("/apps/crm?days=30", Sec_Fetch_Site="cross-site", **navigation)
    assert found.status == 200 and 'content="0;url=/apps/crm?days=30"' in found.text
    assert "as delivered" not in found.text
    assert "as delivered" in (await browser.get("/apps/crm", Sec_Fetch_Site="same-origin")).text


async def test_every_answer_says_what_a_page_may(console: RunningConsole) -> None:
    browser = await console.browser()
    for path in (*PAGES, "/enter", "/static/console.css", "/nope"):
        found = await browser.get(path)
        policy = found.headers["content-security-policy"][0]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert found.headers["x-content-type-options"] == ["nosniff"]
        assert found.headers["cache-control"][0] in ("no-store", "no-cache")
        assert "access-control-allow-origin" not in found.headers
        assert not any(one in found.text for one in ("style=", "onclick", "<script>")), path


async def test_nothing_is_shown_without_a_session(console: RunningConsole) -> None:
    browser = await console.browser()
    stranger = Browser(console.port)
    for path in PAGES:
        found = await stranger.get(path)
        assert found.status == 401 and "crm" not in found.text, path
        assert "crm" in (await browser.get(path)).text, path


async def test_names_labels_and_contents_are_text(console: RunningConsole, host: Host) -> None:
    browser = await console.browser()
    texts = [(await browser.get(path)).text for path in PAGES]
    for text in texts:
        assert "<img" not in text and "<b>two" not in text and "<script>alert" not in text
        assert not any(c in text for c in "\x1b\u202e\r\udcff")
        assert "49.txt" not in text
    version = texts[2]
    assert "&lt;img src=x onerror=alert(1)&gt;.txt" in version
    assert "$&#39;a\\nb\\e[31m.txt&#39;" in version and "bad\\377\\376.txt" in version
    links = [
        piece.partition('"')[0]
        for piece in version.split('href="')[1:]
        if piece.startswith("/apps/crm/versions/1/file")
    ]
    assert len(links) == len(HOSTILE) + 1
    for link in links:
        found = await browser.get(link.replace("&amp;", "&"))
        assert found.status == 200 and ("second" in found.text or "two" in found.text), link


NOWHERE = (
    ("/static/../site.py", 404),
    ("/static/%2e%2e%2fsite.py", 404),
    ("/apps/..%2f..%2fetc/versions/1", 404),
    ("/apps/crm/versions/1/file?path=../../etc/passwd", 400),
    ("/apps/crm/versions/1/file?path=/etc/passwd", 400),
    ("/apps/crm/path?path=%2f%2f%252e%252e", 400),
    ("/apps/crm/versions/99", 404),
    ("/apps/crm/versions/0x1", 404),
    ("/apps/crm/versions/1/file", 400),
    ("/apps/crm?before=1&before=2", 400),
    ("/apps/crm?nonsense=1", 400),
    ("//evil.example/", 400),
    ("/search?q=" + "a" * 20_000, 431),
)
"""Paths that lead to nothing, and what is said of that."""


async def test_nothing_else_can_be_reached(console: RunningConsole) -> None:
    browser = await console.browser()
    for path, status in NOWHERE:
        found = await browser.get(path)
        assert found.status == status or (status == 431 and found.status in (400, 414)), path
        assert "root:" not in found.text and "class Site" not in found.text, path


async def test_slow_clients_do_not_keep_others_out_for_long(console: RunningConsole) -> None:
    browser = await console.browser()
    slow = [await browser.connect() for _ in range(EACH + 4)]
    assert (await slow[-1][0].read()) == b"", "one more than there may be is cut off"
    for _, writer in slow:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in slow), return_exceptions=True)
    assert (await browser.get("/")).status == 200
