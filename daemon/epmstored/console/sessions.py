"""Who is in the console: links that are good once, and the sessions that they become.

Nothing is on disk: when the daemon ends, so do all sessions. Browsers send a cookie to every port
of a host, so that any program that listens there may be sent it; therefore a session is that of one
listener, and of the user of this host whose browser (or ssh) opened it.
"""

import hashlib
import hmac
import secrets
from typing import Final

import msgspec

LINK_SECONDS: Final = 60.0
LINKS: Final = 64
SESSIONS: Final = 256
"""More than so many are never open: the one that was used longest ago goes."""


class ConsoleLink(msgspec.Struct, frozen=True):
    """An invitation for `user`, until the monotonic time `until`."""

    user: str
    until: float


class ConsoleSession(msgspec.Struct, kw_only=True):
    """`browser` is the uid at the other end of the connection that opened it (None: it is known
    otherwise who comes there). Times are monotonic.
    """

    user: str
    listener: str
    browser: int | None
    begun: float
    used: float


class Sessions:
    """Only from the event loop. `idle` and `longest` in seconds."""

    def __init__(self, *, idle: float, longest: float) -> None:
        self._idle, self._longest = idle, longest
        self._secret = secrets.token_bytes(32)
        self._links: dict[bytes, ConsoleLink] = {}
        self._sessions: dict[bytes, ConsoleSession] = {}

    def invite(self, user: str, now: float) -> str:
        """What is good once, for a minute."""
        self._links = {key: one for key, one in self._links.items() if one.until > now}
        while len(self._links) >= LINKS:
            del self._links[next(iter(self._links))]
        once = secrets.token_urlsafe(32)
        self._links[_key(once)] = ConsoleLink(user, now + LINK_SECONDS)
        return once

    def invited(self, once: str, now: float) -> str | None:
        """The user whom a link invites; None if it is not good (any more)."""
        link = self._links.get(_key(once))
        return None if link is None or link.until <= now else link.user

    def enter(self, once: str, listener: str, browser: int | None, now: float) -> str | None:
        """The name of a new session; None if the link is not good."""
        user = self.invited(once, now)
        self._links.pop(_key(once), None)
        if user is None:
            return None
        while len(self._sessions) >= SESSIONS:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].used)]
        name = secrets.token_urlsafe(32)
        self._sessions[_key(name)] = ConsoleSession(
            user=user, listener=listener, browser=browser, begun=now, used=now
        )
        return name

    def find(self, name: str, listener: str, browser: int | None, now: float) -> str | None:
        """The user whose session it is; None if there is none that is good here. A session that
        comes from elsewhere is in strange hands, and ends.
        """
        key = _key(name)
        session = self._sessions.get(key)
        if session is None or session.listener != listener:
            return None
        is_late = now >= session.used + self._idle or now >= session.begun + self._longest
        if is_late or session.browser != browser:
            del self._sessions[key]
            return None
        session.used = now
        return session.user

    def leave(self, name: str) -> None:
        """End a session."""
        self._sessions.pop(_key(name), None)

    def token(self, name: str) -> str:
        """What every form of a session has to carry; of a user whom a proxy knows, by its name."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()

    def is_token(self, name: str, said: str) -> bool:
        return hmac.compare_digest(self.token(name).encode(), said.encode("utf-8", "replace"))


def _key(name: str) -> bytes:
    """A digest: looking it up tells nothing of those that are there."""
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()
