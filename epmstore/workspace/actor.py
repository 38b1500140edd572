"""Who asks: what a caller says of that, for the record."""

from typing import TypedDict

from epmstore.catalog.model import RecordedActor
from epmstore.errors import UsageError


class Actor(TypedDict, total=False):
    """The user or program behind a request, as far as it is known. `user` is None for a number that
    has no name; `via` is what was asked: `cli`, `api`, `daemon`, or a word of the caller's own;
    `sudo_user` is who took another's place; `job` is one of the daemon's.

    Of `api` and `daemon` it is known that no person looks on: they leave alone what is held.
    """

    uid: int
    user: str | None
    via: str
    command: str
    sudo_user: str
    job: str


def recorded(actor: Actor | None) -> RecordedActor | None:
    """What is recorded of an actor. Raises UsageError for what does not say who it is."""
    if actor is None:
        return None
    if not isinstance(actor, dict):
        raise UsageError(f"an actor says who asks, as {{'user': 'deploy'}} does, not {actor!r}")
    return {key: _value(key, value) for key, value in actor.items()}


def _value(key: object, value: object) -> object:
    """A catalog holds no text but UTF-8: of a name that is none, what can be said is."""
    if key not in Actor.__annotations__:
        raise UsageError(f"an actor has no {key!r}", hint=f"use {', '.join(Actor.__annotations__)}")
    if key == "user" and value is None:
        return None
    if key == "uid" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if key != "uid" and isinstance(value, str):
        return value.encode(errors="replace").decode()
    raise UsageError(f"the {key} of an actor cannot be {value!r}")
