"""The nine rules, asked after each command. Each is a function of the world and the moment that
yields what is wrong; RULES names them by their numbers.

1 nothing is lost, 2 nothing untrue is said, 3 history can always be read, 4 there and back, 5 the
dry run is the run, 6 text, JSON and API agree, 7 nobody else is harmed, 8 everything is bounded, 9
errors are ours, and their hints help.
"""

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator
from typing import TypeAlias

from epmstore.errors import ConflictError
from tests.worlds import shapes
from tests.worlds.acts import KEY, RECORDING, WATCHED, WRITING, Command
from tests.worlds.looks import ROOT, Look, Seen, above, contents, facts_of, is_within, unlike
from tests.worlds.model import (
    OURS,
    SPECIAL,
    Claim,
    Claims,
    Named,
    Version,
    differing,
    leaders_named,
    named_by,
    observable,
    path_of,
    problems,
    sources,
)
from tests.worlds.program import KILLED, Answer
from tests.worlds.world import Moment, World, of_version

LONGEST = 15.0
"""Seconds that a command may take in a world so small, locks of others included."""
STORED = ("program", "config")
REMEDIES = frozenset({"gc", "rebuild", "fsck", "unforget", "snapshot", "store", "undo"})
"""Commands that a hint names in order to change something."""
DOCUMENTED = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 130})
Rule: TypeAlias = Callable[[World, Moment], Iterator[str]]


# 1: nothing is lost.


def nothing_lost(world: World, now: Moment) -> Iterator[str]:
    """What the command displaced is in the root, or in a version that can be restored."""
    if now.act.verb == "run" or now.act.meddler is not None:
        return  # somebody else was at it, too
    had = {}
    for path, seen in now.before.items():
        if seen.kind == "file" and not _is_ours(world, path):
            had[seen.content] = path
    yield from _held_kept(world)
    gone = (set(had) | now.owed) - contents(now.after) - world.purged
    if now.is_cut:
        return  # asked again when it was recovered
    kept: dict[str, tuple[Version, bytes]] = {}
    for content, version, path in sources(world.versions.values()) if gone else ():
        kept.setdefault(content, (version, path))
    for content in sorted(filter(None, gone)):
        where = show(had.get(content, b"(of a killed command)"))
        if content not in kept:
            yield f"{where} was displaced, and its content is in no version"
        elif not _decodes(world, content, *kept[content]):
            yield f"{where} was displaced, and version {kept[content][0].number} cannot give it"
    yield from _unseen_kept(world, now)
    yield from _links_kept(world, now)


def _held_kept(world: World) -> Iterator[str]:
    for number in sorted(world.held):
        if not world.versions[number].restorable:
            yield f"version {number} was pinned or tagged, and is forgotten"


def _decodes(world: World, content: str, version: Version, path: bytes) -> bool:
    answer = world.program("cat", "--app", KEY, "--", b"%d:%s" % (version.number, path))
    return answer.code == 0 and hashlib.sha256(answer.out).hexdigest() == content


def _unseen_kept(world: World, now: Moment) -> Iterator[str]:
    """What the wanted version could not know is not taken for absent."""
    version = world.versions.get(of_version(now.shape) or -1)
    if of_version(now.shape) == 0:
        version = world.versions.get(0)
    if version is None or now.act.verb not in ("checkout", "rollback", "recover"):
        return
    for path, seen in now.before.items():
        if path in now.after or seen.kind == "directory" or is_within(path, now.act.scope):
            continue
        then = version.rules.class_of(path)
        if then in ("ignore", "state", "secret") and path not in version.claims:
            yield f"{show(path)} was {then} when version {version.number} was made, and is removed"
        if is_within(path, version.unseen):
            yield f"{show(path)} was not observed by version {version.number}, and is removed"


def _links_kept(world: World, now: Moment) -> Iterator[str]:
    """Targets of symlinks, and what is no file at all."""
    for path, seen in now.before.items():
        after = now.after.get(path)
        if _is_ours(world, path):
            continue
        if seen.kind in SPECIAL and (after is None or after.kind != seen.kind):
            yield f"the {seen.kind} {show(path)} is gone"
        is_gone = after is None or after.content != seen.content
        if seen.kind == "symlink" and is_gone and not _has_link(world, path, seen):
            yield f"the target of {show(path)} is in no version"


