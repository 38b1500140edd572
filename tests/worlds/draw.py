"""What comes next in a world, drawn from its seed: half of it ordinary, half of it from the right
end of what there is.
"""

import errno
import os
import random
from collections.abc import Container
from typing import Any

from tests.worlds import vendor
from tests.worlds.acts import (
    CAPABILITIES,
    PLACE,
    VENDOR,
    WATCHED,
    Act,
    Cache,
    Command,
    Failing,
    Meddler,
    Second,
    Setting,
)
from tests.worlds.edits import Edit
from tests.worlds.looks import ROOT
from tests.worlds.world import World

PLAIN = (b"a", b"b", b"d/x", b"d/y", b"d/e/z", b"etc/c.conf", b"data/db", b"run.log", b"up/u")
ODD = (
    b"sp ace/f",
    b"new\nline",
    b"\xff\xfe",
    b"-rf",
    b"n" * 255,
    b".epm-x",
    b".epm-stage/0",
    b".epmstore/x",
    b"A",
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    b"d",
    b"data",
    b"etc/c.conf.new",
    b"index.sqlite",
    b"key.pem",
    b"e*",
    b"/".join([b"p" * 200] * 18),
    b"1:a",
)
CONTENTS = (
    b"one",
    b"two",
    b"three",
    b"x1",
    b"x2",
    b"port-1",
    b"PRECIOUS",
    b"row",
    b"empty",
    b"big1",
    b"big2",
)
RULES = (
    *(("state", x) for x in ("data/", "*.log", "b", "d/", "x")),
    *(("ignore", x) for x in ("up/", "*.log", "d/", "a")),
    *(("config", x) for x in ("etc/", "*.conf", "a")),
    *(("secret", x) for x in ("key.pem", "b")),
)
MODES = ("644", "600", "755", "777", "000", "4755", "2755", "1777", "666")
TIMES = (0, -1, -(10**10), 1_700_000_000, 2**31, 2**32 + 5, 9_300_000_000, 10**10, 15_032_385_535)
CLOCKS = (-3600, -(10**9), 94_608_000, 10**9, 10**10)
"""Back and ahead by seconds: an hour, to 1995, three years, to 2058, beyond 2262."""
LONGEST = 14


def setting(rng: random.Random) -> Setting:
    patterns = tuple(rng.sample(RULES, rng.choice((0, 0, 1, 2, 3))))
    mode = "755" if rng.random() < 0.8 else rng.choice(("700", "775", "1777", "2755"))
    often = tuple(rng.sample([*VALUES, *COMMANDS], 4)) if rng.random() < 0.5 else ()
    paths = tuple(path(rng) for _ in range(3)) if rng.random() < 0.4 else ()
    return Setting(patterns, rng.random() < 0.25, mode, rng.random() < 0.4, often, paths)


def beginning(rng: random.Random, chosen: Setting) -> list[Act]:
    """What is there before anything is recorded."""
    acts: list[Act] = []
    if chosen.has_vendor:
        acts += vendor.delivered(rng.randrange(len(vendor.RELEASES)))
    acts += [_write(rng, path) for path in rng.sample(PLAIN, rng.randint(2, 6))]
    acts += [edit(rng) for _ in range(rng.choice((0, 0, 1, 2)))]
    return [*acts, Command((b"snapshot", b"-m", b"as delivered"))]


def length(rng: random.Random) -> int:
    return rng.randint(3, LONGEST)


def path(rng: random.Random) -> bytes:
    return rng.choice(PLAIN if rng.random() < 0.8 else ODD)


def _write(rng: random.Random, where: bytes) -> Edit:
    return Edit("write", where, rng.choice(CONTENTS))


