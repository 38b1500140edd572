"""Commands about parameters of what is installed: param list, get, set, reset, history."""

from typing import Any

import click

from epmstore.catalog.hooks import NONE, hooks_of
from epmstore.cli.checkout_options import terms_of, terms_options
from epmstore.cli.command import command
from epmstore.cli.moments import local
from epmstore.cli.output import name
from epmstore.cli.plan_view import show_plan
from epmstore.cli.session import Session
from epmstore.cli.summary import finish
from epmstore.errors import UsageError
from epmstore.measures import format_duration, parse_duration
from epmstore.refcat.parameter_values import said_count, said_limits, said_value
from epmstore.workspace import AppHandle, installshapes
from epmstore.workspace.app.parametering import ParameterState, SetParameter

site_option = click.option("--site", is_flag=True, help="In all applications with the product.")
rendered_option = click.option(
    "--replace", is_flag=True, help="Write files anew that were edited by hand."
)
NOTHING = "-"
"""Shown of a parameter that has no value."""


@command(
    app=True,
    examples=[
        ("epmstore param list", "what may be set, and what it is"),
        ("epmstore param list --app crm --json", "with limits, descriptions and files"),
    ],
)
def param_list(session: Session) -> None:
    """List the parameters of what is installed.

    The columns are application, parameter, value, where the value is from (the default, the
    instance, the site, or a temporary setting), type and limits.
    """
    handles = session.handles()
    for handle in handles:
        _end_what_is_over(session, handle)
    found = [state for handle in handles for state in handle.parameters.all()]
    if session.json:
        for state in found:
            session.out.shape(installshapes.parameter(state))
        return
    session.out.table([_row(state) for state in found])
    if not found:
        session.out.note("nothing that is installed has parameters")


def _row(state: ParameterState) -> tuple[str, str, str, str, str]:
    one = state.parameter
    limits = ", ".join(one.choices) or said_limits(one)
    kind = one.type if one.most == 1 else f"{one.type}, a list of {said_count(one)}"
    left = "" if state.seconds is None else f", {format_duration(round(state.seconds))} left"
    return (
        state.app,
        name(one.name),
        name(_shown(state)),
        f"{state.layer or NOTHING}{left}",
        name(f"{kind}{f' ({limits})' if limits else ''}"),
    )


def _shown(state: ParameterState) -> str:
    return NOTHING if state.value in (None, ()) else said_value(state.value)


@command(
    app=True,
    examples=[("epmstore param get port", "8080")],
)
@click.argument("name_", metavar="NAME")
def param_get(session: Session, name_: str) -> None:
    """Print what a parameter is set to.

    Of a list, each value on a line of its own; nothing, if there is no value.
    """
    handle = session.handle()
    _end_what_is_over(session, handle)
    state = handle.parameters.get(name_)
    if session.json:
        session.out.shape(installshapes.parameter(state))
        return
    values = state.value if isinstance(state.value, tuple) else (state.value,)
    for value in values:
        if value is not None:
            session.out.line(said_value(value))  # for scripts: as it is, and one line


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore param set port 9090", "in this application"),
        ("epmstore param set log-level debug --for 2h", "and back by itself"),
        ("epmstore param set proxy http://p:3128 --site", "in all that have the product"),
    ],
)
@site_option
@click.option("--for", "lasts", metavar="DURATION", help="Take it back after so long (2h).")
@rendered_option
@terms_options
@click.argument("name_", metavar="NAME")
@click.argument("words", metavar="VALUE...", nargs=-1)
def param_set(
    session: Session,
    name_: str,
    words: tuple[str, ...],
    site: bool,
    lasts: str | None,
    replace: bool,
    **given: Any,
) -> int:
    """Set a parameter of what is installed.

    The files that have it are written by a checkout: what is found is recorded first, and `epmstore
    undo` takes it back. A file that was edited since it was written is not touched (7). Where the
    parameter counts from the next start on, the application is stopped and started by its hooks. A
    list is set to none by no VALUE at all.
    """
    seconds = None if lasts is None else parse_duration(lasts)
    if seconds is not None and seconds < 1:
        raise UsageError(f"--for {lasts} is too short", hint="give it 1s or more")
    if site and seconds is not None:
        raise UsageError("--for is of one application, and --site of all")
    asked = SetParameter(name=name_, words=words, site=site, seconds=seconds, replace=replace)
    return _set(session, asked, given)


