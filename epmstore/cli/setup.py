"""Commands that set up: init, doctor, completion."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial

import click

from epmstore.care.doctor import HealthCheck
from epmstore.cli.command import command
from epmstore.cli.moments import in_local_time
from epmstore.cli.output import name, paint
from epmstore.cli.session import Session
from epmstore.errors import EpmError
from epmstore.places import config_folder
from epmstore.workspace import Workspace, shapes
from epmstore.workspace.declarations import Declarations
from epmstore.workspace.settings import SafeStores

FAILED = 4


@command(
    changes=True,
    examples=[
        ("epmstore init", "the store of this user; root's is /var/lib/epmstore"),
        ("epmstore init --store /srv/epmstore", "anywhere else"),
    ],
)
@click.option("--allow-network", is_flag=True, help="Even on a network file system.")
def init(session: Session, allow_network: bool) -> None:
    """Create a store.

    The directory is made if it is not there, readable for its owner only. It may lie inside an
    application's root: it is never recorded itself. A network file system is refused, because locks
    and syncs cannot be relied on there.
    """
    path, safe = session.store_path, SafeStores(os.environ)
    if session.dry_run:
        Workspace.check_place(path, allow_network=allow_network, safe_stores=safe)
    else:
        Workspace.init(path, allow_network=allow_network, safe_stores=safe).close()
    shape = {"type": "store", "app": None, "path": shapes.text(str(path)), "created": True}
    verb = "would create" if session.dry_run else "created"
    session.out.outcome(shape, f"{verb} a store at {name(str(path))}")
    session.out.note("next: epmstore app add KEY ROOT")


@command(
    examples=[("epmstore doctor", "what is in order, what is not, and what to do about it")],
    lenient=True,
)
def doctor(session: Session) -> int:
    """Check whether this host and this store are in order.

    Looks at the libraries, the file systems, the clock, and every application's root. Exits with 4
    if something is wrong.
    """
    checks = [*_settings(session), *session.open(recover=False).care.doctor()]
    for check in checks:
        if session.json:
            shape = {"name": check.name, "ok": check.ok, "detail": check.detail, "hint": check.hint}
            session.out.shape({"type": "check", "app": None, **shape})
            continue
        mark = paint("ok  ", "32", sys.stdout) if check.ok else paint("FAIL", "31", sys.stdout)
        session.out.line(in_local_time(f"{mark}  {check.name}: {check.detail}"))
        if check.hint and not check.ok:
            session.out.line(f"      {check.hint}")
    return 0 if all(check.ok for check in checks) else FAILED


def _settings(session: Session) -> Iterator[HealthCheck]:
    """Whether what other commands would refuse is right: settings, declarations, safe stores."""
    store = session.store_path
    asked: list[tuple[str, Callable[[], object]]] = [
        ("settings", session.check_settings),
        ("safe stores", SafeStores(os.environ).read),
    ]
    declarations = Declarations(config_folder(store), writes=False)
    try:
        keys = declarations.declared()
    except OSError as error:
        yield HealthCheck("declarations", False, str(error), f"see to {declarations.folder}")
        keys = []
    asked += [(f"{key}: declaration", partial(declarations.read, key)) for key in keys]
    for what, ask in asked:
        try:
            ask()
        except (EpmError, OSError) as error:
            hint = getattr(error, "hint", None) or "epmstore config show --origin"
            yield HealthCheck(what, False, str(error), hint)
        else:
            yield HealthCheck(what, True, "sound")


@command(
    lenient=True,
    examples=[
        ("epmstore completion bash", "write it to /etc/bash_completion.d/epmstore"),
        ("epmstore completion zsh", "write it to a file _epmstore on the fpath"),
        ("epmstore completion fish", "write it to ~/.config/fish/completions/epmstore.fish"),
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(session: Session, shell: str) -> None:
    """Print the completion script for a shell.

    The script asks epmstore itself, so that it never has to be renewed.
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - start-up

    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "epmstore", "_EPMSTORE_COMPLETE").source()
    if session.json:
        session.out.shape({"type": "completion", "app": None, "shell": shell, "script": script})
    else:
        session.out.line(script)
