"""The line that says the truth after a change, and what has to be named beside it."""

from collections.abc import Iterable, Sequence

from epmstore.cli.output import Output, counted, name, number
from epmstore.cli.session import Session
from epmstore.cli.shapes import result as result_shape
from epmstore.record.result import Result

RECORDING = ("snapshot", "run")
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


def closing_line(result: Result, *, with_app: bool) -> str:
    """`crm: version 131 -> 132 (content of 117), 14 files replaced, 2 removed; undo: ...`

    The command that undoes it names the application only if this one had to.
    """
    parts = [_versions(result), *_counts(result)]
    if result.verified:
        parts.append("verified")
    undo = result.undo or ""
    if not with_app:
        undo = undo.removesuffix(f" --app {result.app}")
    return f"{name(result.app)}: {', '.join(parts)}" + (f"; undo: {undo}" if undo else "")


def _versions(result: Result) -> str:
    label = f" {name(result.label)!r}" if result.label else ""
    if not result.changed:
        return _unchanged(result)
    if result.from_ is None:
        return f"version {result.version}{label}"
    if result.from_ == result.version:
        return f"nothing has changed, version {result.version} is now {label.strip() or 'a change'}"
    of = f" (content of {result.of})" if result.of is not None else ""
    return f"version {result.from_} -> {result.version}{of}{label}"


def _unchanged(result: Result) -> str:
    if result.action in RECORDING:
        return f"nothing has changed since version {result.version}"
    if result.of is not None:
        return f"nothing to do for the content of version {result.of}"
    return "nothing to do"


def _counts(result: Result) -> list[str]:
    verbs = ("added", "modified", "removed")
    if result.action not in RECORDING:
        verbs = ("brought back", "replaced", "removed")
    return counts(
        (result.added, verbs[0]),
        (result.modified, verbs[1]),
        (result.removed, verbs[2]),
        (len(result.kept), "kept"),
    )


def counts(*pairs: tuple[int, str]) -> list[str]:
    """`14 files replaced`, `2 removed`: nothing that is zero, and the noun once."""
    texts: list[str] = []
    for count, verb in pairs:
        if count:
            texts.append(f"{number(count) if texts else counted(count, 'file')} {verb}")
    return texts


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
