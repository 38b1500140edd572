"""Names of objects on a remote: what may be one. Pure.

A name is components with `/` between them. A component is ASCII letters, digits and `._-+~=`,
begins with a letter or digit, and does not end with a dot: so no name climbs, hides, needs quoting,
or means something else in a URL, on another file system or to a server of files. What begins with a
dot is never an object: temporaries are called so, and what servers keep for themselves
(`.snapshot`).
"""

import re
from typing import Final

from epmstore.errors import RemoteError

COMPONENT_MAX: Final = 200
NAME_MAX: Final = 600
DEPTH_MAX: Final = 8
_COMPONENT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+~=-]*[A-Za-z0-9_+~=-])?", re.ASCII)


def is_component(text: str) -> bool:
    """Whether a folder or an object may be called so."""
    return len(text) <= COMPONENT_MAX and _COMPONENT.fullmatch(text) is not None


def is_name(text: str) -> bool:
    parts = text.split("/")
    return len(text) <= NAME_MAX and len(parts) <= DEPTH_MAX and all(map(is_component, parts))


def split_name(name: str) -> tuple[list[str], str]:
    """The folders of a name, and the last component. Raises RemoteError for what is no name: no
    caller asks a remote for it.
    """
    if not is_name(name):
        raise RemoteError(f"{name!r} is no name of an object on a remote")
    *folders, last = name.split("/")
    return folders, last


def split_prefix(prefix: str) -> list[str]:
    """The folders of a prefix: "" (all), or folders that each end with `/`. Raises RemoteError."""
    if not prefix:
        return []
    if not prefix.endswith("/") or not is_name(prefix[:-1]):
        raise RemoteError(f"{prefix!r} is no folder of a remote")
    return prefix[:-1].split("/")
