"""Commands about the store as a whole."""

import os
from pathlib import Path

import click
import msgspec

from epmstore.care.forget import ONLY_EXEMPT, Forgotten
from epmstore.catalog.retention import DEFAULT, Policy
from epmstore.cli.command import PATH, Callback, command
from epmstore.cli.damage import print_damage
from epmstore.cli.moments import local, selector
from epmstore.cli.output import counted, name, number, size
from epmstore.cli.session import Session
from epmstore.clock import to_rfc3339
from epmstore.errors import DamagedError, IncompleteError, UsageError
from epmstore.store.soundness import REMEDY
from epmstore.workspace import Workspace, shapes
from epmstore.workspace.settings import SafeStores

DAMAGED = 6
CATALOG = "cat.zst"
"""How the names of all catalogs end."""


KEEP = {
    "keep_last": "The newest N changes.",
    "keep_change_days": "Every change of N days.",
    "keep_drift_days": "Every drift of N days.",
    "keep_hourly": "One an hour, of N hours that have any.",
    "keep_daily": "One a day, of N days that have any.",
    "keep_weekly": "One a week, of N weeks that have any.",
    "keep_monthly": "One a month, of N months that have any.",
    "keep_yearly": "One a year, of N years that have any.",
}


def policy_options(function: Callback) -> Callback:
    """An option for each number of a policy."""
    for key, text in reversed(KEEP.items()):
        option = f"--{key.replace('_', '-')}"
        kind = click.IntRange(min=0)
        function = click.option(option, key, type=kind, metavar="N", help=text)(function)
    return function


class ShareType(click.ParamType[float]):
    """`10%`, `0.1`, or `all`: how much of the data to read."""

    name = "share"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        try:
            share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            share = 1.0 if text == "all" else -1.0
        if not 0 <= share <= 1:
            self.fail(f"{text!r} is not a share: write 10%", param, ctx)
        return share


@command(
    changes=True,
    examples=[
        ("epmstore fsck", "structure, checksums of tables and catalogs, the index"),
        ("epmstore fsck --read-data", "every stored byte"),
        ("epmstore fsck --read-data=10%", "a tenth of them, another tenth each time"),
        ("epmstore fsck --read-data --repair", "take good bytes from live roots where they are"),
    ],
)
@click.option(
    "--read-data",
    type=ShareType(),
    is_flag=False,
    flag_value="all",
    default="0",
    metavar="[SHARE]",
    help="Read contents too: all of them, or a share like 10%.",
)
@click.option("--repair", is_flag=True, help="Mend from live roots and remotes.")
def fsck(session: Session, read_data: float, repair: bool) -> int:
    """Check the store for damage.

    Names every damaged file, the contents in it, and the versions that are hit. --repair takes good
    bytes from a live root where they still are, then from remotes in their order, moves bad ones to
    the quarantine, and invents nothing. Exits with 6 if damage is left.
    """
    workspace = session.open(recover=False)
    report = workspace.care.fsck(read_data, repair=repair and not session.dry_run)
    if session.json:
        for finding in report.findings:
            session.out.shape(shapes.finding(finding))
    else:
        print_damage(session.out, report.findings)
    for note in report.notes:
        session.out.note(f"note: {note}")
    for where, count in report.came:
        session.out.note(f"{counted(count, 'content')} came from {where}")
    left = sum(not finding.repaired for finding in report.findings)
    text = f"no damage found{_unread(read_data)}"
    if report.findings:
        text = f"{counted(len(report.findings), 'finding')}, {number(left)} not repaired"
    read = f", {counted(report.frames, 'frame')} read" if report.frames else ""
    session.out.outcome(shapes.fsck_summary(report), text + read)
    damage = [f for f in report.findings if not f.repaired and f.kind != "collision"]
    if any(f.file.endswith(CATALOG) for f in damage):
        session.out.note(f"next: {REMEDY}")
    elif damage and not repair:
        session.out.note(f"next: epmstore fsck{' --read-data' if read_data else ''} --repair")
    return 0 if report.clean else DAMAGED


