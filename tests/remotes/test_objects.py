"""Object stores as remotes: the contract, and the ways in which servers are not what they say."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from epmstore.errors import (
    BadObjectError,
    RemoteBusyError,
    RemoteChangedError,
    RemoteDeniedError,
    RemoteError,
    RemoteFullError,
    RemoteTransientError,
    UsageError,
)
from epmstore.remotes.object_keys import AccessKey, access_key
from epmstore.remotes.objects_remote import ObjectsRemote
from epmstore.remotes.place import RemotePlace, bucket_address, check_place, with_environment
from epmstore.remotes.remote import Remote
from epmstore.remotes.retry import RetryRemote
from tests.remotes.contract import OBJECTS, RemoteContract, everything, put, sha256
from tests.remotes.s3server import BUCKET, KEY, NO_FAULTS, S3Faults, S3Handler, S3Shop, serving
from tests.remotes.webserver import TLS


class Served(RemoteContract):
    """One server for all tests of a class; each begins with an empty prefix of its own."""

    faults = NO_FAULTS
    shop: S3Shop

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def served(cls) -> Iterator[None]:
        with serving(cls.faults) as cls.shop:
            yield

    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        prefix = f"p{sha256(str(folder).encode())[:20]}"
        for name, data in objects.items():
            self.shop.objects[f"{prefix}/{name}"] = data
        return self.shop.remote(prefix)


class TestObjectStore(Served):
    pass


class TestSmallPages(Served):
    faults = S3Faults(page=1)


class TestRangesIgnored(Served):
    faults = S3Faults(ranges="ignored")


class TestConditionsRefused(Served):
    faults = S3Faults(conditions="refused")


class TestConditionsMisread(Served):
    faults = S3Faults(conditions="misread")


class TestConditionsIgnored(Served):
    faults = S3Faults(conditions="ignored")


@pytest.fixture
def shop() -> Iterator[S3Shop]:
    with serving() as found:
        yield found


def test_keys_are_the_prefix_and_the_name(shop: S3Shop) -> None:
    put(shop.remote("a/b"), "vendors/c++~1=a_b/head", b"x")
    put(shop.remote(""), "EPMSTORE", b"y")
    assert shop.objects == {"a/b/vendors/c++~1=a_b/head": b"x", "EPMSTORE": b"y"}


@pytest.mark.parametrize(
    ("conditions", "known"),
    [("kept", True), ("refused", False), ("misread", False), ("ignored", True)],
)
def test_conditions_are_used_where_they_work(conditions: str, known: bool) -> None:
    with serving(S3Faults(conditions=conditions)) as shop:
        remote = shop.remote()
        remote.replace("h/head", b"1", None)
        remote.replace("h/head", b"2", b"1")
        remote.replace("h/head", b"3", b"2")
        assert (remote.conditions, remote.abilities.conditional) == (known, known)
        assert everything(remote) == {"h/head": b"3"}


def test_who_was_quicker_is_seen(shop: S3Shop) -> None:
    remote = shop.remote()
    remote.replace("h/head", b"1", None)

    def other(handler: S3Handler) -> bool:
        if handler.command == "PUT":
            shop.objects["site/h/head"] = b"other"
        return False

    shop.answer = other
    with pytest.raises(RemoteChangedError):
        remote.replace("h/head", b"2", b"1")
    assert shop.objects["site/h/head"] == b"other"


def test_a_large_object_goes_in_parts_and_is_whole_or_not_there(shop: S3Shop) -> None:
    data = os.urandom(6 << 20)
    remote = shop.remote(in_parts=1 << 20)
    put(remote, "large", data)
    assert b"".join(remote.read("large")) == data
    pieces = [data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)]
    with pytest.raises(BadObjectError):
        remote.write("other", pieces, len(data), sha256(b"another"))
    assert "site/other" not in shop.objects


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (403, "InvalidAccessKeyId", RemoteDeniedError, "access key"),
        (403, "SignatureDoesNotMatch", RemoteDeniedError, "access key"),
        (403, "AccessDenied", RemoteDeniedError, "owner of this access key"),
        (403, "RequestTimeTooSkewed", RemoteDeniedError, "clock"),
        (400, "ExpiredToken", RemoteDeniedError, "expired"),
        (400, "AuthorizationHeaderMalformed", RemoteDeniedError, "--region"),
        (301, "PermanentRedirect", RemoteDeniedError, "--region"),
        (503, "SlowDown", RemoteBusyError, ""),
        (503, "ServiceUnavailable", RemoteBusyError, ""),
        (429, "TooManyRequests", RemoteBusyError, ""),
        (500, "InternalError", RemoteTransientError, ""),
        (507, "XMinioStorageFull", RemoteFullError, "room"),
        (400, "EntityTooLarge", RemoteFullError, "room"),
        (400, "Nonsense", RemoteError, ""),
        (404, "NoSuchBucket", RemoteError, "--endpoint"),
    ],
)
def test_answers_have_their_class(
    shop: S3Shop, status: int, code: str, kind: type[RemoteError], said: str
) -> None:
    shop.answer = lambda handler: handler.refuse(status, code)
    remote = shop.remote()
    calls: list[Callable[[], object]] = [
        lambda: put(remote, "x", b"1"),
        lambda: list(remote.read("x")),
        lambda: list(remote.list("")),
        lambda: remote.replace("x", b"1", None),
    ]
    for call in calls:
        with pytest.raises(RemoteError) as caught:
            call()
        assert type(caught.value) is kind
        assert said in (caught.value.hint or "") + caught.value.message
        assert len(caught.value.message) <= 400


def test_a_secret_that_is_wrong_is_shown_once(shop: S3Shop) -> None:
    remote = RetryRemote(shop.remote(key=AccessKey(KEY.name, "wrong-secret")))
    with pytest.raises(RemoteDeniedError) as caught:
        remote.stat("x")
    assert len(shop.calls) == 1
    assert "wrong-secret" not in f"{caught.value} {caught.value.data} {AccessKey('a', 'b')!r}"


def test_throttling_is_waited_out(shop: S3Shop) -> None:
    left = [1, 1, 1]
    shop.answer = lambda handler: bool(left and left.pop()) and handler.refuse(503, "SlowDown")
    pauses: list[float] = []
    put(RetryRemote(shop.remote(), sleep=pauses.append), "x", b"1")
    assert len(pauses) == 3 and shop.objects == {"site/x": b"1"}


def test_an_answer_that_is_cut_off_goes_on(shop: S3Shop) -> None:
    data = OBJECTS["packs/ab.pack"]
    shop.objects["site/x"] = data
    cut = [True]

    def answer(handler: S3Handler) -> bool:
        if not cut or handler.command != "GET":
            return False
        cut.pop()
        handler.close_connection = True
        headers = {"Content-Length": str(len(data)), "ETag": "x"}
        return handler.say(
            200, data[:70_000], {**headers, "Last-Modified": "Mon, 30 Nov 2026 23:00:00 GMT"}
        )

    shop.answer = answer
    patient = RetryRemote(shop.remote(), sleep=lambda seconds: None)
    assert b"".join(patient.read("x")) == data


@pytest.mark.parametrize("certificate", ["expired.pem", "other.pem", "good.pem"])
def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ALLOW_INVALID_CERTIFICATES", "true")
    known = None if certificate == "good.pem" else (TLS / "authority.pem").read_text()
    with serving(certificate=certificate) as shop:
        remote = shop.remote(authorities=known)
        with pytest.raises(RemoteDeniedError, match="certificate"):
            remote.stat("x")
        with pytest.raises(RemoteDeniedError, match="certificate"):
            put(remote, "x", b"1")
        assert shop.calls == []


def test_a_server_that_a_named_authority_vouches_for_is_accepted() -> None:
    with serving(certificate="good.pem") as shop:
        remote = shop.remote(authorities=(TLS / "authority.pem").read_text())
        put(remote, "x", b"1")
        assert everything(remote) == {"x": b"1"}


def test_the_environment_decides_nothing(shop: S3Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other", "AWS_SESSION_TOKEN": "t",
        "AWS_SKIP_SIGNATURE": "true", "AWS_REGION": "mars-1",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    put(shop.remote(), "x", b"1")
    assert shop.objects == {"site/x": b"1"}


def test_who_does_not_answer_is_not_waited_for() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        place = RemotePlace(
            url=f"s3://{BUCKET}/x", endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}"
        )
        remote = ObjectsRemote(place, KEY, seconds=0.05)
        with pytest.raises(RemoteTransientError, match="does not answer"):
            remote.stat("x")
        with pytest.raises(RemoteTransientError, match="does not answer"):
            put(remote, "x", b"1")


def test_who_drips_is_not_waited_for(shop: S3Shop) -> None:
    ended = threading.Event()

    def drip(handler: S3Handler) -> bool:
        headers = {"ETag": "x", "Last-Modified": "Mon, 30 Nov 2026 23:00:00 GMT"}
        handler.say(200, b"x", {**headers, "Content-Length": "512000"})
        handler.wfile.flush()
        ended.wait(20)
        handler.close_connection = True
        return True

    shop.answer = drip
    seconds = iter(range(0, 100_000, 61))
    remote = shop.remote(timer=lambda: float(next(seconds)))
    with pytest.raises(RemoteTransientError, match="does not answer"):
        list(remote.read("x"))
    ended.set()


def test_nobody_there_may_be_otherwise_in_a_while() -> None:
    for endpoint in ("http://127.0.0.1:1", "http://nowhere.invalid"):
        remote = ObjectsRemote(RemotePlace(url=f"s3://{BUCKET}", endpoint=endpoint), KEY)
        with pytest.raises(RemoteTransientError):
            remote.stat("x")


def test_other_keys_are_left_out_of_listings(shop: S3Shop) -> None:
    for key in ("site/a", "site/", "site/.x", "site/b c", "site/é", "sitemap", "other/a"):
        shop.objects[key] = b"1"
    assert [one.name for one in shop.remote().list("")] == ["a"]
    shop.objects["site/b//c"] = b"1"
    with pytest.raises(BadObjectError, match="names that none can have"):
        list(shop.remote().list(""))


def test_threads_share_a_remote(shop: S3Shop) -> None:
    remote, found = shop.remote(), []

    def work(number: int) -> None:
        put(remote, f"x/{number}", OBJECTS["packs/ab.pack"])
        found.append(b"".join(remote.read(f"x/{number}")))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [OBJECTS["packs/ab.pack"]] * 6


@pytest.mark.parametrize("url", ["s3://", "s3://a", "s3://b u/x", "s3://bkt/a//b", "s3://bkt/.x"])
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        bucket_address(url)


def test_an_endpoint_is_a_place_without_a_password() -> None:
    for endpoint in ("http://u:p@h", "https://h/path", "h:9000", "ftp://h", "https://h?x"):
        with pytest.raises(UsageError):
            check_place(RemotePlace(url="s3://bkt/x", endpoint=endpoint))
    check_place(RemotePlace(url="s3://bkt/x", endpoint="https://[::1]:9000"))


def test_endpoint_and_region_of_variables_are_kept() -> None:
    environ = {"AWS_ENDPOINT_URL": "https://h", "AWS_DEFAULT_REGION": "eu-1"}
    found = with_environment(RemotePlace(url="s3://bkt/x"), environ)
    assert (found.endpoint, found.region) == ("https://h", "eu-1")
    found = with_environment(RemotePlace(url="s3://bkt/x", endpoint="https://i"), environ)
    assert (found.endpoint, found.region) == ("https://i", "eu-1")


def test_an_access_key_is_looked_for_in_order(tmp_path: Path) -> None:
    def file(name: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"[default]\naws_access_key_id = {path.name}\naws_secret_access_key=s\n"
            "[prod]\naws_access_key_id=prod\naws_secret_access_key=s\naws_session_token=t\n"
        )
        path.chmod(0o600)
        return str(path)

    place = RemotePlace(name="pool", url="s3://bkt/x")
    environ: dict[str, str] = {}
    with pytest.raises(RemoteDeniedError, match="no access key"):
        access_key(place, environ)
    for name, value in {
        "HOME": str(Path(file(".aws/credentials")).parents[1]),
        "AWS_SHARED_CREDENTIALS_FILE": file("shared"),
    }.items():
        environ[name] = value
        assert access_key(place, environ).name == Path(value).name.replace(
            tmp_path.name, "credentials"
        )
    assert access_key(place, {**environ, "AWS_PROFILE": "prod"}) == AccessKey("prod", "s", "t")
    environ |= {"AWS_ACCESS_KEY_ID": "variable", "AWS_SECRET_ACCESS_KEY": "s"}
    assert access_key(place, environ).name == "variable"
    environ["CREDENTIALS_DIRECTORY"] = str(Path(file("given/epmstore-remote-pool")).parent)
    assert access_key(place, environ).name == "epmstore-remote-pool"
    named = RemotePlace(name="pool", url="s3://bkt/x", credentials=file("named"))
    assert access_key(named, environ).name == "named"
    (tmp_path / "named").write_text("no key")
    with (
        contextlib.suppress(AssertionError),
        pytest.raises(RemoteDeniedError, match="has no access"),
    ):
        access_key(named, environ)
    (tmp_path / "named").chmod(0o644)
    with pytest.raises(RemoteDeniedError, match="no secret"):
        access_key(named, environ)
