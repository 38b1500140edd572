"""What is no request for this service is refused, in the one shape, and changes nothing."""

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epmstored.api import gate
from epmstored.api.connection import HEAD_BYTES
from epmstored.api.refusals import Refusal
from epmstored.api.routes import ROUTES
from tests.daemon.api.conftest import parse, request

if TYPE_CHECKING:
    from tests.daemon.api.conftest import Server

BODY = b'{"app":"crm"}'
FOREIGN_HOSTS = [
    "evil.example", "localhost.evil.example", "127.0.0.1", "127.0.0.1:80", "[::1]", "localhost:80",
    "localhost.", "epmstored.local", "xn--localhost-", "localhost, evil", "user@localhost",
    "localhost/", "0.0.0.0", "169.254.169.254", "metadata.google.internal", "LOCALHOST\t.x",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_hosts_that_are_not_ours(server: "Server", method: str, host: str) -> None:
    path = "/v1/health" if method == "GET" else "/v1/pause"
    body = None if method == "GET" else BODY
    found = await server.send(request(method, path, {"Host": host}, body))
    assert found.status in (400, 403)
    assert found.shape["error"] in ("forbidden", "bad_request")
    assert server.core.apps["crm"].phase == "watching"


@pytest.mark.parametrize(
    "name", ["Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Upgrade"]
)
@pytest.mark.parametrize("value", ["http://localhost", "null", "same-origin", "websocket"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_requests_of_web_pages_are_refused(
    server: "Server", name: str, value: str, method: str
) -> None:
    path = "/v1/health" if method == "GET" else "/v1/pause"
    body = None if method == "GET" else BODY
    found = await server.send(request(method, path, {name: value}, body))
    assert found.status in (400, 403)
    assert server.core.apps["crm"].phase == "watching"


@pytest.mark.parametrize(
    "method",
    ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "FROB"],
)
@pytest.mark.parametrize("path", ["/v1/health", "/v1/jobs", "/nothing"])
async def test_methods_that_there_are_not(server: "Server", method: str, path: str) -> None:
    found = await server.send(request(method, path))
    assert found.status in (400, 405)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.method == "POST"], ids=lambda r: r.name)
