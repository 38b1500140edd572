"""Giving way: work that has time takes processor and disk when no other process wants them."""

import contextlib
import ctypes
import os
import platform
import threading
from typing import Final

_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
_WHO_PROCESS: Final = 1
_IDLE: Final = 3 << 13
_libc = ctypes.CDLL(None, use_errno=True)


def give_way(niceness: int) -> bool:
    """Of this thread alone: Linux gives each its own. Whether the disk knows of it, too (a
    scheduler without priorities ignores them).
    """
    with contextlib.suppress(PermissionError):  # a filter of system calls may forbid it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
    number = _IOPRIO_SET.get(platform.machine())
    return number is not None and _libc.syscall(number, _WHO_PROCESS, 0, _IDLE) == 0
