"""Commands that look back: log, ls, cat, diff, history, find."""

import stat
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeAlias

import click

from epmstore.catalog.diff import Change
from epmstore.catalog.hooks import show_command
from epmstore.catalog.model import RecordedActor
from epmstore.catalog.operations import what_was_done
from epmstore.catalog.state import VersionInfo
from epmstore.checkout.goal import goal_of, version_of
from epmstore.cli.command import command
from epmstore.cli.content import content_diff
from epmstore.cli.facts import differing
from epmstore.cli.moments import local, local_ns, parse, selector
from epmstore.cli.output import Output, counted, name, number
from epmstore.cli.paths import is_version, relative, scope, split_range, split_version
from epmstore.cli.session import Session, working_directory
from epmstore.cli.summary import INCOMPLETE, name_gaps
from epmstore.digest import parse_address
from epmstore.entryform import entry_to_form
from epmstore.errors import PathNotFoundError, UsageError
from epmstore.index.entries import Span
from epmstore.record.change import StartedRun
from epmstore.refcat.explained import Titles, titles_of, words, words_of_many
from epmstore.refcat.explanation import Explanation
from epmstore.relpath import ROOT, RelPath
from epmstore.tree import Entry
from epmstore.workspace import shapes

if TYPE_CHECKING:
    from epmstore.workspace import AppHandle

LETTERS = {"added": ("A", "32"), "modified": ("M", "33"), "removed": ("D", "31")}
REASONS = {"scan": "found by a scan", "safety": "found before a checkout", "event": "seen"}
SAID = {
    "label": "labelled",
    "change": "declared a change",
    "tag": "tagged",
    "untag": "lost the tag",
    "pin": "pinned",
    "unpin": "unpinned",
    "forget": "forgotten",
    "unforget": "taken back from forgetting",
}
MANY_LABELS = 4
LogRow: TypeAlias = tuple[str, ...]
TYPES = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "symlink": stat.S_IFLNK}


@command(
    app=True,
    examples=[
        ("epmstore log", "changes, with the drift between them folded"),
        ("epmstore log -n 5", "the newest five"),
        ("epmstore log --all --since 7d", "every version of the last seven days"),
        ("epmstore log -v", "with who recorded it, what was run, and all that was said of it"),
        ("epmstore log etc bin/crmd", "the versions that changed these"),
        ("epmstore log --unexplained", "what no release, patch or rollback accounts for"),
    ],
)
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most N versions.")
@click.option("--since", metavar="TIME", help="From this time on: 2026-10-03, yesterday, 7d.")
@click.option("--all", "everything", is_flag=True, help="Drift, too.")
@click.option(
    "--unexplained",
    is_flag=True,
    help="Only versions with changes that no release explains, and these; exit with 1 if any.",
)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def log(
    session: Session,
    limit: int | None,
    since: str | None,
    everything: bool,
    unexplained: bool,
    paths: tuple[str, ...],
) -> int:
    """List the recorded versions, newest first.

    A version is a change (made on request: snapshot, run, checkout) or drift (found in passing).
    Drift between changes is folded into one line unless --all. The numbers are paths added (+),
    modified (~) and removed (-). With a reference catalog, each version says what explains it: an
    upgrade from one release to another, whole or in part, and how many files it does not explain.

    With PATHs, only the versions that changed one of them or what is below it, drift, too.
    """
    start = None if since is None else parse(since)
    handle = _named_gaps(session)
    wanted = scope(paths, handle.app.root)
    versions = _since(handle, start, wanted)
    reasons = handle.explanations()
    if unexplained:
        versions = [v for v in versions if v.version in reasons and reasons[v.version].rest]
    everything = everything or bool(wanted) or unexplained
    run = handle.reading.started_run()
    if session.json:
        shown = [v for v in versions if everything or v.kind == "change"]
        _print_shapes(session.out, handle.app.key, shown[:limit], reasons, run)
        return int(unexplained and bool(versions))
    if run is not None:
        session.out.note(_started(run))
    titles = titles_of(handle.releases) if reasons else str
    if unexplained:
        _print_unexplained(session.out, versions[:limit], reasons, titles)
        return int(bool(versions))
    if not versions and start is None:
        session.out.note(f"{handle.app.key}: nothing is recorded yet; begin: epmstore snapshot")
    most = len(versions)
    rows = islice(_rows(versions, reasons, titles, everything=everything), min(limit or most, most))
    _print_rows(session.out, rows, remarks=session.verbose)
    return 0


