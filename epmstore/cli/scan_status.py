"""`epmstore status`: asked of the daemon, or by a scan of this process."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from epmstore.cli.command import command
from epmstore.cli.daemon_client import Daemon
from epmstore.cli.paths import scope
from epmstore.cli.quick import ask_status
from epmstore.cli.reach import with_reach
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


@command(
    app=True,
    examples=[
        ("epmstore status", "exit code 0: clean, 1: something has changed"),
        ("epmstore status --app crm --json", "the same for a program"),
        ("epmstore status etc bin/crmd", "of these paths alone"),
        ("epmstore status --scan", "look at the root, whatever the daemon knows"),
    ],
)
@click.option("--scan", is_flag=True, help="Do not ask the daemon.")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def status(session: Session, scan: bool, paths: tuple[str, ...]) -> int:
    """Show what has changed since the last version.

    And, with a reference catalog or an accepted version, what is not as it should be, and since
    when. Looks at the live root, records nothing, and exits with 1 if there are differences. A
    daemon that runs is asked, which is quicker: it has looked at the root after the last event.
    Outside of any root and without --app, all applications are shown, one row each. With PATHs,
    only these and what is below them are told of, by a look of this command's own.
    """
    if paths:
        handle = session.handle()
        return look(session, [handle], scope(paths, handle.app.root))
    found = None if scan else ask_status(session.store_path, session.app, session.out)
    if found is not None:
        return show_status(session.out, found, table=len(found) > 1)
    return look(session, session.handles())


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
            against = handle.baseline_status()
            shape = shapes.status(
                against.status, against=against, after=handle.obligations.aftermath()
            )
            found.append(_narrowed(shape, handle, paths) if paths else shape)
        except EpmError as error:
            session.key = session.key or handle.app.key
            failed.append(error)
            unknown.append(unknown_row(handle.app.key, handle.app.root, error.message))
    hint(session, [one["app"] for one in found if not one["clean"]])
    found = with_reach(session.store_path, found)
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
