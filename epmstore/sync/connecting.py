"""From the settings of a remote to the remote itself, with what goes around it."""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias

import msgspec

from epmstore.errors import RemoteDeniedError, RemoteError
from epmstore.remotes.credentials import credential_file, credential_name, read_secret
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.metered import MeteredRemote
from epmstore.remotes.place import S3, SFTP, RemotePlace
from epmstore.remotes.remote import Remote
from epmstore.remotes.retry import RetryRemote
from epmstore.remotes.web_remote import WebRemote

NOTHING: Final[Mapping[str, str]] = {}


class RemoteLink(msgspec.Struct, frozen=True):
    """A remote, and the meter that counts what goes to it and comes from it. `where` is for
    messages, `place` what all of that is around.
    """

    remote: Remote
    meter: MeteredRemote
    where: str
    place: Remote | None = None


Connect: TypeAlias = Callable[[RemotePlace], contextlib.AbstractContextManager[RemoteLink]]
"""How settings become a remote."""


@contextlib.contextmanager
def connect(place: RemotePlace, environ: Mapping[str, str] = NOTHING) -> Iterator[RemoteLink]:
    """What settings lead to, as long as the block lasts. Raises RemoteError, ForeignError,
    UsageError, OSError (its certificates cannot be read).
    """
    remote: Any
    if not place.scheme:
        remote = FolderRemote(Path(place.url))
    elif place.scheme == SFTP:
        module = _extra("sftp", "epmstore.remotes.sftp_remote")
        remote = module.SftpRemote(place, lambda: _secret(place, environ))
    elif place.scheme == S3:
        keys = importlib.import_module("epmstore.remotes.object_keys")
        module = _extra("s3", "epmstore.remotes.objects_remote")
        key = keys.access_key(place, environ)
        authorities = None if place.authorities is None else Path(place.authorities).read_text()
        remote = module.ObjectsRemote(place, key, authorities=authorities)
    else:
        file = None if place.authorities is None else Path(place.authorities)
        remote = WebRemote(place.url, authorities=file)
    with contextlib.closing(remote):
        yield link_to(remote, place.url)


def link_to(place: Remote, where: str) -> RemoteLink:
    """With retries around it, and a meter that counts each of them."""
    meter = MeteredRemote(place)
    return RemoteLink(RetryRemote(meter), meter, where, place)


def _extra(name: str, module: str) -> ModuleType:
    """A module whose library not every installation has. Raises RemoteError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").startswith("epmstore"):
            raise
        raise RemoteError(
            f"this installation has no {error.name}, by which such a remote is reached",
            hint=f"pip install 'epmstore[{name}]', into where epmstore is installed",
        ) from None


def _secret(place: RemotePlace, environ: Mapping[str, str]) -> bytes:
    path = credential_file(place, environ)
    if path is None:
        raise RemoteDeniedError(
            f"nobody said what this host shows to {place.url}",
            hint="--credentials FILE names a file with a private key or a password; a unit of"
            f" systemd may have LoadCredential={credential_name(place.name)}:FILE",
        )
    return read_secret(path)
