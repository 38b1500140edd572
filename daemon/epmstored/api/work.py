"""What each kind of job does. In a worker's thread; results as docs/json.md has them."""

from typing import Any, cast

from epmstore.checkout.plan import ConfigPolicy
from epmstore.relpath import from_json
from epmstore.workspace import Workspace, shapes
from epmstored.api.forms import Checkout, Fsck, JobSpec, Snapshot
from epmstored.elsewhere import Elsewhere, Systemd, apply_elsewhere

SYSTEMD = Systemd()
FINDINGS = 1000
"""More than so many are counted only."""


def perform(spec: JobSpec, workspace: Workspace) -> dict[str, Any]:
    """Raises EpmError, OSError."""
    if isinstance(spec, Snapshot):
        return shapes.result(workspace.app(spec.app).snapshot(spec.label))
    if isinstance(spec, Checkout):
        return _checkout(spec, workspace)
    if isinstance(spec, Fsck):
        report = workspace.care.fsck(spec.read_data)
        found = [shapes.finding(one) for one in report.findings[:FINDINGS]]
        return {**shapes.fsck_summary(report), "found": found}
    return shapes.gc(workspace.care.gc(dry_run=spec.dry_run))


def _checkout(
    spec: Checkout, workspace: Workspace, elsewhere: Elsewhere = SYSTEMD
) -> dict[str, Any]:
    handle = workspace.app(spec.app)
    paths = [from_json(path) for path in spec.paths]
    config = cast(ConfigPolicy, spec.config)
    if elsewhere.is_needed(handle.app.root):
        plan = handle.plan(spec.version, paths, exact=spec.exact, config=config)
        return apply_elsewhere(plan, elsewhere, live=spec.live)
    done = handle.checkout(spec.version, paths, exact=spec.exact, config=config, live=spec.live)
    return shapes.result(done)
