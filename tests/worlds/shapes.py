"""JSON against docs/json.md, as far as it says what a value is."""

from collections.abc import Iterator
from functools import cache

from tests.cli.test_json import PLAIN, documented
from tests.worlds.program import Shape

BY_TYPE = (
    "status",
    "version",
    "result",
    "plan",
    "change",
    "error",
    "finding",
    "Finding",
    "gc",
    "forget",
)


@cache
def known() -> dict[str, dict[str, str]]:
    return documented()


def wrong(shape: Shape) -> Iterator[str]:
    name = shape.get("type")
    if name == "finding" and "path_class" in shape:
        name = "Finding"  # of `verify`
    if name not in BY_TYPE or name not in known():
        return
    for key, kind in known()[name].items():
        if key not in shape:
            yield f"{name} lacks {key}"
        elif shape[key] is None:
            if not (kind.endswith("?") or kind == "null"):
                yield f"{name}: {key} is null"
        elif kind.rstrip("?") in PLAIN and type(shape[key]) is not PLAIN[kind.rstrip("?")]:
            yield f"{name}: {key} is {shape[key]!r}"
    if more := shape.keys() - known()[name].keys():
        yield f"{name} has {sorted(more)}, which are not documented"
