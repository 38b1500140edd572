"""A remote that any web server can be: objects are read from below a URL, and nothing is written.

    https://depot.example.org/crm/packs/ab12....pack

With the standard library: one GET for each read, no compression, no cookies, nothing of the
environment. Certificates are checked, and nothing turns that off. A server that ignores `Range`
gives more than was asked for: what comes before is skipped. A redirect is followed to a place that
is as well protected.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from epmstore.errors import (
    RemoteBusyError,
    RemoteDeniedError,
    RemoteError,
    RemoteNotFoundError,
    RemoteReadOnlyError,
    RemoteTransientError,
    UsageError,
)
from epmstore.limits import limit_error
from epmstore.remotes.checked import exactly
from epmstore.remotes.names import split_name
from epmstore.remotes.remote import PIECE, Abilities, ObjectInfo

SECONDS: Final = 20.0
"""For connecting, and between one piece and the next."""
PATIENCE: Final = 60.0
SLOWEST: Final = 1024
"""Bytes a second; who gives less for so long is not waited for, however steadily it drips."""
REDIRECTS: Final = 5
_REDIRECT: Final = (301, 302, 303, 307, 308)
_GONE: Final = (404, 410)
_DENIED: Final = (401, 403, 407)
_BUSY: Final = (429, 503)
_PASSING: Final = (408, 425, 500, 502, 504)
_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "epmstore"}


class WebRemote:
    """Objects below a URL. Connections are kept and used again, also by other threads."""

    abilities = Abilities(writes=False, lists=False)

    def __init__(
        self,
        url: str,
        *,
        authorities: Path | None = None,
        seconds: float = SECONDS,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`authorities`: certificates (PEM) that vouch for the server, instead of the system's.
        Raises UsageError for what is no such URL, OSError if that file cannot be read.
        """
        self._base = _parse(url.rstrip("/") + "/")
        self._seconds = seconds
        self._timer = timer
        self._tls = ssl.create_default_context(cafile=authorities)
        self._idle: list[tuple[tuple[str, str], HTTPConnection]] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            for _, connection in self._idle:
                connection.close()
            self._idle.clear()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        raise RemoteReadOnlyError("a web server does not list what it has")

    def stat(self, name: str) -> ObjectInfo | None:
        try:
            with self._answer("HEAD", name) as answer:
                size = answer.getheader("Content-Length") or ""
                if size.isascii() and size.isdigit():
                    return ObjectInfo(name, int(size))
        except RemoteNotFoundError:
            return None
        raise RemoteError(f"the server does not say how large {name} is", object=name)

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if length == 0:
            if self.stat(name) is None:
                raise _not_found(name)
            return
        wanted: dict[str, str] = {}
        if start or length is not None:
            last = "" if length is None else start + length - 1
            wanted = {"Range": f"bytes={start}-{last}"}
        with self._answer("GET", name, wanted) as answer:
            skip = 0
            if answer.status != http.client.PARTIAL_CONTENT:
                skip = start
            elif not _is_from(answer.getheader("Content-Range"), start):
                raise RemoteError(f"the server gave another part of {name} than was asked for")
            yield from exactly(_skipping(self._pieces(answer), skip), length, name)

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        _refuse()

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        _refuse()

    def delete(self, name: str) -> None:
        _refuse()

    @contextlib.contextmanager
    def _answer(
        self, method: str, name: str, headers: dict[str, str] | None = None
    ) -> Iterator[HTTPResponse]:
        """The answer of the server that has it, for the block. Raises the errors of a remote."""
        split_name(name)
        url = self._base._replace(path=self._base.path + quote(name))
        with _translated(name, self._base):
            for _ in range(REDIRECTS):
                connection, answer = self._ask(method, url, headers or {})
                try:
                    if answer.status not in _REDIRECT:
                        _check(answer, name)
                        yield answer
                        return
                    url = _redirected(url, answer)
                finally:
                    self._put_back(url, connection, answer)
        raise RemoteError(f"{name}: the server redirects from one place to another", object=name)

    def _put_back(self, url: SplitResult, connection: HTTPConnection, answer: HTTPResponse) -> None:
        """For the next, if nothing of the answer is left to be read."""
        is_read = answer.length == 0 and not answer.will_close and answer.status not in _REDIRECT
        answer.close()
        if not is_read:
            connection.close()
            return
        with self._lock:
            self._idle.append((_place(url), connection))

    def _pieces(self, answer: HTTPResponse) -> Iterator[bytes]:
        begun, count = self._timer(), 0
        while piece := answer.read1(PIECE):
            yield piece
            count += len(piece)
            took = self._timer() - begun
            if took > PATIENCE and count < took * SLOWEST:
                raise TimeoutError
        if answer.length:  # it ended before what it said
            raise http.client.IncompleteRead(b"", answer.length)

    def _ask(
        self, method: str, url: SplitResult, headers: dict[str, str]
    ) -> tuple[HTTPConnection, HTTPResponse]:
        """On a connection that is there, or, if the server closed that meanwhile, on a new one."""
        target = url.path + (f"?{url.query}" if url.query else "")
        kept = self._kept(_place(url))
        for connection in (kept, self._connection(url)):
            if connection is None:
                continue
            try:
                connection.request(method, target, headers={**_HEADERS, **headers})
                return connection, connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionError):
                connection.close()
                if connection is not kept:
                    raise
            except BaseException:
                connection.close()
                raise
        raise AssertionError("a new connection answers or fails")

    def _kept(self, place: tuple[str, str]) -> HTTPConnection | None:
        with self._lock:
            for at, (where, connection) in enumerate(self._idle):
                if where == place:
                    del self._idle[at]
                    return connection
        return None

    def _connection(self, url: SplitResult) -> HTTPConnection:
        host = url.hostname or ""
        if url.scheme == "https":
            return HTTPSConnection(host, url.port, timeout=self._seconds, context=self._tls)
        return HTTPConnection(host, url.port, timeout=self._seconds)


