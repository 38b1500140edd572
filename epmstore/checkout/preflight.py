"""Everything that could stop a plan half-way, looked at before it begins. Changes nothing.

Facts are gathered by system calls, and each kind of trouble is one error that names the remedy: no
space, no inodes, no permission, a read-only or network file system, another device, immutable
files, missing contents, and processes that hold what would be replaced.
"""

import os
import shlex
import stat
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from shlex import quote

import msgspec

from epmstore import fsio
from epmstore.atomic import directory
from epmstore.blobs.interface import BlobReader
from epmstore.checkout.goal import Goal, ReleaseGoal
from epmstore.checkout.lost import AbsentContentsError, damaged
from epmstore.checkout.plan import Plan, Step
from epmstore.checkout.rewrites import Caller, identity_of, is_made_anew, rightful_writers
from epmstore.checkout.stage import is_staged
from epmstore.digest import BlobInfo
from epmstore.errors import (
    ConflictError,
    DiskFullError,
    EpmError,
    InUseError,
    RootError,
)
from epmstore.limits import OURS
from epmstore.relpath import RelPath, split
from epmstore.scan.folders import FolderCache
from epmstore.scan.holders import Holder, holders
from epmstore.scan.mounts import filesystem

BLOCK = 4096
SHOWN = 50
"""Immutable paths in one hint."""
HELD_FAST = ("mapped", "executing")


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller takes upon itself. `live`: running programs may be replaced under their
    processes. `hooks`: the application is stopped, started and checked, if it says how, within
    these limits unless it has its own. `confirm`: seconds until it is undone unless it is
    confirmed. `unattended`: no person looks on, so an application that is held is left alone.
    """

    live: bool = False
    allow_network: bool = False
    hooks: bool = True
    hook_timeout: float = 60.0
    health_timeout: float = 30.0
    confirm: float | None = None
    unattended: bool = False


def preflight(
    root_fd: int,
    plan: Plan,
    blobs: BlobReader,
    terms: Terms,
    *,
    in_use: bool = True,
    contents: bool = True,
    about: Container[BlobInfo] = frozenset(),
) -> None:
    """Raises the first trouble there is: RootError, DiskFullError, EpmError, NotRestorableError,
    InUseError. Who uses the files is left for later without `in_use`, and whether all contents are
    stored without `contents`; those `about` to be count as stored.
    """
    if not plan.steps:
        return
    _check_filesystem(root_fd, terms)
    if contents:
        _check_contents(plan, blobs, about)
    _check_space(root_fd, plan.steps)
    protected = _check_folders(root_fd, plan.steps)
    identities, immutable = _check_files(root_fd, plan.steps)
    protected += immutable
    if protected:
        raise _immutable(root_fd, protected)
    if in_use:
        _check_holders(identities, terms)
        _check_writers(plan.steps)


def check_in_use(root_fd: int, plan: Plan, terms: Terms) -> None:
    """What `preflight` left for later. Raises InUseError."""
    _check_holders(_check_files(root_fd, plan.steps)[0], terms)
    _check_writers(plan.steps)


def check_place_for(folder: Path, plan: Plan, terms: Terms) -> None:
    """What of `preflight` can be said of a root that is to be made in a folder. Raises as it
    does.
    """
    with directory(folder) as fd:
        _check_filesystem(fd, terms)
        _check_space(fd, plan.steps)
        if not os.access(f"/proc/self/fd/{fd}", os.W_OK | os.X_OK, effective_ids=True):
            raise RootError(
                f"in {folder} nothing can be made by this user",
                hint="run it as root, or take another root with --root",
            )


def _check_filesystem(root_fd: int, terms: Terms) -> None:
    found = filesystem(root_fd)
    if found.read_only or os.fstatvfs(root_fd).f_flag & os.ST_RDONLY:
        raise RootError(
            "the root is on a read-only file system",
            hint="remount it writable, or use `checkout --target DIR` to get the tree elsewhere",
        )
    if found.network and not terms.allow_network:
        raise RootError(
            f"the root is on a network file system ({found.name}), which others may write to",
            hint="make sure that nobody else does, then use --allow-network",
        )


def _check_contents(plan: Plan, blobs: BlobReader, about: Container[BlobInfo]) -> None:
    needed = {step.content for step in plan.steps if step.content is not None}
    gone = [info for info in blobs.missing(needed) if info not in about]
    lost = {info for info in gone if blobs.has(info)}
    if lost:
        raise damaged([(s.path, s.content) for s in plan.steps if s.content is not None], lost)
    missing = len(gone)
    if missing:
        raise AbsentContentsError(
            f"{missing} of {len(needed)} contents are not in the store",
            hint=_where_contents_are(plan.goal),
            contents=gone,
            missing=missing,
        )


def _where_contents_are(goal: Goal | None) -> str:
    """What helps. The contents of a release may never have been here."""
    if isinstance(goal, ReleaseGoal):
        return f"`epmstore repair --release {goal.release} --from PLACE` takes them from there"
    return (
        "`epmstore rebuild` finds what only the index has lost,"
        " `epmstore fsck --repair` looks for the rest in the live roots"
    )


def _check_space(root_fd: int, steps: Sequence[Step]) -> None:
    check_space(root_fd, space_needed(steps), "the plan needs")


class SpaceNeeded(msgspec.Struct, frozen=True):
    """What a plan takes of a file system until it is done, in bytes and inodes."""

    size: int = 0
    inodes: int = 0

    def __add__(self, other: "SpaceNeeded") -> "SpaceNeeded":
        return SpaceNeeded(self.size + other.size, self.inodes + other.inodes)


def space_needed(steps: Sequence[Step]) -> SpaceNeeded:
    """Of what is made beside what is there."""
    caller = Caller.now()
    sizes = [step.seen.size for step in steps if step.seen and is_made_anew(step, caller)]
    sizes += [  # of what has holes, it is not known how much is written
        step.content.size
        for step in steps
        if step.content is not None and step.new is not None and not step.new.sparse
    ]
    size = sum(-(-size // BLOCK) * BLOCK for size in sizes)
    inodes = 1 + sum(is_staged(step) or is_made_anew(step, caller) for step in steps)
    return SpaceNeeded(size, inodes)


def check_space(root_fd: int, needed: SpaceNeeded, who: str) -> None:
    """Whether there is room on the file system of a root; `who` says what needs it. Raises
    DiskFullError.
    """
    found = os.fstatvfs(root_fd)
    free = (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize
    if needed.size > free:
        raise DiskFullError(
            f"{who} {needed.size:,} bytes on the root's file system, {free:,} are free",
            hint="free some space there; nothing was changed",
            needed=needed.size,
            free=free,
        )
    if found.f_files and needed.inodes > found.f_ffree:
        raise DiskFullError(
            f"{who} {needed.inodes:,} inodes on the root's file system, {found.f_ffree:,} are free",
            hint="remove some files there; nothing was changed",
        )


def check_space_for_all(plans: Sequence[tuple[Path, Plan]]) -> None:
    """Whether there is room for plans that are staged at the same time, on each file system that
    they are for. Each comes with its root, or with the folder that is to hold it. Raises
    DiskFullError, OSError.
    """
    needed: dict[int, SpaceNeeded] = {}
    roots: dict[int, Path] = {}
    for folder, plan in plans:
        device = os.stat(folder).st_dev
        roots[device] = folder
        needed[device] = needed.get(device, SpaceNeeded()) + space_needed(plan.steps)
    for device, folder in roots.items():
        with directory(folder) as fd:
            check_space(fd, needed[device], "all of it needs")


def _check_folders(root_fd: int, steps: Sequence[Step]) -> list[str]:
    """Immutable folders, in which something is to change. Raises RootError, EpmError."""
    protected: list[str] = []
    device = os.fstat(root_fd).st_dev
    with FolderCache(root_fd) as folders:
        for folder in sorted({"", *(split(step.path)[0] for step in steps)}, key=os.fsencode):
            try:
                fd = folders.open(folder)
            except OSError as error:
                if error.errno in OURS:
                    raise
                continue  # the plan is about to make it
            if os.fstat(fd).st_dev != device:
                raise RootError(f"{folder!r} is on another file system than the root")
            if fsio.attribute_flags(fd) & fsio.PROTECTED:
                protected.append(folder or ".")
            elif not os.access(f"/proc/self/fd/{fd}", os.W_OK | os.X_OK, effective_ids=True):
                raise _closed_folder(folder, is_own=os.fstat(fd).st_uid == os.geteuid())
    return protected


def _closed_folder(folder: RelPath | str, *, is_own: bool) -> EpmError:
    allow = f"`chmod u+wx {shlex.quote(folder or '.')}` in the root, and check out again"
    return EpmError(
        f"no permission to change the folder {folder or '.'!r}",
        hint=allow if is_own else "run as the owner of the root, or as root",
        path=folder,
    )


def _check_files(
    root_fd: int, steps: Iterable[Step]
) -> tuple[dict[tuple[int, int], RelPath], list[str]]:
    """(the identities of existing files that the plan replaces or removes; immutable files)."""
    protected: list[str] = []
    identities: dict[tuple[int, int], RelPath] = {}
    with FolderCache(root_fd) as folders:
        for step in steps:
            if step.old is None or step.old.kind != "file":
                continue
            folder, name = split(step.path)
            try:
                parent = folders.open(folder)
                identity = _identity(parent, name, step)
                if identity is not None and _is_protected(parent, name):
                    protected.append(step.path)
            except OSError as error:
                if error.errno in OURS:
                    raise
                continue
            if identity is not None and step.op != "set":
                identities[identity] = step.path
    return identities, protected


def _identity(parent: int, name: str, step: Step) -> tuple[int, int] | None:
    """(st_dev, st_ino) of a file, None for anything else."""
    if step.seen is not None:
        return step.seen.dev, step.seen.ino
    found = fsio.lstat(name, parent)
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _is_protected(parent: int, name: str) -> bool:
    answer = fsio.is_protected(name, parent)
    if answer is not None:
        return answer
    fd = fsio.open_file(name, parent)
    try:
        return bool(fsio.attribute_flags(fd) & fsio.PROTECTED)
    finally:
        os.close(fd)


def _immutable(root_fd: int, paths: Sequence[str]) -> ConflictError:
    """All of them at once: each `chattr` would only lead to the next one."""
    root = os.readlink(f"/proc/self/fd/{root_fd}")
    shown = " ".join(quote(f"{root}/{path}") for path in paths[:SHOWN])
    rest = f"; and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
    one = f"{paths[0]!r} is" if len(paths) == 1 else f"{len(paths):,} paths are"
    named = "" if len(paths) == 1 else f", {paths[0]!r} for one"
    return ConflictError(
        f"{one} immutable or append-only{named}",
        hint=f"if they may be changed: chattr -i -a {shown}{rest}",
        path=paths[0],
        paths=list(paths),
    )


def _check_holders(identities: dict[tuple[int, int], RelPath], terms: Terms) -> None:
    if not identities:
        return
    found = holders(identities.keys()).found
    writers = [holder for holder in found if holder.mode == "write"]
    if writers:
        raise _in_use(writers, identities, "open for writing", "stop them, then try again")
    fast = [holder for holder in found if holder.mode in HELD_FAST]
    if fast and not terms.live:
        hint = "stop them, or use --live: they go on with the old files until they restart"
        raise _in_use(fast, identities, "in use", hint)


def _check_writers(steps: Iterable[Step]) -> None:
    """Of files that get another owner or other rights, and are made anew for that: who may write to
    them as they are to be must not go on with the old ones.
    """
    caller = Caller.now()
    wanted = {
        identity: step
        for step in steps
        if is_made_anew(step, caller) and (identity := identity_of(step)) is not None
    }
    found = rightful_writers({i: one.new for i, one in wanted.items() if one.new is not None})
    if found:
        paths = {holder.identity: wanted[holder.identity].path for holder in found}
        raise _in_use(found, paths, "open for writing", "stop them, then try again")


def _in_use(
    found: Sequence[Holder], identities: dict[tuple[int, int], RelPath], how: str, hint: str
) -> InUseError:
    first = found[0]
    processes = sorted({holder.pid for holder in found})
    others = f" and {len(processes) - 1} more processes" if len(processes) > 1 else ""
    return InUseError(
        f"{identities[first.identity]!r} is {how} by {first.command} (process {first.pid}){others}",
        hint=hint,
        processes=processes,
        paths=sorted({identities[holder.identity] for holder in found}),
    )
