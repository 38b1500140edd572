"""What is asked of a checkout, and the plan that answers it. Values. Pure."""

from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.catalog.model import Installed, Note, Parameters, Reason
from epmstore.checkout.goal import Goal
from epmstore.checkout.plan import ConfigPolicy, NamedPath, Plan
from epmstore.digest import BlobInfo
from epmstore.record.unseen import Unseen
from epmstore.relpath import RelPath
from epmstore.store.seeking import CameFrom
from epmstore.tree import Entry

CheckoutAction: TypeAlias = Literal[
    "checkout", "rollback", "undo", "redo", "apply", "repair", "edit",
    "install", "upgrade", "downgrade", "uninstall", "adopt", "parameter", "merge",
]  # fmt: skip
INSTALLING: Final[frozenset[CheckoutAction]] = frozenset({"install", "upgrade", "downgrade"})
"""Actions that bring a root to a release which is installed from then on."""
UNPLANNED: Final[frozenset[CheckoutAction]] = INSTALLING | {
    *("uninstall", "adopt", "parameter", "merge")
}
"""Actions that no plan file has: what is installed follows from more than one root, and what is set
is said in no plan.
"""
REASONS: dict[CheckoutAction, Reason] = {
    "checkout": "checkout",
    "rollback": "checkout",
    "undo": "undo",
    "redo": "undo",
    "apply": "checkout",
    "repair": "repair",
    "edit": "checkout",
    "install": "checkout",
    "upgrade": "checkout",
    "downgrade": "checkout",
    "uninstall": "checkout",
    "adopt": "checkout",
    "parameter": "checkout",
    "merge": "checkout",
}


class Rendering(msgspec.Struct, frozen=True):
    """Files that parameters are written into: what each is to be, whatever the goal says of its
    path, and their contents, which are stored when it is carried out.
    """

    entries: tuple[Entry, ...]
    contents: tuple[tuple[BlobInfo, bytes], ...]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: the `goal`, for the paths in `scope` (None: all that it is about).
    `within` are two versions: only paths that differ between them are touched, and only while they
    are as in the second, or, with `overwrite`, whatever became of them since; an installing one
    with `overwrite` replaces what is in its way. `installed` is what is installed afterwards (None:
    with a whole version its set, else what is installed now), `parameters` what is set then, by the
    same rule, `rendering` the files that have it (None: those that there are), `notes` what a
    person should know.
    `owner` (ids and names of user and group) is whose all is that an installing one writes.
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
    parameters: Parameters | None = None
    rendering: Rendering | None = None
    notes: tuple[Note, ...] = ()
    owner: tuple[int, int, str | None, str | None] | None = None

    @property
    def paths(self) -> tuple[RelPath, ...] | None:
        """Those that it is about; None: all."""
        return self.scope or self.goal.paths


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """Where the contents are that a plan needs and the store lacks, or cannot read, of `needed` in
    all. `lacking` are in none of the places `sought`, of which those `away` could not be asked;
    `notes` say why.
    """

    needed: int
    found: tuple[CameFrom, ...] = ()
    lacking: frozenset[BlobInfo] = frozenset()
    sought: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and what it is for: a request, for the app of this UUID. `about` are contents that it
    needs and that are not stored yet, but will be, since the root has them. `forbidden` is what our
    privilege does not allow of paths that it would bring back; `left` are paths that a plan for a
    release leaves alone before anything is planned, and why. `installed` is the set that this makes
    of what is installed, `parameters` what is set then (None: it stays), `notes` what a person
    should know of what it does. `others` are plans for the applications that go with this one: all
    of them are carried out, or none.
    """

    app: str
    request: Request
    plan: Plan
    about: frozenset[BlobInfo] = frozenset()
    forbidden: tuple[NamedPath, ...] = ()
    left: tuple[NamedPath, ...] = ()
    installed: tuple[Installed, ...] | None = None
    parameters: Parameters | None = None
    notes: tuple[Note, ...] = ()
    unseen: Unseen = Unseen()
    """What the look that it was made from did not see."""
    supply: Supply | None = None
    """None: the store has all contents, or it was not looked into that."""
    others: tuple["Prepared", ...] = ()

    @property
    def is_anything(self) -> bool:
        """Whether there is something to do, or to be said."""
        is_said = self.installed is not None or self.parameters is not None
        return bool(self.plan.steps) or is_said
