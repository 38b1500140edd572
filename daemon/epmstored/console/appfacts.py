"""What the page of one application reads."""

from collections.abc import Sequence

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.operations import can_be_undone
from epmstore.workspace import Workspace
from epmstored.console.histories import Histories
from epmstored.console.hostfacts import AppNow, summarize, with_duties
from epmstored.console.versionrows import VersionRow, hue_of, row_of

PAGE = 50


class TimePoint(msgspec.Struct, frozen=True):
    """One version on the line of time."""

    time: float
    is_change: bool
    hue: str


class AppFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` are one page of the history, newest first; `next` is the `before` of the next one."""

    now: AppNow
    app: App
    total: int
    points: tuple[TimePoint, ...]
    rows: tuple[VersionRow, ...]
    next: int | None
    has_releases: bool
    can_be_undone: bool = False


def read_app(
    workspace: Workspace,
    histories: Histories,
    app: App,
    before: int | None,
    *,
    only_changes: bool,
) -> AppFacts:
    """Raises DamagedError, OSError."""
    token, history = histories.get(workspace, app)
    reasons, titles = history.reasons, history.titles
    wanted = [
        one
        for one in reversed(history.versions)
        if (before is None or one.version < before) and (one.kind == "change" or not only_changes)
    ]
    page = wanted[:PAGE]
    summary = summarize(history, workspace.now())
    return AppFacts(
        now=with_duties(workspace.app(app.key), summary, token),
        app=app,
        total=len(history.versions),
        points=tuple(
            TimePoint(one.time, one.kind == "change", hue_of(one, reasons.get(one.version)))
            for one in history.versions
        ),
        rows=tuple(row_of(one, reasons.get(one.version), titles) for one in page),
        next=page[-1].version if len(wanted) > len(page) else None,
        has_releases=history.has_releases,
        can_be_undone=bool(history.versions) and can_be_undone(history.versions[-1].record),
    )


def apps_of(workspace: Workspace) -> Sequence[App]:
    """Those that are registered, in order of keys."""
    return workspace.apps.list()
