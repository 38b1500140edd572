"""A remote that is a bucket of an object store, or what is below a prefix in one.

    s3://bucket/prefix        packs/ab12....pack is the key prefix/packs/ab12....pack

An object is one PUT, and so there whole or not at all; a large one is put in parts that become an
object at the end. What servers promise beside that differs: a condition may be refused, ignored, or
misread, and a range may be answered with all of an object. Where that shows it is done without;
`conditions` and `ranges` say what was seen.

The library reads the environment, too: all that decides whom we speak to, and how well protected,
is said here.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from epmstore.errors import (
    RemoteChangedError,
    RemoteError,
    RemoteNotFoundError,
    RemoteTransientError,
)
from epmstore.remotes.checked import checked_pieces, exactly
from epmstore.remotes.names import is_name, split_name, split_prefix
from epmstore.remotes.object_errors import answer_of, remote_error, translated
from epmstore.remotes.object_keys import AccessKey
from epmstore.remotes.place import RemotePlace, bucket_address
from epmstore.remotes.remote import LISTED_MAX, Abilities, ObjectInfo

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

SECONDS: Final = 20.0
"""For connecting, and between one piece and the next."""
PATIENCE: Final = 60.0
DRIP: Final = 1024
"""Bytes a second; who gives less for so long is not waited for, however steadily it drips."""
SLOWEST: Final = 1 << 16
"""Bytes a second at which an object has to go there: the library waits for all of it at once."""
IN_PARTS: Final = 64 << 20
"""An object that is larger is put in parts. Where a process is killed meanwhile they stay there,
and cost: so objects of ours are smaller, and buckets have a rule that takes such parts away.
"""
PART: Final = 16 << 20
_PAGE: Final = 1000


class ObjectsRemote:
    """Objects in a bucket. `authorities` are certificates (PEM) that vouch for the server, too."""

    def __init__(
        self,
        place: RemotePlace,
        key: AccessKey,
        *,
        authorities: str | None = None,
        seconds: float = SECONDS,
        in_parts: int = IN_PARTS,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises UsageError for what is no URL of a bucket."""
        self._bucket, self._prefix = bucket_address(place.url)
        self._place = place
        self._key = key
        self._authorities = authorities
        self._seconds = seconds
        self._in_parts = in_parts
        self._timer = timer
        self._patient: dict[int, S3Store] = {}
        self._region = place.region or "us-east-1"
        self._endpoint = place.endpoint or f"https://s3.{self._region}.amazonaws.com"
        self._where = f"{place.url} ({self._endpoint})"
        self._store = self._made(seconds)
        self.conditions: bool | None = None
        """Whether the server knows conditions; None: not seen yet. It may ignore them unseen."""
        self.ranges: bool | None = None
        """Whether it gives parts of objects."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(conditional=self.conditions is True, parts=self.ranges is not False)

    def close(self) -> None:
        """Connections are the library's, and end with it."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        split_prefix(prefix)
        top = f"{self._prefix}/" if self._prefix else ""
        found: list[ObjectInfo] = []
        with translated(prefix, self._where):
            for page in obstore.list(self._store, f"{top}{prefix}" or None, chunk_size=_PAGE):
                for one in page:
                    name = one["path"].removeprefix(top)
                    if one["path"] == f"{top}{name}" and is_name(name) and name.startswith(prefix):
                        found.append(ObjectInfo(name, one["size"]))
                if len(found) > LISTED_MAX:
                    raise RemoteError(f"{prefix or self._where} lists more than {LISTED_MAX}")
        yield from sorted(found, key=lambda one: one.name)

    def stat(self, name: str) -> ObjectInfo | None:
        key = self._key_of(name)
        try:
            with translated(name, self._where):
                return ObjectInfo(name, obstore.head(self._store, key)["size"])
        except RemoteNotFoundError:
            return None

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        key = self._key_of(name)
        if length == 0:
            if self.stat(name) is None:
                raise RemoteNotFoundError(f"no object {name} is there", object=name)
            return
        with translated(name, self._where):
            found, skip = self._got(key, start, length)
            yield from exactly(_skipping(self._steadily(found), skip), length, name)

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        key = self._key_of(name)
        right = checked_pieces(pieces, size, sha256, name)
        with translated(name, self._where):
            if size > self._in_parts:
                store = self._waiting_for(PART * 2)
                obstore.put(
                    store, key, _blocks(right), use_multipart=True, chunk_size=PART,
                    max_concurrency=2,
                )  # fmt: skip
            else:
                self._put(key, b"".join(right), "overwrite")

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        key = self._key_of(name)
        with translated(name, self._where):
            tag = self._tag_of(name, key, expected)
            if self.conditions is not False:
                mode = "create" if expected is None else {"e_tag": tag}
                try:
                    self._put(key, data, mode)
                    self.conditions = True
                    return
                except (AlreadyExistsError, PreconditionError):
                    # a server that misreads conditions refuses also what is as expected
                    if self._tag_of(name, key, expected) != tag:
                        raise _changed(name) from None
                except BaseError as error:
                    if answer_of(error).status != 501:
                        raise
                self.conditions = False
            self._put(key, data, "overwrite")

    def keeps_conditions(self, name: str) -> bool | None:
        """Whether the server itself refuses to replace what is not as expected; None if it knows no
        conditions, or misreads them. An object of that name is made.
        """
        key = self._key_of(name)
        with translated(name, self._where):
            self._put(key, b"one", "overwrite")
            try:
                self._put(key, b"two", "create")
                return False
            except AlreadyExistsError:
                pass
            except BaseError as error:
                if answer_of(error).status != 501:
                    raise
                return None
            try:
                self._put(key, b"two", {"e_tag": obstore.head(self._store, key)["e_tag"]})
            except BaseError as error:
                if answer_of(error).status not in (412, 501):
                    raise
                return None
            return True

    def delete(self, name: str) -> None:
        key = self._key_of(name)
        try:
            with translated(name, self._where):
                obstore.delete(self._store, key)
        except RemoteNotFoundError:
            return

    def _steadily(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same; who drips is not waited for."""
        begun, count = self._timer(), 0
        for piece in pieces:
            yield piece
            count += len(piece)
            took = self._timer() - begun
            if took > PATIENCE and count < took * DRIP:
                raise RemoteTransientError(f"{self._where} does not answer")

    def _key_of(self, name: str) -> str:
        split_name(name)
        return f"{self._prefix}/{name}" if self._prefix else name

    def _tag_of(self, name: str, key: str, expected: bytes | None) -> str | None:
        """What the server calls the object that holds what is expected. Raises RemoteChangedError
        if it holds something else.
        """
        try:
            found = obstore.get(self._store, key)
            size, tag = found.meta["size"], found.meta["e_tag"]
            data = b"" if size > len(expected or b"") else bytes(found.bytes())
        except FileNotFoundError as error:
            failed = remote_error(error, name, self._where)
            if not isinstance(failed, RemoteNotFoundError):
                raise failed from None
            if expected is None:
                return None
            raise _changed(name) from None
        if expected is None or size != len(expected) or data != expected:
            raise _changed(name)
        return tag

    def _put(self, key: str, data: bytes, mode: Any) -> None:
        store = self._store
        if len(data) > SLOWEST:
            store = self._waiting_for(len(data))
        obstore.put(store, key, data, mode=mode, use_multipart=False)

    def _waiting_for(self, size: int) -> S3Store:
        """The same store, with time for so many bytes to go there."""
        power = size.bit_length()
        if power not in self._patient:
            self._patient[power] = self._made(self._seconds + (1 << power) / SLOWEST)
        return self._patient[power]

    def _got(self, key: str, start: int, length: int | None) -> tuple[Iterator[bytes], int]:
        """Pieces of an object, and how many bytes come before those that were asked for."""
        if (start == 0 and length is None) or self.ranges is False:
            return _stream(obstore.get(self._store, key)), start
        wanted: Any = {"offset": start} if length is None else (start, start + length)
        try:
            found = _stream(obstore.get(self._store, key, options={"range": wanted}))
        except BaseError as error:
            if answer_of(error).status or "range" not in str(error).lower():
                raise
            self.ranges = False
            return _stream(obstore.get(self._store, key)), start
        self.ranges = True
        return found, 0

    def _shown(self) -> "S3Credential":
        return {
            "access_key_id": self._key.name,
            "secret_access_key": self._key.secret,
            "token": self._key.token,
            "expires_at": None,
        }

    def _made(self, seconds: float) -> S3Store:
        client: ClientConfig = {
            "allow_http": self._endpoint.startswith("http://"),
            "allow_invalid_certificates": False,
            "connect_timeout": timedelta(seconds=self._seconds),
            "read_timeout": timedelta(seconds=seconds),
            "timeout": timedelta(days=1),
            "user_agent": "epmstore",
        }
        if self._authorities is not None:
            client["root_certificate"] = self._authorities
        return S3Store(
            self._bucket,
            endpoint=self._endpoint,
            aws_endpoint_url_s3=self._endpoint,
            region=self._region,
            virtual_hosted_style_request=False,
            skip_signature=False,
            disable_bulk_delete=True,
            credential_provider=self._shown,
            client_options=client,
            retry_config={"max_retries": 0},  # who waits, and how long, is decided around this
        )


def _stream(found: Any) -> Iterator[bytes]:
    return (bytes(piece) for piece in found.stream(min_chunk_size=1))


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same in few large pieces."""
    while some := b"".join(islice(pieces, 64)):
        yield some


def _skipping(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        if piece[count:]:
            yield piece[count:]
        count = max(0, count - len(piece))


def _changed(name: str) -> RemoteChangedError:
    return RemoteChangedError(f"{name} is not what it was", object=name)
