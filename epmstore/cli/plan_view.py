"""A plan, before it is carried out: shown, and asked about."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from epmstore.catalog.hooks import HOOKS, NONE, Hooks, show_command
from epmstore.checkout.goal import EditsGoal, ReleaseGoal, RemovalGoal, VersionGoal
from epmstore.checkout.planfile import not_to_be_had, plan_to_form
from epmstore.checkout.request import Prepared, Request, Supply
from epmstore.cli.output import Output, counted, name, number, size
from epmstore.cli.result_line import counts
from epmstore.cli.session import Session
from epmstore.cli.summary import INCOMPLETE, name_gaps, titled
from epmstore.given import AnyPath
from epmstore.workspace import AppHandle
from epmstore.workspace.app.asked import TermsGiven

WORDS = {
    "mkdir": ("create", "32"),
    "put": ("write ", "33"),
    "retype": ("retype", "33"),
    "set": ("set   ", "36"),
    "unlink": ("remove", "31"),
    "rmdir": ("remove", "31"),
}
REMOVING = ("unlink", "rmdir")


def show_plan(
    out: Output, prepared: Prepared, hooks: Hooks = NONE, others: Sequence[Hooks] = ()
) -> None:
    """Every step, what is kept and why, the hooks, and all of it in one line; then the same of the
    plans that go with it, with the hooks of each.
    """
    if out.as_json:
        forms = [_with_hooks(one, own) for one, own in zip(prepared.others, others, strict=True)]
        out.shape({**_with_hooks(prepared, hooks), "others": forms})
        return
    _show(out, prepared, hooks)
    for one, own in zip(prepared.others, others, strict=True):
        _show(out, one, own)
    if prepared.others:
        out.note(all_or_none(prepared))


def all_or_none(prepared: Prepared) -> str:
    """Which applications go together."""
    keys = ", ".join(name(one.plan.app) for one in (prepared, *prepared.others))
    return f"{keys} were changed together, and go together: all of them or none"


def _with_hooks(prepared: Prepared, hooks: Hooks) -> dict[str, Any]:
    shown = _to_run(prepared, hooks)
    return {**plan_to_form(prepared), "hooks": {hook: shown.command(hook) for hook in HOOKS}}


def _to_run(prepared: Prepared, hooks: Hooks) -> Hooks:
    """Where the last product goes, nothing is left to start and to check."""
    is_gone = isinstance(prepared.plan.goal, RemovalGoal) and prepared.installed == ()
    return replace(hooks, start=None, health=None) if is_gone else hooks


def _show(out: Output, prepared: Prepared, hooks: Hooks) -> None:
    plan = prepared.plan
    lines = [f"{out.paint(*WORDS[step.op])} {name(step.path)}" for step in plan.steps]
    for line in out.some(lines, indent=""):
        out.line(line)
    for say, title, named in (
        (out.note, "kept", (*plan.kept, *prepared.left)),
        (out.warn, "not to be restored", not_to_be_had(prepared)),
    ):
        if named:
            say(titled(out, title, [f"{name(path)} ({why})" for path, why in named]))
    name_gaps(out, prepared.unseen)
    if plan.databases:
        out.warn(f"databases without a class: {', '.join(map(name, plan.databases))}")
    shown = _to_run(prepared, hooks).commands if plan.steps else {}
    for hook, words in shown.items():
        out.line(f"{hook + ':':<7} {name(show_command(words))}")
    for text in supply_lines(prepared.supply):
        out.line(text)
    out.line(plan_line(prepared))


def outlook(
    handle: AppHandle, prepared: Prepared, terms: TermsGiven, sources: Sequence[AnyPath] = ()
) -> int:
    """The exit code that carrying a plan out would have, as far as it can be known. Raises what
    would keep it from being carried out.
    """
    handle.restoring.check(prepared, sources=sources, **terms)
    all_ = (prepared, *prepared.others)
    is_whole = not any(not_to_be_had(one) or one.unseen.incomplete for one in all_)
    return 0 if is_whole else INCOMPLETE


def supply_lines(found: Supply | None) -> Iterator[str]:
    """From where contents come that the store lacks, a line for each place."""
    if found is not None:
        for one in found.found:
            count = f"{number(one.contents)} of {counted(found.needed, 'content')}"
            yield f"{count} ({size(one.size)}) from {name(one.place)}"


def plan_line(prepared: Prepared) -> str:
    """What a plan would do."""
    plan = prepared.plan
    ends = f"{plan.app}: version {plan.from_} -> {_to(prepared.request)}"
    if not plan.steps:
        what = "no file to change" if prepared.is_anything else "nothing to do"
        return f"{ends}: {what}"
    found = plan.tally
    parts = counts(
        (found.counts.added, found.folders.added, "to bring back"),
        (found.counts.modified, found.folders.modified, "to replace"),
        (found.counts.removed, found.folders.removed, "to remove"),
        (len(plan.kept) + len(prepared.left), None, "kept"),
    )
    return f"{ends}: {', '.join(parts)}, {size(plan.size)} to write"


def _to(request: Request) -> str:
    match request.goal:
        case VersionGoal(version):
            return f"content of {version}"
        case ReleaseGoal(release):
            return request.label or f"release {release}"
        case RemovalGoal():
            return request.label or str(request.goal)
        case EditsGoal(edits):
            return request.label or counted(len(edits), "path")


def confirm(session: Session, prepared: Prepared) -> None:
    """Show what would be removed, and ask; nothing to remove, no question, unless other
    applications go with this one. Raises DeclinedError.
    """
    out, is_asked = session.out, bool(prepared.others)
    for one in (prepared, *prepared.others):
        where = f"{name(one.plan.app)}: " if prepared.others else ""
        steps = one.plan.steps
        gone = [f"{where}{name(step.path)}" for step in steps if step.op in REMOVING]
        is_asked = is_asked or bool(gone)
        if is_asked:
            title = ["to be removed:", *out.some(gone)] if gone else []
            out.note("\n".join([*title, plan_line(one)]))
    if prepared.others:
        out.note(all_or_none(prepared))
    if is_asked:
        session.confirm("Go on?")
