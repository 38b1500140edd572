"""Calls that change files fail, or the process dies at one of them: the knob of fsio."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

from epmstore import fsio


class Killed(BaseException):
    """The process is gone: nothing that it does after this has an effect."""


class Calls:
    """Counts mutating calls, and fails them from the `n`-th on."""

    def __init__(
        self,
        n: int | None = None,
        error: Callable[[], BaseException] = Killed,
        *,
        once: bool = False,
        only: str | None = None,
    ) -> None:
        self.count = 0
        self.names: list[str] = []
        self._n = n
        self._error = error
        self._once = once
        self._only = only

    @property
    def struck(self) -> bool:
        return self._n is not None and self.count >= self._n

    def __call__(self, name: str, arguments: tuple[object, ...]) -> None:
        if self._only is not None and name != self._only:
            return
        self.count += 1
        self.names.append(name)
        if self._n is not None and self.count >= self._n:
            if self._once:
                self._n = None
            raise self._error()


@contextlib.contextmanager
def faults(calls: Callable[[str, tuple[object, ...]], Any]) -> Iterator[None]:
    fsio.install_fault(calls)
    try:
        yield
    finally:
        fsio.install_fault(None)


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