@command(
    changes=True,
    examples=[
        ("epmstore rebuild", "after index.sqlite or a catalog was lost or damaged"),
        ("epmstore rebuild --accept-loss", "go on without what nobody knows any more"),
    ],
)
@click.option("--accept-loss", is_flag=True, help="Go on without what is lost; it is named.")
def rebuild(session: Session, accept_loss: bool) -> int:
    """Make the index anew from packs and catalogs.

    What the index knows and a catalog has lost is written back first, if the chain of the catalog
    proves it. What would be lost with the index is named, and the index that knows it stays (exit
    6). With --accept-loss a damaged history goes on: what is sound before and behind the damage
    stays, a record names the gap, and no number of a version is given twice.
    """
    path = session.store_path
    if session.dry_run:
        session.out.note(f"would make the index of {name(str(path))} anew")
        return 0
    made = Workspace.mend(
        path,
        accept_loss=accept_loss,
        progress=session.progress(),
        safe_stores=SafeStores(os.environ),
    )
    for text in made.mended:
        session.out.note(text)
    for text in (*made.gone, *made.damage):
        session.out.warn(text)
    if made.damage:
        session.out.note(f"next: {REMEDY}")
    shape = {
        "type": "rebuild",
        "app": None,
        "damage": list(made.damage),
        "mended": list(made.mended),
        "gone": list(made.gone),
        "clean": not made.damage,
    }
    session.out.outcome(shape, "the index is new")
    return DAMAGED if made.damage else 0


def _unread(share: float) -> str:
    """What a check that found nothing did not look at."""
    if share >= 1:
        return ""
    if share <= 0:
        return " in tables, catalogs and the index; contents were not read (--read-data)"
    return f"; of the contents {share:.0%} were read"


@command(
    app=True,
    changes=True,
    asks=True,
    examples=[
        ("epmstore forget --dry-run", "what the usual policy would take"),
        ("epmstore forget --keep-last 50 --keep-monthly 12", "a policy of your own"),
        ("epmstore forget 101 102 103", "these versions"),
    ],
)
@policy_options
@click.argument("versions", metavar="[VERSION]...", nargs=-1)
def forget(session: Session, versions: tuple[str, ...], **keep: int | None) -> None:
    """Let the contents of old versions go.

    The facts stay: log still lists a forgotten version, as not restorable. A policy never takes
    the newest version, a pinned or a tagged one, or what undo needs; drift goes before changes.
    Without VERSIONs and options the usual policy decides: every change of a year and every drift of
    a week, then thinner. With any --keep option the others count as 0. Ages count by time that can
    be relied upon: a clock that leaps makes no version old. `epmstore unforget` takes it back until
    `epmstore gc` frees the space: that of named versions at once, else after a day.
    """
    given = {option: count for option, count in keep.items() if count is not None}
    if versions and given:
        raise UsageError("give versions or a policy, not both")
    handle = session.handle()
    key, uuid, care = handle.app.key, handle.app.uuid, session.workspace.care
    chosen: Policy | list[int] = make_policy(given)
    if versions:
        chosen = [handle.trees.version(selector(text)) for text in versions]
    if not versions:
        _warn_of_clock(session)
    found = care.forget(uuid, chosen, dry_run=True, measure=session.dry_run)
    if found.versions and not session.dry_run:
        session.confirm(f"Forget {counted(len(found.versions), 'version')} of {key}?")
        found = care.forget(uuid, chosen)
    _print_forgotten(session, key, found)


def _warn_of_clock(session: Session) -> None:
    found = session.workspace.care.reckon()
    if found.has_leapt:
        how = f"{local(to_rfc3339(found.read.wall))} by the clock"
        session.out.warn(
            f"it is {how}, which leapt, and {local(to_rfc3339(found.sure))} by what can be relied"
            " upon: epmstore doctor"
        )


def make_policy(given: dict[str, int]) -> Policy:
    """The usual policy, or exactly what was given; what undo needs is kept either way."""
    return msgspec.structs.replace(ONLY_EXEMPT, **given) if given else DEFAULT


def _print_forgotten(session: Session, key: str, found: Forgotten) -> None:
    shape = {
        "type": "forget",
        "app": key,
        "versions": list(found.versions),
        "freed_bytes": found.freed,
        "dry_run": found.dry_run,
    }
    would = "would be " if found.dry_run else ""
    what = f"{counted(len(found.versions), 'version')} {would}forgotten"
    if not found.versions:
        what = "nothing to forget"
    session.out.outcome(shape, f"{key}: {what}")
    if found.versions:
        numbers = ", ".join(map(str, found.versions))
        when = "" if found.named else " after a day (--now: at once)"
        frees = "what they alone held" if found.freed is None else size(found.freed)
        session.out.note(f"versions {numbers}; epmstore gc frees {frees}{when}")


