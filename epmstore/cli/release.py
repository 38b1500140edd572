"""Commands of a vendor: release init, set, add, list, show, diff, revoke."""

import re
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from epmstore.catalog.appcat import check_key
from epmstore.catalog.classes import LISTS, Patterns
from epmstore.catalog.model import AboutRecord
from epmstore.catalog.selector import parse_selector
from epmstore.cli.apps import class_options
from epmstore.cli.change_lines import print_changes, totals
from epmstore.cli.command import PATH, command
from epmstore.cli.moments import local
from epmstore.cli.output import counted, name
from epmstore.cli.record import check_label
from epmstore.cli.session import Session
from epmstore.cli.summary import titled
from epmstore.digest import parse_digest
from epmstore.errors import (
    AppNotFoundError,
    InvalidNameError,
    NotFoundError,
    UsageError,
    VersionNotFoundError,
)
from epmstore.refcat.releases import Release, Releases
from epmstore.refcat.requires import describe
from epmstore.relpath import RelPath, parse_relpath
from epmstore.workspace import shapes
from epmstore.workspace.vendors import Published, Source

_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


def catalog_shape(about: AboutRecord, releases: Releases) -> shapes.Shape:
    latest = releases.latest()
    return {
        "type": "refcat",
        "app": about.key,
        "uuid": about.app,
        "name": about.name,
        "releases": len(releases.all()),
        "latest": None if latest is None else latest.version,
        "label": None if latest is None else latest.label,
        "head": releases.head(),
        **{kind: list(getattr(about.patterns, kind)) for kind in LISTS},
    }


def release_shape(key: str, release: Release, before: int | None) -> shapes.Shape:
    """`before`: the release that it follows in its line."""
    return {
        "type": "release",
        "app": key,
        "release": release.version,
        "label": release.label,
        "formerly": release.formerly,
        "after": before,
        "time": release.time,
        "digest": release.digest,
        "tree": release.tree,
        "added": release.counts.added,
        "modified": release.counts.modified,
        "removed": release.counts.removed,
        "revoked": release.revoked,
        "requires": [msgspec.structs.asdict(one) for one in release.requires],
    }


@command(
    changes=True,
    examples=[
        ("epmstore release init crm --name 'Customer records'", "begin its catalog"),
        ("epmstore release init crm --config 'etc/' --state 'data/'", "and say what is whose"),
    ],
)
@class_options
@click.option("--name", "title", metavar="TEXT", help="What the product is called.")
@click.option(
    "--uuid",
    metavar="UUID",
    help="Its UUID; else that of the application registered here, or a new one.",
)
@click.argument("key")
def init(
    session: Session, key: str, title: str | None, uuid: str | None, **patterns: tuple[str, ...]
) -> None:
    """Begin the reference catalog of an application.

    A vendor's store needs no root for the application. The patterns travel in the catalog: they are
    the vendor's word on which paths are configuration, data or secret on every host.
    """
    check_label(title)
    vendors = session.workspace.vendors
    if session.dry_run:
        check_key(key)
        session.out.note(f"would begin the catalog of {key}")
        return
    about = vendors.init(key, name=title, uuid=uuid, patterns=Patterns(**patterns))
    shape = catalog_shape(about, vendors.releases(key))
    session.out.outcome(shape, f"{key}: catalog begun, UUID {about.app}")
    session.out.note(f"next: epmstore release add {key} FOLDER|ARCHIVE --label 1.0")


@command(
    changes=True,
    examples=[("epmstore release set crm --config 'etc/*.conf'", "one pattern more, from now on")],
)
@class_options
@click.option("--name", "title", metavar="TEXT", help="What the product is called.")
@click.argument("key")
def set_(session: Session, key: str, title: str | None, **patterns: tuple[str, ...]) -> None:
    """Add patterns to a catalog, or name it anew.

    Releases that are published keep the classes that they were published with.
    """
    check_label(title)
    vendors = session.workspace.vendors

    def change(about: AboutRecord) -> AboutRecord:
        lists = {
            kind: (*known, *(p for p in patterns[kind] if p not in known))
            for kind in LISTS
            for known in [getattr(about.patterns, kind)]
        }
        return replace(about, name=title or about.name, patterns=Patterns(**lists))

    if session.dry_run:
        vendors.releases(key)
        session.out.note(f"would say anew what the catalog of {key} is about")
        return
    about = vendors.describe(key, change)
    session.out.outcome(catalog_shape(about, vendors.releases(key)), f"{key}: catalog changed")