async def test_get_never_changes_anything(server: "Server", route: "object") -> None:
    path = route.path.replace("{job}", "x")  # type: ignore[attr-defined]
    found = await server.get(path)
    assert found.status == (200 if path == "/v1/jobs" else 405)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/jsonp"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "zstd"}, 415),
        ({"Epmstore-Protocol": ""}, 403),
        ({"Epmstore-Protocol": "2"}, 400),
        ({"Epmstore-Protocol": "one"}, 400),
        ({"Epmstore-Protocol": "01"}, 400),
        ({"Transfer-Encoding": "chunked"}, 400),
        ({"Transfer-Encoding": "gzip, chunked", "Content-Length": ""}, 400),
        ({"Transfer-Encoding": "identity"}, 400),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": "+13"}, 400),
        ({"Content-Length": "13, 13"}, 400),
        ({"Content-Length": "0x0d"}, 400),
    ],
    ids=str,
)
async def test_bodies_that_are_not_clear(
    server: "Server", headers: dict[str, str], status: int
) -> None:
    found = await server.send(request("POST", "/v1/pause", headers, BODY))
    assert found.status == status
    assert found.shape["type"] == "error"
    assert server.core.apps["crm"].phase == "watching"


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: localhost\r\nHost: localhost",
        b"Host: localhost\r\nHost: evil",
        b"Host: localhost\r\nContent-Length: 13\r\nContent-Length: 14",
        b"Host: localhost\r\nContent-Length: 13\r\nTransfer-Encoding: chunked",
        b"Host: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Host: localhost\r\nEpmstore-Protocol: 1\r\nEpmstore-Protocol: 1\r\nContent-Length: 13",
        b"Host: localhost\r\nContent-Type: text/plain\r\nContent-Length: 13",
        b"Host : localhost\r\nContent-Length: 13",
        b"Host: localhost\r\n folded: yes\r\nContent-Length: 13",
        b"Host: localhost\r\nX\x00Y: 1\r\nContent-Length: 13",
        b"Host: localhost\r\nX: a\rb\r\nContent-Length: 13",
        b"\xff\xfe: 1\r\nHost: localhost\r\nContent-Length: 13",
        b"X: 1",
    ],
)
async def test_heads_that_two_readers_could_read_in_two_ways(
    server: "Server", lines: bytes
) -> None:
    head = b"POST /v1/pause HTTP/1.1\r\nContent-Type: application/json\r\nEpmstore-Protocol: 1\r\n"
    found = parse(await server.raw(head + lines + b"\r\n\r\n" + BODY))
    assert 400 <= found.status < 500
    assert server.core.apps["crm"].phase == "watching"


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://localhost/v1/health HTTP/1.1",
        b"GET //localhost/v1/health HTTP/1.1",
        b"GET v1/health HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /v1/health",
        b"GET /v1/health HTTP/9.9",
        b"GET /v1/health HTTP/2.0",
        b"GET /v1/health FTP/1.1",
        b"GET /v1/h\xc3\xa4lth HTTP/1.1",
        b"GET /v1/\x01 HTTP/1.1",
        b"GET /v1/../../etc/passwd HTTP/1.1",
        b"GET /v1/blobs/%2e%2e%2f%2e%2e HTTP/1.1",
        b"GET /v1/apps/%00/status HTTP/1.1",
        b"GET /v1/apps/crm%0d%0aX:1/status HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0",
        b"",
        b"\r\n\r\n\r\n",
    ],
)
async def test_first_lines_that_are_none(server: "Server", line: bytes) -> None:
    data = await server.raw(line + b"\r\nHost: localhost\r\n\r\n")
    assert 400 <= parse(data).status <= 505
    assert parse(data).shape["type"] == "error"


async def test_every_answer_is_one_that_the_standard_knows(server: "Server") -> None:
    """RFC 9112 and 9110: who closes says so, a method that is not allowed names those that are, a
    Host that is missing or there twice is a bad request, and another version of HTTP is named.
    """
    requests = [
        request(method, path)
        for method in ("GET", "PUT", "HEAD", "POST")
        for path in ("/v1/health", "/v1/pause", "/metrics", "/nothing")
    ]
    requests += [b"GET /v1/health HTTP/1.0\r\nHost: localhost\r\n\r\n", b"no request\r\n\r\n"]
    for data in requests:
        found = parse(await server.raw(data))
        assert found.headers["connection"] == "close", data
        assert "date" in found.headers or found.status == 400
        if found.status == 405:
            assert set(found.headers["allow"].split(", ")) <= {"GET", "POST"}
    for hosts in (b"", b"Host: localhost\r\nHost: localhost\r\n"):
        found = parse(await server.raw(b"GET /v1/health HTTP/1.1\r\n" + hosts + b"\r\n"))
        assert found.status == 400
    found = parse(await server.raw(b"GET /v1/health HTTP/2.0\r\nHost: localhost\r\n\r\n"))
    assert found.status in (400, 505)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"x"', b"{", b'{"app":1}', b'{"app":"crm","frob":1}', b"\xff\xfe",
        b'{"app":"' + b"x" * 100 + b'"}', b"[" * 100_000, b'{"app":null,"app":[]}', b"NaN",
    ],
    ids=lambda body: body[:20].decode(errors="replace"),
)  # fmt: skip
async def test_bodies_that_say_something_else(server: "Server", body: bytes) -> None:
    found = await server.send(request("POST", "/v1/pause", None, body))
    assert (found.status, found.shape["error"]) == (400, "usage")
    assert server.core.apps["crm"].phase == "watching"


@pytest.mark.parametrize("path", ["/v1/health", "/v1/jobs"])
async def test_get_with_a_body(server: "Server", path: str) -> None:
    found = await server.send(request("GET", path, {"Content-Length": "2"}, b"{}"))
    assert found.status == 400