def _has_link(world: World, path: bytes, seen: Seen) -> bool:
    claims = [version.claims.get(path) for version in world.versions.values()]
    return any(one and (one.kind, one.content) == (seen.kind, seen.content) for one in claims)


# 2: nothing untrue is said.


def nothing_untrue(world: World, now: Moment) -> Iterator[str]:
    if now.is_cut:
        return
    verb = now.act.verb
    changed = unlike(now.before, now.after)
    is_quiet = verb not in (*WRITING, "run", "recover") and now.act.meddler is None
    excused = b"interrupted checkout" in now.answer.err or _has_stage(world, now.before)
    excused = excused or bool(now.owed) or now.act.meddler is not None
    if changed and (is_quiet or (now.is_refused and verb != "run")) and not excused:
        yield f"{verb} ended with {now.answer.code} and changed {show(*changed[:5])}"
    if now.act.foreign and (now.answer.code != ConflictError.exit_code or now.new):
        yield f"a store of others was believed: {verb} ended with {now.answer.code}"
    yield from _recorded_truly(world, now)
    if verb == "purge" and now.answer.code == 0:
        yield from _destroyed(world)
    if _goes_to_a_version(world, verb) and now.shape and now.act.meddler is None:
        yield from _as_wanted(world, now)
    if verb in WRITING and now.answer.code in (0, 1, 3) and now.act.meddler is None:
        yield from _counted_truly(world, now)
    if now.status is not None:
        yield from status_is_true(world, now.after, now.status)


def _goes_to_a_version(world: World, verb: str) -> bool:
    """Whether all that a command is about is to be as in a version: an undo, also one that is
    recovered, touches only what the operation before it did.
    """
    done = world.cut_verb if verb == "recover" else verb
    return done not in ("undo", "redo") and verb in ("checkout", "rollback", "recover")


def _destroyed(world: World) -> Iterator[str]:
    """What was purged is not to be had from any version."""
    for content, version, path in sources(world.versions.values()):
        if content in world.purged and _decodes(world, content, version, path):
            yield f"{show(path)} of version {version.number} was purged, and can be read"


def _has_stage(world: World, found: Look) -> bool:
    return any(_is_ours(world, path) and not is_within(path, world.others) for path in found)


def _is_ours(world: World, path: bytes) -> bool:
    return path.startswith(OURS) and path.split(b"/")[0] not in world.made


def _recorded_truly(world: World, now: Moment) -> Iterator[str]:
    """The newest version is what the walk saw."""
    recorded = now.act.verb in (*RECORDING, *WRITING) and now.answer.code in (0, 1, 3)
    recorded = recorded and not (now.act.verb == WATCHED and world.is_poor)
    version = now.new[-1] if now.new else _still_newest(world, now)
    if not recorded or version is None or now.act.meddler is not None:
        return
    unseen = {path: "" for path in version.unseen} | problems(now.shape)
    if now.shape.get("version") not in (None, version.number):
        yield f"the result names version {now.shape['version']}, the log {version.number}"
    yield from claims_are_true(world, version, now.after, unseen)


def _still_newest(world: World, now: Moment) -> Version | None:
    """The version that is said to have all of the root already."""
    is_said = now.act.verb in ("snapshot", WATCHED) and now.answer.code == 0
    newest = world.newest
    return newest if is_said and newest is not None and newest.rules == world.rules else None


def claims_are_true(
    world: World, version: Version, found: Look, unseen: dict[bytes, str]
) -> Iterator[str]:
    expected = observable(found, version.rules, frozenset(world.made))
    for path in differing(*map(_plain, (expected, version.claims))):
        lags = _only_class(expected, version.claims, path)
        if not (lags or is_within(path, unseen) or version.rules.leaves(path)):
            have, want = version.claims.get(path), expected.get(path)
            yield f"version {version.number} has {show(path)} as {short(have)}, not {short(want)}"


