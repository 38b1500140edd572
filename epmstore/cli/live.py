"""Commands about the live root: plan, apply, checkout, rollback, undo, redo."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from epmstore.atomic import replace_read
from epmstore.catalog.hooks import NONE, hooks_of
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.planfile import decode_plan, encode_plan, not_to_be_had
from epmstore.checkout.request import Prepared
from epmstore.cli.checkout_options import config_option, exact_option, terms_of, terms_options
from epmstore.cli.command import PATH, command
from epmstore.cli.moments import selector
from epmstore.cli.output import counted, name
from epmstore.cli.paths import scope
from epmstore.cli.plan_view import confirm, outlook, show_plan
from epmstore.cli.repair import bring_to_release
from epmstore.cli.session import Session
from epmstore.cli.summary import INCOMPLETE, finish, titled
from epmstore.errors import UsageError
from epmstore.owned import read_own
from epmstore.record.result import Result
from epmstore.relpath import RelPath
from epmstore.workspace import AppHandle, shapes
from epmstore.workspace.app.asked import RepairOptions, TermsGiven

PLAN_LIMIT = 1 << 30
"""Bytes of the largest plan file that is read: some millions of steps."""


@command(
    app=True,
    examples=[
        (
            "epmstore plan 117 -o back.plan",
            "look at it, pass it on; then: epmstore apply back.plan",
        ),
        ("epmstore plan latest bin", "what a checkout of bin would do"),
    ],
)
@click.option("-o", "--output", metavar="FILE", type=PATH, help="Write the plan to FILE.")
@exact_option
@config_option
@click.argument("version")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def plan(
    session: Session,
    version: str,
    paths: tuple[str, ...],
    output: str | None,
    exact: bool,
    config: ConfigPolicy,
) -> int:
    """Write what a checkout would do into a file.

    The plan holds every step; `epmstore apply` carries out exactly these, or none if a planned path
    has changed meanwhile. Without -o the steps are only shown. What would refuse it whenever it is
    applied is an error, and no file is written.
    """
    handle = session.handle()
    wanted = scope(paths, handle.app.root)
    made = handle.plan(selector(version), wanted, exact=exact, config=config)
    show_plan(session.out, made, hooks_of(handle.app))
    handle.restoring.check_later(made)
    if output is not None:
        replace_read(Path(os.path.abspath(output)), encode_plan(made), decode_plan, 0o600)
    return INCOMPLETE if not_to_be_had(made) else 0


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[("epmstore apply back.plan", "refused if a planned path has changed since")],
)
@terms_options
@click.argument("file", type=PATH)
def apply(session: Session, file: str, **given: Any) -> int:
    """Carry out a plan file.

    The file was written by `epmstore plan -o`, and says which application it is for. The state that
    is found is recorded first.
    """
    made = decode_plan(read_own(Path(file), PLAN_LIMIT))
    session.app = session.app or made.plan.app
    handle = session.handle()
    terms = terms_of(session, given)
    return _carry_out(
        session,
        handle,
        terms,
        lambda: handle.restoring.plan_apply(made),
        lambda: handle.apply(made, **terms),
    )


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore checkout 117", "the whole root as it was at version 117"),
        ("epmstore checkout latest~1 bin lib/x.so", "only these paths"),
        ("epmstore checkout @2026-10-03T14:00 --dry-run", "what it would do"),
        ("epmstore checkout release:41", "what the vendor released, edited configuration kept"),
        ("epmstore checkout 0 --target /tmp/crm-0", "elsewhere; the live root is not looked at"),
    ],
)
@click.option("--target", metavar="DIR", type=PATH, help="Write the version to DIR instead.")
@exact_option
@config_option
@terms_options
@click.argument("version")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def checkout(
    session: Session,
    version: str,
    paths: tuple[str, ...],
    target: str | None,
    exact: bool,
    config: ConfigPolicy,
    **given: Any,
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
        if exact or config != "keep" or any(given.values()):
            raise UsageError("with --target only VERSION and PATHs apply: it writes a copy")
        return _export(session, handle, chosen, Path(os.path.abspath(target)), wanted)
    terms = terms_of(session, given)
    release = handle.trees.release(chosen)
    if release is not None:
        options = RepairOptions(
            release.version, wanted, exact=exact, config=config, action="checkout"
        )
        return bring_to_release(session, handle, options, terms)
    return _carry_out(
        session,
        handle,
        terms,
        lambda: handle.plan(chosen, wanted, exact=exact, config=config),
        lambda: handle.checkout(chosen, wanted, exact=exact, config=config, **terms),
    )


def _export(
    session: Session, handle: AppHandle, version: str, target: Path, paths: tuple[RelPath, ...]
) -> int:
    release = handle.trees.release(version)
    number = handle.trees.version(version) if release is None else release.version
    of = number if release is None else f"release {name(release.title)}"
    where = f"{name(str(target))} (content of {of})"
    live = handle.app.removed is None
    if live and target.resolve().is_relative_to(Path(handle.app.root).resolve()):
        session.out.warn(
            f"{name(str(target))} is within the root of {handle.app.key}: what is written there is"
            " part of it from then on"
        )
    if session.dry_run:
        found = handle.export(version, target, paths, dry_run=True)
        session.out.note(f"{handle.app.key}: would be written to {where}")
        return INCOMPLETE if found.refused else 0
    found = handle.export(version, target, paths)
    shape = {
        "type": "export",
        "app": handle.app.key,
        "version": number if release is None else None,
        "release": None if release is None else number,
        "target": shapes.text(str(target)),
        "files": found.files,
        "kept": shapes.paths(path for path, _ in found.kept),
        "not_restored": [
            shapes.text(f"{one.path}: {', '.join(one.what)}") for one in found.refused
        ],
    }
    text = f"{counted(found.files, 'file')} written to {where}"
    session.out.outcome(shape, f"{handle.app.key}: {text}")
    if found.kept:
        kept = [f"{name(path)} ({why})" for path, why in found.kept]
        session.out.note(titled(session.out, "without content", kept))
    if found.refused:
        refused = [f"{name(one.path)} ({', '.join(one.what)})" for one in found.refused]
        session.out.warn(titled(session.out, "not restored", refused))
    return INCOMPLETE if found.refused else 0


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore rollback", "away with what happened since the last change, or with that change"),
        ("epmstore rollback --dry-run", "where it would go, and what it would do"),
        ("epmstore rollback crm", "to the release of crm before its last upgrade"),
    ],
)
@config_option
@terms_options
@click.argument("product", metavar="[NAME]", required=False)
def rollback(session: Session, product: str | None, config: ConfigPolicy, **given: Any) -> int:
    """Go back to the last good state.

    If something has drifted since the last change, back to that change; else to the change before
    it. Where the daemon alone has recorded, the first version is the change to go back to. Paths of
    class state do not count. Repeating it walks further back. `epmstore undo` reverses it.
    With the NAME of a product, to the version before its last step: before an upgrade of it.
    """
    known = None
    if product is not None:
        app, known = session.workspace.packages.one_installed(product, session.app)
        session.app = app.key
    handle = session.handle()
    terms = terms_of(session, given)
    return _carry_out(
        session,
        handle,
        terms,
        lambda: handle.restoring.plan_rollback(config=config, product=known),
        lambda: handle.restoring.rollback(config=config, product=known, **terms),
    )


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[("epmstore undo", "as if the last checkout or rollback had not been")],
)
@terms_options
def undo(session: Session, **given: Any) -> int:
    """Reverse the last operation.

    Only paths that the operation touched are touched, and it is refused if one of them has changed
    since. Repeating it goes further back; `epmstore redo` goes forward again. What was changed with
    other applications, such as an install of several, is undone in all of them, or in none: they
    are shown by --dry-run, and before a question.
    """
    handle = session.handle()
    terms = terms_of(session, given)
    return _carry_out(
        session, handle, terms, handle.restoring.plan_undo, lambda: handle.undo(**terms)
    )


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[("epmstore redo", "on third thoughts")],
)
@terms_options
def redo(session: Session, **given: Any) -> int:
    """Do again what was undone.

    Reverses the last `epmstore undo`, as long as nothing else has happened since; in all
    applications that it was about.
    """
    handle = session.handle()
    terms = terms_of(session, given)
    return _carry_out(
        session, handle, terms, handle.restoring.plan_redo, lambda: handle.redo(**terms)
    )


def _carry_out(
    session: Session,
    handle: AppHandle,
    terms: TermsGiven,
    make_plan: Callable[[], Prepared],
    act: Callable[[], Result],
) -> int:
    """Show the plan (--dry-run), or ask about it on a terminal, and do it."""
    if session.dry_run:
        made = make_plan()
        apps = [handle.app, *(session.workspace.app(one.plan.app).app for one in made.others)]
        own, *others = [hooks_of(app) if terms["hooks"] else NONE for app in apps]
        show_plan(session.out, made, own, others)
        return outlook(handle, made, terms)
    if not session.yes and sys.stdin.isatty() and sys.stderr.isatty():
        confirm(session, make_plan())
    return finish(session, act())
