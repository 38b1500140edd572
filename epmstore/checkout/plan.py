"""From the tree that was found to the tree that is wanted: which steps, in which order, and what is
left alone. Pure.

- Not observed is not absent: no step is on or below a path that this look at the root did not see
  exactly. Ignored paths are not touched, and neither is `state` unless the path itself is named.
- What the wanted tree lacks goes if a change or a release had put it there; else it is kept. So is
  whatever could not be seen, by the rules of that time, when the wanted tree was recorded: it goes
  only if it is named itself.
- Configuration that was edited by hand is kept unless it is named or asked for.
- A database is replaced as a whole or not at all, and only if it is classified or named.
- A FIFO, socket or device is never displaced: it could not be brought back.
- A directory that keeps something is kept. Removals come first, deepest first; then everything else
  with folders before what is in them. What a directory finally looks like is set when all is done.
- Nothing is displaced that could not be brought back: each step over a file says how what it holds
  is safe. What is not stored yet is asked for (`unstored`), so that it is stored first; what cannot
  be (a secret) is not touched.
- Metadata is set in place only if that reaches no path outside of the plan; else the file is put
  anew.
"""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from shlex import quote
from typing import Literal, TypeAlias, get_args

import msgspec

from epmstore.catalog.classes import Class
from epmstore.catalog.diff import tally
from epmstore.catalog.model import Counts, Tally
from epmstore.checkout.goal import Goal
from epmstore.checkout.ops import Op, displaces, look_of, op_of
from epmstore.checkout.sight import CLEAR, Sight
from epmstore.checkout.units import paths_of_units, state_patterns
from epmstore.digest import BlobInfo, Purges
from epmstore.errors import ConflictError
from epmstore.relpath import RelPath, is_within, parents, sort_paths, split
from epmstore.scan.databases import DatabaseUnit
from epmstore.tree import Entry

ConfigPolicy: TypeAlias = Literal["keep", "restore", "merge"]
"""What becomes of configuration that was edited; only an install merges, and all else keeps it."""
Safety: TypeAlias = Literal["stored", "purged"]
"""Why what a file holds may go: it is in a version that can be restored, or it was purged on
request.
"""
NamedPath: TypeAlias = tuple[RelPath, str]
"""A path, and why it is named."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """What `lstat` said of a path when this checkout looked at it: tells whether it has changed."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    links: int = 1


