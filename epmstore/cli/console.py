"""The command `console`: a way into the web console for the user who asks."""

import os
import platform

from epmstore.cli.command import command
from epmstore.cli.daemon_client import KNOWN_SECONDS, Daemon
from epmstore.cli.session import Session


@command(
    examples=[
        ("epmstore console", "open the link within a minute; it is good once"),
    ],
)
def console(session: Session) -> None:
    """Print a link into the web console.

    The link is good once, for a minute, and for the browser that opens it. It becomes a session of
    the user who asked, who sees there what this user may see. Where this command is run over ssh,
    it prints the line as well that brings the console to the machine with the browser.
    """
    found = Daemon(session.store_path).post("/v1/console", {}, wait=KNOWN_SECONDS)
    if session.json:
        session.out.shape(found)
        return
    if os.environ.get("SSH_CONNECTION"):
        port = found["listen"].rpartition(":")[2]
        session.out.note("on the machine with the browser, first:")
        session.out.line(f"ssh -L {port}:{found['listen']} {platform.node()}")
        session.out.note(f"then, within {found['seconds']} seconds:")
    session.out.line(found["url"])
    session.out.note(f"good once, for {found['seconds']} seconds, for {found['user']}")
