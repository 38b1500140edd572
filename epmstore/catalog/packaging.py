"""The packaging of a release: what the key `package` of its first line says. Pure: values only;
drawn in docs/formats/package.md.

- Every text, list and number has a limit, and all limits are here: what is beyond one is not
  decoded, and the error names the key. A limit is part of the format and never grows: what needs
  more gets another key.
- Lists of words that later releases will add to (orders, stages, types, formats) are open: a word
  that is not known is kept. Code that would have to act on it refuses to; the tables here say which
  words this release knows.
- Keys that are not known are passed over, and stay in the line.
- How values fit each other is not asked here, but by refcat/packaging_form.py.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

ORDERS: Final = ("rpm", "apm", "release")
"""How versions are ordered."""
STAGES: Final = (
    "pre-install", "post-install", "pre-upgrade", "post-upgrade", "pre-downgrade", "post-downgrade",
    "pre-remove", "post-remove", "configure", "check",
)  # fmt: skip
"""When a script runs."""
TYPES: Final = (
    "string", "integer", "number", "boolean", "choice", "duration", "size", "secret",
)  # fmt: skip
"""What a parameter may be."""
FORMATS: Final = ("env", "json", "toml", "ini")
"""How parameters are written into a file."""

MAX_PACKAGE: Final = 1 << 20
"""Bytes of all of it, as JSON."""
MAX_PATTERNS: Final = 1000
MAX_LETTERS: Final = 1 << 16
"""Patterns of all parts together, and what they may come to."""
MAX_DAY: Final = 86_400
MAX_NUMBER: Final = (1 << 53) - 1
"""What every reader of JSON reads as it is."""
_LINE, _TEXT, _URL, _PATH = 200, 16_384, 2_048, 4_096
_FEW, _SOME, _MANY = 32, 256, 1_000

_END = r"(?![\s\S])"
"""The end of a text, to Python and to JavaScript alike."""
_TURNS = r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_PLAIN = rf"[^\u0000-\u001f\u007f-\u009f{_TURNS}]"
"""No control characters, nor what turns text around."""
_WRAPPED = rf"[^\u0000-\u0009\u000b-\u001f\u007f-\u009f{_TURNS}]"
"""The same, with line ends."""

Line: TypeAlias = Annotated[str, Meta(max_length=_LINE, pattern=rf"^{_PLAIN}*{_END}")]
Text: TypeAlias = Annotated[str, Meta(max_length=_TEXT, pattern=rf"^{_WRAPPED}*{_END}")]
Url: TypeAlias = Annotated[str, Meta(max_length=_URL, pattern=rf"^https?://[!-~]+{_END}")]
License: TypeAlias = Annotated[
    str, Meta(max_length=_LINE, pattern=rf"^[A-Za-z0-9(][A-Za-z0-9.+() :-]*{_END}")
]
Version: TypeAlias = Annotated[
    str, Meta(max_length=64, pattern=rf"^[0-9A-Za-z][0-9A-Za-z.+~^_]*{_END}")
]
Built: TypeAlias = Annotated[
    str, Meta(max_length=80, pattern=rf"^[0-9A-Za-z][0-9A-Za-z.+~^_]*(?:-[1-9][0-9]{{0,8}})?{_END}")
]
"""A version, with its build or without."""
Build: TypeAlias = Annotated[int, Meta(ge=1, le=999_999_999)]
Key: TypeAlias = Annotated[str, Meta(pattern=rf"^[a-z0-9][a-z0-9_.-]{{0,63}}{_END}")]
Uuid: TypeAlias = Annotated[
    str,
    Meta(pattern=rf"^(?:[0-9a-f]{{32}}|[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}){_END}"),
]
Sha256Hex: TypeAlias = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{64}}{_END}")]
Word: TypeAlias = Annotated[
    str, Meta(max_length=32, pattern=rf"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*{_END}")
]
Architecture: TypeAlias = Annotated[str, Meta(pattern=rf"^[a-z0-9][a-z0-9_-]{{0,31}}{_END}")]
Label: TypeAlias = Annotated[
    str, Meta(max_length=_LINE, pattern=rf"^[A-Za-z0-9][A-Za-z0-9 _.:/()+-]*{_END}")
]
"""The name of a capability, or of a group of packages."""
Soname: TypeAlias = Annotated[str, Meta(max_length=255, pattern=rf"^[!-.0-~]+{_END}")]
Path: TypeAlias = Annotated[str, Meta(min_length=1, max_length=_PATH)]
"""Below the root: of the release's tree, or of what it makes there."""
HostPath: TypeAlias = Annotated[str, Meta(max_length=_PATH, pattern=rf"^/{_PLAIN}+{_END}")]
"""An absolute path of the host."""
Pattern: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]
Command: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=1024, pattern=rf"^{_PLAIN}+{_END}")], ...],
    Meta(min_length=1, max_length=64),
]
Seconds: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_DAY)]
Number: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Id: TypeAlias = Annotated[int, Meta(ge=1, le=(1 << 32) - 2)]
"""Of a user or group, and never root."""
Account: TypeAlias = Annotated[str, Meta(pattern=rf"^[a-z_][a-z0-9_-]{{0,30}}{_END}")]
Name: TypeAlias = Annotated[str, Meta(pattern=rf"^[A-Za-z][A-Za-z0-9_.-]{{0,63}}{_END}")]
"""Of a parameter."""
FileName: TypeAlias = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9_.+-]{{0,63}}{_END}")]
Capability: TypeAlias = Annotated[str, Meta(pattern=rf"^cap_[a-z_]{{1,40}}{_END}")]
_Whole: TypeAlias = Annotated[int, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Value: TypeAlias = bool | _Whole | float | Annotated[str, Meta(max_length=_PATH)]
Bound: TypeAlias = _Whole | float | Annotated[str, Meta(max_length=_FEW)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=_MANY)]


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named share of a release's files. A file is of the first part that has a pattern which
    matches it; of none, if none has.
    """

    name: Word
    summary: Line = ""
    patterns: Annotated[tuple[Pattern, ...], Meta(max_length=MAX_PATTERNS)] = ()


class Need(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must be there, or in a conflict must not: a product, a part of one (or of this release),
    a capability, or a library by its soname. `app` is the UUID of the product. `min` and `max` are
    versions, of a product or capability; `first` and `last` releases of a product; both included.
    `of` is the part of this release that needs it (None: all of it). An `optional` one that is not
    met is said, and hinders nothing.
    """

    product: Key | None = None
    app: Uuid | None = None
    part: Word | None = None
    capability: Label | None = None
    soname: Soname | None = None
    min: Built | None = None
    max: Built | None = None
    first: Number | None = None
    last: Number | None = None
    of: Word | None = None
    optional: bool = False