@command(
    app=True,
    changes=True,
    examples=[("epmstore unforget 101 102", "as long as gc has not run")],
)
@click.argument("versions", metavar="VERSION...", nargs=-1, required=True)
def unforget(session: Session, versions: tuple[str, ...]) -> None:
    """Take a forget back, before gc.

    Refused for a version of which `epmstore gc` has already taken contents.
    """
    handle = session.handle()
    key, chosen = handle.app.key, [handle.trees.version(selector(text)) for text in versions]
    found = sorted(set(chosen))
    if not session.dry_run:
        found = list(session.workspace.care.unforget(handle.app.uuid, chosen))
    shape = {"type": "unforget", "app": key, "versions": found, "dry_run": session.dry_run}
    would = "would be restorable" if session.dry_run else "restorable again"
    session.out.outcome(shape, f"{key}: {counted(len(found), 'version')} {would}")


@command(
    changes=True,
    examples=[
        ("epmstore gc --dry-run", "how much would be freed"),
        ("epmstore gc", "free it"),
        ("epmstore gc --now", "also what a policy forgot a moment ago"),
        ("epmstore gc --quarantine", "also what was found damaged and set aside"),
    ],
)
@click.option("--now", is_flag=True, help="Also what a policy forgot within a day.")
@click.option(
    "--quarantine", is_flag=True, help="Also everything in the quarantine, however new it is."
)
def gc(session: Session, now: bool, quarantine: bool) -> int:
    """Free the space of what no version needs.

    Never takes a content that a version needs which is not forgotten. What a policy forgot stays
    for a day, and while the clock is in doubt (`epmstore doctor`), unless --now is given; versions
    that were named go at once. What was found damaged and set aside in the quarantine goes after 90
    days, or with --quarantine. Works on a full disk: the store keeps a reserve for it. While the
    catalog of an application cannot be read whole, which is named, nothing is taken that it may
    need (exit 3).
    """
    care = session.workspace.care
    if quarantine and not session.dry_run:
        session.confirm("What is in the quarantine may be the last copy of something. Remove it?")
    found = care.gc(dry_run=session.dry_run, now=now, quarantine=quarantine)
    what = "would be freed" if found.dry_run else "freed"
    least = "at least " if found.at_least else ""
    text = f"{least}{size(found.freed)} {what}"
    if found.rewritten:
        text += f", {size(found.rewritten)} written anew"
    session.out.outcome(
        shapes.gc(found), text if found.freed or found.rewritten else "nothing to free"
    )
    if found.held:
        session.out.note(
            f"{counted(found.held, 'version')} that a policy forgot within a day, or by a clock in"
            " doubt, can still be taken back; epmstore gc --now frees what they hold, too"
        )
    damaged = session.workspace.damaged()
    for key, why in damaged:
        session.out.warn(f"{key}: everything that it may need was kept: {why}")
    return IncompleteError.exit_code if damaged else 0


@command(
    examples=[("epmstore stats", "how much is stored, and how much that is on disk")],
)
def stats(session: Session) -> None:
    """Show how much is stored.

    Raw is the distinct contents as they are, stored is what they take, logical is what a copy of
    every kept version would take.
    """
    found = session.workspace.care.stats()
    if session.json:
        session.out.shape({"type": "stats", "app": None, **msgspec.structs.asdict(found)})
        return
    ratio = found.raw_bytes / found.stored_bytes if found.stored_bytes else 0.0
    session.out.table(
        [
            ("applications", number(found.apps)),
            ("versions", number(found.versions)),
            ("contents", number(found.blobs)),
            ("logical", size(found.logical_bytes)),
            ("raw", size(found.raw_bytes)),
            (
                "stored",
                f"{size(found.stored_bytes)} in {counted(found.packs, 'pack')}, {ratio:.1f} : 1",
            ),
            ("catalogs", size(found.catalog_bytes)),
            ("index", size(found.index_bytes)),
        ]
    )


