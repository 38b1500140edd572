"""`status` by a scan of this process."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from epmstore.cli.asking import Daemon
from epmstore.cli.session import Session
from epmstore.cli.status import show_status, unknown_row
from epmstore.errors import EpmError
from epmstore.relpath import RelPath, text_from_json
from epmstore.workspace import shapes

HINT_SECONDS = 0.1
CHANGED = ("added", "modified", "removed")
UNSEEN = ("skipped", "unstable", "unobserved")

if TYPE_CHECKING:
    from epmstore.workspace import AppHandle


def look(session: Session, handles: "Sequence[AppHandle]", paths: "Sequence[RelPath]" = ()) -> int:
    """Scan the roots and print what differs, of `paths` and what is below them if there are any;
    the exit code.

    One root that cannot be looked at does not hide the others, and has its row: the first error is
    raised at the end, the others are warnings.
    """
    found: list[shapes.Shape] = []
    failed: list[EpmError] = []
    unknown = []
    for handle in handles:
        try:
            standing = handle.standing()
            shape = shapes.status(standing.status, standing=standing, after=handle.aftermath())
            found.append(_narrowed(shape, handle, paths) if paths else shape)
        except EpmError as error:
            session.key = session.key or handle.app.key
            failed.append(error)
            unknown.append(unknown_row(handle.app.key, handle.app.root, error.message))
    hint(session, [one["app"] for one in found if not one["clean"]])
    code = show_status(session.out, found, table=len(handles) > 1, unknown=unknown)
    for other in failed[1:]:
        session.out.warn(other.message, error=other.code)
    if failed:
        raise failed[0]
    return code


def hint(session: Session, keys: "Sequence[str]") -> None:
    """Tell the daemon, if one runs, of applications in which a look of ours found a difference: it
    may have had no event of it, and looks itself. It is not waited for.
    """
    daemon = Daemon(session.store_path)
    for key in keys:
        with contextlib.suppress(EpmError, OSError):
            daemon.get(f"/v1/apps/{quote(key, safe='')}/status?scan=true", wait=HINT_SECONDS)


def _narrowed(shape: shapes.Shape, handle: "AppHandle", paths: "Sequence[RelPath]") -> shapes.Shape:
    """What a status says of these paths and what is below them. Raises PathNotFoundError for one
    that neither the root nor the newest version has.
    """
    told: set[str] = set()

    def is_inside(one: object) -> bool:
        path = text_from_json(one["path"] if isinstance(one, dict) else str(one))
        is_told = any(path == top or path.startswith(f"{top}/") for top in paths)
        if is_told:
            told.add(path)
        return is_told

    lists = {
        key: [one for one in shape[key] if is_inside(one)]
        for key in (*CHANGED, *UNSEEN, "metadata", "deviations", "excused", "withdrawn")
        if shape[key] is not None
    }
    for path in paths:
        if not any(one == path or one.startswith(f"{path}/") for one in told):
            handle.ls("latest", path)  # raises
    times = [one["time"] for one in lists.get("deviations", []) if one["time"]]
    is_whole = shape["version"] is not None and not shape["interrupted"]
    clean = is_whole and not any(lists[key] for key in CHANGED)
    return {**shape, **lists, "clean": clean, "since": min(times, default=None)}
