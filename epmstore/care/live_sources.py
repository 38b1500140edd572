"""Where good bytes of a content may still be: the live files of any registered application."""

import contextlib
from collections.abc import Collection, Iterator

from epmstore import fsio
from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.care.references import apps_or_none
from epmstore.catalog.appcat import App
from epmstore.digest import BlobInfo, identify_stream
from epmstore.errors import EpmError
from epmstore.record.root import open_root
from epmstore.relpath import RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.steady import stream_steady
from epmstore.store.seeking import ContentOffer, as_far_as_readable
from epmstore.store.store import Store


class LiveFiles:
    """A Seeker in the roots of all registered applications: their paths that ever had a content. A
    root or a file that cannot be read offers nothing.
    """

    def __init__(self, store: Store) -> None:
        self._entries = store.entries
        self._apps = {app.uuid: app for app in apps_or_none(store)}

    def __str__(self) -> str:
        return "the live roots"

    def offers(self, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        for info in list(wanted):
            for app, path in self._paths(info):
                if info not in wanted:
                    break
                with contextlib.suppress(EpmError, OSError):
                    yield from _offers(info, self._apps[app], path)

    def _paths(self, info: BlobInfo) -> list[tuple[str, RelPath]]:
        """The applications and paths that ever had a content, in order."""
        paths = {
            (uuid, span.entry.path)
            for uuid, span in self._entries.with_content(info.digest)
            if uuid in self._apps and span.entry.content == info
        }
        return sorted(paths)


def _offers(info: BlobInfo, app: App, path: RelPath) -> Iterator[ContentOffer]:
    """The file at a path, if it may have a content. A large one is read twice, so that only what is
    right is written.
    """
    folder, name = split(path)
    with open_root(app) as root, FolderCache(root.fd) as folders:
        parent = folders.open(folder)
        found = fsio.lstat(name, parent)
        if found.st_size != info.size:
            return
        if info.size > PART_THRESHOLD:
            with stream_steady(parent, name, found, info.size) as stream:
                if identify_stream(stream.chunks()) != info:
                    return
        with stream_steady(parent, name, found, info.size) as stream:
            yield ContentOffer(info.size, as_far_as_readable(stream.chunks()))
