"""A result on its way out: the line that says the truth, and what has to be named beside it."""

from collections.abc import Iterable, Sequence

from epmstore.catalog.hooks import show_command
from epmstore.checkout.hook_report import report
from epmstore.cli.moments import local
from epmstore.cli.output import Output, counted, name, number, size
from epmstore.cli.result_line import RECORDING, closing_line
from epmstore.cli.session import Session
from epmstore.record.result import Result
from epmstore.record.unseen import Unseen
from epmstore.relpath import RelPath
from epmstore.store.seeking import CameFrom
from epmstore.workspace.shapes import result as result_shape

INCOMPLETE = 3
FEW_KEPT = 5
SHOWN_KEPT = 3
FAILED = 4


def finish(session: Session, result: Result, *, with_undo: bool = True) -> int:
    """Print a result, and those of what went with it; the exit code (3 if something was left
    undone). Without `with_undo`, another line says for people how it is undone.
    """
    every = (result, *result.others)
    if session.out.as_json:
        session.out.shape(result_shape(result))
    else:
        for one in every:
            _print(session, one, with_undo=with_undo and one is every[-1])
    return max(map(_exit_code, every))


def _print(session: Session, result: Result, *, with_undo: bool) -> None:
    out = session.out
    if result.safety is not None:
        out.note(f"what was found is recorded as version {result.safety}")
    if result.meanwhile:
        versions = ", ".join(map(str, result.meanwhile))
        out.note(f"what somebody else wrote meanwhile is recorded as version {versions}")
    name_places(out, result.came)
    if not out.quiet:
        out.line(closing_line(result, with_app=session.app is not None, with_undo=with_undo))
    _name_the_rest(out, result)


def _exit_code(result: Result) -> int:
    if any(not run.ok and run.hook != "stop" for run in result.hooks):
        return FAILED
    return INCOMPLETE if result.incomplete else 0


def name_places(out: Output, came: Sequence[CameFrom]) -> None:
    """From where contents came that the store lacked, or could not read."""
    for one in came:
        out.note(
            f"{counted(one.contents, 'content')} that lacked here came from {name(one.place)},"
            f" {size(one.size)}"
        )


def _name_the_rest(out: Output, result: Result) -> None:
    problems = [*result.skipped, *result.unobserved]
    notes = [f"{name(p.path)} ({p.why})" for p in problems if not p.is_gap]
    serious = [f"{name(p.path)} ({p.why})" for p in problems if p.is_gap]
    _note(out, "kept", _kept(out, result.kept))
    _note(out, "not recorded", notes)
    recording = result.action in RECORDING
    _warn(out, "could not be read" if recording else "not observed, and not touched", serious)
    _warn(out, "changing all the time, not recorded", [name(path) for path in result.unstable])
    _warn(out, "not restored", result.not_restored)
    _warn(out, "another content has the same SHA-1", [name(path) for path in result.collisions])
    _around(out, result)


def _kept(out: Output, kept: Sequence[tuple[RelPath, str]]) -> list[str]:
    """Each path with the reason; of many, each reason with the first of its paths."""
    if out.limit is None or len(kept) <= FEW_KEPT:
        return [f"{name(path)} ({why})" for path, why in kept]
    reasons: dict[str, list[str]] = {}
    for path, why in kept:
        reasons.setdefault(why, []).append(name(path))
    lines = []
    for why, paths in reasons.items():
        more = f", and {number(len(paths) - SHOWN_KEPT)} more" if len(paths) > SHOWN_KEPT else ""
        lines.append(f"{why} ({number(len(paths))}): {', '.join(paths[:SHOWN_KEPT])}{more}")
    return [*lines, "each path: -v or --json"]


def _around(out: Output, result: Result) -> None:
    """What the hooks left to say, and what is to be done now."""
    failed = [run for run in result.hooks if not run.ok]
    _warn(out, "failed", report(failed))
    held = [f"{run.hook}: {show_command(run.command)}" for run in result.hooks if run.held]
    title = "left a process that still writes to epmstore, and will find no reader (redirect it)"
    _warn(out, title, held)
    if result.packages:
        owners = ", ".join(map(name, result.packages))
        out.note(
            f"installed packages own what was changed ({owners}): the system's package manager does"
            " not know, and their next upgrade replaces it"
        )
    if result.held:
        out.note(f"held: automation leaves it alone until: epmstore unhold {result.app}")
    if result.confirm_by is not None:
        others = [name(key) for key in result.transaction if key != result.app]
        with_them = f" with {', '.join(others)}" if others else ""
        out.note(
            f"to be undone{with_them} at {local(result.confirm_by)} unless:"
            f" epmstore confirm --app {result.app}"
        )


def name_gaps(out: Output, gaps: Unseen) -> None:
    """What of a live root was not seen, of what was asked about."""
    _warn(out, "not looked at", [f"{name(p.path)} ({p.why})" for p in gaps.unobserved])
    _warn(out, "changing all the time", [name(path) for path in gaps.unstable])


def _note(out: Output, title: str, lines: Sequence[str]) -> None:
    if lines:
        out.note(titled(out, title, lines))


def _warn(out: Output, title: str, lines: Iterable[str]) -> None:
    found = list(lines)
    if found:
        out.warn(titled(out, title, found))


def titled(out: Output, title: str, lines: Sequence[str]) -> str:
    return f"{title}: {lines[0]}" if len(lines) == 1 else "\n".join([f"{title}:", *out.some(lines)])
