"""The command `drill`."""

import click

from epmstore.cli.command import command
from epmstore.cli.output import counted, name, size
from epmstore.cli.session import Session
from epmstore.cli.summary import name_places
from epmstore.workspace import shapes

DAMAGED = 6


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore drill", "the newest version of each application"),
        ("epmstore drill 117 --app crm", "an older one"),
    ],
)
@click.argument("version", required=False)
def drill(session: Session, version: str | None) -> int:
    """Prove that a version can be restored.

    Writes the version into a scratch folder of the store, reads every file back, compares it with
    what was recorded, and takes it away again. Contents that cannot be read are sought in live
    files and on remotes, and stored anew. What is proven is remembered, and shown by
    `epmstore daemon status`. Exits with 6 if a path is not as recorded.
    """
    handles = session.handles() if version is None else [session.handle()]
    code = 0
    for handle in handles:
        number = None if version is None else handle.trees.restorable_version(version)
        if session.dry_run:
            what = "the newest version" if number is None else f"version {number}"
            session.out.note(f"would restore {what} of {handle.app.key} and compare")
            continue
        chosen, done = session.workspace.care.drill(handle.app.uuid, number)
        shape = {
            "type": "drill",
            "app": handle.app.key,
            "version": chosen,
            "proven": done.is_proven,
            "files": done.files,
            "bytes": done.size,
            "without": done.without,
            "differs": shapes.reasons(done.differs),
            "came_from": shapes.came_from(done.came),
        }
        text = f"{handle.app.key}: version {chosen} can be restored"
        text += f": {counted(done.files, 'file')}, {size(done.size)}"
        if done.without:
            text += f" ({counted(done.without, 'file has', 'files have')} no stored content)"
        if not done.is_proven:
            code = DAMAGED
            text = f"{handle.app.key}: version {chosen} is not restored as it was recorded"
        name_places(session.out, done.came)
        session.out.outcome(shape, text)
        if not session.json:
            for line in session.out.some([f"{name(p)}: {why}" for p, why in done.differs]):
                session.out.line(line)
    return code
