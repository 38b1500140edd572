"""What each kind of job does. In a worker's thread; results as docs/json.md has them."""

from collections.abc import Callable
from typing import Any, TypeAlias

from epmstore.checkout.plan import ConfigPolicy
from epmstore.config import CheckoutConfig
from epmstore.relpath import from_json
from epmstore.workspace import Workspace, shapes
from epmstored.api.forms import Checkout, Fsck, Snapshot
from epmstored.api.planned import AnyJob, PlannedCheckout
from epmstored.systemd_jobs import Systemd, SystemdJobs, apply_by_systemd

FINDINGS = 1000
"""More than so many are counted only."""
HookLimits: TypeAlias = Callable[[], CheckoutConfig]


class Work:
    """Does jobs; `hook_limits` are those for applications that name none of their own."""

    def __init__(
        self, hook_limits: HookLimits = CheckoutConfig, systemd: SystemdJobs | None = None
    ) -> None:
        self._hook_limits = hook_limits
        self._systemd = systemd or Systemd()

    def perform(self, spec: AnyJob, workspace: Workspace) -> dict[str, Any]:
        """Raises EpmError, OSError."""
        if isinstance(spec, Snapshot):
            return shapes.result(workspace.app(spec.app).snapshot(spec.label))
        if isinstance(spec, Checkout):
            return self._checkout(spec, workspace)
        if isinstance(spec, PlannedCheckout):
            return self._planned(spec, workspace)
        if isinstance(spec, Fsck):
            report = workspace.care.fsck(spec.read_data)
            found = [shapes.finding(one) for one in report.findings[:FINDINGS]]
            return {**shapes.fsck_summary(report), "found": found}
        return shapes.gc(workspace.care.gc(dry_run=spec.dry_run))

    def _checkout(self, spec: Checkout, workspace: Workspace) -> dict[str, Any]:
        handle = workspace.app(spec.app)
        paths = [from_json(path) for path in spec.paths]
        config: ConfigPolicy = "restore" if spec.config == "restore" else "keep"
        if self._systemd.is_needed(handle.app.root):
            plan = handle.plan(spec.version, paths, exact=spec.exact, config=config)
            return apply_by_systemd(plan, self._systemd, options_of(spec))
        limits = self._hook_limits()
        done = handle.checkout(
            spec.version,
            paths,
            exact=spec.exact,
            config=config,
            live=spec.live,
            hooks=not spec.no_hooks,
            confirm=spec.confirm,
            hook_timeout=limits.hook_timeout,
            health_timeout=limits.health_timeout,
        )
        return shapes.result(done)

    def _planned(self, spec: PlannedCheckout, workspace: Workspace) -> dict[str, Any]:
        handle = workspace.app(spec.app)
        if self._systemd.is_needed(handle.app.root):
            return apply_by_systemd(spec.plan, self._systemd, _confirming(spec.confirm))
        limits = self._hook_limits()
        done = handle.apply(
            spec.plan,
            confirm=spec.confirm,
            hook_timeout=limits.hook_timeout,
            health_timeout=limits.health_timeout,
        )
        return shapes.result(done)


def options_of(spec: Checkout) -> list[str]:
    """What of it is an option of `epmstore apply`, and not in the plan."""
    flags = [("--live", spec.live), ("--no-hooks", spec.no_hooks)]
    return [*(flag for flag, is_given in flags if is_given), *_confirming(spec.confirm)]


def _confirming(seconds: float | None) -> list[str]:
    return [] if seconds is None else ["--confirm", f"{seconds:.3f}s"]
