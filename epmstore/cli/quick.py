"""`status` by asking the daemon, before anything big is imported.

The daemon's answer is as true as a scan: it looks at the root itself unless nothing at all has
happened since it did. Whatever keeps it from answering, the root is scanned here instead.
"""

import io
import os
import sys
from pathlib import Path
from urllib.parse import quote

from epmstore.cli.daemon_client import CONNECT_SECONDS, Daemon, NoDaemonError
from epmstore.cli.output import Output
from epmstore.cli.reach import with_reach
from epmstore.cli.status import show_status
from epmstore.cli.stdio import BROKEN_PIPE, COMPLETE, prepare_streams
from epmstore.cli.where import find_store, working_directory
from epmstore.errorform import Shape
from epmstore.errors import EpmError, UsageError
from epmstore.relpath import text_from_json

FLAGS = {
    "--json": "json",
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
}
_KNOWN = {"EPMSTORE_STORE", "EPMSTORE_DEBUG"}
VALUES = {"--app": "app", "--store": "store"}


def quick_status(args: list[str]) -> int | None:
    """The exit code; None if the whole program must do it (which it then does from the start)."""
    given = _parse(args)
    if given is None or COMPLETE in os.environ or os.environ.get("EPMSTORE_DEBUG", "0") != "0":
        return None
    if any(name.startswith("EPMSTORE_") and name not in _KNOWN for name in os.environ):
        return None  # misspelt, perhaps: it is said there
    prepare_streams()
    try:
        store = find_store(given.get("store"))[0]
    except UsageError:
        return None
    out = Output(as_json="json" in given, quiet="quiet" in given, verbose="verbose" in given)
    found = ask_status(store, given.get("app"), out)
    if found is None:
        return None
    try:
        code = show_status(out, found, table=len(found) > 1)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = io.StringIO()
        return BROKEN_PIPE
    return code


def ask_status(store: Path, app: str | None, out: Output) -> list[Shape] | None:
    """The status of the application that is meant, or of all; None where no daemon can say."""
    daemon = Daemon(store)
    try:
        rows = daemon.get("/v1/status", wait=CONNECT_SECONDS)["apps"]
        keys = [app] if app is not None else choose(rows, working_directory())
        found = [daemon.get(f"/v1/apps/{quote(key, safe='')}/status") for key in keys]
        if found and daemon.skew:
            out.warn(daemon.skew)
        return with_reach(store, found) or None
    except NoDaemonError as error:
        if error.died:
            out.note("the daemon has died, and nothing is recorded by itself: epmstored run")
    except (EpmError, OSError, KeyError):
        pass
    return None


def choose(rows: list[Shape], here: Path | None) -> list[str]:
    """The innermost application around the working directory, else all."""
    known = [(text_from_json(row["root"]), str(row["app"])) for row in rows]
    if here is not None:
        for place in (str(here), os.path.realpath(here)):
            around = [one for one in known if place == one[0] or place.startswith(f"{one[0]}/")]
            if around:
                return [max(around, key=lambda one: len(one[0]))[1]]
    return [app for _, app in known]


def _parse(args: list[str]) -> dict[str, str] | None:
    """What is given; None for anything that is not the plainest way to say it."""
    found: dict[str, str] = {}
    words = iter(args)
    for word in words:
        option, equals, value = word.partition("=")
        if word in FLAGS:
            found[FLAGS[word]] = word
        elif option in VALUES and (equals or (value := next(words, ""))):
            found[VALUES[option]] = value
        else:
            return None
    return found
