"""The commands `push`, `pull` and `sync`."""

import sys
from collections.abc import Callable, Sequence

import click

from epmstore.cli.adopthost import pull_own
from epmstore.cli.command import command
from epmstore.cli.moments import local
from epmstore.cli.output import Output, counted, name, number, size
from epmstore.cli.session import Session, remotes_for_completion
from epmstore.errors import EpmError, UsageError
from epmstore.sync.access import describe_access
from epmstore.sync.pulling import PullResult
from epmstore.workspace import remoteshapes
from epmstore.workspace.remotes import Pushed

FAILED = 12
INCOMPLETE = 3


@command(
    changes=True,
    asks=True,
    examples=[
        ("epmstore push site", "what was recorded since the last time"),
        ("epmstore push --dry-run", "what would go, to each remote"),
        ("epmstore push site --anew", "all of it, to a depot that lost something"),
    ],
)
@click.option("--anew", is_flag=True, help="Check and write all of it, whatever is there.")
@click.argument("name_", metavar="[NAME]", required=False, shell_complete=remotes_for_completion)
def push(session: Session, name_: str | None, anew: bool) -> int:
    """Send what was recorded here to a remote, or to all.

    What goes are facts: the histories of all applications of this host, with names, metadata and
    digests of files. Their contents go only with `remote set NAME --push restorable`: those that
    kept versions need, and never those of class secret. The first time it is shown, and has to be
    agreed to. Cut off anywhere, it goes on by pushing again. Exits with 12 if a remote failed, on
    which nothing that is recorded here depends; with 3 if contents cannot be read here.
    """
    return _each(session, name_, lambda one: _push(session, one, anew=anew), writing=True)


@command(
    changes=True,
    examples=[
        ("epmstore pull site", "what other hosts pushed since the last time"),
        ("epmstore pull central --host ID", "of one host, from a web server, which lists none"),
        ("epmstore pull site --forget ID", "take a host as if nothing were known of it"),
        ("epmstore pull site --own", "this store came back from a backup"),
    ],
)
@click.option("--own", is_flag=True, help="What this host itself had pushed, and does not know.")
@click.option("--host", "hosts", metavar="ID", multiple=True, help="Of this host alone.")
@click.option("--forget", metavar="ID", multiple=True, help="Forget what is known of a host first.")
@click.argument("name_", metavar="[NAME]", required=False, shell_complete=remotes_for_completion)
def pull(
    session: Session,
    name_: str | None,
    hosts: tuple[str, ...],
    forget: tuple[str, ...],
    own: bool,
) -> int:
    """Bring what other hosts pushed from a remote, or from all.

    Each history is checked line by line, and is what its host signed. A head that is older than the
    one that is known, is another's, or is gone, is named with what helps, and what is known stays.
    Exits with 12 then, or if a remote failed.

    With --own, this host takes back what it had pushed itself: for a store that came back from a
    backup. Its histories go on where they were, contents come, and what is in roots now is drift.
    Exits with 3 if contents were never pushed: versions that lack some are forgotten.
    """
    if own:
        if hosts or forget:
            raise UsageError("--own is about this host alone")
        return _each(session, name_, lambda one: pull_own(session, one))
    return _each(session, name_, lambda one: _pull(session, one, hosts, forget))


@command(
    changes=True,
    asks=True,
    examples=[("epmstore sync", "push to all remotes, and pull from them")],
)
@click.argument("name_", metavar="[NAME]", required=False, shell_complete=remotes_for_completion)
def sync(session: Session, name_: str | None) -> int:
    """Push to a remote and pull from it, or from all.

    As `push` and then `pull`; to what can only be read from, nothing is pushed.
    """

    def both(one: str) -> int:
        writes = session.workspace.remotes.show(one).settings.writer is not None
        code = _push(session, one, anew=False) if writes else 0
        return max(code, _pull(session, one, (), ()))

    return _each(session, name_, both)


def _each(
    session: Session, name_: str | None, act: Callable[[str], int], *, writing: bool = False
) -> int:
    """Each remote that is meant; one that fails keeps none of the others."""
    remotes = session.workspace.remotes
    names = remotes.named(name_)
    if len(names) == 1:
        return act(names[0])
    code = 0
    for one in names:
        if writing and remotes.show(one).settings.writer is None:
            continue
        try:
            code = max(code, act(one))
        except UsageError:
            raise
        except EpmError as error:
            code = max(code, FAILED)
            session.out.warn(f"{one}: {error.message}", code=error.code)
            if error.hint:
                session.out.note(f"hint: {error.hint}")
    return code


