"""Commands about where things come from: identify, blame."""

import os
import stat
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from epmstore.cli.command import PATH, command
from epmstore.cli.moments import local
from epmstore.cli.output import counted, name, number
from epmstore.cli.paths import relative
from epmstore.cli.session import Session, working_directory
from epmstore.digest import BlobInfo, identify_stream, parse_digest
from epmstore.errors import NotFoundError, PathNotFoundError, UsageError
from epmstore.refcat.blame import Blamed
from epmstore.refcat.explained import words
from epmstore.refcat.identify import Identifier, Origin
from epmstore.refcat.naming import title
from epmstore.refcat.releases import Release
from epmstore.relpath import ROOT, RelPath, text_to_json
from epmstore.workspace import shapes, vendorshapes
from epmstore.workspace.deviations import BaselineStatus, DatedDeviation

PIECE = 1 << 20
BATCH = 2000
SHOWN = 3
"""Paths that changed together with one, as far as they are named."""
NamedContent = tuple[str | None, BlobInfo]


@command(
    examples=[
        ("epmstore identify /opt/crm/bin/crmd", "which releases ever had this file, and where"),
        ("epmstore identify da39a3ee5e6b4b0d3255bfef95601890afd80709", "by its SHA-1 alone"),
        ("epmstore identify /mnt/found", "every file of a folder; what nobody shipped is named"),
    ],
)
@click.argument("what", metavar="FILE|SHA1|DIR", type=PATH)
def identify(session: Session, what: str) -> int:
    """Say who ever shipped a file, and when.

    Looks the contents up in every reference catalog of this store: application, path, first and
    last release. The name of a file does not matter. Exits with 1 if there is something that no
    vendor ever shipped. Of a folder, what each application shipped is summed up; -v names each
    file. Where a content was on this host: epmstore find SHA1.
    """
    known = session.workspace.origins
    files = 0
    unknown: list[str] = []
    shipped = None if session.json or session.verbose or not os.path.isdir(what) else _Shipped()
    for batch in _batches(_contents(known, what)):
        found = known.origins({info for _, info in batch})
        for file, info in batch:
            files += 1
            if shipped is None:
                _print_origins(session, file, info, found[info])
            else:
                shipped.add(found[info])
            if not found[info]:
                unknown.append(file or info.digest.hex())
    if session.json:
        shape = {"type": "summary", "app": None, "files": files}
        more = {"identified": files - len(unknown), "unknown": [*map(text_to_json, unknown)]}
        session.out.shape({**shape, **more})
    else:
        _print_summary(session, files, unknown, shipped)
    return 1 if unknown else 0


def _print_summary(
    session: Session, files: int, unknown: Sequence[str], shipped: "_Shipped | None"
) -> None:
    if shipped is not None:
        session.out.table(shipped.rows())
    if unknown:
        session.out.line(f"never shipped ({number(len(unknown))}):")
        for line in session.out.some([name(one) for one in unknown]):
            session.out.line(line)
    if files > 1:
        session.out.note(f"{number(files - len(unknown))} of {counted(files, 'file')} identified")
        if shipped is not None and files > len(unknown):
            session.out.note("file by file: -v or --json")


class _Shipped:
    """How many files of a folder each application shipped, and with which releases."""

    def __init__(self) -> None:
        self._files: Counter[str] = Counter()
        self._latest: Counter[str] = Counter()
        self._spans: dict[str, tuple[Release, Release]] = {}

    def add(self, found: Sequence[Origin]) -> None:
        """One file."""
        self._files.update({one.key for one in found})
        self._latest.update({one.key for one in found if one.is_latest})
        for one in found:
            first, last = self._spans.get(one.key, (one.first, one.last))
            self._spans[one.key] = (
                min(first, one.first, key=lambda release: release.version),
                max(last, one.last, key=lambda release: release.version),
            )

    def rows(self) -> list[tuple[str, str, str, str]]:
        """`crm  3,625 files  releases 1.0 (0) to 1.2 (2)  3,600 in the latest`, the most first."""
        return [
            (
                name(key),
                counted(count, "file"),
                _releases(*self._spans[key]),
                f"{number(self._latest[key])} in the latest",
            )
            for key, count in self._files.most_common()
        ]


def _contents(known: Identifier, what: str) -> Iterator[NamedContent]:
    """(file, content) of everything that is asked about. Raises NotFoundError, OSError."""
    if len(what) == 40 and set(what) <= set(string.hexdigits):
        found = known.with_digest(parse_digest(what.lower()))
        if not found:
            raise NotFoundError(f"no catalog has a content {what}", digest=what.lower())
        yield from ((None, info) for info in found)
        return
    mode = os.lstat(what).st_mode
    if stat.S_ISREG(mode):
        yield what, _content(what)
    elif stat.S_ISDIR(mode):
        for folder, folders, names in os.walk(what):
            folders.sort(key=os.fsencode)
            for one in sorted(names, key=os.fsencode):
                path = os.path.join(folder, one)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield path, _content(path)
    else:
        raise UsageError(f"{what!r} is neither a file nor a folder")


