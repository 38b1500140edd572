"""Keeping automation from moving an application."""

from typing import TYPE_CHECKING

from epmstore.catalog.model import HoldRecord
from epmstore.clock import from_rfc3339
from epmstore.errors import ConflictError
from epmstore.store.commit import commit_hold
from epmstore.store.reckoned import reckon
from epmstore.workspace.app.context import AppContext

if TYPE_CHECKING:  # start-up
    from epmstore.checkout.preflight import Terms

AUTOMATIC = ("daemon", "api")
"""Callers behind which no person stands."""


def hold_in_force(context: AppContext) -> HoldRecord | None:
    """The hold that keeps automation from moving an application now, if there is one."""
    hold = context.state().hold
    if hold is None or hold.until is None:
        return hold
    return hold if reckon(context.store).sure < from_rfc3339(hold.until) else None


def check_hold(context: AppContext, terms: "Terms") -> None:
    """Raises ConflictError if no person looks on and the application is to be left alone."""
    automatic = terms.unattended or (context.actor or {}).get("via") in AUTOMATIC
    hold = hold_in_force(context) if automatic else None
    if hold is not None:
        raise ConflictError(
            f"{context.app.key} is held since {hold.time}: {hold.reason or 'no reason given'}",
            hint=f"`epmstore unhold {context.app.key}` lets automation go on",
            reason=hold.reason,
        )


def end_hold_of(context: AppContext, version: int) -> None:
    """A hold that came with a version ends with it."""
    hold = context.state().hold
    if hold is not None and hold.version is not None and hold.version == version:
        commit_hold(context.store, context.app.uuid, context.actor, held=False)
