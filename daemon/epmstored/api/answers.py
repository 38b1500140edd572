"""What is read for clients: values and shapes out of a workspace. In a reader's thread."""

import os
import secrets
from collections.abc import Iterable, Sequence, Set
from io import FileIO
from typing import Protocol, TypeVar

import msgspec

from epmstore.atomic import TEMPORARY, make_directories, remove_file
from epmstore.digest import parse_digest
from epmstore.errors import EpmError, UsageError
from epmstore.relpath import RelPath, from_json, to_bytes
from epmstore.store.store import SYSCAT
from epmstore.workspace import Workspace, shapes, vendorshapes
from epmstore.workspace.shapes import Shape
from epmstored.api.core import Proofs, scratch_folder
from epmstored.api.forms import DiffQuery, VerifyQuery, VersionsQuery
from epmstored.app_state import AppState
from epmstored.health import trouble_of


def status(workspace: Workspace, app: str) -> Shape:
    """By a scan."""
    found = workspace.app(app).baseline_status()
    return shapes.status(found.status, against=found)


class RecordedState(msgspec.Struct, frozen=True):
    """What may change without the root changing. `token` differs after every record of an
    application and after every change of rules or releases; `after` is part of its status.
    """

    token: object
    after: Shape


def recorded(workspace: Workspace, app: str) -> RecordedState:
    handle = workspace.app(app)
    found = []
    for entry in os.scandir(workspace.path / "catalogs"):
        if entry.name.startswith(TEMPORARY):  # it may be gone by now
            continue
        if entry.name.startswith(handle.app.uuid) or not entry.name.endswith(SYSCAT):
            facts = entry.stat()
            found.append((entry.name, facts.st_ino, facts.st_size, facts.st_mtime_ns))
    token = (sorted(found), handle.obligations.is_interrupted)
    return RecordedState(token, shapes.aftermath(handle.obligations.aftermath()))


def apps(workspace: Workspace) -> Set[tuple[str, str, str]]:
    """(UUID, key, root) of all that are registered."""
    return {(app.uuid, app.key, app.root) for app in workspace.apps.list()}


def versions(workspace: Workspace, app: str, query: VersionsQuery) -> Shape:
    """One page of the log, newest first; `next` is the `before` of the next page."""
    handle = workspace.app(app)
    known, reasons = handle.versions(), handle.explanations()
    wanted = [
        found
        for found in reversed(known)
        if (query.before is None or found.version < query.before)
        and (query.all or found.kind == "change")
    ]
    page = wanted[: query.limit]
    return {
        "type": "versions",
        "app": app,
        "versions": [shapes.version(app, found, reasons.get(found.version)) for found in page],
        "next": page[-1].version if len(wanted) > len(page) else None,
    }


def diff(workspace: Workspace, app: str, query: DiffQuery) -> Shape:
    """One page of what differs, in byte order; `next` is the `after` of the next page."""
    handle = workspace.app(app)
    changes, gaps = handle.reading.diff_with_gaps(query.from_, query.to)
    counts = {
        kind: sum(one.change == kind for one in changes)
        for kind in ("added", "modified", "removed")
    }
    changes = _behind(changes, query.after)
    page = changes[: query.limit]
    found = [shapes.change(app, one) for one in page]
    return {
        "type": "diff",
        "app": app,
        "from": handle.trees.resolve(query.from_),
        "to": handle.trees.resolve(query.to),
        "clean": not any(counts.values()),
        **counts,
        **shapes.unseen(gaps),
        "changes": found,
        "next": found[-1]["path"] if len(changes) > len(page) else None,
    }


def verify(workspace: Workspace, app: str, query: VerifyQuery) -> Shape:
    """One page of the findings, in byte order; `next` is the `after` of the next page."""
    verified = workspace.app(app).verify(query.release)
    findings = _behind(verified.findings, query.after)
    clean = all(one.path in verified.accepted for one in verified.findings)
    page = [
        vendorshapes.finding(app, one, accepted=one.path in verified.accepted)
        for one in findings[: query.limit]
    ]
    return {
        **vendorshapes.verified(app, verified, clean=clean),
        "type": "verified",
        "findings": page,
        "next": page[-1]["path"] if len(findings) > len(page) else None,
    }


class _HasPath(Protocol):
    @property
    def path(self) -> RelPath: ...


_One = TypeVar("_One", bound=_HasPath)


def _behind(found: Iterable[_One], after: str | None) -> list[_One]:
    """In byte order of paths."""
    start = b"" if after is None else to_bytes(from_json(after))
    return sorted(
        (one for one in found if to_bytes(one.path) > start), key=lambda one: to_bytes(one.path)
    )


def fetch_blob(workspace: Workspace, digest: str) -> FileIO:
    """A checked copy of a content: an open file without a name, so that it goes when the caller
    closes it. Raises UsageError, NotFoundError, DamagedError, OSError.
    """
    try:
        wanted = parse_digest(digest)
    except (EpmError, ValueError):
        raise UsageError(f"{digest[:80]!r} is no SHA-1", hint="40 hexadecimal digits") from None
    folder = scratch_folder(workspace.path)
    make_directories(folder)
    path = folder / f"blob-{secrets.token_hex(8)}"
    workspace.blobs.get(wanted, path)
    try:
        return FileIO(path)
    finally:
        remove_file(path)


def unexplained(workspace: Workspace) -> dict[str, int]:
    """By application that has a reference catalog: the changed files of all versions that nothing
    explains (docs/verify.md).
    """
    handles = [workspace.app(app.key) for app in workspace.apps.list()]
    return {
        handle.app.key: sum(one.rest for one in handle.explanations().values())
        for handle in handles
        if handle.releases.latest() is not None
    }


def app_row(state: AppState, proofs: Proofs) -> Shape:
    """What the daemon knows of one application."""
    proven = proofs.proven(state.uuid)
    return {
        "type": "app_state",
        "app": state.app,
        "uuid": state.uuid,
        "root": shapes.text(state.root),
        "state": state.phase,
        "paused": None if state.paused is None else msgspec.to_builtins(state.paused),
        "degraded": list(state.degraded),
        "held": state.held,
        "error": state.error,
        "quiet": state.quiet,
        "queue": state.queue,
        "lag": round(state.lag, 3),
        "watched": state.watched,
        "version": state.version,
        "recorded": state.recorded,
        "looked": state.looked,
        "unstable": shapes.paths(state.unstable),
        "noisy": shapes.paths(state.noisy),
        "progress": None if state.doing is None else msgspec.to_builtins(state.doing),
        "proven": None if proven is None else {"version": proven[0], "time": proven[1]},
    }


def health_row(state: AppState) -> Shape:
    """Whether one application is recorded as it should be, and why not."""
    trouble = trouble_of(state)
    return {
        "app": state.app,
        "state": state.phase,
        "ok": trouble is None,
        "reason": None if trouble is None else trouble.why,
        "degraded": list(state.degraded),
        "held": state.held,
        "lag": round(state.lag, 3),
        "version": state.version,
        "progress": None if state.doing is None else msgspec.to_builtins(state.doing),
    }


def rows(states: Sequence[AppState], proofs: Proofs) -> list[Shape]:
    return [app_row(state, proofs) for state in states]
