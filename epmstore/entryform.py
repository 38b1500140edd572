"""An entry as a JSON object and back: the `Entry` of docs/json.md, in plans, journals and `--json`.

Keys are never left out; null means nothing. Paths that are not UTF-8 have the form of relpath.py.
"""

import base64
from typing import Any, TypeAlias

import msgspec

from epmstore.digest import BlobInfo, parse_digest, parse_sha256
from epmstore.errors import DamagedError, InvalidNameError, UsageError
from epmstore.relpath import from_json, from_json_or_root, text_from_json, text_to_json, to_json
from epmstore.tree import Entry, Kind, PathClass

Form: TypeAlias = dict[str, Any]


def entry_to_form(entry: Entry) -> Form:
    content = entry.content
    return {
        "path": to_json(entry.path),
        "kind": entry.kind,
        "class": entry.path_class,
        "digest": None if content is None else content.digest.hex(),
        "sha256": None if content is None else content.sha256.hex(),
        "size": None if content is None else content.size,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "user": entry.user,
        "group": entry.group,
        "mtime_ns": entry.mtime_ns,
        "target": None if entry.target is None else text_to_json(entry.target),
        "xattrs": {text_to_json(n): base64.b64encode(v).decode() for n, v in entry.xattrs},
        "same_as": None if entry.same_as is None else to_json(entry.same_as),
        "sparse": entry.sparse,
    }


class _Said(msgspec.Struct, frozen=True, gc=False):
    """What the form of an entry has to have, each of its type."""

    path: str
    kind: Kind
    path_class: PathClass = msgspec.field(name="class")
    digest: str | None
    sha256: str | None
    size: int | None
    mode: str
    uid: int
    gid: int
    user: str | None
    group: str | None
    mtime_ns: int | None
    target: str | None
    xattrs: dict[str, str]
    same_as: str | None
    sparse: bool


def entry_from_form(form: object) -> Entry:
    """The inverse of `entry_to_form`. Raises DamagedError for anything else."""
    try:
        said = msgspec.convert(form, _Said)
        return Entry(
            path=(from_json_or_root if said.kind == "directory" else from_json)(said.path),
            kind=said.kind,
            mode=int(said.mode, 8),
            uid=said.uid,
            gid=said.gid,
            user=said.user,
            group=said.group,
            mtime_ns=said.mtime_ns,
            content=_content(said),
            target=None if said.target is None else text_from_json(said.target),
            xattrs=tuple((text_from_json(n), base64.b64decode(v)) for n, v in said.xattrs.items()),
            same_as=None if said.same_as is None else from_json(said.same_as),
            sparse=said.sparse,
            path_class=said.path_class,
        )
    except (ValueError, UsageError, InvalidNameError) as error:
        raise DamagedError(f"not an entry: {error}") from None


def _content(said: _Said) -> BlobInfo | None:
    if said.digest is None:
        return None
    if said.sha256 is None or said.size is None:
        raise ValueError("a content has a SHA-256 and a size")
    return BlobInfo(parse_digest(said.digest), parse_sha256(said.sha256), said.size)
