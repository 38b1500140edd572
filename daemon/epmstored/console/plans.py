"""Plans that people look at before they are carried out: kept for a while, each for who asked.

What is carried out is the very plan that was shown. If what it is about changed since, that is
found out, and nothing is done.
"""

import secrets
from typing import Final

import msgspec

from epmstore.checkout.request import Prepared

KEPT: Final = 4
"""Plans may be large: the oldest one goes."""
KEPT_SECONDS: Final = 900.0


class KeptPlan(msgspec.Struct, frozen=True):
    """`guest` is the session, or the proxy's user, that it was shown to."""

    guest: str
    app: str
    plan: Prepared
    until: float


class KeptPlans:
    """Only from the event loop. Times are monotonic."""

    def __init__(self) -> None:
        self._known: dict[str, KeptPlan] = {}

    def keep(self, guest: str, app: str, plan: Prepared, now: float) -> str:
        """What it is asked for by."""
        while len(self._known) >= KEPT:
            del self._known[next(iter(self._known))]
        name = secrets.token_urlsafe(16)
        self._known[name] = KeptPlan(guest, app, plan, now + KEPT_SECONDS)
        return name

    def take(self, name: str, guest: str, app: str, now: float) -> Prepared | None:
        """Once; None if there is none for this guest and this application (any more)."""
        found = self._known.get(name)
        if found is None or (found.guest, found.app) != (guest, app):
            return None
        del self._known[name]
        return found.plan if now < found.until else None
