"""What an application's root is, file by file, to pass on; and reading what was passed on."""

import os
import platform
from pathlib import Path

import click
import msgspec

from epmstore.atomic import read_named, replace_read
from epmstore.cli.command import PATH, command
from epmstore.cli.findings import MEANING, withdrawn
from epmstore.cli.moments import local
from epmstore.cli.output import Output, counted, encode, name, number, size
from epmstore.cli.reportpage import page
from epmstore.cli.session import Session
from epmstore.entryform import Form
from epmstore.errors import UsageError
from epmstore.refcat.classify import OF_RELEASES
from epmstore.refcat.naming import title
from epmstore.refcat.rehearsal import rehearse
from epmstore.refcat.report import PRIVATE, read_written

LIMIT = 256 << 20
FORMATS = {".json": "json", ".html": "html", ".htm": "html", ".txt": "text"}
MODE = 0o600


@command(
    app=True,
    examples=[
        ("epmstore report", "for people, to the terminal"),
        ("epmstore report -o crm.html", "one page that needs nothing else; also .json, .txt"),
        ("epmstore report --preview --redact", "what would leave this host, before it does"),
        ("epmstore report read crm.json", "the vendor's side: beside the same catalog"),
    ],
)
@click.option("-o", "--output", metavar="FILE", type=PATH, help="Write to FILE, by its ending.")
@click.option("--release", metavar="RELEASE", help="Compare with this release.")
@click.option("--preview", is_flag=True, help="Only list what the report would tell.")
@click.option("--redact", is_flag=True, help="Hash the names that are this host's own.")
@click.argument("words", nargs=-1, metavar="[read FILE]")
def report(
    session: Session,
    output: str | None,
    release: str | None,
    preview: bool,
    redact: bool,
    words: tuple[str, ...],
) -> int:
    """Report on an application, to pass on; or read one.

    Host, application, catalog and history with their digests; every file with the release that
    first shipped it; all that deviates, and since when. Never contents. --redact hashes the names
    of host and root, and names and digests of what the vendor did not ship. `report read FILE.json`
    checks a report against the catalog in this store and says what it knows of the deviations.
    """
    if words:
        if len(words) != 2 or words[0] != "read" or output or preview or redact:
            raise UsageError("write: epmstore report read FILE.json")
        if not words[1]:
            raise UsageError("an empty name is no file")
        return _read(session, Path(words[1]))
    kind = _kind(output, session.json)
    handle = session.handle()
    number = None if release is None else handle.trees.find_release(release).version
    form = handle.report(platform.node(), number, redact=redact and not preview)
    if preview:
        _preview(session.out, form, redact=redact)
    elif output is None:
        if kind == "json":
            session.out.shape(form)
        else:
            for line in text(session.out, form):
                session.out.line(line)
    else:
        data = _rendered(session.out, form, kind)
        read = read_written if kind == "json" else bytes
        replace_read(Path(os.path.abspath(output)), data, read, MODE)
        session.out.note(f"{name(output)}: {size(len(data))}, {_told(form)}")
    return 1 if any(not one["accepted"] for one in form["deviations"]) else 0


def _kind(output: str | None, as_json: bool) -> str:
    if output is None:
        return "json" if as_json else "text"
    kind = FORMATS.get(os.path.splitext(output)[1].lower())
    if kind is None:
        raise UsageError(
            f"{output!r} does not say what to write",
            hint="name a file that ends in .json, .html, .txt",
        )
    return kind


def _rendered(out: Output, form: Form, kind: str) -> bytes:
    if kind == "json":
        return (encode(form) + "\n").encode()
    if kind == "html":
        return page(form).encode()
    every = Output(as_json=False, quiet=False, verbose=True)
    return ("\n".join(text(every, form)) + "\n").encode()