@command(
    changes=True,
    examples=[
        ("epmstore release add crm build/crm-41 --label 41", "a folder"),
        ("epmstore release add crm crm-41.tar.gz --below crm-41", "what is in a folder of it"),
        ("epmstore release add pg postgresql-15_*.deb --below usr/lib/postgresql/15", "a package"),
        ("epmstore release add crm latest --label 41", "what was recorded of the application"),
        ("epmstore release add crm crm-4.2.16 --label 4.2.16 --after 4.2.15", "of another line"),
        ("epmstore release add crm b --requires 'server>=40' --requires 'a.pdb -> a.exe'", "needs"),
    ],
)
@click.option("--label", metavar="TEXT", help="What people call it, such as 10.1.SP2.")
@click.option("--after", metavar="RELEASE", help="The one that it follows, if not the newest one.")
@click.option("--requires", metavar="NEED", multiple=True, help="What must be there; see below.")
@click.option("--below", metavar="PATH", help="Of each source only what is below this folder.")
@click.argument("key")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=PATH)
def add(
    session: Session,
    key: str,
    sources: tuple[str, ...],
    label: str | None,
    after: str | None,
    requires: tuple[str, ...],
    below: str | None,
) -> None:
    """Publish a release.

    SOURCE is a folder, an archive (tar, also compressed; zip; deb), or a version of the application
    KEY that is recorded here. Several are laid over each other. The tree is compared with the
    newest release, and the difference becomes the next one; if there is none, nothing is published.
    What is published never changes.

    A vendor who maintains several lines says with --after which release this one follows: 4.2.16,
    published after 5.0, follows 4.2.15. What is newer and older goes by that.

    A NEED is 'server' (the application is installed), 'server>=40,<=42' (with such a release),
    'a.pdb -> a.exe' (the one component needs exactly the other), or a SHA-1; with '?' at its end it
    is optional. Each release says all that it needs.
    """
    source = _source(session, key, sources, below)
    published = session.workspace.vendors.add(
        key,
        source,
        label=check_label(label),
        after=after,
        requires=requires,
        dry_run=session.dry_run,
    )
    say_published(session, key, published)


def _source(session: Session, key: str, given: Sequence[str], below: str | None) -> Source:
    paths = [Path(text) for text in given]
    missing = [path for path in paths if not path.exists()]
    if not missing:
        try:
            top = None if below is None else parse_relpath(below.strip("/"))
        except InvalidNameError as error:
            raise UsageError(error.message) from None
        return Source(paths=tuple(paths), below=top)
    if len(given) > 1 or below is not None:
        raise NotFoundError(f"{name(str(missing[0]))} is not there")
    try:
        handle = session.workspace.app(key)
        version = handle.trees.version(parse_selector(given[0]).text)
    except (UsageError, AppNotFoundError, VersionNotFoundError) as error:
        if isinstance(error, VersionNotFoundError) and parse_selector(given[0]).base != "tag":
            raise
        raise NotFoundError(
            f"{name(given[0])} is not there",
            hint=f"a folder, an archive, or a version of {key} where that is recorded",
        ) from None
    return Source(app=handle.app.uuid, version=version)


def say_published(session: Session, key: str, published: Published) -> None:
    """What publishing came to."""
    counts, release = published.counts, published.release
    shape = {
        "type": "published",
        "app": key,
        "changed": published.changed,
        "dry_run": session.dry_run,
        "release": None if release is None else release.version,
        "label": published.label if published.changed else release and release.label,
        "files": published.files,
        "added": counts.added,
        "modified": counts.modified,
        "removed": counts.removed,
        "skipped": shapes.reasons(published.skipped),
        "config": list(published.config),
    }
    session.out.outcome(shape, f"{key}: {_published_text(published, dry=session.dry_run)}")
    if published.config and not session.json:
        lines = [f"--config {name(pattern)}" for pattern in published.config]
        session.out.note(titled(session.out, "configuration, as the packages say", lines))
    if published.skipped and not session.json:
        lines = [f"{name(path)} ({why})" for path, why in published.skipped]
        session.out.note(titled(session.out, "left out", lines))


def _published_text(published: Published, *, dry: bool) -> str:
    release, counts = published.release, published.counts
    if not published.changed:
        assert release is not None, "it is the same as one"
        return f"nothing differs from release {_title(release)}: nothing was published"
    numbers = f"{counts.added:,} added, {counts.modified:,} modified, {counts.removed:,} removed"
    files = counted(published.files, "file")
    if release is None or dry:
        label = f" ({name(published.label)})" if published.label else ""
        return f"would publish a release{label} of {files}: {numbers}"
    return f"published release {_title(release)} of {files}: {numbers}"


