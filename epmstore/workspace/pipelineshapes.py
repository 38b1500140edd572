"""Shapes of docs/json.md about the release pipeline. Pure."""

from collections import Counter
from collections.abc import Sequence

from epmstore.clock import to_rfc3339
from epmstore.errorform import Shape
from epmstore.publish.build import BuildRecord
from epmstore.publish.lifecycle import HOLD, STATES, ReadyBuilds, next_action
from epmstore.publish.spoolfolder import SpoolFolder
from epmstore.publish.watchedfolders import WatchedFolder
from epmstore.relpath import text_to_json


def spool(folder: SpoolFolder, *, dry_run: bool) -> Shape:
    return {
        "type": "spool",
        "app": None,
        "path": text_to_json(str(folder.path)),
        "remote": text_to_json(folder.settings.remote),
        "signed": folder.settings.sign is not None,
        "dry_run": dry_run,
    }


def watched(folder: WatchedFolder, *, dry_run: bool) -> Shape:
    return {
        "type": "watched",
        "app": None,
        "folder": text_to_json(folder.folder),
        "product": folder.product,
        "kind": folder.kind,
        "payload": folder.payload,
        "settle": int(folder.settle),
        "dry_run": dry_run,
    }


def build(record: BuildRecord, now: float, ready: ReadyBuilds, *, dry_run: bool = False) -> Shape:
    return {
        "type": "build",
        "app": None,
        "number": record.number,
        "product": record.product,
        "kind": record.kind,
        "payload": record.payload,
        "path": text_to_json(record.path),
        "owner": record.owner,
        "state": record.state,
        "association": record.association,
        "since": to_rfc3339(record.since),
        "age": max(0, int(now - record.since)),
        "failures": record.failures,
        "error": record.error,
        "due": to_rfc3339(record.due) if record.due else None,
        "next": next_action(record, ready),
        "size": record.size,
        "md5": record.md5,
        "sha1": record.sha1,
        "sha256": record.sha256,
        "built": None if record.built is None else to_rfc3339(record.built),
        "remote_path": record.remote_path,
        "release": record.release,
        "dry_run": dry_run,
    }


def pipeline(
    folder: SpoolFolder, builds: Sequence[BuildRecord], watching: Sequence[WatchedFolder]
) -> Shape:
    counts = Counter(record.state for record in builds)
    return {
        "type": "pipeline",
        "app": None,
        "path": text_to_json(str(folder.path)),
        "remote": text_to_json(folder.settings.remote),
        "signed": folder.settings.sign is not None,
        "states": {state: counts[state] for state in STATES},
        "held": counts[HOLD],
        "watched": [text_to_json(one.folder) for one in watching],
    }
