"""Memory goes back to the system when a piece of work is done: its needs are large, and short.

Only where the C library is glibc; elsewhere nothing happens.
"""

import ctypes
import gc
import resource
from typing import Final

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD
_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD
_ARENA_MAX: Final = -8  # M_ARENA_MAX
_ARENAS: Final = 2
_LARGE: Final = 256 << 10
_KEPT: Final = 1 << 20

GROWN: Final = 2 << 20
"""Bytes by which work may leave the process larger."""


def resident() -> int:
    """Bytes of memory that this process has now; 0 while there are no descriptors to ask with."""
    try:
        with open("/proc/self/statm", "rb") as facts:
            return int(facts.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def keep_little() -> None:
    """Before threads are started, after everything is imported. One heap for each thread would keep
    what a thread once needed. And whatever is large gets pages of its own, which go when it goes:
    left alone, the library takes from the first large thing that is freed that more will come, and
    keeps up to 64 MiB. What is there now stays for good: a search for garbage would go through all
    modules, and hold up all threads, 30 ms each time that memory is given back.
    """
    gc.collect()
    gc.freeze()
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_ARENA_MAX, _ARENAS)
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Takes some milliseconds."""
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


class Ebb:
    """Gives memory back after work, if the process has grown since it was at rest."""

    def __init__(self) -> None:
        self._at_rest = resident()

    def after_work(self) -> None:
        """When all that was held for the work is let go."""
        now = resident()
        if now - self._at_rest > GROWN:
            give_back()
            now = resident()
            self._at_rest = now
        self._at_rest = min(self._at_rest, now)
