"""`catalog convert`: catalogs as the founding documents drew them."""

import os
from pathlib import Path

import click

from epmstore.atomic import read_named
from epmstore.cli.command import PATH, command
from epmstore.cli.output import counted, encode, name
from epmstore.cli.session import Session
from epmstore.cli.summary import titled
from epmstore.errors import DamagedError, NotFoundError, UsageError
from epmstore.refcat.converting import unresolved
from epmstore.refcat.founding import Founding, FoundingVersion, read_founding
from epmstore.refcat.rehearsal import rehearse
from epmstore.relpath import to_json
from epmstore.workspace import shapes

LIMIT = 64 << 20


@command(
    changes=True,
    examples=[
        ("epmstore catalog convert envision_server.refcat", "in plain form, one version a line"),
        ("epmstore catalog convert old.refcat --into crm --from /srv/builds", "as releases of crm"),
    ],
)
@click.option("--into", "key", metavar="KEY", help="Publish the versions in this catalog.")
@click.option(
    "--from",
    "sources",
    metavar="SOURCE",
    multiple=True,
    type=PATH,
    help="With --into: a folder or an archive that has contents.",
)
@click.argument("file", type=PATH)
def convert(session: Session, file: str, key: str | None, sources: tuple[str, ...]) -> None:
    """Read a catalog of the founding documents' forms.

    That is, an object of "version" and "components" with a list of paths for each digest; several
    of them one after the other; or the sketch with repeated keys and missing commas. Each liberty
    that is taken is named with its line. Printed is one version a line. With --into they are
    published: for that the contents have to be at hand, because such a catalog has neither SHA-256
    nor size.
    """
    if sources and key is None:
        raise UsageError("--from goes with --into")
    found = read_founding(_read(file))
    if key is None:
        for version in found.versions:
            if session.json:
                session.out.shape({"type": "plain", "app": None, **_plain(version)})
            else:
                session.out.raw(encode(_plain(version)).encode() + b"\n")
    releases: list[int] = []
    if key is not None and not session.dry_run:
        paths = [Path(os.path.abspath(source)) for source in sources]
        _check_there(paths)
        releases = session.workspace.vendors.convert(key, found.versions, paths)
    _report(session, key, found, releases)


def _read(file: str) -> str:
    try:
        data = read_named(Path(file), LIMIT)
        rehearse("founding", data, name(file))
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{name(file)} is not UTF-8") from None
    except FileNotFoundError:
        raise NotFoundError(f"{name(file)} is not there") from None
    except DamagedError as error:
        raise UsageError(error.message) from None


def _check_there(paths: list[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"{name(str(path))} is not there")


def _plain(version: FoundingVersion) -> shapes.Shape:
    components = {d: [to_json(path) for path in paths] for d, paths in version.components.items()}
    return {"version": version.version, "components": components}


def _report(session: Session, key: str | None, found: Founding, releases: list[int]) -> None:
    lost = unresolved(found.versions)
    shape = {
        "type": "converted",
        "app": key,
        "versions": len(found.versions),
        "releases": releases,
        "repairs": [{"line": one.line, "what": one.what} for one in found.repairs],
        "unresolved": [one.digest for one in lost],
        "dry_run": session.dry_run,
    }
    if session.json:
        session.out.shape(shape)
        return
    if found.repairs:
        lines = [f"line {one.line}: {one.what}" for one in found.repairs]
        session.out.note(titled(session.out, "repaired", lines))
    if lost:
        session.out.warn(f"{counted(len(lost), 'digest')} cannot be a SHA-1: {lost[0].digest}")
    versions = counted(len(found.versions), "version")
    if key is None:
        session.out.note(f"{versions} read")
    elif session.dry_run:
        session.out.note(f"{versions} would be published in the catalog of {key}")
    else:
        session.out.line(f"{key}: {versions} read, {counted(len(releases), 'release')} published")
