"""The pages of one path, and of what was searched for. Pure."""

from collections.abc import Iterable
from typing import Any

from epmstore.index.entries import Span
from epmstore.refcat.identify import Origin
from epmstore.tree import Entry
from epmstore.wording import counted, name, size
from epmstored.console import addresses
from epmstored.console.pathfacts import PathStates, SearchResult
from epmstored.console.phrases import Today, exactly, short
from epmstored.console.versionrows import said_of, who


def path_view(facts: PathStates, today: Today) -> dict[str, Any]:
    """Every state, newest first."""
    key = facts.app.key
    states = []
    for span, info, origins in facts.states:
        states.append(
            {
                "since": span.since,
                "address": addresses.of_file(key, span.since, facts.path),
                "until": _until(span),
                "told": "" if info is None else today.told(info.time),
                "exactly": "" if info is None else exactly(info.time),
                "said": "" if info is None else said_of(info),
                "by": "" if info is None else who(info.record.actor),
                **_content(span.entry),
                "mode": f"{span.entry.mode:04o}",
                "origins": _origins(origins),
            }
        )
    return {
        "key": key,
        "app_address": addresses.of_app(key),
        "path": name(facts.path),
        "states": states,
        "total": counted(facts.total, "state"),
        "left_out": facts.total - len(states),
    }


def search_view(text: str, found: SearchResult, today: Today) -> dict[str, Any]:
    return {
        "query": text,
        "why_not": found.why_not,
        "is_cut": found.is_cut,
        "is_nothing": found.why_not is None and not (found.labels or found.paths),
        "labels": [
            {
                "key": one.app.key,
                "number": one.info.version,
                "address": addresses.of_version(one.app.key, one.info.version),
                "said": ", ".join([said_of(one.info), *(short(tag, 40) for tag in one.info.tags)]),
                "told": today.told(one.info.time),
            }
            for one in found.labels
        ],
        "paths": [
            {
                "key": one.app.key,
                "app_address": addresses.of_app(one.app.key),
                "path": name(one.span.entry.path),
                "address": addresses.of_path(one.app.key, one.span.entry.path),
                "until": _until(one.span),
                "states": one.states,
                **_content(one.span.entry),
            }
            for one in found.paths
        ],
        "origins": _origins(found.origins),
    }


def _until(span: Span) -> str:
    """Which versions have it."""
    if span.until is None:
        return f"since {span.since}"
    return str(span.since) if span.until == span.since + 1 else f"{span.since} to {span.until - 1}"


def _content(entry: Entry) -> dict[str, str]:
    content = entry.content
    return {
        "kind": entry.kind,
        "size": "" if content is None else size(content.size),
        "digest": "" if content is None else content.digest.hex(),
        "target": "" if entry.target is None else name(entry.target),
    }


def _origins(found: Iterable[Origin]) -> list[str]:
    """Who ever shipped it."""
    lines = []
    for one in found:
        last = "" if one.first.version == one.last.version else f" to {short(one.last.title)}"
        withdrawn = "" if one.withdrawn is None else f", withdrawn: {short(one.withdrawn)}"
        lines.append(
            f"{name(one.key)}, release {short(one.first.title)}{last}: {name(one.path)}{withdrawn}"
        )
    return lines
