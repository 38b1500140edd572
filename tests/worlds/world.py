"""A world that is carried out: a host's folder with a store, two applications and somebody's files
beside them; acts come in, and what breaks one of the nine rules comes out.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.worlds import vendor, watched
from tests.worlds.acts import (
    CONTENT,
    KEY,
    OTHER,
    PLACE,
    VENDOR,
    WATCHED,
    WITH_DRY_RUN,
    WRITING,
    Act,
    Cache,
    Command,
    Second,
    Setting,
    script,
)
from tests.worlds.edits import Edit, mutable, unmount
from tests.worlds.looks import Look, contents, look
from tests.worlds.model import OURS, Version, claims_of, path_of, problems
from tests.worlds.program import (
    KILLED,
    Answer,
    Shape,
    call,
    clock_wrong_by,
    failing,
    killed,
    limited,
    umask,
    without,
)
from tests.worlds.rulings import Patterns
from tests.worlds.watched import hints

_NOBODY = 65534


class Broken(NamedTuple):
    """A rule that did not hold after the act of that number."""

    rule: int
    what: str
    act: int = 0


class Moment(NamedTuple):
    """One command, and what was there before and after it. `shape` is the result that it printed,
    `new` are versions that came of it, `owed` contents of commands that were killed before it.
    """

    act: Command
    dry: Answer | None
    answer: Answer
    before: Look
    after: Look
    outside: tuple[Look, Look]
    shape: Shape
    new: tuple[Version, ...]
    owed: frozenset[str]
    status: Answer | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the command died, or something failed under it."""
        hindered = self.act.failing is not None or self.act.limit
        return self.answer.code == KILLED or bool(hindered and self.answer.code not in (0, 1, 3))

    @property
    def is_refused(self) -> bool:
        return self.answer.code in (2, 4, 5, 6, 7, 8, 9, 10, 11)


