"""Commands that change what is installed: install, upgrade, uninstall."""

import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from epmstore.catalog.hooks import NONE, hooks_of
from epmstore.catalog.install_notes import SAID
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.planfile import not_to_be_had
from epmstore.cli.checkout_options import merge_option, terms_of, terms_options
from epmstore.cli.command import PATH, Callback, command
from epmstore.cli.output import counted, name
from epmstore.cli.plan_view import REMOVING, show_plan
from epmstore.cli.session import Session
from epmstore.cli.summary import INCOMPLETE, finish, titled
from epmstore.errors import NoSolutionError, UsageError
from epmstore.record.result import Result
from epmstore.workspace import Workspace, installshapes
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.intended import InstallOptions, Intended, IntendedMove

ASKED = ("is to be installed", "is to be upgraded", "is to be removed", "it is there")
"""What it was asked for is no news."""


def signature_options(function: Callback) -> Callback:
    """What a user knows better of the file of a package."""
    for option, metavar, text in (
        ("--signer", "FINGERPRINT", "From now on another key signs it."),
        ("--signature", "ASC", "The detached signature. Default: FILE.asc, if it is there."),
    ):
        function = click.option(option, metavar=metavar, help=text)(function)
    return click.option("--allow-unsigned", is_flag=True, help="Even if it came signed before.")(
        function
    )


downgrade_option = click.option(
    "--downgrade", is_flag=True, help="Also to a release that is older than what is installed."
)
revoked_option = click.option(
    "--revoked", is_flag=True, help="Also a release that its vendor withdrew."
)
replace_option = click.option(
    "--replace", is_flag=True, help="Replace files that are in the way, and are not the product's."
)


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore install crm-4.1.0-1.epkg", "the file of a package, with what it needs"),
        ("epmstore install crm=4.0.0 --root /srv/crm", "what is in the store, in a new root"),
        ("epmstore install crm-4.1.0-1.epkg --dry-run", "what it would do; nothing is imported"),
        ("epmstore install --adopt crm --app crm", "what is there, was installed by hand"),
    ],
)
@click.option("--root", metavar="DIR", type=PATH, help="Where a new application lives.")
@click.option("--owner", metavar="USER", help="Whose all that is written is.")
@click.option("--adopt", is_flag=True, help="It is there already: only say so, and write nothing.")
@downgrade_option
@revoked_option
@replace_option
@merge_option
@signature_options
@terms_options
@click.argument("names", metavar="FILE|NAME[=VERSION|=release:N]...", nargs=-1, required=True)
def install(
    session: Session,
    names: tuple[str, ...],
    root: str | None,
    owner: str | None,
    adopt: bool,
    config: ConfigPolicy | None,
    **given: Any,
) -> int:
    """Install products, and what they need.

    Each goes into the application that is named, else into that of its key, else into a new one, at
    --root or where the package proposes. It is a checkout: what is found is recorded first, the
    root is old or new whatever happens, and `epmstore undo` takes it back.
    """
    asked = _options(session, given, root=root, config=config, owner=owner)
    terms = terms_of(session, given)
    packages = session.workspace.packages
    if adopt:
        return _adopt(session, names, asked, terms)
    return _carry_out(
        session,
        terms,
        lambda: packages.plan_install(names, asked, **terms),
        lambda: packages.install(names, asked, **terms),
    )


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore upgrade crm", "to the newest release that is here"),
        ("epmstore upgrade crm-4.1.0-1.epkg", "to the release of a file"),
        ("epmstore upgrade --all --dry-run", "what could be newer"),
    ],
)
@click.option("--all", "all_", is_flag=True, help="Everything that is installed.")
@downgrade_option
@revoked_option
@replace_option
@merge_option
@signature_options
@terms_options
@click.argument("names", metavar="[FILE|NAME]...", nargs=-1)
def upgrade(
    session: Session,
    names: tuple[str, ...],
    all_: bool,
    config: ConfigPolicy | None,
    **given: Any,
) -> int:
    """Upgrade what is installed.

    Without names, the application around the working directory. What was edited here is kept as far
    as that can be; what was replaced, and what its vendor changed as well, is in the notes. What is
    frozen stays.
    """
    asked = _options(session, given, config=config, upgrade_all=all_)
    terms = terms_of(session, given)
    if not names and not all_:
        names = _around(session)
    packages = session.workspace.packages
    return _carry_out(
        session,
        terms,
        lambda: packages.plan_upgrade(names, asked, **terms),
        lambda: packages.upgrade(names, asked, **terms),
    )


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore uninstall crm", "its files go; what was changed or added here stays"),
        ("epmstore uninstall crm --forget", "and the application with its history"),
    ],
)
@click.option("--forget", is_flag=True, help="Let go of the application and of its history, too.")
@terms_options
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def uninstall(session: Session, names: tuple[str, ...], forget: bool, **given: Any) -> int:
    """Take away what was installed.

    What was changed or added here, edited configuration, and paths of class state stay, and are
    named. It is refused if others need it. `epmstore undo` brings it back.
    """
    asked = InstallOptions(app=session.app)
    terms = terms_of(session, given)
    packages = session.workspace.packages
    code = _carry_out(
        session,
        terms,
        lambda: packages.plan_uninstall(names, asked, **terms),
        lambda: packages.uninstall(names, asked, **terms),
        forget=session.workspace if forget else None,
    )
    return code


