"""The pages: what each is asked with, reads and shows. In a reader's thread."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from epmstore.catalog.appcat import App
from epmstore.errors import AppNotFoundError
from epmstore.relpath import from_json_or_root
from epmstore.workspace import Workspace
from epmstored.api.forms import PathText, Query
from epmstored.api.refusals import ForbiddenError
from epmstored.app_state import AppState
from epmstored.console.addresses import of_back
from epmstored.console.appfacts import apps_of, read_app
from epmstored.console.appview import app_view
from epmstored.console.changefacts import read_file, read_version
from epmstored.console.changeview import file_view, version_view
from epmstored.console.histories import Histories
from epmstored.console.hostfacts import AppNow, Summaries
from epmstored.console.hostview import host_view
from epmstored.console.pathfacts import read_path, search
from epmstored.console.pathview import path_view, search_view
from epmstored.console.phrases import Today
from epmstored.console.principals import Principal
from epmstored.console.standings import Standing
from epmstored.console.timeline import SPANS
from epmstored.health import Trouble

DAYS = 90


class AppQuery(Query, frozen=True, kw_only=True):
    """Versions before `before`; all of them, or those that were asked for; and how many days the
    line of time has.
    """

    before: Annotated[int, Meta(ge=0)] | None = None
    only: Literal["changes"] | None = None
    days: str = str(DAYS)


class VersionPageQuery(Query, frozen=True, kw_only=True):
    """Paths behind `after`, in byte order."""

    after: PathText | None = None


class PathQuery(Query, frozen=True, kw_only=True):
    path: PathText


class SearchQuery(Query, frozen=True, kw_only=True):
    q: Annotated[str, Meta(max_length=500)] = ""


class PageRequest(Struct, frozen=True, kw_only=True):
    """One request of a known user, and what is known without reading. Mappings are by UUID."""

    principal: Principal
    names: Mapping[str, str]
    query: Any
    states: Mapping[str, AppState]
    standings: Mapping[str, Standing]
    proven: Mapping[str, tuple[int, str]]
    troubles: Sequence[Trouble]
    now: float


class Page(Struct, frozen=True, kw_only=True):
    """A template and its context; `looks` are applications whose roots it shows."""

    template: str
    context: dict[str, Any]
    looks: Sequence[AppNow] = ()


PageMaker: TypeAlias = Literal["host", "app", "version", "file", "path", "search"]


class Pages:
    """One method for each page. From any thread."""

    def __init__(self) -> None:
        self._summaries = Summaries()
        self._histories = Histories()

    def host(self, workspace: Workspace, asked: PageRequest) -> Page:
        """All applications that this user may look at; what concerns the store is for who may look
        at everything.
        """
        apps = [app for app in apps_of(workspace) if asked.principal.may_look(app)]
        found = self._summaries.read(workspace, apps)
        troubles = asked.troubles if asked.principal.is_viewer else ()
        context = host_view(
            found, asked.states, asked.standings, asked.proven, troubles, Today(asked.now)
        )
        return Page(template="host.html", context=context, looks=found)

    def app(self, workspace: Workspace, asked: PageRequest) -> Page:
        app = _app(workspace, asked)
        query: AppQuery = asked.query
        only = query.only == "changes"
        facts = read_app(workspace, self._histories, app, query.before, only_changes=only)
        days = int(query.days) if query.days in map(str, SPANS) else None
        context = app_view(
            facts,
            asked.states.get(app.uuid),
            asked.standings.get(app.uuid),
            asked.proven.get(app.uuid),
            Today(asked.now),
            days=days,
            only_changes=only,
            is_first_page=query.before is None,
        )
        context["may_read"] = asked.principal.may_read(app)
        may_undo = asked.principal.is_operator and facts.can_be_undone
        context["undo"] = of_back(app.key, undo="true") if may_undo else None
        may_confirm = asked.principal.is_operator and facts.now.pending is not None
        context["confirm"] = f"{context['address']}/confirm" if may_confirm else None
        return Page(template="app.html", context=context, looks=[facts.now])

    def version(self, workspace: Workspace, asked: PageRequest) -> Page:
        app = _app(workspace, asked)
        query: VersionPageQuery = asked.query
        after = None if query.after is None else from_json_or_root(query.after)
        may_read = asked.principal.may_read(app)
        number = int(asked.names["version"])
        _, history = self._histories.get(workspace, app)
        facts = read_version(workspace, history, number, after, with_changes=may_read)
        context = version_view(facts, Today(asked.now))
        may_go = asked.principal.is_operator and facts.after is not None
        context["back"] = of_back(app.key, to=number) if may_go and facts.info.restorable else None
        return Page(template="version.html", context=context)

    def file(self, workspace: Workspace, asked: PageRequest) -> Page:
        app = _readable(workspace, asked)
        query: PathQuery = asked.query
        number = int(asked.names["version"])
        _, history = self._histories.get(workspace, app)
        facts = read_file(workspace, history, number, from_json_or_root(query.path))
        return Page(template="file.html", context=file_view(facts, Today(asked.now)))

    def path(self, workspace: Workspace, asked: PageRequest) -> Page:
        app = _readable(workspace, asked)
        query: PathQuery = asked.query
        _, history = self._histories.get(workspace, app)
        facts = read_path(workspace, history, from_json_or_root(query.path))
        return Page(template="path.html", context=path_view(facts, Today(asked.now)))

    def search(self, workspace: Workspace, asked: PageRequest) -> Page:
        query: SearchQuery = asked.query
        apps = apps_of(workspace)
        looked = [app for app in apps if asked.principal.may_look(app)]
        read = [app for app in looked if asked.principal.may_read(app)]
        context = search_view(query.q, search(workspace, query.q, looked, read), Today(asked.now))
        context["reads_all"] = len(read) == len(looked)
        return Page(template="search.html", context=context)


QUERIES: Mapping[PageMaker, type[Any]] = {
    "host": Query,
    "app": AppQuery,
    "version": VersionPageQuery,
    "file": PathQuery,
    "path": PathQuery,
    "search": SearchQuery,
}
PATHS: Mapping[PageMaker, str] = {
    "host": "/",
    "app": "/apps/{app}",
    "version": r"/apps/{app}/versions/{version:[0-9]{1,15}}",
    "file": r"/apps/{app}/versions/{version:[0-9]{1,15}}/file",
    "path": "/apps/{app}/path",
    "search": "/search",
}


def _app(workspace: Workspace, asked: PageRequest) -> App:
    """Raises AppNotFoundError, also for one that this user may not look at."""
    key = asked.names["app"]
    for app in apps_of(workspace):
        if app.key == key and asked.principal.may_look(app):
            return app
    raise AppNotFoundError(f"there is no application {key!r} here, or it is not for you")


def _readable(workspace: Workspace, asked: PageRequest) -> App:
    """Raises ForbiddenError for one whose files this user may not see."""
    app = _app(workspace, asked)
    if not asked.principal.may_read(app):
        raise ForbiddenError("its files are for its owners and for operators")
    return app
