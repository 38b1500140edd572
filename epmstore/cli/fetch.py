"""The command `fetch`."""

import re
from typing import Final

import click

from epmstore.checkout.planfile import supply_to_form
from epmstore.checkout.request import Supply
from epmstore.cli.command import command
from epmstore.cli.moments import selector
from epmstore.cli.output import counted, name, number, size
from epmstore.cli.plan_view import supply_lines
from epmstore.cli.session import Session
from epmstore.cli.summary import name_places
from epmstore.digest import parse_address
from epmstore.errors import NotRestorableError, RemoteError
from epmstore.workspace import shapes

ADDRESS: Final = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore fetch release:41", "before a night without network"),
        ("epmstore fetch latest 117 --app crm", "what these versions have lost"),
        ("epmstore fetch da39a3ee5e6b4b0d3255bfef95601890afd80709", "one content, by its SHA-1"),
    ],
)
@click.argument("what", metavar="VERSION|SHA1...", nargs=-1, required=True)
def fetch(session: Session, what: tuple[str, ...]) -> None:
    """Bring contents that are not here from remotes.

    All that a version or a release needs, or single contents, so that a checkout needs no network.
    What is in live files is taken from there. Cut off, it goes on by the same command: what came
    stays. Exits with 12 if something is nowhere, and a remote that may have it could not be asked;
    with 5 if it is nowhere.
    """
    for one in what:
        if ADDRESS.fullmatch(one):
            blobs = session.workspace.blobs
            found = blobs.fetch(parse_address(one), dry_run=session.dry_run)
            _say(session, None, one, found)
        else:
            handle = session.handle()
            found = handle.restoring.fetch(selector(one), dry_run=session.dry_run)
            _say(session, handle.app.key, one, found)


def _say(session: Session, app: str | None, what: str, found: Supply) -> None:
    """Raises NotRestorableError, RemoteError if something is nowhere."""
    out, dry_run = session.out, session.dry_run
    came = sum(one.contents for one in found.found)
    of = name(what) if app is None else f"{app}: {name(what)}"
    needed = counted(found.needed, "content")
    text = f"{of}: all of {needed} are here"
    if dry_run and (came or found.lacking):
        text = f"{of}: {number(came)} of {needed} would come"
    elif came or found.lacking:
        text = f"{of}: {number(came)} of {needed} came, {size(sum(o.size for o in found.found))}"
    shape = {
        "type": "fetch",
        "app": app,
        "of": shapes.text(what),
        "supply": supply_to_form(found),
        "dry_run": dry_run,
    }
    if not session.json and dry_run:
        for line in supply_lines(found):
            out.line(line)
    elif not session.json:
        name_places(out, found.found)
    out.outcome(shape, text)
    if found.lacking:
        raise _nowhere(app, what, found)


def _nowhere(app: str | None, what: str, found: Supply) -> NotRestorableError | RemoteError:
    text = (
        f"{number(len(found.lacking))} of {counted(found.needed, 'content')} of {name(what)} are"
        f" nowhere; they were sought in {', '.join(found.sought)}"
    )
    data = {
        "app": app,
        "missing": len(found.lacking),
        "digests": sorted(info.digest.hex() for info in found.lacking)[:100],
        **({"report": [*found.notes]} if found.notes else {}),
    }
    if found.away:
        away = ", ".join(found.away)
        hint = f"what came stays; run it again when {away} can be asked: `epmstore remote check`"
        return RemoteError(text, hint=hint, **data)
    hint = "`epmstore pull` brings what other hosts pushed; then fetch again"
    return NotRestorableError(text, hint=hint, **data)
