"""`status` by a scan of this process."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from epmstore.cli import shapes
from epmstore.cli.session import Session
from epmstore.cli.status import show_status
from epmstore.errors import EpmError

if TYPE_CHECKING:
    from epmstore.workspace import AppHandle


def look(session: Session, handles: "Sequence[AppHandle]") -> int:
    """Scan the roots and print what differs; the exit code.

    One root that cannot be looked at does not hide the others: its error is raised at the end.
    """
    found: list[shapes.Shape] = []
    failed: list[EpmError] = []
    for handle in handles:
        try:
            standing = handle.standing()
            found.append(
                shapes.status(standing.status, standing=standing, after=handle.aftermath())
            )
        except EpmError as error:
            session.key = session.key or handle.app.key
            failed.append(error)
    code = show_status(session.out, found, table=len(handles) > 1)
    if failed:
        raise failed[0]
    return code
