"""An entry as a JSON object and back: the `Entry` of docs/json.md, in plans, journals and `--json`.

Keys are never left out; null means nothing. Paths that are not UTF-8 have the form of relpath.py.
"""

import base64
from typing import Any, TypeAlias

from epmstore.digest import BlobInfo, parse_digest, parse_sha256
from epmstore.errors import DamagedError, InvalidNameError, UsageError
from epmstore.relpath import from_json, from_json_or_root, text_from_json, text_to_json, to_json
from epmstore.tree import Entry

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


def entry_from_form(form: Form) -> Entry:
    """The inverse of `entry_to_form`. Raises DamagedError for anything else."""
    try:
        return Entry(
            path=(from_json_or_root if form["kind"] == "directory" else from_json)(form["path"]),
            kind=form["kind"],
            mode=int(form["mode"], 8),
            uid=form["uid"],
            gid=form["gid"],
            user=form["user"],
            group=form["group"],
            mtime_ns=form["mtime_ns"],
            content=_content(form),
            target=None if form["target"] is None else text_from_json(form["target"]),
            xattrs=tuple(
                (text_from_json(n), base64.b64decode(v)) for n, v in form["xattrs"].items()
            ),
            same_as=None if form["same_as"] is None else from_json(form["same_as"]),
            sparse=form["sparse"],
            path_class=form["class"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError, InvalidNameError) as error:
        raise DamagedError(f"not an entry: {error}") from None


def _content(form: Form) -> BlobInfo | None:
    if form["digest"] is None:
        return None
    return BlobInfo(parse_digest(form["digest"]), parse_sha256(form["sha256"]), int(form["size"]))
