"""A checkout of which a person has seen the plan: a job of the daemon, which no client sends."""

from typing import TypeAlias

import msgspec

from epmstore.checkout.request import Prepared
from epmstored.api.forms import JobSpec


class PlannedCheckout(msgspec.Struct, frozen=True, kw_only=True):
    """Carry out this very plan, or nothing. `confirm`: undone after so many seconds unless it is
    confirmed.
    """

    app: str
    plan: Prepared
    confirm: float | None = None


AnyJob: TypeAlias = JobSpec | PlannedCheckout