def _since(
    handle: "AppHandle", start: float | None, wanted: Sequence[RelPath]
) -> list[VersionInfo]:
    """Newest first; those that changed something of what is wanted, if something is."""
    versions = [v for v in reversed(handle.versions()) if start is None or v.time >= start]
    if not wanted:
        return versions
    touched = handle.reading.versions_of(wanted)
    return [v for v in versions if v.version in touched]


def _print_shapes(
    out: Output,
    key: str,
    versions: Sequence[VersionInfo],
    reasons: Mapping[int, Explanation],
    run: StartedRun | None,
) -> None:
    if run is not None:
        out.shape(shapes.started_run(key, run))
    for version in versions:
        out.shape(shapes.version(key, version, reasons.get(version.version)))


def _print_rows(
    out: Output, rows: Iterable[tuple[LogRow, VersionInfo | None]], *, remarks: bool
) -> None:
    shown: list[LogRow] = []
    for row, version in rows:
        shown.append(row)
        if version is not None and remarks:
            shown += _details(version)
    out.table(shown, right=(0,))


def _details(version: VersionInfo) -> Iterator[LogRow]:
    """Who recorded a version, what was run, and all that was said of it, in order."""
    record = version.record
    yield ("", "", "", f"    recorded{_by(record.actor)}")
    if record.command:
        yield ("", "", "", f"    ran {name(show_command(record.command))}")
    for path in record.writing:
        yield ("", "", "", f"    {name(path)} was open for writing, and may be half done")
    for said in version.remarks:
        text = "" if said.text is None else f" {name(said.text)!r}"
        yield ("", local(said.time), "", f"    {SAID[said.what]}{text}{_by(said.actor)}")


def _by(actor: RecordedActor | None) -> str:
    who = (actor or {}).get("user", (actor or {}).get("uid"))
    return "" if who is None else f" by {name(str(who))}"


def _started(run: StartedRun) -> str:
    since = "" if run.since is None else f" since {local(run.since)}"
    label = name(run.label or show_command(run.command) or "a command")
    if run.exit_status is None:
        return f"{label}: running{since}, or killed; what it did is recorded by what records next"
    return f"{label}: begun{since}, ended, and not recorded: `epmstore snapshot` does that"


def _print_unexplained(
    out: Output, versions: Sequence[VersionInfo], reasons: Mapping[int, Explanation], titles: Titles
) -> None:
    for version in versions:
        out.line("  ".join(_row(version, reasons, titles)))
        for line in out.some([name(path) for path in reasons[version.version].unexplained]):
            out.line(line)


def _rows(
    versions: Iterable[VersionInfo],
    reasons: Mapping[int, Explanation],
    titles: Titles,
    *,
    everything: bool,
) -> Iterator[tuple[LogRow, VersionInfo | None]]:
    """What is shown of each version; drift that is folded is none."""
    folded = groupby(versions, key=lambda v: v.kind == "drift" and not everything)
    for is_drift, group in folded:
        found = list(group)
        marked = [v for v in found if v.tags or v.pinned]
        if is_drift and not marked:
            yield _folded(found, reasons, titles), None
        else:
            yield from ((_row(version, reasons, titles), version) for version in found)


def _row(version: VersionInfo, reasons: Mapping[int, Explanation], titles: Titles) -> LogRow:
    record = version.record
    done = what_was_done(record)
    text = _labels(version.labels) or REASONS.get(done, done)
    brought = version_of(goal_of(record))
    if brought is not None:
        text += f" (content of {brought})"
    if record.exit_status:
        text += f" (exit status {record.exit_status})"
    if record.command is not None and record.exit_status is None:
        text += " (killed before its end was seen)"
    if version.changes_nothing:
        text += " (nothing changed)"
    explained = words(reasons.get(version.version), titles)
    if explained:
        text += f" ({explained})"
    marks = [*map(name, version.tags), *["pinned"] * version.pinned]
    marks += [] if version.restorable else ["not restorable"]
    marks += [f"{counted(len(record.writing), 'file')} half done"] if record.writing else []
    if marks:
        text += f"  [{', '.join(marks)}]"
    drift = "drift: " if version.kind == "drift" else ""
    return (str(version.version), local(record.time), _changes([version]), drift + text)


def _labels(labels: Sequence[str]) -> str:
    """All of them; of many the first and the last ones, and how many are between."""
    if len(labels) > MANY_LABELS:
        between = f"... {number(len(labels) - 2)} more ..."
        return "; ".join([name(labels[0]), between, name(labels[-1])])
    return "; ".join(map(name, labels))


