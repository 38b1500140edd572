"""Owners that this process is not shown, because its user namespace does not know them.

The kernel shows one number in place of all of them (user_namespaces(7)): recorded as an owner, it
would be one that the path never had, and that a checkout outside would give it.
"""

from pathlib import Path
from typing import Final

from epmstore.filestat import AnyStat

SHOWN: Final = 65534
"""In place of what is not known."""
USERS: Final = Path("/proc/self/uid_map")
GROUPS: Final = Path("/proc/self/gid_map")
WHY: Final = "its owner is not known in this user namespace"


class Hidden:
    """Whether the number that stands for an unknown user, or group, has no other meaning here.
    Where the namespace maps it, the two cannot be told apart, and it is taken as it is shown.
    """

    def __init__(self) -> None:
        self._users = not _maps(USERS, SHOWN)
        self._groups = not _maps(GROUPS, SHOWN)
        self.possible: Final = self._users or self._groups

    def has(self, found: AnyStat) -> bool:
        """Whether the owner or the group of this path is not known."""
        return (self._users and found.st_uid == SHOWN) or (self._groups and found.st_gid == SHOWN)


def _maps(table: Path, number: int) -> bool:
    """Whether the namespace knows this one; true where the kernel does not tell."""
    try:
        rows = [[int(word) for word in line.split()] for line in table.read_text().splitlines()]
    except (OSError, ValueError):
        return True
    return any(first <= number < first + count for first, _, count in rows)
