"""Commands for the release pipeline: builds of a spool, and what becomes of them."""

import os
import socket
from pathlib import Path
from typing import Any, Unpack

import click

from epmstore.cli.command import PATH, command
from epmstore.cli.moments import local
from epmstore.cli.output import name, size
from epmstore.cli.remotes import Ways, ways_in
from epmstore.cli.session import Session, actor
from epmstore.cli.summary import INCOMPLETE
from epmstore.clock import SystemClock, to_rfc3339
from epmstore.errorform import Shape
from epmstore.errors import UsageError
from epmstore.measures import parse_duration
from epmstore.publish.build import KINDS, PAYLOADS, Author, BuildRecord
from epmstore.publish.desk import ReleaseDesk, begin_spool
from epmstore.publish.lifecycle import (
    ERROR,
    EVERY_BUILD,
    HOLD,
    STATES,
    ReadyBuilds,
    next_action,
    shown,
)
from epmstore.publish.spoolfolder import SpoolSettings
from epmstore.publish.transactions import line_shape
from epmstore.publish.transfer import StallLimits
from epmstore.publish.watchedfolders import WatchedFolder
from epmstore.workspace import pipelineshapes

_SPOOL = click.option(
    "--spool",
    metavar="DIR",
    type=PATH,
    required=True,
    envvar="EPMSTORE_SPOOL",
    help="The spool. Default: $EPMSTORE_SPOOL.",
)
_NUMBER = click.argument("number", type=int, metavar="BUILD")
_WHY = click.option("-m", "--message", metavar="TEXT", help="Why, for the transaction log.")


def _desk(session: Session, spool: str) -> ReleaseDesk:
    who = actor()
    author = Author(who.get("user") or str(who.get("uid")), socket.gethostname())
    desk = ReleaseDesk(Path(spool), author, SystemClock(), session.progress(), os.environ)
    click.get_current_context().call_on_close(desk.close)
    return desk


@command(
    changes=True,
    examples=[
        ("epmstore publish init --spool /mnt/spool --remote /mnt/releases", "without signatures"),
        (
            "epmstore publish init --spool /mnt/spool --remote /mnt/releases --sign vendor.key",
            "each payload gets an .asc",
        ),
        (
            "epmstore publish init --spool /mnt/spool --remote sftp://rel@get.example.org/srv/crm"
            " --credentials /etc/epmstore/get.key --host-key SHA256:...",
            "a folder of an SFTP server",
        ),
    ],
)
@_SPOOL
@click.option("--remote", metavar="DIR-OR-URL", required=True, help="Where payloads go.")
@click.option(
    "--database",
    metavar="URL",
    help="PostgreSQL has the records: postgresql://... Default: a file in the spool.",
)
@click.option("--sign", metavar="FILE", type=PATH, help="A secret key that payloads are signed by.")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help="Prepare builds of this kind only. May be given twice. Default: all.",
)
@ways_in
def publish_init(
    session: Session,
    spool: str,
    remote: str,
    database: str | None,
    sign: str | None,
    kinds: tuple[str, ...],
    **ways: Unpack[Ways],
) -> None:
    """Make a spool for builds.

    The spool is a folder that all hosts of the pipeline share. One that others may write in is
    refused, and a file system on which two processes can hold one lock. The remote is a folder, a
    folder of an SFTP server or a bucket; how one gets in there is as for `remote add`. Where
    several hosts share the spool --database keeps the records, and the locks. The same settings
    again change nothing.
    """
    ready = ReadyBuilds(kinds) if kinds else EVERY_BUILD
    settings = SpoolSettings(remote, sign, ready=ready, database=database, **ways)
    made = begin_spool(Path(spool), settings, os.environ, dry_run=session.dry_run)
    verb = "would be made" if session.dry_run else "is made"
    text = f"the spool {name(str(made.path))} {verb}, for {name(made.settings.remote)}"
    session.out.outcome(pipelineshapes.spool(made, dry_run=session.dry_run), text)
    if sign is None:
        session.out.note("payloads are not signed: there will be no .asc")


