"""The seam in `fsio`, for tests: every mutating call of this process can be logged, counted,
failed, torn or made the last.

    with Shim(Fault("fail", at=7, error=errno.EIO)) as shim: ...

The call `at` (from 1; 0: none) is hit, and with `sticky` every one after it. `only` narrows what is
counted to some calls. Of a torn write half of the bytes arrive, then the process is killed, or with
`error` the call fails: so it is with short writes and with power cuts alike. `drop` is a sync that
fails as disks do it: what was written since is gone, and the next sync knows nothing of it. `lose`
is a power cut on a file system that keeps names in order and data as it likes: the process is
killed, and of the files that were written and not synced all (or half of them, in turn) are zeros.
"""

import os
import random
import signal
import stat
import threading
from collections import Counter
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias

from epmstore import fsio

How: TypeAlias = Literal["log", "fail", "tear", "kill", "drop", "lose"]
SYNCS = frozenset({"fsync", "fdatasync"})


class Fault(NamedTuple):
    how: How = "log"
    at: int = 0
    error: int = 0
    sticky: bool = False
    only: frozenset[str] = frozenset()


class Call(NamedTuple):
    name: str
    arguments: tuple[object, ...]


LOG = Fault()


class Shim:
    """Installed while the block runs; `calls` are what it counted, `hits` those that it spoiled."""

    def __init__(self, fault: Fault = LOG) -> None:
        self.calls: list[Call] = []
        self.hits: list[Call] = []
        self._fault = fault
        self._lock = threading.Lock()
        self._written: dict[int, list[tuple[int, int]]] = {}
        self._held: dict[int, int] = {}

    @property
    def counts(self) -> Counter[str]:
        return Counter(call.name for call in self.calls)

    def __enter__(self) -> Self:
        fsio.install_fault(self._see)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fsio.install_fault(None)

    def _see(self, name: str, arguments: tuple[object, ...]) -> None:
        fault, call = self._fault, Call(name, arguments)
        with self._lock:
            if name == "write":
                self._note(call)
            is_counted = not fault.only or name in fault.only
            self.calls += [call] if is_counted else []
            number = len(self.calls)
            is_hit = fault.at and (number == fault.at or (number > fault.at and fault.sticky))
            if not (is_counted and is_hit):
                self._forget_synced(call)
                return
            self.hits.append(call)
        self._spoil(call)

    def _spoil(self, call: Call) -> None:
        fault = self._fault
        if fault.how == "tear":
            tear(call)
        if fault.how == "lose":
            self._lose(fault.at)
        if fault.how in ("kill", "lose") or (fault.how == "tear" and not fault.error):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.how == "drop":
            self._drop(call)
        if fault.how in ("fail", "tear", "drop"):
            raise OSError(fault.error, os.strerror(fault.error))

    def _note(self, call: Call) -> None:
        """Keep what of a file was written since it was synced."""
        fd, data, offset = call.arguments
        assert isinstance(fd, int) and isinstance(data, bytes | bytearray | memoryview)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return  # a pipe keeps nothing
        at = offset if isinstance(offset, int) else os.lseek(fd, 0, os.SEEK_CUR)
        inode = _inode(call)
        self._written.setdefault(inode, []).append((at, len(data)))
        if self._fault.how == "lose" and inode not in self._held:
            # It may be closed before it is lost. Not `dup`, which would hold its lock on.
            self._held[inode] = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)

    def _forget_synced(self, call: Call) -> None:
        if call.name == "syncfs":
            self._written.clear()
        elif call.name in SYNCS:
            self._written.pop(_inode(call), None)

    def _lose(self, seed: int) -> None:
        rng = random.Random(seed)
        for inode, ranges in sorted(self._written.items()):
            if seed % 2 or rng.random() < 0.5:
                for at, length in ranges:
                    os.pwrite(self._held[inode], bytes(length), at)

    def _drop(self, call: Call) -> None:
        fd = call.arguments[0]
        assert isinstance(fd, int)
        for at, length in self._written.pop(_inode(call), []):
            os.pwrite(fd, bytes(length), at)


def _inode(call: Call) -> int:
    fd = call.arguments[0]
    assert isinstance(fd, int)
    return os.fstat(fd).st_ino


def tear(call: Call) -> None:
    """Half of a write arrives; of other calls there is no half."""
    if call.name != "write":
        return
    fd, data, offset = call.arguments
    assert isinstance(fd, int) and isinstance(data, bytes | bytearray | memoryview)
    half = memoryview(data)[: len(data) // 2]
    if isinstance(offset, int):
        os.pwrite(fd, half, offset)
    else:
        os.write(fd, half)