def _only_class(one: Claims, two: Claims, path: bytes) -> bool:
    """A class alone may lag until the path changes, as long as a content that must be stored is."""
    wanted, found = one.get(path), two.get(path)
    if wanted is None or found is None or wanted.path_class == found.path_class:
        return False
    if wanted.path_class in STORED and found.path_class not in STORED:
        return wanted.kind != "file" and wanted.kind == found.kind
    return "state" in (wanted.path_class, found.path_class) or wanted.facts == found.facts


def _plain(claims: Claims) -> Claims:
    return leaders_named({path: claim for path, claim in claims.items() if path != ROOT})


def _as_wanted(world: World, now: Moment) -> Iterator[str]:
    """Each wanted path is as wanted, or is named and the exit code says so."""
    number = of_version(now.shape)
    version = None if number is None else world.versions.get(number)
    if version is None or now.answer.code not in (0, 3):
        return
    named = named_by(now.shape)
    scope = world.cut_scope if now.act.verb == "recover" else now.act.scope
    left = False
    for path, claim in version.claims.items():
        if (
            path == ROOT
            or (scope and not is_within(path, scope))
            or _is_anothers(world, path, claim)
        ):
            continue
        if is_as(now.after.get(path), claim) or _is_mount_point(now, path, claim, version):
            continue
        left = True
        today = world.rules.class_of(path, is_folder=claim.kind == "directory")
        is_config = "config" in (claim.path_class, today)
        if is_config and named.keeps(path):
            left = False
        elif not named.leaves_out(path):
            why = f"it is {short(now.after.get(path))}, and nothing says so"
            yield f"{show(path)} is not as in version {number}: {why}"
    if left and now.answer.code != 3:
        yield f"paths are not as in version {number}, and the exit code is {now.answer.code}"
    if now.act.verb != "recover":  # what it keeps was named by whom it recovers, or nobody
        yield from _extras_named(world, now, version, named)


def _is_anothers(world: World, path: bytes, claim: Claim) -> bool:
    """Whether a path is not the program's to restore."""
    kind = world.rules.class_of(path, is_folder=claim.kind == "directory")
    return kind in ("ignore", "state") or claim.path_class == "state"


def _is_mount_point(now: Moment, path: bytes, claim: Claim, version: Version) -> bool:
    """Whether a folder in which nothing was recorded has another file system on it: what it looks
    like is that one's.
    """
    seen = now.after.get(path)
    is_bare = not any(other.startswith(path + b"/") for other in version.claims)
    return seen is not None and seen.kind == "mount" and claim.kind == "directory" and is_bare


def is_as(seen: Seen | None, claim: Claim) -> bool:
    """Hard links apart."""
    if seen is None:
        return False
    mode = claim.mode if seen.kind == "symlink" else seen.mode
    found = (seen.kind, mode, seen.uid, seen.gid, seen.xattrs, seen.mtime_ns, seen.content)
    return found == claim[1:8]


def _extras_named(world: World, now: Moment, version: Version, named: Named) -> Iterator[str]:
    """What the version does not have is removed, or named as kept."""
    scope = now.act.scope
    for path, seen in now.after.items():
        if path == ROOT or path in version.claims or (scope and not is_within(path, scope)):
            continue
        kind = world.rules.class_of(path, is_folder=seen.kind == "directory")
        folder = seen.kind == "directory" and any(p.startswith(path + b"/") for p in now.after)
        if _is_ours(world, path) or kind in ("ignore", "state") or folder:
            continue
        if seen.kind in (*SPECIAL, "mount"):
            continue
        if any(version.claims.get(top, _NONE).path_class == "state" for top in above(path)):
            continue
        if not (named.keeps(path) or named.leaves_out(path)):
            yield f"{show(path)} is not in version {version.number}, stays, and is not named"


_NONE = Claim("", "")


def _counted_truly(world: World, now: Moment) -> Iterator[str]:
    """Counts are those of paths, or of files and links alone."""
    if not now.shape:
        return
    said = tuple(now.shape[name] for name in ("added", "modified", "removed"))
    every, files = counted(now.before, now.after, folders=True), counted(now.before, now.after)
    anyhow = any("state" in world.classes(path) for path in now.act.scope)
    if said not in (every, files) and not anyhow and not _has_links(now):
        yield f"counts are {said}, and {every} paths changed ({files} of them no folders)"


