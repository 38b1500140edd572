"""The access key of an object store: from a file, from what systemd gives, or from the variables
and the file that every program for such stores knows.

    [default]
    aws_access_key_id = AKIA...
    aws_secret_access_key = ...
"""

import configparser
from collections.abc import Mapping
from pathlib import Path

import msgspec

from epmstore.errors import RemoteDeniedError
from epmstore.remotes.credentials import credential_file, credential_name, read_secret
from epmstore.remotes.place import RemotePlace


class AccessKey(msgspec.Struct, frozen=True):
    """Who this host is for an object store."""

    name: str
    secret: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"AccessKey({self.name!r})"


def access_key(place: RemotePlace, environ: Mapping[str, str]) -> AccessKey:
    """The first that is there: the file that a person named, a credential of systemd,
    AWS_ACCESS_KEY_ID and its kin, AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials. Raises
    RemoteDeniedError.
    """
    profile = environ.get("AWS_PROFILE") or "default"
    path = credential_file(place, environ)
    if path is not None:
        return _parse(path, profile)
    name, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if name and secret:
        return AccessKey(name, secret, environ.get("AWS_SESSION_TOKEN") or None)
    usual = environ.get("AWS_SHARED_CREDENTIALS_FILE")
    if not usual and environ.get("HOME"):
        usual = f"{environ['HOME']}/.aws/credentials"
    if usual and Path(usual).exists():
        return _parse(Path(usual), profile)
    raise RemoteDeniedError(
        f"there is no access key for {place.url}",
        hint="--credentials FILE names a file with aws_access_key_id and aws_secret_access_key; so"
        " do AWS_ACCESS_KEY_ID, ~/.aws/credentials, and of a unit of systemd"
        f" LoadCredential={credential_name(place.name)}:FILE",
    )


def _parse(path: Path, profile: str) -> AccessKey:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(read_secret(path).decode("utf-8", "replace"))
        found = parser[profile if parser.has_section(profile) else "default"]
        return AccessKey(
            found["aws_access_key_id"].strip(),
            found["aws_secret_access_key"].strip(),
            found.get("aws_session_token") or None,
        )
    except (configparser.Error, KeyError):
        raise RemoteDeniedError(
            f"{path} has no access key for [{profile}]",
            hint="below [default] it is to have aws_access_key_id = ... and"
            " aws_secret_access_key = ...",
            file=str(path),
        ) from None
