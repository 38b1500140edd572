"""How far histories are on remotes, for `status`: from what this host remembers, asking no remote.

Imports next to nothing: without remotes it costs one look at a folder.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from epmstore.errorform import Shape

_LIMIT = 8 << 20


def with_reach(store: Path, found: list[Shape]) -> list[Shape]:
    """The shapes `status`, each with the newest version that every remote has."""
    remotes = [*_remotes(store / "remotes")]
    return [
        {
            **shape,
            "remotes": [
                {"name": name, "version": versions.get(shape["app"]), "denied": denied}
                for name, versions, denied in remotes
            ],
        }
        for shape in found
    ]


def reach_lines(shape: Shape) -> list[str]:
    """For people. A daemon of an older release says nothing of it."""
    newest = shape["version"]
    lines = []
    for one in shape.get("remotes", ()):
        name, there = one["name"], one["version"]
        if one.get("denied"):
            lines.append(f"not on {name}: {one['denied']}")
            lines.append(f"  when that is mended: epmstore remote check {name}")
        elif there is None:
            lines.append(f"recorded here, and not on {name} yet: epmstore push {name}")
        elif there < newest:
            lines.append(f"recorded here; on {name} up to {there} of {newest}")
        else:
            lines.append(f"recorded here and on {name}")
    return lines


def _remotes(folder: Path) -> Iterator[tuple[str, dict[str, int | None], str | None]]:
    """Name, versions by the key of the application, and why this host is not let in (None: it is).
    Of those to read from, only who does not let it in. What cannot be read is not told of.
    """
    if not folder.is_dir():
        return
    known: list[tuple[int, str, dict[str, int | None], str | None]] = []
    for place in folder.iterdir():
        try:
            settings = json.loads(_read(place / "settings.json"))
            denied = _denied(place / "denied.json")
            if settings["writer"] is not None or denied is not None:
                named = (int(settings["order"]), str(settings["name"]))
                known.append((*named, _versions(place / "head"), denied))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    for _, name, versions, denied in sorted(known, key=lambda one: one[:2]):
        yield name, versions, denied


def _denied(path: Path) -> str | None:
    try:
        return str(json.loads(_read(path))["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _versions(path: Path) -> dict[str, int | None]:
    try:
        head: Any = json.loads(_read(path).partition(b"\n")[0])
    except FileNotFoundError:
        return {}
    return {app["key"]: app.get("version") for app in head["apps"] if not app.get("ended")}


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LIMIT)
