"""Commands about single contents."""

import os
from pathlib import Path

import click

from epmstore.cli.command import PATH, command
from epmstore.cli.output import counted, name, size
from epmstore.cli.session import Session
from epmstore.digest import BlobInfo, identify_stream, parse_address
from epmstore.errors import ConflictError, NotFoundError, UsageError

DIFFERENT = 1
PIECE = 1 << 20


def _shape(kind: str, info: BlobInfo) -> dict[str, object]:
    return {
        "type": kind,
        "app": None,
        "digest": info.digest.hex(),
        "sha256": info.sha256.hex(),
        "size": info.size,
    }


@command(
    changes=True,
    examples=[("epmstore blob put crmd", "prints what sha1sum would print")],
)
@click.argument("file", type=PATH)
def put(session: Session, file: str) -> None:
    """Store a file and print its SHA-1.

    A content that is there already is not stored again. No version needs it: the next gc may take
    it, unless a snapshot records the same content before.
    """
    path = Path(os.path.abspath(file))
    if session.dry_run:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no regular file")
        with path.open("rb") as stream:
            info = identify_stream(iter(lambda: stream.read(PIECE), b""))
    else:
        info = session.workspace.blobs.put(path)
    if session.json:
        session.out.shape({**_shape("blob", info), "dry_run": session.dry_run})
    else:
        session.out.line(info.digest.hex())


@command(
    changes=True,
    examples=[
        ("epmstore blob get da39a3ee5e6b4b0d3255bfef95601890afd80709 empty", "into a new file"),
    ],
)
@click.argument("sha1")
@click.argument("path", type=PATH)
def get(session: Session, sha1: str, path: str) -> None:
    """Write a stored content to a file.

    The bytes are checked on the way; PATH is complete or not there.
    """
    digest = parse_address(sha1)
    blobs = session.workspace.blobs
    info = blobs.stat(digest).info
    where = Path(os.path.abspath(path))
    if not session.dry_run:
        blobs.get(digest, where)
    elif os.path.lexists(where):
        raise ConflictError(f"{where} is there already", hint="name a new file", file=str(where))
    elif not where.parent.is_dir():
        raise NotFoundError(f"there is no folder {where.parent}", hint="make it first")
    would = "would write" if session.dry_run else "wrote"
    shape = {**_shape("blob", info), "dry_run": session.dry_run}
    session.out.outcome(shape, f"{would} {size(info.size)} to {name(path)}")


@command(
    examples=[
        (
            "epmstore blob compare da39a3ee5e6b4b0d3255bfef95601890afd80709 /etc/motd",
            "exit code 0: the same, 1: different",
        ),
    ],
)
@click.argument("sha1")
@click.argument("path", type=PATH)
def compare(session: Session, sha1: str, path: str) -> int:
    """Compare a file with a stored content.

    Byte by byte, not by digest. Exits with 1 if they differ.
    """
    same = session.workspace.blobs.compare(parse_address(sha1), Path(os.path.abspath(path)))
    if session.json:
        shape = {"type": "comparison", "app": None, "digest": sha1.lower(), "same": same}
        session.out.shape(shape)
    else:
        session.out.line("the same" if same else "different")
    return 0 if same else DIFFERENT


@command(
    examples=[
        ("epmstore blob stat da39a3ee5e6b4b0d3255bfef95601890afd80709", "size, form, versions"),
    ],
)
@click.argument("sha1")
def stat(session: Session, sha1: str) -> None:
    """Show how a content is stored and who needs it.

    Its size, how many bytes it takes, in which kind of frame, and the versions that have it.
    """
    found = session.workspace.blobs.stat(parse_address(sha1))
    versions = [{"app": app, "version": version} for app, version in found.versions]
    if session.json:
        more = {
            "stored_bytes": found.stored_bytes,
            "kind": found.kind,
            "base": None if found.base is None else found.base.hex(),
            "versions": versions,
        }
        session.out.shape({**_shape("blob", found.info), **more})
        return
    rows = [
        ("sha1", found.info.digest.hex()),
        ("sha256", found.info.sha256.hex()),
        ("size", f"{size(found.info.size)}, {size(found.stored_bytes)} stored"),
        ("kind", found.kind),
    ]
    if found.base is not None:
        rows.append(("made against", found.base.hex()))
    rows.append(("needed by", counted(len(versions), "version")))
    session.out.table(rows)
    for line in session.out.some([f"{v['app']} {v['version']}" for v in versions]):
        session.out.line(line)