def _has_links(now: Moment) -> bool:
    """Whether one file with several names makes counting a matter of taste."""
    looks = (now.before, now.after)
    return any(seen.kind == "file" and seen.links > 1 for one in looks for seen in one.values())


def counted(before: Look, after: Look, *, folders: bool = False) -> tuple[int, int, int]:
    counts = [0, 0, 0]
    for path in unlike(before, after):
        one, two = before.get(path), after.get(path)
        kinds = {seen.kind for seen in (one, two) if seen is not None}
        if folders or kinds != {"directory"}:
            counts[0 if one is None else 2 if two is None else 1] += 1
    return counts[0], counts[1], counts[2]


def status_is_true(world: World, found: Look, status: Answer) -> Iterator[str]:
    """Clean if and only if a walk equals the newest version; what was not seen is listed."""
    shape = next((one for one in status.shapes if one["type"] == "status"), None)
    newest = world.newest
    if shape is None or newest is None or world.rules != newest.rules:
        return
    listed_as = problems(shape)
    unseen = {path: why for path, why in listed_as.items() if why != "special"}
    expected = observable(found, world.rules, frozenset(world.made))
    wrong = [
        path
        for path in differing(*map(_plain, (expected, newest.claims)))
        if not (
            is_within(path, unseen)
            or _only_class(expected, newest.claims, path)
            or world.rules.leaves(path)
        )
    ]
    own = newest.seen
    if own is None and shape["modified"] == ["."]:
        return  # nobody has seen the root itself when that version was made
    if own is not None and facts_of(own, ROOT) != facts_of(found, ROOT):
        wrong.append(ROOT)
    listed = {name for key in ("added", "modified", "removed") for name in shape[key]}
    classes = set().union(*(world.classes(path_of(name)) for name in listed))
    if shape["clean"] != (not wrong) and not (listed and "state" in classes and not wrong):
        yield f"status says clean: {shape['clean']}, lists {sorted(listed)}; differs: {wrong[:5]}"
    for path, seen in found.items():
        kind = world.rules.class_of(path, is_folder=True)
        if seen.kind == "mount" and not is_within(path, unseen) and kind == "program":
            yield f"{show(path)} is mounted over, and status does not list it"
    hidden = [path for path in newest.claims if is_within(path, unseen) and path not in unseen]
    if hidden and "mount" in unseen.values() and status.code == 0:
        yield f"{show(*hidden[:3])} cannot be seen, and status ends with 0"


# 5: the dry run is the run.


def dry_run_is_run(world: World, now: Moment) -> Iterator[str]:
    dry, answer = now.dry, now.answer
    if dry is None or now.is_cut:
        return
    if _kind(dry) != _kind(answer):
        yield f"the dry run ends with {dry.code}, the run with {answer.code}: {_says(dry, answer)}"
        return
    if now.is_refused:
        if dry.error.get("message") != answer.error.get("message") and not now.act.text:
            yield f"they are refused for other reasons: {_says(dry, answer)}"
        return
    plan = next((one for one in dry.shapes if one["type"] == "plan"), None)
    if plan is None or not now.shape:
        return
    for key in ("added", "modified", "removed", "of"):
        if plan[key] != now.shape[key]:
            yield f"the dry run says {key}: {plan[key]}, the run {now.shape[key]}"
    if sorted(plan["kept"]) != sorted(now.shape["kept"]):
        yield f"the dry run keeps {plan['kept']}, the run {now.shape['kept']}"


def _kind(answer: Answer) -> int:
    """A repair ends as the `verify` after it."""
    return 0 if answer.code == 1 else answer.code


def _says(*answers: Answer) -> str:
    """Why each of them failed, if it did."""
    return " / ".join(
        str(answer.error.get("message") or (answer.code > 1 and answer.said[-300:]) or "fine")
        for answer in answers
    )


# 7: nobody else is harmed.