def _parse(url: str) -> SplitResult:
    hint = "write it as https://host/folder"
    try:
        found = urlsplit(url)
        _ = found.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}", hint=hint) from None
    if found.scheme not in ("http", "https") or not found.hostname:
        raise UsageError(f"{url!r} is no URL of a web server", hint=hint)
    if found.username or found.password or found.query or found.fragment:
        raise UsageError(f"{found.hostname}: no password, `?` or `#` belongs in a URL", hint=hint)
    if not url.isascii() or any(ord(sign) <= 32 or ord(sign) == 127 for sign in url):
        raise UsageError(f"{url!r} has characters that are to be quoted", hint=hint)
    return found


def _place(url: SplitResult) -> tuple[str, str]:
    return url.scheme, url.netloc


def _redirected(url: SplitResult, answer: HTTPResponse) -> SplitResult:
    """Where an answer sends us. Raises RemoteError for where it is not followed."""
    text = answer.getheader("Location") or ""
    try:
        found = urlsplit(urljoin(url.geturl(), text))
        _ = found.port
    except ValueError:
        found = urlsplit("")
    is_plain = text.isascii() and all(32 < ord(sign) < 127 for sign in text)
    if not is_plain or found.scheme not in ("http", "https") or not found.hostname:
        raise RemoteError("the server redirects to what is no URL")
    if url.scheme == "https" and found.scheme != "https":
        raise RemoteError(f"the server redirects to {found.hostname} without TLS: not followed")
    return found._replace(fragment="")


def _check(answer: HTTPResponse, name: str) -> None:
    """Raises the error that a status stands for."""
    status = answer.status
    encoding = (answer.getheader("Content-Encoding") or "identity").lower()
    if status in (http.client.OK, http.client.PARTIAL_CONTENT):
        if encoding != "identity":
            raise RemoteError(f"the server gives {name} encoded ({encoding}), unasked")
        return
    text = f"{name}: the server says {status} {answer.reason}"
    if status in _GONE:
        raise _not_found(name)
    if status in _DENIED:
        raise RemoteDeniedError(text, object=name, status=status)
    if status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise RemoteTransientError(f"{name} is shorter than it should be", object=name)
    if status in _BUSY:
        after = answer.getheader("Retry-After") or ""
        raise RemoteBusyError(text, object=name, after=int(after) if after.isdecimal() else None)
    raise (RemoteTransientError if status in _PASSING else RemoteError)(text, object=name)


@contextlib.contextmanager
def _translated(name: str, base: SplitResult) -> Iterator[None]:
    where = f"{base.scheme}://{base.netloc}"
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise RemoteDeniedError(
            f"the certificate of {where} is not accepted: {error.verify_message}",
            hint="its owner has to renew it; or its authority is one that this host does not know",
            object=name,
        ) from None
    except (socket.gaierror, TimeoutError) as error:
        text = "does not answer" if isinstance(error, TimeoutError) else f"is not found: {error}"
        raise RemoteTransientError(f"{where} {text}", object=name) from None
    except OSError as error:
        limit = limit_error(error, where)
        if limit is not None:
            raise limit from None
        raise RemoteTransientError(f"{where}: {error.strerror or error}", object=name) from None
    except (http.client.HTTPException, ValueError) as error:
        text = f"{where} gave no answer that is one: {type(error).__name__} {error}"
        raise RemoteTransientError(text[:300], object=name) from None


def _skipping(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        if piece[count:]:
            yield piece[count:]
        count = max(0, count - len(piece))


def _is_from(said: str | None, start: int) -> bool:
    """Whether `Content-Range: bytes 5-9/100` begins at `start`."""
    return (said or "").replace(" ", "").lower().startswith(f"bytes{start}-")


def _not_found(name: str) -> RemoteNotFoundError:
    return RemoteNotFoundError(f"no object {name} is there", object=name)


def _refuse() -> NoReturn:
    raise RemoteReadOnlyError("a web server gives objects, and takes none")
