"""Going back in the console: a plan is shown, a person says that it is to be done, a job does it.

For operators alone. The job is one of the daemon's, as if the control API had been asked: it goes
on whatever becomes of the browser, and who opens its page again sees how far it is.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

from epmstore.checkout.request import Prepared
from epmstore.errors import BusyError, ConflictError, EpmError, NotFoundError, UsageError
from epmstore.workspace import Workspace
from epmstore.workspace.actor import Actor
from epmstored.api.forms import Query, SelectorText
from epmstored.api.jobs import Job
from epmstored.api.planned import PlannedCheckout
from epmstored.api.readers import Readers
from epmstored.api.refusals import ForbiddenError
from epmstored.console import addresses
from epmstored.console.jobview import job_view
from epmstored.console.phrases import Today
from epmstored.console.plans import KeptPlans
from epmstored.console.planview import plan_view
from epmstored.console.principals import Principal

MINUTES: Final = {"": None, "5": 300.0, "30": 1800.0, "120": 7200.0}
"""What may be chosen, and the seconds that it is."""


class BackQuery(Query, frozen=True, kw_only=True):
    """To a version, or to what was there before the last checkout."""

    to: SelectorText | None = None
    undo: bool = False


class JobDesk(Protocol):
    """Who does jobs (epmstored.api.jobs.Jobs)."""

    def get(self, id: str) -> Job: ...

    async def submit(self, spec: PlannedCheckout, actor: Actor) -> Job: ...


class GoingBack:
    """For the site. `planners` plan: that looks at live roots, and may ask remotes, which may take
    a while; what a person decides does not wait for that, and is for `deciders`.
    """

    def __init__(self, planners: Readers, deciders: Readers) -> None:
        self._planners = planners
        self._deciders = deciders
        self._plans = KeptPlans()
        self.jobs: JobDesk | None = None
        """Set once the daemon does any."""

    async def plan(
        self, principal: Principal, guest: str, key: str, query: BackQuery
    ) -> Mapping[str, Any]:
        """The context of the page of a plan. Raises ForbiddenError, AppNotFoundError,
        VersionNotFoundError, NotRestorableError, ConflictError.
        """
        _check(principal)
        if (query.to is None) != query.undo:
            raise UsageError("it is not said where to", hint="begin at the page of a version")
        app, prepared = await self._planners.run(lambda ws: _plan(ws, key, query))
        name = self._plans.keep(guest, app.uuid, prepared, _now())
        return plan_view(app, prepared, name)

    async def begin(
        self, principal: Principal, guest: str, key: str, form: Mapping[str, str]
    ) -> str:
        """Have a plan carried out that was shown: the address of its job. Raises ForbiddenError,
        UsageError, ConflictError, BusyError.
        """
        _check(principal)
        if form.get("key", "").strip() != key:
            raise UsageError(f"type {key!r} to confirm it", hint="go back, and see the plan again")
        minutes = form.get("minutes", "")
        if minutes not in MINUTES:
            raise UsageError("it cannot wait for that long")
        app = await self._deciders.run(lambda ws: ws.apps.get(key))
        plan = self._plans.take(form.get("plan", ""), guest, app.uuid, _now())
        if plan is None:
            raise ConflictError(
                "this plan is too old", hint="make a new plan, and look at it again"
            )
        if self.jobs is None:
            raise BusyError("nobody does jobs now", hint="try again later")
        spec = PlannedCheckout(app=key, plan=plan, confirm=MINUTES[minutes])
        job = await self.jobs.submit(spec, _actor(principal))
        return addresses.of_job(key, job.id)

    async def confirm(self, principal: Principal, key: str) -> str:
        """What a checkout did is good: the address of its version, or of the application. Raises
        ForbiddenError, NotFoundError, BusyError.
        """
        _check(principal)
        actor = _actor(principal)
        version = await self._deciders.run(lambda ws: ws.for_actor(actor).app(key).confirm())
        return addresses.of_app(key) if version is None else addresses.of_version(key, version)

    async def job(self, principal: Principal, key: str, id: str, now: float) -> Mapping[str, Any]:
        """The context of the page of a job. Raises ForbiddenError, NotFoundError."""
        _check(principal)
        if self.jobs is None:
            raise NotFoundError("there are no jobs")
        job = self.jobs.get(id)
        if job.app != key or not isinstance(job.spec, PlannedCheckout):
            raise NotFoundError(f"no job {id!r} of {key}")
        found, is_waiting = job.shape(), False
        if found["result"] is not None and found["result"]["confirm_by"] is not None:
            version = found["result"]["version"]
            is_waiting = await self._deciders.run(lambda ws: _is_waiting(ws, key, version))
        return job_view(key, found, Today(now), is_waiting=is_waiting)


def _is_waiting(workspace: Workspace, key: str, version: int | None) -> bool:
    """Whether it is still to be confirmed that a checkout came to this version."""
    with contextlib.suppress(EpmError):  # removed since, or damaged: its page says that
        pending = workspace.app(key).obligations.pending
        return pending is not None and pending.version == version
    return False


def _plan(workspace: Workspace, key: str, query: BackQuery) -> tuple[Any, Prepared]:
    handle = workspace.app(key)
    if query.to is None:
        undone = handle.restoring.plan_undo()
        if undone.others:
            keys = ", ".join(one.plan.app for one in undone.others)
            raise ConflictError(
                f"{key} was changed together with {keys}, and is undone with them",
                hint=f"`epmstore undo --app {key}` shows and undoes all of them",
            )
        return handle.app, undone
    return handle.app, handle.plan(query.to)


def _check(principal: Principal) -> None:
    if not principal.is_operator:
        raise ForbiddenError("going back is for operators")


def _actor(principal: Principal) -> Actor:
    return {"uid": principal.uid, "user": principal.user, "via": "console"}


def _now() -> float:
    return asyncio.get_running_loop().time()
