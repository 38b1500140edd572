"""Commands for packages in the making: package from-deb, from-release, from-app, edit, sbom."""

from collections.abc import Callable, Iterator

import click
import msgspec

from epmstore.catalog.classes import Patterns
from epmstore.catalog.packaging import Package
from epmstore.cli.command import PATH, command
from epmstore.cli.moments import selector
from epmstore.cli.output import counted, name
from epmstore.cli.package import finding, folder_for, say_built, scratch, there
from epmstore.cli.session import Session
from epmstore.cli.summary import titled
from epmstore.clock import SystemClock
from epmstore.errors import UsageError
from epmstore.package.debs import DebSaid
from epmstore.package.editing import Edits, edit_candidate
from epmstore.package.inspection import look
from epmstore.package.ranges import parse_capability, parse_need
from epmstore.package.repackaging import DebOptions, look_at_deb, repackage
from epmstore.package.repackaging import from_deb as make_from_deb
from epmstore.package.sbom import bill_of
from epmstore.refcat import packaging_form
from epmstore.relpath import parse_relpath
from epmstore.tree import Entry

_OUT = click.option(
    "--out", "out", metavar="DIR", type=PATH, default=".", help="Where it is written."
)
_VERSION = click.option(
    "--version", "version", metavar="VERSION", help="Its version, if that is not known."
)
_BUILD = click.option("--build", "build", metavar="N", type=int, help="The packaging's own number.")


@command(
    changes=True,
    examples=[
        ("epmstore package from-deb tree_2.1.0-1_amd64.deb --out dist", "as what it calls itself"),
        ("epmstore package from-deb web.deb --below usr --root /opt/web", "what is in usr/"),
    ],
)
@_OUT
@click.option("--product", metavar="KEY", help="The key of the product, if it is not its name.")
@click.option("--build", metavar="N", type=int, default=1, help="The packaging's own number.")
@click.option("--below", metavar="FOLDER", help="Only what lies in this folder of it.")
@click.option("--root", metavar="DIR", help="Where it proposes to live.")
@click.option("--state", metavar="PATTERN", multiple=True, help="Paths that are data.")
@click.option("--needed", is_flag=True, help="What it depends on has to be installed, too.")
@click.argument("file", type=PATH)
def from_deb(
    session: Session,
    file: str,
    out: str,
    product: str | None,
    build: int,
    below: str | None,
    root: str | None,
    state: tuple[str, ...],
    needed: bool,
) -> None:
    """Make a candidate of a package of Debian's kind.

    Its conffiles are configuration, what it depends on are optional needs of products of those
    names, and libraries are needed by their sonames. Its scripts are written for dpkg: they are
    named, and not taken over.
    """
    path, folder = there(file), folder_for(out)
    if below is not None:
        parse_relpath(below.strip("/"))
    options = DebOptions(
        product=product, build=build, below=below, root=root, state=state, needed=needed
    )
    if session.dry_run:
        _, said = look_at_deb(path, options)
        session.out.note(f"would make {_title(said.product, said.package)}")
        _say_left(session, said)
        return
    built, said = make_from_deb(path, folder, options, SystemClock(), session.progress())
    say_built(session, built, _title(said.product, said.package))
    _say_left(session, said)


def _say_left(session: Session, said: DebSaid) -> None:
    if session.json:
        for text in said.left_out:
            session.out.shape({"type": "left_out", "app": said.product, "what": text})
    elif said.left_out:
        session.out.note(titled(session.out, "not taken over", [*map(name, said.left_out)]))


@command(
    changes=True,
    examples=[
        ("epmstore package from-release crm 41 --out dist", "41 is published without a package"),
        ("epmstore package from-release crm 4.1.0 --version 4.1.0 --build 3", "as another build"),
    ],
)
@_OUT
@_VERSION
@_BUILD
@click.argument("key", metavar="KEY")
@click.argument("release", metavar="RELEASE")
def from_release(
    session: Session, key: str, release: str, out: str, version: str | None, build: int | None
) -> None:
    """Make a candidate of a release that is in the store.

    What it says of itself as a package is kept; a release that came without has its label as its
    version. `release publish` makes a package of a candidate.
    """
    releases = session.workspace.vendors.releases(key)
    number = releases.resolve(release)
    said, label = releases.package(number), releases.get(number).label
    known = _read(bytes(said or b""))
    version = version or (label if known is None else None)
    package = _package(known, version, build, f"release {releases.get(number).title}")
    entries = list(releases.tree(number))
    stream = session.workspace.vendors.contents
    patterns = releases.patterns_at(number)
    _repackage(session, key, entries, stream, package, patterns, out)


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore package from-app --app crm --version 4.1.0 --out dist", "as it was last seen"),
        ("epmstore package from-app 117 --app crm --build 7", "version 117"),
    ],
)
@_OUT
@_VERSION
@_BUILD
@click.argument("selector_", metavar="[VERSION]", required=False)
def from_app(
    session: Session, selector_: str | None, out: str, version: str | None, build: int | None
) -> None:
    """Make a candidate of what an application has.

    Of its newest version, or of the one that is named: programs and configuration, as they were
    recorded; data and secrets are left out. What is installed there says the rest, or --version.
    """
    handle = session.handle()
    tree = handle.trees.restorable(selector(selector_ or "latest"))
    key, known = session.workspace.packages.packaging(handle.app.key)
    package = _package(_read(known), version, build, f"{tree} of {handle.app.key}")
    _repackage(session, key, tree.entries(), tree.stream, package, handle.app.patterns, out)


