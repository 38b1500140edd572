"""A plan, before it is carried out: shown, and asked about."""

import sys
from collections import Counter
from typing import TYPE_CHECKING

from epmstore.cli.output import Output, name, size
from epmstore.cli.session import Session
from epmstore.cli.shapes import plan as plan_shape
from epmstore.cli.summary import counts

if TYPE_CHECKING:
    from epmstore.checkout.plan import Plan

LETTERS = {
    "mkdir": ("create", "32"),
    "put": ("write", "33"),
    "retype": ("retype", "33"),
    "set": ("set", "36"),
    "unlink": ("remove", "31"),
    "rmdir": ("remove", "31"),
}


def show_plan(out: Output, app: str, plan: "Plan") -> None:
    """Every step, what is kept and why, and all of it in one line."""
    if out.as_json:
        out.shape(plan_shape(app, plan))
        return
    width = max(len(word) for word, _ in LETTERS.values())
    lines = []
    for step in plan.steps:
        word, colour = LETTERS[step.op]
        lines.append(f"{out.paint(word.ljust(width), colour)} {name(step.path)}")
    for line in out.some(lines, indent=""):
        out.line(line)
    if plan.kept:
        out.note("kept:")
        for line in out.some([f"{name(path)}: {why}" for path, why in plan.kept]):
            out.note(line)
    out.line(plan_line(app, plan))


def plan_line(app: str, plan: "Plan") -> str:
    """What a plan would do."""
    steps = Counter(step.op for step in plan.steps)
    parts = counts(
        (steps["put"] + steps["mkdir"] + steps["retype"], "to write"),
        (steps["set"], "to change in metadata only"),
        (steps["unlink"] + steps["rmdir"], "to remove"),
        (len(plan.kept), "kept"),
    )
    ends = f"version {plan.from_} -> content of {plan.of}"
    if not plan.steps:
        return f"{app}: {ends}: nothing to do"
    return f"{app}: {ends}: {', '.join(parts)}, {size(plan.size)}"


def confirm(session: Session, app: str, plan: "Plan") -> None:
    """Show the plan and ask, if it removes anything. Raises DeclinedError."""
    if not any(step.op in ("unlink", "rmdir") for step in plan.steps):
        return
    sys.stderr.write(plan_line(app, plan) + "\n")
    if plan.kept:
        session.out.note("kept: see --dry-run")
    session.confirm("Go on?")


def read_plan(data: bytes, file: str) -> "Plan":
    raise NotImplementedError


def write_plan(plan: "Plan") -> bytes:
    raise NotImplementedError
