"""The histories that pages are made of, read whole, and the last few kept: a thousand versions take
longer to read than to show.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from epmstore.atomic import TEMPORARY
from epmstore.catalog.appcat import App
from epmstore.catalog.model import HoldRecord
from epmstore.catalog.state import VersionInfo
from epmstore.refcat.explained import Titles, titles_of
from epmstore.refcat.explanation import Explanation
from epmstore.store.store import SYSCAT
from epmstore.workspace import AppHandle, Workspace

KEPT: Final = 4
CatalogToken: TypeAlias = object
"""Differs after every record of an application, and after every change of releases or rules."""


class AppHistory(msgspec.Struct, frozen=True, kw_only=True):
    """One application as its catalogs have it. `versions` oldest first; `notes` is how many were
    not acknowledged; `damage` why its history cannot be read whole.
    """

    app: App
    versions: Sequence[VersionInfo]
    reasons: Mapping[int, Explanation]
    titles: Titles
    has_releases: bool
    hold: HoldRecord | None
    notes: int
    damage: str | None


class Histories:
    """Those that were asked for last. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[CatalogToken, AppHistory]] = {}

    def get(self, workspace: Workspace, app: App) -> tuple[CatalogToken, AppHistory]:
        """Raises DamagedError, OSError."""
        token = catalog_tokens(workspace, [app])[app.uuid]
        with self._lock:
            known = self._known.pop(app.uuid, None)
            if known is None or known[0] != token or known[1].app != app:
                known = (token, read_history(workspace.app(app.key)))
            self._known[app.uuid] = known
            while len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
            return known


def read_history(handle: AppHandle) -> AppHistory:
    """Raises DamagedError, OSError."""
    state = handle.reading.state()
    fault = handle.reading.damage()
    return AppHistory(
        app=handle.app,
        versions=state.versions,
        reasons=handle.explanations() if state.versions else {},
        titles=titles_of(handle.releases),
        has_releases=handle.releases.exists(),
        hold=state.hold,
        notes=sum(one.is_open for one in handle.installing.notes()),
        damage=None if fault is None else fault.message,
    )


def catalog_tokens(workspace: Workspace, apps: Sequence[App]) -> Mapping[str, CatalogToken]:
    """By UUID."""
    own: dict[str, list[object]] = {app.uuid: [] for app in apps}
    shared: list[object] = []
    for entry in os.scandir(workspace.path / "catalogs"):
        if entry.name.startswith(TEMPORARY):
            continue
        try:
            facts = entry.stat()
        except FileNotFoundError:
            continue
        fact = (entry.name, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if entry.name.endswith(SYSCAT):
            own.get(entry.name.partition(".")[0], []).append(fact)
        else:
            shared.append(fact)
    every = tuple(sorted(map(repr, shared)))
    return {uuid: (every, tuple(map(repr, facts))) for uuid, facts in own.items()}
