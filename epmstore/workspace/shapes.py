"""The shapes of docs/json.md, made from the library's values: the command line prints them, and the
daemon sends them.

Keys are never left out; what is not known is `null`. A path that is not UTF-8 has the form of
epmstore/relpath.py.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from epmstore.catalog.diff import Change
from epmstore.catalog.model import Counts
from epmstore.catalog.state import Remark, VersionInfo
from epmstore.checkout.goal import version_of
from epmstore.checkout.hook_report import hook_shapes
from epmstore.clock import to_rfc3339
from epmstore.entryform import entry_to_form
from epmstore.errorform import Shape as Shape
from epmstore.reckon import GRACE, Reckoning
from epmstore.record.change import StartedRun
from epmstore.record.result import Result
from epmstore.record.status import Status
from epmstore.record.unseen import Unseen
from epmstore.refcat.explanation import Explanation
from epmstore.relpath import text_to_json, to_json
from epmstore.scan.problem import Problem
from epmstore.store.seeking import CameFrom
from epmstore.tree import Entry
from epmstore.workspace.app.obligations import Aftermath
from epmstore.workspace.deviations import BaselineStatus, DatedDeviation

if TYPE_CHECKING:  # start-up
    from epmstore.care.damage import Damage, FsckReport
    from epmstore.care.gc import GcResult


def text(value: str | None) -> str | None:
    """Any name or text that Linux allows."""
    return None if value is None else text_to_json(value)


def maybe_entry(value: Entry | None) -> Shape | None:
    return None if value is None else entry_to_form(value)


def paths(values: Iterable[str]) -> list[str]:
    return [to_json(value) for value in values]


def problems(values: Iterable[Problem]) -> list[Shape]:
    return [{"path": to_json(p.path), "kind": p.kind, "why": p.why} for p in values]


def unseen(value: Unseen) -> Shape:
    return {
        "skipped": problems(value.skipped),
        "unstable": paths(value.unstable),
        "unobserved": problems(value.unobserved),
    }


def reasons(values: Iterable[Sequence[str]]) -> list[Shape]:
    return [{"path": to_json(path), "why": why} for path, why in values]


def result(value: Result) -> Shape:
    return {
        "type": "result",
        "app": value.app,
        "action": value.action,
        "changed": value.changed,
        "from": value.from_,
        "version": value.version,
        "of": value.of,
        "safety": value.safety,
        "meanwhile": list(value.meanwhile),
        "label": value.label,
        "added": value.added,
        "modified": value.modified,
        "removed": value.removed,
        "folders": counts(value.folders),
        "times": value.times,
        "kept": [to_json(path) for path, _ in value.kept],
        "kept_because": {to_json(path): why for path, why in value.kept},
        "skipped": problems(value.skipped),
        "unstable": paths(value.unstable),
        "unobserved": problems(value.unobserved),
        "not_restored": [text_to_json(one) for one in value.not_restored],
        "collisions": paths(value.collisions),
        "verified": value.verified,
        "undo": value.undo,
        "exit_status": value.exit_status,
        "hooks": hook_shapes(value.hooks),
        "confirm_by": value.confirm_by,
        "packages": list(value.packages),
        "held": value.held,
        "came_from": came_from(value.came),
        "transaction": list(value.transaction),
        "others": [result(one) for one in value.others],
    }


def came_from(value: Iterable[CameFrom]) -> Shape:
    found: dict[str, int] = {}
    for one in value:
        place = text_to_json(one.place)
        found[place] = found.get(place, 0) + one.contents
    return found


def status(
    value: Status,
    daemon: Shape | None = None,
    against: BaselineStatus | None = None,
    after: Aftermath | None = None,
) -> Shape:
    """`daemon`: what the daemon adds, where it is the one who answers. Without `against` the root
    was not compared with its baseline; without `after` it was not asked what is still to come of
    its checkouts.
    """
    known = BaselineStatus(status=value, baseline=None) if against is None else against
    return {
        "type": "status",
        "app": value.app,
        "version": value.version,
        "root": text(value.root),
        "time": value.time,
        "clean": value.clean,
        "interrupted": value.interrupted,
        "added": paths(value.added),
        "modified": paths(value.modified),
        "removed": paths(value.removed),
        "metadata": paths(value.metadata),
        "skipped": problems(value.skipped),
        "unstable": paths(value.unstable),
        "unobserved": problems(value.unobserved),
        "daemon": daemon,
        "baseline": known.baseline,
        "release": known.release,
        "release_label": known.label,
        "revoked": known.revoked,
        "withdrawn": [{"path": to_json(path), "why": why} for path, why in known.withdrawn],
        "accepted": known.accepted,
        "deviations": None if against is None else [*map(deviation, known.deviations)],
        "excused": paths(known.excused),
        "since": known.since,
        **aftermath(after or Aftermath()),
    }


def aftermath(value: Aftermath) -> Shape:
    pending, hold, unfinished = value.pending, value.hold, value.unfinished
    return {
        "clock": None if value.clock is None else clock(value.clock),
        "confirm": None
        if pending is None
        else {
            "from": pending.from_,
            "version": pending.version,
            "of": pending.of,
            "until": pending.until,
            "seconds": round(pending.seconds),
            "transaction": list(pending.transaction),
        },
        "hold": None
        if hold is None
        else {"since": hold.time, "until": hold.until, "reason": hold.reason},
        "unfinished": None
        if unfinished is None
        else {
            "of": version_of(unfinished.goal),
            "time": unfinished.time,
            "phase": unfinished.phase.lower(),
            "transaction": list(value.transaction),
        },
    }


def clock(value: Reckoning) -> Shape:
    doubt = value.doubt
    return {
        "time": to_rfc3339(value.read.wall),
        "reckoned": to_rfc3339(value.time),
        "ahead": round(value.ahead),
        "doubted_since": None if doubt is None else to_rfc3339(doubt.since),
        "believed_in": None if doubt is None else round(GRACE - doubt.lasted),
    }


def deviation(value: DatedDeviation) -> Shape:
    since = value.since
    return {
        "path": to_json(value.path),
        "what": value.what,
        "class": value.path_class,
        "release": value.release,
        "release_label": value.label,
        "since": None if since is None else since.version,
        "time": None if since is None else since.time,
        "window": None if since is None else since.window,
    }


def explanation(value: Explanation | None) -> Shape | None:
    if value is None:
        return None
    return {
        "kind": value.kind,
        "from": value.from_,
        "to": value.to,
        "partial": value.is_partial,
        "done": value.done,
        "total": value.total,
        "left_over": value.left_over,
        "explained": value.explained,
        "rest": value.rest,
        "unexplained": paths(value.unexplained),
    }


def version(app: str, value: VersionInfo, explained: Explanation | None = None) -> Shape:
    record = value.record
    return {
        "type": "version",
        "app": app,
        "version": value.version,
        "kind": value.kind,
        "time": record.time,
        "reason": record.reason,
        "operation": record.operation,
        "of": record.of,
        "label": value.label,
        "labels": list(value.labels),
        "remarks": [*map(remark, value.remarks)],
        "window": record.window,
        "actor": record.actor,
        "added": record.counts.added,
        "modified": record.counts.modified,
        "removed": record.counts.removed,
        "folders": counts(record.folders),
        "times": record.times,
        "command": None if record.command is None else [*map(text_to_json, record.command)],
        "exit_status": record.exit_status,
        "writing": paths(record.writing),
        "tags": list(value.tags),
        "pinned": value.pinned,
        "restorable": value.restorable,
        "explanation": explanation(explained),
    }


def counts(value: Counts | None) -> Shape | None:
    return None if value is None else msgspec.structs.asdict(value)


def remark(value: Remark) -> Shape:
    return {"what": value.what, "text": value.text, "time": value.time, "actor": value.actor}


def started_run(app: str, value: StartedRun) -> Shape:
    return {
        "type": "run",
        "app": app,
        "since": value.since,
        "label": value.label,
        "command": [*map(text_to_json, value.command)],
        "exit_status": value.exit_status,
        "actor": value.actor,
    }


def change(app: str, value: Change) -> Shape:
    return {
        "type": "change",
        "app": app,
        "path": to_json(value.path),
        "change": value.change,
        "fields": list(value.fields),
        "old": maybe_entry(value.old),
        "new": maybe_entry(value.new),
    }


def finding(value: "Damage") -> Shape:
    return {
        "type": "finding",
        "app": None,
        "class": value.kind,
        "file": text(value.file),
        "digest": value.digest,
        "sha256": value.sha256,
        "versions": [{"app": app, "version": number} for app, number in value.versions],
        "repaired": value.repaired,
        "detail": value.detail,
    }


def fsck_summary(value: "FsckReport") -> Shape:
    left = sum(not one.repaired for one in value.findings)
    shape = {"type": "summary", "app": None, "clean": value.clean, "notes": list(value.notes)}
    came = {text(where): count for where, count in value.came}
    return {
        **shape,
        "findings": len(value.findings),
        "left": left,
        "frames": value.frames,
        "came_from": came,
    }


def gc(value: "GcResult") -> Shape:
    return {
        "type": "gc",
        "app": None,
        "freed_bytes": value.freed,
        "rewritten_bytes": value.rewritten,
        "dropped": value.dropped,
        "repacked": value.repacked,
        "sealed": value.sealed,
        "merged": value.merged,
        "held": value.held,
        "at_least": value.at_least,
        "dry_run": value.dry_run,
    }
