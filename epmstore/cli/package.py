"""Commands for packages as files: package build, show, files, diff, verify, unpack."""

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import click
import msgspec

from epmstore.atomic import read_named
from epmstore.catalog.diff import compare
from epmstore.catalog.packaging import Need, Offer, Package
from epmstore.cli.change_lines import print_changes, totals
from epmstore.cli.command import PATH, command
from epmstore.cli.output import counted, name, size
from epmstore.cli.session import Session
from epmstore.cli.summary import titled
from epmstore.clock import SystemClock
from epmstore.entryform import entry_to_form
from epmstore.errors import NoStoreError, NotFoundError, UsageError
from epmstore.package.draft import Completed
from epmstore.package.from_spec import build as build_candidate
from epmstore.package.inspection import Finding, Looked, look, verify_package
from epmstore.package.inspection import unpack as unpack_package
from epmstore.package.patch_base import PatchBase
from epmstore.package.ranges import describe
from epmstore.package.spec import LIMIT, read_spec
from epmstore.package.tables import PartsOf
from epmstore.refcat import naming
from epmstore.workspace import shapes

TEMPORARY = "/var/tmp"
"""Where copies of packages lie while they are looked at, unless TMPDIR says another place."""


@command(
    changes=True,
    examples=[
        ("epmstore package build crm.toml", "crm-4.1.0-1.candidate.epkg, here"),
        ("epmstore package build crm.toml --out dist", "in a folder"),
    ],
)
@click.option("--out", "out", metavar="DIR", type=PATH, default=".", help="Where it is written.")
@click.argument("spec", metavar="SPEC", type=PATH)
def build(session: Session, spec: str, out: str) -> None:
    """Build a candidate of a package.

    SPEC is a TOML file that says from which folders and archives a package is made, what it is
    called, what it needs, and what installing it takes; docs/vendors.md has all of it. Paths in it
    are relative to its folder. A candidate has no number yet: `release publish` gives it one.
    """
    path, folder = there(spec), folder_for(out)
    said = read_spec(read_named(path, LIMIT), name(spec))
    title = f"{said.package.product} {said.package.version}-{said.package.build}"
    if session.dry_run:
        session.out.note(f"would build {title}")
        return
    built = build_candidate(said, path.parent, folder, SystemClock(), session.progress())
    say_built(session, built, title)


def say_built(session: Session, built: Completed, title: str) -> None:
    """A candidate that was written."""
    packed = built.packed
    files = sum(entry.kind == "file" for entry in packed.release.entries)
    shape = {
        "type": "built",
        "app": packed.release.about.key,
        "file": shapes.text(str(built.path)),
        "version": packed.release.package.version,
        "build": packed.release.package.build,
        "files": files,
        "contents": packed.contents,
        "plain": packed.plain,
        "bytes": packed.size,
        "skipped": shapes.reasons(built.skipped),
    }
    made = f"{name(str(built.path))}, {size(packed.size)}"
    session.out.outcome(shape, f"built {title} of {counted(files, 'file')}: {made}")
    if built.skipped and not session.json:
        lines = [f"{name(path)} ({why})" for path, why in built.skipped]
        session.out.note(titled(session.out, "left out", lines))


@command(examples=[("epmstore package show crm-4.1.0-1.epkg", "what it is, needs and does")])
@click.argument("file", type=PATH)
def show(session: Session, file: str) -> None:
    """Show what a package is.

    What it needs, and what installing it takes, is shown too. Nothing is imported, and the
    signature is not looked at. To look at a patch package takes a store that has the release that
    it goes on from; that is so for all commands of `package`.
    """
    found = look(there(file), scratch(), session.progress(), finding(session))
    if session.json:
        session.out.shape(_shape(file, found))
        return
    for label, text in _lines(found):
        session.out.line(f"{label:<13}{text}")


def _shape(file: str, found: Looked) -> shapes.Shape:
    release = found.release
    return {
        "type": "package",
        "app": release.about.key,
        "uuid": None if found.is_candidate else release.about.app,
        "file": shapes.text(file),
        "candidate": found.is_candidate,
        "release": None if found.is_candidate else release.record.version,
        "since": None if found.since is None else found.since.version,
        "digest": release.digest,
        "files": sum(entry.kind == "file" for entry in release.entries),
        "bytes": found.size,
        "package": msgspec.to_builtins(release.package),
    }


def _lines(found: Looked) -> Iterator[tuple[str, str]]:
    release, package = found.release, found.release.package
    yield "package", f"{release.about.key} {name(found.title)}"
    if found.is_candidate:
        yield "candidate", "no release yet: its vendor numbers it"
    if found.since is not None:
        yield "patch of", name(naming.title(found.since.version, found.since.label))
    for label in ("summary", "packager", "url", "architecture", "build_time", "root"):
        if said := getattr(package, label):
            yield label.replace("_", " "), name(said)
    yield "digest", release.digest
    files = sum(entry.kind == "file" for entry in release.entries)
    yield "files", f"{files:,}, {size(found.size)} as a package"
    yield "licenses", ", ".join(map(name, package.licenses)) or "not said"
    yield "parts", ", ".join(part.name for part in package.parts) or "none"
    for label in ("requires", "conflicts"):
        for need in getattr(package, label):
            yield label, name(_need_text(need))
    for offer in package.provides:
        yield "provides", name(_offer_text(offer))
    yield from _installing(package)


def _installing(package: Package) -> Iterator[tuple[str, str]]:
    """What installing it takes beside its files."""
    for stage, script in package.scripts.items():
        yield "script", f"{stage}: {name(script.path)}, {script.failure}"
    for label in ("units", "links", "grants"):
        for one in getattr(package, label):
            yield label.removesuffix("s"), name(one.path)
    for parameter in package.parameters:
        yield "parameter", f"{parameter.name} ({parameter.type})"


