"""Who a user is to the console: by the users and groups of this host, which are asked anew.

viewer      in the group of `daemon.group`: what `epmstore status`, `log` and `verify` show
owner       of an application, by `owners` in its file: all of that application
operator    root, the owner of the store, the group of `console.operators`: everything
"""

import asyncio
import grp
import os
import pwd

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.appowners import is_owner

KNOWN_SECONDS = 30.0
"""For so long is believed what was found out of a user."""
MANY = 256


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """One user, and what that one may do here."""

    user: str
    uid: int
    groups: frozenset[str] = frozenset()
    is_operator: bool = False
    is_viewer: bool = False

    def may_look(self, app: App) -> bool:
        """See how it is: status, history, what deviates."""
        return self.is_viewer or self.may_read(app)

    def may_read(self, app: App) -> bool:
        """See which files changed in a version, and what is in them."""
        return self.is_operator or is_owner(app, self.user, self.groups)

    @property
    def role(self) -> str:
        """In one word, for the page."""
        return "operator" if self.is_operator else "viewer" if self.is_viewer else "owner"


class People:
    """Looks users up, in threads: names may come from a server elsewhere. Only from the event
    loop.
    """

    def __init__(self, owner: int, *, viewers: str, operators: str | None) -> None:
        """`owner` is the uid of the store's owner."""
        self._owner, self._viewers, self._operators = owner, viewers, operators
        self._known: dict[str, tuple[float, Principal | None]] = {}

    async def find(self, user: str) -> Principal | None:
        """None if this host has no such user."""
        now = asyncio.get_running_loop().time()
        known = self._known.get(user)
        if known is not None and now < known[0] + KNOWN_SECONDS:
            return known[1]
        found = await asyncio.to_thread(self._look_up, user)
        if len(self._known) >= MANY:
            self._known.clear()
        self._known[user] = (now, found)
        return found

    async def by_uid(self, uid: int) -> Principal | None:
        """As `find`."""
        try:
            name = (await asyncio.to_thread(pwd.getpwuid, uid)).pw_name
        except KeyError:
            return None
        return await self.find(name)

    def _look_up(self, user: str) -> Principal | None:
        try:
            found = pwd.getpwnam(user)
            gids = os.getgrouplist(user, found.pw_gid)
        except (KeyError, ValueError, UnicodeEncodeError, OSError):
            return None
        groups = frozenset(name for gid in gids if (name := _group_name(gid)) is not None)
        is_operator = found.pw_uid in (0, self._owner) or self._operators in groups
        return Principal(
            user=found.pw_name,
            uid=found.pw_uid,
            groups=groups,
            is_operator=is_operator,
            is_viewer=is_operator or self._viewers in groups,
        )


def _group_name(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None