def _repackage(
    session: Session,
    key: str,
    entries: list[Entry],
    stream: Callable[[Entry], Iterator[bytes]],
    package: Package,
    patterns: Patterns,
    out: str,
) -> None:
    folder = folder_for(out)
    title = _title(key, package)
    if session.dry_run:
        session.out.note(f"would make {title}")
        return
    built = repackage(
        key, entries, stream, package, patterns, folder, SystemClock(), session.progress()
    )
    say_built(session, built, title)


def _read(said: bytes) -> Package | None:
    """What a release says of itself, if it does."""
    return packaging_form.read(msgspec.Raw(said)) if said else None


def _title(key: str, package: Package) -> str:
    return f"{key} {package.version}-{package.build}"


def _package(known: Package | None, version: str | None, build: int | None, what: str) -> Package:
    """Raises UsageError where nothing says which version it is."""
    if known is None and version is None:
        raise UsageError(f"{what} does not say which version it is", hint="say it: --version 4.1.0")
    found = known or Package(version="0", build=1)
    said = {"version": version or found.version, "build": build or found.build}
    try:
        return msgspec.convert({**msgspec.to_builtins(found), **said}, Package)
    except msgspec.ValidationError:
        raise UsageError(
            f"'{version or found.version}-{build or found.build}' is no version and build that a"
            " package may have",
            hint="letters and digits, as in --version 4.1.0 --build 2",
        ) from None


@command(
    changes=True,
    examples=[
        ("epmstore package edit crm.candidate.epkg --tag beta --need 'libpay>=3'", "it says more"),
        ("epmstore package edit crm.candidate.epkg --part doc=share/doc", "files of a part"),
    ],
)
@click.option("--tag", "tags", metavar="WORD", multiple=True, help="A word for people.")
@click.option("--no-tag", "no_tags", metavar="WORD", multiple=True, help="Without this word.")
@click.option(
    "--part", "parts", metavar="PART=PATH", multiple=True, help="A file or folder is of a part."
)
@click.option("--need", "needs", metavar="NEED", multiple=True, help="A product that it needs.")
@click.option(
    "--need-capability", "labels", metavar="NEED", multiple=True, help="A capability that it needs."
)
@click.option("--no-need", "no_needs", metavar="NAME", multiple=True, help="Without this need.")
@click.option("--summary", metavar="TEXT", help="What it is, in a line.")
@click.option("--root", metavar="DIR", help="Where it proposes to live.")
@click.argument("file", type=PATH)
def edit(
    session: Session,
    file: str,
    tags: tuple[str, ...],
    no_tags: tuple[str, ...],
    parts: tuple[str, ...],
    needs: tuple[str, ...],
    labels: tuple[str, ...],
    no_needs: tuple[str, ...],
    summary: str | None,
    root: str | None,
) -> None:
    """Change what a candidate says.

    Its files stay as they were built. Only a candidate can be edited: what was published never
    changes.
    """
    edits = Edits(
        tags=tags,
        no_tags=no_tags,
        parts=tuple(map(_part, parts)),
        needs=(*map(parse_need, needs), *map(parse_capability, labels)),
        no_needs=no_needs,
        summary=summary,
        root=root,
    )
    if edits == Edits():
        raise UsageError("nothing is to be changed", hint="--tag, --part, --need and others say it")
    path = there(file)
    done = edit_candidate(path, edits, SystemClock(), session.progress(), dry_run=session.dry_run)
    if done is None:
        session.out.note(f"would change {name(str(path))}")
        return
    release = done.packed.release
    say_built(session, done, _title(release.about.key, release.package))


def _part(text: str) -> tuple[str, str]:
    part, sign, path = text.partition("=")
    if not (part and sign and path):
        raise UsageError(f"{text!r} is no part and path", hint="as in --part doc=share/doc")
    return path, part


@command(examples=[("epmstore package sbom crm-4.1.0-1.epkg", "for whoever audits it")])
@click.argument("file", type=PATH)
def sbom(session: Session, file: str) -> None:
    """Print what is in a package, as CycloneDX.

    The document is JSON, version 1.6: the product, its files with their digests, and what it
    needs. It is the same whenever it is made of the same release.
    """
    found = look(there(file), scratch(), session.progress(), finding(session))
    text = msgspec.json.format(msgspec.json.encode(bill_of(found.release)), indent=2).decode()
    session.out.line(text)
    files = sum(entry.content is not None for entry in found.release.entries)
    needs = len(found.release.package.requires)
    session.out.note(f"{counted(files, 'file')}, {counted(needs, 'need')}")
