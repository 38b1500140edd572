"""Where a remote is, and how one gets in there: what a person said of it. Pure.

sftp://epm@backup.example.org:2222/srv/depot     below the folder of the server, or /~/depot below
                                                 the user's own
s3://bucket/prefix                               at an endpoint, in a region
https://host/folder, /mnt/depot
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec.structs import replace

from epmstore.errors import UsageError
from epmstore.remotes.names import is_name

SFTP: Final = "sftp"
S3: Final = "s3"
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", re.ASCII)
_ENDPOINT: Final = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", re.ASCII
)
_S3_HINT: Final = "write it as s3://bucket/prefix"
_SFTP_HINT: Final = "write it as sftp://user@host/folder, or sftp://user@host:2222/~/folder"


class RemotePlace(msgspec.Struct, frozen=True, kw_only=True):
    """`authorities` is a file of certificates that vouch for a server, `credentials` one with what
    this host shows there. `host_keys` are fingerprints of the keys that an SFTP server may have.
    `endpoint` and `region` say where a bucket is.
    """

    name: str = ""
    url: str
    authorities: str | None = None
    credentials: str | None = None
    host_keys: tuple[str, ...] = ()
    endpoint: str | None = None
    region: str | None = None

    @property
    def scheme(self) -> str:
        """`sftp`, `s3`, `http`, `https`; "" for a folder."""
        scheme, sep, _ = self.url.partition("://")
        return scheme if sep else ""


P = TypeVar("P", bound=RemotePlace)


def bucket_address(url: str) -> tuple[str, str]:
    """Bucket and prefix. Raises UsageError for what is no URL of a bucket."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not url.startswith("s3://") or not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{url!r} does not say which bucket", hint=_S3_HINT)
    if prefix and not is_name(prefix):
        raise UsageError(f"{prefix!r} cannot be a prefix: it is as names of objects are")
    return bucket, prefix


def with_environment(place: P, environ: Mapping[str, str]) -> P:
    """A bucket with the endpoint and the region that variables say where a person did not: kept, so
    that it stays the same whatever the variables are later.
    """
    if place.scheme != S3:
        return place
    endpoint = (
        place.endpoint or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    )
    region = place.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return replace(place, endpoint=endpoint or None, region=region or None)


def check_place(place: RemotePlace) -> None:
    """Raises UsageError for what says nothing of such a place."""
    kinds = {
        "authorities": ("https", S3),
        "credentials": (SFTP, S3),
        "host_keys": (SFTP,),
        "endpoint": (S3,),
        "region": (S3,),
    }
    for field, schemes in kinds.items():
        if getattr(place, field) and place.scheme not in schemes:
            option = "host-key" if field == "host_keys" else field
            said = " and ".join(f"{scheme}://" for scheme in schemes)
            raise UsageError(f"--{option} says nothing of {place.url}: it is of {said}")
    if place.endpoint and not _ENDPOINT.fullmatch(place.endpoint):
        raise UsageError(
            f"{place.endpoint!r} is no endpoint",
            hint="write it as https://host:port, without a path",
        )
    for key in place.host_keys:
        if not _FINGERPRINT.fullmatch(key):
            raise UsageError(
                f"{key!r} is no fingerprint of a host key",
                hint="it looks like SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            )


class SftpAddress(NamedTuple):
    """What a URL of an SFTP server says. `folder` is absolute, or below the user's own."""

    user: str
    host: str
    port: int
    folder: str


def sftp_address(url: str) -> SftpAddress:
    """Raises UsageError for what is no such URL."""
    try:
        found = urlsplit(url)
        port = found.port or 22
    except ValueError as error:
        raise UsageError(f"this is no URL: {error}", hint=_SFTP_HINT) from None
    folder = unquote(found.path).rstrip("/") or "/"
    if found.scheme != SFTP or not found.hostname or not found.username:
        raise UsageError(f"{url!r} does not say which user of which host", hint=_SFTP_HINT)
    if found.password is not None or found.query or found.fragment:
        raise UsageError(f"{found.hostname}: no password, `?` or `#` belongs in a URL")
    if not folder.isprintable():
        raise UsageError(f"{folder!r} names no folder", hint=_SFTP_HINT)
    if folder in ("/", "/~"):
        raise UsageError("a folder is to be named", hint=_SFTP_HINT)
    return SftpAddress(
        unquote(found.username), found.hostname, port, folder.removeprefix("/~/") or "."
    )
