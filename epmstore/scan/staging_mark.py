"""The mark in a staging folder, by which stores that record one root know each other's.

A store knows its own staging folders by its journals. Those of another one are named, and neither
recorded nor touched. The mark holds the name and the inode of the folder that it lies in, so that
neither a folder of that name nor a copy of a marked one is taken for a staging folder.
"""

import os
from typing import Final

from epmstore import fsio
from epmstore.relpath import STAGE_PREFIX

MARK: Final = "stage-of"
"""The name of the mark, among slots that are all numbers."""


def stage_name(txid: str) -> str:
    """The name of a staging folder at the top of its root."""
    return f"{STAGE_PREFIX}{txid}"


def write_mark(stage_fd: int, store: str, txid: str) -> None:
    """Say in an open staging folder which store made it. Raises OSError."""
    fsio.make_symlink(f"{store} {txid} {os.fstat(stage_fd).st_ino}", MARK, stage_fd)


def marked_by(root_fd: int, name: str, found: os.stat_result) -> str | None:
    """The UUID of the store that made a directory at the top of a root for staging; None if none
    did. Only what belongs to root or to the caller is believed.
    """
    if not name.startswith(STAGE_PREFIX) or found.st_uid not in (0, os.geteuid()):
        return None
    try:
        store, txid, inode = os.readlink(f"{name}/{MARK}", dir_fd=root_fd).split(" ")
    except (OSError, ValueError):
        return None
    return store if (stage_name(txid), inode) == (name, str(found.st_ino)) else None
