"""An entry as a JSON object and back: the `Entry` of docs/json.md, in plans, journals and `--json`.
Pure.

Keys are never left out; `null` means nothing. Paths that are not UTF-8 have the form of relpath.py.
"""

import base64
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from epmstore.digest import BlobInfo, parse_digest, parse_sha256
from epmstore.errors import DamagedError, InvalidNameError, UsageError
from epmstore.relpath import from_json, from_json_or_root, text_from_json, text_to_json, to_json
from epmstore.tree import FIELDS, Entry, Kind, PathClass

Form: TypeAlias = dict[str, Any]


_OPENING = ("path", "kind", "path_class", "content")
_REST = tuple(name for name in FIELDS if name not in _OPENING)
_rest = attrgetter(*_REST)
_FORMS: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "mode": (str, lambda mode: f"{mode:04o}", lambda form: int(form, 8)),
    "target": (str | None, text_to_json, text_from_json),
    "same_as": (str | None, to_json, from_json),
    "xattrs": (
        dict[str, str],
        lambda found: {text_to_json(n): base64.b64encode(v).decode() for n, v in found},
        lambda form: tuple((text_from_json(n), base64.b64decode(v)) for n, v in form.items()),
    ),
}
"""Fields that look otherwise in JSON: of which type, and the ways there and back."""


def entry_to_form(entry: Entry) -> Form:
    content = entry.content
    form = {
        "path": to_json(entry.path),
        "kind": entry.kind,
        "class": entry.path_class,
        "digest": None if content is None else content.digest.hex(),
        "sha256": None if content is None else content.sha256.hex(),
        "size": None if content is None else content.size,
    }
    for name, value in zip(_REST, _rest(entry), strict=True):
        form[name] = _FORMS[name][1](value) if name in _FORMS and value is not None else value
    return form


_Said = msgspec.defstruct(
    "_Said",
    [
        ("path", str),
        ("kind", Kind),
        ("path_class", PathClass, msgspec.field(name="class")),
        ("digest", str | None),
        ("sha256", str | None),
        ("size", int | None),
        *(
            (field.name, _FORMS[field.name][0] if field.name in _FORMS else field.type)
            for field in msgspec.structs.fields(Entry)
            if field.name in _REST
        ),
    ],
    frozen=True,
    gc=False,
)
"""What the form of an entry has to have, each of its type."""


def entry_from_form(form: object) -> Entry:
    """The inverse of `entry_to_form`. Raises DamagedError for anything else."""
    try:
        said: Any = msgspec.convert(form, _Said)
        rest = {
            name: _FORMS[name][2](value) if name in _FORMS and value is not None else value
            for name, value in zip(_REST, _rest(said), strict=True)
        }
        return Entry(
            path=(from_json_or_root if said.kind == "directory" else from_json)(said.path),
            kind=said.kind,
            content=_content(said),
            path_class=said.path_class,
            **rest,
        )
    except (ValueError, UsageError, InvalidNameError) as error:
        raise DamagedError(f"not an entry: {error}") from None


def _content(said: Any) -> BlobInfo | None:
    if said.digest is None:
        return None
    if said.sha256 is None or said.size is None:
        raise ValueError("a content has a SHA-256 and a size")
    return BlobInfo(parse_digest(said.digest), parse_sha256(said.sha256), said.size)
