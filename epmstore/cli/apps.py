"""Commands about the applications of this host: what is recorded, by which rules."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from epmstore.catalog.appowners import owners_of
from epmstore.catalog.config_policy import DEFAULT_POLICY, POLICIES, policy_of
from epmstore.catalog.hooks import (
    HOOKS,
    hooks_of,
    parse_command,
    parse_limit,
    show_command,
    unit_of,
)
from epmstore.cli import failure
from epmstore.cli.command import PATH, Callback, command
from epmstore.cli.moments import local
from epmstore.cli.output import name
from epmstore.cli.session import Session
from epmstore.errors import UsageError
from epmstore.measures import format_duration
from epmstore.workspace import shapes

if TYPE_CHECKING:
    from epmstore.catalog.appcat import App
    from epmstore.workspace.apps import AddedApp

CLASS_HELP = {
    "ignore": "Not looked at.",
    "state": "Data, logs, sockets: metadata only, and never written or removed unless named.",
    "config": "Configuration: what was edited is kept by a checkout.",
    "secret": "Keys, passwords: the content is never stored.",
}


CLASSES = tuple(CLASS_HELP)


def class_options(function: Callback) -> Callback:
    """--ignore, --state, --config and --secret, each any number of times."""
    for kind, text in reversed(CLASS_HELP.items()):
        option = click.option(f"--{kind}", metavar="GLOB", multiple=True, help=text)
        function = option(function)
    return function


def take_back_options(function: Callback) -> Callback:
    """--no-ignore and so on."""
    for kind in reversed(CLASSES):
        text = f"Take a pattern of {kind} back."
        option = click.option(f"--no-{kind}", metavar="GLOB", multiple=True, help=text)
        function = option(function)
    return function


@command(
    changes=True,
    examples=[
        ("epmstore app add crm /opt/crm", "everything below /opt/crm"),
        (
            "epmstore app add crm /opt/crm --state 'data/' --state '*.log' --config 'etc/'",
            "say which paths are not the program's",
        ),
        ("epmstore app add crm --again", "it was removed, and goes on as before"),
    ],
)
@class_options
@click.option("--follow", is_flag=True, help="ROOT is a symbolic link: record what it leads to.")
@click.option("--cross-mounts", is_flag=True, help="Enter file systems mounted below ROOT.")
@click.option("--again", is_flag=True, help="Take up one that was removed, with its history.")
@click.option(
    "--product",
    metavar="KEY",
    help="It is an instance of this product. Default: of that of its own key.",
)
@click.argument("key")
@click.argument("root", type=PATH, required=False)
def app_add(
    session: Session,
    key: str,
    root: str | None,
    follow: bool,
    cross_mounts: bool,
    again: bool,
    product: str | None,
    **patterns: tuple[str, ...],
) -> None:
    """Register the directory of an application.

    KEY is its name from now on: small letters, digits, '_', '.', '-'. Patterns are those of
    .gitignore files, relative to ROOT. What looks like data, logs or databases is proposed as
    state, together with the command that accepts the proposal; nothing is accepted unasked. With
    --again the history of one that was removed goes on, under its key or UUID (`epmstore app list
    --removed`), with its rules, and where it was unless ROOT says other.
    """
    if again:
        if follow or cross_mounts or product is not None or any(patterns.values()):
            raise UsageError("--again brings its rules along", hint="change them: epmstore app set")
        _add_again(session, key, root)
        return
    if not root:
        raise UsageError("which ROOT?" if root is None else "the root is empty")
    path = Path(os.path.abspath(root))
    before = [app for app in session.workspace.apps.removed() if app.key == key]
    added = session.workspace.apps.add(
        key,
        path,
        follow=follow,
        cross_mounts=cross_mounts,
        product=product,
        dry_run=session.dry_run,
        **patterns,
    )
    if session.dry_run:
        session.out.note(f"would register {key} at {name(added.app.root)}")
        return
    _print_added(session, added)
    if before:
        old = before[-1].uuid
        session.out.note(
            f"note: an application {key} was removed, and this is another one; its history:"
            f" epmstore log --app {old}; to go on with that instead: epmstore app remove {key},"
            f" then epmstore app add {old} --again"
        )
    session.out.note(f"next: epmstore snapshot --app {key} -m 'as delivered'")


def _add_again(session: Session, key: str, root: str | None) -> None:
    apps = session.workspace.apps
    found = apps.find(key)
    path = None if root is None else Path(os.path.abspath(root))
    if session.dry_run:
        where = found.root if path is None else str(path)
        session.out.note(f"would take up {found.key} ({found.uuid}) at {name(where)}")
        return
    _print_added(session, apps.add_again(key, path))
    session.out.note(f"next: epmstore status --app {found.key}")


def _print_added(session: Session, added: "AddedApp") -> None:
    key = added.app.key
    proposals = [
        {"class": p.path_class, "pattern": p.pattern, "why": p.why} for p in added.proposals
    ]
    shape = {**app_shape(added.app), "proposals": proposals, "notes": list(added.notes)}
    session.out.outcome(shape, f"{key}: registered, root {name(added.app.root)}")
    for note in added.notes:
        session.out.note(f"note: {note}")
    _propose(session, key, proposals)


def _propose(session: Session, key: str, proposals: list[shapes.Shape]) -> None:
    if not proposals:
        return
    lines = [f"{p['class']:<8}{p['pattern']}  ({p['why']})" for p in proposals]
    session.out.note(
        "\n".join(["these look like no part of the program:", *session.out.some(lines)])
    )
    words = " ".join(f"--{p['class']} {shlex.quote(p['pattern'])}" for p in proposals)
    session.out.note(f"accept with: epmstore app set {key} {words}")


def app_shape(app: "App") -> shapes.Shape:
    return {
        "type": "app",
        "app": app.key,
        "uuid": app.uuid,
        "root": shapes.text(app.root),
        **{kind: list(getattr(app.patterns, kind)) for kind in CLASSES},
        "follow": app.follow,
        "cross_mounts": app.cross_mounts,
        "created": app.created,
        "hooks": _hooks_shape(app),
        "unit": unit_of(app),
        "owners": [*owners_of(app)],
        "config_policy": policy_of(app),
        "removed": app.removed,
    }


def _hooks_shape(app: "App") -> shapes.Shape:
    hooks = hooks_of(app)
    found: shapes.Shape = {hook: hooks.command(hook) for hook in HOOKS}
    return {**found, "timeout": hooks.timeout, "health_timeout": hooks.health_timeout}


@command(
    examples=[
        ("epmstore app list", "keys and roots"),
        ("epmstore app list --removed", "those of which only the history is here"),
    ],
)
@click.option("--removed", is_flag=True, help="Those that were removed instead.")
def app_list(session: Session, removed: bool) -> None:
    """List the applications of this store.

    One line each: key and root. Of those that were removed: key, UUID, root, and when. `epmstore
    log --app UUID` shows the history of one, `epmstore app add UUID --again` takes it up, and
    `epmstore app remove UUID --forget` lets go of it.
    """
    if removed:
        _list_removed(session)
        return
    apps = session.workspace.apps.list()
    if session.json:
        for app in apps:
            session.out.shape(app_shape(app))
    else:
        session.out.table([(app.key, name(app.root)) for app in apps])
        if not apps:
            session.out.note("no application yet: epmstore app add KEY ROOT")


def _list_removed(session: Session) -> None:
    apps = session.workspace.apps.removed()
    if session.json:
        for app in apps:
            session.out.shape(app_shape(app))
        return
    session.out.table(
        [
            (
                app.key,
                app.uuid,
                name(app.root) if app.root else "-",
                local(app.removed) if app.removed else "-",
            )
            for app in apps
        ]
    )
    if not apps:
        session.out.note("no application was removed, or all were forgotten")


@command(
    examples=[("epmstore app show crm", "its root and the classes of its paths")],
)
@click.argument("key")
def app_show(session: Session, key: str) -> None:
    """Show one application and its rules.

    The patterns are listed in the order in which they were given; within a list the last one that
    matches decides.
    """
    _print_app(session, session.workspace.apps.find(key))


def _print_app(session: Session, app: "App") -> None:
    if session.json:
        session.out.shape(app_shape(app))
        return
    rows = [("key", app.key), ("root", name(app.root)), ("uuid", app.uuid)]
    rows.append(("added", local(app.created)))
    rows += [(kind, pattern) for kind in CLASSES for pattern in getattr(app.patterns, kind)]
    hooks = hooks_of(app)
    rows += [(f"{hook} hook", name(show_command(words))) for hook, words in hooks.commands.items()]
    rows += [("hook timeout", format_duration(hooks.timeout))] if hooks.timeout else []
    rows += (
        [("health timeout", format_duration(hooks.health_timeout))] if hooks.health_timeout else []
    )
    rows += [("config policy", policy_of(app))] * (policy_of(app) != DEFAULT_POLICY)
    rows += [("unit", unit)] if (unit := unit_of(app)) else []
    rows += [("owner", name(owner)) for owner in owners_of(app)]
    rows += [("option", "follow")] * app.follow + [("option", "cross-mounts")] * app.cross_mounts
    session.out.table(rows)


HOOK_HELP = {
    "stop": "Command that stops the application before a checkout; '' for none.",
    "start": "Command that starts it again.",
    "health": "Command that exits with 0 when it works; else the checkout is undone.",
}


def hook_options(function: Callback) -> Callback:
    """--stop, --start and --health, their limits, and --unit."""
    unit = "Its systemd unit, which is to wait for recovery at boot; '' for none."
    health = "How long it may take to become healthy."
    limit = "The time limit of each hook."
    function = click.option("--unit", metavar="NAME", help=unit)(function)
    function = click.option("--health-timeout", metavar="DURATION", help=health)(function)
    function = click.option("--hook-timeout", metavar="DURATION", help=limit)(function)
    for hook, text in reversed(HOOK_HELP.items()):
        function = click.option(f"--{hook}", metavar="COMMAND", help=text)(function)
    return function


@command(
    changes=True,
    examples=[
        ("epmstore app set crm --state 'var/'", "from the next snapshot on"),
        ("epmstore app set crm --no-ignore '*.bak'", "take a pattern back"),
        (
            "epmstore app set crm --stop 'systemctl stop crm' --start 'systemctl start crm'",
            "around every checkout from now on",
        ),
        (
            "epmstore app set crm --health 'curl -fsS http://localhost:8080/health'",
            "undo a checkout after which it does not work",
        ),
        ("epmstore app set crm --unit crm.service", "at boot: recover first, then start crm"),
    ],
)
@class_options
@take_back_options
@hook_options
@click.option(
    "--config-policy",
    type=click.Choice(POLICIES),
    help="What upgrades do with configuration that both sides changed.",
)
@click.argument("key")
def app_set(session: Session, key: str, **given: Any) -> None:
    """Change the rules of an application.

    Patterns are added to the lists or taken back from them; they hold from the next snapshot on.
    Hooks are commands without a shell; what needs one says so: "sh -c '...'". They run around
    every checkout, rollback, undo, redo and apply.
    """
    add = {kind: list(given[kind]) for kind in CLASSES if given[kind]}
    take = {kind: list(given[f"no_{kind}"]) for kind in CLASSES if given[f"no_{kind}"]}
    hooks = _changed_hooks(given)
    is_said = given["unit"] is not None or given["config_policy"] is not None
    if not add and not take and not hooks and not is_said:
        raise UsageError("nothing to change", hint="see: epmstore app set --help")
    app = session.workspace.apps.get(key)
    wanted = msgspec.structs.replace(hooks_of(app), **hooks) if hooks else None
    if session.dry_run:
        session.out.note(f"would change the rules of {key}")
        return
    _print_app(
        session,
        session.workspace.apps.set(
            key,
            add=add,
            remove=take,
            hooks=wanted,
            unit=given["unit"],
            policy=given["config_policy"],
        ),
    )
    if given["unit"] is not None:
        session.out.note("next: systemctl daemon-reload")


def _changed_hooks(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of Hooks that were given; an empty text takes one away. Raises UsageError."""
    found: dict[str, Any] = {}
    for hook in HOOKS:
        if given[hook] is not None:
            found[hook] = parse_command(given[hook]) if given[hook] else None
    for option, field in (("hook_timeout", "timeout"), ("health_timeout", "health_timeout")):
        if given[option] is not None:
            found[field] = parse_limit(given[option]) if given[option] else None
    return found


