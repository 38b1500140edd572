"""What this process will not be allowed to set of a path, known before it is tried.

The rules are those of chown(2), chmod(2) and capabilities(7), for files that we make and for those
that are there; set_metadata.py finds out the same by trying.
"""

import os
import stat
from collections.abc import Collection

import msgspec

from epmstore.tree import Entry, changed_fields

_CHOWN, _FOWNER, _SYS_ADMIN, _SETFCAP = 0, 3, 21, 31
_ALL = sum(1 << bit for bit in (_CHOWN, _FOWNER, _SYS_ADMIN, _SETFCAP))
_SETID = stat.S_ISUID | stat.S_ISGID


class Privilege(msgspec.Struct, frozen=True):
    """Who acts, and with which capabilities (as bits)."""

    uid: int
    gid: int
    groups: frozenset[int]
    capabilities: int

    @classmethod
    def ours(cls) -> "Privilege":
        """Of this process as it is now."""
        groups = frozenset((*os.getgroups(), os.getegid()))
        return cls(os.geteuid(), os.getegid(), groups, _effective())

    @property
    def may_chown(self) -> bool:
        """Whether files may be given to others."""
        return self._has(_CHOWN)

    def forbids(self, entry: Entry, found: Entry | None) -> tuple[str, ...]:
        """What of `entry` cannot be set, by the names that set_metadata.py has for it: of a file
        that is made, or, where one was `found`, set in place.
        """
        if self.capabilities & _ALL == _ALL:
            return ()
        owner = (self.uid, self.gid) if found is None else (found.uid, found.gid)
        refused: list[str] = []
        if (entry.uid, entry.gid) != owner and not self._may_give(entry, owner[0]):
            refused.append("owner")
        refused += [name for name, value in entry.xattrs if self._is_barred(name, value, found)]
        if entry.kind != "symlink" and self._keeps_mode(entry, found, refused):
            refused.append("mode")
        is_theirs = found is not None and found.uid != self.uid and not self._has(_FOWNER)
        if is_theirs and found is not None and entry.mtime_ns not in (None, found.mtime_ns):
            refused.append("mtime")
        return tuple(refused)

    def _keeps_mode(self, entry: Entry, found: Entry | None, refused: list[str]) -> bool:
        if "owner" in refused and entry.mode & _SETID:
            return True
        if found is None or found.mode == entry.mode:
            return False
        return found.uid != self.uid and not self._has(_FOWNER)

    def _may_give(self, entry: Entry, owner: int) -> bool:
        is_ours = owner == self.uid == entry.uid and entry.gid in self.groups
        return self._has(_CHOWN) or is_ours

    def _is_barred(self, name: str, value: bytes, found: Entry | None) -> bool:
        if found is not None and (name, value) in found.xattrs:
            return False
        if name == "security.capability":
            return not self._has(_SETFCAP)
        return name.startswith("trusted.") and not self._has(_SYS_ADMIN)

    def _has(self, bit: int) -> bool:
        return bool(self.capabilities >> bit & 1)


def is_nothing_else(entry: Entry, found: Entry, refused: Collection[str]) -> bool:
    """Whether what cannot be set, as `forbids` says it, is all in which what was found differs."""
    different: set[str] = set(changed_fields(found, entry))
    if not entry.mode & _SETID:  # of these modes, the rest is set
        different -= {"mode"} & {*refused}
    different -= {"owner", "mtime"} & {*refused}
    if {name for name, _ in {*entry.xattrs} ^ {*found.xattrs}} <= {*refused}:
        different.discard("xattrs")
    return not different


def _effective() -> int:
    """The effective capabilities; where /proc does not tell, those that go with the user."""
    try:
        with open("/proc/thread-self/status", "rb") as lines:
            return next(int(line.split()[1], 16) for line in lines if line.startswith(b"CapEff:"))
    except (OSError, StopIteration, ValueError):
        return _ALL if os.geteuid() == 0 else 0
