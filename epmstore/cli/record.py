"""Commands that record: snapshot, run, change, and what marks a version."""

import contextlib
import os
import sys
from collections.abc import Iterator

import click

from epmstore.cli.command import command
from epmstore.cli.failure import Interrupted
from epmstore.cli.moments import selector
from epmstore.cli.result_line import is_felt
from epmstore.cli.scan_status import look
from epmstore.cli.session import Session
from epmstore.cli.summary import finish
from epmstore.errors import EpmError, UsageError


def check_label(label: str | None) -> str | None:
    """Raises UsageError for a label that no catalog can hold."""
    if label is None:
        return None
    if not label.strip():
        raise UsageError("the label is empty")
    try:
        label.encode()
    except UnicodeEncodeError:
        raise UsageError("the label is not UTF-8") from None
    return label


label_option = click.option(
    "-m", "--message", "label", metavar="TEXT", help="Why: what log shows beside the version."
)


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore snapshot -m 'as delivered'", "record the state and say what it is"),
        ("epmstore snapshot --dry-run", "what would be recorded"),
    ],
)
@label_option
def snapshot(session: Session, label: str | None) -> int:
    """Record the application as it is now.

    Files that have not changed since the last version are not read again. If nothing has changed
    there is no new version; with a label, the newest version gets it beside those that it has.
    """
    label = check_label(label)
    handle = session.handle()
    if session.dry_run:
        look(session, [handle])
        return 0
    return finish(session, handle.snapshot(label=label))


@command(
    app=True,
    changes=True,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    examples=[
        ("epmstore run -m 'patch 41.2' -- ./install-patch.sh", "one change, whatever it did"),
        ("epmstore run -- apt-get install crm", "without a label: log shows the command"),
    ],
)
@label_option
@click.argument("argv", metavar="COMMAND...", nargs=-1, required=True)
def run(session: Session, label: str | None, argv: tuple[str, ...]) -> int:
    """Run a command and record what it changed.

    The state before it is recorded first, then COMMAND runs with this terminal, then the state
    after it becomes one version with the command and its exit status, also if nothing has changed.
    Exits with 4 if the command fails; its changes are recorded nevertheless, and if epmstore is
    killed, by the command that records next. With --json, the command's output goes to stderr.
    """
    label = check_label(label)
    handle = session.handle()
    if session.dry_run:
        with _named(argv[0]):
            handle.recording.check_run(argv, label)
        session.out.note(f"would run {' '.join(argv)} in between")
        look(session, [handle])
        return 0
    with _output_apart(session.json), _named(argv[0]):
        result = handle.run(list(argv), label=label)
    code = finish(session, result)
    if result.exit_status:
        felt = is_felt(result)
        kind = Interrupted if result.exit_status == Interrupted.exit_code else EpmError
        raise kind(
            f"the command exited with {result.exit_status}; "
            + ("what it changed is recorded" if felt else "it changed nothing"),
            hint="epmstore rollback goes back to the state before it" if felt else None,
            exit_status=result.exit_status,
            version=result.version,
        )
    return code


@contextlib.contextmanager
def _named(program: str) -> Iterator[None]:
    """A program that cannot be started is an error of ours."""
    try:
        yield
    except OSError as error:
        if error.filename != program:
            raise
        raise EpmError(f"cannot run {program!r}: {error.strerror}") from None


@contextlib.contextmanager
def _output_apart(apart: bool) -> Iterator[None]:
    """For the block, what a child process prints on stdout comes out on stderr if `apart`."""
    if not apart:
        yield
        return
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(own, 1)
        os.close(own)


@command(
    app=True,
    changes=True,
    examples=[("epmstore change begin -m 'new licence'", "then work, then epmstore change end")],
)
@label_option
def change_begin(session: Session, label: str | None) -> int:
    """Record the state before a manual change.

    What differs from the last version is recorded as drift, so that the change holds only what is
    done between begin and end.
    """
    label = check_label(label)
    handle = session.handle()
    if session.dry_run:
        look(session, [handle])
        return 0
    return finish(session, handle.change_begin(label=label))


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore change end", "with the label that begin was given"),
        ("epmstore change end --exit-status 1", "for scripts: how the change went"),
    ],
)
@label_option
@click.option(
    "--exit-status", type=click.IntRange(0, 255), metavar="N", help="How the change ended."
)
def change_end(session: Session, label: str | None, exit_status: int | None) -> int:
    """Record a manual change as one version.

    Everything that changed since `epmstore change begin` becomes one labelled version.
    """
    label = check_label(label)
    handle = session.handle()
    if session.dry_run:
        look(session, [handle])
        return 0
    return finish(session, handle.change_end(label=label, exit_status=exit_status))


@command(
    app=True,
    changes=True,
    examples=[("epmstore pin latest", "never forget the newest version")],
)
@click.argument("version")
def pin(session: Session, version: str) -> None:
    """Keep a version for good.

    `epmstore forget` leaves a pinned version alone.
    """
    _mark(session, version, pinned=True)


@command(
    app=True,
    changes=True,
    examples=[("epmstore unpin 117", "forget may take it again")],
)
@click.argument("version")
def unpin(session: Session, version: str) -> None:
    """Take a pin away.

    From now on `epmstore forget` treats the version like any other.
    """
    _mark(session, version, pinned=False)


def _mark(session: Session, version: str, *, pinned: bool) -> None:
    handle = session.handle()
    chosen = recorded_version(handle.trees.resolve(selector(version)))
    if not session.dry_run:
        (handle.pin if pinned else handle.unpin)(str(chosen))
    shape = {"type": "pin", "app": handle.app.key, "version": chosen, "pinned": pinned}
    shape["dry_run"] = session.dry_run
    would = "would be " if session.dry_run else ""
    word = "pinned" if pinned else "not pinned any more"
    session.out.outcome(shape, f"{handle.app.key}: version {chosen} {would}{word}")


def recorded_version(found: int | str) -> int:
    """Raises UsageError for `now`, which is no version."""
    if isinstance(found, int):
        return found
    raise UsageError("'now' is the live root, not a version", hint="record it: epmstore snapshot")


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore tag golden 117", "checkout golden works from now on"),
        ("epmstore tag --delete golden", "drop the name, not the version"),
    ],
)
@click.option("-d", "--delete", is_flag=True, help="Drop the name.")
@click.argument("name")
@click.argument("version", required=False)
def tag(session: Session, name: str, version: str | None, delete: bool) -> None:
    """Give a version a name.

    The name may be used wherever a version is asked for, and keeps the version from being
    forgotten. Without VERSION the newest one is named; a name that exists moves, which is said, and
    `epmstore log -v` shows where it was.
    """
    if delete and version is not None:
        raise UsageError("--delete takes the name only")
    handle = session.handle()
    chosen = (
        None if delete else recorded_version(handle.trees.resolve(selector(version or "latest")))
    )
    was = handle.reading.state().tagged(name)
    dry_run = session.dry_run
    if chosen is None:
        handle.marking.untag(name, dry_run=dry_run)
    else:
        handle.marking.tag(name, str(chosen), dry_run=dry_run)
    shape = {"type": "tag", "app": handle.app.key, "name": name, "version": chosen, "was": was}
    shape["dry_run"] = dry_run
    would = "would be " if session.dry_run else ""
    text = f"the tag {name!r} {would}dropped" if delete else f"version {chosen} {would}{name!r}"
    if was is not None and was != chosen:
        text += f"; {'it was' if delete else 'until now that was'} version {was}"
    session.out.outcome(shape, f"{handle.app.key}: {text}")
