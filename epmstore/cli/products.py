"""Commands that say what is installed, and why: installed, why, owner, notes; freeze, unfreeze."""

import os

import click

from epmstore.cli.command import command
from epmstore.cli.moments import local
from epmstore.cli.output import name
from epmstore.cli.session import Session
from epmstore.errors import NotFoundError, UsageError
from epmstore.package.known import InstalledProduct
from epmstore.workspace import installshapes


@command(
    app=True,
    examples=[
        ("epmstore installed", "in all applications"),
        ("epmstore installed --app crm --files", "and the files that its release has"),
    ],
)
@click.option("--files", is_flag=True, help="List the files of each release, too.")
def installed(session: Session, files: bool) -> None:
    """List what is installed.

    The columns are application, product, version with build, and the number of the release.
    """
    found = session.workspace.packages.installed(session.app)
    if session.json:
        for one in found:
            session.out.shape(installshapes.installed(one))
            _list_files(session, one, files=files)
        return
    if not files:
        session.out.table([_row(one) for one in found])
    for one in found if files else ():
        session.out.line("  ".join(_row(one)).rstrip())
        _list_files(session, one, files=True)
    if not found:
        session.out.note("nothing is installed")


def _row(one: InstalledProduct) -> tuple[str, str, str]:
    product = one.release.product if one.release is not None else one.said.product
    title = one.title.removeprefix(f"{product} ")
    marks = [
        *(["adopted"] if one.said.adopted else []),
        *(["frozen"] if one.frozen else []),
        *([f"withdrawn: {one.release.revoked}"] if one.release and one.release.revoked else []),
    ]
    return one.app.key, name(product), name(" ".join([title, *(f"[{mark}]" for mark in marks)]))


def _list_files(session: Session, one: InstalledProduct, *, files: bool) -> None:
    for entry in session.workspace.packages.files(one) if files else ():
        if session.json:
            product = one.release.product if one.release is not None else one.said.product
            session.out.shape(installshapes.installed_file(one.app.key, product, entry))
        elif entry.kind != "directory":
            session.out.line(f"  {name(entry.path)}")


@command(
    examples=[
        ("epmstore search", "all products that are here"),
        ("epmstore search customer records", "those that have both words"),
    ]
)
@click.argument("words", metavar="[TEXT...]", nargs=-1)
def search(session: Session, words: tuple[str, ...]) -> None:
    """Look for products that are here.

    Listed are those whose catalogs are in the store, with their newest release, that have all words
    in what they are called, in what is said of them, or in what they offer. A star says that
    a product is installed.
    """
    found = session.workspace.packages.search(" ".join(words))
    if session.json:
        for one in found:
            session.out.shape(installshapes.hit(one))
        return
    rows = []
    for one in found:
        title = one.release.title.removeprefix(f"{one.release.product} ")
        said = (one.release.package.summary if one.release.package else "") or "-"
        withdrawn = f" [withdrawn: {one.release.revoked}]" if one.release.revoked else ""
        mark = "*" if one.instances else ""
        rows.append((mark, name(one.release.product), name(f"{title}{withdrawn}"), name(said)))
    session.out.table(rows)
    if not found:
        session.out.note("no product that is here has that")


@command(examples=[("epmstore why libpay", "who needs it")])
@click.argument("name_", metavar="NAME")
def why(session: Session, name_: str) -> None:
    """Say why something is installed.

    NAME is a product or an application. Listed is whom it is needed by, and what would do as well.
    """
    for one in session.workspace.packages.why(name_):
        if session.json:
            session.out.shape(installshapes.why(one))
            continue
        title = f"{one.instance}: {one.release.title}"
        if not one.by:
            session.out.line(f"{title}: nothing that is installed needs it")
        for by in one.by:
            session.out.line(f"{title}: {name(by.text)}")


