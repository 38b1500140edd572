"""The report of one application: what its root is, file by file, for its vendor or an auditor.

A document (docs/json.md), made of values that were looked up before; contents are never part of it.
Redacted, it does not say the names of what the vendor did not ship, the root or the host: each is
replaced by a short hash, the same for the same name within a report.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from epmstore.entryform import Form
from epmstore.errors import ConflictError, InvalidNameError, UsageError, VersionNotFoundError
from epmstore.refcat.classify import Deviation
from epmstore.refcat.releases import Release, Releases
from epmstore.relpath import RelPath, from_json, to_json
from epmstore.tree import Entry

FORMAT = 1
PRIVATE = ("local", "unknown", "moved", "foreign", "state", "ignore")
"""What files are whose names or bytes are this host's own business."""
ReportLine: TypeAlias = tuple[Entry, str, int | None]
"""A file of the root, what it is, and the first release that had it there."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says beside its files. `head` and `latest` are those of the refcat, `labels`
    what its releases are called; `syscat` is the newest version and the hash of the last line of
    the history; `withdrawn` are the paths with a component that its vendor withdrew, and why.
    """

    time: str
    host: str
    program: str
    key: str
    uuid: str
    root: str
    catalog: str
    vendor_key: str
    head: str
    latest: Release
    labels: Mapping[int, str | None]
    release: Release
    syscat: tuple[int | None, str | None, str | None]
    counts: Mapping[str, int]
    files: int
    withdrawn: Sequence[tuple[RelPath, str]] = ()


def make_report(
    facts: Facts,
    lines: Iterable[ReportLine],
    deviations: Sequence[tuple[Deviation, Form]],
    versions: Sequence[Form],
    *,
    redact: Callable[[str], str] | None = None,
) -> Form:
    """`deviations` pair a finding with what is known of its time; `versions` are those of the
    history, newest first.
    """

    def shown(path: str, what: str) -> str:
        return redact(path) if redact is not None and what in PRIVATE else to_json(path)

    files = [_file(line, shown(line[0].path, line[1]), redact is not None) for line in lines]
    firsts = Counter(one["first"] for one in files if one["what"] != "state")
    return {
        **_head(facts, redact),
        "counts": dict(facts.counts),
        "withdrawn": [{"path": to_json(path), "why": why} for path, why in facts.withdrawn],
        "files_total": facts.files,
        "first_releases": [
            {"first": first, "label": facts.labels.get(first), "files": count}
            for first, count in sorted(firsts.items(), key=lambda one: (one[0] is None, one[0]))
        ],
        "deviations": [
            _deviation(one, more, shown, redact is not None) for one, more in deviations
        ],
        "versions": list(versions),
        "files": files,
    }


def _head(facts: Facts, redact: Callable[[str], str] | None) -> Form:
    """Who, where, when, and compared with what."""
    hide = redact or _as_it_is
    version, moment, head = facts.syscat
    return {
        "type": "report",
        "format": FORMAT,
        "program": facts.program,
        "time": facts.time,
        "redacted": redact is not None,
        "host": hide(facts.host),
        "app": facts.key,
        "uuid": facts.uuid,
        "root": hide(facts.root),
        "catalog": {
            "app": facts.catalog,
            "key": facts.vendor_key,
            "release": facts.latest.version,
            "label": facts.latest.label,
            "digest": facts.latest.digest,
            "head": facts.head,
        },
        "release": {
            "release": facts.release.version,
            "label": facts.release.label,
            "digest": facts.release.digest,
            "revoked": facts.release.revoked,
        },
        "syscat": {"version": version, "time": moment, "head": head},
        "labels": {str(number): label for number, label in facts.labels.items() if label},
    }


def redactor(salt: bytes) -> Callable[[str], str]:
    """Names to hashes that mean nothing without the salt, which is not kept."""

    def redact(text: str) -> str:
        raw = text.encode("utf-8", "surrogateescape")
        return f"redacted-{hashlib.sha256(salt + raw).hexdigest()[:16]}"

    return redact


