"""What each kind of job does. In a worker's thread; results as docs/json.md has them."""

from typing import Any, cast

from epmstore.checkout.plan import ConfigPolicy
from epmstore.relpath import from_json
from epmstore.workspace import Workspace, shapes
from epmstored.api.forms import Checkout, Fsck, JobSpec, Snapshot

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


def _checkout(spec: Checkout, workspace: Workspace) -> dict[str, Any]:
    done = workspace.app(spec.app).checkout(
        spec.version,
        [from_json(path) for path in spec.paths],
        exact=spec.exact,
        config=cast(ConfigPolicy, spec.config),
        live=spec.live,
    )
    return shapes.result(done)
