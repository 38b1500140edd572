"""The command `adopt-host`, and `pull --own`."""

from shlex import quote

import click
from msgspec.structs import replace

from epmstore.cli.command import command
from epmstore.cli.moments import local
from epmstore.cli.output import Output, counted, name, number
from epmstore.cli.session import Session, remotes_for_completion
from epmstore.cli.summary import INCOMPLETE, name_places
from epmstore.sync.adopting import AdoptedApp, AdoptedHost
from epmstore.workspace import remoteshapes


@command(
    changes=True,
    asks=True,
    examples=[
        ("epmstore adopt-host ID --from site --dry-run", "what it had, and when it pushed last"),
        ("epmstore adopt-host ID --from site --dead", "it is gone for good, since an hour"),
    ],
)
@click.option(
    "--from",
    "remote",
    metavar="NAME",
    required=True,
    shell_complete=remotes_for_completion,
    help="The remote that it pushed to.",
)
@click.option("--dead", is_flag=True, help="It is gone for good, though it pushed within a day.")
@click.argument("host", metavar="ID")
def adopt_host(session: Session, host: str, remote: str, dead: bool) -> int:
    """Take the place of a host that is gone.

    What it pushed comes here: the histories of its applications, with the numbers of their
    versions, and the contents that they need, of which a version that lacks some is forgotten. The
    applications are there as ones that were removed: no root is touched; what to do next is said.
    This host gets another id on the remote, and should the old one come back, its next push is
    refused. Cut off, it is done by the same command. Exits with 3 if contents were never pushed.
    """
    remotes = session.workspace.remotes
    if not session.dry_run and not session.yes:
        shown = remotes.adopt_host(remote, host, dead=dead, dry_run=True)
        session.out.note(f"{host} pushed last at {local(shown.time)}: {_apps(shown)}")
        session.confirm("take its place, with its histories and another id?")
    done = remotes.adopt_host(remote, host, dead=dead, dry_run=session.dry_run)
    session.out.outcome(remoteshapes.adopted(remote, done, dry_run=session.dry_run), _line(done))
    if not session.json:
        name_places(session.out, done.came)
        for app in done.apps:
            _show(session.out, app, dry_run=session.dry_run)
        if not session.dry_run:
            _next(session.out, remote, done)
    return INCOMPLETE if any(app.lacking for app in done.apps) else 0


def pull_own(session: Session, remote: str) -> int:
    """What this host had pushed before its store came back from a backup; the exit code."""
    done = session.workspace.remotes.pull_own(remote, dry_run=session.dry_run)
    news = [app for app in done.apps if app.is_new]
    text = f"{remote}: nothing that is not here"
    if news:
        verb = "would come" if session.dry_run else "came"
        text = f"{remote}: {_apps(replace(done, apps=tuple(news)))}, of {local(done.time)}, {verb}"
    session.out.outcome(remoteshapes.adopted(remote, done, dry_run=session.dry_run), text)
    if not session.json:
        name_places(session.out, done.came)
        for app in news:
            _show(session.out, app, dry_run=session.dry_run)
    return INCOMPLETE if any(app.lacking for app in done.apps) else 0


def _apps(done: AdoptedHost) -> str:
    return ", ".join(f"{app.key} version {app.version}" for app in done.apps) or "nothing"


def _line(done: AdoptedHost) -> str:
    if done.writer is None:
        return f"{done.host}, of {local(done.time)}: {_apps(done)}"
    return f"{_apps(done)}: taken over from {done.host}; this host is {done.writer} there now"


def _show(out: Output, app: AdoptedApp, *, dry_run: bool) -> None:
    """What of an application could not be brought."""
    out.line(f"  {app.key} at {name(app.root)}" + ("" if app.is_new else ", here already"))
    if dry_run:
        return
    if app.lacking:
        versions = ", ".join(map(str, app.forgotten[:10]))
        more = f" and {number(len(app.forgotten) - 10)} more" if len(app.forgotten) > 10 else ""
        out.warn(
            f"{app.key}: {number(app.lacking)} of {counted(app.needed, 'content')} were never"
            f" pushed; forgotten, because they lack some: {versions}{more}"
        )
    if app.secrets:
        out.warn(f"{app.key}: {counted(app.secrets, 'secret')} never went there: put them back")
    if app.has_catalog:
        out.note(f"{app.key}: bring the catalog of its vendor: epmstore catalog import FILE")


def _next(out: Output, remote: str, done: AdoptedHost) -> None:
    out.note("hooks, and other settings of applications, are not pushed: epmstore app set")
    for app in done.apps:
        if app.version not in (None, *app.forgotten):
            root = quote(app.root)
            out.note(
                f"next: epmstore checkout latest --app {app.key} --target {root}, unless it is"
                f" there; then: epmstore app add {app.key} --again;"
                f" epmstore checkout latest --app {app.key}"
            )
    out.note(f"then: epmstore push {remote}")
