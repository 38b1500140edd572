"""`release publish`: a candidate becomes a release, and a package for hosts."""

import os
from pathlib import Path
from shlex import quote

import click

from epmstore.atomic import read_named
from epmstore.cli.command import PATH, command
from epmstore.cli.output import name, size
from epmstore.cli.release import say_published
from epmstore.cli.session import Session
from epmstore.errors import NotFoundError, UsageError
from epmstore.package.publish import PackageFile
from epmstore.refcat.signature import LIMIT
from epmstore.workspace import shapes
from epmstore.workspace.vendors import Published


@command(
    changes=True,
    examples=[
        ("epmstore release publish crm-4.1.0-1.candidate.epkg", "in the catalog of crm"),
        ("epmstore release publish crm-4.1.0-1.candidate.epkg --out dist", "and crm-4.1.0-1.epkg"),
        ("epmstore release publish CANDIDATE --out dist --sign vendor.key", "with a signature"),
        ("epmstore release publish CANDIDATE --out dist --patch-from 4.0.0-1", "and a patch"),
    ],
)
@click.option("--out", "out", metavar="DIR", type=PATH, help="Write the package of it there.")
@click.option("--sign", metavar="KEYFILE", type=PATH, help="Sign the package with this secret key.")
@click.option(
    "--patch-from",
    metavar="RELEASE,...",
    help="Write patches from these releases, too, for hosts that have them.",
)
@click.option("--after", metavar="RELEASE", help="The one that it follows, if not the newest one.")
@click.argument("candidate", metavar="CANDIDATE", type=PATH)
def publish(
    session: Session,
    candidate: str,
    out: str | None,
    sign: str | None,
    patch_from: str | None,
    after: str | None,
) -> None:
    """Publish a candidate of a package.

    It gets the next number in the catalog of its product, and its version and build as label. If
    nothing but the build differs from the newest release, nothing is published. With --out its
    package for hosts is written; one that is there already is never replaced, so that a run that
    was cut off may be run again. A patch has only what leads there from another release, and is
    taken by hosts that have that one.
    """
    if sign is not None and out is None:
        raise UsageError("--sign needs --out: the signature lies beside the package")
    bases = [one.strip() for one in (patch_from or "").split(",") if one.strip()]
    if patch_from is not None and (out is None or not bases):
        raise UsageError("--patch-from needs --out, and releases with commas between them")
    vendors = session.workspace.vendors
    path = Path(os.path.abspath(candidate))
    if not path.exists():
        raise NotFoundError(f"{name(candidate)} is not there")
    folder = None if out is None else Path(os.path.abspath(out))
    if folder is not None and not folder.is_dir():
        raise NotFoundError(
            f"{name(str(folder))} is no folder", hint=f"make it: `mkdir -p {quote(str(folder))}`"
        )
    secret = None if sign is None else read_named(Path(sign), LIMIT)
    published = vendors.publish(path, after=after, patch_from=bases, dry_run=session.dry_run)
    key = published.about.key
    say_published(session, key, published)
    if folder is not None and published.release is not None and not session.dry_run:
        _pack(session, published, published.release.version, folder, secret)


def _pack(
    session: Session, published: Published, number: int, folder: Path, secret: bytes | None
) -> None:
    """Write the package for hosts, and the patches that are wanted."""
    key = published.about.key
    if number in published.bases:
        session.out.warn(f"no patch from {published.label}: it is the release itself")
    for since in (None, *(base for base in published.bases if base != number)):
        made = session.workspace.vendors.pack(key, number, folder, since=since, secret=secret)
        _say_packed(session, key, made)


def _say_packed(session: Session, key: str, made: PackageFile) -> None:
    shape = {
        "type": "packed",
        "app": key,
        "release": made.release,
        "label": made.label,
        "since": made.since,
        "file": shapes.text(str(made.path)),
        "bytes": made.size,
        "signed": made.signed,
        "written": made.written,
    }
    signed = ", signed" if made.signed else ""
    done = "wrote" if made.written else "there already:"
    session.out.outcome(shape, f"{done} {name(str(made.path))}, {size(made.size)}{signed}")
