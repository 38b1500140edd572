"""The OpenAPI 3.1 document: made from the table of routes and the types that requests are read as.
`python -m epmstored.api.openapi FILE` writes it.

What comes back are the shapes of docs/json.md. Their keys stand here once more, because clients
are generated from this; a test holds real answers against it.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from epmstore import __version__
from epmstore.atomic import replace_file
from epmstored.api.refusals import PROTOCOL, PROTOCOL_HEADER
from epmstored.api.routes import ROUTES, Route

Schema = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"
ERRORS = {
    "400": "The request is wrong.",
    "403": "This peer may not ask for this.",
    "404": "There is no such thing.",
    "409": "Something is in the way.",
    "413": "The body is too large.",
    "500": "It failed; stored data may be damaged.",
    "503": "Too many ask at once, somebody else holds a lock, or the daemon is being stopped.",
}

_TYPES: dict[str, Schema] = {
    "s": {"type": "string"},
    "i": {"type": "integer"},
    "n": {"type": "number"},
    "b": {"type": "boolean"},
    "o": {"type": "object"},
}


def _shape(text: str) -> Schema:
    """`key:s key:[s] key:Status? ...`: every key is always there, `?` may be `null`."""
    properties = {}
    for part in text.split():
        key, _, kind = part.partition(":")
        properties[key] = _kind(kind)
    return {"type": "object", "properties": properties, "required": list(properties)}


def _kind(text: str) -> Schema:
    if text.endswith("?"):
        return {"anyOf": [_kind(text[:-1]), {"type": "null"}]}
    if text.startswith("["):
        return {"type": "array", "items": _kind(text[1:-1])}
    return _TYPES.get(text) or {"$ref": REFERENCE.format(name=text)}


SHAPES: dict[str, Schema] = {
    "Error": _shape("type:s app:s? error:s exit_code:i message:s hint:s? data:o"),
    "Health": _shape(
        "type:s app:s? ok:b release:s protocol:i store:s uptime:n apps:i jobs:i"
        " room:s room_why:s? damage:i clock_ahead:i? waiting_settings:[s] reasons:[s]"
        " applications:[AppHealth]"
    ),
    "AppHealth": _shape(
        "app:s state:s ok:b reason:s? degraded:[s] held:s? lag:n version:i? progress:Progress?"
    ),
    "Proof": _shape("version:i time:s"),
    "Pause": _shape("time:s by:s"),
    "AppState": _shape(
        "type:s app:s uuid:s root:s state:s paused:Pause? degraded:[s] held:s? error:s? quiet:b"
        " queue:i lag:n watched:i version:i? recorded:s? looked:s? unstable:[s] noisy:[s]"
        " progress:Progress? proven:Proof?"
    ),
    "States": _shape("type:s app:s? time:s apps:[AppState]"),
    "Problem": _shape("path:s kind:s why:s"),
    "Status": _shape(
        "type:s app:s version:i? root:s time:s? clean:b interrupted:b added:[s] modified:[s]"
        " removed:[s] metadata:[s] skipped:[Problem] unstable:[s] unobserved:[Problem]"
        " daemon:AppState? baseline:s? release:i? release_label:s? accepted:i?"
        " deviations:[Deviation]? excused:[s] since:s?"
    ),
    "Deviation": _shape("path:s what:s class:s release:i? since:i? time:s? window:[s]?"),
    "Version": _shape(
        "type:s app:s version:i kind:s time:s reason:s operation:s? of:i? label:s? labels:[s]"
        " remarks:[Remark] window:[s]? actor:o? added:i modified:i removed:i folders:o? times:i"
        " command:[s]? exit_status:i? writing:[s] tags:[s] pinned:b restorable:b explanation:o?"
    ),
    "Remark": _shape("what:s text:s? time:s actor:o?"),
    "Versions": _shape("type:s app:s versions:[Version] next:i?"),
    "Change": _shape("type:s app:s path:s change:s fields:[s] old:o? new:o?"),
    "Diff": {
        **_shape(
            "type:s app:s clean:b added:i modified:i removed:i changes:[Change] next:s? from:i to:i"
            " skipped:[Problem] unstable:[s] unobserved:[Problem]"
        ),
    },
    "Finding": _shape(
        "type:s app:s path:s class:s path_class:s release:i? expected:s? found:s? fields:[s]"
        " other:o? accepted:b"
    ),
    "Verified": _shape(
        "type:s app:s release:i label:s? given:b revoked:s? clean:b files:i accepted:i counts:o"
        " findings:[Finding] next:s?"
    ),
    "Progress": _shape("what:s files:i files_total:i? bytes:i bytes_total:i?"),
    "Job": _shape(
        "type:s app:s? id:s kind:s state:s created:s started:s? ended:s? actor:o"
        " progress:Progress? result:o? error:Error?"
    ),
    "Jobs": _shape("type:s app:s? jobs:[Job]"),
    "ConsoleLink": _shape("type:s app:s? url:s listen:s user:s seconds:i"),
    "Document": {"type": "object"},
    "Bytes": {"type": "string", "contentEncoding": "binary"},
    "Text": {"type": "string"},
    "Events": {
        "type": "string",
        "description": "Events `state` (AppState), `job` (Job), and `lost`: ask anew, some are"
        " missing.",
    },
}
_VERSION_OR_NOW: Schema = {"anyOf": [{"type": "integer"}, {"const": "now"}]}
SHAPES["Diff"]["properties"].update({"from": _VERSION_OR_NOW, "to": _VERSION_OR_NOW})


def document() -> Schema:
    """The whole document."""
    bodies = [route.body for route in ROUTES if route.body is not None]
    queries = [route.query for route in ROUTES]
    types = list(dict.fromkeys([*bodies, *queries]))
    found, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    schemas = dict(zip(map(id, types), found, strict=True))
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        operation = _operation(route, schemas, components)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "epmstored",
            "version": __version__,
            "description": f"Over the daemon's Unix socket. `{PROTOCOL_HEADER}: {PROTOCOL}` is"
            " needed with POST. Every error has the schema Error.",
        },
        "servers": [{"url": "http://localhost"}],
        "paths": paths,
        "components": {"schemas": {**components, **SHAPES}},
    }


def _operation(route: Route, schemas: dict[int, Schema], components: Schema) -> Schema:
    name = schemas[id(route.query)]["$ref"].rpartition("/")[2]
    operation: Schema = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Needs the right `{route.right.value}`.",
        "parameters": [*_in_path(route), *_in_query(components[name])],
        "responses": {
            str(route.status): {
                "description": route.summary,
                "content": {route.media: {"schema": _kind(route.answer)}},
            },
            **{
                status: {
                    "description": text,
                    "content": {"application/json": {"schema": _kind("Error")}},
                }
                for status, text in ERRORS.items()
            },
        },
    }
    if route.method == "POST":
        schema = schemas[id(route.body)] if route.body is not None else {"type": "object"}
        operation["requestBody"] = {
            "required": True, "content": {"application/json": {"schema": schema}},
        }  # fmt: skip
        operation["parameters"].append(
            {
                "name": PROTOCOL_HEADER, "in": "header", "required": True,
                "schema": {"const": str(PROTOCOL)},
            }
        )  # fmt: skip
    return operation


def _in_path(route: Route) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]


def _in_query(schema: Schema) -> list[Schema]:
    return [
        {"name": name, "in": "query", "required": False, "schema": kind}
        for name, kind in schema.get("properties", {}).items()
    ]


def text() -> str:
    """As a file has it."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    replace_file(Path(sys.argv[1]), text().encode(), 0o644)