def _folded(
    drift: Sequence[VersionInfo], reasons: Mapping[int, Explanation], titles: Titles
) -> LogRow:
    newest, oldest = drift[0].version, drift[-1].version
    text = f"drift: version {newest}"
    if newest != oldest:
        text = f"drift: {counted(len(drift), 'version')}, {oldest} to {newest}"
    explained = words_of_many([reasons.get(one.version) for one in drift], titles)
    if explained:
        text += f" ({explained})"
    return ("", local(drift[0].record.time), _changes(drift), text)


def _changes(versions: Sequence[VersionInfo]) -> str:
    totals = (
        ("+", sum(v.record.counts.added for v in versions)),
        ("~", sum(v.record.counts.modified for v in versions)),
        ("-", sum(v.record.counts.removed for v in versions)),
    )
    return " ".join(f"{sign}{count}" for sign, count in totals if count)


def _named_gaps(session: Session) -> "AppHandle":
    """The chosen application; versions that are lost for good were named."""
    handle = session.handle()
    for gap in handle.reading.state().gaps:
        if gap.first is not None and gap.last is not None:
            session.out.note(f"versions {gap.first} to {gap.last} are lost: {gap.why}")
    return handle


@command(
    app=True,
    examples=[
        ("epmstore ls latest", "everything in the newest version"),
        ("epmstore ls 117:bin", "a folder as it was"),
        ("epmstore ls 117:.", "everything, and the root itself"),
        ("epmstore ls release:41:bin", "as its vendor released it"),
        ("epmstore ls @2026-10-03T14:00:etc/crm.conf", "one file, at a time"),
    ],
)
@click.argument("what", metavar="VERSION[:PATH]", default="latest")
def ls(session: Session, what: str) -> None:
    """List the files of a version.

    Like `ls -l`: mode, owner, group, size, modification time, name. VERSION is latest if it is left
    out; with PATH, that file or folder and everything below it. With `.`, the root itself is shown,
    too.
    """
    handle = session.handle()
    version, path = split_version(what)
    below = None
    if path is not None:
        below = relative(path, handle.app.root, working_directory()) or ROOT
    entries = handle.ls(selector(version), below)
    if session.json:
        for entry in entries:
            shape = {"type": "entry", "app": handle.app.key}
            session.out.shape({**shape, **entry_to_form(entry)})
    else:
        session.out.table([listing(entry) for entry in entries], right=(3,))


def listing(entry: Entry) -> tuple[str, ...]:
    """The columns of one entry, as ls -l has them."""
    size = "-" if entry.content is None else str(entry.content.size)
    arrow = f" -> {name(entry.target)}" if entry.target is not None else ""
    link = f" (same file as {name(entry.same_as)})" if entry.same_as else ""
    return (
        stat.filemode(TYPES[entry.kind] | entry.mode),
        entry.user or str(entry.uid),
        entry.group or str(entry.gid),
        size,
        local_ns(entry.mtime_ns),
        name(entry.path) + arrow + link,
    )


@command(
    app=True,
    examples=[("epmstore cat latest~1:etc/crm.conf", "the file as it was one version ago")],
)
@click.argument("what", metavar="VERSION:PATH")
def cat(session: Session, what: str) -> None:
    """Print one file of a version.

    The bytes are checked against their digests on the way.
    """
    handle = session.handle()
    version, path = split_version(what)
    if path is None:
        raise UsageError(f"{what!r} names no file", hint="write VERSION:PATH, as in latest:etc/x")
    below = relative(path, handle.app.root, working_directory())
    if below is None:
        raise UsageError("the root is a directory", hint=f"list it: epmstore ls {version}")
    for piece in handle.cat(selector(version), below):
        session.out.raw(piece)


@command(
    app=True,
    examples=[
        ("epmstore diff", "the newest version and the live root"),
        ("epmstore diff 117..latest bin", "what became of bin since 117"),
        ("epmstore diff 117 118", "two versions, without the dots"),
        ("epmstore diff latest~1..latest --content", "line by line"),
        ("epmstore diff release:41..now", "what is not as its vendor released it"),
        ("epmstore diff golden..now --exit-code", "1 if anything differs, for scripts"),
    ],
)
@click.option("--content", is_flag=True, help="Show text files line by line.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there are differences.")
@click.argument("range", metavar="[A..B|A B]", default="latest..now")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def diff(
    session: Session, range: str, paths: tuple[str, ...], content: bool, exit_code: bool
) -> int:
    """Show what differs between two versions.

    A and B are versions, or now for the live root; a single A is compared with now. Each line says
    A (added), M (modified) or D (removed), the path, and what of it differs. A PATH that is on
    neither side is an error.
    """
    handle = session.handle()
    range, paths = _two_versions(handle, range, paths)
    a, b = (selector(text) for text in split_range(range))
    changes, gaps = handle.reading.diff_with_gaps(a, b, scope(paths, handle.app.root))
    counts = {kind: sum(c.change == kind for c in changes) for kind in LETTERS}
    trees = (handle.trees.at(a), handle.trees.at(b))
    for change in changes:
        text = content_diff(*trees, change) if content else None
        if session.json:
            more = {"patch": text} if content else {}
            session.out.shape({**shapes.change(handle.app.key, change), **more})
        else:
            _print_change(session.out, change, text)
    if session.json:
        ends = {"from": _end(handle, a), "to": _end(handle, b), "clean": not changes}
        unseen = shapes.unseen(gaps)
        session.out.shape({"type": "summary", "app": handle.app.key, **ends, **counts, **unseen})
    else:
        totals = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
        session.out.note(totals or "no difference")
        name_gaps(session.out, gaps)
    if gaps.incomplete:
        return INCOMPLETE
    return 1 if changes and exit_code else 0


