"""What a request must be like before its content is looked at. Pure.

The socket is for programs of this host. What only a web page or a confused proxy would send (a
foreign Host, an Origin, an upgrade, a body with GET) is refused, and what changes something must
carry a header that no web page can send unasked.
"""

from collections.abc import Sequence

import msgspec

from epmstored.api.refusals import (
    PROTOCOL,
    PROTOCOL_HEADER,
    ContentTypeError,
    ForbiddenError,
    HeadTooLargeError,
    MethodError,
    ProtocolError,
    Refusal,
    VersionError,
)

METHODS = ("GET", "POST")
HOSTS = frozenset({"localhost", "epmstored"})
JSON = "application/json"
TARGET = 4096
"""Bytes of the longest path with its query."""


class RequestHead(msgspec.Struct, frozen=True):
    """A request without its body. Names of headers in any case."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    http: tuple[int, int] = (1, 1)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def check(head: RequestHead) -> None:
    """Raises a Refusal that says why."""
    _check_line(head)
    _check_host(head)
    _check_no_browser(head)
    _check_protocol(head)
    _check_body(head)


def _check_line(head: RequestHead) -> None:
    if head.method not in METHODS:
        raise MethodError(
            f"the method {head.method[:20]!r} is not known here",
            hint="use GET or POST",
            allowed=", ".join(METHODS),
        )
    if head.http < (1, 0) or head.http >= (2, 0):
        raise VersionError("this is HTTP/1.1")
    if len(head.target) > TARGET:
        raise HeadTooLargeError(f"the path is longer than {TARGET} bytes")
    if not head.target.startswith("/") or head.target.startswith("//"):
        raise Refusal("the request names no path", hint="as in GET /v1/health HTTP/1.1")
    if not head.target.isascii() or not head.target.isprintable():
        raise Refusal("the path has bytes that must be percent-encoded")


def _check_host(head: RequestHead) -> None:
    hosts = head.all("Host")
    if len(hosts) != 1:
        raise Refusal("there must be one Host header", hint="Host: localhost")
    if hosts[0].lower() not in HOSTS:
        raise ForbiddenError(
            "the Host header does not name this service",
            hint="`curl --unix-socket SOCKET http://localhost/v1/health`",
        )


def _check_no_browser(head: RequestHead) -> None:
    for name in ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Referer"):
        if head.all(name):
            raise ForbiddenError(f"requests with {name} come from web pages: none is served here")
    if head.all("Upgrade"):
        raise Refusal("there is no other protocol to upgrade to")


def _check_protocol(head: RequestHead) -> None:
    found = head.all(PROTOCOL_HEADER)
    if len(found) > 1 or (found and found[0] != str(PROTOCOL)):
        raise ProtocolError(
            f"this daemon speaks protocol {PROTOCOL}, not {found[0][:20]!r}",
            hint="use the client of the daemon's release, or restart the daemon after an upgrade",
            protocol=PROTOCOL,
        )
    if head.method == "POST" and not found:
        raise ForbiddenError(
            f"what changes something needs the header `{PROTOCOL_HEADER}: {PROTOCOL}`"
        )


def _check_body(head: RequestHead) -> None:
    for name in ("Content-Length", "Content-Type", "Transfer-Encoding", "Expect"):
        if len(head.all(name)) > 1:
            raise Refusal(f"the header {name} is given more than once")
    if head.all("Content-Encoding"):
        raise ContentTypeError("bodies are not compressed here")
    encoding = [value.lower() for value in head.all("Transfer-Encoding")]
    if encoding and (encoding != ["chunked"] or head.all("Content-Length")):
        raise Refusal("the length of the body is not clear")
    if head.method == "GET":
        if encoding or head.all("Content-Length") not in ([], ["0"]):
            raise Refusal("GET has no body")
        return
    kind, _, parameter = (head.all("Content-Type") or [""])[0].partition(";")
    if kind.strip().lower() != JSON or parameter.strip().lower() not in ("", "charset=utf-8"):
        raise ContentTypeError("the body must be JSON", hint=f"Content-Type: {JSON}")
