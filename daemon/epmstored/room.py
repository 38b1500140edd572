"""How much room the store has, and what that means for recording. Pure, but for `measure`."""

import os
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.config import StoreConfig
from epmstore.measures import format_size

Level: TypeAlias = Literal["ample", "scarce", "full"]
WARNING: Final = 0.9
"""Share of `max_size` from which room is said to be scarce; so it is with twice `min_free` left."""
BACK: Final = 0.05
"""A full store is one until there is so much more room than the limit asks for."""


class Usage(msgspec.Struct, frozen=True):
    """Bytes of the store's packs, and bytes that are free on its file system."""

    used: int
    free: int


class Room(msgspec.Struct, frozen=True):
    """`full`: no contents are recorded any more. `why` in words, empty if there is ample room."""

    level: Level = "ample"
    why: str = ""


AMPLE = Room()


def judge(usage: Usage, config: StoreConfig, before: Room = AMPLE) -> Room:
    """What there is room for; `before` keeps a store at its limit from changing all the time."""
    slack = 1 + BACK if before.level == "full" else 1.0
    if config.max_size is not None and usage.used * slack >= config.max_size:
        return Room("full", f"the store has reached its max_size of {show(config.max_size)}")
    if config.min_free is not None and usage.free < config.min_free * slack:
        return Room(
            "full", f"less than min_free ({show(config.min_free)}) is left beside the store"
        )
    if config.max_size is not None and usage.used >= config.max_size * WARNING:
        return Room("scarce", f"the store takes {show(usage.used)} of {show(config.max_size)}")
    if config.min_free is not None and usage.free < config.min_free * 2:
        return Room("scarce", f"only {show(usage.free)} is left beside the store")
    return AMPLE


def show(count: int) -> str:
    """To the megabyte, below it to the byte."""
    return format_size(count) if count < 1 << 20 else format_size(count >> 20 << 20)


def measure(store: Path) -> Usage:
    """Raises OSError. One stat for each pack."""
    free = os.statvfs(store)
    used = 0
    for folder, _, names in os.walk(store / "packs"):
        for name in names:
            try:
                used += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue  # a collection took it away
    return Usage(used, free.f_bavail * free.f_frsize)
