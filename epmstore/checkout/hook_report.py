"""What came of hooks, for those who were not there: as shapes, as lines, as an error. Pure."""

from collections.abc import Sequence
from typing import Final

from epmstore.catalog.hooks import HookRun, show_command
from epmstore.errors import HookError

REPORTED_LINES: Final = 12
"""Lines of a failed hook's output that an error shows; `data` has more."""
SEVERAL: Final = 2


def hook_error(
    key: str,
    message: str,
    runs: Sequence[HookRun],
    *,
    hint: str,
    undone: bool | None,
    version: int | None = None,
) -> HookError:
    """`undone`: the root was changed and is as before again; None: it was not changed."""
    return HookError(
        f"{key}: {message}",
        hint=hint,
        app=key,
        hooks=hook_shapes(runs),
        report=report(runs),
        undone=undone,
        version=version,
    )


def hook_shapes(runs: Sequence[HookRun]) -> list[dict[str, object]]:
    """As docs/json.md has them."""
    return [
        {
            "hook": run.hook,
            "app": run.app,
            "phase": run.phase,
            "command": list(run.command),
            "outcome": run.outcome,
            "status": run.status,
            "attempts": run.attempts,
            "seconds": run.seconds,
            "output": run.output,
            "held": run.held,
        }
        for run in runs
    ]


def report(runs: Sequence[HookRun]) -> list[str]:
    """What was run, in order, and the last lines of what failed; of which application, if they are
    of several.
    """
    lines: list[str] = []
    is_one = len({run.app for run in runs}) < SEVERAL
    for run in runs:
        back = {"checkout": "", "undo": " (undo)", "recover": " (recover)"}[run.phase]
        whose = "" if is_one else f"{run.app}: "
        lines.append(f"{whose}{run.hook}{back}: {show_command(run.command)}: {run.why}")
        if not run.ok:
            said = run.output.rstrip().splitlines()
            lines += [f"  ... {len(said) - REPORTED_LINES} more lines"] * (
                len(said) > REPORTED_LINES
            )
            lines += [f"  | {line}" for line in said[-REPORTED_LINES:]]
    return lines
