"""The journal: what makes the applying of a plan finishable, whatever died and whenever.

A file of sealed lines (seal.py): a header, the steps in batches, then one line for each state that
was reached.

    PLANNED    the plan is durable; nothing of the root is touched but its staging folder
    STAGED     everything new lies durable in its slot: the one turning point, back before it,
               forward after it
    SWITCHED   the root is as planned, durably; what was there lies in the slots
    COMMITTED  the catalog says so

A torn tail is a state that was not reached. Damage before it stops: then nobody may guess.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from epmstore import codec, fsio, seal
from epmstore.atomic import directory, discard, read_file, remove_file
from epmstore.catalog.classes import Patterns
from epmstore.catalog.model import Actor, Reason
from epmstore.checkout.plan import Seen, Step
from epmstore.checkout.stage import Refused
from epmstore.entryform import entry_from_form, entry_to_form
from epmstore.errors import DamagedError
from epmstore.relpath import RelPath, from_json, text_from_json, text_to_json, to_json

State: TypeAlias = Literal["PLANNED", "STAGED", "SWITCHED", "COMMITTED"]
BATCH = 4096
FORMAT = 1
_MAGIC = seal.MAGIC.to_bytes(4, "little")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What is applied, to which root, and what the version that records it is to say."""

    txid: str
    app: str
    key: str
    root: str
    root_inode: int
    action: str
    reason: Reason
    time: str
    base: int
    of: int | None
    from_: int | None
    safety: int | None
    scope: tuple[RelPath, ...] | None
    label: str | None
    actor: Actor | None
    rules: str
    release: int | None = None
    unobserved: tuple[tuple[RelPath, str], ...] = ()
    patterns: Patterns | None = None

    @property
    def stage(self) -> str:
        """The name of the staging folder at the top of the root."""
        return f".epm-{self.txid}"


class Loaded(msgspec.Struct, frozen=True):
    """A journal as found. `inodes` maps the number of a step to the inode staged for it; `left` and
    `refused` are what the switch, or the staging, came to.
    """

    header: Header
    steps: tuple[Step, ...]
    state: State | None
    inodes: dict[int, int] = {}
    left: dict[RelPath, str] = {}
    refused: list[Refused] = []


class Journal:
    """The journal of one app while it is being applied. Whoever holds the app's lock writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, header: Header, steps: Sequence[Step]) -> None:
        """Durable when it returns: state PLANNED. Raises FileExistsError, OSError."""
        lines = [{"format": FORMAT, "header": _header_form(header)}]
        remaining = iter(steps)
        while batch := [step_to_form(step) for step in islice(remaining, BATCH)]:
            lines.append({"steps": batch})
        lines.append({"state": "PLANNED"})
        with directory(self.path.parent) as parent:
            fd = fsio.create(self.path.name, parent)
            try:
                fsio.write(fd, b"".join(map(_sealed, lines)))
                fsio.sync_file(fd)
                fsio.sync_directory(parent)
            except BaseException:
                discard(self.path.name, parent)
                raise
            finally:
                os.close(fd)

    def reach(
        self,
        state: State,
        *,
        inodes: Mapping[int, int] | None = None,
        left: Mapping[RelPath, str] | None = None,
        refused: Iterable[Refused] = (),
    ) -> None:
        """Durable when it returns; a torn line of an earlier try is cut off. Raises OSError."""
        line: dict[str, Any] = {"state": state}
        if inodes:
            line["inodes"] = list(inodes.items())
        if left:
            line["left"] = [(to_json(path), why) for path, why in left.items()]
        if refused:
            line["refused"] = [(to_json(one.path), one.what) for one in refused]
        with directory(self.path.parent) as parent:
            fd = fsio.open_append(self.path.name, parent)
        try:
            end = _whole_length(read_file(self.path))
            if end < os.fstat(fd).st_size:
                fsio.truncate(fd, end)
            fsio.write_at(fd, _sealed(line), end)
            fsio.sync_data(fd)
        finally:
            os.close(fd)

    def load(self) -> Loaded | None:
        """Null if there is none, or one that never became durable. Raises DamagedError."""
        try:
            data = read_file(self.path)
        except FileNotFoundError:
            return None
        lines = list(_lines(data))
        if not lines or "header" not in lines[0]:
            return None
        return _loaded(lines)

    def drop(self) -> None:
        """It is done, or never began. Durable. Raises OSError."""
        remove_file(self.path)


def _loaded(lines: Sequence[dict[str, Any]]) -> Loaded:
    state: State | None = None
    inodes: dict[int, int] = {}
    left: dict[RelPath, str] = {}
    refused: list[Refused] = []
    steps: list[Step] = []
    try:
        header = _header_from_form(lines[0]["header"])
        for line in lines[1:]:
            steps += [step_from_form(form) for form in line.get("steps", ())]
            state = line.get("state", state)
            inodes.update((int(n), int(inode)) for n, inode in line.get("inodes", ()))
            left.update((from_json(path), why) for path, why in line.get("left", ()))
            refused += [Refused(from_json(p), tuple(what)) for p, what in line.get("refused", ())]
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise DamagedError(f"the journal does not make sense: {error}") from None
    return Loaded(header, tuple(steps), state, inodes, left, refused)


def _sealed(line: dict[str, Any]) -> bytes:
    try:
        plain = msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:  # a name that is no text, such as that of an attribute
        plain = json.dumps(line).encode() + b"\n"
    body = codec.compress(plain)
    return seal.seal(seal.Kind.LINE, body, number=len(plain)) + body


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    offset = 0
    while offset < len(data):
        try:
            found, body = seal.read(data, offset)
        except DamagedError:
            if _record_follows(data, offset + 1):
                raise
            return
        line = json.loads(codec.decompress(body, found.number))
        if not isinstance(line, dict):
            raise DamagedError("the journal does not make sense")
        yield line
        offset = found.end


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


def _header_form(header: Header) -> dict[str, Any]:
    form: dict[str, Any] = msgspec.structs.asdict(header)
    form["root"] = text_to_json(header.root)
    form["scope"] = None if header.scope is None else [to_json(path) for path in header.scope]
    form["patterns"] = msgspec.to_builtins(header.patterns)
    form["unobserved"] = [(to_json(path), why) for path, why in header.unobserved]
    return form


def _header_from_form(form: dict[str, Any]) -> Header:
    scope = form["scope"]
    optional = {"release", "unobserved", "patterns"}  # what journals of older releases lack
    known = {n: form[n] for n in Header.__struct_fields__ if n in form or n not in optional}
    known["root"] = text_from_json(form["root"])
    known["scope"] = None if scope is None else tuple(from_json(path) for path in scope)
    known["patterns"] = msgspec.convert(form.get("patterns"), Patterns | None)
    known["unobserved"] = tuple((from_json(p), why) for p, why in form.get("unobserved", ()))
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
    return Step(
        op=form["op"],
        path=from_json(form["path"]),
        old=None if form["old"] is None else entry_from_form(form["old"]),
        new=None if form["new"] is None else entry_from_form(form["new"]),
        seen=None if form["seen"] is None else Seen(*form["seen"]),
        link=None if form["link"] is None else from_json(form["link"]),
    )
