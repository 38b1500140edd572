"""How far histories are on remotes, for `status`: from what this host remembers, asking no remote.

Imports next to nothing: without remotes it costs one look at a folder.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from epmstore.errorform import Shape

_LIMIT = 8 << 20


def with_reach(store: Path, found: list[Shape]) -> list[Shape]:
    """The shapes `status`, each with the newest version that every remote has, and the newest whose
    contents it has.
    """
    remotes = [*_remotes(store / "remotes")]
    return [{**shape, "remotes": [one.shape(shape["app"]) for one in remotes]} for shape in found]


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
            lines.append(f"recorded here; on {name} up to {there} of {newest}{_with(one, newest)}")
        else:
            lines.append(f"recorded here and on {name}{_with(one, newest)}")
    return lines


def _with(one: Shape, newest: int) -> str:
    """How far contents are, where they are to go."""
    if one.get("policy") != "restorable":
        return ""
    there = one["contents"]
    if there is None:
        return f", without contents yet: epmstore push {one['name']}"
    return ", with contents" if there >= newest else f", contents up to {there} of {newest}"


class _Reach(NamedTuple):
    """A remote, and what is there: versions, and those whose contents are, by application."""

    order: int
    name: str
    policy: str
    versions: dict[str, int | None]
    contents: dict[str, int | None]
    denied: str | None

    def shape(self, app: str) -> Shape:
        return {
            "name": self.name,
            "version": self.versions.get(app),
            "policy": self.policy,
            "contents": self.contents.get(app),
            "denied": self.denied,
        }


def _remotes(folder: Path) -> list[_Reach]:
    """In the order in which they are asked; `denied` is why this host is not let in (None: it is).
    Of those to read from, only who does not let it in. What cannot be read is not told of.
    """
    known: list[_Reach] = []
    for place in folder.iterdir() if folder.is_dir() else ():
        try:
            settings = json.loads(_read(place / "settings.json"))
            denied = _denied(place / "denied.json")
            if settings["writer"] is not None or denied is not None:
                order, name = int(settings["order"]), str(settings["name"])
                versions, contents = _there(place / "head")
                known.append(
                    _Reach(order, name, str(settings["policy"]), versions, contents, denied)
                )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(known, key=lambda one: (one.order, one.name))


def _denied(path: Path) -> str | None:
    try:
        return str(json.loads(_read(path))["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _there(path: Path) -> tuple[dict[str, int | None], dict[str, int | None]]:
    """(newest versions, newest ones that have their contents there), by keys of applications."""
    try:
        head: Any = json.loads(_read(path).partition(b"\n")[0])
    except FileNotFoundError:
        return {}, {}
    apps = [app for app in head["apps"] if not app.get("ended")]
    versions = {app["key"]: app.get("version") for app in apps}
    return versions, {app["key"]: (app.get("contents") or {}).get("version") for app in apps}


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LIMIT)
