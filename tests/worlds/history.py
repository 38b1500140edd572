"""Rules 3, 4 and 6: history can always be read, there and back is back, and all forms agree."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from epmstore.workspace import Workspace
from tests.worlds import shapes
from tests.worlds.acts import KEY, OTHER, WRITING, Command
from tests.worlds.looks import ROOT, Look, above, look, unlike
from tests.worlds.model import claims_of, differing, named_by, path_of
from tests.worlds.program import Answer, call
from tests.worlds.rules import is_as, short, show
from tests.worlds.world import Moment, World

# 3: history can always be read.


def readable(world: World, now: Moment) -> Iterator[str]:
    """After each command: the log can be read, and says what it said."""
    if now.is_cut or world.is_cut:
        return
    if world.logged.code != 0:
        yield f"log ends with {world.logged.code}: {world.logged.said[-300:]}"
        for key in world.keys[1:]:
            answer = world.program("log", "--app", key)
            if answer.code != 0:
                yield f"and so does log of {key}: {answer.said[-300:]}"
    numbers = sorted(world.versions)
    if numbers != [*range(len(numbers))]:
        yield f"versions are {numbers}"


def readable_to_the_end(world: World, *, thoroughly: bool) -> Iterator[str]:
    """All of it, once a world is over."""
    for version in world.versions.values():
        listed = world.ask("ls", str(version.number))
        if listed.code != 0:
            yield f"ls {version.number} ends with {listed.code}: {listed.said[-300:]}"
        elif other := differing(claims_of(listed.shapes), version.claims):
            yield f"version {version.number} was otherwise in {show(*other[:5])}"
        folders = {path for path, claim in version.claims.items() if claim.kind == "directory"}
        stray = [path for path in version.claims if not {*above(path)} <= folders]
        if stray:
            yield f"version {version.number} is no tree: in no folder are {show(*stray[:5])}"
    for one in sorted(world.versions)[1:]:
        answer = world.ask("diff", f"{one - 1}..{one}")
        if answer.code != 0:
            yield f"diff {one - 1}..{one} ends with {answer.code}: {answer.said[-300:]}"
    numbers = [n for n, version in sorted(world.versions.items()) if version.restorable]
    for number in numbers if thoroughly else {*numbers[:1], *numbers[-1:]}:
        yield from _exported(world, KEY, number)
    if OTHER in world.keys:
        yield from _exported(world, OTHER, 0)
    answer = world.program("--json", "fsck", "--read-data", "100%")
    if answer.code != 0:
        yield f"fsck ends with {answer.code}: {answer.said[-400:]}"


def second_is_sound(world: World) -> Iterator[str]:
    """What another store has of the same root, whatever we did there."""
    if not (world.place / "second").exists():
        return
    for words in (("recover",), ("log", "--all"), ("fsck", "--read-data", "100%")):
        answer = call(*words, "--store", str(world.place / "second"))
        if words[0] == "recover" and re.search(b"was replaced|cannot be opened", answer.err):
            continue  # somebody took it away, or put another folder there
        if answer.code not in (0, 1, 3) or (words[0] == "fsck" and answer.code):
            yield f"{words[0]} of another store ends with {answer.code}: {answer.said[-300:]}"


def _exported(world: World, key: str, number: int) -> Iterator[str]:
    target = world.place / "exported"
    answer = world.program("checkout", str(number), "--target", str(target), "--json", "--app", key)
    found = look(os.fsencode(target))
    shutil.rmtree(target, ignore_errors=True)
    if answer.code not in (0, 3):
        yield f"checkout {number} --target of {key} ends with {answer.code}: {answer.said[-300:]}"
        return
    if key == OTHER:
        if b"file" not in found:
            yield "the other application's file is not in its version"
        return
    version, named = world.versions[number], named_by(answer.shapes[-1])
    for path, claim in version.claims.items():
        if path == ROOT or claim.path_class in ("state", "secret"):
            continue
        if not is_as(found.get(path), claim) and not (named.leaves_out(path) or named.keeps(path)):
            what = f"is {short(found.get(path))}, not {short(claim)}"
            yield f"exported, {show(path)} of {number} {what}"


def rebuilt(world: World) -> Iterator[str]:
    """What `rebuild` makes of a copy answers the same."""
    copy = world.place / "rebuilt"
    shutil.copytree(world.store, copy, symlinks=True)
    try:
        yield from _as_before(world, copy)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _as_before(world: World, copy: Path) -> Iterator[str]:
    for path in copy.glob("index.sqlite*"):
        path.unlink()
    answer = call("--json", "rebuild", "--store", str(copy))
    if answer.code != 0:
        yield f"rebuild ends with {answer.code}: {answer.said[-400:]}"
        return
    for key in world.keys:
        questions = [("log", "--all"), *(("ls", str(n)) for n in world.versions if key == KEY)]
        for words in questions:
            here = world.program(*words, "--json", "--app", key)
            there = call(*words, "--json", "--app", key, "--store", str(copy))
            if (here.code, here.out) != (there.code, there.out):
                yield f"rebuilt, {' '.join(words)} of {key} is another one: {there.said[-300:]}"


# 4: there and back.


def there_and_back(world: World, now: Moment) -> Iterator[str]:
    """Undo gives the tree before, redo the one after; rollbacks in a row walk back."""
    yield from _walks_back(world, now)
    if (
        not now.act.back
        or now.act.verb not in WRITING
        or now.answer.code not in (0, 3)
        or not now.shape.get("changed")
    ):
        return
    steps = (b"redo", b"undo") if now.act.verb == "undo" else (b"undo", b"redo")
    for step, wanted in zip(steps, (now.before, now.after), strict=True):
        moment = world.carry_out(Command((step,)))
        if moment.answer.code not in (0, 3):
            said = moment.answer.said[-300:]
            yield f"{moment.act.verb} right after {now.act.verb} is refused: {said}"
            return
        named = named_by(moment.shape)
        wrong = [p for p in unlike(moment.after, wanted) if not named.leaves_out(p)]
        wrong = [p for p in wrong if not _is_state_and_links(world, moment.after, wanted, p)]
        if wrong:
            one, two = (short(tree.get(wrong[0])) for tree in (wanted, moment.after))
            yield f"{moment.act.verb} of {now.act.verb}: {show(*wrong[:5])} is {two}, was {one}"
            return


def _is_state_and_links(world: World, one: Look, two: Look, path: bytes) -> bool:
    """Whether paths are alike but for being links of others: of state, nobody brings that back."""
    if path not in one or path not in two or "state" not in world.classes(path):
        return False
    return one[path].facts[:-1] == two[path].facts[:-1]


def _walks_back(world: World, now: Moment) -> Iterator[str]:
    if now.act.verb != "rollback" or now.answer.code not in (0, 3):
        if now.act.verb in (*WRITING, "snapshot", "run", "change"):
            world.trail.clear()
        return
    of = now.shape.get("of")
    if now.shape.get("safety") is not None or now.act.meddler is not None:
        world.trail.clear()  # something had drifted, from which the way goes back first
    if now.shape.get("changed") and isinstance(of, int):
        if world.trail and of >= world.trail[-1]:
            yield f"rollbacks went to {world.trail}, and then to {of}"
        world.trail.append(of)


# 6: text, JSON and API agree.


def forms_agree(world: World, now: Moment) -> Iterator[str]:
    for answer in filter(None, (now.dry, now.answer, now.status)):
        for shape in (*answer.shapes, *filter(None, [answer.error])):
            yield from shapes.wrong(shape)
    if now.act.text and now.answer.code in (0, 3) and now.act.verb in WRITING and now.dry:
        yield from _closing_line(now, now.dry)
    if now.status is not None and not world.is_cut and len(world.versions) % 2:
        yield from _status_agrees(world, now.status)


def _closing_line(now: Moment, dry: Answer) -> Iterator[str]:
    """What people read of what was done has the numbers of the plan."""
    plan = next((one for one in dry.shapes if one["type"] == "plan"), None)
    lines = [x for x in now.answer.out.decode("utf-8", "replace").splitlines() if x.startswith(KEY)]
    if plan is None or not lines:
        return
    found = re.findall(
        r"([\d,]+) (?:files? |folders? )?(brought back|replaced|removed|kept)", lines[0]
    )
    said = {word: int(number.replace(",", "")) for number, word in found}
    words = {"brought back": "added", "replaced": "modified", "removed": "removed"}
    if plan.get("changed"):
        for word, key in words.items():
            if said.get(word, 0) > plan[key]:
                yield f"{lines[0]!r}, and the plan has {key}: {plan[key]}"


def _status_agrees(world: World, status: Answer) -> Iterator[str]:
    shape = next((one for one in status.shapes if one["type"] == "status"), None)
    text = world.program("status", "--scan", "-v", "--app", KEY)
    if text.code != status.code:
        yield f"status ends with {text.code} in text and with {status.code} in JSON"
    if shape is None:
        return
    with Workspace.open(world.store, recover=False) as workspace:
        handle = workspace.app(KEY)
        found, versions = handle.status(), [info.version for info in handle.versions()]
    if versions != sorted(world.versions):
        yield f"the API has versions {versions}, the log {sorted(world.versions)}"
    for key in ("added", "modified", "removed"):
        mine = sorted(map(os.fsencode, getattr(found, key)))
        if mine != sorted(map(path_of, shape[key])):
            yield f"status, {key}: {shape[key]} in JSON, {mine} in the API"
    if found.clean != shape["clean"]:
        yield "clean in one form of status, and not in another"
    total = sum(len(shape[key]) for key in ("added", "modified", "removed"))
    said = text.out.decode("utf-8", "replace")
    if shape["clean"] == bool(total) and "clean" not in said:
        yield f"status, as text: {said[-300:]}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
