"""Bringing a root to a vendor's release: repair, and what `checkout release:N` does."""

import sys
from pathlib import Path
from typing import Any

import click

from epmstore.catalog.hooks import NONE, hooks_of
from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.plan import ConfigPolicy
from epmstore.cli.checkout_options import config_option, exact_option, terms_of, terms_options
from epmstore.cli.command import PATH, command
from epmstore.cli.findings import named, print_verified, withdrawn
from epmstore.cli.output import name
from epmstore.cli.paths import scope
from epmstore.cli.plan_view import outlook, show_plan
from epmstore.cli.session import Session
from epmstore.cli.summary import finish
from epmstore.errors import NotFoundError
from epmstore.given import AnyVersion
from epmstore.workspace import AppHandle, vendorshapes
from epmstore.workspace.app.asked import RepairOptions, TermsGiven


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore repair --dry-run", "what would be brought back"),
        ("epmstore repair", "everything that deviates from the release that explains the root"),
        ("epmstore repair --release 41 bin lib/x.so", "these paths, to release 41"),
        ("epmstore repair --from /srv/crm-41.deb", "with what a package still has"),
    ],
)
@click.option("--release", metavar="RELEASE", help="To this release.")
@click.option(
    "--from",
    "sources",
    metavar="PLACE",
    multiple=True,
    type=PATH,
    help="Seek what is not stored in this folder or archive (tar, zip, deb).",
)
@exact_option
@config_option
@terms_options
@click.argument("paths", metavar="[PATH]...", nargs=-1)
def repair(
    session: Session,
    release: str | None,
    sources: tuple[str, ...],
    paths: tuple[str, ...],
    exact: bool,
    config: ConfigPolicy,
    **given: Any,
) -> int:
    """Bring what deviates back to the release.

    Without --release, to the one that best explains the root. The state that is found is recorded
    first, so that `epmstore undo` can bring it back. Files that no release has at their path, paths
    that were accepted, and configuration that was edited here are kept and named, unless they are
    named as PATH or asked for. Ends with a fresh verify, whose result and exit code it has.
    """
    handle = session.handle()
    wanted = scope(paths, handle.app.root)
    places = tuple(Path(source).absolute() for source in sources)
    for place in places:
        if not place.exists():
            raise NotFoundError(f"{name(str(place))} is not there")
    number = None if release is None else handle.trees.find_release(release).version
    asked = RepairOptions(number, wanted, exact=exact, config=config, sources=places)
    return bring_to_release(session, handle, asked, terms_of(session, given))


def _warn(session: Session, handle: AppHandle, asked: AnyVersion | None) -> None:
    """What its vendor would say of a release that the root is to be brought to."""
    if asked is None:
        return
    release = handle.trees.find_release(asked)
    if release.revoked is not None:
        session.out.warn(f"{named(release)} is {withdrawn(release.revoked)}")
    for one in handle.repairing.unmet(release.version):
        kind = "optional: " if one.requirement.optional else ""
        session.out.warn(f"{named(release)} needs what is not there: {kind}{one.why}")


def bring_to_release(
    session: Session, handle: AppHandle, asked: RepairOptions, terms: TermsGiven
) -> int:
    """Show the plan, ask on a terminal, carry it out, and verify anew."""
    _warn(session, handle, asked.release)
    asks = not session.yes and sys.stdin.isatty() and sys.stderr.isatty()
    if session.dry_run or asks:
        plan = handle.repairing.plan_repair(asked)
        if plan.is_guess:
            session.out.warn("no release explains this root; without --release, it is the latest")
        if asked.release is None:
            goal = plan.prepared.request.goal
            _warn(session, handle, goal.release if isinstance(goal, ReleaseGoal) else None)
        hooks = hooks_of(handle.app) if terms["hooks"] else NONE
        show_plan(session.out, plan.prepared, hooks)
        if session.dry_run:
            return outlook(handle, plan.prepared, terms, asked.sources)
        if plan.prepared.plan.steps:
            session.confirm("Go on?")
    code = finish(session, handle.repair(asked, **terms))
    verified = handle.verify(asked.release)
    clean = not verified.deviations
    if session.json:
        session.out.shape(vendorshapes.verified(handle.app.key, verified, clean=clean))
    else:
        print_verified(session, handle, verified)
    return code or int(not clean)
