"""A vendor in memory: what releases shipped, said span by span."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from epmstore.digest import BlobInfo, identify
from epmstore.index.entries import Span
from epmstore.refcat.classify import Shipped
from epmstore.relpath import RelPath
from epmstore.tree import Entry

APP = "0123456789abcdef0123456789abcdef"
OTHER_APP = "fedcba9876543210fedcba9876543210"


def content(text: str, size: int = 1000) -> BlobInfo:
    return identify(hashlib.sha256(text.encode()).digest() * (size // 32) + b"." * (size % 32))


def file(path: str, text: str, *, mode: int = 0o644, uid: int = 0, size: int = 1000) -> Entry:
    return Entry(
        path=RelPath(path), kind="file", mode=mode, uid=uid, gid=uid, content=content(text, size)
    )


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path=RelPath(path), kind="directory", mode=mode)


def link(path: str, target: str) -> Entry:
    return Entry(path=RelPath(path), kind="symlink", mode=0o777, target=target)


class FakeVendor:
    """Of several applications; `APP` is the one whose paths `states` are asked for."""

    def __init__(self) -> None:
        self._shipped: dict[BlobInfo, list[Shipped]] = defaultdict(list)
        self._states: dict[RelPath, list[Span]] = defaultdict(list)

    def ship(self, entry: Entry, since: int, until: int | None = None, app: str = APP) -> None:
        if entry.content is not None:
            shipped = Shipped(app, entry.path, since, until)
            self._shipped[entry.content].append(shipped)
        if app == APP:
            self._states[entry.path].append(Span(entry, since, until))
            self._states[entry.path].sort(key=lambda span: span.since)

    def shipped(self, content: BlobInfo) -> Sequence[Shipped]:
        return self._shipped.get(content, [])

    def states(self, path: RelPath) -> Sequence[Span]:
        return self._states.get(path, [])
