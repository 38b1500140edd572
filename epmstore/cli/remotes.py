"""Commands for remotes: where they are, and whether they are what they were."""

from collections.abc import Callable, Iterator
from typing import Any, TypedDict, Unpack

import click

from epmstore.cli.command import PATH, command
from epmstore.cli.moments import local
from epmstore.cli.output import counted, name, size
from epmstore.cli.session import Session, remotes_for_completion
from epmstore.relpath import text_from_json
from epmstore.sync.access import describe_access
from epmstore.sync.registry import POLICIES, RESTORABLE, RemoteSettings
from epmstore.workspace import remoteshapes
from epmstore.workspace.remotes import RemoteView

FAILED = 12


class Ways(TypedDict):
    """How one gets in, as it was given."""

    authorities: str | None
    credentials: str | None
    host_keys: tuple[str, ...]
    endpoint: str | None
    region: str | None


_WAYS = (
    click.option(
        "--authorities",
        metavar="FILE",
        type=PATH,
        help="Certificates (PEM) that vouch for the server.",
    ),
    click.option(
        "--credentials",
        metavar="FILE",
        type=PATH,
        help="What this host shows there: a private key, a password, or an access key.",
    ),
    click.option(
        "--host-key",
        "host_keys",
        metavar="SHA256:...",
        multiple=True,
        help="Fingerprint of the key that an SFTP server has.",
    ),
    click.option("--endpoint", metavar="URL", help="Where a bucket is, if not at Amazon."),
    click.option("--region", metavar="NAME", help="The region of a bucket."),
)


