"""What is asked of a checkout, and the plan that answers it. Values. Pure."""

from typing import Literal, TypeAlias

import msgspec

from epmstore.catalog.model import Installed, Reason
from epmstore.checkout.goal import Goal
from epmstore.checkout.plan import ConfigPolicy, NamedPath, Plan
from epmstore.digest import BlobInfo
from epmstore.record.unseen import Unseen
from epmstore.relpath import RelPath

CheckoutAction: TypeAlias = Literal[
    "checkout", "rollback", "undo", "redo", "apply", "repair", "edit"
]
REASONS: dict[CheckoutAction, Reason] = {
    "checkout": "checkout",
    "rollback": "checkout",
    "undo": "undo",
    "redo": "undo",
    "apply": "checkout",
    "repair": "repair",
    "edit": "checkout",
}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: the `goal`, for the paths in `scope` (None: all that it is about).
    `within` are two versions: only paths that differ between them are touched, and only while they
    are as in the second, or, with `overwrite`, whatever became of them since. `installed` is what
    is installed afterwards (None: with a whole version its set, else what is installed now).
    """

    action: CheckoutAction
    goal: Goal
    scope: tuple[RelPath, ...] | None = None
    exact: bool = False
    config: ConfigPolicy = "keep"
    within: tuple[int, int] | None = None
    overwrite: bool = False
    label: str | None = None
    installed: tuple[Installed, ...] | None = None

    @property
    def paths(self) -> tuple[RelPath, ...] | None:
        """Those that it is about; None: all."""
        return self.scope or self.goal.paths


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and what it is for: a request, for the app of this UUID. `about` are contents that it
    needs and that are not stored yet, but will be, since the root has them. `forbidden` is what our
    privilege does not allow of paths that it would bring back; `left` are paths that a plan for a
    release leaves alone before anything is planned, and why. `installed` is the set that this makes
    of what is installed (None: it stays).
    """

    app: str
    request: Request
    plan: Plan
    about: frozenset[BlobInfo] = frozenset()
    forbidden: tuple[NamedPath, ...] = ()
    left: tuple[NamedPath, ...] = ()
    installed: tuple[Installed, ...] | None = None
    unseen: Unseen = Unseen()
    """What the look that it was made from did not see."""