def _content(path: str) -> BlobInfo:
    with Path(path).open("rb") as file:
        return identify_stream(iter(lambda: file.read(PIECE), b""))


def _batches(contents: Iterator[NamedContent]) -> Iterator[list[NamedContent]]:
    batch: list[NamedContent] = []
    for one in contents:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _print_origins(
    session: Session, file: str | None, info: BlobInfo, found: Sequence[Origin]
) -> None:
    if session.json:
        for one in found:
            session.out.shape(vendorshapes.origin(file, info, one))
        return
    if found:
        session.out.line(f"{name(file or info.digest.hex())}:")
        for line in session.out.some([_origin(one) for one in found]):
            session.out.line(line)


def _origin(one: Origin) -> str:
    """`crm  bin/crmd  releases 10.1 (40) to 10.1.SP2 (41)`"""
    text = _releases(one.first, one.last)
    latest = ", the latest" if one.is_latest else ""
    withdrawn = f", withdrawn: {name(one.withdrawn)}" if one.withdrawn else ""
    return f"{name(one.key)}  {name(one.path)}  {text}{latest}{withdrawn}"


def _releases(first: Release, last: Release) -> str:
    if first.version == last.version:
        return f"release {name(first.title)}"
    return f"releases {name(first.title)} to {name(last.title)}"


@command(
    app=True,
    examples=[
        ("epmstore blame bin/crmd", "each change: version, time, release, who, and what else"),
    ],
)
@click.argument("path")
def blame(session: Session, path: str) -> None:
    """Show who changed a path, when, and to what.

    One paragraph for each recorded change, newest first: the version and the time in which it can
    have happened, who asked for it or how it was observed, which releases had what the path became,
    and what else changed with it. The last line says whether the path deviates now, and since when.
    """
    handle = session.handle()
    below = relative(path, handle.app.root, working_directory()) or ROOT
    try:
        found = handle.blame(below)
    except PathNotFoundError:
        found = []
    against = handle.baseline_status()
    now = next((one for one in against.deviations if one.path == below), None)
    if not found and now is None:
        handle.history(below)  # raises: there never was such a path
    titles = {one.version: name(one.title) for one in handle.releases.all()}
    revoked = handle.releases.revoked_contents()
    if session.json:
        for one in found:
            session.out.shape(vendorshapes.blamed(handle.app.key, below, one))
        deviation = None if now is None else shapes.deviation(now)
        session.out.shape({"type": "summary", "app": handle.app.key, "deviation": deviation})
        return
    for one in found:
        for line in _blamed(one, titles, revoked):
            session.out.line(line)
    session.out.line(f"now: {_now(against, below, now)}")


def _now(against: BaselineStatus, path: RelPath, now: DatedDeviation | None) -> str:
    """Whether a path is as it should be, and since when not."""
    baseline = "the newest version"
    if against.baseline == "release":
        baseline = f"release {name(title(against.release or 0, against.label))}"
    elif against.baseline == "accepted":
        baseline = f"the accepted version {against.accepted}"
    if now is None and path in against.excused:
        return f"not as in {baseline}, and accepted"
    if now is None:
        return f"as in {baseline}"
    if now.since is None:
        return f"{now.what}, not as in {baseline}; not recorded yet"
    when = f"version {now.since.version}, {local(now.since.time)}"
    return f"{now.what}, not as in {baseline} since {when}"


def _blamed(one: Blamed, titles: Mapping[int, str], revoked: Mapping[str, str]) -> Iterator[str]:
    record = one.info.record
    label = f" {name(one.info.label)!r}" if one.info.label else ""
    yield f"version {one.info.version}, {local(record.time)}: {one.what} by {_who(one)}{label}"
    if record.window is not None and one.info.kind == "drift":
        yield f"  between {local(record.window[0])} and {local(record.window[1])}"
    if one.entry is not None and one.entry.content is not None:
        digest = one.entry.content.digest.hex()
        yield f"  {digest}  {_shipped(one, titles)}"
        if digest in revoked:
            yield f"  withdrawn by its vendor: {name(revoked[digest])}"
    if one.others > 0:
        explained = words(one.explanation, lambda number: titles.get(number or 0, str(number)))
        said = f" ({explained})" if explained else ""
        more = ", ..." if one.others > SHOWN else ""
        named = f": {', '.join(map(name, one.with_[:SHOWN]))}{more}" if one.with_ else ""
        yield f"  with {counted(one.others, 'other path')}{said}{named}"


def _who(one: Blamed) -> str:
    """Who asked for a change; how drift was observed."""
    record = one.info.record
    if one.info.kind == "drift":
        return f"nobody that we know ({record.reason})"
    actor = record.actor or {}
    who = str(actor.get("sudo_user") or actor.get("user") or actor.get("uid") or "somebody")
    return f"{name(who)} ({record.reason})"


def _shipped(one: Blamed, titles: Mapping[int, str]) -> str:
    if not titles:
        return ""
    if not one.releases:
        return "no release had it here"
    parts = []
    for since, until in one.releases:
        last = max(titles) if until is None else until - 1
        first = titles.get(since, str(since))
        parts.append(first if since == last else f"{first} to {titles.get(last, last)}")
    return f"release {', '.join(parts)}"
