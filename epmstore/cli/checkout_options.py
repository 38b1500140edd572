"""The options of commands that change a root: what goes, what stays, and what the caller takes upon
himself.
"""

import os
from typing import Any

import click

from epmstore.cli.command import Callback
from epmstore.cli.session import Session
from epmstore.errors import UsageError
from epmstore.measures import parse_duration
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.settings import load_settings

SHORTEST = 10.0
"""Seconds of the shortest wait for a confirmation: no person types faster."""

exact_option = click.option(
    "--exact", is_flag=True, help="Remove also what no change or release ever recorded."
)
config_option = click.option(
    "--config",
    type=click.Choice(["keep", "restore"]),
    default="keep",
    help="What to do with edited configuration files. Default: keep.",
)
merge_option = click.option(
    "--config",
    type=click.Choice(["keep", "merge", "restore"]),
    help="What to do with edited configuration. Default: as `app set` says, or keep.",
)

TERMS = {
    "--live": "Replace programs and libraries that are running, too.",
    "--allow-network": "Even if the root is on a network file system.",
    "--no-hooks": "Do not stop, start or check the application.",
    "--unattended": "For scripts: refused while the application is held.",
}


def terms_options(function: Callback) -> Callback:
    """What the caller takes upon himself."""
    confirm = "Undo it after so long (5m) unless `epmstore confirm` comes."
    function = click.option("--confirm", metavar="DURATION", help=confirm)(function)
    for option, text in reversed(TERMS.items()):
        function = click.option(option, is_flag=True, help=text)(function)
    return function


def terms_of(session: Session, given: dict[str, Any]) -> TermsGiven:
    """As the library takes them, with the limits that are configured. Raises UsageError."""
    limits = load_settings(session.store_path, os.environ).config.checkout
    wait = None if given["confirm"] is None else parse_duration(given["confirm"])
    if wait is not None and wait < SHORTEST:
        raise UsageError(f"--confirm {given['confirm']} is too short", hint="give it 10s or more")
    return {
        "live": given["live"],
        "allow_network": given["allow_network"],
        "hooks": not given["no_hooks"],
        "unattended": given["unattended"],
        "confirm": wait,
        "hook_timeout": limits.hook_timeout,
        "health_timeout": limits.health_timeout,
    }
