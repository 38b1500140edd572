"""What the page of one path reads, and what is searched for."""

import string
from collections.abc import Sequence
from typing import Final

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.state import VersionInfo
from epmstore.digest import parse_address
from epmstore.errors import EpmError
from epmstore.index.entries import Span
from epmstore.refcat.identify import Origin
from epmstore.relpath import RelPath
from epmstore.workspace import Workspace
from epmstored.console.histories import AppHistory

STATES: Final = 200
FOUND: Final = 200
ORIGINS: Final = 20


class PathStates(msgspec.Struct, frozen=True, kw_only=True):
    """All states of a path, newest first, the versions that they came with, and who shipped their
    contents. `total` counts the states, of which there may be more than are here.
    """

    app: App
    path: RelPath
    states: Sequence[tuple[Span, VersionInfo | None, Sequence[Origin]]]
    total: int


class FoundLabel(msgspec.Struct, frozen=True):
    """A version whose label or tag has what was searched for."""

    app: App
    info: VersionInfo


class FoundPath(msgspec.Struct, frozen=True):
    """A path that was searched for, by name or by content: its newest state that fits."""

    app: App
    span: Span
    states: int


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """`is_cut`: there are more."""

    labels: Sequence[FoundLabel] = ()
    paths: Sequence[FoundPath] = ()
    origins: Sequence[Origin] = ()
    is_cut: bool = False
    why_not: str | None = None


def read_path(workspace: Workspace, history: AppHistory, path: RelPath) -> PathStates:
    """Raises PathNotFoundError, DamagedError."""
    spans = list(reversed(workspace.app(history.app.key).history(path)))
    versions = {info.version: info for info in history.versions}
    shown = spans[:STATES]
    contents = {span.entry.content for span in shown if span.entry.content is not None}
    origins = workspace.origins.origins(contents) if contents else {}
    return PathStates(
        app=history.app,
        path=path,
        states=[
            (
                span,
                versions.get(span.since),
                () if span.entry.content is None else origins.get(span.entry.content, ())[:ORIGINS],
            )
            for span in shown
        ],
        total=len(spans),
    )


def search(
    workspace: Workspace, text: str, looked: Sequence[App], read: Sequence[App]
) -> SearchResult:
    """In the labels of applications that may be `looked` at, and the paths of those that may be
    `read`. Raises DamagedError.
    """
    if not text.strip():
        return SearchResult(why_not="Write a part of a path, a label, or a SHA-1.")
    wanted = text.strip()
    if len(wanted) in (40, 64) and set(wanted) <= set(string.hexdigits):
        return _by_content(workspace, wanted, read)
    labels = [
        FoundLabel(app, info)
        for app in looked
        for info in reversed(workspace.app(app.key).versions())
        if _has(info, wanted.casefold())
    ]
    paths: list[FoundPath] = []
    pattern = wanted if set(wanted) & set("*?[") else f"*{wanted}*"
    for app in read:
        if len(paths) > FOUND:
            break
        paths += _newest(app, workspace.app(app.key).find(pattern))
    is_cut = len(labels) > FOUND or len(paths) > FOUND
    return SearchResult(labels=labels[:FOUND], paths=paths[:FOUND], is_cut=is_cut)


def _has(info: VersionInfo, wanted: str) -> bool:
    return any(wanted in one.casefold() for one in (*info.labels, *info.tags))


def _by_content(workspace: Workspace, wanted: str, read: Sequence[App]) -> SearchResult:
    try:
        address = parse_address(wanted.lower())
    except (EpmError, ValueError):
        return SearchResult(why_not="That is no digest.")
    paths: list[FoundPath] = []
    for app in read:
        paths += _newest(app, workspace.app(app.key).reading.find_content(address))
    contents = {one.span.entry.content for one in paths if one.span.entry.content is not None}
    shipped = workspace.origins.origins(contents)
    origins = [one for found in shipped.values() for one in found]
    return SearchResult(paths=paths[:FOUND], origins=origins[:ORIGINS], is_cut=len(paths) > FOUND)


def _newest(app: App, spans: Sequence[Span]) -> list[FoundPath]:
    """The newest state of each path, in the order in which the paths came."""
    found: dict[RelPath, list[Span]] = {}
    for span in spans:
        found.setdefault(span.entry.path, []).append(span)
    return [
        FoundPath(app, max(states, key=lambda span: span.since), len(states))
        for states in found.values()
    ]
