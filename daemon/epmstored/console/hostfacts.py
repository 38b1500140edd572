"""What the host page has to know of each application, and remembers until something is recorded."""

import threading
from collections.abc import Sequence

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.model import HoldRecord
from epmstore.errors import EpmError
from epmstore.workspace import AppHandle, Workspace
from epmstore.workspace.app.obligations import Pending
from epmstored.console.histories import (
    AppHistory,
    CatalogToken,
    catalog_tokens,
    read_history,
)
from epmstored.console.versionrows import VersionRow, row_of

DAY = 86_400.0
SPARK_DAYS = 30


class AppSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One application as its catalogs have it. `times` are those of the versions of the last days,
    in seconds since 1970; `release` is what the newest version is by what explains it; `notes` is
    how many were not acknowledged; `damage` why its history cannot be read whole.
    """

    app: App
    newest: VersionRow | None = None
    release: str | None = None
    times: tuple[float, ...] = ()
    hold: HoldRecord | None = None
    notes: int = 0
    damage: str | None = None


class AppNow(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked anew each time: what a checkout left to be done."""

    summary: AppSummary
    token: CatalogToken
    pending: Pending | None = None
    is_interrupted: bool = False
    is_unfinished: bool = False


class Summaries:
    """Of all applications. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[CatalogToken, AppSummary]] = {}

    def read(self, workspace: Workspace, apps: Sequence[App]) -> list[AppNow]:
        """In the order of `apps`. What is wrong with one does not hide the others."""
        tokens = catalog_tokens(workspace, apps)
        with self._lock:
            found = [self._one(workspace, app, tokens[app.uuid]) for app in apps]
            there = {app.uuid for app in workspace.apps.list()}
            self._known = {uuid: one for uuid, one in self._known.items() if uuid in there}
        return found

    def _one(self, workspace: Workspace, app: App, token: CatalogToken) -> AppNow:
        known = self._known.get(app.uuid)
        try:
            handle = workspace.app(app.key)
            if known is None or known[0] != token:
                found = summarize(read_history(handle), workspace.now())
                known = self._known[app.uuid] = (token, found)
            return with_duties(handle, known[1], token)
        except (EpmError, OSError) as error:
            message = error.message if isinstance(error, EpmError) else str(error)
            return AppNow(summary=AppSummary(app=app, damage=message), token=token)


def with_duties(handle: AppHandle, summary: AppSummary, token: CatalogToken) -> AppNow:
    """Raises DamagedError."""
    owed = handle.obligations.owed
    return AppNow(
        summary=summary,
        token=token,
        pending=handle.obligations.pending,
        is_interrupted=handle.obligations.is_interrupted,
        is_unfinished=owed is not None and owed.phase != "CONFIRMING",
    )


def summarize(history: AppHistory, now: float) -> AppSummary:
    """As little of it as the page shows."""
    if not history.versions:
        return AppSummary(app=history.app, damage=history.damage, hold=history.hold)
    newest = history.versions[-1]
    explained = history.reasons.get(newest.version)
    release = None if explained is None else explained.release
    begin = now - (SPARK_DAYS + 1) * DAY
    return AppSummary(
        app=history.app,
        newest=row_of(newest, explained, history.titles),
        release=None if release is None else history.titles(release),
        times=tuple(one.time for one in history.versions if one.time >= begin),
        hold=history.hold,
        notes=history.notes,
        damage=history.damage,
    )