def _title(release: Release) -> str:
    """`10.1.SP2 (7)`"""
    return name(release.title)


@command(
    examples=[
        ("epmstore release list", "every catalog of this store"),
        ("epmstore release list crm", "the releases of one application, newest first"),
    ]
)
@click.argument("key", required=False)
def list_(session: Session, key: str | None) -> None:
    """List catalogs, or the releases of one.

    The numbers are paths added (+), modified (~) and removed (-).
    """
    vendors = session.workspace.vendors
    if key is None:
        _list_catalogs(session)
        return
    known = vendors.releases(key)
    releases, lines = list(reversed(known.all())), known.lines()
    if session.json:
        for release in releases:
            session.out.shape(release_shape(key, release, lines.before(release.version)))
        return
    if not releases:
        session.out.note(f"{key}: nothing is released yet")
    rows = [_row(release, known) for release in releases]
    session.out.table(rows, right=(0,))


def _list_catalogs(session: Session) -> None:
    vendors = session.workspace.vendors
    rows = []
    for about in vendors.catalogs():
        releases = vendors.releases(about.app)
        if session.json:
            session.out.shape(catalog_shape(about, releases))
        latest = releases.latest()
        newest = "-" if latest is None else f"latest {_title(latest)}"
        title = name(about.name) if about.name else ""
        rows.append((about.key, counted(len(releases.all()), "release"), newest, title))
    if not session.json:
        session.out.table(rows)
        if not rows:
            session.out.note("no reference catalog; begin one: epmstore release init KEY")


def _row(release: Release, known: Releases) -> tuple[str, ...]:
    counts = release.counts
    signs = (("+", counts.added), ("~", counts.modified), ("-", counts.removed))
    text = name(release.label) if release.label else ""
    if release.revoked is not None:
        text += f"  [revoked: {name(release.revoked)}]"
    if release.after is not None:
        text += f"  [follows {_title(known.get(release.after))}]"
    if release.formerly:
        text += f"  [published as {name(release.formerly)}]"
    changes = " ".join(f"{sign}{count}" for sign, count in signs if count)
    return (str(release.version), local(release.time), changes, text.lstrip())


@command(
    examples=[
        ("epmstore release show crm latest", "what it is, what it needs, and its files"),
        ("epmstore release show crm 41 --template", "its whole tree, as a template"),
        ("epmstore release show crm 41 --patch --from 39", "what leads to it from 39"),
    ]
)
@click.option("--template", is_flag=True, help="Print the whole tree as one JSON object.")
@click.option("--patch", is_flag=True, help="Print the difference, with preconditions, as one.")
@click.option("--from", "start", metavar="RELEASE", help="With --patch: from this one.")
@click.argument("key")
@click.argument("release", default="latest")
def show(
    session: Session, key: str, release: str, template: bool, patch: bool, start: str | None
) -> None:
    """Show one release.

    RELEASE is a number, latest, latest~1, a label, or a version: its newest build. An application
    template is the last word on what a release looks like; a patch template says for each path what
    must be there before and what is there afterwards.
    """
    if template and patch:
        raise UsageError("--template and --patch are two documents: ask for one")
    if start is not None and not patch:
        raise UsageError("--from goes with --patch")
    vendors = session.workspace.vendors
    releases = vendors.releases(key)
    number = releases.resolve(release)
    if template:
        session.out.shape(vendors.template(key, number))
    elif patch:
        first = None if start is None else releases.resolve(start)
        session.out.shape(vendors.patch(key, number, first))
    elif session.json:
        shape = release_shape(key, releases.get(number), releases.lines().before(number))
        session.out.shape(shape)
    else:
        _show(session, key, releases, releases.get(number))


def _show(session: Session, key: str, releases: Releases, release: Release) -> None:
    out = session.out
    entries = list(releases.tree(release.version))
    missing = len(releases.missing(entries))
    out.line(f"release    {key} {_title(release)}")
    if release.formerly:
        out.line(f"published as {name(release.formerly)}; the label was put right since")
    before = releases.lines().before(release.version)
    if before is not None:
        out.line(f"follows    {_title(releases.get(before))}")
    out.line(f"time       {local(release.time)}")
    out.line(f"digest     {release.digest}")
    if release.revoked is not None:
        out.line(f"revoked    {name(release.revoked)}")
    for one in release.requires:
        out.line(f"requires   {describe(one)}")
    stored = "all stored here" if not missing else f"contents of {missing:,} not stored here"
    out.line(f"files      {sum(e.kind == 'file' for e in entries):,}, {stored}")
    out.line(
        f"changes    {release.counts.added:,} added, {release.counts.modified:,} modified,"
        f" {release.counts.removed:,} removed"
    )
    out.note(f"its files: epmstore ls release:number:{release.version}")


