"""Jobs: long work that clients asked for, done one after the other where it must be.

A job waits, runs in a worker's thread, and ends: done, failed or cancelled. Two jobs that want the
same (one application, or the store) never run at once. What waits has a bound, and so has what is
remembered of jobs that ended. Only from the event loop, but for the progress.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from epmstore.clock import Clock, to_rfc3339
from epmstore.errorform import UnexpectedError, error_to_form, from_system
from epmstore.errors import BusyError, ConflictError, EpmError, NotFoundError
from epmstore.progress import Progress
from epmstore.workspace import Workspace
from epmstore.workspace.actor import Actor
from epmstore.workspace.shapes import Shape
from epmstored.api.core import WorkspaceThread
from epmstored.api.forms import Checkout, Snapshot
from epmstored.api.hub import Event, Hub
from epmstored.api.peers import AccessRight
from epmstored.api.planned import AnyJob, PlannedCheckout

JobState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
Perform: TypeAlias = Callable[[AnyJob, Workspace], Shape]
WAITING = 64
REMEMBERED = 200
PROGRESS_SECONDS = 0.2


class CancelledError(EpmError):
    """A client asked for a job to be stopped."""

    exit_code = 130
    code = "cancelled"


class StoppingError(BusyError):
    code = "stopping"


class JobNotFoundError(NotFoundError):
    code = "job_not_found"


class Job:
    """One job, as it is now. Changed by Jobs alone."""

    def __init__(self, spec: AnyJob, actor: Actor, created: str, meter: "JobProgress") -> None:
        self.id = secrets.token_hex(8)
        self.spec = spec
        self.actor = actor
        self.created = created
        self.meter = meter
        self.state: JobState = "queued"
        self.started: str | None = None
        self.ended: str | None = None
        self.result: Shape | None = None
        self.error: dict[str, object] | None = None

    @property
    def kind(self) -> str:
        is_planned = isinstance(self.spec, PlannedCheckout)
        return "checkout" if is_planned else type(self.spec).__name__.lower()

    @property
    def app(self) -> str | None:
        if isinstance(self.spec, Snapshot | Checkout | PlannedCheckout):
            return self.spec.app
        return None

    @property
    def wants(self) -> str:
        """What no other job may use at the same time."""
        return f"app {self.app}" if self.app is not None else "store"

    @property
    def has_ended(self) -> bool:
        return self.state not in ("queued", "running")

    def shape(self) -> Shape:
        return {
            "type": "job",
            "app": self.app,
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "created": self.created,
            "started": self.started,
            "ended": self.ended,
            "actor": self.actor,
            "progress": self.meter.shape() if self.state == "running" else None,
            "result": self.result,
            "error": self.error,
        }


class JobProgress(Progress):
    """Progress that can be asked for, and that stops the work if it may be stopped. Any thread."""

    def __init__(self, notify: Callable[[], None], *, stoppable: bool) -> None:
        self._notify = notify
        self.stoppable = stoppable
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._told = 0.0
        self._what = ""
        self._totals: tuple[int | None, int | None] = (None, None)
        self._files = self._size = 0

    def begin(self, what: str, *, files: int | None = None, size: int | None = None) -> None:
        with self._lock:
            self._what, self._totals = what, (files, size)
            self._files = self._size = 0
        self._tell(now=True)

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        with self._lock:
            self._files += files
            self._size += size
        if self.stoppable and self.stop.is_set():
            raise CancelledError("the job was cancelled")
        self._tell(now=False)

    def end(self) -> None:
        self._tell(now=True)

    def shape(self) -> Shape:
        with self._lock:
            total_files, total_size = self._totals
            return {
                "what": self._what,
                "files": self._files,
                "files_total": total_files,
                "bytes": self._size,
                "bytes_total": total_size,
            }

    def _tell(self, *, now: bool) -> None:
        moment = time.monotonic()
        if now or moment - self._told >= PROGRESS_SECONDS:
            self._told = moment
            self._notify()


class Jobs:
    """All jobs of one daemon. `work` is to run once for each worker."""

    def __init__(self, hub: Hub, perform: Perform, clock: Clock) -> None:
        self._hub = hub
        self._perform = perform
        self._clock = clock
        self._all: dict[str, Job] = {}
        self._changed = asyncio.Condition()
        self._stopping = False
        self._loop = asyncio.get_running_loop()

    def list(self) -> Sequence[Job]:
        """Newest first."""
        return list(reversed(self._all.values()))

    def get(self, id: str) -> Job:
        """Raises JobNotFoundError."""
        try:
            return self._all[id]
        except KeyError:
            raise JobNotFoundError(f"no job {id!r}", hint="see: epmstore daemon jobs") from None

    def count(self, state: JobState) -> int:
        return sum(job.state == state for job in self._all.values())

    async def submit(self, spec: AnyJob, actor: Actor) -> Job:
        """Raises BusyError if too many wait, StoppingError."""
        if self._stopping:
            raise StoppingError("the daemon is being stopped", hint="try again when it is back")
        if self.count("queued") >= WAITING:
            raise BusyError(f"{WAITING} jobs wait already", hint="try again later")
        stoppable = not isinstance(spec, Checkout | PlannedCheckout)
        meter = JobProgress(lambda: self._tell_later(job), stoppable=stoppable)
        job = Job(spec, actor, self._now(), meter)
        self._all[job.id] = job
        self._forget_old()
        await self._wake(job)
        return job

    async def cancel(self, id: str) -> Job:
        """Stop a job that waits, or one that can be stopped anywhere. Raises ConflictError for a
        checkout that runs, JobNotFoundError.
        """
        job = self.get(id)
        if job.state == "queued":
            job.state, job.ended = "cancelled", self._now()
            await self._wake(job)
        elif job.state == "running":
            if not job.meter.stoppable:
                raise ConflictError(
                    "a checkout that runs is not stopped half way",
                    hint="when it is done: epmstore undo",
                )
            job.meter.stop.set()
        return job

    async def work(self, runner: WorkspaceThread) -> None:
        """Do jobs until `stop`."""
        while (job := await self._next()) is not None:
            job.state, job.started = "running", self._now()
            self._tell(job)
            await self._do(job, runner)
            job.ended = self._now()
            await self._wake(job)

    async def stop(self) -> None:
        """Begin no more; what waits is cancelled, and what can be stopped is stopped."""
        self._stopping = True
        for job in [job for job in self._all.values() if job.state == "queued"]:
            await self.cancel(job.id)
        for job in self._all.values():
            if job.state == "running" and job.meter.stoppable:
                job.meter.stop.set()
        async with self._changed:
            self._changed.notify_all()

    async def _next(self) -> Job | None:
        async with self._changed:
            while not self._stopping:
                taken = {job.wants for job in self._all.values() if job.state == "running"}
                for job in self._all.values():
                    if job.state == "queued" and job.wants not in taken:
                        job.state = "running"  # before another worker looks
                        return job
                await self._changed.wait()
        return None

    async def _do(self, job: Job, runner: WorkspaceThread) -> None:
        def call(workspace: Workspace) -> Shape:
            own = workspace.for_actor({**job.actor, "job": job.id}, job.meter)
            return self._perform(job.spec, own)

        try:
            job.result = await runner.run(call)
            job.state = "done"
        except CancelledError:
            job.state = "cancelled"
        except EpmError as error:
            self._fail(job, error)
        except OSError as error:
            self._fail(job, from_system(error))
        except Exception as error:
            self._fail(job, UnexpectedError(f"unexpected error: {type(error).__name__}: {error}"))

    def _fail(self, job: Job, error: EpmError) -> None:
        job.state = "failed"
        job.error = error_to_form(error, job.app)

    def _forget_old(self) -> None:
        ended = [job.id for job in self._all.values() if job.has_ended]
        for id in ended[: max(0, len(self._all) - REMEMBERED)]:
            del self._all[id]

    async def _wake(self, job: Job) -> None:
        self._tell(job)
        async with self._changed:
            self._changed.notify_all()

    def _tell_later(self, job: Job) -> None:
        """From a worker's thread; no listener is told when the loop is gone already."""
        try:
            self._loop.call_soon_threadsafe(self._tell, job)
        except RuntimeError:
            return

    def _tell(self, job: Job) -> None:
        self._hub.publish(Event("job", job.shape(), AccessRight.ACT, job.id))

    def _now(self) -> str:
        return to_rfc3339(self._clock.now())
