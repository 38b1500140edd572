"""The hooks of one application, run in order; what came of them is kept. No decision is made here.

Each sees what the checkout is about: EPMSTORE_APP, EPMSTORE_ROOT, EPMSTORE_HOOK (its own name), and
EPMSTORE_FROM and EPMSTORE_TO, the versions whose contents are to be left and to be reached.
"""

from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.hooks import HookCommand, HookName, HookRun, Hooks
from epmstore.checkout.goal import Goal
from epmstore.checkout.hook_process import CommandRunner, Ran
from epmstore.progress import SILENT, Progress

HEALTH_PAUSE: Final = 0.5
"""Seconds between two tries of a health check."""
DEFAULT_TIMEOUT: Final = 60.0
DEFAULT_HEALTH: Final = 30.0
HookPhase: TypeAlias = Literal["checkout", "undo", "recover"]
SAID: Final[dict[HookName, str]] = {
    "stop": "stopping",
    "start": "starting",
    "health": "waiting for health",
}
"""What progress calls them."""


class HookSequence:
    """Runs hooks on the way from one version to another."""

    def __init__(
        self,
        runner: CommandRunner,
        app: App,
        hooks: Hooks,
        phase: HookPhase,
        *,
        from_: Goal | int,
        to: Goal | int,
        progress: Progress = SILENT,
    ) -> None:
        self.runs: list[HookRun] = []
        self._runner = runner
        self._progress = progress
        self._hooks = hooks
        self._app = app.key
        self._phase: HookPhase = phase
        self._environment = {
            "EPMSTORE_APP": app.key,
            "EPMSTORE_ROOT": app.root,
            "EPMSTORE_FROM": str(from_),
            "EPMSTORE_TO": str(to),
        }

    def missing(self) -> list[HookRun]:
        """The hooks whose programs are not there: known before anything is stopped for nothing."""
        return [
            HookRun(hook=name, app=self._app, phase=self._phase, command=command, outcome="missing")
            for name, command in self._hooks.commands.items()
            if not self._runner.find(command[0])
        ]

    def stop(self) -> HookRun | None:
        """None if there is no such hook."""
        return self._once("stop")

    def start(self) -> HookRun | None:
        """Start, then wait for health: the one that failed, None if all is well."""
        started = self._once("start")
        if started is not None and not started.ok:
            return started
        healthy = self._health()
        return healthy if healthy is not None and not healthy.ok else None

    def _once(self, name: HookName) -> HookRun | None:
        command = self._hooks.command(name)
        if command is None:
            return None
        limit = self._hooks.timeout or DEFAULT_TIMEOUT
        begun = self._runner.now()
        self._progress.begin(SAID[name])
        ran = self._run(name, command, limit)
        self._progress.end()
        return self._keep(name, command, ran, begun, 1)

    def _health(self) -> HookRun | None:
        """Again and again, until it is well or the time is over."""
        command = self._hooks.health
        if command is None:
            return None
        begun = self._runner.now()
        deadline = begun + (self._hooks.health_timeout or DEFAULT_HEALTH)
        attempts, said = 0, b""
        self._progress.begin(SAID["health"])
        while True:
            attempts += 1
            left = max(0.1, deadline - self._runner.now())
            ran = self._run("health", command, min(left, self._hooks.timeout or DEFAULT_TIMEOUT))
            left = deadline - self._runner.now()
            if ran is not None and ran.status != 0:  # the last one may be cut off before it speaks
                said = ran.output or said
                ran = msgspec.structs.replace(ran, output=said)
            if ran is None or ran.status == 0 or left <= 0:
                self._progress.end()
                return self._keep("health", command, ran, begun, attempts)
            self._runner.wait(min(HEALTH_PAUSE, left))

    def _run(self, name: HookName, command: HookCommand, limit: float) -> Ran | None:
        """None if it cannot be started."""
        try:
            return self._runner.run(command, {**self._environment, "EPMSTORE_HOOK": name}, limit)
        except OSError:
            return None

    def _keep(
        self, name: HookName, command: HookCommand, ran: Ran | None, begun: float, attempts: int
    ) -> HookRun:
        run = HookRun(
            hook=name,
            app=self._app,
            phase=self._phase,
            command=command,
            outcome=_outcome(ran),
            status=None if ran is None else ran.status,
            attempts=attempts,
            seconds=round(self._runner.now() - begun, 3),
            output="" if ran is None else ran.output.decode(errors="replace"),
            held=ran is not None and ran.held,
        )
        self.runs.append(run)
        return run


def _outcome(ran: Ran | None) -> Literal["ok", "failed", "timeout", "missing"]:
    if ran is None:
        return "missing"
    if ran.status is None:
        return "timeout"
    return "ok" if ran.status == 0 else "failed"