@command(
    changes=True,
    examples=[
        (
            "epmstore app apply",
            "after configuration management wrote /etc/epmstore/apps.d/crm.toml",
        ),
        ("epmstore app apply --dry-run", "what would be added or changed"),
    ],
)
def app_apply(session: Session) -> int:
    """Register the applications that files declare.

    Reads the files KEY.toml of apps.d: in /etc/epmstore for the store /var/lib/epmstore, inside the
    store for any other. Doing it again changes nothing; applications without a file stay as they
    are. epmstored does the same when it starts and when it is told to reload.
    """
    code = 0
    for one in session.workspace.apps.apply_declared(dry_run=session.dry_run):
        if one.error is not None:
            failed = failure.report(one.error, as_json=session.json, app=one.key)
            code = code or failed
            continue
        shape = {"type": "declared", "app": one.key, "action": one.action}
        would = "would be " if session.dry_run and one.action != "unchanged" else ""
        session.out.outcome(shape, f"{one.key}: {would}{one.action}")
    return code


@command(
    changes=True,
    examples=[("epmstore app move crm /srv/crm", "after the directory was moved there")],
)
@click.argument("key")
@click.argument("root", type=PATH)
def app_move(session: Session, key: str, root: str) -> None:
    """Say that an application has another root now.

    Moves no file: it tells epmstore where the directory is now. The history goes on.
    """
    path = Path(os.path.abspath(root))
    app = session.workspace.apps.move(key, path, dry_run=session.dry_run)
    if session.dry_run:
        session.out.note(f"{key}: the root would be {name(app.root)}")
        return
    session.out.outcome(app_shape(app), f"{key}: the root is now {name(app.root)}")


@command(
    changes=True,
    asks=True,
    examples=[
        ("epmstore app remove crm", "the history stays in the store"),
        ("epmstore app remove crm --forget", "its contents may go, with the next gc"),
    ],
)
@click.option("--forget", is_flag=True, help="Forget all its versions, too.")
@click.argument("key")
def app_remove(session: Session, key: str, forget: bool) -> None:
    """Stop recording an application.

    Touches no file of the application. Its history stays unless --forget: `epmstore app list
    --removed` lists it, and `epmstore app add KEY --again` takes it up. With --forget, KEY may be
    the key or the UUID of one that was removed before.
    """
    app = session.workspace.apps.find(key)
    if not session.dry_run:
        if forget:
            session.confirm(f"Forget every version of {app.key}?")
        session.workspace.apps.remove(key, forget=forget)
    if session.dry_run:
        session.out.note(f"{app.key}: would be recorded no more")
        return
    session.out.outcome(app_shape(app), f"{app.key}: is not recorded any more")
    if not forget:
        session.out.note(
            f"its history stays: epmstore log --app {app.uuid}; take it up again: epmstore app add"
            f" {app.uuid} --again; let go of it: epmstore app remove {app.uuid} --forget"
        )
