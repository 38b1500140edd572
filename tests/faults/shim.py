"""The seam in `fsio`, for tests: every mutating call of this process can be logged, counted,
failed, torn or made the last.

    with Shim(Fault("fail", at=7, error=errno.EIO)) as shim: ...

The call `at` (from 1; 0: none) is hit, and with `sticky` every one after it. `only` narrows what is
counted to some calls. Of a torn write half of the bytes arrive, then the process is killed, or with
`error` the call fails: so it is with short writes and with power cuts alike.
"""

import os
import signal
import threading
from collections import Counter
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias

from epmstore import fsio

How: TypeAlias = Literal["log", "fail", "tear", "kill"]


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
            if fault.only and name not in fault.only:
                return
            self.calls.append(call)
            number = len(self.calls)
            if not fault.at or number < fault.at or (number > fault.at and not fault.sticky):
                return
            self.hits.append(call)
        self._spoil(call)

    def _spoil(self, call: Call) -> None:
        fault = self._fault
        if fault.how == "tear":
            tear(call)
        if fault.how == "kill" or (fault.how == "tear" and not fault.error):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.how in ("fail", "tear"):
            raise OSError(fault.error, os.strerror(fault.error))


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
