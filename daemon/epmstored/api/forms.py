"""What clients send, as values: read once, checked, frozen, and that very value is carried out."""

from typing import Annotated, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from epmstore.errors import UsageError

T = TypeVar("T")

AppKey: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
SelectorText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
PathText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=16_384)]
LabelText: TypeAlias = Annotated[str, Meta(max_length=10_000)]
PAGE = 1000
SHORTEST_CONFIRM, LONGEST_CONFIRM = 10, 366 * 86_400
"""Seconds."""


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing is asked."""


class StatusQuery(Query, frozen=True, kw_only=True):
    """`scan`: look at the root whatever is known of it."""

    scan: bool = False


class VersionsQuery(Query, frozen=True, kw_only=True):
    """Newest first: at most `limit` of those before the version `before`; with drift if `all`."""

    limit: Annotated[int, Meta(ge=1, le=PAGE)] = 100
    before: Annotated[int, Meta(ge=0)] | None = None
    all: bool = False


class DiffQuery(Query, frozen=True, kw_only=True):
    """At most `limit` paths behind the path `after`, in byte order."""

    from_: SelectorText = msgspec.field(default="latest", name="from")
    to: SelectorText = "now"
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = PAGE
    after: PathText | None = None


class VerifyQuery(Query, frozen=True, kw_only=True):
    """As release `release`, or as the one that explains most; at most `limit` paths behind `after`,
    in byte order.
    """

    release: Annotated[int, Meta(ge=0)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = PAGE
    after: PathText | None = None


class Scope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application, or all of them."""

    app: AppKey | None = None


class JobForm(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """One job. The keyword `kind` says which."""


class Snapshot(JobForm, frozen=True, kw_only=True):
    """Record an application as a deliberate change."""

    app: AppKey
    label: LabelText | None = None


class Checkout(JobForm, frozen=True, kw_only=True):
    """Bring a root, or some paths of it, to a version. `no_hooks`: without stopping, starting or
    checking the application; `confirm`: undone after so many seconds unless it is confirmed.
    """

    app: AppKey
    version: SelectorText
    paths: Annotated[tuple[PathText, ...], Meta(max_length=PAGE)] = ()
    exact: bool = False
    config: Annotated[str, Meta(pattern="^(keep|restore)$")] = "keep"
    live: bool = False
    no_hooks: bool = False
    confirm: Annotated[float, Meta(ge=SHORTEST_CONFIRM, le=LONGEST_CONFIRM)] | None = None


class Fsck(JobForm, frozen=True, kw_only=True):
    """Check the store; `read_data` is the share of contents to read, 0 to 1."""

    read_data: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Gc(JobForm, frozen=True, kw_only=True):
    """Free the space of what no version needs."""

    dry_run: bool = False


JobSpec: TypeAlias = Snapshot | Checkout | Fsck | Gc


def read_query(pairs: list[tuple[str, str]], kind: type[T]) -> T:
    """Raises UsageError."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise UsageError("a parameter is given more than once")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"the query is wrong: {error}") from None


def read_body(data: bytes, kind: type[T]) -> T:
    """Raises UsageError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the body is wrong: {error}") from None
