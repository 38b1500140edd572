"""What must be known of an application, kept outside the program: each version as it was claimed,
under which rules, and where each content can be had from.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from tests.worlds.looks import ROOT, Look, above, is_within
from tests.worlds.program import Shape
from tests.worlds.rulings import Patterns

OURS = b".epm-"
"""Names at the top of a root that begin so may be the program's, if no user made them."""
SPECIAL = frozenset({"fifo", "socket", "block", "char"})


class Claim(NamedTuple):
    """One path as a version has it. Of class `state` only the kind counts."""

    path_class: str
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()
    mtime_ns: int | None = None
    content: str | None = None
    first: bytes | None = None

    @property
    def facts(self) -> tuple[object, ...]:
        return self[1:]


Claims: TypeAlias = dict[bytes, Claim]


@dataclass
class Version:
    """`rules` are those that were in force, `unseen` tops of what could not be looked at then.
    `seen` is a walk of the root at that time, if the version is of that very moment.
    """

    number: int
    claims: Claims
    rules: Patterns
    unseen: frozenset[bytes] = frozenset()
    restorable: bool = True
    shape: Shape = field(default_factory=dict)
    seen: Look | None = None

    @property
    def is_held(self) -> bool:
        """Whether nobody may forget it."""
        return self.restorable and bool(self.shape["pinned"] or self.shape["tags"])


def path_of(text: str) -> bytes:
    """A path or name as JSON has it, as bytes."""
    if text.startswith("//"):
        return unquote_to_bytes(text[2:])
    return text.encode()


def claims_of(shapes: Iterable[Shape]) -> Claims:
    """What `ls --json` says."""
    return {path_of(shape["path"]): claim_of(path_of(shape["path"]), shape) for shape in shapes}


def claim_of(path: bytes, shape: Shape) -> Claim:
    kind, path_class = shape["kind"], shape["class"]
    if path_class == "state":
        return Claim(path_class, kind)
    content, first = shape["sha256"], None
    if kind == "symlink":
        content = path_of(shape["target"]).decode("utf-8", "surrogateescape")
    if kind == "file":
        first = path_of(shape["same_as"]) if shape["same_as"] else path
    return Claim(
        path_class,
        kind,
        mode=int(shape["mode"], 8),
        uid=shape["uid"],
        gid=shape["gid"],
        xattrs=tuple(sorted((n, base64.b64decode(v)) for n, v in shape["xattrs"].items())),
        mtime_ns=None if kind == "directory" else shape["mtime_ns"],
        content=content,
        first=first,
    )


def observable(found: Look, rules: Patterns, made: frozenset[bytes]) -> Claims:
    """What a version of this tree has to claim, of paths that can be recorded at all. `made` are
    names at the top that are a user's, whatever they are called.
    """
    claims: Claims = {}
    closed: set[bytes] = set()
    for path in sorted(found):
        seen = found[path]
        if path == ROOT or is_within(path, closed):
            continue
        kind = rules.class_of(path, is_folder=seen.kind == "directory")
        hidden = path.startswith(OURS) and path.split(b"/")[0] not in made
        if kind == "ignore" or hidden or seen.kind == "mount" or seen.kind in SPECIAL:
            closed.add(path)
            continue
        if kind == "state":
            closed.add(path)
            claims[path] = Claim("state", seen.kind)
            continue
        mode = 0o777 if seen.kind == "symlink" else seen.mode
        claims[path] = Claim(
            kind, seen.kind, mode, seen.uid, seen.gid, seen.xattrs, seen.mtime_ns, seen.content
        )
        if seen.kind == "file":
            claims[path] = claims[path]._replace(first=seen.first)
    return leaders_named(claims)


def leaders_named(claims: Claims) -> Claims:
    """With the first *recorded* name of each hard-linked file as its first."""
    firsts: dict[bytes, bytes] = {}
    renamed: Claims = {}
    for path in sorted(claims):
        claim = claims[path]
        if claim.first is not None:
            claim = claim._replace(first=firsts.setdefault(claim.first, path))
        renamed[path] = claim
    return renamed


def differing(one: Claims, two: Claims) -> list[bytes]:
    return sorted(path for path in one.keys() | two.keys() if one.get(path) != two.get(path))


def problems(shape: Shape) -> dict[bytes, str]:
    """Paths that a result or status names as not, or not fully, observed, and as what."""
    named = [*shape.get("skipped", ()), *shape.get("unobserved", ())]
    found = {path_of(one["path"]): str(one["kind"]) for one in named}
    found.update({path_of(path): "unstable" for path in shape.get("unstable", ())})
    return found


class Named(NamedTuple):
    """What a result names beside its counts: tops of paths."""

    kept: frozenset[bytes]
    not_restored: tuple[bytes, ...]
    unseen: frozenset[bytes]

    def leaves_out(self, path: bytes) -> bool:
        """Whether a path is said to be not as wanted."""
        tops = (*above(path), path)
        return is_within(path, self.unseen) or any(
            text == top or text.startswith((top + b": ", top + b" ("))
            for text in self.not_restored
            for top in tops
        )

    def keeps(self, path: bytes) -> bool:
        return is_within(path, self.kept)


def named_by(shape: Shape) -> Named:
    refused: Any = shape.get("refused", ())
    texts = (*shape.get("not_restored", ()), *refused)
    return Named(
        frozenset(path_of(path) for path in shape.get("kept", ())),
        tuple(path_of(text) for text in texts),
        frozenset(problems(shape)),
    )


def sources(versions: Iterable[Version]) -> Iterator[tuple[str, Version, bytes]]:
    """Contents of all files that can be restored: of which version, at which path."""
    for version in versions:
        for path, claim in version.claims.items() if version.restorable else ():
            is_stored = claim.kind == "file" and claim.path_class in ("program", "config")
            if is_stored and claim.content is not None:
                yield claim.content, version, path
