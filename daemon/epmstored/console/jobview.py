"""The page of a job: how far it is, and what came of it. Pure."""

from typing import Any, Final

from epmstore.relpath import text_from_json
from epmstore.wording import counted, name, number, size
from epmstore.workspace.shapes import Shape
from epmstored.console import addresses
from epmstored.console.phrases import Today, short

STATES: Final = {
    "queued": ("wait", "It waits for what is done before it."),
    "running": ("wait", "It is under way."),
    "done": ("good", "It is done."),
    "failed": ("bad", "It failed."),
    "cancelled": ("quiet", "It was called off."),
}
NAMED: Final = 50


def job_view(key: str, job: Shape, today: Today, *, is_waiting: bool = False) -> dict[str, Any]:
    """A job of docs/json.md; `is_waiting`: what it did is still to be confirmed."""
    urgency, text = STATES[job["state"]]
    result, error = job["result"], job["error"]
    if result is not None and (result["not_restored"] or not _is_well(result)):
        urgency, text = "wait", "It is done, but not all of it."
    return {
        "key": key,
        "app_address": addresses.of_app(key),
        "urgency": urgency,
        "text": text,
        "has_ended": job["state"] not in ("queued", "running"),
        "begun": today.of(job["started"] or job["created"]),
        "by": short(str(job["actor"].get("user") or job["actor"].get("uid")), 40),
        "progress": None if job["progress"] is None else _progress(job["progress"]),
        "error": None if error is None else short(str(error["message"]), 600),
        "hint": "" if error is None or error["hint"] is None else short(str(error["hint"]), 300),
        "result": None if result is None else _result(key, result, today, is_waiting=is_waiting),
    }


def _progress(found: Shape) -> dict[str, Any]:
    total = found["files_total"]
    return {
        "what": short(str(found["what"])),
        "done": found["files"],
        "total": total,
        "text": number(found["files"]) + (f" of {number(total)}" if total else ""),
        "bytes": size(found["bytes"]),
    }


def _is_well(result: Shape) -> bool:
    return all(hook["outcome"] == "ok" for hook in result["hooks"])


def _result(key: str, result: Shape, today: Today, *, is_waiting: bool) -> dict[str, Any]:
    version, until = result["version"], result["confirm_by"]
    return {
        "version": version,
        "address": None if version is None else addresses.of_version(key, version),
        "changed": result["changed"],
        "counts": ", ".join(
            f"{number(result[count])} {words}"
            for count, words in (
                ("added", "brought back"),
                ("modified", "replaced"),
                ("removed", "removed"),
            )
            if result[count]
        )
        or "nothing had to change",
        "safety": result["safety"],
        "verified": result["verified"],
        "kept": counted(len(result["kept"]), "path") if result["kept"] else "",
        "missed": [name(text_from_json(one)) for one in result["not_restored"][:NAMED]],
        "more_missed": max(0, len(result["not_restored"]) - NAMED),
        "hooks": [
            (hook["hook"], hook["outcome"], short(str(hook.get("output") or ""), 400))
            for hook in result["hooks"]
        ],
        "confirm_by": today.of(until) if is_waiting else None,
        "was_decided": until is not None and not is_waiting,
        "undo": addresses.of_back(key, undo="true") if result["undo"] else None,
    }
