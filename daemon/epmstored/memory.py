"""Giving memory back to the system after a look at everything, which needs much of it for a moment.

Only where the C library is glibc; elsewhere nothing happens.
"""

import ctypes
import gc
import resource
from typing import Final

_ARENA_MAX: Final = -8  # M_ARENA_MAX
_ARENAS: Final = 2


GROWN: Final = 8 << 20
"""Bytes by which a recording may leave the process larger."""


def resident() -> int:
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm", "rb") as facts:
        return int(facts.read().split()[1]) * resource.getpagesize()


def limit_arenas() -> None:
    """One heap for each thread would keep what a thread once needed. Before threads are started."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Takes some milliseconds."""
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