class PathDifference(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One path that is not as wanted; None means that it is not there.

    `by_change`: a change or a release recorded the path in its present life. `edited_by`: whether
    what happened to it since the wanted version was a change, or drift. `path_class` is what the
    rules in force say (None: the class that the entry has). `safe` is how the content of the file
    that was found is (None: it is not, or it stays there). `below_state`: it is in a folder of
    class `state`, which is not looked into. `holds` are paths in such a folder that was found which
    are no entries.
    """

    path: RelPath
    found: Entry | None = None
    wanted: Entry | None = None
    seen: Seen | None = None
    by_change: bool = False
    edited_by: Literal["change", "drift"] | None = None
    path_class: Class | None = None
    safe: Safety | None = None
    below_state: bool = False
    holds: tuple[RelPath, ...] = ()


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for. An empty `scope` is everything; a path stands for what is below it."""

    exact: bool = False
    config: ConfigPolicy = "keep"
    live: bool = False
    scope: tuple[RelPath, ...] = ()


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the look at the root showed beside entries: paths that were not observed, and why;
    ignored ones; FIFOs, sockets and devices (`special`, with what each is); databases. `purged` are
    contents that were destroyed. `sight` is what could be seen for the wanted tree: of other paths
    that it lacks it does not say that nothing was there. `looked` are paths that were looked at for
    this plan, so that what they hold is stored, whatever class they have.
    """

    unobserved: Mapping[RelPath, str] = {}
    ignored: Collection[RelPath] = frozenset()
    special: Mapping[RelPath, str] = {}
    purged: Container[BlobInfo] = Purges()
    databases: tuple[DatabaseUnit, ...] = ()
    sight: Sight = CLEAR
    looked: Collection[RelPath] = frozenset()


class Step(msgspec.Struct, frozen=True, gc=False):
    """One change of one path, from `old` to `new`. `link` is the path whose file it becomes another
    name of. `safe` is how the content of a file that it displaces is.
    """

    op: Op
    path: RelPath
    old: Entry | None = None
    new: Entry | None = None
    seen: Seen | None = None
    link: RelPath | None = None
    safe: Safety | None = None

    @property
    def content(self) -> BlobInfo | None:
        """What has to be written for it."""
        if self.op not in ("put", "retype") or self.new is None or self.link is not None:
            return None
        return self.new.content


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The steps from the tree of version `from_`, as it was found, to the `goal`.

    `kept` was found, is not as wanted, and stays. `refused` could not be planned, because it was
    not observed. `not_restored` has contents that were never stored. `databases` are units that
    someone has to decide about before anything is done. `unstored` are paths that would be touched
    if what they hold now were stored; as long as it is not, they are among `not_restored`. `names`
    are other names of files whose first name goes: no step is about them, and the version that
    comes of it says which is the first then.
    """

    app: str = ""
    from_: int | None = None
    goal: Goal | None = None
    options: Options = Options()
    steps: tuple[Step, ...] = ()
    kept: tuple[NamedPath, ...] = ()
    refused: tuple[NamedPath, ...] = ()
    not_restored: tuple[NamedPath, ...] = ()
    databases: tuple[RelPath, ...] = ()
    unstored: tuple[RelPath, ...] = ()
    names: tuple[RelPath, ...] = ()

    @property
    def tally(self) -> Tally:
        found = tally((step.old, step.new) for step in self.steps)
        added, modified, removed = msgspec.structs.astuple(found.counts)
        return Tally(Counts(added, modified + len(self.names), removed), found.folders, found.times)

    @property
    def counts(self) -> Counts:
        return self.tally.counts

    @property
    def size(self) -> int:
        """Bytes that have to be written."""
        return sum(step.content.size for step in self.steps if step.content is not None)

    def contents(self) -> list[BlobInfo]:
        """Every content that has to be written, once."""
        return list({s.content.sha256: s.content for s in self.steps if s.content}.values())


def make_plan(
    differences: Iterable[PathDifference],
    options: Options = Options(),  # noqa: B008 - a frozen value
    around: Surroundings = Surroundings(),  # noqa: B008 - a frozen value
    *,
    app: str = "",
    from_: int | None = None,
    goal: Goal | None = None,
) -> Plan:
    """`differences` are those of the whole root, in any order; the scope is applied here.

    Raises ConflictError if a directory has to become something else and has to stay.
    """
    planner = _Planner({d.path: d for d in differences}, options, around)
    planner.decide()
    return Plan(
        app=app,
        from_=from_,
        goal=goal,
        options=options,
        steps=tuple(planner.steps()),
        kept=planner.named("kept"),
        refused=planner.named("refused"),
        not_restored=planner.named("not restored"),
        databases=tuple(planner.undecided_databases()),
        unstored=planner.unstored(),
    )


def check_databases(plan: Plan) -> None:
    """Raises ConflictError if the plan would write a database without a decision of the user about
    it.
    """
    if plan.databases:
        names = ", ".join(map(repr, plan.databases))
        patterns = state_patterns(plan.databases, [step.path for step in plan.steps])
        options = " ".join(f"--state {quote(pattern)}" for pattern in patterns)
        raise ConflictError(
            f"this would replace databases that no class was given: {names}",
            hint=f"`epmstore app set {plan.app} {options}` leaves them alone, with all that belongs"
            " to them, now and later; name a path to bring it back as a whole",
            databases=list(plan.databases),
        )


_UNSTORED = "what it holds now is in no version"
LOST = f"{_UNSTORED} that can be read: `epmstore fsck --read-data --repair` stores it again"
_SECRET_NOW = "secret: what it holds now is stored nowhere"
NEVER_STORED = "secret: its content is never stored"
PURGED = "its content was purged"
_IGNORED = "it is ignored by the rules of today: `epmstore app set KEY --no-ignore PATTERN`"
_FOLDER_IGNORED = "a folder that is ignored has its name: move it away"
_NO_CONTENT = "only its metadata was recorded"
_NOBODYS = "no change or release had put it there"
EDITED = "configuration that was edited by hand"
IS_STATE = "it is state now, and comes back only if it is named itself"

_Verdict: TypeAlias = Op | Literal["kept", "refused", "not restored", "untouched"]
_OPS: Mapping[str, Op] = {op: op for op in get_args(Op)}
_REMOVALS = ("unlink", "rmdir")


class _Planner:
    """Decides about one path after the other, a folder before what is in it."""

    def __init__(
        self, differences: dict[RelPath, PathDifference], options: Options, around: Surroundings
    ) -> None:
        self._differences = {path: differences[path] for path in sort_paths(differences)}
        self._options = options
        self._around = around
        self._scope = frozenset(options.scope)
        self._named_databases = [db for db in around.databases if self._names_database(db)]
        self._units = frozenset(paths_of_units(self._named_databases))
        self._needed = self._needed_folders()
        self._verdicts: dict[RelPath, _Verdict] = {}
        self._wanted: dict[RelPath, Entry | None] = {}
        self._links: dict[RelPath, RelPath] = {}
        self._leaders: dict[RelPath, RelPath] = {}
        self._whys: dict[RelPath, str] = {}

    # Results.

    def steps(self) -> Iterator[Step]:
        for path in reversed(self._differences):
            if self._verdicts[path] in _REMOVALS:
                yield self._step(path)
        for path in self._differences:
            if self._verdicts[path] in ("mkdir", "put", "retype", "set"):
                yield self._step(path)

    def named(self, verdict: _Verdict) -> tuple[NamedPath, ...]:
        return tuple(
            (path, self._whys[path]) for path, given in self._verdicts.items() if given == verdict
        )

    def undecided_databases(self) -> list[RelPath]:
        undecided = [
            db
            for db in self._around.databases
            if db.path_class == "program" and db not in self._named_databases
        ]
        writes = [path for path, v in self._verdicts.items() if v in ("put", "retype", "unlink")]
        return [db.path for db in undecided if any(map(db.covers, writes))]

    def _step(self, path: RelPath) -> Step:
        verdict = self._verdicts[path]
        difference = self._differences[path]
        link = self._links.get(path) if verdict in ("put", "retype") else None
        wanted, safe = self._wanted[path], None
        if displaces(verdict, difference.found):
            safe = difference.safe
            assert safe is not None, "what cannot be brought back is not displaced"
        return Step(_OPS[verdict], path, difference.found, wanted, difference.seen, link, safe)

    def unstored(self) -> tuple[RelPath, ...]:
        """What has to be looked at before it can be decided about."""
        asked = {path for path, why in self._whys.items() if why in (_UNSTORED, LOST)}
        for db in self._named_databases:  # a folder of class state is not looked into
            if db.path_class == "state":
                asked.update(db.members)
        return tuple(sort_paths(asked.difference(self._around.looked)))

    # Decisions.

    def decide(self) -> None:
        for path, difference in self._differences.items():
            self._wanted[path] = self._as_possible(difference)
            self._verdicts[path] = self._judge(difference, self._wanted[path])
        self._protect_other_names()
        self._keep_folders()

    def _judge(self, d: PathDifference, wanted: Entry | None) -> _Verdict:
        is_needed = d.path in self._needed and d.found is None
        if not is_needed and self._scope and not self._is_named(d.path):
            return "untouched"
        op = op_of(d.found, wanted)
        if op is None:
            return "untouched"
        entry = wanted or d.found
        path_class = d.path_class or (entry.path_class if entry is not None else "program")
        forced = d.path in self._scope or self._in_unit(d.path)
        verdict = self._judge_unseen(d, wanted, path_class)
        verdict = verdict or self._judge_class(d, path_class, forced=forced, is_needed=is_needed)
        if verdict is not None:
            return verdict
        if wanted is None:
            return self._judge_removal(d, op, path_class, forced=forced)
        return self._judge_put(d, wanted, op, path_class)

    def _judge_unseen(
        self, d: PathDifference, wanted: Entry | None, path_class: Class
    ) -> _Verdict | None:
        """About a path at which something is that was not looked at, or that is no entry."""
        if path_class == "ignore" or is_within(d.path, self._around.ignored):
            return self._judge_ignored(d, wanted)
        if is_within(d.path, self._around.unobserved.keys()):
            return self._give("refused", d.path, self._why_unobserved(d.path))
        if d.path in self._around.special:
            verdict: _Verdict = "kept" if wanted is None else "not restored"
            return self._give(verdict, d.path, f"{self._around.special[d.path]} has its name")
        return None

    def _judge_class(
        self, d: PathDifference, path_class: Class, *, forced: bool, is_needed: bool
    ) -> _Verdict | None:
        """What is left alone for what it is, unless it is named."""
        is_state = path_class == "state" or d.below_state
        if is_state and not forced and not is_needed:
            was_stored = d.wanted is not None and d.wanted.content is not None
            is_about = bool(self._scope) and was_stored  # by a folder, or it were named itself
            return self._give("kept", d.path, IS_STATE) if is_about else "untouched"
        if is_state and d.found is None and d.path not in self._around.looked:
            return self._give("not restored", d.path, _UNSTORED)
        if path_class == "config" and self._is_edited(d) and not forced:
            return self._give("kept", d.path, EDITED)
        return None

    def _judge_put(self, d: PathDifference, wanted: Entry, op: Op, path_class: Class) -> _Verdict:
        if not self._has_folder(d.path):
            return self._give("refused", d.path, "its folder is not there, or is no folder")
        if op in ("put", "retype") and wanted.kind == "file":
            if d.wanted is not None and "secret" in (path_class, d.wanted.path_class):
                return self._give("not restored", d.path, NEVER_STORED)
            if wanted.content is None:
                return self._give("not restored", d.path, _NO_CONTENT)
            if wanted.content in self._around.purged:
                return self._give("not restored", d.path, PURGED)
        return self._unless_lost(d, op, path_class)

    def _unless_lost(self, d: PathDifference, op: Op, path_class: Class) -> _Verdict:
        """What is to be done with a path, unless what it holds now would be lost for good."""
        if not displaces(op, d.found) or d.safe is not None:
            return op
        if path_class == "secret":
            return self._give("not restored", d.path, _SECRET_NOW)
        was_stored = d.found is not None and d.found.content is not None
        return self._give("not restored", d.path, LOST if was_stored else _UNSTORED)

    def _judge_ignored(self, d: PathDifference, wanted: Entry | None) -> _Verdict:
        """What is there was not looked at; who names it is told that it does not come back."""
        if wanted is not None and d.path in self._around.ignored and d.path_class != "ignore":
            return self._give("not restored", d.path, _FOLDER_IGNORED)  # no rule is about a file
        if wanted is None or d.path not in self._scope:
            return "untouched"
        return self._give("not restored", d.path, _IGNORED)

    def _judge_removal(
        self, d: PathDifference, op: Op, path_class: Class, *, forced: bool
    ) -> _Verdict:
        if path_class == "secret" and not forced:
            return self._give("kept", d.path, "secret: it could not be brought back")
        is_purged = d.found is not None and self._is_purged(d.found)
        if is_purged and not forced:
            return self._give("kept", d.path, "purged: it could not be brought back")
        unseen = None if forced else self._why_unseen(d)
        if unseen is not None:
            return self._give("kept", d.path, f"{unseen}: it may have been there")
        if d.by_change or self._options.exact or self._in_unit(d.path):
            return self._unless_lost(d, op, path_class)
        return self._give("kept", d.path, _NOBODYS)

    def _as_possible(self, d: PathDifference) -> Entry | None:
        """The wanted entry, as a name of a file that will be there: the first of its links may stay
        as it is, or never come.
        """
        wanted = None if d.wanted is None else _as_today(d.wanted, d)
        if wanted is None or wanted.same_as is None or wanted.content is None:
            return wanted
        first = wanted.same_as
        leaders = (first, self._leaders.get(first))
        leader = next((one for one in leaders if one and self._is_name_of(one, wanted)), None)
        if leader is None:
            self._leaders[first] = d.path
            return msgspec.structs.replace(wanted, same_as=None)
        self._links[d.path] = leader
        return wanted if leader == first else msgspec.structs.replace(wanted, same_as=leader)

    def _is_name_of(self, path: RelPath, wanted: Entry) -> bool:
        """Whether the wanted file will be there under another name: history may err about that."""
        other = self._wanted.get(path)
        is_same = other is None or other.content == wanted.content
        is_same = is_same and path not in self._around.special
        return is_same and self._becomes_wanted(path)

    def _becomes_wanted(self, path: RelPath) -> bool:
        verdict = self._verdicts.get(path)
        if verdict == "untouched":
            return op_of(self._differences[path].found, self._wanted[path]) is None
        return verdict in (None, "put", "retype", "set")

    def _protect_other_names(self) -> None:
        """Setting metadata reaches all names of a file. Unless all are in the plan and want the
        same, it gets a file of its own.
        """
        names: dict[tuple[int, int], list[RelPath]] = defaultdict(list)
        for path, verdict in self._verdicts.items():
            wanted, seen = self._wanted[path], self._differences[path].seen
            is_file = verdict == "set" and wanted is not None and wanted.kind == "file"
            if is_file and seen is not None and seen.links > 1:
                names[seen.dev, seen.ino].append(path)
        for paths in names.values():
            seen = self._differences[paths[0]].seen
            looks = {look_of(self._wanted[path]) for path in paths}
            if seen is not None and (seen.links != len(paths) or len(looks) > 1):
                for path in paths:
                    self._put_anew(path)

    def _put_anew(self, path: RelPath) -> None:
        wanted = self._wanted[path]
        if (
            wanted is None
            or wanted.content is None
            or wanted.path_class == "secret"
            or self._is_purged(wanted)
        ):
            why = "other names of the same file would change with it"
            self._verdicts[path] = self._give("not restored", path, why)
        else:
            d = self._differences[path]
            path_class = d.path_class or wanted.path_class
            self._verdicts[path] = self._unless_lost(d, "put", path_class)

    def _keep_folders(self) -> None:
        """What stays keeps the folders that it is in."""
        staying = {
            path
            for path, d in self._differences.items()
            if d.found is not None and self._verdicts[path] not in _REMOVALS
        }
        staying.update(self._around.unobserved, self._around.ignored, self._around.special)
        for d in self._differences.values():
            staying.update(d.holds)
        holding: dict[str, list[RelPath]] = defaultdict(list)
        for path in sort_paths(staying):
            for folder in parents(path):
                holding[folder].append(path)
        for path, d in self._differences.items():
            if path not in holding or d.found is None or d.found.kind != "directory":
                continue
            if self._verdicts[path] == "rmdir":
                self._verdicts[path] = self._give("kept", path, "not empty")
            elif self._verdicts[path] == "retype":
                only = all(self._whys.get(p) in (_NOBODYS, "not empty") for p in holding[path])
                raise _cannot_retype(path, d, holding[path], exact_helps=only)

    # Facts.

    def _give(self, verdict: _Verdict, path: RelPath, why: str) -> _Verdict:
        self._whys[path] = why
        return verdict

    def _why_unseen(self, d: PathDifference) -> str | None:
        is_dir = d.found is not None and d.found.kind == "directory"
        return self._around.sight.why_unseen(d.path, is_dir)

    def _is_purged(self, entry: Entry) -> bool:
        return entry.content is not None and entry.content in self._around.purged

    def _is_edited(self, d: PathDifference) -> bool:
        return self._options.config != "restore" and d.edited_by == "drift"

    def _has_folder(self, path: RelPath) -> bool:
        """Whether what a path is in will be a folder; folders were decided about before."""
        folder = RelPath(split(path)[0])
        if is_within(folder, self._around.ignored) and folder:
            return False
        d = self._differences.get(folder)
        if d is None:
            return True
        wanted = self._wanted[folder]
        if self._verdicts[folder] in ("mkdir", "retype", "set"):
            return wanted is not None and wanted.kind == "directory"
        return d.found is not None and d.found.kind == "directory"

    def _why_unobserved(self, path: RelPath) -> str:
        tops = [RelPath(top) for top in (*parents(path), path)]
        why = next(self._around.unobserved[top] for top in tops if top in self._around.unobserved)
        return f"not observed: {why}"

    def _needed_folders(self) -> frozenset[str]:
        """Folders that are not in the scope, and without which what is in it cannot be."""
        if not self._scope:
            return frozenset()
        coming = (d.path for d in self._differences.values() if d.wanted is not None)
        inside = filter(self._is_named, coming)
        return frozenset(folder for path in inside for folder in parents(path))

    def _names_database(self, db: DatabaseUnit) -> bool:
        """Whether the scope has this very database, or something in it."""
        if db.kind == "postgresql":
            return any(db.covers(top) for top in self._scope)
        return not self._scope.isdisjoint(db.members)

    def _is_named(self, path: RelPath) -> bool:
        return is_within(path, self._scope) or self._in_unit(path)

    def _in_unit(self, path: str) -> bool:
        return bool(self._units) and is_within(path, self._units)


def _as_today(wanted: Entry, d: PathDifference) -> Entry:
    """What the version that comes of it says. What was a secret, or is one now, is recorded by the
    rules of today: a version that says of a secret that it is none promises its content. A file of
    which only metadata was recorded keeps the content that it has, and what goes with that.
    """
    found, path_class = d.found, d.path_class
    was, is_now = wanted.path_class == "secret", path_class == "secret"
    if (was or is_now) and path_class in ("program", "config", "secret"):
        wanted = msgspec.structs.replace(wanted, path_class=path_class)
    if found is None or {wanted.kind, found.kind} != {"file"} or wanted.content is not None:
        return wanted
    return msgspec.structs.replace(
        wanted,
        content=found.content,
        mtime_ns=found.mtime_ns if wanted.mtime_ns is None else wanted.mtime_ns,
        same_as=found.same_as,
        sparse=found.sparse,
        path_class=found.path_class,
    )


def _cannot_retype(
    path: RelPath, d: PathDifference, holding: list[RelPath], *, exact_helps: bool
) -> ConflictError:
    kind = d.wanted.kind if d.wanted is not None else "file"
    names = ", ".join(map(repr, holding[:10]))
    return ConflictError(
        f"{path!r} is to become a {kind}, and holds what would be kept: {names}",
        hint="move it elsewhere"
        + (", or use --exact to remove what nobody recorded on purpose" if exact_helps else ""),
        path=path,
        kept=holding,
    )
