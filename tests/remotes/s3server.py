"""An object store on loopback, with faults: as much of S3 as is asked for."""

import contextlib
import hashlib
import hmac
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import msgspec

from epmstore.remotes.object_keys import AccessKey
from epmstore.remotes.objects_remote import ObjectsRemote
from epmstore.remotes.place import RemotePlace
from tests.remotes.webserver import TLS, Server

KEY: Final = AccessKey("AK", "geheim-17")
BUCKET: Final = "depots"


class S3Faults(msgspec.Struct, frozen=True):
    """What a server does not do, or does otherwise. `conditions`: kept, `refused` (501), `ignored`,
    or `misread` (If-Match never matches). `page`: so many objects in one listing.
    """

    conditions: str = "kept"
    ranges: str = "given"
    page: int = 1000


NO_FAULTS: Final = S3Faults()
Answer: TypeAlias = "Callable[[S3Handler], bool]"


class S3Shop:
    """Objects by key, parts of those that are not whole yet, and what was asked."""

    def __init__(self, faults: S3Faults, answer: Answer) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.faults = faults
        self.answer = answer
        self.calls: list[str] = []
        self.endpoint = ""
        self.lock = threading.Lock()

    def place(self, prefix: str = "site", **more: Any) -> RemotePlace:
        return RemotePlace(url=f"s3://{BUCKET}/{prefix}", endpoint=self.endpoint, **more)

    def remote(self, prefix: str = "site", key: AccessKey = KEY, **more: Any) -> ObjectsRemote:
        return ObjectsRemote(self.place(prefix), key, **more)


def tag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


class S3Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *args: Any, shop: S3Shop) -> None:
        self.shop = shop
        super().__init__(*args)

    def _serve(self) -> None:
        self.url = urlsplit(self.path)
        self.asked = {k: v[0] for k, v in parse_qs(self.url.query, True).items()}
        bucket, _, self.key = unquote(self.url.path).lstrip("/").partition("/")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.shop.calls.append(f"{self.command} {self.key or self.asked.get('prefix', '')}")
        if self.shop.answer(self) or not self._is_signed():
            return
        if bucket != BUCKET:
            self.refuse(404, "NoSuchBucket")
            return
        with self.shop.lock:
            getattr(self, f"_{self.command.lower()}")()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _is_signed(self) -> bool:
        """Version 4, as Amazon describes it."""
        found = re.match(
            r"AWS4-HMAC-SHA256 Credential=(\w+)/(\S+), SignedHeaders=(\S+), Signature=(\w+)",
            self.headers.get("Authorization", ""),
        )
        if found is None or found[1] != KEY.name:
            return self.refuse(403, "InvalidAccessKeyId") and False
        names = found[3].split(";")
        lines = [f"{name}:{' '.join((self.headers[name] or '').split())}\n" for name in names]
        payload = self.headers["x-amz-content-sha256"]
        query = "&".join(sorted(p if "=" in p else f"{p}=" for p in self.url.query.split("&") if p))
        request = "\n".join([self.command, self.url.path, query, "".join(lines), found[3], payload])
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self.headers['x-amz-date']}\n{found[2]}\n{digest}"
        secret = f"AWS4{KEY.secret}".encode()
        for part in found[2].split("/"):
            secret = hmac.digest(secret, part.encode(), "sha256")
        right = hmac.new(secret, text.encode(), "sha256").hexdigest() == found[4]
        body = payload in ("UNSIGNED-PAYLOAD", hashlib.sha256(self.body).hexdigest())
        return (right and body) or (self.refuse(403, "SignatureDoesNotMatch") and False)

    def _head(self) -> None:
        self._get()

    def _get(self) -> None:
        if not self.key:
            self._list()
            return
        data = self.shop.objects.get(self.key)
        if data is None:
            self.refuse(404, "NoSuchKey")
            return
        headers = {"ETag": tag_of(data), "Last-Modified": "Mon, 30 Nov 2026 23:00:00 GMT"}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if span is None or self.shop.faults.ranges == "ignored":
            self.say(200, data, headers)
            return
        start, end = int(span[1]), min(int(span[2] or len(data)) + 1, len(data))
        if start >= len(data):
            self.refuse(416, "InvalidRange")
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self.say(206, data[start:end], headers)

    def _list(self) -> None:
        after, faults = self.asked.get("continuation-token", ""), self.shop.faults
        names = sorted(
            k for k in self.shop.objects if k.startswith(self.asked.get("prefix", "")) and k > after
        )
        page, more = names[: faults.page], len(names) > faults.page
        entries = "".join(
            f"<Contents><Key>{escape(k)}</Key><Size>{len(self.shop.objects[k])}</Size>"
            f"<LastModified>2026-11-30T23:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
            for k in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        self.say(
            200,
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
            "</ListBucketResult>".encode(),
        )

    def _put(self) -> None:
        if "partNumber" in self.asked:
            self.shop.parts[self.asked["uploadId"]][int(self.asked["partNumber"])] = self.body
            self.say(200, b"", {"ETag": tag_of(self.body)})
            return
        now, kind = self.shop.objects.get(self.key), self.shop.faults.conditions
        match, none = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        is_other = (none and now is not None) or (match and match != tag_of(now or b""))
        if kind == "refused" and (match or none):
            self.refuse(501, "NotImplemented")
        elif (kind == "misread" and match) or (kind != "ignored" and is_other):
            self.refuse(412, "PreconditionFailed")
        else:
            self.shop.objects[self.key] = self.body
            self.say(200, b"", {"ETag": tag_of(self.body)})

    def _post(self) -> None:
        if "uploads" in self.asked:
            upload = f"u{len(self.shop.parts)}"
            self.shop.parts[upload] = {}
            text = f"<R><UploadId>{upload}</UploadId><Key>k</Key><Bucket>b</Bucket></R>"
            self.say(200, text.replace("R>", "InitiateMultipartUploadResult>").encode())
            return
        parts = self.shop.parts.pop(self.asked["uploadId"])
        self.shop.objects[self.key] = b"".join(parts[number] for number in sorted(parts))
        self.say(
            200,
            b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>",
        )

    def _delete(self) -> None:
        if "uploadId" in self.asked:
            self.shop.parts.pop(self.asked["uploadId"], None)
        else:
            self.shop.objects.pop(self.key, None)
        self.say(204)

    def refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> bool:
        text = f"<Error><Code>{code}</Code><Message>of {code}</Message></Error>"
        return self.say(status, text.encode(), headers)

    def say(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> bool:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def serving(
    faults: S3Faults = NO_FAULTS,
    answer: Answer = lambda handler: False,
    *,
    certificate: str | None = None,
) -> Iterator[S3Shop]:
    """A store with one bucket; it ends with the block."""
    shop = S3Shop(faults, answer)
    with Server(("127.0.0.1", 0), partial(S3Handler, shop=shop)) as server:
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        shop.endpoint = f"{scheme}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield shop
        finally:
            server.shutdown()
            thread.join()