def check_report(form: object) -> Form:
    """Raises UsageError for what is no report that this release understands."""
    if not isinstance(form, dict) or form.get("type") != "report":
        raise UsageError("not a report", hint="one is made with `epmstore report -o FILE.json`")
    if form.get("format") != FORMAT:
        raise UsageError(
            f"a report of format {form.get('format')}, this release reads {FORMAT}",
            hint="use a newer release of epmstore",
        )
    try:
        for one in msgspec.convert(form, _Read).files:
            if not one.path.startswith("redacted-"):
                from_json(one.path)
    except (ValueError, OverflowError, InvalidNameError) as error:
        raise UsageError(f"not a sound report: {error}", hint="ask for a new one") from None
    return form


def read_written(data: bytes) -> Form:
    """A report as a file has it. Raises UsageError."""
    try:
        return check_report(msgspec.json.decode(data))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not a report: {error}") from None


def check_catalog(form: Form, releases: Releases) -> Release:
    """The newest release that the host knew, in a catalog that is the same up to there.

    Raises VersionNotFoundError if this catalog does not reach that far, ConflictError if it says
    something else there.
    """
    claimed = form["catalog"]
    try:
        found = releases.get(int(claimed["release"]))
    except VersionNotFoundError:
        raise VersionNotFoundError(
            f"the host knew release {claimed['release']} of {claimed['key']}, which is not here",
            hint="read the report beside the catalog that the host has, or a newer one",
        ) from None
    if found.digest != claimed["digest"]:
        raise ConflictError(
            f"release {found.version} of {claimed['key']} is another one on that host: its catalog"
            " is not this one",
            hint="somebody published two catalogs under one UUID, or changed one",
            expected=found.digest,
            found=claimed["digest"],
        )
    return found


class _Release(msgspec.Struct, frozen=True):
    release: int
    label: str | None
    digest: str


class _Explaining(_Release, frozen=True):
    revoked: str | None


class _Catalog(_Release, frozen=True):
    app: str
    key: str
    head: str


class _Withdrawn(msgspec.Struct, frozen=True):
    path: str
    why: str


class _Syscat(msgspec.Struct, frozen=True):
    version: int | None
    time: datetime | None
    head: str | None


class _Counts(msgspec.Struct, frozen=True):
    known: int


class _First(msgspec.Struct, frozen=True):
    first: int | None
    files: int


class _FileRead(msgspec.Struct, frozen=True):
    path: str
    kind: str
    what: str
    digest: str | None
    size: int | None
    mode: str
    first: int | None


class _DeviationRead(msgspec.Struct, frozen=True):
    path: str
    what: str
    digest: str | None
    release: int | None
    since: int | None
    time: datetime | None
    accepted: bool


class _Read(msgspec.Struct, frozen=True):
    """What the reader of a report counts on."""

    time: datetime
    host: str
    app: str
    root: str
    catalog: _Catalog
    release: _Explaining
    syscat: _Syscat
    counts: _Counts
    files_total: int
    first_releases: list[_First]
    deviations: list[_DeviationRead]
    versions: list[dict[str, Any]]
    files: list[_FileRead]
    labels: dict[str, str] = {}
    withdrawn: list[_Withdrawn] = []


def _file(line: ReportLine, path: str, is_redacted: bool) -> Form:
    entry, what, first = line
    hidden = is_redacted and what in PRIVATE
    content = entry.content
    return {
        "path": path,
        "kind": entry.kind,
        "what": what,
        "class": entry.path_class,
        "digest": None if content is None or hidden else content.digest.hex(),
        "size": None if content is None else content.size,
        "mode": f"{entry.mode:04o}",
        "first": first,
    }


def _deviation(
    one: Deviation, more: Form, shown: Callable[[str, str], str], is_redacted: bool
) -> Form:
    hidden = is_redacted and one.what in ("local", "unknown")
    found, other = one.found, one.other
    digest = None if found is None or found.content is None else found.content.digest.hex()
    return {
        "path": shown(one.path, one.what),
        "what": one.what,
        "class": one.path_class,
        "fields": list(one.fields),
        "digest": None if hidden else digest,
        "release": one.release,
        "other": None if other is None else {"app": other[0], "path": to_json(other[1])},
        **more,
    }


def _as_it_is(text: str) -> str:
    return text
