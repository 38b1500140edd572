"""Every path of the API, as data: what it is, who may ask, what is asked with it, what comes back.

The server and the OpenAPI document are both made from this table.
"""

from typing import Any

import msgspec

from epmstored.api.forms import (
    DiffQuery,
    JobSpec,
    Query,
    Scope,
    StatusQuery,
    VerifyQuery,
    VersionsQuery,
)
from epmstored.api.peers import AccessRight


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is that of the method of Handlers; `answer` the schema of what comes back; `media` its
    type; `status` that of success.
    """

    method: str
    path: str
    name: str
    right: AccessRight
    summary: str
    answer: str
    query: type[Any] = Query
    body: Any = None
    media: str = "application/json"
    status: int = 200
    stream: bool = False


def _get(path: str, name: str, right: AccessRight, summary: str, answer: str, **more: Any) -> Route:
    return Route(
        method="GET", path=path, name=name, right=right, summary=summary, answer=answer, **more
    )


def _post(path: str, name: str, summary: str, answer: str, **more: Any) -> Route:
    known = {"right": AccessRight.ACT, **more}
    return Route(method="POST", path=path, name=name, summary=summary, answer=answer, **known)


LOOK, CONTENT, ACT = AccessRight.LOOK, AccessRight.CONTENT, AccessRight.ACT
EVENTS = "text/event-stream"
BYTES = "application/octet-stream"
TEXT = "text/plain"

ROUTES: tuple[Route, ...] = (
    _get("/v1/health", "health", LOOK, "Whether the daemon is well.", "Health"),
    _get("/v1/openapi.json", "openapi", LOOK, "This document.", "Document"),
    _get("/v1/status", "states", LOOK, "What the daemon knows of every application.", "States"),
    _get(
        "/v1/apps/{app}/status", "status", LOOK,
        "What has changed since the newest version of an application.",
        "Status", query=StatusQuery,
    ),
    _get(
        "/v1/apps/{app}/versions", "versions", LOOK, "The log of an application, newest first.",
        "Versions", query=VersionsQuery,
    ),
    _get(
        "/v1/apps/{app}/verify", "verify", LOOK, "What each path is to the vendor, by its release.",
        "Verified", query=VerifyQuery,
    ),
    _get(
        "/v1/apps/{app}/diff", "diff", CONTENT, "What differs between two versions.",
        "Diff", query=DiffQuery,
    ),
    _get(
        "/v1/blobs/{digest}", "blob", CONTENT, "A content, by its SHA-1.",
        "Bytes", media=BYTES, stream=True,
    ),
    _get("/v1/jobs", "jobs", ACT, "All jobs that are remembered, newest first.", "Jobs"),
    _post("/v1/jobs", "start", "Start a job.", "Job", body=JobSpec, status=202),
    _get("/v1/jobs/{job}", "job", ACT, "One job.", "Job"),
    _post("/v1/jobs/{job}/cancel", "cancel", "Stop a job, where that is safe.", "Job"),
    _get(
        "/v1/jobs/{job}/events", "follow", ACT, "One job, until it ends.",
        "Events", media=EVENTS, stream=True,
    ),
    _post("/v1/pause", "pause", "Record an application, or all, no more.", "States", body=Scope),
    _post("/v1/resume", "resume", "Look at everything, and record again.", "States", body=Scope),
    _post(
        "/v1/console", "console", "A link into the web console, good once.", "ConsoleLink",
        right=LOOK,
    ),
    _get(
        "/v1/events", "events", LOOK, "What changes, as it changes: states, and jobs.",
        "Events", media=EVENTS, stream=True,
    ),
    _get("/metrics", "metrics", LOOK, "Metrics for Prometheus.", "Text", media=TEXT),
)  # fmt: skip
