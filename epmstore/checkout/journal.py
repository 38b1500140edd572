"""The journal: what makes the applying of a plan finishable, whatever died and whenever.

A file of sealed lines (seal.py): a header, the steps in batches, then one line for each state that
was reached.

    PLANNED    the plan is durable; nothing of the root is touched but its staging folder
    STAGED     everything new lies durable in its slot: the one turning point, back before it,
               forward after it
    SWITCHED   the root is as planned, durably; what was there lies in the slots
    COMMITTED  the catalog says so

A torn tail is a state that was not reached. Damage before it stops recovery, which must not guess;
and so does a format, a state or a line that this release does not know. No line is written that
could not be read again.

Between PLANNED and STAGED a line says which directory the staging folder is, before anything is put
into it.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias, get_args, get_type_hints

import msgspec

from epmstore import codec, fsio, seal
from epmstore.atomic import directory, discard, read_file, remove_file
from epmstore.catalog.classes import Patterns
from epmstore.catalog.format import named, with_converted_paths
from epmstore.catalog.model import Installed, Note, Parameters, Reason, RecordedActor
from epmstore.checkout.goal import FORMATS, TOGETHER, Goal, goal_from_form, without_goal
from epmstore.checkout.ops import Op
from epmstore.checkout.plan import NamedPath, Plan, Seen, Step
from epmstore.checkout.stage import Refused
from epmstore.entryform import entry_from_form, entry_to_form
from epmstore.errors import DamagedError, EpmError, UnreadableError
from epmstore.relpath import (
    ROOT,
    RelPath,
    are_plain_paths,
    from_json,
    from_json_or_root,
    text_from_json,
    text_to_json,
    to_json,
)
from epmstore.scan.staging_mark import stage_name
from epmstore.store.staging import NO_SENSE, StageProof, proof_from_form, proof_to_form

JournalState: TypeAlias = Literal["PLANNED", "STAGED", "SWITCHED", "COMMITTED"]
BATCH = 4096
_LEFT_OUT: Final = ("kept", "not_restored")
_NAMING: Final = ("left", "refused", *_LEFT_OUT)
KNOWN: Final = {"format", "header", "steps", "state", "stage"}
"""Keys of which each line has one; another release may write lines that have none of them."""
_MAGIC = seal.MAGIC.to_bytes(4, "little")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What is applied, to which root, and what the version that records it is to say. `marked`: the
    journal says which directory the staging folder is. `sight` is that of the version before,
    `installed` what is installed afterwards (None: what was), `parameters` what is set then,
    `notes` what a person should know of it. `transaction` are the applications (UUIDs, who is
    needed first) that go together, if this one is one of several: then each has a journal of this
    `txid`, and a file of that name decides (transaction.py).
    """

    txid: str
    app: str
    key: str
    root: str
    root_inode: int
    action: str
    reason: Reason
    time: str
    base: int
    goal: Goal
    from_: int | None
    safety: int | None
    scope: tuple[RelPath, ...] | None
    label: str | None
    actor: RecordedActor | None
    rules: str
    unobserved: tuple[tuple[RelPath, str], ...] = ()
    patterns: Patterns | None = None
    marked: bool = False
    sight: int = 0
    installed: tuple[Installed, ...] | None = None
    parameters: Parameters | None = None
    notes: tuple[Note, ...] = ()
    transaction: tuple[str, ...] = ()

    @property
    def format(self) -> int:
        """The lowest one that says all of it."""
        return TOGETHER if self.transaction else self.goal.format

    @property
    def stage(self) -> str:
        """The name of the staging folder at the top of the root."""
        return stage_name(self.txid)


