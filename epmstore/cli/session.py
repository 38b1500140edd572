"""What one command line stands on: its common options, the open store, the chosen application.

Here and only here the environment becomes parameters: variables, the working directory, the user.
"""

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from epmstore.cli.failure import DeclinedError
from epmstore.cli.meter import ProgressBar
from epmstore.cli.output import Output, Told
from epmstore.cli.where import STORE, find_store, working_directory
from epmstore.errors import ForeignError, NoStoreError, UsageError
from epmstore.places import SYSTEM_STORE
from epmstore.progress import SILENT, Progress

if TYPE_CHECKING:
    from epmstore.workspace import AppHandle, Workspace
    from epmstore.workspace.actor import Actor

__all__ = [
    "STORE",
    "Session",
    "actor",
    "find_store",
    "keys_for_completion",
    "remotes_for_completion",
    "working_directory",
]


class Session:
    """Common options are plain attributes, filled while the command line is parsed."""

    def __init__(self) -> None:
        self.store: str | None = None
        self.app: str | None = None
        self.key: str | None = None
        """Of the application that was chosen, named or not."""
        self.json = False
        self.quiet = False
        self.verbose = False
        self.dry_run = False
        self.yes = False
        self.is_partial = False
        """Whether what was asked for cannot be told in full, which was said: a command that is
        otherwise done ends as such.
        """
        self._damaged: set[str] = set()
        """Applications whose damage was said."""
        self._workspace: Workspace | None = None
        self._told = Told()

    @property
    def out(self) -> Output:
        return Output(as_json=self.json, quiet=self.quiet, verbose=self.verbose, told=self._told)

    @property
    def store_path(self) -> Path:
        """--store, else EPMSTORE_STORE, else the default of this user. Raises UsageError."""
        return find_store(self.store)[0]

    @property
    def workspace(self) -> "Workspace":
        """The store, opened on first use and closed with the command. Raises NoStoreError."""
        if self._workspace is None:
            self._workspace = self.open()
        return self._workspace

    def open(self, *, recover: bool = True) -> "Workspace":
        """The store, closed with the command."""
        from epmstore.cli.result_line import closing_line  # noqa: PLC0415 - start-up
        from epmstore.workspace import Workspace  # noqa: PLC0415 - start-up
        from epmstore.workspace.settings import SafeStores  # noqa: PLC0415 - start-up

        try:
            workspace = Workspace.open(
                self.store_path,
                progress=self.progress(),
                actor=actor(),
                recover=recover,
                safe_stores=SafeStores(os.environ),
                environ=os.environ,
            )
        except NoStoreError as error:
            raise self._with_system_store(error) from None
        click.get_current_context().call_on_close(workspace.close)
        for result in workspace.recovered:
            self.out.note(
                f"an interrupted checkout was finished: {closing_line(result, with_app=True)}"
            )
        for result in workspace.taken_back:
            self.out.note(f"{closing_line(result, with_app=True)}")
        for owed in workspace.obligations:
            self.out.warn(
                f"{owed.key}: a checkout did not come to its end, and the application may be down:"
                f" epmstore recover --app {owed.key}"
            )
        return workspace

    def _with_system_store(self, error: NoStoreError) -> NoStoreError:
        """`sudo epmstore log` and `epmstore log` use different stores: say so where it bites."""
        is_default = find_store(self.store)[1] == "default"
        if is_default and self.store_path != SYSTEM_STORE and SYSTEM_STORE.exists():
            error.hint = f"root's store is {SYSTEM_STORE}: use sudo, or --store {SYSTEM_STORE}"
        return error

    def progress(self) -> Progress:
        """What shows long work: nothing unless a terminal is there. However the command ends, it is
        gone then: an error is not written into it.
        """
        if self.json or self.quiet or not sys.stderr.isatty():
            return SILENT
        meter = ProgressBar(sys.stderr)
        click.get_current_context().call_on_close(meter.end)
        return meter

    def handle(self) -> "AppHandle":
        """The chosen application. Raises UsageError if that is not clear, AppNotFoundError."""
        handles = self.handles()
        if len(handles) == 1:
            return handles[0]
        names = ", ".join(handle.app.key for handle in handles)
        raise UsageError(
            f"which application? There are {names}",
            hint="name it with --app, or change into its root",
            apps=[handle.app.key for handle in handles],
        )

    def handles(self, *, recover: bool = True) -> "list[AppHandle]":
        """The application that was named or is clear, else all. Raises UsageError for none."""
        if self._workspace is None:
            self._workspace = self.open(recover=recover)
        workspace = self._workspace
        if self.app is not None:
            self.key = self.app
            return self._named_if_damaged([workspace.app(self.app)])
        here = working_directory()
        around = None if here is None else workspace.apps.at(here)
        found = [around] if around is not None else workspace.apps.list()
        if not found:
            raise UsageError(
                f"the store at {workspace.path} has no application yet",
                hint="register one: epmstore app add KEY ROOT",
            )
        if len(found) == 1:
            self.key = found[0].key
        return self._named_if_damaged([workspace.app(app.key) for app in found])

    def _named_if_damaged(self, handles: "list[AppHandle]") -> "list[AppHandle]":
        """What is known of a damaged history is shown, and that it is damaged is said."""
        for handle in handles:
            fault = handle.reading.damage()
            if fault is not None and handle.app.key not in self._damaged:
                self.is_partial = True
                self._damaged.add(handle.app.key)
                self.out.warn(f"{handle.app.key}: {fault.message}; what can be read is used")
                self.out.note(f"hint: {fault.hint}")
        return handles

    def check_settings(self) -> None:
        """What `config.toml` and variables say has to be right for every command. Raises
        UsageError.
        """
        from epmstore.owned import check_store  # noqa: PLC0415 - start-up
        from epmstore.workspace.settings import SafeStores, load_settings  # noqa: PLC0415

        path = self.store_path
        try:
            if path != SYSTEM_STORE:
                check_store(path, SafeStores(os.environ))
        except ForeignError:
            return  # nothing is read there, and who opens it says so
        except OSError:
            pass
        load_settings(path, os.environ)

    def confirm(self, question: str) -> None:
        """Ask, on a terminal; elsewhere, or with --yes, go on. Raises DeclinedError."""
        if self.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return
        if not click.confirm(question, err=True):
            raise DeclinedError("nothing was changed")


def actor() -> "Actor":
    """Who asks, for the record."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = None
    found: Actor = {"uid": uid, "user": user, "via": "cli"}
    context = click.get_current_context(silent=True)
    if context is not None:
        found["command"] = context.command_path
    if os.environ.get("SUDO_USER"):
        found["sudo_user"] = os.environ["SUDO_USER"]
    return found


def remotes_for_completion(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[str]:
    """The names of all remotes; none if anything is in the way."""
    from epmstore.sync.registry import Registry  # noqa: PLC0415 - start-up

    session = ctx.find_object(Session)
    try:
        known = Registry(find_store(session.store if session else None)[0]).list()
    except Exception:
        return []
    return [one.name for one in known if one.name.startswith(incomplete)]


def keys_for_completion(ctx: click.Context) -> list[str]:
    """The keys of all applications; none if anything is in the way: Tab is no place for errors."""
    from epmstore.workspace import Workspace  # noqa: PLC0415 - start-up

    session = ctx.find_object(Session)
    try:
        with Workspace.open(find_store(session.store if session else None)[0], recover=False) as ws:
            return [app.key for app in ws.apps.list()]
    except Exception:
        return []
