"""A plan as a document: what `plan -o FILE` writes, a person reads, and `apply FILE` carries out.

The `plan` of docs/json.md, with the request that it answers. Unknown keys are ignored; what it says
is checked against a plan made anew before anything is done, so that an edited or outdated document
is refused and not half applied.
"""

import json
from collections.abc import Iterable
from typing import Any, get_args

import msgspec

from epmstore.checkout.goal import FORMATS, goal_from_form
from epmstore.checkout.journal import step_from_form, step_to_form
from epmstore.checkout.plan import ConfigPolicy, NamedPath, Options, Plan
from epmstore.checkout.request import UNPLANNED, CheckoutAction, Prepared, Request, Supply
from epmstore.errors import DamagedError, UsageError
from epmstore.relpath import from_json, from_json_or_root, text_to_json, to_json
from epmstore.scan.problem import Problem
from epmstore.store.staging import NO_SENSE


def plan_to_form(prepared: Prepared) -> dict[str, Any]:
    plan, request = prepared.plan, prepared.request
    said = request.goal.form()
    counts, kept = plan.counts, (*plan.kept, *prepared.left)
    scope = None if request.scope is None else [to_json(path) for path in request.scope]
    return {
        "type": "plan",
        "app": plan.app,
        "action": request.action,
        "changed": bool(plan.steps),
        "from": plan.from_,
        "version": None,
        "of": said.pop("of", None),
        "safety": None,
        "added": counts.added,
        "modified": counts.modified,
        "removed": counts.removed,
        "kept": [to_json(path) for path, _ in kept],
        "kept_because": {to_json(path): why for path, why in kept},
        "skipped": _problems(prepared.unseen.skipped),
        "unstable": [to_json(path) for path in prepared.unseen.unstable],
        "unobserved": _problems(prepared.unseen.unobserved),
        "refused": {to_json(path): why for path, why in not_to_be_had(prepared)},
        "databases": [to_json(path) for path in plan.databases],
        "verified": None,
        "undo": None,
        "bytes": plan.size,
        "supply": None if prepared.supply is None else supply_to_form(prepared.supply),
        "format": request.goal.format,
        "uuid": prepared.app,
        "others": [plan_to_form(one) for one in prepared.others],
        "request": {
            "scope": scope,
            "exact": request.exact,
            "config": request.config,
            "within": request.within,
            "label": request.label,
            **said,
        },
        "steps": [step_to_form(step) for step in plan.steps],
    }


def _problems(found: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"path": to_json(one.path), "kind": one.kind, "why": one.why} for one in found]


def supply_to_form(found: Supply) -> dict[str, Any]:
    """The `Supply` of docs/json.md."""
    places = [
        {"place": text_to_json(one.place), "contents": one.contents, "bytes": one.size}
        for one in found.found
    ]
    return {"needed": found.needed, "lacking": len(found.lacking), "from": places}


def not_to_be_had(prepared: Prepared) -> tuple[NamedPath, ...]:
    """What will not be as it was asked for, and why."""
    return (*prepared.plan.refused, *prepared.plan.not_restored, *prepared.forbidden)


def encode_plan(prepared: Prepared) -> bytes:
    return json.dumps(plan_to_form(prepared), indent=1).encode() + b"\n"


def decode_plan(data: bytes) -> Prepared:
    """Raises UsageError for what is no plan."""
    try:
        return _from_form(json.loads(data))
    except NO_SENSE as error:
        raise UsageError(f"not a plan: {error}", hint="make one with `epmstore plan`") from None
    except DamagedError as error:
        raise UsageError(f"not a plan: {error.message}", hint="make it anew") from None


class _Asked(msgspec.Struct, frozen=True):
    """The request, each of its keys of its type."""

    scope: list[str] | None
    exact: bool
    config: ConfigPolicy
    within: tuple[int, int] | None
    label: str | None


class _Said(msgspec.Struct, frozen=True):
    """What of a plan is read again."""

    app: str
    action: CheckoutAction
    from_: int = msgspec.field(name="from")
    uuid: str
    request: _Asked
    steps: list[dict[str, Any]]
    kept_because: dict[str, str]


def _from_form(form: dict[str, Any]) -> Prepared:
    if form["type"] != "plan" or form["format"] not in FORMATS:
        raise UsageError("not a plan that this release understands", hint="make it anew")
    if form["action"] not in get_args(CheckoutAction):
        raise UsageError(f"a plan of {form['action']!r}, which this release does not know")
    if form["action"] in UNPLANNED or "without" in form["request"]:
        raise UsageError(
            f"a plan of {form['action']!r}, which no plan file is for",
            hint="`epmstore install` and the like need none; --dry-run shows what they do",
        )
    if form.get("others"):
        raise UsageError(
            "a plan of several applications, which no plan file is for",
            hint=f"`epmstore {form['action']}` needs none; --dry-run shows what it does",
        )
    if form["request"]["config"] not in get_args(ConfigPolicy):
        config = form["request"]["config"]
        raise UsageError(f"config {config!r} is nothing that this release knows")
    said = msgspec.convert(form, _Said)
    asked = said.request
    scope = None if asked.scope is None else tuple(map(from_json, asked.scope))
    request = Request(
        action=said.action,
        goal=goal_from_form({**form["request"], "of": form["of"]}),
        scope=scope,
        exact=asked.exact,
        config=asked.config,
        within=asked.within,
        label=asked.label,
    )
    plan = Plan(
        app=said.app,
        from_=said.from_,
        goal=request.goal,
        options=Options(exact=request.exact, config=request.config, scope=scope or ()),
        steps=tuple(map(step_from_form, said.steps)),
        kept=tuple((from_json_or_root(path), why) for path, why in said.kept_because.items()),
    )
    return Prepared(app=said.uuid, request=request, plan=plan)
