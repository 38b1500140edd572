"""Commands about what is around a checkout: recover, confirm, hold, unhold."""

import click

from epmstore.cli import failure
from epmstore.cli.command import command
from epmstore.cli.moments import local, parse_ahead
from epmstore.cli.output import name
from epmstore.cli.session import Session
from epmstore.cli.summary import finish
from epmstore.clock import to_rfc3339
from epmstore.errors import EpmError, RootError
from epmstore.locks import WAIT_SECONDS
from epmstore.workspace import AppHandle
from epmstore.workspace.app.asked import Recovery

BOOT_SECONDS = 3600.0
"""At boot another unit may be at it already; an application that does not start is no help."""


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore recover", "after a crash: the trees first, then the applications"),
        ("epmstore recover --all --boot", "what epmstore-recover.service does"),
        ("epmstore recover --app crm --boot", "what the unit of crm waits for"),
    ],
)
@click.option("--all", "everything", is_flag=True, help="All applications, wherever this is run.")
@click.option("--boot", is_flag=True, help="Before applications are started: run no hooks.")
def recover(session: Session, everything: bool, boot: bool) -> int:
    """Finish or take back an interrupted checkout.

    Every command that opens the store brings the root to its old or its new tree by itself; a boot
    unit does so before the application starts. This command also does what was owed around it: it
    starts the application that was stopped, checks it, and undoes what does not work or was not
    confirmed in time. Does nothing if nothing was interrupted.
    """
    if everything:
        workspace = session.open(recover=False)
        handles = [workspace.app(app.key) for app in workspace.apps.list()]
    else:
        handles = session.handles(recover=False)
    if session.dry_run:
        for handle in handles:
            session.out.note(f"{handle.app.key}: {_foretold(handle)}")
        return 0
    before = [_transaction(handle) for handle in handles]
    codes = [0]
    for n, handle in enumerate(handles):
        first = next((one.app.key for one in handles[:n] if one.app.uuid in before[n]), None)
        codes.append(_recover(session, handle, "boot" if boot else "all", first))
    return max(codes)


def _transaction(handle: AppHandle) -> tuple[str, ...]:
    """The UUIDs of the applications that owe something together with this one, itself among
    them.
    """
    try:
        owed = handle.obligations.owed
    except EpmError:
        return ()
    return () if owed is None else owed.transaction


def _foretold(handle: AppHandle) -> str:
    """What recovering would do."""
    try:
        left = handle.obligations.aftermath()
    except EpmError as error:
        return error.message
    together, pending = left.transaction, left.pending
    if left.unfinished is not None:
        text = "what a checkout left undone would be done, or taken back"
    elif handle.obligations.is_interrupted:
        text = "an interrupted checkout would be finished or taken back"
    elif pending is not None and pending.seconds <= 0:
        text, together = "what was not confirmed in time would be undone", pending.transaction
    elif handle.parameters.is_due:
        text = "parameters whose time is over would be taken back"
    else:
        return "nothing was interrupted"
    others = ", ".join(name(key) for key in together if key != handle.app.key)
    return f"{text}, together with {others}" if others else text


def _recover(session: Session, handle: AppHandle, what: Recovery, first: str | None) -> int:
    """One of them; what is wrong with it must not keep the others from being recovered. `first` is
    one that was recovered before, with which it owed something together.
    """
    interrupted = handle.obligations.is_interrupted
    try:
        result = handle.obligations.recover(
            what=what, wait=BOOT_SECONDS if what == "boot" else WAIT_SECONDS
        )
        if result is None and what != "boot" and handle.parameters.is_due:
            result = handle.parameters.take_back()
    except RootError as error:
        if interrupted or what != "boot" or _is_owed_with_others(handle):
            return failure.report(error, as_json=session.json, app=handle.app.key)
        session.out.note(f"{handle.app.key}: {error.message}; nothing was interrupted there")
        return 0
    except (EpmError, OSError) as error:
        return failure.report(error, as_json=session.json, app=handle.app.key)
    if result is not None:
        return finish(session, result)
    text = "taken back" if interrupted else "nothing was interrupted"
    if first is not None and not _is_owed_with_others(handle):
        text = f"ended together with {first}"
    shape = {"type": "recovery", "app": handle.app.key, "taken_back": interrupted}
    session.out.outcome(shape, f"{handle.app.key}: {text}")
    return 0


def _is_owed_with_others(handle: AppHandle) -> bool:
    """Then none of them is to be started."""
    try:
        owed = handle.obligations.owed
    except EpmError:
        return True
    return owed is not None and bool(owed.transaction)


@command(
    app=True,
    changes=True,
    examples=[("epmstore confirm", "it works: do not undo it")],
)
def confirm(session: Session) -> None:
    """Keep what a checkout with --confirm has done.

    Without it the checkout is undone by epmstored when its time is over. What was changed together
    with other applications is confirmed in all of them. Exits with 5 if nothing waits to be
    confirmed.
    """
    handle = session.handle()
    key, pending = handle.app.key, handle.obligations.pending
    together = () if pending is None else pending.transaction
    also = "".join(f", with {one}" for one in together if one != key)
    version = handle.obligations.confirm(dry_run=session.dry_run)
    if session.dry_run:
        session.out.note(f"{key}: version {version}{also} would be confirmed")
        return
    shape: dict[str, object] = {"type": "confirmation", "app": key, "version": version}
    shape["transaction"] = list(together)
    session.out.outcome(shape, f"{key}: version {version}{also} is confirmed, and stays")


@command(
    changes=True,
    examples=[
        ("epmstore hold crm -m 'audit until friday'", "automation leaves crm as it is"),
        ("epmstore hold crm --until 2026-10-09", "until then; 12h is twelve hours from now"),
    ],
)
@click.option("-m", "--message", metavar="TEXT", help="Why, for whoever finds it held.")
@click.option("--until", metavar="TIME", help="When the hold ends by itself.")
@click.argument("key")
def hold(session: Session, key: str, message: str | None, until: str | None) -> None:
    """Keep automation from changing an application.

    What the daemon starts, and what is run with --unattended, is refused while an application is
    held; people are not. A rollback holds it by itself, and so does a checkout that was undone by
    itself.
    """
    end = None if until is None else to_rfc3339(parse_ahead(until))
    handle = session.workspace.app(key)
    if not session.dry_run:
        handle.hold(message, end)
    shape = {"type": "hold", "app": key, "held": True, "until": end, "reason": message}
    shape["dry_run"] = session.dry_run
    word = "would be held" if session.dry_run else "held"
    session.out.outcome(shape, f"{key}: {word}" + (f" until {local(end)}" if end else ""))


@command(
    changes=True,
    examples=[("epmstore unhold crm", "automation may go on")],
)
@click.argument("key")
def unhold(session: Session, key: str) -> None:
    """Let automation change an application again.

    Exits with 5 if it is not held.
    """
    handle = session.workspace.app(key)
    handle.obligations.unhold(dry_run=session.dry_run)
    shape = {"type": "hold", "app": key, "held": False, "until": None, "reason": None}
    shape["dry_run"] = session.dry_run
    word = "would not be held any more" if session.dry_run else "not held any more"
    session.out.outcome(shape, f"{key}: {word}")