class World:
    """In a folder of its own, which is removed by `close`."""

    def __init__(self, place: Path, setting: Setting) -> None:
        self.place = place
        self.setting = setting
        self.store = place / "store"
        self.root = os.fsencode(place / "root")
        self.other = place / "other"
        self.outside = os.fsencode(place / "outside")
        self.rules = Patterns.of(setting.patterns)
        self.versions: dict[int, Version] = {}
        self.recorded_rules = self.rules
        self.made: set[bytes] = set()
        self.owed: frozenset[str] = frozenset()
        self.is_cut = False
        """Whether a command was killed, and none has ended well since."""
        self.cut_scope: frozenset[bytes] = frozenset()
        """What the command was about that was cut off last."""
        self.cut_verb = ""
        self.others: set[bytes] = set()
        """Folders in which another store has staged something."""
        self.purged: set[str] = set()
        """Contents that were destroyed on purpose."""
        self.held: frozenset[int] = frozenset()
        """Versions that were pinned or tagged, and could be restored, before the last command."""
        self.noticed: set[bytes] = set()
        """Folders in which something happened since the daemon recorded them."""
        self.is_poor = False
        """Whether contents were left out for want of room, and nobody looked at all since."""
        self._before: Look = {}
        self.trail: list[int] = []
        """Where the rollbacks in a row went to."""
        self.logged = Answer(0)
        """The last answer of `log`."""
        self.to_come: list[Act] = []
        """What was drawn to follow what was drawn last."""
        self.is_set_up = False
        self._mounts: set[bytes] = set()
        self._has_immutables = False
        self._seen: Look | None = None
        for folder in (place, place / "root", place / "other", place / "outside" / "d"):
            folder.mkdir(parents=True, exist_ok=True)
        os.chmod(self.root, int(setting.root_mode, 8))
        (place / "outside" / "mine").write_bytes(b"mine")
        (place / "outside" / "d" / "too").write_bytes(b"mine, too")
        (self.other / "file").write_bytes(b"of the other")

    def close(self) -> None:
        for where in _mounted_below(self.place) if self._mounts else ():
            unmount(where)
        for path in look(self.root) if self._has_immutables else ():
            with suppress(OSError):
                mutable(self.root + b"/" + path)
        shutil.rmtree(self.place, ignore_errors=True)

    def program(self, *words: str | bytes) -> Answer:
        """A command line about this store."""
        own = [*map(os.fsencode, words)]
        split = own.index(b"--") if b"--" in own else len(own)
        return call(*own[:split], "--store", str(self.store), *own[split:])

    def ask(self, *words: str | bytes) -> Answer:
        """The same about the first application, in JSON."""
        return self.program(*words[:1], "--json", "--app", KEY, *words[1:])

    def must(self, *words: str | bytes) -> Answer:
        answer = self.program(*words)
        assert answer.code == 0, (words, answer)
        return answer

    def set_up(self) -> None:
        """The store, and both applications."""
        self.is_set_up = True
        self.must("-q", "init")
        if self.setting.has_other:
            self.must("-q", "app", "add", OTHER, str(self.other))
            self.must("-q", "snapshot", "--app", OTHER, "-m", "as delivered")
        self.must("-q", "app", "add", KEY, self.root, *self.rules.words())
        if self.setting.has_vendor:
            self.must("catalog", "import", str(vendor.catalog()), "--app", KEY)

    @property
    def keys(self) -> tuple[str, ...]:
        return (KEY, OTHER) if self.setting.has_other else (KEY,)

    def look(self) -> Look:
        if self._seen is None:
            self._seen = look(self.root)
        return self._seen

    def edit(self, edit: Edit, root: bytes | None = None) -> None:
        """By hand."""
        edit.do(self.root)
        self._note(edit)
        self._seen = None
        self.trail.clear()

    def _note(self, edit: Edit) -> None:
        self._has_immutables = self._has_immutables or edit.verb == "immutable"
        if edit.verb == "mount":
            self._mounts.add(self.root + b"/" + edit.path)
        targets = [edit.path, edit.value] if edit.verb == "rename" else [edit.path]
        tops = {path.split(b"/")[0] for path in targets if path.startswith(OURS)}
        self.made.update(top for top in tops if not self._is_stage(top))

    def _is_stage(self, top: bytes) -> bool:
        """Whether the program has marked it as its own: what somebody puts in there is nobody's."""
        return os.path.lexists(b"%s/%s/stage-of" % (self.root, top))

    def lose(self, cache: Cache) -> None:
        for path in self.store.glob(f"{cache.name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def second(self, act: Second) -> None:
        """Somebody else's store, which knows the same root; what it leaves behind is its own."""
        store: tuple[str | bytes, ...] = ("--store", str(self.place / "second"))
        if not (self.place / "second").exists():
            call("-q", "init", *store)
            call("-q", "app", "add", KEY, self.root, *store)
        split = act.words.index(b"--") if b"--" in act.words else len(act.words)
        words: tuple[str | bytes, ...] = (*act.words[:split], *store, *act.words[split:])
        before = {*self.look()}
        if act.kill:
            killed(lambda: call(*words), act.kill)
        else:
            call(*words)
        self._seen = None
        self.trail.clear()
        tops = {path for path in self.look() if path.startswith(OURS) and b"/" not in path}
        marked = {top for top in tops - before if self._is_stage(top)}
        self.others = (self.others & tops) | marked
        self.made |= tops - before - marked  # anybody may have made a folder of that name

    def carry_out(self, act: Command) -> Moment:
        """A command, and its dry run before it; what is new is noted."""
        before, outside = self.look(), look(self.outside)
        self._notice(before)
        self.held = frozenset(n for n, one in self.versions.items() if one.is_held)
        dry = self._dry_run(act)
        answer = self._run(act)
        for edit in (*act.edits, *(act.meddler.edits if act.meddler else ())):
            self._note(edit)
        after = self._seen = look(self.root)
        self._notice(after)
        moment = Moment(
            act=act,
            dry=dry,
            answer=answer,
            before=before,
            after=after,
            outside=(outside, look(self.outside)),
            shape=result_of(answer),
            new=(),
            owed=self.owed,
        )
        return self._noted(moment)

    def _notice(self, found: Look) -> None:
        self.noticed |= hints(self._before, found)
        self._before = found

    def _dry_run(self, act: Command) -> Answer | None:
        """Twice the same is asked only where nobody comes between."""
        if act.verb not in WITH_DRY_RUN or self.is_cut:
            return None
        if not act.is_plain and act.without is None:
            return None
        words = self._words(act)
        asked = (words[0], b"--dry-run", *words[1:])
        if act.without is not None:
            return without(act.without, lambda: self.ask(*asked))
        return self.ask(*asked)

    def _words(self, act: Command) -> tuple[bytes, ...]:
        words = [word.replace(PLACE, os.fsencode(self.place)) for word in act.words]
        if any(VENDOR in word for word in words):
            trees = os.fsencode(vendor.catalog().parent)
            words = [word.replace(VENDOR, trees) for word in words]
        if act.edits:
            setup = f"R={self.place}/root; W={self.place}; {CONTENT}; {script(act.edits)}"
            words += [b"bash", b"-c", setup.encode()]
        return tuple(words)

    def _run(self, act: Command) -> Answer:
        work = self._watched(act) if act.verb == WATCHED else self._called(act)
        if act.kill:
            return killed(work, act.kill)
        if act.limit:
            return limited(work, act.limit)
        if act.without is not None:
            return without(act.without, work)
        if act.failing is not None:
            return failing(work, act.failing.at, act.failing.error, on=act.failing.on)
        if act.meddler is not None:
            with self._meddling(act.meddler.at, act.meddler.times, act.meddler.edits):
                return work()
        with clock_wrong_by(act.clock), umask(act.umask), self._owned(act.foreign):
            return work()

    @contextmanager
    def _owned(self, by_others: bool) -> Iterator[None]:
        if by_others:
            os.chown(self.store, _NOBODY, _NOBODY)
        try:
            yield
        finally:
            if by_others:
                os.chown(self.store, os.geteuid(), os.getegid())

    def _called(self, act: Command) -> Callable[[], Answer]:
        """The command line."""
        own = self._words(act)
        split = own.index(b"--") if b"--" in own else len(own)
        app = () if act.verb in OF_THE_STORE else ("--app", KEY)
        form = () if act.text else ("--json",)
        words = [*own[:split], *form, *app, "--store", str(self.store), *own[split:]]
        return lambda: call(*words)

    def _watched(self, act: Command) -> Callable[[], Answer]:
        """What the daemon does about all that it noticed since it was told of it last."""
        only = self.noticed | {*act.words[2:]}
        return lambda: watched.record(self.store, KEY, act.words[1], only)

    @contextmanager
    def _meddling(self, at: int, times: int, edits: tuple[Edit, ...]) -> Iterator[None]:
        """Whenever a folder is listed, somebody may come before."""
        system: Any = os
        real: Callable[..., Any] = os.listdir
        seen = 0

        def listed(where: Any = ".") -> Any:
            nonlocal seen
            found = real(where)
            if isinstance(where, int) and self._is_ours(where):
                seen += 1
                if at <= seen < at + times:
                    system.listdir = real
                    for edit in edits:
                        edit.do(self.root)
                    system.listdir = listed
            return found

        system.listdir = listed
        try:
            yield
        finally:
            system.listdir = real

    def _is_ours(self, fd: int) -> bool:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(os.fsdecode(self.root))

    def _noted(self, moment: Moment) -> Moment:
        act, answer = moment.act, moment.answer
        if moment.is_cut:
            self.owed |= contents(moment.before) - contents(self.of_users(moment.after))
            self.is_cut = True
            if act.verb != "recover":
                self.cut_scope, self.cut_verb = act.scope, act.verb
            return moment
        self.is_cut = self.is_cut and answer.code not in (0, 1, 3)
        if act.verb == WATCHED and answer.code == 0:
            self.noticed = hints(moment.before, moment.after)
        if act.verb in ("snapshot", "run", WATCHED) and answer.code == 0:
            self.is_poor = act.given(b"poor") or (self.is_poor and act.given(b"hints"))
        if act.verb == "purge" and answer.code == 0:
            self.purged |= purged_by(answer)
        if act.verb == "app" and answer.code == 0:
            words = [word.decode() for word in act.words]
            for kind, pattern in zip(words[3::2], words[4::2], strict=True):
                self.rules = self.rules.changed(kind.removeprefix("--"), pattern)
        if act.verb in WRITING or act.verb in RECORDING_OR_READING:
            moment = moment._replace(new=self._new_versions(moment))
        if not self.is_cut:
            self.owed = frozenset()
        return moment

    def _new_versions(self, moment: Moment) -> tuple[Version, ...]:
        """Those that the log has and we had not; what the log says of the others is noted, too."""
        logged = self.logged = self.ask("log", "--all")
        found = {shape["version"]: shape for shape in logged.shapes if shape["type"] == "version"}
        for number in self.versions.keys() & found.keys():
            self.versions[number].restorable = found[number]["restorable"]
            self.versions[number].shape = found[number]
        new: list[Version] = []
        numbers = sorted(found.keys() - self.versions.keys())
        unseen = problems(moment.shape or self._seen_now()) if numbers else {}
        for number in numbers:
            listed = self.ask("ls", str(number))
            version = Version(
                number,
                claims_of(listed.shapes),
                self.rules,
                frozenset(unseen),
                found[number]["restorable"],
                found[number],
            )
            self.versions[number] = version
            new.append(version)
        if new and moment.act.meddler is None and moment.act.verb != "recover":
            new[-1].seen = moment.after
        return tuple(new)

    def _seen_now(self) -> Shape:
        """For a result that was for people: status names as much."""
        return next(iter(self.ask("status", "--scan").shapes), {})

    @property
    def tags(self) -> list[str]:
        return sorted(tag for one in self.versions.values() for tag in one.shape["tags"])

    @property
    def newest(self) -> Version | None:
        return self.versions[max(self.versions)] if self.versions else None

    def of_users(self, found: Look) -> Look:
        """Without what has a name like ours and no user made."""
        return {
            path: seen
            for path, seen in found.items()
            if not path.startswith(OURS) or path.split(b"/")[0] in self.made
        }

    def classes(self, path: bytes) -> set[str]:
        """Of a path under the rules of each version, and now."""
        rules = {self.rules, *(version.rules for version in self.versions.values())}
        return {one.class_of(path, is_folder=f) for one in rules for f in (True, False)}

    def do(self, act: Act) -> Moment | None:
        if isinstance(act, Edit):
            self.edit(act)
            return None
        if not self.is_set_up:
            self.set_up()
        if isinstance(act, Cache):
            self.lose(act)
            return None
        if isinstance(act, Second):
            self.second(act)
            return None
        return self.carry_out(act)


def _mounted_below(place: Path) -> list[bytes]:
    """Wherever what was mounted has been moved to since; the innermost first."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    found = [line.split()[4] for line in lines]
    inside = [where for where in found if where.startswith(os.fsencode(place) + b"/")]
    return [re.sub(rb"\\(\d{3})", _octal, where) for where in reversed(inside)]


def _octal(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)])


OF_THE_STORE = ("gc", "fsck", "rebuild", "store", "app", "doctor", "stats")
"""Commands that are about no application."""
RECORDING_OR_READING = (
    *("snapshot", "run", "change", WATCHED, "recover"),
    *("pin", "unpin", "tag", "forget", "gc", "fsck", "rebuild"),
)


def result_of(answer: Answer) -> Shape:
    return next((shape for shape in answer.shapes if shape["type"] == "result"), {})


def purged_by(answer: Answer) -> set[str]:
    shapes = (shape for shape in answer.shapes if shape["type"] == "purge")
    return {sha256 for shape in shapes for sha256 in shape["sha256"]}


def of_version(shape: Shape) -> int | None:
    of = shape.get("of")
    return of if isinstance(of, int) else None


__all__ = ["Broken", "Moment", "World", "of_version", "path_of", "result_of"]
