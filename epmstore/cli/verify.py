"""Commands about what is right: verify, accept."""

import click

from epmstore.cli.command import command
from epmstore.cli.findings import print_verified
from epmstore.cli.moments import selector
from epmstore.cli.output import counted
from epmstore.cli.paths import scope
from epmstore.cli.record import check_label
from epmstore.cli.session import Session
from epmstore.cli.summary import INCOMPLETE
from epmstore.errors import UsageError
from epmstore.workspace import shapes, vendorshapes


@command(
    app=True,
    examples=[
        ("epmstore verify", "with the release that best explains the root"),
        ("epmstore verify --release 41", "with that one"),
        ("epmstore verify bin lib/x.so", "these paths alone"),
        ("epmstore verify --subset", "is every file a component of the catalog?"),
    ],
)
@click.option("--release", metavar="RELEASE", help="Compare with this release.")
@click.option("--subset", is_flag=True, help="Only ask whether any release shipped each file.")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def verify(session: Session, release: str | None, subset: bool, paths: tuple[str, ...]) -> int:
    """Tell each file by the release it is from.

    Each path of the root and of the release is known, stale, ahead, foreign, moved, meta, local,
    unknown or missing (docs/verify.md). Without --release, the release from which the root differs
    least is taken, and named. Exits with 0 if everything is known or accepted, else with 1.
    --subset only names files that no release has at their path: on an unmodified installation there
    are none, and the root is a proper subset of the catalog. With PATHs, only these and what is
    below them count; the release is still the one that explains the whole root.
    """
    handle = session.handle()
    wanted = scope(paths, handle.app.root)
    verified = handle.verify(
        None if release is None else handle.trees.find_release(release).version, wanted
    )
    findings = verified.strangers if subset else verified.findings
    clean = all(one.path in verified.accepted for one in findings)
    if session.json:
        for one in findings:
            accepted = one.path in verified.accepted
            session.out.shape(vendorshapes.finding(handle.app.key, one, accepted=accepted))
        session.out.shape(vendorshapes.verified(handle.app.key, verified, clean=clean))
    else:
        print_verified(session, handle, verified, subset=subset)
    if any(problem.is_gap for problem in verified.unseen):
        return INCOMPLETE
    return 0 if clean else 1


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore accept -m 'hardened by hand'", "the newest version is right as it is"),
        ("epmstore accept latest etc/crm.conf", "this file is, whatever the release says"),
    ],
)
@click.option("-m", "--message", "reason", metavar="TEXT", help="Why it is right.")
@click.argument("version", default="latest")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def accept(session: Session, version: str, paths: tuple[str, ...], reason: str | None) -> int:
    """Declare a recorded version right.

    What `verify` and `status` find is a deviation until it is gone or accepted. An accepted path
    counts as right for as long as it is as in VERSION. For an application without a reference
    catalog, an accepted version is what `status` compares with. Accepting a version anew replaces
    what was accepted before.
    """
    reason = check_label(reason)
    handle = session.handle()
    if "/" in version:
        raise UsageError(
            f"{version!r} is no version", hint=f"name the version first: latest {version}"
        )
    wanted = scope(paths, handle.app.root)
    chosen = selector(version)
    if session.dry_run:
        record = handle.verifying.check_accept(chosen, wanted)
    else:
        record = handle.accept(chosen, wanted, reason)
    what = f"version {record.version}"
    if record.paths:
        what = f"{counted(len(record.paths), 'path')} of {what}"
    shape = {
        "type": "accept",
        "app": handle.app.key,
        "version": record.version,
        "paths": None if record.paths is None else shapes.paths(record.paths),
        "reason": record.reason,
        "dry_run": session.dry_run,
    }
    would = "would be accepted" if session.dry_run else "accepted"
    session.out.outcome(shape, f"{handle.app.key}: {what} {would}")
    return 0