@command(
    examples=[
        ("epmstore release diff crm 40..41", "what release 41 changed"),
        ("epmstore release diff crm 10.1..10.1.SP2 bin", "by labels, below bin"),
    ]
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there are differences.")
@click.argument("key")
@click.argument("range", metavar="A..B")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def diff(session: Session, key: str, range: str, paths: tuple[str, ...], exit_code: bool) -> int:
    """Show what differs between two releases.

    Each line says A (added), M (modified) or D (removed), the path, and what of it differs.
    """
    releases = session.workspace.vendors.releases(key)
    one, two = _range(releases, range)
    scope = [RelPath(path.strip("/")) for path in paths]
    changes = session.workspace.vendors.diff(key, one, two, scope)
    counts = print_changes(session, key, changes)
    if session.json:
        ends = {"from": one, "to": two, "clean": not changes}
        session.out.shape({"type": "summary", "app": key, **ends, **counts})
    else:
        session.out.note(totals(counts))
    return 1 if changes and exit_code else 0


def _range(releases: Releases, text: str) -> tuple[int, int]:
    """Labels may have dots of their own: each `..` is tried."""
    for found in re.finditer(r"\.\.", text):
        first, second = text[: found.start()], text[found.end() :]
        try:
            return releases.resolve(first), releases.resolve(second or "latest")
        except NotFoundError:
            continue
    if ".." not in text:
        raise UsageError(f"{text!r} is not a range", hint="a range is written as 40..41")
    first, _, second = text.partition("..")
    return releases.resolve(first), releases.resolve(second or "latest")


@command(
    changes=True,
    examples=[
        ("epmstore release relabel crm number:41 10.1.SP2", "it was published with a wrong one"),
        ("epmstore release relabel crm 10.1.SP22 --none", "it has none from now on"),
    ],
)
@click.option("--none", "none", is_flag=True, help="The release has no label from now on.")
@click.argument("key")
@click.argument("release")
@click.argument("label", required=False)
def relabel(session: Session, key: str, release: str, label: str | None, none: bool) -> None:
    """Put the label of a release right.

    A record is appended: what was published stays as it is, and the label that it was published
    with is still shown. From then on only the new label names the release. A label names one
    release.
    """
    if none == (label is not None):
        raise UsageError("name the label, or say --none")
    wanted = check_label(label)
    before = session.workspace.vendors.relabel(key, release, wanted, dry_run=session.dry_run)
    shape = {
        "type": "relabelled",
        "app": key,
        "release": before.version,
        "from": before.label,
        "to": wanted,
        "dry_run": session.dry_run,
    }
    would = "would be" if session.dry_run else "is"
    now = f"{would} labelled {name(wanted)}" if wanted else f"{would} without a label"
    session.out.outcome(shape, f"{key}: release {before.version} {now}, was {_title(before)}")


@command(
    changes=True,
    examples=[
        ("epmstore release revoke crm 41 --reason 'loses orders'", "hosts warn from then on"),
        ("epmstore release revoke crm da39a3ee5e6b4b0d3255bfef95601890afd80709", "one component"),
        ("epmstore release revoke crm 41 --take-back", "it was all right after all"),
    ],
)
@click.option("--reason", metavar="TEXT", default="", help="What hosts are told.")
@click.option("--take-back", is_flag=True, help="It is not withdrawn any more.")
@click.argument("key")
@click.argument("what", metavar="RELEASE|SHA1")
def revoke(session: Session, key: str, what: str, reason: str, take_back: bool) -> None:
    """Withdraw a release, or one component wherever it is.

    A record is appended: what was published stays as it is, and hosts that have the catalog warn.
    """
    vendors = session.workspace.vendors
    digest = parse_digest(what.lower()) if _SHA1.fullmatch(what) else None
    known = vendors.releases(key)
    release = None if digest is not None else known.resolve(what)
    if not session.dry_run:
        vendors.revoke(key, release=release, digest=digest, reason=reason, revoked=not take_back)
    shape = {
        "type": "revoked",
        "app": key,
        "release": release,
        "digest": None if digest is None else digest.hex(),
        "revoked": not take_back,
        "reason": reason,
        "dry_run": session.dry_run,
    }
    would = "would be " if session.dry_run else ""
    thing = (
        f"release {_title(known.get(release))}"
        if release is not None
        else f"component {digest.hex() if digest is not None else what}"
    )
    word = "not withdrawn any more" if take_back else "withdrawn"
    session.out.outcome(shape, f"{key}: {thing} {would}{word}")