def ways_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how one gets in."""
    for option in reversed(_WAYS):
        function = option(function)
    return function


@command(
    changes=True,
    examples=[
        ("epmstore remote add site /mnt/site/depot", "a folder, of a file server perhaps"),
        (
            "epmstore remote add safe sftp://epm@backup.example.org/srv/depot"
            " --credentials /etc/epmstore/safe.key --host-key SHA256:...",
            "a folder of an SFTP server",
        ),
        (
            "epmstore remote add pool s3://crm-depot/site --endpoint https://s3.example.org"
            " --credentials /etc/epmstore/pool.key",
            "a bucket",
        ),
        ("epmstore remote add central https://depot.example.org/crm", "to read from"),
    ],
)
@click.option("--order", type=int, metavar="N", help="Lower ones are asked first. Default: last.")
@click.option("--mirror-of", metavar="NAME", help="It is to be the same depot as that remote.")
@ways_in
@click.argument("name_", metavar="NAME")
@click.argument("url")
def remote_add(
    session: Session,
    name_: str,
    url: str,
    order: int | None,
    mirror_of: str | None,
    **ways: Unpack[Ways],
) -> None:
    """Remember a remote, and make a depot there if it is empty.

    A remote is a folder (its path is its URL), a folder of an SFTP server, a bucket of an object
    store, or a web server that has one. A key is made with which this host signs what it says
    there; its fingerprint is the id of this host. Nothing is pushed yet, and nothing of a remote is
    ever believed unchecked. It is not encrypted: who can read it is said. An SFTP server has to
    have the key that --host-key names; without that its key is shown, and nothing is sent to it.
    """
    settings = session.workspace.remotes.add(
        name_, url, order=order, mirror_of=mirror_of, dry_run=session.dry_run, **ways
    )
    verb = "would be added" if session.dry_run else "is added"
    text = f"{name_} {verb}: {name(settings.url)}"
    session.out.outcome(remoteshapes.remote(RemoteView(settings, None, ())), text)
    if not session.dry_run:
        session.out.note(describe_access(settings.url))
        if settings.writer is not None:
            session.out.note(f"this host is {settings.writer} there; next: epmstore push {name_}")


@command(examples=[("epmstore remote list", "in the order in which they are asked")])
def remote_list(session: Session) -> None:
    """List the remotes of this store.

    In the order in which they are asked, with what was pushed there last, as far as is known here.
    """
    remotes = session.workspace.remotes
    views = [remotes.show(one.name) for one in remotes.list()]
    if session.json:
        for view in views:
            session.out.shape(remoteshapes.remote(view))
        return
    session.out.table([_row(view) for view in views], right=(0,))
    if not views:
        session.out.note("there is none; add one: epmstore remote add NAME URL")


def _row(view: RemoteView) -> tuple[str, ...]:
    settings, head = view.settings, view.head
    pushed = "nothing pushed yet" if head is None else f"pushed {local(head.time)}"
    if settings.writer is None:
        pushed = "to read from"
    hosts = counted(len(view.hosts), "other host")
    return (str(settings.order), settings.name, name(settings.url), pushed, hosts)


@command(examples=[("epmstore remote show site", "and the hosts that were pulled from it")])
@click.argument("name_", metavar="NAME", shell_complete=remotes_for_completion)
def remote_show(session: Session, name_: str) -> None:
    """Show a remote, and what is known from it.

    Asks nothing of the remote: `remote check` does.
    """
    view = session.workspace.remotes.show(name_)
    if session.json:
        session.out.shape(remoteshapes.remote(view))
        return
    out, settings = session.out, view.settings
    out.line(f"{settings.name}: {name(settings.url)}, asked as number {settings.order}")
    out.line(f"depot {settings.depot}; {describe_access(settings.url)}")
    for line in _said_ways(settings):
        out.line(line)
    if view.denied:
        out.warn(f"{view.denied}: not asked any more; epmstore remote check {settings.name}")
    if settings.writer is not None:
        said = "nothing was pushed yet"
        if view.head is not None:
            said = f"head {view.head.number} of {local(view.head.time)}"
        out.line(f"this host is {settings.writer} there; {said}; policy {settings.policy}")
    for host in view.hosts:
        out.line(f"host {host.writer}: head {host.head.number} of {local(host.head.time)}")
        for app in host.head.apps:
            version = "nothing recorded" if app.version is None else f"version {app.version}"
            ended = f", removed {local(app.ended)}" if app.ended else ""
            out.line(f"  {app.key} at {name(text_from_json(app.root))}: {version}{ended}")


def _said_ways(settings: RemoteSettings) -> Iterator[str]:
    """How one gets in, as far as it was said."""
    if settings.endpoint or settings.region:
        yield f"bucket at {settings.endpoint or 'Amazon'}, region {settings.region or 'us-east-1'}"
    if settings.credentials:
        yield f"shows what is in {name(settings.credentials)}"
    if settings.authorities:
        yield f"certificates by {name(settings.authorities)}"
    for key in settings.host_keys:
        yield f"host key {key}"


@command(
    changes=True,
    asks=True,
    examples=[
        ("epmstore remote set site --url /srv/depot", "the same depot at another place"),
        ("epmstore remote set safe --host-key SHA256:...", "the server got another key"),
        ("epmstore remote set site --push restorable", "contents go there, too"),
        ("epmstore remote set site --new-writer", "this host is a clone, or was restored"),
    ],
)
@click.option("--url", help="Where the depot is now.")
@click.option("--order", type=int, metavar="N", help="Lower ones are asked first.")
@click.option(
    "--push",
    "policy",
    type=click.Choice(POLICIES),
    help="What is pushed: facts, or all that kept versions need.",
)
@click.option("--new-writer", is_flag=True, help="Make another key, and so another id.")
@ways_in
@click.argument("name_", metavar="NAME", shell_complete=remotes_for_completion)
def remote_set(
    session: Session,
    name_: str,
    url: str | None,
    order: int | None,
    policy: str | None,
    new_writer: bool,
    **ways: Unpack[Ways],
) -> None:
    """Change how a remote is reached, or what goes there.

    With `--push restorable` the contents that kept versions need go, too, but never those of class
    secret; what would go is shown by the next push, and has to be agreed to.

    However it is reached, it has to be the same depot. With --new-writer this host gets another id,
    and says whose history it continues; what the old one has put there stays.
    """
    remotes = session.workspace.remotes
    if session.dry_run:
        view = remotes.show(name_)
    else:
        if new_writer:
            session.confirm(f"make another key for this host on {name_}?")
        remotes.change(name_, url=url, order=order, new_writer=new_writer, policy=policy, **ways)
        view = remotes.show(name_)
    who = f"; this host is {view.settings.writer} there" if view.settings.writer else ""
    goes = "; facts and contents are pushed" if view.settings.policy == RESTORABLE else ""
    text = f"{name_}: {name(view.settings.url)}, asked as number {view.settings.order}{who}{goes}"
    session.out.outcome(remoteshapes.remote(view), text)


@command(
    examples=[
        ("epmstore remote check site", "all that this host has there"),
        ("epmstore remote check site --read-data", "every byte of it is read back"),
    ]
)
@click.option("--read-data", is_flag=True, help="Read packs with contents back, too.")
@click.argument("name_", metavar="NAME", shell_complete=remotes_for_completion)
def remote_check(session: Session, name_: str, read_data: bool) -> int:
    """Check whether a remote is what it was.

    Whether it can be reached, is the same depot, keeps and gives what it is given (an object of
    this host is written, read in parts, replaced and deleted), has the head of this host as it was
    acknowledged, and all that this names: histories are read back; packs are there, and with
    --read-data are read back, too. What a server does not offer is said, a server that lies is
    wrong. Exits with 12 if something is wrong.
    """
    code = 0
    for one in session.workspace.remotes.check(name_, read_data=read_data):
        if not one.ok:
            code = FAILED
        if session.json:
            session.out.shape(remoteshapes.check(one))
            continue
        mark = session.out.paint("ok", "32") if one.ok else session.out.paint("WRONG", "31")
        session.out.line(f"{mark}  {one.name}: {name(one.detail)}")
        if one.hint:
            session.out.note(f"  hint: {one.hint}")
    return code


@command(
    changes=True,
    asks=True,
    examples=[("epmstore remote remove site", "what is there stays there")],
)
@click.argument("name_", metavar="NAME", shell_complete=remotes_for_completion)
def remote_remove(session: Session, name_: str) -> None:
    """Forget a remote.

    What was pulled from it goes, and so does the key of this host there: adding it again makes this
    host another one there. What is on the remote stays.
    """
    if not session.dry_run:
        session.confirm(f"forget {name_}, what was pulled from it, and the key of this host there?")
        session.workspace.remotes.remove(name_)
    else:
        session.workspace.remotes.show(name_)
    verb = "would be forgotten" if session.dry_run else "is forgotten"
    shape = {"type": "remote_removed", "app": None, "name": name_, "dry_run": session.dry_run}
    session.out.outcome(shape, f"{name_} {verb}; what is there stays there")


@command(
    changes=True,
    examples=[("epmstore remote mirror site central", "what is new at site, of all hosts")],
)
@click.argument("source", metavar="FROM", shell_complete=remotes_for_completion)
@click.argument("target", metavar="TO", shell_complete=remotes_for_completion)
def remote_mirror(session: Session, source: str, target: str) -> int:
    """Copy what all hosts have on a remote to a mirror of it.

    The mirror was added with `remote add TO URL --mirror-of FROM`. Each head is examined, and each
    object is checked and read back. Nothing is deleted there, and no head is replaced by an older
    one: that is named. Cut off, it goes on by the same command. Exits with 12 if something of a
    host was wrong, or a remote failed.
    """
    result = session.workspace.remotes.mirror(source, target, dry_run=session.dry_run)
    verb = "would be copied" if session.dry_run else "copied"
    text = f"{target}: nothing new" + (" that could be copied" if result.findings else "")
    if result.hosts:
        count = size(sum(one.size for one in result.hosts))
        text = f"{target}: news of {counted(len(result.hosts), 'host')} {verb}"
        text += "" if session.dry_run else f", {count}"
    shape = remoteshapes.mirror(source, target, result, dry_run=session.dry_run)
    session.out.outcome(shape, text)
    if not session.json:
        for one in result.findings:
            session.out.warn(one.message)
            session.out.note(f"hint: {one.hint}")
    return FAILED if result.findings else 0