def edit(rng: random.Random, world: World | None = None) -> Edit:
    """Something done by hand, to what is there as often as not."""
    where = path(rng) if world is None or rng.random() < 0.5 else known_path(rng, world)
    if world is not None and world.setting.paths and rng.random() < 0.7:
        where = rng.choice(world.setting.paths)
    verb = _often(rng, world, VALUES)
    if verb is None and rng.random() < 0.5:
        verb = rng.choice(("write", "write", "overwrite", "remove"))
        return Edit(verb, where, rng.choice(CONTENTS))
    verb = verb or rng.choices(tuple(VALUES), [weight for weight, _ in VALUES.values()])[0]
    if verb == "mode" and rng.random() < 0.2:
        where = ROOT
    if verb == "aside":
        if world is None:
            return _write(rng, where)
        where = ROOT
        world.to_come.append(Edit("back", ROOT))
    if verb == "immutable" and world is not None:
        world.to_come.append(Edit("mutable", where))
    if verb in ("mount", "unmount"):
        where = rng.choice((b"d", b"data", b"etc", b"d/e"))
    return Edit(verb, where, VALUES[verb][1](rng))


def _often(rng: random.Random, world: World | None, among: Container[str]) -> str | None:
    """One of what comes often in this world, in half of the cases."""
    often = [] if world is None else [verb for verb in world.setting.often if verb in among]
    return rng.choice(often) if often and rng.random() < 0.5 else None


VALUES: dict[str, tuple[int, Any]] = {
    "write": (3, lambda rng: rng.choice(CONTENTS)),
    "overwrite": (3, lambda rng: rng.choice(CONTENTS)),
    "disguise": (2, lambda rng: rng.choice((b"one", b"two"))),
    "remove": (3, lambda rng: None),
    "folder": (2, lambda rng: None),
    "symlink": (3, lambda rng: rng.choice((b"a", b"d", b"../outside", b"nowhere", b"/", b"."))),
    "link": (2, path),
    "fifo": (2, lambda rng: None),
    "socket": (1, lambda rng: None),
    "mode": (3, lambda rng: rng.choice(MODES)),
    "owner": (2, lambda rng: rng.choice((0, 1, 1000, 65534, 4_000_000_000))),
    "time": (3, lambda rng: rng.choice(TIMES)),
    "attribute": (1, lambda rng: rng.choice(("x", "y" * 300))),
    "acl": (2, lambda rng: rng.choice(("access", "default"))),
    "capability": (1, lambda rng: None),
    "immutable": (1, lambda rng: None),
    "device": (1, lambda rng: None),
    "sparse": (1, lambda rng: rng.choice(CONTENTS)),
    "rename": (3, path),
    "aside": (1, lambda rng: rng.choice(("new", "none"))),
    "mount": (1, lambda rng: None),
    "unmount": (1, lambda rng: None),
}


def version(rng: random.Random, world: World) -> bytes:
    if world.tags and rng.random() < 0.2:
        return rng.choice(world.tags).encode()
    newest = max(world.versions, default=0)
    number = rng.choice((0, 0, newest, rng.randint(0, newest)))
    return rng.choice((b"%d" % number, b"%d" % number, b"latest~%d" % (newest - number)))


def act(rng: random.Random, world: World) -> Act:
    if world.is_cut:
        return _after_a_cut(rng, world)
    if world.to_come:
        return world.to_come.pop(0)
    if rng.random() < 0.45:
        return edit(rng, world)
    if rng.random() < 0.02:
        return _second(rng, world)
    if rng.random() < 0.03:
        return Cache(rng.choice(("index.sqlite", "live/")))
    weights = [weight for weight, _ in COMMANDS.values()]
    verb = _often(rng, world, COMMANDS) or rng.choices(tuple(COMMANDS), weights)[0]
    made: Command = COMMANDS[verb][1](rng, world)
    is_large = made.verb in ("checkout", "rollback", "undo", "redo", "repair", "snapshot", WATCHED)
    return _hindered(rng, world, made) if is_large else made


def _second(rng: random.Random, world: World) -> Second:
    """Now and then cut off, so that it leaves behind what it has staged."""
    kill = int(80 ** rng.random()) if rng.random() < 0.4 else 0
    words = rng.choice(((b"snapshot",), (b"checkout", b"--", b"0"), (b"undo",), (b"rollback",)))
    world.to_come += [Second((b"snapshot",)), _second(rng, world)] if rng.random() < 0.6 else []
    return Second(words, kill)


