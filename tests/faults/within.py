"""The seam below SQLite, for tests: what it writes, cuts, syncs and removes can be counted, failed,
torn or made the last, as `shim.py` does it with the calls of `fsio`.

SQLite reaches files through a table of functions, its VFS, and each open file has a table of its
own. In this process those that change something are replaced by ours, which go on to the real ones.
Files without a name (sorting) are left alone, and so is the index of a WAL, which is memory.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast, pointer
from types import TracebackType
from typing import Any, Self

from tests.faults.shim import LOG, Call, Fault

FULL = 13
FAILED = {"write": 778, "truncate": 1546, "sync": 1034, "remove": 2570}
"""SQLITE_FULL and SQLITE_IOERR_*, which SQLite expects of its functions."""

OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
REMOVE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class Vfs(Structure):
    """The beginning of `sqlite3_vfs`; later functions are not touched."""

    _fields_ = (
        ("version", c_int),
        ("size_of_file", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("remove", c_void_p),
    )


class Methods(Structure):
    """`sqlite3_io_methods`: what one open file can do."""

    _fields_ = (
        ("version", c_int),
        *((name, c_void_p) for name in ("close", "read", "write", "truncate", "sync")),
        *((f"more{number}", c_void_p) for number in range(13)),
    )


class File(Structure):
    """The beginning of `sqlite3_file`."""

    _fields_ = (("methods", POINTER(Methods)),)


_kept: list[Any] = []
"""Tables that open files may use until the process ends."""


class Within:
    """Installed while the block runs; `calls` are what it counted."""

    def __init__(self, fault: Fault = LOG) -> None:
        self.calls: list[Call] = []
        self._fault = fault
        self._lock = threading.Lock()
        self._ours: dict[int, Any] = {}
        library = ctypes.CDLL("libsqlite3.so.0")
        library.sqlite3_vfs_find.restype = POINTER(Vfs)
        self._vfs = library.sqlite3_vfs_find(None).contents
        self._before = (self._vfs.open, self._vfs.remove)

    def __enter__(self) -> Self:
        real_open, real_remove = OPEN(self._vfs.open), REMOVE(self._vfs.remove)

        def opened(vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
            code = int(real_open(vfs, name, file, flags, out))
            if code == 0 and name:
                self._take(cast(file, POINTER(File)).contents)
            return code

        def removed(vfs: int, name: int, sync: int) -> int:
            return self._see("remove") or int(real_remove(vfs, name, sync))

        ours = OPEN(opened), REMOVE(removed)
        _kept.append(ours)
        self._vfs.open, self._vfs.remove = (cast(one, c_void_p).value for one in ours)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._vfs.open, self._vfs.remove = self._before
        self._fault = LOG

    def _take(self, file: File) -> None:
        """Put our table in the place of that of an open file."""
        real = file.methods.contents
        if (where := ctypes.addressof(real)) not in self._ours:
            self._ours[where] = self._table(real)
        file.methods = pointer(self._ours[where])

    def _table(self, real: Methods) -> Methods:
        write, cut, sync = WRITE(real.write), TRUNCATE(real.truncate), SYNC(real.sync)

        def half(file: int, data: int, size: int, offset: int) -> Callable[[], object]:
            return lambda: write(file, data, size // 2, offset)

        def written(file: int, data: int, size: int, offset: int) -> int:
            torn = half(file, data, size, offset)
            return self._see("write", torn) or int(write(file, data, size, offset))

        def truncated(file: int, size: int) -> int:
            return self._see("truncate") or int(cut(file, size))

        def synced(file: int, flags: int) -> int:
            return self._see("sync") or int(sync(file, flags))

        table = Methods.from_buffer_copy(real)
        ours = WRITE(written), TRUNCATE(truncated), SYNC(synced)
        table.write, table.truncate, table.sync = (cast(one, c_void_p).value for one in ours)
        _kept.extend((table, ours))
        return table

    def _see(self, name: str, tear: Callable[[], object] = lambda: None) -> int:
        """Zero to go on, or the error for SQLite."""
        fault = self._fault
        with self._lock:
            self.calls.append(Call(f"sqlite {name}", ()))
            number = len(self.calls)
        if not fault.at or not (number == fault.at or (number > fault.at and fault.sticky)):
            return 0
        if fault.how == "tear":
            tear()
        if fault.how in ("kill", "tear"):
            os.kill(os.getpid(), signal.SIGKILL)
        return FAILED[name] if fault.error != 28 else FULL
