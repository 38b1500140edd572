"""A change that somebody makes to a root: recorded before, left alone while it lasts, recorded
after as one.

`run` holds the app's lock for as long as the command runs. `begin` and `end` do the same across
processes with a small file, which keeps whoever watches the root from recording the parts.
"""

from pathlib import Path

import msgspec

from epmstore.atomic import read_file, remove_file, replace_file
from epmstore.catalog.model import Actor
from epmstore.errors import ConflictError, DamagedError
from epmstore.record.store import Store

LIMIT = 1 << 16


class ChangeOpenError(ConflictError):
    """Somebody has begun a change, and nothing is to be recorded before its end."""

    code = "change_open"


class OpenChange(msgspec.Struct, frozen=True):
    """A change that was begun and has not ended."""

    since: str
    label: str | None = None
    actor: Actor | None = None


def marker(store: Store, app: str) -> Path:
    return store.journals / f"{app}.change"


def find(store: Store, app: str) -> OpenChange | None:
    """Raises DamagedError."""
    path = marker(store, app)
    try:
        return msgspec.json.decode(read_file(path, LIMIT), type=OpenChange)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        raise DamagedError(
            f"{path.name} is damaged", hint="`epmstore change end` closes it", file=path.name
        ) from None


def check_closed(store: Store, app: str) -> None:
    """Raises ChangeOpenError, DamagedError."""
    found = find(store, app)
    if found is not None:
        raise ChangeOpenError(
            f"a change is open since {found.since}: {found.label or 'no label'}",
            hint="close it with `epmstore change end`",
        )


def begin(store: Store, app: str, change: OpenChange) -> None:
    """Durable. Raises ChangeOpenError if one is open already."""
    check_closed(store, app)
    replace_file(marker(store, app), msgspec.json.encode(change))


def end(store: Store, app: str) -> None:
    """Forget that a change was open."""
    remove_file(marker(store, app))
