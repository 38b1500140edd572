"""The OpenAPI document says what the server does, and the server nothing else."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epmstored.api.handlers import Handlers
from epmstored.api.openapi import document, text
from epmstored.api.routes import ROUTES

if TYPE_CHECKING:
    from tests.daemon.api.conftest import Server


def resolve(schema: dict[str, Any], within: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = within["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def fits(value: object, schema: dict[str, Any], within: dict[str, Any]) -> bool:
    """As much of JSON Schema as the document uses for what comes back. Keys may be added."""
    schema = resolve(schema, within)
    if "anyOf" in schema:
        return any(fits(value, one, within) for one in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    if schema["type"] == "object":
        if not isinstance(value, dict):
            return False
        known = schema.get("properties")
        return known is None or (
            set(value) >= set(known) and all(fits(value[key], known[key], within) for key in known)
        )
    if schema["type"] == "array":
        return isinstance(value, list) and all(fits(v, schema["items"], within) for v in value)
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,), "boolean": (bool,), "null": (type(None),),
        "integer": (int,), "number": (int, float),
    }  # fmt: skip
    is_flag = isinstance(value, bool) and schema["type"] != "boolean"
    return isinstance(value, kinds[schema["type"]]) and not is_flag


async def test_every_route_is_in_it_and_conversely(server: "Server") -> None:
    found = (await server.get("/v1/openapi.json")).shape
    assert found["openapi"] == "3.1.0"
    documented = {
        (method.upper(), path) for path, item in found["paths"].items() for method in item
    }
    assert documented == {(route.method, route.path) for route in ROUTES}
    assert all(callable(getattr(Handlers, route.name)) for route in ROUTES)


def test_the_copy_in_the_docs_is_the_document() -> None:
    """If not: python -m epmstored.api.openapi docs/openapi.json."""
    copy = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"
    assert copy.read_text("utf-8") == text()


def test_every_path_is_in_the_page_for_people() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "control-api.md").read_text("utf-8")
    for route in ROUTES:
        assert f"{route.path}`" in page, route.path


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(document())
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names <= set(document()["components"]["schemas"])


async def test_answers_are_what_it_says(server: "Server") -> None:
    found = document()
    (server.root / "new").write_bytes(b"")
    job = (await server.job({"kind": "snapshot", "app": "crm"}))["id"]
    paths = {
        "/v1/health": "/v1/health",
        "/v1/status": "/v1/status",
        "/v1/apps/{app}/status": "/v1/apps/crm/status",
        "/v1/apps/{app}/versions": "/v1/apps/crm/versions",
        "/v1/apps/{app}/diff": "/v1/apps/crm/diff?from=0&to=1",
        "/v1/jobs": "/v1/jobs",
        "/v1/jobs/{job}": f"/v1/jobs/{job}",
    }
    for path, asked in paths.items():
        answer = await server.get(asked)
        schema = found["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        assert answer.status == 200
        assert fits(answer.shape, schema["schema"], found), (path, answer.shape)
    error = await server.get("/v1/nothing")
    assert fits(error.shape, found["components"]["schemas"]["Error"], found)


def test_a_key_too_few_is_noticed() -> None:
    found = document()
    schema = found["components"]["schemas"]["Proof"]
    assert fits({"version": 1, "time": "x"}, schema, found)
    assert not fits({"version": 1}, schema, found)
    assert not fits({"version": "1", "time": "x"}, schema, found)