def _hindered(rng: random.Random, world: World, made: Command) -> Command:
    """With something in its way, or as it is."""
    chance = rng.random()
    if chance < 0.12:
        return made._replace(kill=int(80 ** rng.random()))
    if chance < 0.2:
        edits = tuple(edit(rng, world) for _ in range(rng.choice((1, 2))))
        return made._replace(meddler=Meddler(_flickering(rng, edits), rng.randint(1, 6), 9))
    if chance < 0.22:
        return made._replace(limit=rng.choice((16, 24, 32, 64)))
    if chance < 0.27:
        error = rng.choice((errno.ENOSPC, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS))
        return made._replace(failing=Failing(int(60 ** rng.random()), error, rng.random() < 0.6))
    if chance < 0.3:
        return made._replace(without=rng.choice(tuple(CAPABILITIES)))
    if chance < 0.34:
        return made._replace(clock=rng.choice(CLOCKS))
    if chance < 0.35 and os.geteuid() == 0:
        return made._replace(foreign=True)
    if chance < 0.36:
        return made._replace(umask=rng.choice((0, 0o077, 0o777)))
    return made._replace(back=chance > 0.7, text=rng.random() < 0.15)


def _flickering(rng: random.Random, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """A file that comes and goes, in half of the cases."""
    if rng.random() < 0.5:
        return edits
    where = rng.choice((b"lock", b"d/lock"))
    return (Edit("write", where, b"empty"), Edit("remove", where))


def _after_a_cut(rng: random.Random, world: World) -> Act:
    """Somebody repairs by hand, or nobody does."""
    return edit(rng, world) if rng.random() < 0.5 else Command((b"recover",))


def _snapshot(rng: random.Random, world: World) -> Command:
    label = rng.choice((None, None, b"patch 1", "caf\u00e9".encode(), b"two\nlines"))
    return Command((b"snapshot", *((b"-m", label) if label else ())))


def _checkout(rng: random.Random, world: World) -> Command:
    words: tuple[bytes, ...] = (b"checkout",)
    if rng.random() < 0.3:
        words += (b"--exact",)
    if rng.random() < 0.15:
        words += (b"--config", b"restore")
    target = version(rng, world)
    if world.setting.has_vendor and rng.random() < 0.3:
        target = b"release:%d" % rng.randrange(3)
    scope = {known_path(rng, world) for _ in range(rng.randint(1, 2))}
    return Command((*words, b"--", target, *(sorted(scope) if rng.random() < 0.5 else ())))


def known_path(rng: random.Random, world: World) -> bytes:
    """One that is there, or that a version has, as often as not of a class of its own."""
    there = {path for path in world.look() if path != ROOT}
    there |= {path for one in world.versions.values() for path in one.claims}
    special = sorted(path for path in there if world.rules.class_of(path) != "program")
    if special and rng.random() < 0.5:
        return rng.choice(special)
    return rng.choice(sorted(there)) if there and rng.random() < 0.8 else path(rng)


def _repair(rng: random.Random, world: World) -> Command:
    words: tuple[bytes, ...] = (b"repair",)
    if rng.random() < 0.7:
        words += (b"--release", b"%d" % rng.randrange(3))
    if rng.random() < 0.2:
        words += (b"--exact",)
    if rng.random() < 0.6:
        words += tuple(word for n in range(3) for word in (b"--from", VENDOR + b"/%d" % n))
    return Command((*words, b"--", path(rng)) if rng.random() < 0.3 else words)


def _set(rng: random.Random, world: World) -> Command:
    kind, pattern = rng.choice(RULES)
    if rng.random() < 0.5:  # about something that is there
        where = known_path(rng, world)
        name = where.rsplit(b"/", 1)[-1]
        if name.isalnum():
            kind, pattern = rng.choice(("state", "ignore", "config", "secret")), name.decode()
            if rng.random() < 0.5:
                world.to_come += [
                    Edit("overwrite", where, rng.choice(CONTENTS)),
                    Command((b"checkout", b"--", version(rng, world), where)),
                ]
    in_force = [(k, p) for k in world.rules._fields for p in sorted(getattr(world.rules, k))]
    if in_force and rng.random() < 0.5:
        kind, pattern = rng.choice(in_force)
        kind = f"no-{kind}"
    return Command((b"app", b"set", b"crm", f"--{kind}".encode(), pattern.encode()))


def _run(rng: random.Random, world: World) -> Command:
    edits = tuple(edit(rng, world) for _ in range(rng.randint(1, 2)))
    plain = tuple(e for e in edits if e.verb in ("write", "remove", "mode", "symlink", "rename"))
    plain = tuple(e for e in plain if not str(e.value).startswith("b'big"))
    if not plain:
        plain = (Edit("write", b"a", b"two"),)
    return Command((b"run", b"-m", b"patch", b"--"), plain)


def _watched(rng: random.Random, world: World) -> Command:
    how = rng.choice((b"hints", b"hints", b"hints", b"all", b"share", b"poor"))
    for_nothing = rng.sample((b"", b"d", b"d/e", b"nowhere", b"a"), rng.choice((0, 0, 1, 2)))
    return Command((WATCHED.encode(), how, *for_nothing))


def _forget(rng: random.Random, world: World) -> Command:
    if rng.random() < 0.4:
        return Command((b"forget", b"--keep-last", b"1"))
    return Command((b"forget", b"--", version(rng, world)))


def _mark(rng: random.Random, world: World) -> Command:
    number = version(rng, world)
    name = rng.choice((b"golden", b"v1", "caf\u00e9".encode()))
    return Command(
        rng.choice(
            (
                (b"pin", b"--", number),
                (b"pin", b"--", number),
                (b"unpin", b"--", number),
                (b"tag", b"--", name, number),
                (b"tag", b"--delete", b"--", name),
            )
        )
    )


def _purge(rng: random.Random, world: World) -> Command:
    return Command((b"purge", b"--yes", b"--", known_path(rng, world)))


def _plan(rng: random.Random, world: World) -> Command:
    """A plan that is carried out later, if at all."""
    between = [edit(rng, world)] if rng.random() < 0.5 else []
    world.to_come += [*between, Command((b"apply", PLACE + b"/plan"))]
    return Command((b"plan", b"-o", PLACE + b"/plan", b"--", version(rng, world)))


def _change(rng: random.Random, world: World) -> Command:
    edits = [edit(rng, world) for _ in range(rng.randint(0, 2))]
    world.to_come += [*edits, Command((b"change", b"end"))]
    return Command((b"change", b"begin", b"-m", b"by hand"))


def _look(rng: random.Random, world: World) -> Command:
    """Nothing that is read ever fails unexpectedly."""
    where = known_path(rng, world)
    words = rng.choice(
        (
            (b"history", b"--", where),
            (b"blame", b"--", where),
            (b"find", b"--", b"*"),
            (b"verify",),
            (b"report",),
            (b"diff",),
            (b"drill",),
            (b"doctor",),
            (b"stats",),
            (b"store", b"copy", PLACE + b"/copy"),
            (b"checkout", b"--target", PLACE + b"/target", b"--", version(rng, world), where),
        )
    )
    return Command(words)


def _plain(*words: bytes) -> Any:
    return lambda rng, world: Command(words)


COMMANDS: dict[str, tuple[int, Any]] = {
    "snapshot": (12, _snapshot),
    WATCHED: (8, _watched),
    "checkout": (16, _checkout),
    "rollback": (8, _plain(b"rollback")),
    "undo": (6, _plain(b"undo")),
    "redo": (3, _plain(b"redo")),
    "repair": (3, _repair),
    "set": (8, _set),
    "run": (2, _run),
    "recover": (2, _plain(b"recover")),
    "forget": (2, _forget),
    "mark": (2, _mark),
    "purge": (1, _purge),
    "plan": (2, _plan),
    "change": (2, _change),
    "accept": (1, _plain(b"accept", b"-m", b"right")),
    "look": (3, _look),
    "gc": (2, _plain(b"gc")),
    "fsck": (1, _plain(b"fsck", b"--repair")),
    "rebuild": (1, _plain(b"rebuild")),
}