def _two_versions(
    handle: "AppHandle", first: str, rest: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """`A B` as `A..B`: what stands behind a single A is a version, if it can be one and no path.

    Raises UsageError if it may be both.
    """
    if ".." in first or not rest:
        return first, rest
    second = rest[0]
    if not (
        is_version(second) or handle.reading.state().tagged(second.partition("~")[0]) is not None
    ):
        return first, rest
    try:
        handle.history(scope([second], handle.app.root)[0])
    except (PathNotFoundError, UsageError, IndexError):
        return f"{first}..{second}", rest[1:]
    raise UsageError(
        f"{second!r} is a version and a path",
        hint=f"write {first}..{second} for the version, or {first}..now {second} for the path",
    )


def _end(handle: "AppHandle", version: str) -> int | str:
    """A version, `now`, or `release:41`."""
    release = handle.trees.release(version)
    return handle.trees.resolve(version) if release is None else f"release:{release.version}"


def _print_change(out: Output, change: Change, text: str | None) -> None:
    letter, colour = LETTERS[change.change]
    facts = differing(change.old, change.new, change.fields)
    what = "" if change.change != "modified" else f"  ({', '.join(facts)})"
    out.line(f"{out.paint(letter, colour)} {name(change.path)}{what}")
    if text:
        out.line(text)


@command(
    app=True,
    examples=[
        ("epmstore history bin/crmd", "since when it is as it is"),
        ("epmstore history .", "mode, owner and attributes of the root itself"),
    ],
)
@click.argument("path")
def history(session: Session, path: str) -> None:
    """Show every state that one path ever had.

    One line for each state, newest first: from which version to which, and what it was.
    """
    handle = session.handle()
    below = relative(path, handle.app.root, working_directory()) or ROOT
    spans = list(reversed(handle.history(below)))
    _print_spans(session, handle, spans, with_path=False)


@command(
    app=True,
    examples=[
        ("epmstore find '*.jar'", "every path of that kind, in any version"),
        ("epmstore find da39a3ee5e6b4b0d3255bfef95601890afd80709", "where a content was"),
    ],
)
@click.argument("pattern", metavar="PATTERN|SHA1|SHA256")
def find(session: Session, pattern: str) -> None:
    """Find paths or a content in all versions.

    A PATTERN is matched like a shell's against whole paths ('*' crosses folders); 40 hexadecimal
    digits are looked up as SHA-1, and 64 as SHA-256.
    """
    is_digest = len(pattern) in (40, 64) and set(pattern) <= set(string.hexdigits)
    for handle in session.handles():
        spans = (
            handle.reading.find_content(parse_address(pattern))
            if is_digest
            else handle.find(pattern)
        )
        _print_spans(session, handle, list(spans), with_path=True)


def _print_spans(
    session: Session, handle: "AppHandle", spans: Sequence[Span], *, with_path: bool
) -> None:
    if session.json:
        for span in spans:
            ends = {"since": span.since, "until": span.until}
            shape = entry_to_form(span.entry)
            session.out.shape({"type": "span", "app": handle.app.key, **shape, **ends})
        return
    rows = []
    for span in spans:
        columns = listing(span.entry)
        digest = span.entry.content.digest.hex() if span.entry.content else ""
        rows.append((_versions(span.since, span.until), *columns[:5], digest, columns[5]))
    if not with_path:
        rows = [row[:-1] for row in rows]
    session.out.table(rows, right=(4,))


def _versions(since: int, until: int | None) -> str:
    """`117..` while it lasts, else the versions that have it; `until` is the first without it."""
    if until is None:
        return f"{since}.."
    return str(since) if until == since + 1 else f"{since}..{until - 1}"
