"""Where good bytes of a content may still be: the live files of any registered application.

What is handed on has both digests of what was asked for; nothing is ever made up.
"""

from collections.abc import Callable

from epmstore import fsio
from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter
from epmstore.care.needs import apps_or_none
from epmstore.catalog.appcat import App
from epmstore.digest import BlobInfo, Sha256, identify, identify_stream
from epmstore.errors import RootError
from epmstore.record.root import open_root
from epmstore.relpath import RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.problem import UnreadError
from epmstore.scan.steady import stream_steady
from epmstore.store.store import Store


class LiveFiles:
    """The roots of all registered applications, and which of their paths ever had a content."""

    def __init__(self, store: Store, has_part: Callable[[Sha256], bool]) -> None:
        self._entries = store.entries
        self._apps = {app.uuid: app for app in apps_or_none(store)}
        self._has_part = has_part

    def give(self, writer: GroupWriter, info: BlobInfo) -> bool:
        """Whether some live file has exactly this content, which then was given to the writer."""
        paths = {
            (uuid, span.entry.path)
            for uuid, span in self._entries.with_content(info.digest)
            if uuid in self._apps and span.entry.content == info
        }
        return any(self._give(writer, info, self._apps[app], path) for app, path in sorted(paths))

    def _give(self, writer: GroupWriter, info: BlobInfo, app: App, path: RelPath) -> bool:
        folder, name = split(path)
        try:
            with open_root(app) as root, FolderCache(root.fd) as folders:
                return self._give_file(writer, info, folders.open(folder), name)
        except (OSError, RootError, UnreadError):
            return False

    def _give_file(self, writer: GroupWriter, info: BlobInfo, parent: int, name: str) -> bool:
        found = fsio.lstat(name, parent)
        if found.st_size != info.size:
            return False
        with stream_steady(parent, name, found, info.size) as stream:
            if info.size <= PART_THRESHOLD:
                data = b"".join(stream.chunks())
                if identify(data) != info:
                    return False
                writer.add(info, data)
                return True
            if identify_stream(stream.chunks()) != info:
                return False
        # read again, so that only what is right is written; what it then is, it is stored as
        with stream_steady(parent, name, found, info.size) as stream:
            return writer.add_large(stream.chunks(), self._has_part) == info