@command(
    changes=True,
    examples=[
        ("epmstore publish add --spool /mnt/spool /builds/crm-4.1 --product crm", "a folder"),
        (
            "epmstore publish add --spool /mnt/spool crm-4.1.0-1.candidate.epkg --product crm"
            " --payload epkg",
            "a candidate, which becomes the next release",
        ),
        (
            "epmstore publish add --spool /mnt/spool --watch /builds/crm --product crm",
            "whatever appears there",
        ),
    ],
)
@_SPOOL
@click.option("--product", metavar="KEY", help="What it is a build of.")
@click.option("--kind", type=click.Choice(KINDS), default="full", help="Default: full.")
@click.option("--payload", type=click.Choice(PAYLOADS), default="tar.gz", help="Default: tar.gz.")
@click.option("--watch", is_flag=True, help="Builds appear in this folder: add each.")
@click.option("--no-watch", is_flag=True, help="Do not add what appears there any more.")
@click.option(
    "--settle",
    metavar="TIME",
    default="10m",
    help="With --watch: a build is whole if nothing of it changed for so long. Default: 10m.",
)
@click.argument("path", type=PATH)
def publish_add(
    session: Session,
    spool: str,
    path: str,
    product: str | None,
    watch: bool,
    no_watch: bool,
    settle: str,
    **said: str,
) -> None:
    """Add a build to the pipeline.

    It need not be there yet: a build that is not found is tried again. A folder is packed, a
    package (--payload epkg) goes as it is. A candidate of a package becomes the next release of
    its product when it is prepared. With --watch every run of `publish prepare` adds what appeared
    in a folder: a folder or a package for each build, but for names that begin with a dot.
    """
    desk = _desk(session, spool)
    if no_watch:
        gone = desk.unwatch(Path(path), dry_run=session.dry_run)
        _say_watched(session, gone, "would not be watched" if session.dry_run else "is not watched")
        return
    if product is None:
        raise UsageError("--product is needed: what it is a build of")
    if watch:
        one = desk.watch(
            Path(path),
            product=product,
            settle=parse_duration(settle),
            dry_run=session.dry_run,
            **said,
        )
        _say_watched(session, one, "would be watched" if session.dry_run else "is watched")
        return
    made = desk.add(Path(path), product=product, dry_run=session.dry_run, **said)
    text = "would be added" if session.dry_run else f"is build {made.number}"
    _changed(session, desk, made, text)


def _say_watched(session: Session, one: WatchedFolder, text: str) -> None:
    shape = pipelineshapes.watched(one, dry_run=session.dry_run)
    session.out.outcome(shape, f"{name(one.folder)} {text}, for {one.product}")


@command(
    changes=True,
    examples=[("epmstore publish prepare --spool /mnt/spool", "by a person, or a timer")],
)
@_SPOOL
@click.option("--wait", is_flag=True, help="Leave what failed a while ago alone until it is due.")
def publish_prepare(session: Session, spool: str, wait: bool) -> int:
    """Make payloads of builds, and see which arrived.

    One at a time, over all hosts; a build that fails is named, and hinders no other (3). What a
    run that was killed left is found by the next one. Candidates of packages become releases in the
    catalog of their product, which --store has, in the order in which they were added.
    """
    desk = _desk(session, spool)
    if session.dry_run:
        for build in desk.due(at_once=not wait):
            _changed(session, desk, build, next_action(build))
        return 0
    failed = False
    for build in desk.prepare(at_once=not wait, catalogs=lambda: session.workspace.vendors):
        _changed(session, desk, build, shown(build.state))
        failed = failed or build.error is not None
    return INCOMPLETE if failed else 0


@command(
    changes=True,
    examples=[("epmstore publish upload --spool /mnt/spool", "by a person, or a timer")],
)
@_SPOOL
@click.option("--wait", is_flag=True, help="Leave what failed a while ago alone until it is due.")
@click.option(
    "--stall",
    metavar="TIME",
    default="10m",
    help="Give up a payload of which no byte went for so long. Default: 10m.",
)
def publish_upload(session: Session, spool: str, wait: bool, stall: str) -> int:
    """Send payloads to the remote.

    Any number may run at once, on any host: each takes payloads that no other has. What was sent is
    read back, and only then the build is done and its payload leaves the spool. An SFTP server gets
    the rest of what was cut off. A payload that could not be sent is named, and waits (3); where
    that is so for one after the other, the run ends.
    """
    desk = _desk(session, spool)
    if session.dry_run:
        for build in desk.waiting(at_once=not wait):
            _changed(session, desk, build, next_action(build))
        return 0
    failed = False
    for build in desk.upload(at_once=not wait, patience=StallLimits(parse_duration(stall))):
        _changed(session, desk, build, shown(build.state))
        failed = failed or build.error is not None
    return INCOMPLETE if failed else 0


@command(
    examples=[
        ("epmstore publish list --spool /mnt/spool", "all builds"),
        ("epmstore publish list --spool /mnt/spool --state error", "those in one state"),
    ]
)
@_SPOOL
@click.option("--state", metavar="STATE", help="Only those in it: error, hold, done ...")
def publish_list(session: Session, spool: str, state: str | None) -> None:
    """List builds, with the state of each.

    How long it is in that, the last error, and what is next.
    """
    if state is not None and state not in STATES:
        known = ", ".join(repr(one) for one in STATES)
        raise UsageError(f"{state!r} is no state", hint=f"known: {known}")
    desk = _desk(session, spool)
    builds = desk.list(STATES if state is None else [state])
    if session.json:
        for build in builds:
            session.out.shape(_shape(desk, build))
        return
    session.out.table([_row(desk, build) for build in builds], right=(0,))


