"""Commands for the daemon: status, watch, pause, resume, jobs."""

import sys

import click

from epmstore.cli.command import command
from epmstore.cli.daemon_client import KNOWN_SECONDS, Daemon, error_of
from epmstore.cli.feed import Feed, row
from epmstore.cli.moments import local
from epmstore.cli.output import counted, name, safe_text
from epmstore.cli.session import Session
from epmstore.errors import NotFoundError, UsageError
from epmstore.measures import format_duration
from epmstore.workspace.shapes import Shape

TROUBLED = ("gone", "error")


@command(
    examples=[
        ("epmstore daemon status", "one row for each application"),
        ("epmstore daemon status --json", "everything that the daemon knows of them"),
    ],
)
def status(session: Session) -> int:
    """Show what the daemon knows and does.

    For each application its newest version, what the daemon is doing about it, what waits to be
    looked at, why less is recorded than should be, and the newest version that was proven
    restorable. Exits with 3 if the daemon has trouble with any, or with the store.
    """
    daemon = Daemon(session.store_path)
    health = daemon.get("/v1/health", wait=KNOWN_SECONDS)
    found = daemon.get("/v1/status", wait=KNOWN_SECONDS)
    _warn_of_skew(session, daemon)
    if session.json:
        session.out.shape(health)
        for one in found["apps"]:
            session.out.shape(one)
    else:
        session.out.table([row(one) for one in found["apps"]], right=(1,))
        for one in found["apps"]:
            if one["error"]:
                session.out.warn(f"{one['app']}: {one['error']}")
        if health["room_why"]:
            session.out.warn(health["room_why"])
        if health["damage"]:
            session.out.warn(
                f"the last check found {counted(health['damage'], 'damage', 'damages')} in the"
                " store: epmstore fsck"
            )
        if health.get("clock_ahead"):
            by = format_duration(abs(health["clock_ahead"]))
            where = "ahead of" if health["clock_ahead"] > 0 else "behind"
            session.out.warn(
                f"the clock leapt: it is {by} {where} what this host was up since it was right:"
                " epmstore doctor"
            )
        if health["waiting_settings"]:
            waiting = ", ".join(health["waiting_settings"])
            session.out.warn(f"changed, and counts from the next start of the daemon: {waiting}")
        running = f"epmstored {health['release']}, up {_age(health['uptime'])}"
        count = counted(health["apps"], "application")
        session.out.note(f"{running}, {count}, {counted(health['jobs'], 'job')} running")
    troubled = health["damage"] or health["room"] == "full" or health.get("clock_ahead")
    return 3 if troubled or any(one["state"] in TROUBLED for one in found["apps"]) else 0


def _warn_of_skew(session: Session, daemon: Daemon) -> None:
    if daemon.skew:
        session.out.warn(daemon.skew)


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@command(
    examples=[
        ("epmstore daemon watch", "a live view; Ctrl-C ends it"),
        ("epmstore daemon watch --json", "each event, for a program"),
    ],
)
def watch(session: Session) -> int:
    """Show what happens, as it happens.

    On a terminal a table of all applications and running jobs; elsewhere one line for each change.
    Ends with the daemon.
    """
    feed = Feed(Daemon(session.store_path))
    if session.json:
        for _, shape in feed.events():
            session.out.shape(shape)
            sys.stdout.flush()
    elif sys.stdout.isatty():
        if not feed.show():
            return 0
    else:
        for line in feed.lines():
            session.out.line(safe_text(line))
            sys.stdout.flush()
    session.out.note("the daemon has ended, or told more than was read")
    return 0


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore daemon pause", "all applications"),
        ("epmstore daemon pause --app crm", "one of them"),
    ],
)
def pause(session: Session) -> None:
    """Let the daemon record nothing for a while.

    Without --app, of all applications. What changes meanwhile is recorded as one version once it is
    resumed. A pause lasts until then, whatever is restarted. For changes made on purpose, `epmstore
    run` and `epmstore change begin` are better.
    """
    _switch(session, "pause")