@command(
    changes=True,
    examples=[("epmstore store copy /mnt/usb/epmstore", "again, and only what is new is copied")],
)
@click.argument("directory", metavar="DIR", type=PATH)
def copy(session: Session, directory: str) -> int:
    """Copy the store to another directory.

    The copy is consistent, whatever happens to the store meanwhile; an older copy in DIR is brought
    up to date. What is damaged is named (exit 6) and hinders nothing else: it comes as it is where
    DIR has none of it, and nothing that DIR has is replaced by it or removed.
    """
    path = Path(os.path.abspath(directory))
    if session.dry_run:
        session.out.note(f"would copy {session.workspace.path} to {name(str(path))}")
        return 0
    found = session.workspace.care.copy(path)
    shape = {
        "type": "copy",
        "app": None,
        "path": shapes.text(str(path)),
        "files": found.files,
        "bytes": found.size,
        "removed": found.removed,
        "damage": list(found.damage),
    }
    text = f"{counted(found.files, 'file')} copied to {name(str(path))}, {size(found.size)}"
    session.out.outcome(shape, text + (f", {found.removed:,} removed" if found.removed else ""))
    for why in found.damage:
        session.out.warn(why)
    if found.damage:
        session.out.note(
            "`epmstore fsck --read-data --repair` mends what can be mended; copy again then"
        )
    return DamagedError.exit_code if found.damage else 0


@command(
    changes=True,
    examples=[("epmstore store restore --from /mnt/usb/epmstore", "what is lost here, or all")],
)
@click.option(
    "--from", "source", metavar="COPY", type=PATH, required=True, help="What `store copy` made."
)
def restore(session: Session, source: str) -> int:
    """Bring the store back from a copy.

    Where there is no store, all of it comes from the copy. Else only what is missing or damaged
    here does: lines of catalogs as far as their chain proves that they belong there, contents that
    a version needs, the list of applications. What is sound here stays. The copy is only read.
    Exits with 6 if damage is left.
    """
    path, copied = session.store_path, Path(os.path.abspath(source))
    if session.dry_run:
        session.out.note(f"would bring {name(str(path))} back from {name(str(copied))}")
        return 0
    made = Workspace.restore(
        path, copied, progress=session.progress(), safe_stores=SafeStores(os.environ)
    )
    for text in (*made.files, *made.rebuilt.mended):
        session.out.note(f"from the copy: {text}")
    for text in made.rebuilt.damage:
        session.out.warn(text)
    print_damage(session.out, [one for one in made.report.findings if not one.repaired])
    contents = sum(f.repaired and f.digest is not None for f in made.report.findings)
    left = [f.detail for f in made.report.findings if not f.repaired]
    is_clean = made.report.clean and not made.rebuilt.damage
    shape = {
        "type": "restore",
        "app": None,
        "files": [shapes.text(text) for text in made.files],
        "mended": list(made.rebuilt.mended),
        "contents": contents,
        "damage": [*made.rebuilt.damage, *left],
        "clean": is_clean,
    }
    text = f"the store at {name(str(path))} is {'whole' if is_clean else 'not whole'}"
    session.out.outcome(shape, f"{text}; {counted(contents, 'content')} came from the copy")
    return 0 if is_clean else DAMAGED


@command(
    changes=True,
    examples=[
        ("epmstore store adopt --moved", "the disk was moved to this machine"),
        ("epmstore store adopt --new-host", "this machine is a clone of another"),
    ],
)
@click.option("--moved", is_flag=True, help="The store moved here: it stays the same store.")
@click.option("--new-host", is_flag=True, help="This is a copy: it becomes a store of its own.")
def adopt(session: Session, moved: bool, new_host: bool) -> None:
    """Take over a store from another machine.

    A store refuses to work on a machine that did not make it, so that a cloned image does not go
    on as if it were the original. Say which of the two happened.
    """
    if moved == new_host:
        raise UsageError("say one of --moved and --new-host")
    path = session.store_path
    if not session.dry_run:
        Workspace.adopt(path, new_store=new_host, safe_stores=SafeStores(os.environ))
    would = "would be" if session.dry_run else "is"
    shape = {"type": "store", "app": None, "path": shapes.text(str(path)), "new": new_host}
    shape["dry_run"] = session.dry_run
    session.out.outcome(shape, f"the store at {name(str(path))} {would} this machine's")


@command(
    changes=True,
    examples=[("epmstore store upgrade", "nothing happens if it has the newest format")],
)
def upgrade(session: Session) -> None:
    """Bring the store to the newest format.

    Older releases cannot read it afterwards; copy it first: `epmstore store copy`.
    """
    if session.dry_run:
        session.out.note(f"would upgrade {session.workspace.path}, if there is a newer format")
        return
    session.workspace.care.upgrade()
    shape = {"type": "store", "app": None, "path": shapes.text(str(session.workspace.path))}
    session.out.outcome(shape, "the store has the newest format")
