"""`app.installing`: a release of a product comes into the root of an application, and goes again;
what is installed there is said by the version that comes of it.
"""

from collections.abc import Sequence
from typing import Unpack

import msgspec

from epmstore.catalog.install_notes import UNSET, NumberedNote, chosen, notes_of
from epmstore.catalog.installed import (
    InstalledSet,
    find_product,
    installed_at,
    with_product,
    without_product,
)
from epmstore.catalog.model import (
    AcknowledgeRecord,
    FreezeRecord,
    Installed,
    Note,
    Parameters,
    ParameterSetting,
)
from epmstore.catalog.parameters import parameters_at, with_site_settings
from epmstore.checkout.goal import ReleaseGoal, RemovalGoal, VersionGoal
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import CheckoutAction, Prepared, Rendering, Request
from epmstore.checkout.undo import taken_back
from epmstore.digest import BlobInfo
from epmstore.errors import NotFoundError
from epmstore.record.recorder import SAFETY, Intent
from epmstore.record.result import Result
from epmstore.record.root import Root
from epmstore.refcat.effective_values import unset
from epmstore.refcat.owners import Owner
from epmstore.workspace.app.acting import Acting
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.rendered import package_of, rendered_for, without_settings
from epmstore.workspace.app.transacting import Asking


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an application: `product` is what is installed afterwards, or was until then.
    With `replace`, what is in its way goes. `label` is what the version is called;
    `owner` whose all that is written is (None: as in the release). `site` are the settings of the
    site, which a new instance begins with.
    """

    action: CheckoutAction
    product: Installed
    label: str
    config: ConfigPolicy = "keep"
    replace: bool = False
    notes: tuple[Note, ...] = ()
    owner: Owner | None = None
    site: tuple[ParameterSetting, ...] = ()


class Installing:
    """Each move is a checkout: recorded first, journaled, verified, undoable, with hooks."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._acting = Acting(context)

    @property
    def installed(self) -> InstalledSet:
        """What is installed now."""
        return installed_at(self._context.state())

    def plan(self, move: Move, coming: frozenset[BlobInfo] = frozenset()) -> Prepared:
        """What `carry_out` would do now; contents that are `coming` count as stored. Writes
        nothing. Raises as it does.
        """
        return self._acting.plan(self._request(move), coming)

    def check(self, plan: Prepared, **terms: Unpack[TermsGiven]) -> None:
        """What would keep a plan that was made just now from being carried out, as far as that can
        be known. Writes nothing. Raises as `carry_out`.
        """
        self._acting.check(plan, Terms(**terms))

    def carry_out(self, move: Move, **terms: Unpack[TermsGiven]) -> Result:
        """Raises ConflictError and its kin, also for what is in the way; NotRestorableError,
        NeedsError, DiskFullError, BusyError: then the root is as it was. HookError says what state
        it is in.
        """
        with self._context.locked_root() as root:
            self._record_first(root)
            result = self._acting.run(root, self._request(move), Terms(**terms))
        return msgspec.structs.replace(result, label=move.label if result.changed else None)

    def adopt(self, move: Move, **terms: Unpack[TermsGiven]) -> Result:
        """Say that a release is installed, whatever is in the root: nothing is written there, and
        what it deviates in goes on being a deviation. What is there is recorded. Raises as
        `carry_out`.
        """
        context = self._context
        with context.locked_root() as root:
            self._record_first(root)
            newest = context.recorder.snapshot(root, SAFETY).version.version
            request = Request(
                action="adopt",
                goal=VersionGoal(newest),
                within=(newest, newest),
                installed=with_product(self.installed, move.product),
                label=move.label,
            )
            result = self._acting.run(root, request, Terms(**terms))
        return msgspec.structs.replace(result, label=move.label if result.changed else None)

    def _record_first(self, root: Root) -> None:
        """What was there before anything was installed is something to go back to."""
        if not self._context.is_recorded:
            self._context.recorder.snapshot(root, Intent(kind="change", reason="snapshot"))

    def freeze(self, product: str, *, frozen: bool, reason: str | None = None) -> bool:
        """What is installed of a product (UUID) stays as it is, or may change again; whether that
        is new. Raises NotFoundError.
        """
        if find_product(self.installed, product) is None:
            raise NotFoundError(f"it is not installed in {self._context.app.key}")
        if (product in self._context.state().frozen) == frozen:
            return False
        time, actor = self._context.now(), self._context.actor
        self._context.commit(
            FreezeRecord(time=time, actor=actor, product=product, frozen=frozen, reason=reason)
        )
        return True

    def notes(self) -> list[NumberedNote]:
        """All of them, oldest first."""
        state = self._context.state()
        return notes_of(state, taken_back(state.versions))

    def acknowledge(self, numbers: Sequence[int]) -> list[NumberedNote]:
        """These notes were read. Raises NotFoundError."""
        found = chosen(self.notes(), numbers)
        time, actor = self._context.now(), self._context.actor
        for version in dict.fromkeys(one.version.version for one in found):
            places = [one.place for one in found if one.version.version == version]
            self._context.commit(
                AcknowledgeRecord(time=time, actor=actor, version=version, notes=tuple(places))
            )
        return found

    def _request(self, move: Move) -> Request:
        now = self.installed
        is_going = move.action == "uninstall"
        release = move.product.release
        said, rendering, notes = self._parameters(move)
        return Request(
            action=move.action,
            goal=RemovalGoal(release) if is_going else ReleaseGoal(release),
            config=move.config,
            overwrite=move.replace,
            label=move.label,
            installed=without_product(now, move.product.product)
            if is_going
            else with_product(now, move.product),
            parameters=said,
            rendering=rendering,
            notes=(*move.notes, *notes),
            owner=move.owner,
        )

    def _parameters(
        self, move: Move
    ) -> tuple[Parameters | None, Rendering | None, tuple[Note, ...]]:
        """(what is set afterwards, the files that have it, what a person should know)."""
        said, product = parameters_at(self._context.state()), move.product.product
        if find_product(self.installed, product) is None:
            said = with_site_settings(said, move.site)
        if move.action == "uninstall":
            return without_settings(said, product), None, ()
        done = rendered_for(self._context, move.product, said)
        if done is None:
            return None, None, ()
        package = package_of(self._context, move.product)
        lacking = () if package is None else unset(package, done.parameters, product)
        key = self._context.app.key
        notes = tuple(
            Note(
                what=UNSET,
                text=f"parameter {name} needs a value: `epmstore param set {name} VALUE --app"
                f" {key}`",
            )
            for name in lacking
        )
        return done.parameters, done.rendering, notes


def asked_by(context: AppContext, move: Move) -> Asking:
    """What `Installing.carry_out` asks for, where several applications are moved together; what was
    there before anything was installed is recorded then.
    """

    def ask(root: Root) -> Request:
        installing = Installing(context)
        installing._record_first(root)
        return installing._request(move)

    return ask
