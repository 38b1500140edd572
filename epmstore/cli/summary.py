"""A result on its way out: the line that says the truth, and what has to be named beside it."""

from collections.abc import Iterable, Sequence

from epmstore.cli.closing import RECORDING, closing_line
from epmstore.cli.output import Output, name
from epmstore.cli.session import Session
from epmstore.cli.shapes import result as result_shape
from epmstore.record.result import Result

INCOMPLETE = 3


def finish(session: Session, result: Result) -> int:
    """Print a result; the exit code (3 if something was left undone)."""
    out = session.out
    if out.as_json:
        out.shape(result_shape(result))
    else:
        if result.safety is not None:
            out.note(f"what was found is recorded as version {result.safety}")
        if not out.quiet:
            out.line(closing_line(result, with_app=session.app is not None))
        _name_the_rest(out, result)
    return INCOMPLETE if result.incomplete else 0


def _name_the_rest(out: Output, result: Result) -> None:
    problems = [*result.skipped, *result.unobserved]
    notes = [f"{name(p.path)} ({p.why})" for p in problems if p.kind in ("special", "mount")]
    serious = [f"{name(p.path)} ({p.why})" for p in problems if p.kind not in HARMLESS]
    _note(out, "kept", [f"{name(path)} ({why})" for path, why in result.kept])
    _note(out, "not recorded", notes)
    recording = result.action in RECORDING
    _warn(out, "could not be read" if recording else "not observed, and not touched", serious)
    _warn(out, "changing all the time, not recorded", [name(path) for path in result.unstable])
    _warn(out, "not restored", result.not_restored)
    _warn(out, "another content has the same SHA-1", [name(path) for path in result.collisions])


HARMLESS = ("special", "mount", "ignored")


def _note(out: Output, title: str, lines: Sequence[str]) -> None:
    if lines:
        out.note(titled(out, title, lines))


def _warn(out: Output, title: str, lines: Iterable[str]) -> None:
    found = list(lines)
    if found:
        out.warn(titled(out, title, found))


def titled(out: Output, title: str, lines: Sequence[str]) -> str:
    return f"{title}: {lines[0]}" if len(lines) == 1 else "\n".join([f"{title}:", *out.some(lines)])