def _options(
    session: Session,
    given: dict[str, Any],
    *,
    config: ConfigPolicy | None,
    root: str | None = None,
    owner: str | None = None,
    upgrade_all: bool = False,
) -> InstallOptions:
    return InstallOptions(
        app=session.app,
        root=root,
        owner=owner,
        downgrade=given["downgrade"],
        revoked=given["revoked"],
        replace=given["replace"],
        config=config,
        upgrade_all=upgrade_all,
        signature=given["signature"],
        allow_unsigned=given["allow_unsigned"],
        signer=given["signer"],
    )


def _around(session: Session) -> tuple[str, ...]:
    """The product of the application that is clear. Raises UsageError."""
    handle = session.handle()
    found = session.workspace.packages.installed(handle.app.key)
    if not found:
        raise UsageError(
            f"nothing is installed in {handle.app.key}", hint="`epmstore installed` lists what is"
        )
    session.app = session.app or handle.app.key
    return (found[0].said.product,)


def _adopt(
    session: Session, names: tuple[str, ...], asked: InstallOptions, terms: TermsGiven
) -> int:
    if len(names) != 1:
        raise UsageError("--adopt is of one product")
    packages = session.workspace.packages
    if session.dry_run:
        return _show(session, packages.plan_adopt(names[0], asked), terms)
    intended, results = packages.adopt(names[0], asked, **terms)
    return _say(session, intended, results)


def _carry_out(
    session: Session,
    terms: TermsGiven,
    make_plan: Callable[[], Intended],
    act: Callable[[], tuple[Intended, list[Result]]],
    *,
    forget: Workspace | None = None,
) -> int:
    """Show what would be done (--dry-run), or ask about it on a terminal, and do it."""
    try:
        if session.dry_run:
            return _show(session, make_plan(), terms)
        if not session.yes and sys.stdin.isatty() and sys.stderr.isatty():
            _confirm(session, make_plan(), is_all=forget is not None)
        intended, results = act()
    except NoSolutionError as error:
        installshapes.say_derivation(error)
        raise
    if forget is not None:
        results = [msgspec.structs.replace(one, undo=None) for one in results]
    code = _say(session, intended, results)
    for result in results if forget is not None else ():
        assert forget is not None, "there are none without"
        forget.apps.remove(result.app, forget=True)
        session.out.note(f"{result.app} is not registered any more, and its history is gone")
    return code


def _show(session: Session, intended: Intended, terms: TermsGiven) -> int:
    """What would be done, step by step; the exit code that it would have."""
    _say_intended(session, intended)
    code = 0
    for one in intended.moves:
        if one.prepared is None:
            continue
        hooks = hooks_of(one.target.app) if terms["hooks"] else NONE
        show_plan(session.out, one.prepared, hooks)
        _note_moves(session, one)
        if not_to_be_had(one.prepared) or one.prepared.unseen.incomplete:
            code = INCOMPLETE
    return code


def _say(session: Session, intended: Intended, results: list[Result]) -> int:
    _say_intended(session, intended)
    code, is_one = 0, len(session.workspace.apps.list()) == 1
    for result in results:
        session.app = session.app if is_one else result.app
        is_last = result is results[-1] or not result.transaction  # one command undoes all
        code = finish(session, result, with_undo=is_last) or code
    for one in intended.moves:
        packages = session.workspace.packages
        notes = [n for n in packages.notes(one.target.app.key) if n.is_open]
        if notes and not session.json:
            session.out.note(
                f"{counted(len(notes), 'note')}: epmstore notes --app {one.target.app.key}"
            )
    return code


def _say_intended(session: Session, intended: Intended) -> None:
    out = session.out
    if out.as_json:
        out.shape(installshapes.solution(intended))
        return
    for one in intended.moves:
        where = f" in {one.target.app.key}, {name(one.target.app.root)}"
        new = " (a new application)" if one.target.is_new else ""
        if not out.quiet:
            out.line(f"{name(one.move.label)}{where}{new}")
        others = [why for why in one.step.why if not why.endswith(ASKED)]
        if others:
            out.note("\n".join(f"  because {name(why)}" for why in others))
    if not intended.moves and not out.quiet:
        out.line("nothing to do")
    if len(intended.moves) > 1:
        out.note("all of them or none: they are one transaction")
    for kept in intended.solution.kept:
        out.note(f"{kept.release.title} stays in {kept.instance}: {name(kept.why)}")
    for text in intended.solution.unmet:
        out.note(f"{name(text)}: not here")


def _note_moves(session: Session, one: IntendedMove) -> None:
    """What would be noted."""
    assert one.prepared is not None, "the caller looked"
    lines = [
        f"{name(note.path)} {SAID.get(note.what, note.what)}"
        for note in one.prepared.notes
        if note.path is not None
    ]
    if lines and not session.json:
        session.out.note(titled(session.out, "would be noted", lines))


def _confirm(session: Session, intended: Intended, *, is_all: bool) -> None:
    """Show what would be removed, and ask; also where more is changed than was asked for. Raises
    DeclinedError.
    """
    gone = [
        f"{one.target.app.key}: {name(step.path)}"
        for one in intended.moves
        if one.prepared is not None
        for step in one.prepared.plan.steps
        if step.op in REMOVING
    ]
    if not gone and len(intended.moves) < 2 and not is_all:
        return
    _say_intended(session, intended)
    if gone:
        session.out.note("\n".join(["to be removed:", *session.out.some(gone)]))
    if is_all:
        session.out.note("the history of each application goes for good")
    session.confirm("Go on?")