def text(out: Output, form: Form) -> list[str]:
    """For people; the list of files only with -v or in a file."""
    catalog, release, syscat = form["catalog"], form["release"], form["syscat"]
    lines = [
        f"{name(form['app'])} on {name(form['host'])}, {local(form['time'])}",
        f"root      {name(form['root'])}",
        f"catalog   {name(catalog['key'])} up to release {_title(form, catalog['release'])}"
        f", {catalog['digest']}",
        f"history   version {syscat['version']}, {syscat['head']}",
        f"release   {_title(form, release['release'])}:"
        f" {number(form['counts']['known'])} of {counted(form['files_total'], 'file')}",
    ]
    if release["revoked"] is not None:
        lines.append(f"          {withdrawn(release['revoked'])}")
    lines += [
        f"          {name(one['path'])} is {withdrawn(one['why'])}"
        for one in form.get("withdrawn", ())
    ]
    lines += ["", f"deviations ({number(len(form['deviations']))}):"]
    lines += out.some([_deviation(one, form) for one in form["deviations"]])
    lines += ["", "files by the release that first shipped them:"]
    for one in form["first_releases"]:
        first = "none" if one["first"] is None else _title(form, one["first"])
        lines.append(f"  {first:>14}  {number(one['files'])}")
    if out.limit is None:
        lines += ["", "every file (SHA-1, first release, finding, path):"]
        for one in form["files"]:
            first = "-" if one["first"] is None else one["first"]
            digest = one["digest"] or "-"
            lines.append(f"{digest:<40} {first!s:>5} {one['what']:<8} {name(one['path'])}")
    return lines


def _title(form: Form, release: int) -> str:
    return name(title(release, form.get("labels", {}).get(str(release))))


def _deviation(one: Form, form: Form) -> str:
    since = "not recorded yet"
    if one["since"] is not None:
        since = f"since version {one['since']}, {local(one['time'])}"
    release = f", release {_title(form, one['release'])}" if one["what"] in OF_RELEASES else ""
    accepted = ", accepted" if one["accepted"] else ""
    return f"{one['what']:<8} {name(one['path'])}  ({since}{release}{accepted})"


def _told(form: Form, *, hashed: bool = False) -> str:
    own = sum(one["what"] in PRIVATE for one in form["files"])
    by_hash = " (as hashes)" if hashed or form["redacted"] else ""
    return (
        f"{counted(len(form['files']), 'path')} with digest, size and mode, {number(own)} of them"
        f" not the vendor's{by_hash}; no contents"
    )


def _preview(out: Output, form: Form, *, redact: bool) -> None:
    """What would leave the host; of what is to be redacted, the names that are to be hashed."""
    own = [one["path"] for one in form["files"] if one["what"] in PRIVATE]
    if out.as_json:
        shape = {"type": "preview", "app": form["app"], "host": form["host"], "root": form["root"]}
        counts = {"files": len(form["files"]), "contents": 0}
        out.shape({**shape, **counts, "own": own, "redacted": redact})
        return
    how = ", as hashes" if redact else ""
    out.line(f"host and root: {name(form['host'])}, {name(form['root'])}{how}")
    out.line(
        f"digests of catalog and history; {counted(len(form['versions']), 'version')}, no labels"
    )
    out.line(_told(form, hashed=redact))
    if own:
        out.line(f"paths that are this host's own ({number(len(own))}){how}:")
        for line in out.some([name(path) for path in own]):
            out.line(line)


def _read(session: Session, path: Path) -> int:
    try:
        data = read_named(path, LIMIT)
        rehearse("report", data, str(path))
        form = msgspec.json.decode(data)
    except (ValueError, RecursionError, UsageError) as error:
        raise UsageError(f"{path} is no report: {error}", hint="it reads .json reports") from None
    found = session.workspace.read_report(form)
    known = found.known_here()
    if session.json:
        places = {
            where: [{"app": o.key, "path": o.path, "first": o.first.version} for o in origins]
            for where, origins in known.items()
        }
        shape = {"type": "report_read", "app": form["app"], "host": form["host"]}
        shape |= {"release": found.release.version, "deviations": form["deviations"]}
        session.out.shape({**shape, "known_here": places})
        return 1 if form["deviations"] else 0
    for line in text(session.out, form):
        session.out.line(line)
    session.out.line()
    session.out.line(f"the catalog is the same up to release {name(found.release.title)}")
    if found.latest is not None and found.latest.version > found.release.version:
        session.out.line(f"the host does not know release {found.release.version + 1} and later")
    for where, origins in known.items():
        first = origins[0]
        session.out.line(
            f"{name(where)}: known here as {name(first.path)} of {name(first.key)},"
            f" release {name(first.first.title)}"
        )
    strange = [d for d in form["deviations"] if d["what"] in MEANING and d["path"] not in known]
    session.out.note(f"{counted(len(strange), 'deviation')} that this catalog does not explain")
    return 1 if form["deviations"] else 0