def nobody_harmed(world: World, now: Moment) -> Iterator[str]:
    one, two = now.outside
    for path in sorted(one.keys() | two.keys()):
        if one.get(path, _UNSEEN)._replace(links=0) != two.get(path, _UNSEEN)._replace(links=0):
            yield f"outside of the root, {show(path)} changed"
    for path in unlike(now.before, now.after) if world.others else ():
        if is_within(path, world.others):
            yield f"{show(path)} is of another store, and changed"
    scope = now.act.scope if now.act.meddler is None else frozenset()
    for path in unlike(now.before, now.after) if scope and now.act.verb in WRITING else ():
        before = now.before.get(path)
        is_needed = any(path in above(top) for top in scope)
        if not (is_within(path, scope) or is_needed or path == ROOT) and before is not None:
            after = now.after.get(path)
            if after is None or after.facts[:-1] != before.facts[:-1]:
                yield f"{show(path)} changed, and was not named"
    for path, seen in now.after.items():
        old = now.before.get(path)
        if old is not None and old.inode == seen.inode and seen.kind == "file":
            yield from _privileged(path, old, seen)


_UNSEEN = Seen("", 0, 0, 0, (), None, None, None, 0, (0, 0), 0)


def _privileged(path: bytes, old: Seen, new: Seen) -> Iterator[str]:
    others_may_write = old.uid != 0 or old.mode & 0o022
    gains = new.mode & 0o6000 & ~old.mode or (new.uid == 0 and old.uid != 0)
    if others_may_write and gains:
        yield f"{show(path)} gained a privilege, and is the inode that others could write"


# 8: everything is bounded.


def bounded(world: World, now: Moment) -> Iterator[str]:
    if now.answer.seconds > LONGEST:
        yield f"{now.act.verb} took {now.answer.seconds:.0f} s"
    if now.answer.left > 0:  # fewer: what an earlier one had left for the garbage collector
        yield f"{now.act.verb} left {now.answer.left} descriptors open"


# 9: errors are ours.


def errors_help(world: World, now: Moment) -> Iterator[str]:
    for answer in filter(None, (now.answer, now.dry, now.status)):
        if answer.code in DOCUMENTED or answer.code == KILLED or now.act.verb == "run":
            for word in (b"unexpected error", b"Traceback", b"cannot start"):
                if word in answer.err + answer.out:
                    yield f"{now.act.verb}: {answer.said[-300:]}"
        else:
            yield f"{now.act.verb} ended with {answer.code}"
    hint = now.answer.error.get("hint") or ""
    if now.is_refused and now.act.verb in (*WRITING, "snapshot") and not now.is_cut:
        yield from _hint_helps(world, now, hint)


def _hint_helps(world: World, now: Moment, hint: str) -> Iterator[str]:
    """A command that a hint gives word for word is carried out: then the error comes no more."""
    found = re.search(r"(?:^|: |`)epmstore ([a-z][^`;]*)", hint)
    if found is None or re.search(r"[A-Z]{3}|--help", found[1]):
        return
    words = shlex.split(found[1])
    if words[0] not in REMEDIES:
        return
    if world.program(*words).code != 0:
        return
    again = world.carry_out(now.act).answer
    if again.error.get("message") == now.answer.error.get("message"):
        yield f"`epmstore {found[1]}` was done, and again: {again.error['message']}"


def show(*paths: bytes) -> str:
    return ", ".join(repr(path)[1:] if len(path) < 80 else repr(path[:60])[1:] for path in paths)


def short(one: Claim | Seen | None) -> str:
    if one is None:
        return "absent"
    if isinstance(one, Seen):
        return f"{one.kind} {one.mode:o} {one.uid} {(one.content or '')[:8]} {one.mtime_ns}"
    content = (one.content or "")[:8]
    return f"{one.path_class} {one.kind} {one.mode:o} {one.uid} {content} {one.mtime_ns}"


RULES: dict[int, Rule] = {
    1: nothing_lost,
    2: nothing_untrue,
    5: dry_run_is_run,
    7: nobody_harmed,
    8: bounded,
    9: errors_help,
}
__all__ = ["RULES", "Command", "claims_are_true", "shapes"]
