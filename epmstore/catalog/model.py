"""What a catalog records, as values; not how they look on disk (format.py) or where (history.py).

A catalog is a sequence of records. Each has a running number (`seq`), a type, and the SHA-256 of
the line before it; these three are its Envelope, which the writer fills in. Only versions take
version numbers.

Rules: times are RFC 3339 in UTC; digests are lower-case hex; `null` and absent mean the same; keys
that this release does not know are ignored, and stay in the file. Pure.
"""

from collections.abc import Collection
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from epmstore.catalog.classes import Patterns
from epmstore.relpath import RelPath
from epmstore.tree import Entry

FORMAT = 1
NO_HEAD = "0" * 64
"""What the first record of a catalog names as the line before it."""

VersionKind: TypeAlias = Literal["change", "drift"]
Reason: TypeAlias = Literal[
    "snapshot",
    "run",
    "checkout",
    "safety",
    "undo",
    "repair",
    "event",
    "scan",
    "startup-scan",
    "after-overflow",
    "release",
]
Operation: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[a-z]+(-[a-z]+)*\Z", max_length=32)]
"""One lower-case word, or several with hyphens. Words that are not known are as good as others."""
SIGHT = 1
"""What a look at a root sees of it. 0: not what has a name at the top of the root that begins with
`.epm-`. 1: that too.
"""
NO_PACKAGE: Final = msgspec.Raw()
"""What a version that is no package says of its packaging."""
RecordedActor: TypeAlias = dict[str, object]
"""Who asked, as far as it is known: `{"uid": 0, "user": "root", "via": "cli"}`."""


class CatalogPosition(msgspec.Struct, frozen=True, gc=False):
    """A place between two records: where a catalog ended once, and what it ended with.

    `length` in bytes; `head` is the SHA-256 of the last line before it, as hex; `seq` is the number
    of records before it, which is the number that the next one takes.
    """

    length: int
    head: str
    seq: int


START = CatalogPosition(0, NO_HEAD, 0)


