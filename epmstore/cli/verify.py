"""Commands about what is right: verify, accept."""

from typing import TYPE_CHECKING

import click

from epmstore.cli import shapes
from epmstore.cli.command import command
from epmstore.cli.moments import selector
from epmstore.cli.output import counted, name, number
from epmstore.cli.paths import scope
from epmstore.cli.record import check_label
from epmstore.cli.session import Session
from epmstore.cli.summary import INCOMPLETE
from epmstore.vendor.classify import WHATS, Finding
from epmstore.vendor.releases import Release
from epmstore.vendor.verify import Verified, in_order
from epmstore.workspace import vendorshapes

if TYPE_CHECKING:
    from epmstore.workspace import AppHandle

MEANING = {
    "stale": "from an older release",
    "ahead": "from a newer release",
    "foreign": "belongs to another path or application",
    "moved": "belongs to another path, which lacks it",
    "meta": "right bytes, other metadata",
    "local": "bytes that no vendor ever shipped",
    "unknown": "never shipped, neither path nor bytes",
    "missing": "in the release, not here",
}
COLOURS = {"missing": "31", "unknown": "35", "local": "35"}
STRANGERS = ("moved", "foreign", "local", "unknown")
"""Findings of what the catalog does not have at this path, in any release."""


@command(
    app=True,
    examples=[
        ("epmstore verify", "with the release that best explains the root"),
        ("epmstore verify --release 41", "with that one"),
        ("epmstore verify --subset", "is every file a component of the catalog?"),
    ],
)
@click.option("--release", type=click.IntRange(min=0), metavar="N", help="Compare with release N.")
@click.option("--subset", is_flag=True, help="Only ask whether any release shipped each file.")
@click.argument("app", required=False)
def verify(session: Session, release: int | None, subset: bool, app: str | None) -> int:
    """Tell each file by the release it is from.

    Each path of the root and of the release is known, stale, ahead, foreign, moved, meta, local,
    unknown or missing (docs/verify.md). Without --release, the release from which the root differs
    least is taken, and named. Exits with 0 if everything is known or accepted, else with 1.
    """
    session.app = app or session.app
    handle = session.handle()
    verified = handle.verify(release)
    findings = [one for one in verified.findings if not subset or one.what in STRANGERS]
    clean = all(one.path in verified.accepted for one in findings)
    if session.json:
        for one in findings:
            accepted = one.path in verified.accepted
            session.out.shape(vendorshapes.finding(handle.app.key, one, accepted=accepted))
        session.out.shape(vendorshapes.verified(handle.app.key, verified, clean=clean))
    else:
        print_verified(session, handle, verified, strangers=findings if subset else None)
    if any(problem.kind != "ignored" for problem in verified.unseen):
        return INCOMPLETE
    return 0 if clean else 1


def print_verified(
    session: Session,
    handle: "AppHandle",
    verified: Verified,
    *,
    strangers: list[Finding] | None = None,
) -> None:
    """The headline and the findings; of `--subset`, only the `strangers`."""
    out, findings = session.out, verified.findings if strangers is None else strangers
    where = f"{handle.app.key} at {name(handle.app.root)}"
    if strangers is not None:
        out.line(
            f"{where}: {number(verified.files - len(strangers))} of"
            f" {counted(verified.files, 'file')} are components of its catalog"
        )
    else:
        out.line(f"{where}: {headline(verified)}")
    deviations = [one for one in findings if one.path not in verified.accepted]
    ordered = in_order(deviations)
    for what in WHATS:
        group = [one for one in ordered if one.what == what]
        if group:
            out.line(f"{out.paint(what, COLOURS.get(what, '33'))} ({len(group)}): {MEANING[what]}")
            for line in out.some([describe(one, handle) for one in group]):
                out.line(line)
    for line in notes(verified):
        out.note(line)
    unseen = [p for p in verified.unseen if p.kind != "ignored"]
    if unseen:
        out.warn("\n".join(["not looked at:", *out.some([f"{p.path} ({p.why})" for p in unseen])]))


def headline(verified: Verified) -> str:
    """`2,131 of 2,134 files = release 41 (10.1)`"""
    return (
        f"{number(verified.known)} of {counted(verified.files, 'file')} = {named(verified.release)}"
    )


def named(release: Release) -> str:
    """`release 41 (10.1 SP2)`"""
    label = f" ({name(release.label)})" if release.label else ""
    return f"release {release.version}{label}"


def describe(one: Finding, handle: "AppHandle") -> str:
    """A finding in one line."""
    more: list[str] = []
    if one.path_class != "program":
        more.append(one.path_class)
    if one.what in ("stale", "ahead"):
        more.append(f"release {one.release}")
    if one.other is not None:
        app, path = one.other
        where = "" if app == handle.releases.app else f" of {name(handle.vendor_key(app))}"
        more.append(f"{'belongs at' if one.what == 'moved' else 'is'} {name(path)}{where}")
    fields = [field for field in one.fields if field != "content"]
    if fields:
        more.append(", ".join(fields))
    return f"{name(one.path)}" + (f"  ({'; '.join(more)})" if more else "")


def notes(verified: Verified) -> list[str]:
    """What is good to know beside the findings."""
    found = []
    if verified.accepted:
        found.append(f"{counted(len(verified.accepted), 'finding')} accepted, not shown")
    if verified.known == 0 and not verified.was_given:
        found.append("no release explains this root; it was compared with the latest")
    if verified.release.revoked is not None:
        found.append(
            f"release {verified.release.version} was withdrawn: {verified.release.revoked}"
        )
    for released, here in verified.stand_ins:
        whose = [str(o[2] or o[0]) + ":" + str(o[3] or o[1]) for o in (released, here)]
        found.append(f"files that the release gives to {whose[0]} are {whose[1]}'s here")
    return found


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
    wanted = scope(paths, handle.app.root)
    chosen = selector(version)
    if session.dry_run:
        record = handle.check_accept(chosen, wanted)
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
    }
    would = "would be accepted" if session.dry_run else "accepted"
    session.out.outcome(shape, f"{handle.app.key}: {what} {would}")
    return 0
