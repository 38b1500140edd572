"""A build of the pipeline, as a value. Pure."""

from typing import Final

import msgspec

KINDS: Final = ("patch", "full")
PAYLOADS: Final = ("epkg", "tar.gz", "tar.zst")


class BuildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record. Times are seconds since 1970; digests are hex. `due` is the time before which no
    run tries it again by itself; `failures` counts those in a row. `revision` grows with each
    change, so that a writer who saw an older one is refused. What describes the payload is None
    until there was one; `built` is when the newest file of the build was written. `release` is the
    number of the release that a candidate became.
    """

    number: int
    product: str
    kind: str
    payload: str
    path: str
    owner: str
    since: float
    state: str = ""
    association: str = ""
    revision: int = 0
    failures: int = 0
    due: float = 0.0
    error: str | None = None
    size: int | None = None
    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None
    built: float | None = None
    remote_path: str | None = None
    release: int | None = None

    @property
    def file_name(self) -> str | None:
        """Of the payload, in the spool and on the remote."""
        return None if self.remote_path is None else self.remote_path.rpartition("/")[2]


class BuildDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A build that has no number yet."""

    product: str
    kind: str
    payload: str
    path: str


class Author(msgspec.Struct, frozen=True):
    """Who changes a record, and on which host."""

    actor: str
    host: str


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the transaction log. `before` and `after` are states."""

    number: int
    build: int
    product: str
    before: str | None
    after: str
    association: str
    time: float
    host: str
    actor: str
    why: str