@command(
    examples=[
        ("epmstore owner /opt/crm/bin/crmd", "which product has this path"),
        ("epmstore owner libpay.so.3", "who offers a library, or a capability"),
    ],
)
@click.argument("what", metavar="PATH|SONAME|LABEL")
def owner(session: Session, what: str) -> None:
    """Say which product a path, a library or a capability is of.

    A PATH is one with a slash in it, or one that is there.
    """
    packages = session.workspace.packages
    if "/" in what or os.path.lexists(what):
        folder, last = os.path.split(os.path.abspath(what))
        one, path = packages.path_owner(os.path.join(os.path.realpath(folder), last))
        if session.json:
            session.out.shape(installshapes.path_owner(one, path))
        else:
            session.out.line(f"{one.app.key}  {one.title}  {name(path)}")
        return
    found = packages.owner(what)
    for offer in found:
        if session.json:
            session.out.shape(installshapes.offering(offer))
            continue
        version = f" {offer.version}" if offer.version else ""
        absent = "" if offer.present else " (that part is not installed)"
        session.out.line(f"{offer.instance}  {offer.release.title}{version}{absent}")
    if not found:
        raise NotFoundError(
            f"nothing that is installed offers {what!r}", hint="a path is written with a slash"
        )


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore freeze crm --reason 'until the audit'", "no upgrade changes it"),
    ],
)
@click.option("--reason", metavar="TEXT", help="Why, for whoever wants to change it.")
@click.argument("name_", metavar="NAME")
def freeze(session: Session, name_: str, reason: str | None) -> None:
    """Keep a product as it is.

    Nothing upgrades or removes it until `epmstore unfreeze`. Its files are not locked.
    """
    _freeze(session, name_, frozen=True, reason=reason)


@command(app=True, changes=True, examples=[("epmstore unfreeze crm", "it may change again")])
@click.argument("name_", metavar="NAME")
def unfreeze(session: Session, name_: str) -> None:
    """Let a product change again.

    Takes `epmstore freeze` back.
    """
    _freeze(session, name_, frozen=False, reason=None)


def _freeze(session: Session, name_: str, *, frozen: bool, reason: str | None) -> None:
    app, product = session.workspace.packages.one_installed(name_, session.app)
    handle = session.workspace.app(app.key)
    session.key = app.key
    if session.dry_run:
        session.out.note(f"would {'freeze' if frozen else 'unfreeze'} {name(name_)} in {app.key}")
        return
    changed = handle.installing.freeze(product, frozen=frozen, reason=reason)
    shape = {
        "type": "frozen",
        "app": app.key,
        "uuid": product,
        "frozen": frozen,
        "changed": changed,
    }
    word = "stays as it is" if frozen else "may change"
    session.out.outcome(shape, f"{app.key}: {name_} {word}{'' if changed else ', as before'}")


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore notes", "what nobody has acknowledged yet"),
        ("epmstore notes ack 3 4 --app crm", "these are read"),
    ],
)
@click.option("--all", "all_", is_flag=True, help="Those that were acknowledged or undone, too.")
@click.argument("words", metavar="[ack N...]", nargs=-1)
def notes(session: Session, words: tuple[str, ...], all_: bool) -> None:
    """List what should be known of what was done.

    Of what was replaced, the version and path where it still is are shown; of configuration that
    was kept, those of what its vendor has. `ack` and their numbers acknowledge notes.
    """
    if words:
        _acknowledge(session, words)
        return
    for handle in session.handles():
        for one in handle.installing.notes():
            if not one.is_open and not all_:
                continue
            if session.json:
                session.out.shape(installshapes.note(handle.app.key, one))
                continue
            shown = installshapes.note(handle.app.key, one)
            path = "" if one.note.path is None else f"{name(one.note.path)} "
            where = shown["before"] or shown["theirs"]
            more = f": {name(where)}" if where else ""
            when = local(one.version.record.time)
            session.out.line(f"{handle.app.key} {one.number}  {when}  {path}{name(one.text)}{more}")


def _acknowledge(session: Session, words: tuple[str, ...]) -> None:
    if words[0] != "ack" or len(words) < 2 or not all(word.isdigit() for word in words[1:]):
        raise UsageError(
            "notes are listed, or acknowledged by their numbers", hint="as in epmstore notes ack 3"
        )
    numbers = [int(word) for word in words[1:] if len(word) < 16]
    handle = session.handle()
    if session.dry_run:
        session.out.note(f"would acknowledge {', '.join(map(str, numbers))} of {handle.app.key}")
        return
    for one in handle.installing.acknowledge(numbers):
        shape = {**installshapes.note(handle.app.key, one), "acknowledged": True}
        session.out.outcome(shape, f"{handle.app.key} {one.number}: acknowledged")