async def test_a_large_body_is_not_read(server: "Server") -> None:
    body = b'{"app":"' + b"x" * (2 << 20) + b'"}'
    found = await server.send(request("POST", "/v1/pause", None, body))
    assert (found.status, found.shape["error"]) == (413, "too_large")


async def test_a_large_chunked_body_is_not_read_either(server: "Server") -> None:
    head = request("POST", "/v1/pause", {"Content-Length": "", "Transfer-Encoding": "chunked"}, b"")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    assert parse(await server.raw(head + chunk * 20 + b"0\r\n\r\n")).status == 413


async def test_a_chunked_body_is_a_body(server: "Server") -> None:
    head = request("POST", "/v1/pause", {"Content-Length": "", "Transfer-Encoding": "chunked"}, b"")
    assert parse(await server.raw(head + b"d\r\n" + BODY + b"\r\n0\r\n\r\n")).status == 200
    assert server.core.apps["crm"].phase == "paused"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/health?" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"x" * (HEAD_BYTES + 1),
    ],
    ids=["target", "field", "fields", "many", "no end"],
)
async def test_large_heads(server: "Server", head: bytes) -> None:
    assert parse(await server.raw(head)).status in (400, 431)


async def test_a_connection_carries_one_request(server: "Server") -> None:
    one = request("GET", "/v1/health")
    pause = request("POST", "/v1/pause", None, BODY)
    data = await server.raw(one + pause)
    assert data.count(b"HTTP/1.1 ") == 1
    assert server.core.apps["crm"].phase == "watching"


async def test_names_of_headers_and_hosts_have_no_case(server: "Server") -> None:
    data = await server.raw(b"GET /v1/health HTTP/1.1\r\nhOST: LocalHost\r\n\r\n")
    assert parse(data).status == 200


def test_every_host_but_ours_is_refused_by_the_rule_itself() -> None:
    @given(st.text())
    def any_host(host: str) -> None:
        head = gate.RequestHead("GET", "/v1/health", [("Host", host)])
        if host.lower() in gate.HOSTS:
            gate.check(head)
        else:
            with pytest.raises(Refusal):
                gate.check(head)

    any_host()


TOKENS = st.sampled_from(
    [
        b"GET ", b"POST ", b"/v1/pause", b"/v1/health", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b": ",
        b"Host: localhost", b"Host: evil", b"Content-Length: ", b"13", b"99999999999", b"-1",
        b"Transfer-Encoding: chunked", b"Content-Type: application/json", b"\r\n\r\n", b"\0",
        b"Epmstore-Protocol: ", b"Origin: x", BODY, b"0\r\n\r\n", b"d\r\n", b"\xff", b" ", b"%00",
    ]
)  # fmt: skip


async def test_noise_is_answered_or_cut_off_and_changes_nothing(server: "Server") -> None:
    """Every stream of bytes ends with an error or with nothing, and the next client is served."""
    examples: list[bytes] = []

    @settings(max_examples=int(os.environ.get("EPM_TEST_REQUESTS", "200")))
    @given(st.lists(st.one_of(TOKENS, st.binary(max_size=8)), max_size=30))
    def collect(parts: list[bytes]) -> None:
        examples.append(b"".join(parts))

    collect()
    for noise in examples:
        await _only_refused(server, noise)
    assert (await server.get("/v1/health")).status == 200


async def _only_refused(server: "Server", noise: bytes) -> None:
    reader, writer = await server.connect()
    writer.write(noise)
    writer.write_eof()
    try:
        async with asyncio.timeout(20):
            data = await reader.read()
    except ConnectionError:
        data = b""
    writer.close()
    if data and parse(data).status >= 400:
        assert parse(data).shape["type"] == "error", noise
    if server.core.apps["crm"].phase != "watching":  # then it must have been a whole request
        assert b"POST " in noise and b"Epmstore-Protocol: " in noise and BODY in noise
        await server.core.resume("crm")
