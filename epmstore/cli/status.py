"""What has changed since the last version, for people and programs.

Works on the shape `status` of docs/json.md, of either maker: a scan by this process, or the daemon.
Imports next to nothing: an answer of the daemon is printed by it before anything else is loaded.
"""

from collections.abc import Sequence
from typing import TypeAlias

from epmstore.cli.moments import local
from epmstore.cli.output import Output, counted, name, number
from epmstore.cli.reach import reach_lines
from epmstore.errorform import Shape
from epmstore.measures import format_duration
from epmstore.refcat.naming import title
from epmstore.relpath import text_from_json

StatusRow: TypeAlias = tuple[str, ...]
"""Application, version, what has changed, baseline, daemon, root."""

CLEAN = 0
DIFFERENT = 1
INCOMPLETE = 3


def show_status(
    out: Output, found: Sequence[Shape], *, table: bool = False, unknown: Sequence[StatusRow] = ()
) -> int:
    """Print each status, or one row for each, and rows of what nothing is known of; the exit code:
    3 if something could not be seen, 1 if any differs.
    """
    for shape in found:
        if out.as_json:
            out.shape(shape)
        elif not table:
            _print(out, shape)
    if table and not out.as_json:
        out.table(sorted([*map(_row, found), *unknown]), right=(1,))
    return max(map(exit_code, found), default=CLEAN)


def _goal(unfinished: Shape) -> str:
    return "a release" if unfinished["of"] is None else str(unfinished["of"])


def exit_code(shape: Shape) -> int:
    if shape["unstable"] or shape["unobserved"]:
        return INCOMPLETE
    return CLEAN if shape["clean"] and not shape["deviations"] else DIFFERENT


def unknown_row(key: str, root: str, why: str) -> StatusRow:
    """Of an application that cannot be looked at."""
    return (key, "-", name(why), "-", "-", name(root))


def _row(shape: Shape) -> StatusRow:
    version = "-" if shape["version"] is None else str(shape["version"])
    return (
        shape["app"],
        version,
        _summary(shape),
        _deviating(shape),
        _daemon(shape),
        name(text_from_json(shape["root"])),
    )


def _baseline(shape: Shape) -> str:
    """What the root was compared with, if that is not just the newest version."""
    if shape["baseline"] == "release":
        return f"release {name(title(shape['release'], shape['release_label']))}"
    return f"accepted {shape['accepted']}" if shape["baseline"] == "accepted" else "-"


def _deviating(shape: Shape) -> str:
    """The baseline, how many paths deviate from it, and since when."""
    baseline = _baseline(shape)
    if baseline == "-":
        return "-"
    if not shape["deviations"]:
        return baseline
    count = counted(len(shape["deviations"]), "deviation")
    when = f"since {local(shape['since'])}" if shape["since"] else "not recorded yet"
    return f"{baseline}: {count} {when}"


def _summary(shape: Shape) -> str:
    if shape["version"] is None:
        text = f"nothing recorded, {counted(len(shape['added']), 'path')} found"
    else:
        text = "clean" if shape["clean"] else _totals(shape)
        if shape.get("revoked") or shape.get("withdrawn"):
            text = f"{text}; withdrawn by its vendor"
        text = "; ".join(filter(None, (text, *_marks(shape))))
    unseen = len(shape["unstable"]) + len(shape["unobserved"])
    return f"{text}; {counted(unseen, 'path')} not seen" if unseen else text


def _marks(shape: Shape) -> list[str]:
    """What is to come, in one word each; the daemon of an older release says nothing of it."""
    pairs = (
        ("interrupted", "interrupted"),
        ("unfinished", "not started"),
        ("confirm", "to be confirmed"),
        ("hold", "held"),
    )
    return [word for key, word in pairs if shape.get(key)]


def _undone_when(pending: Shape, key: str) -> str:
    """Where its time is over and it waits still, no daemon has undone it."""
    version, keep = pending["version"], f"epmstore confirm --app {key}"
    if pending["seconds"] <= 0:
        return (
            f"version {version} was not confirmed in time, and nobody has undone it yet:"
            f" epmstore recover --app {key}, or keep it: {keep}"
        )
    left, until = format_duration(pending["seconds"]), local(pending["until"])
    also = _with_others(pending, key)
    return f"version {version} is undone in {left} ({until}){also} unless: {keep}"


def _with_others(shape: Shape, key: str) -> str:
    """The daemon of an older release says nothing of those that went together."""
    others = [name(one) for one in shape.get("transaction", ()) if one != key]
    return f", with {', '.join(others)}," if others else ""


def _aftermath(shape: Shape) -> list[str]:
    """What is still to come of its checkouts, and the command that is wanted."""
    key, lines = shape["app"], _clock(shape)
    if shape.get("interrupted"):
        lines.append(
            "a checkout was interrupted, and what is there may be of both of its sides:"
            f" epmstore recover --app {key}"
        )
    unfinished, pending, hold = (shape.get(key) for key in ("unfinished", "confirm", "hold"))
    if unfinished:
        lines.append(
            f"the checkout of {_goal(unfinished)} of {local(unfinished['time'])}"
            f"{_with_others(unfinished, key)} did not come to its end, and the application may be"
            f" down: epmstore recover --app {key}"
        )
    if pending:
        lines.append(_undone_when(pending, key))
    if hold:
        why = f": {name(hold['reason'])}" if hold["reason"] else ""
        until = f" until {local(hold['until'])}" if hold["until"] else ""
        lines.append(
            f"held since {local(hold['since'])}{until}{why}; automation leaves it alone until:"
            f" epmstore unhold {key}"
        )
    return lines


