"""Hosts that share one depot, each with a store of its own and a link that may be bad."""

import contextlib
import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from epmstore.progress import SILENT
from epmstore.remotes.memory_remote import MemoryRemote, MemoryShelf
from epmstore.remotes.metered import MeteredRemote
from epmstore.remotes.place import RemotePlace
from epmstore.remotes.remote import Remote
from epmstore.remotes.retry import RetryRemote
from epmstore.sync.connecting import RemoteLink
from epmstore.workspace.opening import open_store
from epmstore.workspace.remotes import Pushed, Remotes
from tests.kit.host import Host

SITE = "site"
STEP = 1 if "EPM_TEST_POINTS" in os.environ else 4
"""At each so manieth call something is killed; `make faults` takes each of them."""


class Site:
    """A host with an application `crm`, and its way to a depot in memory."""

    def __init__(self, base: Path, shelf: MemoryShelf | None = None) -> None:
        self.host = Host(base)
        self.shelf = shelf or MemoryShelf()
        self.remote: Remote = MemoryRemote(self.shelf)

    @contextlib.contextmanager
    def connect(self, place: RemotePlace) -> Iterator[RemoteLink]:
        meter = MeteredRemote(self.remote)
        yield RemoteLink(RetryRemote(meter, sleep=lambda seconds: None), meter, place.url)

    @contextlib.contextmanager
    def remotes(self) -> Iterator[Remotes]:
        with open_store(self.host.path, self.host.clock, SILENT, owner="test") as store:
            yield Remotes(store, progress=SILENT, connect=self.connect)

    def add(self) -> str:
        """The id of this host there."""
        with self.remotes() as remotes:
            writer = remotes.add(SITE, "/depot").writer
        assert writer is not None
        return writer

    def record(self, content: str) -> int:
        self.host.write("file", content.encode())
        return self.host.snapshot(content)

    def push(self, *, anew: bool = False) -> Pushed:
        self.host.clock.advance(1)
        with self.remotes() as remotes:
            return remotes.push(SITE, anew=anew, agreed=True)


def copied(site: Site, base: Path) -> Site:
    """The same store once more, as a virtual machine is cloned, with a way to the same depot."""
    shutil.copytree(site.host.base, base, symlinks=True)
    other = copy.copy(site)
    other.host = copy.copy(site.host)
    other.host.base, other.host.path = base, base / "store"
    return other


def copied_with_depot(site: Site, base: Path) -> Site:
    """The same, and a copy of the depot, too."""
    other = copied(site, base)
    other.shelf = MemoryShelf()
    other.shelf.objects = dict(site.shelf.objects)
    other.remote = MemoryRemote(other.shelf)
    return other
