"""`purge`: the command that destroys."""

import re
from typing import Any

import click

from epmstore.care.purge import Purged
from epmstore.cli.command import PATH, command
from epmstore.cli.output import counted, name
from epmstore.cli.paths import scope
from epmstore.cli.session import Session
from epmstore.cli.summary import titled
from epmstore.digest import BlobInfo, Digest, Sha256, parse_address
from epmstore.errors import UsageError
from epmstore.relpath import RelPath, to_json

_ADDRESS = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore purge etc/key.pem --dry-run", "what it would hit"),
        ("epmstore purge etc/key.pem --reason 'a private key'", "all that the path ever held"),
        ("epmstore purge 0a4d55a8d778e5022fab701977c5d840bbc486d0", "one content, wherever it was"),
    ],
)
@click.option("--reason", metavar="TEXT", help="Why, for the history.")
@click.argument("what", metavar="SHA1|SHA256|PATH", type=PATH)
def purge(session: Session, what: str, reason: str | None) -> None:
    """Destroy a recorded secret, everywhere in the store.

    The content goes from packs, the pack log, the quarantine, and from copies when they are
    brought up to date; what was stored as a difference to it is stored in full. The fact stays: its
    versions still list it, restore everything else, and name it as not restored. Nothing brings it
    back, and it is not stored again. A SHA-1 that several contents have is refused: the SHA-256 or
    the path says which is meant. The live files are left alone; give the path the class secret,
    and change what leaked.
    """
    wanted, path = _wanted(session, what)
    care = session.workspace.care
    found = care.purge(wanted, path=path, reason=reason, dry_run=True)
    if not session.dry_run:
        where = f"{counted(len(found.paths), 'path')} in {counted(len(found.versions), 'version')}"
        what = counted(len(found.contents), "content")
        session.confirm(f"Destroy {what} ({where}) for good?")
        found = care.purge(wanted, path=path, reason=reason)
    _print(session, found)


def _wanted(
    session: Session, what: str
) -> tuple[tuple[BlobInfo | Digest | Sha256, ...], RelPath | None]:
    if _ADDRESS.fullmatch(what):
        return (parse_address(what),), None
    handle = session.handle()
    paths = scope([what], handle.app.root)
    if not paths:
        raise UsageError("purge wants one file, and not the whole application")
    return session.workspace.care.contents_of(handle.app.uuid, paths[0]), paths[0]


def _print(session: Session, found: Purged) -> None:
    shape: dict[str, Any] = {
        "type": "purge",
        "app": None,
        "digests": [info.digest.hex() for info in found.contents],
        "sha256": [info.sha256.hex() for info in found.contents],
        "paths": [{"app": app, "path": to_json(path)} for app, path in found.paths],
        "live": [{"app": app, "path": to_json(path)} for app, path in found.live],
        "versions": [{"app": app, "version": version} for app, version in found.versions],
        "rewritten": len(found.rewritten),
        "cleared": len(found.cleared),
        "dry_run": found.dry_run,
    }
    would = "would be purged" if found.dry_run else "purged"
    versions = counted(len(found.versions), "version")
    text = f"{counted(len(found.contents), 'content')} {would}, of {versions}"
    session.out.outcome(shape, text)
    if found.paths:
        paths = [f"{app}: {name(path)}" for app, path in found.paths]
        session.out.note(titled(session.out, "was recorded as", paths))
    if found.rewritten or found.cleared:
        files = counted(len(found.rewritten), "file")
        session.out.note(f"{files} of packs anew, {len(found.cleared)} out of the quarantine")
    if found.live:
        paths = [f"{app}: {name(path)}" for app, path in found.live]
        session.out.warn(titled(session.out, "still in the live root", paths))
        session.out.note("keep such paths out: epmstore app set KEY --secret PATTERN")
