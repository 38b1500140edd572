"""Commands about the live root: status, plan, apply, checkout, rollback, undo, redo, recover."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from epmstore.atomic import read_file, replace_file
from epmstore.cli.command import command
from epmstore.cli.moments import selector
from epmstore.cli.paths import scope
from epmstore.cli.planned import confirm, read_plan, show_plan, write_plan
from epmstore.cli.session import Session
from epmstore.cli.status import show_status
from epmstore.cli.summary import finish
from epmstore.errors import UsageError

if TYPE_CHECKING:
    from epmstore.checkout.plan import Plan
    from epmstore.record.result import Result
    from epmstore.workspace import AppHandle

Config = Literal["keep", "restore"]
PLAN_LIMIT = 1 << 30


@command(
    app=True,
    examples=[
        ("epmstore status", "exit code 0: clean, 1: something has changed"),
        ("epmstore status --app crm --json", "the same for a program"),
    ],
)
def status(session: Session) -> int:
    """Show what has changed since the last version.

    Looks at the live root, records nothing, and exits with 1 if there are differences. Outside of
    any root and without --app, all applications are shown.
    """
    return show_status(session, session.handles())


exact_option = click.option(
    "--exact", is_flag=True, help="Remove also what no change or release ever recorded."
)
config_option = click.option(
    "--config",
    type=click.Choice(["keep", "restore"]),
    default="keep",
    help="What to do with edited configuration files. Default: keep.",
)
live_option = click.option(
    "--live", is_flag=True, help="Replace programs and libraries that are running, too."
)


@command(
    app=True,
    examples=[
        (
            "epmstore plan 117 -o back.plan",
            "look at it, pass it on; then: epmstore apply back.plan",
        ),
        ("epmstore plan latest bin", "what a checkout of bin would do, on stdout"),
    ],
)
@click.option("-o", "--output", metavar="FILE", type=click.Path(), help="Write the plan to FILE.")
@exact_option
@config_option
@live_option
@click.argument("version")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def plan(
    session: Session,
    version: str,
    paths: tuple[str, ...],
    output: str | None,
    exact: bool,
    config: Config,
    live: bool,
) -> None:
    """Write what a checkout would do into a file.

    The plan holds every step; `epmstore apply` carries out exactly these, or none if a planned path
    has changed meanwhile. Without -o the steps are only shown.
    """
    handle = session.handle()
    wanted = scope(paths, handle.app.root)
    made = handle.plan(selector(version), wanted, exact=exact, config=config, live=live)
    if output is not None:
        replace_file(Path(os.path.abspath(output)), write_plan(made), 0o600)
    show_plan(session.out, handle.app.key, made)


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[("epmstore apply back.plan", "refused if a planned path has changed since")],
)
@click.argument("file", type=click.Path())
def apply(session: Session, file: str) -> int:
    """Carry out a plan file.

    The file was written by `epmstore plan -o`. The state that is found is recorded first.
    """
    made = read_plan(read_file(Path(file), PLAN_LIMIT), file)
    handle = session.handle()
    return _carry_out(session, handle, lambda: made, lambda: handle.apply(made))


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore checkout 117", "the whole root as it was at version 117"),
        ("epmstore checkout latest~1 bin lib/x.so", "only these paths"),
        ("epmstore checkout @2026-10-03T14:00 --dry-run", "what it would do"),
        ("epmstore checkout 0 --target /tmp/crm-0", "elsewhere; the live root is not looked at"),
    ],
)
@click.option(
    "--target", metavar="DIR", type=click.Path(), help="Write the version to DIR instead."
)
@exact_option
@config_option
@live_option
@click.option("--allow-network", is_flag=True, help="Even if the root is on a network file system.")
@click.argument("version")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def checkout(
    session: Session,
    version: str,
    paths: tuple[str, ...],
    target: str | None,
    exact: bool,
    config: Config,
    live: bool,
    allow_network: bool,
) -> int:
    """Bring a version back.

    The state that is found is recorded first, so that `epmstore undo` can bring it back. Files that
    no change ever recorded are kept and named, unless --exact; paths of class state are left alone
    unless they are named. The root is old or new, whatever happens on the way.
    """
    handle = session.handle()
    wanted = scope(paths, handle.app.root)
    chosen = selector(version)
    if target is not None:
        if exact or live or config != "keep":
            raise UsageError("--target writes a copy: --exact, --live and --config do not apply")
        if session.dry_run:
            entries = handle.ls(chosen)
            session.out.note(f"would write up to {len(entries):,} paths to {target}")
            return 0
        return finish(session.out, handle.export(chosen, Path(os.path.abspath(target)), wanted))
    return _carry_out(
        session,
        handle,
        lambda: handle.plan(chosen, wanted, exact=exact, config=config, live=live),
        lambda: handle.checkout(
            chosen, wanted, exact=exact, config=config, live=live, allow_network=allow_network
        ),
    )


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore rollback", "away with what happened since the last change, or with that change"),
        ("epmstore rollback --dry-run", "where it would go, and what it would do"),
    ],
)
@exact_option
@config_option
@live_option
def rollback(session: Session, exact: bool, config: Config, live: bool) -> int:
    """Go back to the last good state.

    If something has drifted since the last change, back to that change; else to the change before
    it. Repeating it walks further back. `epmstore undo` reverses it.
    """
    handle = session.handle()
    return _carry_out(
        session,
        handle,
        lambda: handle.plan_rollback(exact=exact, config=config, live=live),
        lambda: handle.rollback(exact=exact, config=config, live=live),
    )


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[("epmstore undo", "as if the last checkout or rollback had not been")],
)
@live_option
def undo(session: Session, live: bool) -> int:
    """Reverse the last operation.

    Only paths that the operation touched are touched, and it is refused if one of them has changed
    since. Repeating it goes further back; `epmstore redo` goes forward again.
    """
    handle = session.handle()
    return _carry_out(
        session, handle, lambda: handle.plan_undo(live=live), lambda: handle.undo(live=live)
    )


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[("epmstore redo", "on third thoughts")],
)
@live_option
def redo(session: Session, live: bool) -> int:
    """Do again what was undone.

    Reverses the last `epmstore undo`, as long as nothing else has happened since.
    """
    handle = session.handle()
    return _carry_out(
        session, handle, lambda: handle.plan_redo(live=live), lambda: handle.redo(live=live)
    )


def _carry_out(
    session: Session,
    handle: "AppHandle",
    make_plan: "Callable[[], Plan]",
    act: "Callable[[], Result]",
) -> int:
    """Show the plan (--dry-run), or ask about it on a terminal, and do it."""
    if session.dry_run:
        show_plan(session.out, handle.app.key, make_plan())
        return 0
    if not session.yes and sys.stdin.isatty() and sys.stderr.isatty():
        confirm(session, handle.app.key, make_plan())
    return finish(session.out, act())


@command(
    app=True,
    changes=True,
    examples=[("epmstore recover", "after a crash, before the application starts")],
)
def recover(session: Session) -> int:
    """Finish or take back an interrupted checkout.

    Every command that opens the store does this by itself; a boot unit does it before the
    application starts. Does nothing if nothing was interrupted.
    """
    if session.dry_run:
        session.out.note("would finish or take back what was interrupted, if anything was")
        return 0
    code = 0
    for handle in session.handles(recover=False):
        result = handle.recover()
        if result is not None:
            code = max(code, finish(session.out, result))
        else:
            session.out.note(f"{handle.app.key}: nothing was interrupted")
    return code
