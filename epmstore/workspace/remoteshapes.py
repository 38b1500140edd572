"""Shapes of docs/json.md about remotes. Pure."""

from collections.abc import Sequence

from epmstore.errorform import Shape
from epmstore.sync.adopting import AdoptedApp, AdoptedHost
from epmstore.sync.judging import HeadFinding
from epmstore.sync.mirroring import MirrorResult
from epmstore.sync.pulling import PulledApp, PulledHost, PullResult
from epmstore.sync.pushing import PushedApp
from epmstore.workspace.remotes import KnownHost, Pushed, RemoteCheck, RemoteView
from epmstore.workspace.shapes import came_from, text


def remote(view: RemoteView) -> Shape:
    settings, head = view.settings, view.head
    return {
        "type": "remote",
        "app": None,
        "name": settings.name,
        "url": settings.url,
        "depot": settings.depot,
        "order": settings.order,
        "policy": settings.policy,
        "added": settings.added,
        "authorities": settings.authorities,
        "credentials": settings.credentials,
        "host_keys": [*settings.host_keys],
        "endpoint": settings.endpoint,
        "region": settings.region,
        "denied": view.denied,
        "writer": settings.writer,
        "number": None if head is None else head.number,
        "pushed": None if head is None else head.time,
        "hosts": [*map(known_host, view.hosts)],
    }


def known_host(host: KnownHost) -> Shape:
    return {
        "writer": host.writer,
        "number": host.head.number,
        "time": host.head.time,
        "continues": host.head.continues,
        "apps": [
            {"app": app.key, "version": app.version, "root": app.root, "ended": app.ended}
            for app in host.head.apps
        ],
    }


def push(name: str, pushed: Pushed, *, dry_run: bool) -> Shape:
    plan = pushed.plan
    return {
        "type": "push",
        "app": None,
        "remote": name,
        "writer": plan.head.writer,
        "number": plan.head.number
        if not plan.is_nothing or plan.follows is None
        else plan.follows.head.number,
        "nothing": plan.is_nothing,
        "bytes": plan.size,
        "apps": [*map(pushed_app, plan.apps)],
        "contents": None if pushed.contents is None else contents(pushed),
        "dry_run": dry_run,
    }


def contents(pushed: Pushed) -> Shape:
    """What of contents goes, or went."""
    plan, sent = pushed.contents, pushed.sent
    assert plan is not None, "the caller looked"
    return {
        "contents": sum(app.contents for app in plan.apps),
        "plain_bytes": sum(app.size for app in plan.apps),
        "bytes": plan.cost if sent is None else sent.size,
        "packs": plan.packs if sent is None else sent.packs,
        "lacking": 0 if sent is None else sum(sent.lacking.values()),
    }


def pushed_app(app: PushedApp) -> Shape:
    return {
        "app": app.key,
        "before": app.before,
        "version": app.version,
        "lines": app.lines,
        "bytes": app.size,
    }


def pull(name: str, result: PullResult, *, dry_run: bool) -> Shape:
    return {
        "type": "pull",
        "app": None,
        "remote": name,
        "hosts": [*map(pulled_host, result.hosts)],
        "findings": findings(result.findings),
        "dry_run": dry_run,
    }


def pulled_host(host: PulledHost) -> Shape:
    return {
        "writer": host.writer,
        "number": host.number,
        "time": host.time,
        "new": host.is_new,
        "apps": [*map(pulled_app, host.apps)],
    }


def pulled_app(app: PulledApp) -> Shape:
    return {"app": app.key, "version": app.version, "lines": app.lines, "bytes": app.size}


def mirror(source: str, target: str, result: MirrorResult, *, dry_run: bool) -> Shape:
    return {
        "type": "mirror",
        "app": None,
        "from": source,
        "remote": target,
        "hosts": [
            {"writer": one.writer, "number": one.number, "objects": one.objects, "bytes": one.size}
            for one in result.hosts
        ],
        "findings": findings(result.findings),
        "dry_run": dry_run,
    }


def adopted(name: str, host: AdoptedHost, *, dry_run: bool) -> Shape:
    return {
        "type": "adopted_host",
        "app": None,
        "remote": name,
        "host": host.host,
        "time": host.time,
        "writer": host.writer,
        "apps": [*map(adopted_app, host.apps)],
        "came_from": came_from(host.came),
        "dry_run": dry_run,
    }


def adopted_app(app: AdoptedApp) -> Shape:
    return {
        "app": app.key,
        "uuid": app.app,
        "root": text(app.root),
        "version": app.version,
        "needed": app.needed,
        "lacking": app.lacking,
        "secrets": app.secrets,
        "forgotten": [*app.forgotten],
        "catalog": app.has_catalog,
        "new": app.is_new,
    }


def findings(found: Sequence[HeadFinding]) -> list[Shape]:
    return [
        {"writer": one.writer, "fault": one.fault, "message": one.message, "hint": one.hint}
        for one in found
    ]


def check(one: RemoteCheck) -> Shape:
    return {
        "type": "check",
        "app": None,
        "name": one.name,
        "ok": one.ok,
        "detail": one.detail,
        "hint": one.hint,
    }
