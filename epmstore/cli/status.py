"""What has changed since the last version, for people and programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from epmstore.cli import shapes
from epmstore.cli.moments import local
from epmstore.cli.output import Output, counted, name, number
from epmstore.cli.session import Session

if TYPE_CHECKING:
    from epmstore.record.status import Status
    from epmstore.workspace import AppHandle

CLEAN = 0
DIFFERENT = 1
INCOMPLETE = 3


def show_status(session: Session, handles: "Sequence[AppHandle]") -> int:
    """Print each status; the exit code: 3 if something could not be seen, 1 if any differs."""
    codes = []
    for handle in handles:
        status = handle.status()
        if session.json:
            session.out.shape(status_shape(handle, status))
        else:
            _print(session.out, handle, status)
        codes.append(_code(status))
    return max(codes, default=CLEAN)


def _code(status: "Status") -> int:
    if status.incomplete:
        return INCOMPLETE
    return CLEAN if status.clean else DIFFERENT


def status_shape(handle: "AppHandle", status: "Status") -> shapes.Shape:
    return {
        "type": "status",
        "app": handle.app.key,
        "version": status.version,
        "root": shapes.text(handle.app.root),
        "time": status.time,
        "clean": status.clean,
        "added": shapes.paths(status.added),
        "modified": shapes.paths(status.modified),
        "removed": shapes.paths(status.removed),
        "metadata": shapes.paths(status.metadata),
        "skipped": shapes.problems(status.skipped),
        "unstable": shapes.paths(status.unstable),
        "unobserved": shapes.problems(status.unobserved),
        "daemon": None,
    }


def _print(out: Output, handle: "AppHandle", status: "Status") -> None:
    key = f"{handle.app.key} at {name(handle.app.root)}"
    if status.version is None:
        out.line(f"{key}: nothing is recorded yet, {counted(len(status.added), 'path')} found")
        out.note("record it: epmstore snapshot")
        return
    out.line(f"{key}: version {status.version} of {local(status.time)}")
    metadata = set(status.metadata)
    content = [path for path in status.modified if path not in metadata]
    _group(out, "modified", "M", "33", content)
    _group(out, "metadata only", "m", "33", status.metadata)
    _group(out, "added", "A", "32", status.added)
    _group(out, "removed", "D", "31", status.removed)
    _group(out, "changing all the time", "~", "35", status.unstable)
    unseen = [p for p in (*status.skipped, *status.unobserved) if p.kind != "ignored"]
    if unseen:
        out.line(f"not looked at ({number(len(unseen))}):")
        for line in out.some([f"? {name(p.path)}  ({p.why})" for p in unseen]):
            out.line(line)
    out.line("nothing has changed" if status.clean else _totals(status, len(content)))


def _group(out: Output, title: str, letter: str, colour: str, paths: Sequence[str]) -> None:
    if paths:
        out.line(f"{title} ({number(len(paths))}):")
        for line in out.some([f"{out.paint(letter, colour)} {name(path)}" for path in paths]):
            out.line(line)


def _totals(status: "Status", content: int) -> str:
    pairs = (
        (content, "modified"),
        (len(status.metadata), "with other metadata"),
        (len(status.added), "added"),
        (len(status.removed), "removed"),
    )
    return ", ".join(f"{number(count)} {word}" for count, word in pairs if count)