def _clock(shape: Shape) -> list[str]:
    clock = shape.get("clock")
    if not clock:
        return []
    where = "ahead of" if clock["ahead"] > 0 else "behind"
    return [
        f"the clock is {format_duration(abs(clock['ahead']))} {where} what this host was up since"
        " it was right: nothing is forgotten by its word for"
        f" {format_duration(clock['believed_in'])} (or until it is set right)"
    ]


def _daemon(shape: Shape) -> str:
    daemon = shape["daemon"]
    if daemon is None:
        return "-"
    why = ", ".join(daemon["degraded"])
    return f"{daemon['state']} ({why})" if why else str(daemon["state"])


def _print(out: Output, shape: Shape) -> None:
    key = f"{shape['app']} at {name(text_from_json(shape['root']))}"
    if shape["version"] is None:
        out.line(f"{key}: nothing is recorded yet, {counted(len(shape['added']), 'path')} found")
        _print_unseen(out, shape)
        out.note("record it: epmstore snapshot")
        return
    out.line(f"{key}: version {shape['version']} of {local(shape['time'])}")
    _group(out, "modified", "M", "33", _content(shape))
    _group(out, "metadata only", "m", "33", shape["metadata"])
    _group(out, "added", "A", "32", shape["added"])
    _group(out, "removed", "D", "31", shape["removed"])
    _print_unseen(out, shape)
    unseen = shape["unstable"] or shape["unobserved"]
    nothing = "nothing that was looked at has changed" if unseen else "nothing has changed"
    out.line(_totals(shape) or nothing)
    _print_deviations(out, shape)
    _print_withdrawn(out, shape)
    for line in (*_aftermath(shape), *reach_lines(shape)):
        out.line(line)
    if shape["daemon"] is not None and _daemon(shape) != "watching":
        out.note(f"daemon: {_daemon(shape)}")


def _print_unseen(out: Output, shape: Shape) -> None:
    _group(out, "changing all the time", "~", "35", shape["unstable"])
    unseen = [p for p in (*shape["skipped"], *shape["unobserved"]) if p["kind"] != "ignored"]
    if unseen:
        out.line(f"not looked at ({number(len(unseen))}):")
        for line in out.some(
            [f"? {name(text_from_json(p['path']))}  ({p['why']})" for p in unseen]
        ):
            out.line(line)


def _print_deviations(out: Output, shape: Shape) -> None:
    """What is not as the baseline has it, recorded or not."""
    found, baseline = shape["deviations"], _baseline(shape)
    if baseline == "-":
        return
    if not found and not shape["excused"]:
        out.line(f"everything is as in {_long(baseline)}")
        return
    if not found:
        excused = counted(len(shape["excused"]), "path")
        out.line(f"everything is as in {_long(baseline)}, or accepted ({excused})")
        return
    out.line(f"not as in {_long(baseline)} ({number(len(found))}):")
    lines = [
        f"{out.paint(one['what'], '33'):<8} {name(text_from_json(one['path']))}  {_since(one)}"
        for one in found
    ]
    for line in out.some(lines):
        out.line(line)


def _print_withdrawn(out: Output, shape: Shape) -> None:
    """A daemon of an older release says nothing of it."""
    if shape.get("revoked"):
        out.line(f"{_baseline(shape)} is withdrawn by its vendor: {name(shape['revoked'])}")
    found = shape.get("withdrawn", ())
    if found:
        out.line(f"withdrawn by its vendor ({number(len(found))}):")
        for line in out.some(
            [f"! {name(text_from_json(one['path']))}  ({name(one['why'])})" for one in found]
        ):
            out.line(line)


def _long(baseline: str) -> str:
    return baseline.replace("accepted ", "the accepted version ")


def _since(one: Shape) -> str:
    """Since when a path deviates: the version that first had it so."""
    what = ""
    if one["what"] in ("stale", "ahead", "other line"):
        what = f"release {name(title(one['release'], one.get('release_label')))}, "
    if one["since"] is None:
        return f"({what}not recorded yet)"
    return f"({what}since version {one['since']}, {local(one['time'])})"


def _content(shape: Shape) -> list[str]:
    metadata = set(shape["metadata"])
    return [path for path in shape["modified"] if path not in metadata]


def _group(out: Output, title: str, letter: str, colour: str, paths: Sequence[str]) -> None:
    if paths:
        out.line(f"{title} ({number(len(paths))}):")
        lines = [f"{out.paint(letter, colour)} {name(text_from_json(path))}" for path in paths]
        for line in out.some(lines):
            out.line(line)


def _totals(shape: Shape) -> str:
    pairs = (
        (len(_content(shape)), "modified"),
        (len(shape["metadata"]), "with other metadata"),
        (len(shape["added"]), "added"),
        (len(shape["removed"]), "removed"),
    )
    found = [(count, word) for count, word in pairs if count]
    texts = [f"{number(count)} {word}" for count, word in found[1:]]
    return ", ".join([f"{counted(count, 'path')} {word}" for count, word in found[:1]] + texts)