class Offer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is there with this release, or with the part `of` it: a capability, perhaps of a
    version, or a library.
    """

    capability: Label | None = None
    soname: Soname | None = None
    version: Built | None = None
    of: Word | None = None


class Exact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One release of a product, by its digest, that this one goes with; not the other way round."""

    product: Key
    app: Uuid
    release: Number
    digest: Sha256Hex


class Member(Exact, frozen=True, kw_only=True, omit_defaults=True):
    """A release that a bundle consists of; one that is not `required` may be left out."""

    required: bool = True


class Script(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A program of the release's tree that runs at a stage. Without an `interpreter` it is started
    as it is. `failure`: whether one undoes everything, or is noted. One that is `idempotent` may be
    run again. It has the network only if it says so, and may write in the root and in `paths`.
    """

    path: Path
    interpreter: HostPath | None = None
    failure: Literal["fatal", "note"] = "fatal"
    idempotent: bool = False
    network: bool = False
    paths: Annotated[tuple[HostPath, ...], Meta(max_length=_FEW)] = ()


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user of the system, as in sysusers.d(5). `groups` are those that it is in, too."""

    name: Account
    id: Id | None = None
    group: Account | None = None
    groups: Annotated[tuple[Account, ...], Meta(max_length=_FEW)] = ()
    summary: Line = ""
    home: HostPath | None = None
    shell: HostPath | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A group of the system."""

    name: Account
    id: Id | None = None


class Accounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Users and groups that must exist. They are apart, because `groups` of a package are
    something else.
    """

    users: Annotated[tuple[User, ...], Meta(max_length=_FEW)] = ()
    groups: Annotated[tuple[Group, ...], Meta(max_length=_FEW)] = ()


class Unit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A unit of systemd: the file of the tree that has its name."""

    path: Path
    enable: bool = False


class Link(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A link of this name in /usr/local/bin, to a path of the tree."""

    name: FileName
    path: Path


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a file of the tree asks for that only the host may grant."""

    path: Path
    setuid: bool = False
    setgid: bool = False
    capabilities: Annotated[tuple[Capability, ...], Meta(max_length=64)] = ()


class ProposedHooks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Commands around a checkout, as of an application; limits in seconds."""

    stop: Command | None = None
    start: Command | None = None
    health: Command | None = None
    timeout: Seconds | None = None
    health_timeout: Seconds | None = None


class Parameter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator may set. `least` and `most` are how many values it has: with `most` of 1 it
    is one value, else a list. A duration or size is written as text, and so are its bounds. `site`:
    it is set for all instances at once. `restart`: it counts after the next start.
    """

    name: Name
    type: Word
    default: Value | Annotated[tuple[Value, ...], Meta(max_length=_MANY)] | None = None
    min: Bound | None = None
    max: Bound | None = None
    choices: Annotated[tuple[Line, ...], Meta(max_length=_SOME)] = ()
    least: Count = 0
    most: Annotated[int, Meta(ge=1, le=_MANY)] = 1
    section: Line = ""
    description: Text = ""
    site: bool = False
    restart: bool = False


class ParameterFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file below the root that parameters are written into, all of them unless some are named."""

    path: Path
    format: Word
    parameters: Annotated[tuple[Name, ...], Meta(max_length=_MANY)] = ()


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command that says whether the configuration is right: `nginx -t`."""

    command: Command
    timeout: Seconds | None = None


class Package(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A release as a package: what it is called, what it needs, and what installing it takes.

    `version` is the vendor's text, and `build` the packaging's own number behind it. `groups` are
    kinds of software, as people sort it; users and groups of the system are `accounts`. `root` is
    where it proposes to live. A `singleton` has one instance on a host. Going back over a
    `data_epoch` is going back to what may not understand the data.
    """

    version: Version
    build: Build
    order: Word = "rpm"
    summary: Line = ""
    description: Text = ""
    url: Url | None = None
    licenses: Annotated[tuple[License, ...], Meta(max_length=_FEW)] = ()
    packager: Line = ""
    architecture: Architecture | None = None
    groups: Annotated[tuple[Label, ...], Meta(max_length=_FEW)] = ()
    build_time: (
        Annotated[
            str,
            Meta(
                max_length=32,
                pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z"
                + _END,
            ),
        ]
        | None
    ) = None
    parts: Annotated[tuple[Part, ...], Meta(max_length=64)] = ()
    requires: Annotated[tuple[Need, ...], Meta(max_length=_MANY)] = ()
    provides: Annotated[tuple[Offer, ...], Meta(max_length=_MANY)] = ()
    conflicts: Annotated[tuple[Need, ...], Meta(max_length=_MANY)] = ()
    tied: Annotated[tuple[Exact, ...], Meta(max_length=_SOME)] = ()
    members: Annotated[tuple[Member, ...], Meta(max_length=_SOME)] = ()
    scripts: Annotated[dict[Word, Script], Meta(max_length=_FEW)] = {}
    accounts: Accounts | None = None
    units: Annotated[tuple[Unit, ...], Meta(max_length=_SOME)] = ()
    links: Annotated[tuple[Link, ...], Meta(max_length=_SOME)] = ()
    grants: Annotated[tuple[Grant, ...], Meta(max_length=_SOME)] = ()
    hooks: ProposedHooks | None = None
    root: HostPath | None = None
    singleton: bool = False
    data_epoch: Number = 0
    parameters: Annotated[tuple[Parameter, ...], Meta(max_length=_MANY)] = ()
    parameter_files: Annotated[tuple[ParameterFile, ...], Meta(max_length=_FEW)] = ()
    checks: Annotated[tuple[Check, ...], Meta(max_length=_FEW)] = ()
