"""The page of a plan, before a person says that it is to be done. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from epmstore.catalog.appcat import App
from epmstore.catalog.hooks import HOOKS, hooks_of, show_command, unit_of
from epmstore.checkout.goal import VersionGoal
from epmstore.checkout.planfile import not_to_be_had
from epmstore.checkout.request import Prepared
from epmstore.wording import counted, name, number, size
from epmstored.console import addresses
from epmstored.console.phrases import short

WORDS: Final = {
    "mkdir": "bring back",
    "put": "write",
    "retype": "replace",
    "set": "set",
    "unlink": "remove",
    "rmdir": "remove",
}
SHOWN: Final = 200
NAMED: Final = 50


def plan_view(app: App, prepared: Prepared, kept_as: str) -> dict[str, Any]:
    """What would be done, what would not, and what stops meanwhile."""
    plan = prepared.plan
    found = plan.tally.counts
    kept = [(name(path), short(why)) for path, why in (*plan.kept, *prepared.left)]
    missed = [(name(path), short(why)) for path, why in not_to_be_had(prepared)]
    unseen = [(name(one.path), short(one.why)) for one in prepared.unseen.unobserved]
    unseen += [(name(path), "changes all the time") for path in prepared.unseen.unstable]
    goal = prepared.request.goal
    return {
        "key": app.key,
        "app_address": addresses.of_app(app.key),
        "address": addresses.of_back(app.key),
        "plan": kept_as,
        "goal": f"version {goal.version}"
        if isinstance(goal, VersionGoal)
        else "what it was before",
        "from": plan.from_,
        "is_nothing": not plan.steps,
        "facts": _facts(app, prepared),
        "counts": [
            (number(count), words)
            for count, words in (
                (found.added, "to bring back"),
                (found.modified, "to replace"),
                (found.removed, "to remove"),
                (len(kept), "kept as they are"),
                (len(missed), "that will not be as wanted"),
            )
        ],
        "steps": [(WORDS.get(one.op, one.op), name(one.path)) for one in plan.steps[:SHOWN]],
        "more_steps": max(0, len(plan.steps) - SHOWN),
        "named": [
            (title, found[:NAMED], max(0, len(found) - NAMED))
            for title, found in (
                ("Will not be as wanted", missed),
                ("Was not seen, and is not touched", unseen),
                ("Kept as it is", kept),
            )
            if found
        ],
        "what_happens": _what_happens(app, prepared),
    }


def _what_happens(app: App, prepared: Prepared) -> str:
    hooks = hooks_of(app).commands
    if "stop" in hooks and "start" in hooks:
        return f"This stops {app.key}, changes its files, and starts it again, now."
    if "start" in hooks:
        return f"This changes the files of {app.key} and starts it, now."
    return f"This changes the files of {app.key} now; nothing is stopped or started for it."


def _facts(app: App, prepared: Prepared) -> list[tuple[str, str]]:
    plan, hooks = prepared.plan, hooks_of(app)
    found = [("root", name(app.root)), ("to write", size(plan.size))]
    found += [
        (hook, name(show_command(words)))
        for hook in HOOKS
        for words in (hooks.commands.get(hook),)
        if words
    ]
    unit = unit_of(app)
    found += [("unit", unit)] if unit else []
    found += _supply(prepared)
    if plan.databases:
        some = ", ".join(map(name, plan.databases[:NAMED]))
        found.append(("databases without a class", some))
    return found


def _supply(prepared: Prepared) -> Sequence[tuple[str, str]]:
    supply = prepared.supply
    if supply is None:
        return ()
    found = [
        ("fetched", f"{counted(one.contents, 'content')} ({size(one.size)}) from {name(one.place)}")
        for one in supply.found
    ]
    lacking = len(supply.lacking)
    return [*found, *([("nowhere to be found", counted(lacking, "content"))] if lacking else [])]
