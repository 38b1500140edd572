"""Sizes from which something else begins, lowered: so a tree of a few hundred kilobytes has what
one of gigabytes has, contents in parts, parts as deltas, packs that are written while they grow.
"""

import sys

from epmstore.blobs.pack import GroupWriter

LOWER = {"PART_THRESHOLD": 64 << 10, "PART_SIZE": 16 << 10, "LOG_LIMIT": 48 << 10}
SPILL = 32 << 10


def lower() -> None:
    """For the rest of this process."""
    for module in [m for name, m in sys.modules.items() if name.startswith("epmstore.")]:
        for name, size in LOWER.items():
            if hasattr(module, name):
                setattr(module, name, size)
    defaults = GroupWriter.__init__.__kwdefaults__
    assert defaults is not None
    defaults |= {"part_size": LOWER["PART_SIZE"], "spill": SPILL}