@command(examples=[("epmstore publish show --spool /mnt/spool 4", "everything about a build")])
@_SPOOL
@_NUMBER
def publish_show(session: Session, spool: str, number: int) -> None:
    """Show one build.

    Its record, with the digests of its payload and where that is on the remote.
    """
    desk = _desk(session, spool)
    shape = _shape(desk, desk.get(number))
    if session.json:
        session.out.shape(shape)
        return
    rows = {key: value for key, value in shape.items() if key not in ("type", "app", "dry_run")}
    rows["size"] = None if shape["size"] is None else size(shape["size"])
    session.out.table([(key, name(str(value))) for key, value in rows.items() if value])


@command(examples=[("epmstore publish log --spool /mnt/spool 4", "what became of a build")])
@_SPOOL
@click.argument("number", type=int, metavar="[BUILD]", required=False)
def publish_log(session: Session, spool: str, number: int | None) -> None:
    """Show the transaction log.

    Each change of a record: when, by whom, on which host, and why.
    """
    desk = _desk(session, spool)
    lines = [line for line in desk.log() if number in (None, line.build)]
    if session.json:
        for line in lines:
            session.out.shape(line_shape(line))
        return
    session.out.table(
        [
            (
                local(to_rfc3339(line.time)),
                str(line.build),
                line.product,
                shown(line.after),
                f"{line.actor}@{line.host}",
                name(line.why),
            )
            for line in lines
        ]
    )


@command(examples=[("epmstore publish status --spool /mnt/spool", "how many builds are where")])
@_SPOOL
def publish_status(session: Session, spool: str) -> None:
    """Say how many builds are in which state.

    Those that need a person are named.
    """
    desk = _desk(session, spool)
    builds = desk.list()
    shape = pipelineshapes.pipeline(desk.spool, builds, desk.watched())
    if session.json:
        session.out.shape(shape)
        return
    session.out.table([(str(count), shown(state)) for state, count in shape["states"].items()])
    for build in builds:
        if build.state in (HOLD, ERROR):
            session.out.note(f"build {build.number} ({build.product}): {build.error or 'held'}")


def _act(session: Session, event: str, spool: str, number: int, message: str | None) -> None:
    desk = _desk(session, spool)
    found = desk.act(number, event, message or event, dry_run=session.dry_run)
    would = "would be " if session.dry_run else ""
    _changed(session, desk, found, f"{would}{shown(found.state)}")


@command(changes=True, examples=[("epmstore publish hold --spool /mnt/spool 4 -m recall", "stop")])
@_SPOOL
@_WHY
@_NUMBER
def publish_hold(session: Session, **given: Any) -> None:
    """Keep a build from being released.

    Its payload leaves the spool with the next run. What is associated is withdrawn instead (7).
    """
    _act(session, "hold", **given)


@command(changes=True, examples=[("epmstore publish unhold --spool /mnt/spool 4", "go on")])
@_SPOOL
@_WHY
@_NUMBER
def publish_unhold(session: Session, **given: Any) -> None:
    """Let a build that was held go on.

    As one that was not tried yet.
    """
    _act(session, "unhold", **given)


@command(changes=True, examples=[("epmstore publish retry --spool /mnt/spool 4", "at once")])
@_SPOOL
@_WHY
@_NUMBER
def publish_retry(session: Session, **given: Any) -> None:
    """Try a build in error again with the next run.

    Its failures are counted anew.
    """
    _act(session, "retry", **given)


@command(
    changes=True, examples=[("epmstore publish withdraw --spool /mnt/spool 4 -m bug", "for good")]
)
@_SPOOL
@_WHY
@_NUMBER
def publish_withdraw(session: Session, **given: Any) -> None:
    """Take a build out of the pipeline for good.

    With the next run its payload and sidecars go from the remote. There is no way back: add the
    build again.
    """
    _act(session, "withdraw", **given)


def _shape(desk: ReleaseDesk, build: BuildRecord, *, dry_run: bool = False) -> Shape:
    ready = desk.spool.settings.ready
    return pipelineshapes.build(build, desk.now(), ready, dry_run=dry_run)


def _changed(session: Session, desk: ReleaseDesk, build: BuildRecord, text: str) -> None:
    shape = _shape(desk, build, dry_run=session.dry_run)
    error = "" if build.error is None else f": {build.error}"
    session.out.outcome(shape, f"{build.product} {name(build.path)}: {text}{error}")


def _row(desk: ReleaseDesk, build: BuildRecord) -> tuple[str, ...]:
    since = local(to_rfc3339(build.since))
    last = next_action(build, desk.spool.settings.ready) if build.error is None else build.error
    return (str(build.number), build.product, shown(build.state), since, name(last))