class LeftOut(msgspec.Struct, frozen=True):
    """What a plan has no steps for, and says so: what stays, and what is not as wanted."""

    kept: tuple[NamedPath, ...] = ()
    not_restored: tuple[NamedPath, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(plan.kept, (*plan.refused, *plan.not_restored))


NOTHING = LeftOut()


class Loaded(msgspec.Struct, frozen=True):
    """A journal as found. `inodes` maps the number of a step to the inode staged for it; `left` and
    `refused` are what the switch, or the staging, came to; `stage` is which directory the staging
    folder is, None if it was not made yet, or by a release that did not say so.
    """

    header: Header
    steps: tuple[Step, ...]
    state: JournalState | None
    inodes: dict[int, int] = {}
    left: dict[RelPath, str] = {}
    refused: list[Refused] = []
    stage: StageProof | None = None
    left_out: LeftOut = NOTHING


class Journal:
    """The journal of one app while it is being applied. The holder of the app's lock writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, header: Header, steps: Sequence[Step], left_out: LeftOut = NOTHING) -> None:
        """Durable when it returns: state PLANNED. Raises FileExistsError, UnreadableError,
        OSError.
        """
        lines = [{"format": header.format, "header": _header_form(header)}]
        remaining = iter(steps)
        while batch := [step_to_form(step) for step in islice(remaining, BATCH)]:
            lines.append({"steps": batch})
        for name in _LEFT_OUT:
            pairs = iter(getattr(left_out, name))
            while some := [(to_json(path), why) for path, why in islice(pairs, BATCH)]:
                lines.append({"steps": [], name: some})
        # The last line, in one write with all others: a journal without it never began.
        lines.append({"state": "PLANNED"})
        sealed = b"".join(map(_written, lines))
        with directory(self.path.parent) as parent:
            fd = fsio.create(self.path.name, parent)
            try:
                fsio.write(fd, sealed)
                fsio.sync_file(fd)
                fsio.sync_directory(parent)
            except BaseException:
                discard(self.path.name, parent)
                raise
            finally:
                os.close(fd)

    def reach(
        self,
        state: JournalState,
        *,
        inodes: Mapping[int, int] | None = None,
        left: Mapping[RelPath, str] | None = None,
        refused: Iterable[Refused] = (),
    ) -> None:
        """Durable when it returns; a torn line of an earlier try is cut off. Raises OSError."""
        line: dict[str, Any] = {"state": state, **staged_to_form(inodes or {}, refused)}
        if left:
            line["left"] = [(to_json(path), why) for path, why in left.items()]
        self._append(line)

    def name_stage(self, stage: StageProof) -> None:
        """Say which directory the staging folder is. Durable when it returns. Raises OSError."""
        self._append({"stage": proof_to_form(stage)})

    def retreat(self) -> None:
        """Take STAGED back: the journal ends before it, durably. Raises OSError, DamagedError."""
        data = read_file(self.path)
        end = 0
        for line, behind in read_forms(data):
            if line.get("state") == "STAGED":
                break
            end = behind
        with directory(self.path.parent) as parent:
            fd = fsio.open_append(self.path.name, parent)
        try:
            # Durable before the caller takes away what STAGED spoke of.
            fsio.truncate(fd, end)
            fsio.sync_file(fd)
        finally:
            os.close(fd)

    def _append(self, line: dict[str, Any]) -> None:
        sealed = _written(line)
        with directory(self.path.parent) as parent:
            fd = fsio.open_append(self.path.name, parent)
        try:
            end = _whole_length(read_file(self.path))
            # A torn line of an earlier try goes: what stands behind it would not be read.
            if end < os.fstat(fd).st_size:
                fsio.truncate(fd, end)
            fsio.write_at(fd, sealed, end)
            fsio.sync_data(fd)
        finally:
            os.close(fd)

    def load(self) -> Loaded | None:
        """None if there is none, or one that never became durable. Raises DamagedError, also if a
        release wrote it that knows more than this one.
        """
        try:
            data = read_file(self.path)
        except FileNotFoundError:
            return None
        try:
            lines = [line for line, _ in read_forms(data)]
            if not lines:
                return None
            _check_known(lines)
            return _loaded(lines)
        except NO_SENSE as error:
            raise DamagedError(f"the journal does not make sense: {error}") from None

    def drop(self) -> None:
        """It is done, or never began. Durable. Raises OSError."""
        remove_file(self.path)


def staged_to_form(inodes: Mapping[int, int], refused: Iterable[Refused]) -> dict[str, Any]:
    """What a line says of what was staged; nothing has no key."""
    form: dict[str, Any] = {}
    if inodes:
        form["inodes"] = list(inodes.items())
    if named := [(to_json(one.path), one.what) for one in refused]:
        form["refused"] = named
    return form


def inodes_from_form(form: dict[str, Any]) -> dict[int, int]:
    return {int(n): int(inode) for n, inode in form.get("inodes", ())}


def refused_from_form(form: dict[str, Any]) -> list[Refused]:
    return [Refused(from_json_or_root(p), tuple(what)) for p, what in form.get("refused", ())]


def _loaded(lines: Sequence[dict[str, Any]]) -> Loaded:
    state: JournalState | None = None
    inodes: dict[int, int] = {}
    left: dict[RelPath, str] = {}
    refused: list[Refused] = []
    steps: list[Step] = []
    stage: StageProof | None = None
    left_out: dict[str, list[NamedPath]] = {name: [] for name in _LEFT_OUT}
    header = _header_from_form(lines[0]["header"])
    for line in lines[1:]:
        steps += [step_from_form(form) for form in line.get("steps", ())]
        state = line.get("state", state)
        stage = proof_from_form(line["stage"]) if "stage" in line else stage
        inodes.update(inodes_from_form(line))
        left.update((from_json_or_root(path), why) for path, why in line.get("left", ()))
        for name, pairs in left_out.items():
            pairs += [(from_json_or_root(path), str(why)) for path, why in line.get(name, ())]
        refused += refused_from_form(line)
    said = LeftOut(**{name: tuple(pairs) for name, pairs in left_out.items()})
    return Loaded(header, tuple(steps), state, inodes, left, refused, stage, said)


def _check_known(lines: Sequence[dict[str, Any]]) -> None:
    """Raises DamagedError for what another release wrote: what it was doing must not be guessed."""
    for line in lines:
        state = line.get("state")
        if line is lines[0] and line.get("format", 1) not in (*FORMATS, TOGETHER):
            raise _newer(f"is of format {line['format']}, this release reads {TOGETHER}")
        if state is not None and state not in get_args(JournalState):
            raise _newer(f"says {state!r}, which this release does not know")
        if line.keys().isdisjoint(KNOWN):
            raise _newer(f"has a line that this release does not know: {', '.join(sorted(line))}")


def _newer(what: str) -> DamagedError:
    return DamagedError(
        f"the journal of an interrupted checkout {what}",
        hint="nothing was changed; let the release that wrote it finish it: `epmstore recover`",
    )


def seal_form(line: dict[str, Any]) -> bytes:
    """A line as a sealed record."""
    try:
        plain = msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:  # a name that is no text, such as that of an attribute
        plain = json.dumps(line).encode() + b"\n"
    body = codec.compress(plain)
    return seal.seal(seal.RecordKind.LINE, body, number=len(plain)) + body


def _written(line: dict[str, Any]) -> bytes:
    """A line as it is written. Raises UnreadableError unless `load` takes it. Steps of plain paths
    are not read once more: all else of them is written from values of one form.
    """
    sealed = seal_form(line)
    if line.get("steps") and are_plain_paths([*_paths_in(line["steps"])]):
        return sealed
    try:
        ((again, _),) = read_forms(sealed)
        _check_known([again] if "header" in again else [{"header": None}, again])
        if "header" in again:
            _header_from_form(again["header"])
        for form in again.get("steps", ()):
            step_from_form(form)
        for path, _ in chain.from_iterable(again.get(name, ()) for name in _NAMING):
            from_json_or_root(path)
    except (EpmError, *NO_SENSE) as error:
        raise UnreadableError("the journal", str(error)) from None
    return sealed


def _paths_in(steps: Iterable[dict[str, Any]]) -> Iterator[str]:
    for step in steps:
        yield step["path"]
        if step["link"] is not None:
            yield step["link"]
        for entry in (step["old"], step["new"]):
            if entry is not None:
                yield entry["path"]
                if entry["same_as"] is not None:
                    yield entry["same_as"]


def read_forms(data: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    """Each line, and where it ends, up to what is torn. Raises DamagedError."""
    offset = 0
    while offset < len(data):
        try:
            found, body = seal.read(data, offset)
        except DamagedError:
            if _record_follows(data, offset + 1):
                raise
            return
        try:
            line = json.loads(codec.decompress(body, found.number))
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            raise DamagedError("the journal does not make sense: a line is no object")
        offset = found.end
        yield line, offset


def _record_follows(data: bytes, offset: int) -> bool:
    """Whether there is a whole record further on; else this is a write that was cut short. A length
    that was flipped looks torn too, so being torn alone says nothing.
    """
    while (offset := data.find(_MAGIC, offset)) >= 0:
        try:
            seal.read(data, offset)
        except DamagedError:
            offset += 1
        else:
            return True
    return False


def _whole_length(data: bytes) -> int:
    offset = 0
    while offset < len(data):
        try:
            offset = seal.read(data, offset)[0].end
        except DamagedError:
            break
    return offset


_HEADER: Final[tuple[str, ...]] = (
    *("txid", "app", "key", "root", "root_inode", "action", "reason", "time", "base", "of"),
    *("from_", "safety", "scope", "label", "actor", "rules", "release", "edits", "without"),
    *("unobserved", "patterns", "marked", "sight", "installed", "parameters", "notes"),
    "transaction",
)
"""Keys of a header in their order, with those of every goal."""
_OPTIONAL: Final[frozenset[str]] = frozenset(
    {"unobserved", "patterns", "marked", "sight", "installed", "parameters", "notes", "transaction"}
)
"""What older journals lack, or one has only where there is something to say."""
_TYPES: Final = {name: kind for name, kind in get_type_hints(Header).items() if name != "goal"}


def _header_form(header: Header) -> dict[str, Any]:
    said: dict[str, Any] = {**msgspec.structs.asdict(header), **header.goal.form()}
    form = {key: said[key] for key in _HEADER if key in said}
    if header.transaction:
        form = {**without_goal(form, header.goal), "goal": header.goal.form()}
    else:
        del form["transaction"]
    form["root"] = text_to_json(header.root)
    form["scope"] = None if header.scope is None else [to_json(path) for path in header.scope]
    form["patterns"] = msgspec.to_builtins(header.patterns)
    if header.installed is None:
        del form["installed"]
    else:
        form["installed"] = msgspec.to_builtins(header.installed)
    form["parameters"] = _said_parameters(header)
    if header.parameters is None:
        del form["parameters"]
    form["notes"] = [
        msgspec.to_builtins(note) | ({} if note.path is None else {"path": to_json(note.path)})
        for note in header.notes
    ]
    if not header.notes:
        del form["notes"]
    form["unobserved"] = [
        (path if path == ROOT else to_json(path), why) for path, why in named(header.unobserved)
    ]
    return form


def _said_parameters(header: Header) -> Any:
    said = header.parameters
    return None if said is None else msgspec.to_builtins(with_converted_paths(said, to_json))


def _header_from_form(form: dict[str, Any]) -> Header:
    own = [name for name in _TYPES if name in form or name not in _OPTIONAL]
    known: dict[str, Any] = {name: msgspec.convert(form[name], _TYPES[name]) for name in own}
    known["goal"] = goal_from_form(form["goal"] if known.get("transaction") else form)
    if known["scope"] is not None:
        known["scope"] = tuple(map(from_json, known["scope"]))
    known["notes"] = tuple(
        note if note.path is None else msgspec.structs.replace(note, path=from_json(note.path))
        for note in known.get("notes", ())
    )
    if known.get("parameters") is not None:
        known["parameters"] = with_converted_paths(known["parameters"], from_json)
    known["root"] = text_from_json(form["root"])
    known["unobserved"] = tuple(
        (from_json_or_root(path), why) for path, why in named(known.get("unobserved", ()))
    )
    return Header(**known)


def step_to_form(step: Step) -> dict[str, Any]:
    return {
        "op": step.op,
        "path": to_json(step.path),
        "old": None if step.old is None else entry_to_form(step.old),
        "new": None if step.new is None else entry_to_form(step.new),
        "seen": None if step.seen is None else msgspec.structs.astuple(step.seen),
        "link": None if step.link is None else to_json(step.link),
    }


def step_from_form(form: dict[str, Any]) -> Step:
    """Raises ValueError for a step that this release does not know."""
    if form["op"] not in get_args(Op):
        raise ValueError(f"there is no step {form['op']!r}")
    path = from_json_or_root if form["op"] == "set" else from_json
    seen = msgspec.convert(form["seen"], tuple[int, ...] | None)
    return Step(
        op=form["op"],
        path=path(form["path"]),
        old=None if form["old"] is None else entry_from_form(form["old"]),
        new=None if form["new"] is None else entry_from_form(form["new"]),
        seen=None if seen is None else Seen(*seen),
        link=None if form["link"] is None else from_json(form["link"]),
    )
