"""`config show`: the settings in force, and who says so."""

import os

import click

from epmstore.cli.command import command
from epmstore.cli.failure import DEBUG
from epmstore.cli.output import name
from epmstore.cli.session import Session, find_store
from epmstore.workspace import shapes
from epmstore.workspace.settings import load_settings


@command(
    examples=[
        ("epmstore config show", "which store, and every setting"),
        ("epmstore config show --origin", "and who says so: a flag, a variable, a file"),
    ],
)
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
def config_show(session: Session, origin: bool) -> None:
    """Show each setting and where it comes from.

    A setting comes from config.toml (in /etc/epmstore for the store /var/lib/epmstore, inside the
    store for any other), from a variable such as EPMSTORE_DAEMON_SETTLE, or is the default; the
    later of these wins. A name that is not known is an error.
    """
    path, source = find_store(session.store)
    debug = os.environ.get(DEBUG)
    colour = os.environ.get("NO_COLOR")
    rows = [
        ("store", str(path), source),
        ("debug", debug or "0", "default" if debug is None else DEBUG),
        ("colour", "never" if colour else "on a terminal", "NO_COLOR" if colour else "default"),
        *load_settings(path, os.environ).rows(),
    ]
    if session.json:
        for key, value, source in rows:
            shape = {"key": key, "value": shapes.text(value), "origin": shapes.text(source)}
            session.out.shape({"type": "setting", "app": None, **shape})
    else:
        session.out.table([(key, name(value), name(who))[: 2 + origin] for key, value, who in rows])
