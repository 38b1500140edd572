"""From the settings of a remote to the remote itself, with what goes around it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.metered import MeteredRemote
from epmstore.remotes.remote import Remote
from epmstore.remotes.retry import RetryRemote
from epmstore.remotes.web_remote import WebRemote


class RemoteLink(msgspec.Struct, frozen=True):
    """A remote, and the meter that counts what goes to it and comes from it. `where` is for
    messages.
    """

    remote: Remote
    meter: MeteredRemote
    where: str


@contextlib.contextmanager
def connect(url: str, authorities: str | None = None) -> Iterator[RemoteLink]:
    """What a URL leads to, as long as the block lasts. Raises RemoteError, ForeignError,
    UsageError, OSError (its certificates cannot be read).
    """
    place: FolderRemote | WebRemote
    if url.startswith("/"):
        place = FolderRemote(Path(url))
    else:
        place = WebRemote(url, authorities=None if authorities is None else Path(authorities))
    with contextlib.closing(place):
        yield link_to(place, url)


def link_to(place: Remote, where: str) -> RemoteLink:
    """With retries around it, and a meter that counts each of them."""
    meter = MeteredRemote(place)
    return RemoteLink(RetryRemote(meter), meter, where)