class Envelope(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What every line begins with: its place in the chain, and how to read the rest."""

    seq: int
    prev: str
    type: str
    format: int = FORMAT


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all records say beside their envelope: when, and who asked."""

    time: str
    actor: RecordedActor | None = None


class Counts(msgspec.Struct, frozen=True, gc=False):
    """How many paths a version changed."""

    added: int = 0
    modified: int = 0
    removed: int = 0


class Tally(msgspec.Struct, frozen=True, gc=False):
    """The same, and how many of them are folders, and how many were modified in their time alone;
    links count as files.
    """

    counts: Counts
    folders: Counts
    times: int = 0


class Requirement(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What must be there for a release to be installed: an application, or one exact content.

    Of an application `app` is the UUID, `key` what people call it, `min` and `max` the first and
    the last release that will do (None: any). Of a content `digest` is its SHA-1; `of` is the SHA-1
    of the component that needs it (None: the release as a whole). It goes one way: what is needed
    does not thereby need back. An `optional` one that is not met is said, and hinders nothing.
    """

    app: str | None = None
    key: str | None = None
    min: int | None = None
    max: int | None = None
    digest: str | None = None
    of: str | None = None
    optional: bool = False


class RootFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The root directory itself, as facts of a path are written: see rootfacts.py."""

    mode: str = "0755"
    uid: int = 0
    gid: int = 0
    user: str | None = None
    group: str | None = None
    xattrs: dict[str, bytes] = {}


class Installed(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One product of the installed set of an application. `product` is the UUID of its refcat,
    `release` the number of what is installed of it, `digest` the identity of that release (SHA-256
    of its last line, as hex). `parts` are those that were chosen (None: all). `adopted`: it was
    found here, and only said to be installed.
    """

    product: Annotated[str, msgspec.Meta(min_length=1)]
    release: Annotated[int, msgspec.Meta(ge=0)]
    digest: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    parts: tuple[str, ...] | None = None
    adopted: bool = False


class Lasting(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """For how many `seconds` something holds, from a moment on: by the clock (since 1970), and by
    the time since a start of the host, which has an id.
    """

    seconds: float
    wall: float
    boot: str
    uptime: float


class ParameterSetting(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a parameter of a product (UUID) is set to: a value, or several. `layer` is one word of
    an open list: `site` (for all instances), `instance`, `temporary`, which `lasts` for a while.
    """

    product: str
    name: str
    layer: Operation
    value: bool | int | float | str | tuple[bool | int | float | str, ...]
    lasts: Lasting | None = None


class RenderedFile(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A file that the parameters of a product (UUID) were written into, and the SHA-256 of what was
    written.
    """

    product: str
    path: RelPath
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set, in the order of product, name and layer, and which files have it."""

    settings: tuple[ParameterSetting, ...] = ()
    files: tuple[RenderedFile, ...] = ()


class Note(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Something that a person should know of what a version did, until it is acknowledged: one word
    of an open list (see install_notes.py), the path that it is about, and what else is to be said.
    """

    what: Operation
    path: RelPath | None = None
    text: str | None = None


class VersionRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One version: what is said of it, without its entries.

    `app` is the UUID of the application and `key` its name at the time. `txid` is the same in the
    journal: a commit that is replayed is not a second version. `window` is the span in which the
    change can have happened. `counts` are paths, `folders` how many of these are no files (None: it
    was not said), `times` how many were modified in their time alone. `of` is the version whose
    content was brought back, `release` the vendor's release if it was one, `scope` the paths of a
    partial checkout (None: all), `safety` the version recorded before it, `from_` the version that
    was live. `command` is what `run` ran, and `exit_status` how that ended (None: its end was not
    seen, because the process that ran it was killed). `ignored` is the digest of the rules in
    force, `rules` are these where no version before says them of that digest, and there are any;
    `unobserved` are pairs of path and why. `tree` is the sum of the whole tree at this version (see
    tree.tree_sum), as 64 hex digits. `reckoned` is the time by what is relied upon
    (epmstore/reckon.py), where the clock that `time` is from was in doubt. `operation` is what was
    asked for, where `reason` does not say that (`rollback`, `redo`; see operations.py). `after` is
    the release that a release follows in its line (None: the one with the number before it). A
    version of many entries is a run of lines, `part` of `parts`, each of which repeats all of this.
    `sight` is the number of the rules by which was looked at the root (see SIGHT). `root` is the
    root directory itself (None: not looked at). `writing` are files that a process had open for
    writing when they were recorded, and wrote to a moment before: they may be half done.
    `installed` are the products that are installed from this version on, all of them (None: those
    of the version before; see installed.py), `parameters` what is set from then on, by the same
    rule. `notes` are what a person should know of what was done, in the first line only.
    `transaction` are the applications (UUIDs, who is needed first) that were moved together, with
    this one, if it was one of several: each has a version of this `txid`.
    `package` is the packaging of a release as the vendor wrote it, byte for byte, in the first line
    only: refcat/packaging_form.py reads it, and other readers pass over it.
    """

    version: int
    app: str
    key: str
    txid: str
    kind: VersionKind
    reason: Reason
    tree: str
    counts: Counts = Counts()
    folders: Counts | None = None
    times: int = 0
    label: str | None = None
    window: tuple[str, str] | None = None
    of: int | None = None
    release: int | None = None
    scope: tuple[RelPath, ...] | None = None
    safety: int | None = None
    from_: int | None = msgspec.field(default=None, name="from")
    command: tuple[str, ...] | None = None
    exit_status: int | None = None
    ignored: str | None = None
    rules: Patterns | None = None
    unobserved: tuple[tuple[RelPath, str], ...] = ()
    requires: tuple[Requirement, ...] = ()
    reckoned: str | None = None
    after: int | None = None
    sight: int = 0
    operation: Operation | None = None
    root: RootFacts | None = None
    writing: tuple[RelPath, ...] = ()
    installed: tuple[Installed, ...] | None = None
    parameters: Parameters | None = None
    notes: tuple[Note, ...] = ()
    transaction: tuple[str, ...] = ()
    package: msgspec.Raw = NO_PACKAGE
    part: int = 1
    parts: int = 1


def next_part(header: VersionRecord) -> VersionRecord:
    """What the next line of the same version says of it."""
    return msgspec.structs.replace(header, part=header.part + 1, package=NO_PACKAGE, notes=())


class VersionPart(msgspec.Struct, frozen=True):
    """A version, or one line of it: what is said of it, and what differs from the one before.

    `entries` are complete. Those of `meta` are files of which only metadata changed: their
    `content` is None and is the one that the path had before. All three lists are in byte order of
    paths when they were read, and may be in any order when they are written.
    """

    header: VersionRecord
    entries: Collection[Entry] = []
    meta: Collection[Entry] = []
    removed: list[RelPath] = []


class ForgetRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The contents of these versions may go; the facts stay. `named`: a person chose just these
    versions, rather than a policy by their age. `reckoned` is the time by what is relied upon.
    """

    versions: tuple[int, ...]
    named: bool = False
    reckoned: str | None = None


class UnforgetRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Takes back a forget, as long as the contents are still there."""

    versions: tuple[int, ...]


class PinRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A pinned version is not forgotten; `pinned` false unpins."""

    version: int
    pinned: bool


class TagRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A name for a version; a version of None drops the name."""

    name: str
    version: int | None = None


class LabelRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A deliberate snapshot that found nothing new: the version there is gets its label, beside
    those that it has, and becomes a change if it was drift.
    """

    version: int
    label: str | None = None
    kind: VersionKind = "change"


class HoldRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Automation leaves the application as it is, until a time or until `held` is false again.
    `version` is what the hold came with: a rollback, whose undo ends the hold, or a checkout that
    was undone by itself.
    """

    held: bool
    until: str | None = None
    reason: str | None = None
    version: int | None = None


class FreezeRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A product (UUID of its refcat) that is installed stays as it is, until `frozen` is false."""

    product: str
    frozen: bool
    reason: str | None = None


class AcknowledgeRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """These notes of a version were read: their places among them, from 0."""

    version: int
    notes: tuple[int, ...]


class MergeRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Of configuration that was edited here and changed by its vendor, a person decided: what the
    `release` of a product (UUID) has at `path` is in it, as far as it is wanted. The answer is a
    word of an open list: `mine`, `theirs`, `merged`, `edited`. `version` is the one that has what
    came of it: where that is undone, so is this.
    """

    version: int
    path: RelPath
    product: str
    release: int
    answer: Operation


class SettingsRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Settings that travel with the history, whole: each such record replaces the one before."""

    settings: dict[str, object]


class AcceptRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A person looked at a version (or at these paths of it) and declared it right."""

    version: int
    paths: tuple[RelPath, ...] | None = None
    reason: str | None = None


class PurgeRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A recorded content was destroyed everywhere, by digest or by path; the fact stays. Without a
    `sha256`, which older programs did not write, everything that has the SHA-1 `digest` was;
    without a `digest`, which would be that to them, it shares its SHA-1 with another content.
    """

    digest: str | None = None
    sha256: str | None = None
    path: RelPath | None = None
    reason: str | None = None


class SquashRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Announces that forgotten versions `first` to `last` - 1 are merged into `last` by one line
    whose SHA-256 is `stand_in`. Defined, not written yet.
    """

    first: int
    last: int
    stand_in: str


class AboutRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What a refcat is about: the first record of each. A later one replaces it whole; `app` stays.

    `patterns` are the vendor's word on which paths of the application are configuration, state,
    secret or to be ignored.
    """

    app: str
    key: str
    name: str | None = None
    patterns: Patterns = Patterns()


class RevokeRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A release, or one component wherever it is, is withdrawn by its vendor; `revoked` false takes
    that back. The release itself stays as it was published.
    """

    version: int | None = None
    digest: str | None = None
    revoked: bool = True
    reason: str = ""


class RelabelRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The label of a release was wrong: it is this one from now on, or the release has none."""

    version: int
    label: str | None = None


class GapRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Here lines were lost, and the loss was accepted. `first` to `last` are versions of
    which nothing is known any more (None: none); what is behind this and in front of the next
    version whose tree has its sum is not known in full. `records` counts the lines, `why` says how
    it came.
    """

    first: int | None = None
    last: int | None = None
    records: int | None = None
    why: str = ""


class UnknownRecord(msgspec.Struct, frozen=True):
    """A record of a type that this release does not know: kept, and skipped."""

    type: str


Fact: TypeAlias = (
    ForgetRecord
    | UnforgetRecord
    | PinRecord
    | TagRecord
    | LabelRecord
    | HoldRecord
    | FreezeRecord
    | AcknowledgeRecord
    | MergeRecord
    | SettingsRecord
    | AcceptRecord
    | PurgeRecord
    | SquashRecord
    | AboutRecord
    | RevokeRecord
    | RelabelRecord
    | GapRecord
)
"""Every record but versions, as it is written."""
Written: TypeAlias = VersionPart | Fact
Decoded: TypeAlias = VersionPart | Fact | UnknownRecord


def highest_number(record: Decoded) -> int:
    """The highest number of a version that a record speaks for; -1 if it does for none."""
    if isinstance(record, VersionPart):
        return record.header.version
    if isinstance(record, GapRecord) and record.last is not None:
        return record.last
    return -1