def _push(session: Session, one: str, *, anew: bool) -> int:
    remotes = session.workspace.remotes
    pushed = remotes.push(one, anew=anew, agreed=session.yes, dry_run=session.dry_run)
    if pushed.done is None and not session.dry_run:
        _agree(session, one, pushed)
        pushed = remotes.push(one, anew=anew, agreed=True)
    shape = remoteshapes.push(one, pushed, dry_run=session.dry_run)
    session.out.outcome(shape, _closing(one, pushed, dry_run=session.dry_run))
    if not session.json and session.dry_run:
        _list(session.out, pushed)
    lacking = {} if pushed.sent is None else pushed.sent.lacking
    for key, count in lacking.items():
        session.out.warn(f"{key}: {counted(count, 'content')} cannot be read here, and did not go")
    if lacking:
        session.out.note("hint: `epmstore fsck --read-data --repair`")
    return INCOMPLETE if lacking else 0


def _agree(session: Session, one: str, pushed: Pushed) -> None:
    """The first time: what goes is shown, and a person says yes. Raises UsageError where there is
    no terminal, DeclinedError.
    """
    url = pushed.plan.settings.url
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"nothing was pushed to {one} before: what goes there is to be seen first",
            hint=f"`epmstore push {one} --dry-run` shows it; then `epmstore push {one} --yes`",
        )
    session.out.note(f"to {url} would go, for the first time:")
    _list(session.out, pushed)
    also = "their contents, but for secrets" if pushed.contents is not None else "no contents"
    session.out.note(f"that is names, metadata and digests of all recorded files, and {also}")
    session.out.note(describe_access(url))
    session.confirm(f"push this to {one}, now and from now on?")


def _list(out: Output, pushed: Pushed) -> None:
    lines = [
        f"{app.key}: {_versions(app.before, app.version)}, {counted(app.lines, 'line')},"
        f" {size(app.size)}"
        for app in pushed.plan.apps
        if app.lines
    ]
    if pushed.contents is not None:
        lines += [
            f"{app.key}: {counted(app.contents, 'content')} of {number(app.known)},"
            f" {size(app.size)}, as about {size(app.cost)}"
            for app in pushed.contents.apps
        ]
    for line in out.some(lines):
        out.line(line)


def _versions(before: int | None, version: int | None) -> str:
    if version is None:
        return "no version"
    first = 0 if before is None else before + 1
    if first > version:
        return "no new version"
    return f"version {version}" if first == version else f"versions {first} to {version}"


def _closing(one: str, pushed: Pushed, *, dry_run: bool) -> str:
    contents = _contents(pushed, dry_run=dry_run)
    if pushed.plan.is_nothing:
        return f"{one} has all that is recorded here" if not contents else f"{one}: {contents}"
    apps = [app for app in pushed.plan.apps if app.lines]
    said = ", ".join(f"{app.key} up to version {app.version}" for app in apps[:5])
    more = f" and {counted(len(apps) - 5, 'more application')}" if len(apps) > 5 else ""
    verb = "would be sent" if dry_run else "sent"
    facts = f"{one}: {said or 'what this host is'}{more}; {size(pushed.plan.size)} {verb}"
    return f"{facts}; {contents}" if contents else facts


def _contents(pushed: Pushed, *, dry_run: bool) -> str:
    """What of contents goes, or went; nothing, if none does."""
    if pushed.contents is None or not pushed.contents.packs:
        return ""
    count = sum(app.contents for app in pushed.contents.apps)
    if pushed.sent is None:
        verb = "would be" if dry_run else "are to be"
        return f"{counted(count, 'content')}, about {size(pushed.contents.cost)}, {verb} sent"
    packs = counted(pushed.sent.packs, "pack")
    return f"{counted(count, 'content')} sent in {packs}, {size(pushed.sent.size)}"


def _pull(session: Session, one: str, hosts: Sequence[str], forget: Sequence[str]) -> int:
    remotes = session.workspace.remotes
    result = remotes.pull(one, hosts=hosts, forget=forget, dry_run=session.dry_run)
    session.out.outcome(
        remoteshapes.pull(one, result, dry_run=session.dry_run),
        _pulled(one, result, dry_run=session.dry_run),
    )
    if not session.json:
        for host in result.hosts:
            new = " (new)" if host.is_new else ""
            apps = ", ".join(f"{app.key} version {app.version}" for app in host.apps)
            session.out.line(f"  {host.writer}{new}, {local(host.time)}: {name(apps or 'nothing')}")
        for one_finding in result.findings:
            session.out.warn(one_finding.message)
            session.out.note(f"hint: {one_finding.hint}")
    return FAILED if result.findings else 0


def _pulled(one: str, result: PullResult, *, dry_run: bool) -> str:
    if not result.hosts:
        return f"{one}: nothing new" + (" that could be taken" if result.findings else "")
    verb = "would be pulled" if dry_run else "pulled"
    count = sum(app.size for host in result.hosts for app in host.apps)
    return f"{one}: news of {counted(len(result.hosts), 'host')} {verb}, {size(count)}"
