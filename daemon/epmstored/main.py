"""Where the daemon begins: `epmstored run [--store DIR]`, in the foreground.

Everything is imported before the first store is opened, so that an upgrade of the package does not
change a running daemon. Here and only here the environment becomes parameters.
"""

import argparse
import asyncio
import importlib
import logging
import os
import sys
from pathlib import Path

import pathspec

import epmstore.care.restore
import epmstore.refcat.release_goal
import epmstore.workspace.advice
import epmstore.workspace.care
import epmstore.workspace.catalogs
import epmstore.workspace.packages
import epmstore.workspace.readreport
import epmstore.workspace.remotes
import epmstore.workspace.site_parameters
import epmstore.workspace.vendors
from epmstore import __version__, limits
from epmstore.config import DaemonConfig
from epmstore.errors import EpmError, UsageError
from epmstore.places import SYSTEM_STORE
from epmstore.workspace.app import (
    explaining,
    installing,
    marking,
    merged,
    merging,
    needs,
    recording,
    recovering,
    repairing,
    reporting,
    restoring,
    supplying,
    verifying,
)
from epmstore.workspace.settings import SafeStores, load_settings
from epmstored.clock import SystemDaemonClock
from epmstored.logs import JsonFormatter, TextFormatter
from epmstored.memory import keep_little
from epmstored.notify import Notifier
from epmstored.service import Service
from epmstored.timing import Timing
from epmstored.watching import chooser

FIRST_NEEDED_LATER = (
    epmstore.care.restore,
    epmstore.refcat.release_goal,
    epmstore.workspace.advice,
    epmstore.workspace.care,
    epmstore.workspace.catalogs,
    epmstore.workspace.packages,
    epmstore.workspace.readreport,
    epmstore.workspace.remotes,
    epmstore.workspace.site_parameters,
    epmstore.workspace.vendors,
    pathspec,
    *(supplying, explaining, installing, marking, merged, merging, needs, recording),
    *(recovering, repairing, reporting, restoring, verifying),
)
"""Elsewhere these are imported where they are needed first, for a quick start of the command line.
By then another release may be in their place.
"""


CONSOLE = "epmstored.console.serving"
"""Imported at the start as well, but only where it is switched on."""


def main(args: list[str] | None = None) -> int:
    """Run until a signal; the exit code."""
    options = _parser().parse_args(args)
    limits.raise_descriptors()
    limits.keep_own_rights()
    keep_little()
    try:
        asyncio.run(_service(options.store).run())
    except EpmError as error:
        sys.stderr.write(f"epmstored: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  {error.hint}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"epmstored: {error}\n")
        return 4
    return 0


def _service(option: str | None) -> Service:
    store, clock = _store(option), SystemDaemonClock()
    config = load_settings(store, os.environ).config
    timing = Timing.of(config.daemon)
    _log(config.daemon)
    return Service(
        store,
        clock=clock,
        timing=timing,
        watch=chooser(store, clock, timing.poll),
        notifier=Notifier.from_environment(os.environ, os.getpid()),
        config=config,
        safe_stores=SafeStores(os.environ),
        read_config=lambda: load_settings(store, os.environ).config,
        make_console=importlib.import_module(CONSOLE).Console if config.console.is_on else None,
    )


def _log(config: DaemonConfig) -> None:
    """To stderr, where systemd and people read it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if config.log == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="epmstored", description="Watch the applications of a store and record what changes."
    )
    parser.add_argument("--version", action="version", version=f"epmstored {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="watch and record, in the foreground",
        description="Watch and record, in the foreground, until SIGTERM; SIGHUP reloads.",
        epilog="example: epmstored run --store /srv/store",
    )
    run.add_argument("--store", metavar="DIR", help="the store; default as for epmstore")
    return parser


def _store(option: str | None) -> Path:
    """--store, else EPMSTORE_STORE, else the default of this user. Raises UsageError."""
    named = option if option is not None else os.environ.get("EPMSTORE_STORE")
    if named is not None:
        if not named or "\0" in named:
            raise UsageError(f"that does not name a directory: {named!r}")
        return Path(os.path.abspath(named))
    if os.geteuid() == 0:
        return SYSTEM_STORE
    data, home = os.environ.get("XDG_DATA_HOME"), os.environ.get("HOME")
    place = data or (f"{home}/.local/share" if home else "")
    if not place.startswith("/"):
        raise UsageError("there is no home directory", hint="name the store: --store")
    return Path(place, "epmstore")
