"""What a request of a browser must be like before anything else of it is looked at. Pure.

The other side may be any page that the user has open: one of which the name was made to lead to us
(rebinding), one that sends forms, one that another program of this host serves. Only what names
this very place is let in, and only what comes from a page of ours, or from no page.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from epmstored.api.refusals import (
    ContentTypeError,
    ForbiddenError,
    HeadTooLargeError,
    MethodError,
    Refusal,
    VersionError,
)

METHODS: Final = ("GET", "POST")
FORM: Final = "application/x-www-form-urlencoded"
TARGET: Final = 16_384
REMOTE_USER: Final = "X-Remote-User"
Passage: TypeAlias = Literal["open", "bounce"]
"""`bounce`: a link on a page elsewhere was followed. No cookie of ours came with it, and nothing is
shown; but the browser may ask again from a page of ours.
"""


class ConsoleAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A place at which browsers reach the console: what they may call it, in `Host` and in
    `Origin`. `is_proxied`: a proxy says who its user is.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    is_proxied: bool = False


class BrowserHead(msgspec.Struct, frozen=True):
    """A request without its body. Names of headers in any case."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    http: tuple[int, int] = (1, 1)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """Raises a Refusal if it is there more than once."""
        found = self.all(name)
        if len(found) > 1:
            raise Refusal(f"the header {name} is given more than once")
        return found[0] if found else None


def check(head: BrowserHead, address: ConsoleAddress) -> Passage:
    """Raises a Refusal that says why."""
    _check_line(head)
    host = head.one("Host")
    if host is None or host.lower() not in address.hosts:
        raise ForbiddenError(
            "the console is not called that", hint="use a link of `epmstore console`"
        )
    origin = head.one("Origin")
    if origin is not None and origin.lower() not in address.origins:
        raise ForbiddenError("a page from elsewhere asks for this")
    if head.all("Upgrade"):
        raise Refusal("there is no other protocol to upgrade to")
    if (head.one(REMOTE_USER) is not None) != address.is_proxied:
        raise ForbiddenError(
            f"{REMOTE_USER} is missing" if address.is_proxied else f"{REMOTE_USER} is for proxies"
        )
    _check_body(head, origin)
    return _passage(head)


def _check_line(head: BrowserHead) -> None:
    if head.method not in METHODS:
        raise MethodError("GET or POST", allowed=", ".join(METHODS))
    if head.http < (1, 0) or head.http >= (2, 0):
        raise VersionError("this is HTTP/1.1")
    if len(head.target) > TARGET:
        raise HeadTooLargeError(f"the path is longer than {TARGET} bytes")
    if not head.target.startswith("/") or head.target.startswith("//"):
        raise Refusal("the request names no path")
    if not head.target.isascii() or not head.target.isprintable():
        raise Refusal("the path has bytes that must be percent-encoded")


def _check_body(head: BrowserHead, origin: str | None) -> None:
    encoding, length = head.one("Transfer-Encoding"), head.one("Content-Length")
    if head.one("Content-Encoding") is not None:
        raise ContentTypeError("bodies are not compressed here")
    if head.method == "GET":
        if encoding is not None or length not in (None, "0"):
            raise Refusal("GET has no body")
        return
    if encoding is not None and length is not None:
        raise Refusal("the length of the body is not clear")
    kind = (head.one("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise ContentTypeError("the body must be a form", hint=f"Content-Type: {FORM}")
    if origin is None:
        raise ForbiddenError("what changes something must say which page it is from")


def _passage(head: BrowserHead) -> Passage:
    """By what browsers say of the page that a request is from. Another port of this host is another
    page, though it is the same site to them.
    """
    site = head.one("Sec-Fetch-Site")
    if site in (None, "none", "same-origin"):
        return "open"
    mode, target = head.one("Sec-Fetch-Mode"), head.one("Sec-Fetch-Dest")
    if head.method == "GET" and mode == "navigate" and target == "document":
        return "bounce"
    raise ForbiddenError("a page from elsewhere asks for this")
