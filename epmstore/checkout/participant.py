"""One application of a transaction: its plan, what is staged for it, its hooks. How several go
together is decided in together.py.

The caller holds its lock, and keeps packs; its root is open, nothing of an earlier checkout is left
there.
"""

from collections.abc import Callable
from typing import TypeAlias

from epmstore.catalog.hooks import HookRun, Hooks
from epmstore.checkout.apply import Applier
from epmstore.checkout.hook_sequence import HookSequence
from epmstore.checkout.journal import LeftOut, Loaded
from epmstore.checkout.lost import AbsentContentsError, UnreadableContentsError
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import Prepared, Request
from epmstore.checkout.run import BegunCheckout, CheckoutEngine, CompletedCheckout
from epmstore.checkout.supervised import SupervisedCheckout
from epmstore.checkout.transaction import StagedMember
from epmstore.errors import ChangedError
from epmstore.record.root import Root
from epmstore.relpath import RelPath
from epmstore.store.seeking import CameFrom

Lost: TypeAlias = AbsentContentsError | UnreadableContentsError


class Participant:
    """One application of a transaction, and how far it came. `take` brings what the plan needs, and
    `recall` what turned out to be lost; both raise if that is nowhere.
    """

    def __init__(
        self,
        checkout: SupervisedCheckout,
        root: Root,
        request: Request,
        hooks: Hooks,
        *,
        take: Callable[[Prepared], tuple[CameFrom, ...]] | None = None,
        recall: Callable[[Lost], tuple[CameFrom, ...]] | None = None,
    ) -> None:
        self.checkout, self.root, self.request, self.hooks = checkout, root, request, hooks
        self.came: list[CameFrom] = []
        self._take, self._recall = take, recall
        self.engine: CheckoutEngine | None = None
        self.sequence: HookSequence | None = None
        self.done: CompletedCheckout | None = None
        self._begun: BegunCheckout | None = None
        self._staged: tuple[Applier, Loaded] | None = None

    @property
    def app(self) -> str:
        """Its UUID."""
        return self.checkout.app.uuid

    @property
    def key(self) -> str:
        """What people call it."""
        return self.checkout.app.key

    @property
    def begun(self) -> BegunCheckout:
        """What was found and planned when it was staged."""
        assert self._begun is not None, "it has begun"
        return self._begun

    @property
    def runs(self) -> list[HookRun]:
        """The hooks that ran."""
        return [] if self.sequence is None else self.sequence.runs

    @property
    def version(self) -> int | None:
        """The one that it made, None if there was nothing to do."""
        applied = None if self.done is None else self.done.applied
        return None if applied is None else applied.version.version

    @property
    def missed(self) -> list[RelPath]:
        """Paths that are not as wanted."""
        applied = None if self.done is None else self.done.applied
        return [] if applied is None else sorted(applied.missed)

    @property
    def member(self) -> StagedMember:
        """What the file of the transaction has to say of it."""
        assert self._staged is not None, "it is staged"
        ready = self._staged[1]
        inode = ready.header.root_inode
        return StagedMember(self.app, inode, ready.inodes, ready.refused)

    def plan(self, terms: Terms) -> Prepared:
        """What is to be done, when all that can be known of it was looked at. Raises as
        CheckoutEngine.run.
        """
        self.engine = self.checkout.make()
        prepared = self.engine.plan(self.request)
        self.came += () if self._take is None else self._take(prepared)
        in_use = not self.hooks.commands
        try:
            self.engine.check(prepared, terms, in_use=in_use)
        except (AbsentContentsError, UnreadableContentsError) as error:
            if self._recall is None:
                raise
            self.came += self._recall(error)
            self.engine.check(prepared, terms, in_use=in_use)
        return prepared

    def leave(self, terms: Terms) -> None:
        """There is nothing to do: what is found is recorded. Raises as CheckoutEngine.run."""
        begun = self.checkout.make().begin(self.request, terms)
        if begun.header is not None:
            raise self._changed()
        self.done = begun.completed(None)

    def _changed(self) -> ChangedError:
        return ChangedError(
            f"{self.key} changed while all of it was planned",
            hint="nothing was changed; try again",
        )

    def stage(self, terms: Terms, txid: str, transaction: tuple[str, ...]) -> None:
        """Raises as CheckoutEngine.run, with nothing left."""
        engine = self.engine = self.checkout.make()
        self._begun = begun = engine.begin(
            self.request,
            terms,
            txid=txid,
            transaction=transaction,
            in_use=self.sequence is not None or not self.hooks.commands,
        )
        if begun.header is None:
            raise self._changed()
        applier, plan = engine.applier(), begun.prepared.plan
        self._staged = applier, applier.stage(begun.header, plan.steps, LeftOut.of(plan))

    def give_up(self) -> None:
        """Take back what is staged, if it is."""
        if self._staged is not None:
            self._staged[0].give_up()
            self._staged = None

    def stage_again(self, terms: Terms, txid: str, transaction: tuple[str, ...]) -> None:
        """Unless what is staged is what is to be done still."""
        assert self.engine is not None, "it is staged"
        if not self.engine.still_holds(self.begun, terms):
            self.give_up()
            self.stage(terms, txid, transaction)

    def turn(self) -> None:
        """Its journal says STAGED. Raises OSError, DamagedError."""
        assert self._staged is not None, "it is staged"
        applier, ready = self._staged
        self._staged = applier, applier.turn(ready)

    def finish(self) -> None:
        """Switch, and record it. Raises OSError, EpmError; then a recovery goes on."""
        assert self._staged is not None, "it is staged"
        applier, ready = self._staged
        self.done = self.begun.completed(applier.finish(ready))