@command(
    app=True,
    changes=True,
    examples=[("epmstore param reset port", "to what the site says, else to the default")],
)
@site_option
@rendered_option
@terms_options
@click.argument("name_", metavar="NAME")
def param_reset(session: Session, name_: str, site: bool, replace: bool, **given: Any) -> int:
    """Take away what a parameter is set to.

    What the site has, or else the default, counts from then on; with --site, the default, unless an
    instance has a setting of its own. Otherwise as `epmstore param set`.
    """
    return _set(session, SetParameter(name=name_, site=site, replace=replace), given)


@command(
    app=True,
    examples=[("epmstore param history port", "who set it to what, and when")],
)
@click.argument("name_", metavar="NAME")
def param_history(session: Session, name_: str) -> None:
    """Show what a parameter was ever set to.

    The columns are version, time, who, layer and value, oldest first.
    """
    handle = session.handle()
    rows = []
    for one in handle.parameters.history(name_):
        if session.json:
            session.out.shape(installshapes.parameter_change(handle.app.key, name_, one))
        value = "reset" if one.value is None else said_value(one.value)
        who = str((one.actor or {}).get("user") or NOTHING)
        rows.append((str(one.version), local(one.time), name(who), one.layer, name(value)))
    if not session.json:
        session.out.table(rows)


def _set(session: Session, asked: SetParameter, given: dict[str, Any]) -> int:
    """Show what would be done (--dry-run), or do it."""
    handle, terms = session.handle(), terms_of(session, given)
    parameters = session.workspace.parameters
    _end_what_is_over(session, handle)
    is_restart = handle.parameters.get(asked.name).parameter.restart
    if session.dry_run:
        if not is_restart:
            terms["hooks"] = False
        hooks = hooks_of(handle.app) if terms["hooks"] else NONE
        for one, prepared in parameters.plan(handle, asked):
            one.restoring.check(prepared, **terms)
            show_plan(session.out, prepared, hooks)
        return 0
    code = 0
    before = handle.parameters.get(asked.name)
    results = parameters.set(handle, asked, **terms)
    for result in results:
        session.app = result.app if len(results) > 1 else session.app
        code = finish(session, result) or code
    if not session.json:
        after = session.workspace.app(handle.app.key).parameters.get(asked.name)
        _say(session, handle, before, after)
    return code


def _end_what_is_over(session: Session, handle: AppHandle) -> None:
    """What was set for a while is taken back, if its time is over."""
    if session.dry_run or not handle.parameters.expired():
        return
    result = handle.parameters.take_back()
    if result is not None:
        session.out.note(f"{handle.app.key}: {name(result.label or '')}")


def _say(
    session: Session, handle: AppHandle, before: ParameterState, after: ParameterState
) -> None:
    """What became of it, and from when on that counts."""
    one = after.parameter
    is_new = (before.value, before.layer) != (after.value, after.layer)
    if before.value == after.value:
        again = "" if is_new else ", as before"
        session.out.note(f"{name(one.name)} is {name(_shown(after))}{again}")
    else:
        key = handle.app.key
        session.out.note(f"{name(one.name)}: {name(_shown(before))} -> {name(_shown(after))}")
        if not one.restart:
            session.out.note(f"{key} was not restarted: the parameter needs none")
        elif not hooks_of(handle.app).commands:
            session.out.note(f"it counts from the next start of {key} on, which has no hooks")
    if after.seconds is not None:
        session.out.note(f"it is taken back in {format_duration(round(after.seconds))}")