@command(
    app=True,
    changes=True,
    examples=[("epmstore daemon resume", "all applications")],
)
def resume(session: Session) -> None:
    """Let the daemon record again.

    Without --app, all applications. Everything that changed meanwhile is recorded as one version.
    """
    _switch(session, "resume")


def _switch(session: Session, verb: str) -> None:
    daemon = Daemon(session.store_path)
    # One that hangs is not left a request, which it would do when its user no longer expects it.
    found = daemon.get("/v1/status", wait=KNOWN_SECONDS)
    if session.dry_run:
        keys = [one["app"] for one in found["apps"] if session.app in (None, one["app"])]
        session.out.note(f"would {verb} {', '.join(keys) or 'nothing'}")
        return
    found = daemon.post(f"/v1/{verb}", {"app": session.app})
    _warn_of_skew(session, daemon)
    if session.json:
        session.out.shape(found)
    else:
        session.out.table([row(one) for one in found["apps"]], right=(1,))


@command(
    changes=True,
    examples=[
        ("epmstore daemon jobs", "those that run, wait, or ended since the daemon started"),
        (
            "epmstore daemon jobs 5f2e --follow",
            "until it ends; the beginning of its name is enough",
        ),
        ("epmstore daemon jobs 5f2e --cancel", "stop it, where that is safe"),
    ],
)
@click.option("--follow", is_flag=True, help="Show the job until it ends.")
@click.option("--cancel", is_flag=True, help="Stop the job; a checkout that runs is not stopped.")
@click.argument("job", required=False)
def jobs(session: Session, job: str | None, follow: bool, cancel: bool) -> None:
    """List, follow or stop the daemon's jobs.

    Jobs are what was asked for over the daemon's socket. With JOB, that one alone; it fails as the
    job did if that is followed.
    """
    if job is None and (follow or cancel):
        raise UsageError("which job?", hint="see: epmstore daemon jobs")
    daemon = Daemon(session.store_path)
    found = daemon.get("/v1/jobs", wait=KNOWN_SECONDS)["jobs"]
    _warn_of_skew(session, daemon)
    chosen = found if job is None else [_choose(found, job)]
    if cancel and not session.dry_run:
        chosen = [daemon.post(f"/v1/jobs/{chosen[0]['id']}/cancel", {})]
    elif cancel:
        session.out.note(f"would stop the job {chosen[0]['id']}")
    if follow:
        chosen = [_follow(session, daemon, chosen[0]["id"])]
    _show(session, chosen)
    if follow and chosen[0]["error"]:
        raise error_of(chosen[0]["error"])


def _choose(found: list[Shape], job: str) -> Shape:
    matching = [one for one in found if one["id"].startswith(job)]
    if len(matching) != 1:
        what = "no job" if not matching else f"{len(matching)} jobs"
        kind = UsageError if matching else NotFoundError
        raise kind(f"{what} {job!r}", hint="see: epmstore daemon jobs")
    return matching[0]


def _follow(session: Session, daemon: Daemon, job: str) -> Shape:
    shape: Shape = {}
    for event, found in daemon.events(f"/v1/jobs/{job}/events"):
        if event == "job":
            shape = found
            if found["progress"] and not session.json:
                session.out.note(_progress(found["progress"]))
    return shape or daemon.get(f"/v1/jobs/{job}")


def _show(session: Session, found: list[Shape]) -> None:
    if session.json:
        for one in found:
            session.out.shape(one)
        return
    session.out.table([_job_row(one) for one in found])
    if not found:
        session.out.note("no jobs")


def _job_row(job: Shape) -> tuple[str, ...]:
    error = safe_text(job["error"]["message"]) if job["error"] else ""
    what = _progress(job["progress"]) if job["progress"] else error
    started = local(job["started"] or job["created"])
    who = str(job["actor"].get("user") or job["actor"].get("uid"))
    return (job["id"], job["kind"], job["app"] or "-", job["state"], started, name(who), what)


def _progress(progress: Shape) -> str:
    done, total = progress["files"], progress["files_total"]
    return f"{progress['what']}: {done:,}" + (f" of {total:,}" if total else "")
