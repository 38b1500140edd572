"""Web servers as remotes: the reading half of the contract, and what servers do besides."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from epmstore.errors import (
    RemoteBusyError,
    RemoteDeniedError,
    RemoteError,
    RemoteNotFoundError,
    RemoteReadOnlyError,
    RemoteTransientError,
    UsageError,
)
from epmstore.remotes.remote import Remote
from epmstore.remotes.retry import RetryRemote
from epmstore.remotes.web_remote import WebRemote
from tests.remotes import webserver
from tests.remotes.contract import OBJECTS, ReadingContract
from tests.remotes.webserver import NGINX, TLS, Handler, asking, serving


class OnServer(ReadingContract):
    """One server for each test, which is gone after it."""

    ranges = True
    certificate: str | None = None

    @pytest.fixture(autouse=True)
    def _ends(self) -> Iterator[None]:
        with contextlib.ExitStack() as self.open:
            yield

    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        for name, data in objects.items():
            path = folder / "below" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        url = self.open.enter_context(self.server(folder))
        authorities = TLS / "authority.pem" if self.certificate else None
        return self.open.enter_context(asking(f"{url}/below", authorities=authorities))

    def server(self, folder: Path) -> contextlib.AbstractContextManager[str]:
        return serving(folder, ranges=self.ranges, certificate=self.certificate)


class TestWithRanges(OnServer):
    pass


class TestWithoutRanges(OnServer):
    ranges = False


class TestWithTls(OnServer):
    certificate = "good.pem"


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
class TestNginx(OnServer):
    def server(self, folder: Path) -> contextlib.AbstractContextManager[str]:
        return webserver.nginx(folder)


def once(say: Callable[[Handler], bool]) -> Callable[[Handler], bool]:
    """A server that says it to the first who asks, and gives files to the others."""
    said: list[bool] = []

    def answer(handler: Handler) -> bool:
        if said:
            return False
        said.append(True)
        return say(handler)

    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x").write_bytes(OBJECTS["packs/ab.pack"])
    return tmp_path


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RemoteError), (401, RemoteDeniedError), (403, RemoteDeniedError),
        (404, RemoteNotFoundError), (407, RemoteDeniedError), (410, RemoteNotFoundError),
        (429, RemoteBusyError), (500, RemoteTransientError), (502, RemoteTransientError),
        (503, RemoteBusyError), (504, RemoteTransientError), (204, RemoteError),
    ],
)  # fmt: skip
def test_each_status_has_its_error(folder: Path, status: int, kind: type[RemoteError]) -> None:
    with serving(folder, lambda h: h.say(status, {"Retry-After": "7"})) as url, asking(url) as web:
        with pytest.raises(RemoteError) as caught:
            list(web.read("x"))
        assert type(caught.value) is kind
        if kind is RemoteBusyError:
            assert caught.value.data["after"] == 7


def test_nothing_is_written_or_listed(folder: Path) -> None:
    with asking("http://127.0.0.1:1") as web:
        assert not web.abilities.writes and not web.abilities.lists
        for call in (
            lambda: list(web.list("")),
            lambda: web.write("x", [], 0, ""),
            lambda: web.replace("x", b"", None),
            lambda: web.delete("x"),
        ):
            with pytest.raises(RemoteReadOnlyError):
                call()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x", "h/x", "https://", "https://u:p@h/", "https://h/?q", "https://h/#f",
        "https://h:x/", "https://h/ä", "https://h/a b", "https://h/\r\nX: y",
    ],
)  # fmt: skip
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        WebRemote(url)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        WebRemote("https://me:geheim@host/")
    assert "geheim" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("certificate", ["expired.pem", "other.pem", "good.pem"])
def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    folder: Path, certificate: str
) -> None:
    known = None if certificate == "good.pem" else TLS / "authority.pem"
    with serving(folder, certificate=certificate) as url, asking(url, authorities=known) as web:
        with pytest.raises(RemoteDeniedError, match="certificate"):
            list(web.read("x"))
        with pytest.raises(RemoteDeniedError, match="certificate"):
            web.stat("x")


def test_a_redirect_is_followed_to_another_server(folder: Path) -> None:
    with serving(folder) as there:
        moved = {"Location": f"{there}/x"}
        with serving(folder, lambda h: h.say(302, moved)) as url, asking(url) as web:
            assert b"".join(web.read("old", 3, 9)) == OBJECTS["packs/ab.pack"][3:12]
            info = web.stat("old")
            assert info is not None and info.size == 512_000


@pytest.mark.parametrize(
    "location", ["/x", "http://127.0.0.1:1/x", "file:///etc/passwd", "//", "http://[", "/a b", ""]
)
def test_a_redirect_to_nowhere_or_to_less_protection_is_not_followed(
    folder: Path, location: str
) -> None:
    def say(handler: Handler) -> bool:
        return handler.say(301, {"Location": location})

    with (
        serving(folder, say, certificate="good.pem") as url,
        asking(url, authorities=TLS / "authority.pem") as web,
        pytest.raises(RemoteError, match="redirects"),
    ):
        list(web.read("x"))


def test_compression_that_nobody_asked_for_is_not_taken(folder: Path) -> None:
    bomb = {"Content-Encoding": "gzip"}
    with (
        serving(folder, lambda h: h.say(200, bomb, b"x")) as url,
        asking(url) as web,
        pytest.raises(RemoteError, match="encoded"),
    ):
        list(web.read("x"))


def test_another_part_than_was_asked_for_is_not_taken(folder: Path) -> None:
    part = {"Content-Range": "bytes 0-3/4"}
    with (
        serving(folder, lambda h: h.say(206, part, b"abcd")) as url,
        asking(url) as web,
        pytest.raises(RemoteError, match="another part"),
    ):
        list(web.read("x", 1, 3))


def cut(handler: Handler) -> bool:
    handler.close_connection = True
    return handler.say(200, {"Content-Length": "512000"}, OBJECTS["packs/ab.pack"][:1000])


def test_an_answer_that_is_cut_off_goes_on_with_the_next(folder: Path) -> None:
    with (
        serving(folder, once(cut)) as url,
        asking(url) as web,
        pytest.raises(RemoteTransientError),
    ):
        list(web.read("x"))
    with serving(folder, once(cut)) as url, asking(url) as web:
        patient = RetryRemote(web, sleep=lambda seconds: None)
        assert b"".join(patient.read("x")) == OBJECTS["packs/ab.pack"]


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 999,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 99_999,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)  # fmt: skip
def test_a_bad_answer_is_an_error_of_the_remote(folder: Path, raw: bytes) -> None:
    def say(handler: Handler) -> bool:
        handler.close_connection = True
        handler.wfile.write(raw)
        return True

    with serving(folder, say) as url, asking(url) as web:
        with pytest.raises(RemoteError):
            list(web.read("x", 0, 4))
        with contextlib.suppress(RemoteError):
            assert web.stat("x") is None


def test_who_does_not_answer_is_not_waited_for(folder: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with asking(url, seconds=0.05) as web, pytest.raises(RemoteTransientError, match="answer"):
            list(web.read("x"))


def test_nobody_there_may_be_otherwise_in_a_while() -> None:
    with asking("http://127.0.0.1:1") as web, pytest.raises(RemoteTransientError):
        web.stat("x")
    with asking("http://nowhere.invalid") as web, pytest.raises(RemoteTransientError):
        web.stat("x")


def test_who_drips_is_not_waited_for(folder: Path) -> None:
    ended = threading.Event()

    def drip(handler: Handler) -> bool:
        handler.say(200, {"Content-Length": "512000"})
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
        ended.wait(10)
        handler.close_connection = True
        return True

    seconds = iter(range(0, 100_000, 61))
    with serving(folder, drip) as url, asking(url, timer=lambda: float(next(seconds))) as web:
        with pytest.raises(RemoteTransientError, match="does not answer"):
            list(web.read("x"))
        ended.set()


def test_one_connection_serves_many_reads(folder: Path) -> None:
    seen: set[object] = set()

    def note(handler: Handler) -> bool:
        seen.add(handler.client_address)
        return False

    with serving(folder, note) as url, asking(url) as web:
        for at in range(5):
            list(web.read("x", at, 10))
            web.stat("x")
        list(web.read("x"))
        count = len(seen)
        next(iter(web.read("x")))  # what is not read to its end is not used again
        list(web.read("x"))
    assert (count, len(seen)) == (1, 2)


def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(folder: Path) -> None:
    def hang_up(handler: Handler) -> bool:
        handler.close_connection = True
        return False

    with serving(folder, hang_up) as url, asking(url) as web:
        for _ in range(3):
            assert web.stat("x") is not None


def test_threads_share_a_remote(folder: Path) -> None:
    found: list[bytes] = []
    with serving(folder) as url, asking(url) as web:
        threads = [
            threading.Thread(target=lambda: found.append(b"".join(web.read("x")))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [OBJECTS["packs/ab.pack"]] * 8


def test_nothing_of_the_environment_decides_where_to_ask(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving(folder) as url, asking(url) as web:
        assert web.stat("x") is not None
