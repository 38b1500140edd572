"""What is asked of the facets that change a root. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

import msgspec

from epmstore.given import AnyPath, AnyVersion

if TYPE_CHECKING:  # start-up
    from epmstore.checkout.plan import ConfigPolicy

RepairAction: TypeAlias = Literal["repair", "checkout"]
Recovery: TypeAlias = Literal["all", "boot", "tree"]
"""What a recovery does beside ending a journal: everything that is owed, with hooks; everything
that can be done before applications are started, without; nothing.
"""


class TermsGiven(TypedDict, total=False):
    """The fields of Terms, as keywords."""

    live: bool
    allow_network: bool
    hooks: bool
    hook_timeout: float
    health_timeout: float
    confirm: float | None
    unattended: bool


class RepairOptions(msgspec.Struct, frozen=True):
    """What is asked for: a release (None: the one that best explains the root), and for which paths
    (empty: all). `exact`: what no release has at its path goes, too. `config`: what becomes of
    configuration that was edited here. `sources` are folders and archives in which contents that
    are not stored are sought.
    """

    release: AnyVersion | None = None
    paths: Sequence[AnyPath] = ()
    exact: bool = False
    config: "ConfigPolicy" = "keep"
    action: RepairAction = "repair"
    sources: Sequence[AnyPath] = ()


ALL = RepairOptions()