def _need_text(need: Need) -> str:
    of = f"{need.of}: " if need.of is not None else ""
    return f"{of}{describe(need, need.app)}{' (optional)' if need.optional else ''}"


def _offer_text(offer: Offer) -> str:
    of = f"{offer.of}: " if offer.of is not None else ""
    what = f"library {offer.soname}" if offer.soname is not None else f"{offer.capability}"
    return f"{of}{what}{f' {offer.version}' if offer.version is not None else ''}"


@command(examples=[("epmstore package files crm-4.1.0-1.epkg --part client", "those of a part")])
@click.option("--part", metavar="PART", help="Only files of this part.")
@click.argument("file", type=PATH)
def files(session: Session, file: str, part: str | None) -> None:
    """List the files of a package.

    The columns are mode, size, class, part and path.
    """
    found = look(there(file), scratch(), session.progress(), finding(session))
    parts = PartsOf(found.release.package)
    rows = []
    for entry in found.release.entries:
        of = None if entry.kind == "directory" else parts.of(entry.path)
        if part is not None and of != part:
            continue
        if session.json:
            shape = {"type": "packaged", "app": found.release.about.key, "part": of}
            session.out.shape({**shape, **entry_to_form(entry)})
            continue
        held = "-" if entry.content is None else f"{entry.content.size:,}"
        target = f" -> {name(entry.target)}" if entry.target is not None else ""
        path = f"{name(entry.path)}{target}"
        rows.append((f"{entry.mode:04o}", held, entry.path_class, of or "-", path))
    session.out.table(rows, right=(1,))


@command(
    examples=[
        ("epmstore package diff crm-4.0.0-1.epkg crm-4.1.0-1.epkg", "what differs between two")
    ]
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there are differences.")
@click.argument("one", metavar="FILE", type=PATH)
@click.argument("two", metavar="FILE", type=PATH)
def diff(session: Session, one: str, two: str, exit_code: bool) -> int:
    """Show what differs between the files of two packages.

    Each line says A (added), M (modified) or D (removed), the path, and what of it differs.
    """
    old, new = (
        look(there(file), scratch(), session.progress(), finding(session)) for file in (one, two)
    )
    key = new.release.about.key
    before, after = ({e.path: e for e in found.release.entries} for found in (old, new))
    changes = list(compare(before, after).values())
    counts = print_changes(session, key, changes)
    if session.json:
        ends = {"from": old.title, "to": new.title, "clean": not changes}
        session.out.shape({"type": "compared", "app": key, **ends, **counts})
    session.out.note(totals(counts))
    return 1 if changes and exit_code else 0


@command(examples=[("epmstore package verify crm-4.1.0-1.epkg", "every byte of it")])
@click.argument("file", type=PATH)
def verify(session: Session, file: str) -> None:
    """Check a package by itself.

    Its lines, its contents, and what its tables for people say. Whether its signature counts, and
    how it goes on from what is here, `catalog verify` says.
    """
    found = verify_package(there(file), scratch(), session.progress(), finding(session))
    shape = _shape(file, found) | {"type": "sound"}
    shape |= {"contents": found.contents, "plain": found.plain}
    del shape["package"]
    session.out.outcome(
        shape,
        f"{name(file)}: a sound package, {found.release.about.key} {name(found.title)},"
        f" {counted(found.contents, 'content')}, {size(found.plain)}",
    )


@command(
    changes=True,
    examples=[("epmstore package unpack crm-4.1.0-1.epkg crm", "its files, in a new folder")],
)
@click.option("--part", metavar="PART", help="Only files of this part.")
@click.argument("file", type=PATH)
@click.argument("target", metavar="DIR", type=PATH)
def unpack(session: Session, file: str, target: str, part: str | None) -> None:
    """Write the files of a package into a new folder.

    They get no privileges: setuid bits and capabilities, and what group and others may write, are
    left out. Nothing is installed, and no script runs.
    """
    path, folder = there(file), Path(os.path.abspath(target))
    if session.dry_run:
        session.out.note(f"would unpack {name(file)} into {name(target)}")
        return
    done = unpack_package(
        path, folder, scratch(), SystemClock(), session.progress(), part, finding(session)
    )
    shape = {"type": "unpacked", "app": None, "target": shapes.text(str(folder))}
    session.out.outcome(
        {**shape, "files": done.files}, f"{counted(done.files, 'file')} in {name(str(folder))}"
    )


def folder_for(out: str) -> Path:
    """A folder that packages go to. Raises NotFoundError."""
    folder = Path(os.path.abspath(out))
    if not folder.is_dir():
        raise NotFoundError(f"{name(out)} is no folder", hint=f"make it: `mkdir -p {quote(out)}`")
    return folder


def there(text: str) -> Path:
    """A file that was named. Raises NotFoundError, UsageError."""
    path = Path(os.path.abspath(text))
    if not path.exists():
        raise NotFoundError(f"{name(text)} is not there")
    if path.is_dir():
        raise UsageError(f"{name(text)} is a folder")
    return path


def finding(session: Session) -> Finding:
    """The store, where there is one: asked for patch packages alone."""

    def find(path: Path) -> PatchBase | None:
        try:
            return session.workspace.packages.beside(path)
        except NoStoreError:
            return None

    return find


def scratch() -> Path:
    """Where copies lie meanwhile."""
    return Path(os.environ.get("TMPDIR", TEMPORARY))
