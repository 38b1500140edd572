"""What the daemon tells as it happens: as lines, or as a live view on a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from epmstore.cli.daemon_client import Daemon
from epmstore.cli.moments import local
from epmstore.cli.output import counted, name
from epmstore.relpath import text_from_json
from epmstore.workspace.shapes import Shape

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("application", "version", "state", "waiting", "recorded", "proven", "root")


class Feed:
    """The events of one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._apps: dict[str, Shape] = {}
        self._jobs: dict[str, Shape] = {}

    def events(self) -> Iterator[tuple[str, Shape]]:
        """Name and shape; ends when the daemon does, or when events were lost."""
        for event, shape in self._daemon.events("/v1/events"):
            if event == "lost":
                return
            self._note(event, shape)
            yield event, shape

    def lines(self) -> Iterator[str]:
        """One line for each event."""
        for event, shape in self.events():
            if event == "state":
                yield "  ".join(row(shape))
            else:
                app = f" of {shape['app']}" if shape["app"] else ""
                yield f"job {shape['id']}: {shape['kind']}{app}: {describe(shape)}"

    def show(self) -> bool:
        """A table that is kept up to date, until the events end; false if Ctrl-C ended it."""
        from rich.live import Live  # noqa: PLC0415 - start-up

        try:
            with Live(self._table(), auto_refresh=False) as live:
                for _ in self.events():
                    live.update(self._table(), refresh=True)
        except KeyboardInterrupt:
            return False
        return True

    def _note(self, event: str, shape: Shape) -> None:
        if event == "state":
            self._apps[shape["app"]] = shape
        elif event == "job":
            self._jobs[shape["id"]] = shape

    def _table(self) -> "Table":
        from rich.table import Table  # noqa: PLC0415 - start-up
        from rich.text import Text  # noqa: PLC0415 - start-up

        table = Table(box=None, pad_edge=False)
        for column in COLUMNS:
            table.add_column(column, justify="right" if column == "version" else "left")
        for key in sorted(self._apps):
            table.add_row(*map(Text, row(self._apps[key])))
        for job in list(self._jobs.values())[-5:]:
            cells = (job["app"] or "(store)", "", describe(job), "", "", "", f"job {job['kind']}")
            table.add_row(*map(Text, cells))
        return table


def row(app: Shape) -> tuple[str, ...]:
    """What a person wants to know of one application, in the order of COLUMNS."""
    version = "-" if app["version"] is None else str(app["version"])
    proven = app["proven"]
    waiting = "-"
    if app["queue"]:
        waiting = f"{counted(app['queue'], 'folder')} for {app['lag']:.0f} s"
    return (
        app["app"],
        version,
        state(app),
        waiting,
        local(app["recorded"]),
        "-" if proven is None else f"{proven['version']} at {local(proven['time'])}",
        name(text_from_json(app["root"])),
    )


def state(app: Shape) -> str:
    """The phase, and why it is not as it should be."""
    paused = app["paused"]
    why = [f"by {paused['by']} since {local(paused['time'])}"] if paused else []
    why += [*app["degraded"], *([app["held"]] if app["held"] else [])]
    if progress := app.get("progress"):
        total = f" of {progress['files_total']:,}" if progress["files_total"] else ""
        why.append(f"{progress['what']}: {progress['files']:,}{total} files")
    if app["unstable"]:
        why.append(f"{counted(len(app['unstable']), 'file')} never held still")
    return f"{app['state']} ({name(', '.join(why))})" if why else str(app["state"])


def describe(job: Shape) -> str:
    """How far a job is."""
    progress = job["progress"]
    if progress and progress["what"]:
        total = f" of {progress['files_total']:,}" if progress["files_total"] else ""
        return f"{progress['what']} {progress['files']:,}{total}"
    if job["error"]:
        return f"failed: {job['error']['message']}"
    return str(job["state"])
